"""Records as a table of values: the settings that differ, the status, and the headline numbers of each."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from suite.console.record import value_marks
from suite.console.summary import HeadlineValue, SummaryEntry
from suite.console.table import ConsoleColumn, table_lines
from suite.records.labels import differing
from suite.records.machines import machine_names
from suite.records.record import Status

SEED = "seed"
# Beyond so many runs, those that differ in their seed alone share a row; of rows so many are shown.
MOST_RUNS, MOST_ROWS = 40, 64
# The rank of the last of the headline values; settings have rank 0.
LEAST_TELLING = 10


def sweep_lines(entries: Sequence[SummaryEntry], *, width: int | None, colour: bool) -> list[str]:
    """A table with a row for each case. In big sweeps a row is the mean over the seeds of one setting and machine, and
    only the last MOST_ROWS rows are shown."""
    names = list(differing(entry.record.case.settings for entry in entries))
    if not entries:
        return []
    is_big = len(entries) > MOST_RUNS and SEED in names
    names = [name for name in names if not (is_big and name == SEED)]
    machines = machine_names([entry.record for entry in entries])
    rows: dict[tuple[str, ...], list[SummaryEntry]] = {}
    for number, (entry, machine) in enumerate(zip(entries, machines, strict=True)):
        key = (machine, *(entry.record.case.cell(name) for name in names), "" if is_big else str(number))
        rows.setdefault(key, []).append(entry)
    last_keys = list(rows)[-MOST_ROWS:]
    columns = [
        ConsoleColumn(title=name, cells=[key[1 + place] for key in last_keys]) for place, name in enumerate(names)
    ]
    if len(set(machines)) > 1:
        columns.append(ConsoleColumn(title="machine", cells=[machine or "-" for machine, *_ in last_keys]))
    columns += _result_columns([rows[key] for key in last_keys], is_first=not columns)
    lines = table_lines(columns, width=width, colour=colour)
    left_out = len(rows) - len(last_keys)
    return [*lines, *([f"({left_out} earlier rows are not shown: suite results list has all)"] if left_out else [])]


def _result_columns(rows: Sequence[Sequence[SummaryEntry]], *, is_first: bool) -> list[ConsoleColumn]:
    """The number of runs and their status, where they say something, and a column for each headline value."""
    columns = []
    if any(len(row) > 1 for row in rows):
        columns.append(ConsoleColumn(title="runs", cells=[str(len(row)) for row in rows], rank=2, is_number=True))
    bad = [[str(entry.record.status) for entry in row if entry.record.status is not Status.OK] for row in rows]
    if any(bad) or (is_first and not columns):
        statuses = [statuses[0] if statuses else str(Status.OK) for statuses in bad]
        columns.append(ConsoleColumn(title="status", cells=statuses, is_status=True))
    values = [value for row in rows for entry in row for value in entry.summary.values]
    titles = {value.key: value.title for value in reversed(values)}
    for place, key in enumerate(dict.fromkeys(value.key for value in values)):
        title = key if list(titles.values()).count(titles[key]) > 1 else titles[key]
        cells = []
        for row in rows:
            # Of several runs the mean.
            ended = [entry for entry in row if headline_values(entry)]
            having = [number for entry in ended if (number := headline_values(entry).get(key)) is not None]
            text = having[0].text if having else "-"
            if len(having) > 1:
                text = having[0].write(fmean(value.number for value in having))
            # Marks stand behind the most telling value: the most that any run has.
            marks = max((value_marks(entry.record) for entry in ended), key=len, default="") if place == 0 else ""
            cells.append(text + marks)
        rank = LEAST_TELLING + place if place else 0
        columns.append(ConsoleColumn(title=title, cells=cells, rank=rank, is_number=True))
    return columns


def headline_values(entry: SummaryEntry) -> Mapping[str, HeadlineValue]:
    """The headline values of an entry that ended well, by their keys."""
    is_ok = entry.record.status is Status.OK
    return {value.key: value for value in entry.summary.values} if is_ok else {}
