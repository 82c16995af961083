"""The terminal while cases run, and the answer at their end: a table of values and one sentence that compares.

In a terminal a live line stands below the cases that ended; where there is none, a line now and then says how far it
is. rich draws both; every text of a record is made harmless before.
"""

import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from types import MappingProxyType, TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.table import Column as LiveColumn
from rich.text import Text

from suite.console.record import DISTURBED, answer, brief, find_disturbances, other_warnings, row, watched
from suite.console.summary import Summarise, SummaryEntry, stored_json, summarise_record
from suite.console.sweep_table import headline_values, sweep_lines
from suite.console.table import folded, has_colour, row_lines, status_text, terminal_width
from suite.machine.plain_text import one_line, say
from suite.records import labels, numbers
from suite.records.case import Case
from suite.records.derived import started_at
from suite.records.record import Record, Status
from suite.records.stores.store import RECORD, StoredRecord

# Cases of either kind that are looked at, so that a sweep of thousands is not slowed by its own clock.
MOST_LOOKED_AT = 64


def remaining_s(waiting: Sequence[Case], done: Sequence[tuple[Case, float]]) -> float | None:
    """Seconds for a sweep's waiting cases: each takes the mean of the done ones that share most of its settings.

    None where nothing is done yet.
    """
    if not done:
        return None
    times_s = []
    recent = [(set(case.settings.items()), time_s) for case, time_s in done[-MOST_LOOKED_AT:]]
    for case in waiting[:: 1 + len(waiting) // MOST_LOOKED_AT]:
        settings = set(case.settings.items())
        # How many settings each done case shares with it, and what that case took.
        pairs = [(len(settings & done_settings), time_s) for done_settings, time_s in recent]
        most, _ = max(pairs)
        times_s.append(mean(time_s for count, time_s in pairs if count == most))
    return len(waiting) * mean(times_s) if times_s else 0.0


# Seldom: the case that is measured shares the machine.
REFRESHES_PER_S = 1
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
        workers: Callable[[], int] = lambda: 1,
        summaries: Mapping[str, Summarise] = MappingProxyType({}),
    ) -> None:
        """Take what is to run. `workers`: asks for the cases side by side, now. `summaries`: by workload; of others
        those that the suite's own YAML names."""
        self._summaries, self._workers = summaries, workers
        self._waiting = {case.id: case for case in cases}
        self._total, self._is_sweep = len(cases), is_sweep
        settings = [case.settings for case in cases]
        self._workloads = list(dict.fromkeys(case.workload for case in cases))
        by_workload = ([case.settings for case in cases if case.workload == name] for name in self._workloads)
        self._shared = [one_line(labels.written(labels.shared(part))) for part in by_workload]
        self._names = ["workload"] * (len(self._workloads) > 1)
        self._names += labels.differing(settings, alike_in=("workload",))
        # From the first line on: those above cannot be laid out again.
        self._widths = [max(len(name), *(len(case.cell(name)) for case in cases)) for name in self._names]
        self._width, self._colour = terminal_width(), has_colour()
        self.records: list[StoredRecord] = []
        """As they came, those that were there before among them."""
        self._measured: list[StoredRecord] = []
        self._elsewhere: set[str] = set()
        """Ids."""
        self._running: dict[str, tuple[Case, float]] = {}
        """Cases by id, and when they started (seconds of the epoch), the first before the others."""
        self._has_header = False
        self._first_s = math.inf
        """When the first case began."""
        self._said_at = time.monotonic()
        console = Console(markup=False, emoji=False, highlight=False)
        self._live = Progress(
            SpinnerColumn("line"),
            _RunningColumn(self.running),
            *((BarColumn(BAR_WIDTH), TextColumn("{task.fields[done]}", markup=False)) if is_sweep else ()),
            TimeElapsedColumn(),
            console=console,
            refresh_per_second=REFRESHES_PER_S,
            transient=True,
            expand=True,
            disable=self._width is None or console.is_dumb_terminal,
        )
        self._task = self._live.add_task("", total=self._total, done="")

    def __enter__(self) -> "Terminal":
        # At once: what follows reads the code that the cases reach, and loads torch.
        say(*(folded(self._shared, self._width) if self._is_sweep else map(one_line, self._waiting)))
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.clear()
        if not self._live.disable:  # it would print an empty line
            self._live.stop()

    def as_json(self) -> list[dict[str, Any]]:
        """The records so far for programs, with their headline values."""
        return [stored_json(stored, list(headline_values(self._entry(stored)).values())) for stored in self.records]

    def recorded(self, stored: Sequence[StoredRecord], *, by_another: bool = False) -> None:
        """Print which cases need not run, since their records lie there already, and count them as done."""
        for run in stored:
            self._take(run)
            if not self._is_sweep:
                again = row("recorded", f"{started_at(run.record)}, not measured again (resume=false would)")
                say(*self._all_lines(run), again)
        if self._is_sweep and stored:
            when = "meanwhile, by another process" if by_another else "before"
            were = "was" if len(stored) == 1 else "were"
            say(f"{len(stored)} of {self._total} cases {were} recorded {when} (resume=false measures all again)")

    def elsewhere(self, case: Case) -> None:
        """Print once that another process runs a case into the same folder, and wait for it no longer."""
        if case.id not in self._elsewhere:
            del self._waiting[case.id]
            self._elsewhere.add(case.id)
            say(one_line(f"another process is running {case.id}"))

    def started(self, case: Case) -> None:
        """Print the header of a sweep's table before its first case, and show the case as running."""
        if self._is_sweep and not self._has_header:
            self._has_header = True
            say(*self._in_columns(" " * len(self._position()), self._names, Text("result")))
        self._first_s = min(self._first_s, time.monotonic())
        self._running[case.id] = case, time.time()
        self._show_progress()

    def notice(self, text: str) -> None:
        say(text)

    def finished(self, record: Record, folder: Path) -> None:
        """Print a case's result; where there is no live line, about once a minute also how far the sweep is."""
        del self._running[record.case.id]
        stored = StoredRecord(record=record, folder=folder)
        self._take(stored)
        self._measured.append(stored)
        if not self._is_sweep:
            say(*self._all_lines(stored))
        else:
            text = one_line(brief(record, self._entry(stored).summary))
            values = [record.case.cell(name) for name in self._names]
            say(*self._in_columns(self._position(), values, status_text(str(record.status), behind=f"  {text}")))
        self._show_progress()
        now = time.monotonic()
        is_due = now - self._said_at > PLAIN_PROGRESS_EVERY_S
        if self._is_sweep and self._live.disable and self._waiting and is_due:
            self._said_at = now
            # `7 of 24 done: 5 ok, 1 unsupported, 1 skipped; about 2 min left`
            counts = Counter(str(run.record.status) for run in self._measured)
            num_before = len(self.records) - len(self._measured)
            counts |= Counter({SKIPPED: num_before, ELSEWHERE: len(self._elsewhere)})
            ended = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
            say(f"{self._done()}{': ' if ended else ''}{ended}{self._left()}")

    def summary(self, folder: Path) -> None:
        """Print a sweep's table, counts, reasons, warnings, main comparison and folder; nothing for a single case."""
        if not self._is_sweep:
            return
        # At the end, when no case is measured any more, the report's model may take its time to load.
        from suite.console.compare import by_machine, headline

        entries = by_machine(list(map(self._entry, self.records)))
        by_workload = [[entry for entry in entries if entry.record.case.workload == name] for name in self._workloads]
        titles = [folded([text], self._width) if len(by_workload) > 1 else () for text in self._shared]
        tables = [
            ["", *title, *sweep_lines(part, width=self._width, colour=self._colour)]
            for title, part in zip(titles, by_workload, strict=True)
        ]
        # `24 cases: 20 ok, 4 failed; 3 recorded before; took 2 min`
        counts = Counter(stored.record.status for stored in self.records)
        statuses = ", ".join(f"{counts[status]} {status}" for status in Status if counts[status])
        # Cases that ran side by side share their time, from the first one's begin.
        costs_s = [cost_s(stored.record) for stored in self._measured]
        took_s = sum(costs_s) if self._workers() == 1 else time.monotonic() - self._first_s
        num_before = len(self.records) - len(self._measured)
        before = f"; {num_before} recorded before" if num_before else ""
        took = f"; took {numbers.duration(took_s)}" if self._measured else ""
        many = f"{len(self.records)} case{'s' * (len(self.records) != 1)}"
        sentences = [f"{many}: {statuses}{before}{took}"] if self.records else []
        telemetry = dict.fromkeys(watched(stored.record) for stored in self._measured)
        sentences += [*self._reasons(), *self._marks()]
        sentences += [one_line(f"telemetry: {text}") for text in telemetry if text is not None]
        if self._waiting:
            sentences.append(f"{len(self._waiting)} of {self._total} cases did not run; the same command continues")
        comparisons = [comparison for part in by_workload if (comparison := headline(part)) is not None]
        sentences += [one_line(f"{comparison.sentence}.") for comparison in comparisons]
        say(*itertools.chain(*tables), *folded(sentences, self._width), one_line(f"records: {folder}"))

    def running(self) -> str:
        """What runs, and since when; called from a thread of its own, while cases start and end."""
        return ", ".join(
            f"{' '.join(case.cell(name) for name in self._names) or 'measuring'}, {time.time() - since:.0f} s"
            for case, since in list(self._running.values())
        )

    def _take(self, stored: StoredRecord) -> None:
        self._waiting.pop(stored.record.case.id, None)
        self._elsewhere.discard(stored.record.case.id)
        self.records.append(stored)

    def _show_progress(self) -> None:
        if not self._live.disable:
            completed, done = self._total - len(self._waiting), f"{self._done()}{self._left()}"
            self._live.update(self._task, completed=completed, done=done, refresh=True)

    def _done(self) -> str:
        return f"{self._total - len(self._waiting)} of {self._total} done"

    def _left(self) -> str:
        """The estimate, as `; about 2 min left`; empty before any case is done."""
        done = [(stored.record.case, cost_s(stored.record)) for stored in self.records]
        left_s = remaining_s(list(self._waiting.values()), done)
        if left_s is None:
            return ""
        return f"; about {numbers.duration(left_s / max(1, min(self._workers(), len(self._waiting))))} left"

    def _reasons(self) -> list[str]:
        """Lines as `2 unsupported: triton needs CUDA`, the most frequent reason first, of cases that are not ok; at
        most MOST_REASONS, then one that says how many more there are."""
        records = [stored.record for stored in self.records]
        reasons = Counter((record.status, record.reason) for record in records if record.reason).most_common()
        lines = [f"{count} {self._status(status)}: {one_line(reason)}" for (status, reason), count in reasons]
        if len(lines) > MOST_REASONS:
            lines[MOST_REASONS:] = [f"and {len(lines) - MOST_REASONS} other reasons: suite results list shows them"]
        return lines

    def _marks(self) -> list[str]:
        """Lines that explain the marks behind values: one for all disturbed cases (~), one a further warning (!)."""
        causes = [disturbances for stored in self.records if (disturbances := find_disturbances(stored.record))]
        kinds = " and ".join(dict.fromkeys(cause for disturbances in causes for cause in disturbances))
        were = "was" if len(causes) == 1 else "were"
        disturbed = f"{len(causes)} of {len(self.records)} cases {were} disturbed by {kinds} (marked {DISTURBED})"
        warnings = Counter(text for stored in self.records for text in other_warnings(stored.record))
        lines = [disturbed] if causes else []
        common = warnings.most_common(MOST_REASONS)
        lines += [f"{count} of {len(self.records)} cases with a warning (!): {text}" for text, count in common]
        lines[-1:] = [f"{line}. Details: suite results show" for line in lines[-1:]]
        return list(map(one_line, lines))

    def _position(self) -> str:
        return f"[{self._total - len(self._waiting):>{len(str(self._total))}}/{self._total}]"

    def _in_columns(self, first: str, values: Sequence[str], last: Text) -> list[str]:
        cells: list[str | Text] = [first, *values, last]
        return row_lines(cells, [len(first), *self._widths], width=self._width, colour=self._colour)

    def _status(self, status: Status) -> str:
        return "".join(row_lines([status_text(str(status))], [], width=None, colour=self._colour))

    def _all_lines(self, stored: StoredRecord) -> list[str]:
        record = stored.record
        lines = answer(record, self._status(record.status), self._entry(stored).summary)
        return [*lines, row("record", str(stored.folder / RECORD))]

    def _entry(self, stored: StoredRecord) -> SummaryEntry:
        summarise = self._summaries.get(stored.record.case.workload, summarise_record)
        return SummaryEntry(record=stored.record, summary=summarise(stored.record))


class _RunningColumn(ProgressColumn):
    """The cases that run now, cut off where the line has no room."""

    def __init__(self, running: Callable[[], str]) -> None:
        super().__init__(table_column=LiveColumn(ratio=1, no_wrap=True, overflow="ellipsis"))
        self._running = running

    def render(self, task: Task) -> Text:
        return Text(one_line(self._running()), style="dim", no_wrap=True, overflow="ellipsis")


def cost_s(record: Record) -> float:
    """Seconds that running the case took, without ceilings that other cases share; 0 where the record does not say."""
    phases = record.provenance.get("durations_s")
    ceilings_s = phases.get("ceilings", 0.0) if isinstance(phases, Mapping) else 0.0
    duration_s = record.provenance.get("duration_s")
    if not isinstance(duration_s, int | float) or not isinstance(ceilings_s, int | float):
        return 0.0
    return max(0.0, duration_s - ceilings_s)
