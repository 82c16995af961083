"""What a person sees while cases run: plain lines, one a case, and the whole answer where there is only one.

A terminal has a live line below them; where there is none, a line now and then says how far it is.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from suite.console.eta import remaining_s
from suite.console.record import SPANS, answer, latency, row, watched
from suite.console.summary import Summarise, Summary, summary_of
from suite.records import numbers
from suite.records.case import Case, shared, telling_apart, value_of
from suite.records.derived import IMPRECISE, constant, started_at, warnings_of
from suite.records.plain_text import one_line, say
from suite.records.record import Record, Status
from suite.records.store import RECORD, StoredRecord

COLOURS = {Status.OK: "32", Status.UNSUPPORTED: "33", Status.OUT_OF_MEMORY: "33"}
BAD = "31"
REFRESHES_PER_S = 1
"""Seldom: the case that is measured shares the machine."""
PLAIN_PROGRESS_EVERY_S = 60
SKIPPED, ELSEWHERE = "skipped", "elsewhere"
MOST_REASONS = 12


class Terminal:
    """Prints to standard output; colour only for a terminal and never under NO_COLOR. Use as a context manager, and
    from one thread at a time."""

    def __init__(
        self,
        cases: Sequence[Case],
        *,
        is_sweep: bool,
        workers: int = 1,
        summaries: Mapping[str, Summarise] = MappingProxyType({}),
    ) -> None:
        """Take what is to run. `summaries`: by workload; of others those that the suite's own YAML names."""
        self._summaries = summaries
        self._waiting = {case.id: case for case in cases}
        self._total, self._is_sweep, self._workers = len(cases), is_sweep, workers
        self._names, self._shared = telling_apart(cases), shared(cases)
        self._widths = [max(len(name), *(len(value_of(case, name)) for case in cases)) for name in self._names]
        is_terminal = sys.stdout.isatty()
        self._colour = is_terminal and not os.environ.get("NO_COLOR")
        self._ended: list[tuple[Record, bool]] = []
        """Records, and whether they were there before."""
        self._elsewhere: set[str] = set()
        """Ids."""
        self._running: dict[str, tuple[Case, float]] = {}
        """By id, those that started first before the others."""
        self._has_header = False
        self._said_at = time.monotonic()
        console = Console()
        self._live = Live(
            console=console, get_renderable=self._live_line, refresh_per_second=REFRESHES_PER_S, transient=True
        )
        self._is_live = is_terminal and not console.is_dumb_terminal

    def __enter__(self) -> "Terminal":
        if self._is_sweep:
            say(one_line(self._shared))
        if self._is_live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_live:
            self._running.clear()
            self._live.stop()

    def recorded(self, stored: Sequence[StoredRecord], *, by_another: bool = False) -> None:
        """Tell which cases need not run, since their records lie there already."""
        when = "meanwhile, by another process" if by_another else "before"
        for one in stored:
            self._take(one.record, was_there=True)
        if self._is_sweep and stored:
            said = "was" if len(stored) == 1 else "were"
            say(f"{len(stored)} of {self._total} {said} recorded {when} (resume=false measures again)")
        for one in stored if not self._is_sweep else ():
            say(one_line(one.record.case.id))
            again = row("recorded", f"{started_at(one.record)}, not measured again; resume=false does")
            say(*self._whole(one.record, one.folder), again)

    def elsewhere(self, case: Case) -> None:
        """Tell once of a case that another process runs into the same folder, however often it is found so."""
        if case.id not in self._elsewhere:
            del self._waiting[case.id]
            self._elsewhere.add(case.id)
            say(one_line(f"another process is running {case.id}"))

    def started(self, case: Case) -> None:
        """Tell of a case that begins."""
        if not self._is_sweep:
            say(one_line(case.id))
        elif not self._has_header:
            self._has_header = True
            say(self._in_columns(" " * len(self._count()), self._names, "result"))
        self._running[case.id] = case, time.monotonic()
        self._live.refresh()

    def notice(self, text: str) -> None:
        """Print a sentence about something unusual."""
        say(text)

    def finished(self, record: Record, folder: Path) -> None:
        """Tell of a case that ended."""
        del self._running[record.case.id]
        self._take(record, was_there=False)
        say(*([self._line(record)] if self._is_sweep else self._whole(record, folder)))
        now = time.monotonic()
        if self._is_sweep and not self._is_live and self._waiting and now - self._said_at > PLAIN_PROGRESS_EVERY_S:
            self._said_at = now
            say(self._progress())

    def summary(self, folder: Path) -> None:
        if not self._is_sweep:
            return
        say("", *self._table(), *self._reasons(), *self._watched())
        if self._waiting:
            say(f"{len(self._waiting)} of {self._total} did not run; the same command goes on from here")
        say(one_line(f"records: {folder}"))

    def _take(self, record: Record, *, was_there: bool) -> None:
        self._waiting.pop(record.case.id, None)
        self._elsewhere.discard(record.case.id)
        self._ended.append((record, was_there))

    def _live_line(self) -> Text:
        # Called from a thread of its own, while cases start and end.
        parts = [self._progress()]
        running = [
            f"{' '.join(value_of(case, name) for name in self._names) or 'measuring'}, {time.monotonic() - since:.0f} s"
            for case, since in list(self._running.values())
        ]
        # What does not fit into the line is cut off at its end: the names of several, rather than how far they are.
        parts = [*parts, *running] if self._workers > 1 else [*running, *parts]
        return Text(one_line(" · ".join(filter(None, parts))), style="dim", no_wrap=True, overflow="ellipsis")

    def _progress(self) -> str:
        """`7 of 24 done: 5 ok, 1 unsupported, 1 skipped; about 2 min left`."""
        if not self._is_sweep:
            return ""
        counts = Counter(SKIPPED if was_there else str(record.status) for record, was_there in self._ended)
        counts[ELSEWHERE] = len(self._elsewhere)
        told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        left_s = remaining_s(list(self._waiting.values()), [(one.case, _cost_s(one)) for one, _ in self._ended])
        at_once = max(1, min(self._workers, len(self._waiting)))
        left = "" if left_s is None else f"; about {numbers.duration(left_s / at_once)} left"
        return f"{self._total - len(self._waiting)} of {self._total} done{': ' if told else ''}{told}{left}"

    def _table(self) -> list[str]:
        """What became of the cases, by the first setting that tells them apart."""
        by = self._names[0] if self._names else ""
        groups = dict.fromkeys(value_of(record.case, by) for record, _ in self._ended) if by else {}
        statuses = [status for status in Status if any(record.status is status for record, _ in self._ended)]
        columns = [*statuses, *([SKIPPED] if any(was_there for _, was_there in self._ended) else [])]
        rows = [[one_line(by), "cases", *columns, "took"]]
        rows += [_counted(group, self._of(by, group), columns) for group in groups]
        if len(groups) != 1:
            rows.append(_counted("all", self._ended, columns))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return [
            "  ".join(
                [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
            )
            for first, *rest in rows
        ]

    def _of(self, name: str, value: str) -> list[tuple[Record, bool]]:
        return [(record, was_there) for record, was_there in self._ended if value_of(record.case, name) == value]

    def _reasons(self) -> list[str]:
        """Why cases are not ok, each reason once: they have scrolled away."""
        reasons = Counter((record.status, record.reason or "") for record, _ in self._ended if record.reason)
        lines = [
            f"{count} {self._status(status)}: {one_line(reason)}" for (status, reason), count in reasons.most_common()
        ]
        more = [f"and {len(lines) - MOST_REASONS} other reasons, in their records"] if len(lines) > MOST_REASONS else []
        return lines[:MOST_REASONS] + more

    def _watched(self) -> list[str]:
        """What telemetry saw, each thing once, over the cases that ran now."""
        texts = dict.fromkeys(watched(record) for record, was_there in self._ended if not was_there)
        return [one_line(f"telemetry: {text}") for text in texts if text is not None]

    def _line(self, record: Record) -> str:
        values = [value_of(record.case, name) for name in self._names]
        told = one_line(_brief(record, self._summary(record)))
        return self._in_columns(self._count(), values, f"{self._status(record.status)}  {told}")

    def _count(self) -> str:
        return f"[{self._total - len(self._waiting):>{len(str(self._total))}}/{self._total}]"

    def _in_columns(self, first: str, values: Sequence[str], last: str) -> str:
        padded = [one_line(value).ljust(width) for value, width in zip(values, self._widths, strict=True)]
        return "  ".join([first, *padded, last]).rstrip()

    def _status(self, status: Status) -> str:
        colour = COLOURS.get(status, BAD)
        return f"\x1b[{colour}m{status}\x1b[0m" if self._colour else str(status)

    def _whole(self, record: Record, folder: Path) -> list[str]:
        told = answer(record, self._status(record.status), self._summary(record))
        return [*told, row("record", str(folder / RECORD))]

    def _summary(self, record: Record) -> Summary:
        return self._summaries.get(record.case.workload, summary_of)(record)


def _counted(name: str, ended: Sequence[tuple[Record, bool]], columns: Sequence[str]) -> list[str]:
    counts = Counter(str(record.status) for record, _ in ended)
    counts[SKIPPED] = sum(was_there for _, was_there in ended)
    numbered = [len(ended), *(counts[column] for column in columns)]
    took_s = sum(_cost_s(record) for record, was_there in ended if not was_there)
    return [one_line(name), *(str(count) if count else "-" for count in numbered), numbers.duration(took_s)]


def _cost_s(record: Record) -> float:
    """What running the case took, without the ceilings that it measured for others; 0 where a record does not say."""
    phases = record.provenance.get("durations_s")
    ceilings_s = phases.get("ceilings", 0.0) if isinstance(phases, Mapping) else 0.0
    duration_s = record.provenance.get("duration_s")
    if not isinstance(duration_s, int | float) or not isinstance(ceilings_s, int | float):
        return 0.0
    return max(0.0, duration_s - ceilings_s)


def _brief(record: Record, summary: Summary) -> str:
    if record.status is not Status.OK:
        return record.reason or ""
    spans = [text for span in SPANS if (text := _span_text(record, span))]
    others = [summary.brief] if summary.brief is not None else []
    warnings = [f"! {warning}" for warning in warnings_of(record) if not warning.startswith(IMPRECISE)]
    return "   ".join([*spans, *others, *warnings])


def _span_text(record: Record, span: str) -> str | None:
    bound_s, warm = constant(record, span, "bound_s"), latency(record, span)
    if warm is None:
        return None if bound_s is None else f"{span} ≥ {numbers.seconds(bound_s)}"
    within = "" if warm.launches > 1 else " in one launch"
    width = "(n = 1)" if warm.count == 1 else f"±{warm.relative_half_width:.1%}{within}"
    return f"{span} {numbers.seconds(warm.median)} {width}"
