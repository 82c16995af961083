"""Records as a table of values: the settings that differ, the status, and the headline numbers of each."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from suite.console.record import marks_of
from suite.console.summary import Entry
from suite.console.table import Column, table_lines
from suite.console.values import Value
from suite.records.case import telling_apart, value_of
from suite.records.machines import machine_names
from suite.records.record import Status

SEED = "seed"
MOST_RUNS, MOST_ROWS = 40, 64
"""Beyond so many runs, those that differ in their seed alone share a row; of rows so many are shown."""
LEAST_TELLING = 10
"""The rank of the last of the headline values; settings have rank 0."""


def sweep_lines(entries: Sequence[Entry], *, width: int | None, colour: bool) -> list[str]:
    """Return a table of values, a row a case, or in big sweeps a row a setting with the mean over its seeds, those of
    each machine apart.

    Of settings that are still too many the largest sizes are shown, and a line says how many were left out.
    """
    names = telling_apart([entry.record.case for entry in entries])
    if not entries:
        return []
    is_big = len(entries) > MOST_RUNS and SEED in names
    names = [name for name in names if not (is_big and name == SEED)]
    machines = machine_names([entry.record for entry in entries])
    rows: dict[tuple[str, ...], list[Entry]] = {}
    for number, (entry, machine) in enumerate(zip(entries, machines, strict=True)):
        key = (machine, *(value_of(entry.record.case, name) for name in names), "" if is_big else str(number))
        rows.setdefault(key, []).append(entry)
    shown = list(rows)[-MOST_ROWS:]
    columns = columns_of(names, [rows[key] for key in shown])
    if len(set(machines)) > 1:
        columns.insert(len(names), Column(title="machine", cells=[machine or "-" for machine, *_ in shown]))
    lines = table_lines(columns, width=width, colour=colour)
    left_out = len(rows) - len(shown)
    return [*lines, *([f"(and {left_out} rows before these: suite results list has all)"] if left_out else [])]


def columns_of(names: Sequence[str], rows: Sequence[Sequence[Entry]]) -> list[Column]:
    """Return the columns of a table whose rows hold an entry each, or entries that differ in their seed."""
    cells = {name: [value_of(row[0].record.case, name) for row in rows] for name in names}
    columns = [Column(title=name, cells=texts) for name, texts in cells.items()]
    if any(len(row) > 1 for row in rows):
        columns.append(Column(title="runs", cells=[str(len(row)) for row in rows], rank=2, is_number=True))
    statuses = [_status(row) for row in rows]
    if any(status != Status.OK for status in statuses) or not columns:
        columns.append(Column(title="status", cells=statuses, is_status=True))
    return [*columns, *value_columns(rows)]


def value_columns(rows: Sequence[Sequence[Entry]]) -> list[Column]:
    """Return a column for each headline value, the most telling first; marks stand behind the first one."""
    titles: dict[str, str] = {}
    for row in rows:
        for entry in row:
            for value in entry.summary.values:
                titles.setdefault(value.key, value.title)
    doubled = [title for title in titles.values() if list(titles.values()).count(title) > 1]
    columns = []
    for place, (key, title) in enumerate(titles.items()):
        texts = [_text(row, key, has_marks=place == 0) for row in rows]
        name = key if title in doubled else title
        rank = 0 if place == 0 else LEAST_TELLING + place
        columns.append(Column(title=name, cells=texts, rank=rank, is_number=True))
    return columns


def values_of(entry: Entry) -> Mapping[str, Value]:
    """Return the headline values of an entry that ended well, by their keys."""
    is_ok = entry.record.status is Status.OK
    return {value.key: value for value in entry.summary.values} if is_ok else {}


def _text(row: Sequence[Entry], key: str, *, has_marks: bool) -> str:
    found = [value for entry in row if (value := values_of(entry).get(key)) is not None]
    if not found:
        return "-"
    marks = max((marks_of(entry.record) for entry in row), key=len) if has_marks else ""
    # A mean is written as one of its values is.
    text = found[0].text if len(found) == 1 else found[0].write(fmean(value.number for value in found))
    return f"{text}{marks}"


def _status(row: Sequence[Entry]) -> str:
    bad = [str(entry.record.status) for entry in row if entry.record.status is not Status.OK]
    return bad[0] if bad else str(Status.OK)
