"""The page's tables as Markdown, for a README or a review, and as one CSV, a cell a line.

Tables have columns of their own, so a CSV of all of them names the section, the table, the row and the column of each
cell: a spreadsheet or pandas filters and pivots that, and a table need not be known before.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from typing import Any

from suite.machine.plain_text import in_markdown, one_line
from suite.report.blocks import Kind, Section, Table, Text

RUNS_IN_A_SPREADSHEET = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""A text cell that begins so, behind spaces or not, is a formula to a spreadsheet program (OWASP, CSV injection)."""


def tables_csv(sections: Sequence[Section]) -> Iterator[str]:
    """Yield the lines of a CSV: a header, then one for each cell of rendered sections' tables. Rows count from 1."""
    yield _csv_line(("section", "table", "settings", "row", "column", "cell"))
    for section in sections:
        for table in section.tables:
            for number, row in enumerate(table.rows, 1):
                for head, cell in zip(table.columns, row, strict=True):
                    yield _csv_line((section.id, table.title, table.settings, number, head.title, cell))


def _csv_line(cells: Iterable[Any]) -> str:
    line = StringIO()
    csv.writer(line, lineterminator="\n").writerow([_safe_cell(cell) for cell in cells])
    return line.getvalue()


def _safe_cell(cell: Any) -> Any:
    """A text cell on one line, behind an apostrophe where a spreadsheet would run it; other cells as they are."""
    if not isinstance(cell, str):
        return cell
    plain = one_line(cell)
    return "'" + plain if plain.lstrip().startswith(RUNS_IN_A_SPREADSHEET) else plain


def markdown(sections: Sequence[Section]) -> str:
    """The tables of rendered sections as Markdown, under a heading for each section."""
    return "\n".join(
        f"## {_escaped(section.title)}\n\n" + "\n".join(map(_markdown_table, section.tables)) for section in sections
    )


def _markdown_table(table: Table) -> str:
    """A table as Markdown: heading, settings, the table itself and its note; empty parts are left out."""
    rule = ["---:" if head.kind is Kind.NUMBER else "---" for head in table.columns]  # numbers to the right
    cells = [[_escaped(cell) for cell in row] for row in table.rows]
    rows = [f"| {' | '.join(line)} |" for line in [[_escaped(head.title) for head in table.columns], rule, *cells]]
    parts = [f"### {_escaped(table.title)}", _escaped(table.settings), "\n".join(rows), _escaped(table.note)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _escaped(text: Text) -> str:
    assert isinstance(text, str), text
    return in_markdown(text)
