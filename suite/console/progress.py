"""The terminal while cases run, and the answer at their end: a table of values and one sentence that compares.

In a terminal a live line stands below the cases that ended; where there is none, a line now and then says how far it
is. rich draws both; every text of a record is made harmless before.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.table import Column as LiveColumn
from rich.text import Text

from suite.console.eta import SeveralSweeps, remaining_s
from suite.console.record import DISTURBED, answer, brief, disturbances_of, other_warnings_of, row, watched
from suite.console.summary import Entry, Summarise, Summary, stored_json, summary_of
from suite.console.sweep_table import sweep_lines, values_of
from suite.console.table import folded, has_colour, row_lines, status_text, terminal_width
from suite.records import numbers
from suite.records.case import Case, shared, telling_apart, value_of
from suite.records.derived import started_at
from suite.records.plain_text import one_line, say
from suite.records.record import Record, Status
from suite.records.stores.place import shown
from suite.records.stores.store import RECORD, StoredRecord

REFRESHES_PER_S = 1
"""Seldom: the case that is measured shares the machine."""
PLAIN_PROGRESS_EVERY_S = 60
SKIPPED, ELSEWHERE = "skipped", "elsewhere"
MOST_REASONS, BAR_WIDTH = 12, 20


class Terminal:
    """A listener that prints to standard output; colour only for a terminal and never under NO_COLOR. Use as a context
    manager, and from one thread at a time."""

    def __init__(
        self,
        cases: Sequence[Case],
        *,
        is_sweep: bool,
        workers: Callable[[], int] | int = 1,
        summaries: Mapping[str, Summarise] = MappingProxyType({}),
        several: SeveralSweeps | None = None,
    ) -> None:
        """Take what is to run. `workers`: cases side by side, which may be asked for while they run. `summaries`: by
        workload; of others those that the suite's own YAML names. `several`: where other sweeps follow this one."""
        self._summaries, self._several = summaries, several
        self._waiting = {case.id: case for case in cases}
        self._total, self._is_sweep, self._asked_workers = len(cases), is_sweep, workers
        self._names, self._shared = telling_apart(cases), shared(cases)
        self._widths = [max(len(name), *(len(value_of(case, name)) for case in cases)) for name in self._names]
        self._width, self._colour = terminal_width(), has_colour()
        self._ended: list[tuple[StoredRecord, bool]] = []
        """Records, and whether they were there before."""
        self._elsewhere: set[str] = set()
        """Ids."""
        self._running: dict[str, tuple[Case, float]] = {}
        """Cases by id and when they started, the first before the others."""
        self._has_header = False
        self._first_s = math.inf
        """When the first case began."""
        self._said_at = time.monotonic()
        console = Console(markup=False, emoji=False, highlight=False)
        is_live = self._width is not None and not console.is_dumb_terminal
        self._live = Progress(
            SpinnerColumn("line"),
            _RunningColumn(self),
            *((BarColumn(BAR_WIDTH), TextColumn("{task.fields[told]}", markup=False)) if is_sweep else ()),
            TimeElapsedColumn(),
            console=console,
            refresh_per_second=REFRESHES_PER_S,
            transient=True,
            expand=True,
            disable=not is_live,
        )
        self._task = self._live.add_task("", total=self._total, told="")

    def __enter__(self) -> "Terminal":
        if self._is_sweep:
            say(*folded([one_line(self._shared)], self._width))
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.clear()
        if not self._live.disable:  # it would print an empty line
            self._live.stop()

    @property
    def _workers(self) -> int:
        return self._asked_workers if isinstance(self._asked_workers, int) else self._asked_workers()

    @property
    def records(self) -> list[StoredRecord]:
        """The records of the cases so far, those that lay there before too."""
        return [stored for stored, _ in self._ended]

    def as_json(self) -> list[dict[str, Any]]:
        """Return the records so far for programs, with their headline values."""
        return [stored_json(stored, list(values_of(self._entry(stored)).values())) for stored in self.records]

    def recorded(self, stored: Sequence[StoredRecord], *, by_another: bool = False) -> None:
        """Tell which cases need not run, since their records lie there already."""
        when = "meanwhile, by another process" if by_another else "before"
        for one in stored:
            self._take(one, was_there=True)
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
            say(*self._in_columns(" " * len(self._count()), self._names, Text("result")))
        now_s = time.monotonic()
        self._first_s = min(self._first_s, now_s)
        self._running[case.id] = case, now_s
        self._show_progress()

    def notice(self, text: str) -> None:
        """Print a sentence about something unusual."""
        say(text)

    def finished(self, record: Record, folder: Path) -> None:
        """Tell of a case that ended."""
        del self._running[record.case.id]
        self._take(StoredRecord(record=record, folder=folder), was_there=False)
        say(*(self._lines(record) if self._is_sweep else self._whole(record, folder)))
        self._show_progress()
        now = time.monotonic()
        is_due = now - self._said_at > PLAIN_PROGRESS_EVERY_S
        if self._is_sweep and self._live.disable and self._waiting and is_due:
            self._said_at = now
            counts = Counter(SKIPPED if was_there else str(one.record.status) for one, was_there in self._ended)
            counts[ELSEWHERE] = len(self._elsewhere)
            told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
            # 7 of 24 done: 5 ok, 1 unsupported, 1 skipped; about 2 min left
            say(f"{self._total - len(self._waiting)} of {self._total} done{': ' if told else ''}{told}{self._left()}")

    def summary(self, folder: Path) -> None:
        """Print what a sweep came to."""
        if not self._is_sweep:
            return
        if self._several is not None:
            self._several.ended(sum(cost_s(one.record) for one, _ in self._ended) / self._workers)
        # At the end, when no case is measured any more, the report's model may take its time to load.
        from suite.console.compare import by_machine, headline

        entries = by_machine(list(map(self._entry, self.records)))
        table = sweep_lines(entries, width=self._width, colour=self._colour)
        sentences = [*self._counts(), *self._reasons(), *self._marks(), *self._watched()]
        if self._waiting:
            sentences.append(f"{len(self._waiting)} of {self._total} did not run; the same command goes on from here")
        if (verdict := headline(entries)) is not None:
            sentences.append(one_line(f"{verdict.sentence}."))
        say("", *table, *folded(sentences, self._width), one_line(f"records: {shown(folder)}"))

    def running(self) -> str:
        """Name what runs, and since when; called from a thread of its own, while cases start and end."""
        return ", ".join(
            f"{' '.join(value_of(case, name) for name in self._names) or 'measuring'}, {time.monotonic() - since:.0f} s"
            for case, since in list(self._running.values())
        )

    def _take(self, stored: StoredRecord, *, was_there: bool) -> None:
        self._waiting.pop(stored.record.case.id, None)
        self._elsewhere.discard(stored.record.case.id)
        self._ended.append((stored, was_there))

    def _show_progress(self) -> None:
        done = self._total - len(self._waiting)
        self._live.update(self._task, completed=done, told=f"{done} of {self._total} done{self._left()}")
        self._live.refresh()

    def _left(self) -> str:
        done = [(one.record.case, cost_s(one.record)) for one, _ in self._ended]
        left_s = remaining_s(list(self._waiting.values()), done)
        own_s = None if left_s is None else left_s / max(1, min(self._workers, len(self._waiting)))
        told = [] if own_s is None else [f"about {numbers.duration(own_s)} left"]
        if self._several is not None:
            all_s = self._several.left_s(own_s, undone=len(self._waiting) / self._total)
            told.append(f"of all sweeps about {numbers.duration(all_s)}")
        return "".join(f"{'; ' if place == 0 else ', '}{part}" for place, part in enumerate(told))

    def _counts(self) -> list[str]:
        """Say how many cases ended how, and what they took."""
        counts = Counter(run.record.status for run, _ in self._ended)
        statuses = ", ".join(f"{counts[status]} {status}" for status in Status if counts[status])
        new = [run.record for run, was_there in self._ended if not was_there]
        # Cases that ran side by side share their time, from the first one's begin.
        took_s = sum(map(cost_s, new)) if self._workers == 1 else time.monotonic() - self._first_s
        before = f"; {len(self._ended) - len(new)} recorded before" if len(new) < len(self._ended) else ""
        took = f"; took {numbers.duration(took_s)}" if new else ""
        many = "1 case" if len(self._ended) == 1 else f"{len(self._ended)} cases"
        return [f"{many}: {statuses}{before}{took}"] if self._ended else []

    def _reasons(self) -> list[str]:
        """Say why cases are not ok, each reason once: they have scrolled away."""
        records = [one.record for one, _ in self._ended]
        reasons = Counter((record.status, record.reason or "") for record in records if record.reason)
        lines = [
            f"{count} {self._status(status)}: {one_line(reason)}" for (status, reason), count in reasons.most_common()
        ]
        more = [f"and {len(lines) - MOST_REASONS} other reasons, in their records"] if len(lines) > MOST_REASONS else []
        return lines[:MOST_REASONS] + more

    def _marks(self) -> list[str]:
        """Explain the marks behind values, one line for the disturbed and one for each other warning."""
        records = [one.record for one, _ in self._ended]
        causes = [disturbances_of(record) for record in records]
        disturbed = sum(map(bool, causes))
        kinds = " and ".join(dict.fromkeys(cause for of_record in causes for cause in of_record))
        said = "was" if disturbed == 1 else "were"
        lines = (
            [f"{disturbed} of {len(records)} cases {said} disturbed by {kinds} (marked {DISTURBED})"]
            if disturbed
            else []
        )
        others = Counter(warning for record in records for warning in other_warnings_of(record))
        lines += [f"{count} with a warning (!): {warning}" for warning, count in others.most_common(MOST_REASONS)]
        more = ["Details: suite results show"] if lines else []
        return [one_line(". ".join([line, *more] if line is lines[-1] else [line])) for line in lines]

    def _watched(self) -> list[str]:
        """Say what telemetry saw, each thing once, over the cases that ran now."""
        texts = dict.fromkeys(watched(one.record) for one, was_there in self._ended if not was_there)
        return [one_line(f"telemetry: {text}") for text in texts if text is not None]

    def _lines(self, record: Record) -> list[str]:
        values = [value_of(record.case, name) for name in self._names]
        told = one_line(brief(record, self._summary(record)))
        return self._in_columns(self._count(), values, status_text(str(record.status), behind=f"  {told}"))

    def _count(self) -> str:
        return f"[{self._total - len(self._waiting):>{len(str(self._total))}}/{self._total}]"

    def _in_columns(self, first: str, values: Sequence[str], last: Text) -> list[str]:
        cells: list[str | Text] = [first, *values, last]
        return row_lines(cells, [len(first), *self._widths], width=self._width, colour=self._colour)

    def _status(self, status: Status) -> str:
        return "".join(row_lines([status_text(str(status))], [], width=None, colour=self._colour))

    def _whole(self, record: Record, folder: Path) -> list[str]:
        told = answer(record, self._status(record.status), self._summary(record))
        return [*told, row("record", shown(folder / RECORD))]

    def _entry(self, stored: StoredRecord) -> Entry:
        return Entry(record=stored.record, summary=self._summary(stored.record))

    def _summary(self, record: Record) -> Summary:
        return self._summaries.get(record.case.workload, summary_of)(record)


class _RunningColumn(ProgressColumn):
    """The cases that run now, cut off where the line has no room."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(table_column=LiveColumn(ratio=1, no_wrap=True, overflow="ellipsis"))
        self._terminal = terminal

    def render(self, task: Task) -> Text:
        return Text(one_line(self._terminal.running()), style="dim", no_wrap=True, overflow="ellipsis")


def cost_s(record: Record) -> float:
    """Return what running the case took, without the ceilings that it measured for others; 0 where it does not say."""
    phases = record.provenance.get("durations_s")
    ceilings_s = phases.get("ceilings", 0.0) if isinstance(phases, Mapping) else 0.0
    duration_s = record.provenance.get("duration_s")
    if not isinstance(duration_s, int | float) or not isinstance(ceilings_s, int | float):
        return 0.0
    return max(0.0, duration_s - ceilings_s)
