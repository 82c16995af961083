"""Tables that somebody else printed, as they stand in conf/: quoted, not measured here."""

from suite.configuration import choices, read_choice
from suite.records import numbers
from suite.report.blocks import Column, Kind, Table, say


def quoted_tables(group: str, *, title: str, row: str, note: str) -> list[Table]:
    """One for each file of the group. `title`, `row`, `note`: keys, with {what}, of the row heads, with {source}."""
    return [_table(group, name, title, row, note) for name in choices(group)]


def _table(group: str, name: str, title: str, row: str, note: str) -> Table:
    said = read_choice(group, name)
    return Table(
        title=say(title, what=said["what"]),
        columns=[Column(title=say(row)), *(Column(title=one, kind=Kind.NUMBER) for one in said["columns"])],
        rows=[[head, *map(_printed, values)] for head, values in said["rows"].items()],
        note=say(note, source=said["source"]),
        folded=True,
    )


def _printed(value: float | str | None) -> str:
    if value is None:
        return numbers.NOTHING
    return value if isinstance(value, str) else f"{value:,}"
