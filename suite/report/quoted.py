"""Tables that somebody else printed, as they stand in conf/: quoted, not measured here."""

from collections.abc import Sequence
from functools import partial

from suite.configuration import choices, read_choice
from suite.report.blocks import Kind, Table, say
from suite.report.table import column, plain, table

Row = tuple[str, Sequence[float | str | None]]


def quoted_tables(group: str, *, title: str, row: str, note: str) -> list[Table]:
    """Return a table for each file of the group. `title`, `row`, `note`: keys, with {what} and of the note {source}."""
    return [_table(group, name, title, row, note) for name in choices(group)]


def _table(group: str, name: str, title: str, row: str, note: str) -> Table:
    printed = read_choice(group, name)
    heads = enumerate(printed["columns"])
    return table(
        say(title, what=printed["what"]),
        printed["rows"].items(),
        [
            column(row, lambda row: row[0]),
            *(column(plain(head), partial(_value, place), "{:,}".format, kind=Kind.NUMBER) for place, head in heads),
        ],
        note=say(note, source=printed["source"]),
        folded=True,
    )


def _value(place: int, row: Row) -> float | str | None:
    return row[1][place]
