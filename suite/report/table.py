"""A table is made of columns: each has a title, and gives and writes the cell of a row."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, Generic, TypeVar

from suite.configuration.files import choices, read_choice
from suite.records import numbers
from suite.report.blocks import Facets, Head, Joined, Kind, Table, Text, say

R = TypeVar("R")
P = TypeVar("P")
Cell = Text | float | None
CellWriter = Callable[[Any], Text]
BACKEND = say("column.backend")
MOST_ROWS_OPEN = 16  # a longer table is a line that opens: the figures have said it already


@dataclass(frozen=True, kw_only=True)
class Column(Head, Generic[R]):
    """A column: its head, and the cell of each row."""

    cell: Callable[[R], Cell]
    """Gives the cell of a row; None and an empty text are a dash, and so is a number that cannot be shown."""
    text: CellWriter | None = None
    """Writes its numbers."""
    only_where_known: bool = False
    """Left out where no row has anything."""

    def written(self, row: R) -> Text:
        """The text of a row's cell; a dash where it is None, empty, or no finite number."""
        cell = self.cell(row)
        if cell is None or cell == "":
            return numbers.NOTHING
        if not isinstance(cell, int | float):
            return cell
        assert self.text is not None, self.title
        return self.text(cell) if math.isfinite(cell) else numbers.NOTHING


def column(
    title: str | Text,
    cell: Callable[[R], Cell],
    text: CellWriter | None = None,
    *,
    kind: Kind | None = None,
    facet: str = "",
    only_where_known: bool = False,
) -> Column[R]:
    """Describe a column. `title` is a key of the texts; `plain_title` makes a title of any other text.

    `text` writes the cell's numbers, and makes the column one of numbers.
    """
    kind = kind or (Kind.TEXT if text is None else Kind.NUMBER)
    title = say(title) if isinstance(title, str) else title
    return Column(title=title, cell=cell, text=text, kind=kind, facet=facet, only_where_known=only_where_known)


def label_column(has_several_labels: bool) -> list[Column[Any]]:
    """A list with the column of the rows' labels, which is empty where all have one label."""
    return [column("column.label", lambda row: row.label, facet="label")] if has_several_labels else []


def plain_title(text: Text) -> Text:
    """A text of a record, which is in no language, as a column's title; a plain string there would be a key."""
    return Joined("", (text,))


def part_columns(part: Callable[[R], P | None], columns: Iterable[Column[P]]) -> list[Column[R]]:
    """Make columns over rows from columns over a part of a row, which `part` gives; dashes where it gives None."""

    def row_cell(column: Column[P]) -> Callable[[R], Cell]:
        return lambda row: None if (row_part := part(row)) is None else column.cell(row_part)

    any_columns: Iterable[Column[Any]] = columns
    return [replace(column, cell=row_cell(column)) for column in any_columns]


def table(
    title: Text,
    rows: Iterable[R],
    columns: Iterable[Column[R]],
    *,
    family: Text = "",
    note: Text = "",
    settings: Text = "",
    folded: bool = False,
    facets: Mapping[str, Text] | None = None,
    facets_of: Callable[[R], Facets] | None = None,
) -> Table:
    """Lay rows out under the columns' titles. One of more than MOST_ROWS_OPEN rows is folded, whether asked or not.

    `facets` hold for all rows; `facets_of` says of each row what no column of its own does. A column that is
    `only_where_known` is dropped where it is empty.
    """
    all_rows = list(rows)
    cells_by_column = [(column, [column.written(row) for row in all_rows]) for column in columns]
    filled = [
        (Head(title=column.title, kind=column.kind, facet=column.facet), cells)
        for column, cells in cells_by_column
        if not column.only_where_known or any(cell != numbers.NOTHING for cell in cells)
    ]
    # A page hides the last columns of a wide table: a backend that tells rows apart stands among the first.
    telling = (at for at, (head, cells) in enumerate(filled) if head.title == BACKEND and len(set(cells)) > 1)
    if place := next(telling, 0):
        filled.insert(min(place, 2), filled.pop(place))
    return Table(
        title=title,
        family=family,
        settings=settings,
        columns=[head for head, _ in filled],
        rows=[[cells[place] for _, cells in filled] for place in range(len(all_rows))],
        note=note,
        folded=folded or len(all_rows) > MOST_ROWS_OPEN,
        facets=facets or {},
        row_facets=[facets_of(row) for row in all_rows] if facets_of else (),
    )


def quoted_tables(group: str, *, title: str, row: str, note: str) -> list[Table]:
    """A folded table for each file of a configuration group: tables that somebody else printed, not measured here.

    `title`, `row` and `note` are keys of texts; the title is filled in with {what}, the note with {source}.
    """
    tables = []
    for printed in (read_choice(group, name) for name in choices(group)):
        values = [
            column(plain_title(head), itemgetter(place), "{:,}".format, kind=Kind.NUMBER)
            for place, head in enumerate(printed["columns"])
        ]
        columns = [column(row, itemgetter(0)), *part_columns(itemgetter(1), values)]
        filled_title, rows = say(title, what=printed["what"]), printed["rows"].items()
        tables.append(table(filled_title, rows, columns, note=say(note, source=printed["source"]), folded=True))
    return tables
