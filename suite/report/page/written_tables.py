"""The page's tables as Markdown, for a README or a review, and as one CSV, a cell a line; every reading as a CSV, too.

Tables have columns of their own, so a CSV of all of them names the section, the table, the row and the column of each
cell: a spreadsheet or pandas filters and pivots that, and a table need not be known before.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from typing import Any

from suite.records.derived import started_at
from suite.records.machine.privacy import scrub
from suite.records.plain_text import in_markdown, one_line
from suite.records.record import Record
from suite.records.stores.store import reading_rows
from suite.report.blocks import Kind, Section, Table, Text
from suite.report.model.results import Results

RUNS_IN_A_SPREADSHEET = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""A text cell that begins so, behind spaces or not, is a formula to a spreadsheet program (OWASP, CSV injection)."""


def tables_csv(sections: Sequence[Section]) -> Iterator[str]:
    """Write every cell of the tables of sections that have been rendered in a language. Rows are numbered from 1."""
    yield _line(("section", "table", "settings", "row", "column", "cell"))
    for section in sections:
        for table in section.tables:
            for number, row in enumerate(table.rows, 1):
                for head, cell in zip(table.columns, row, strict=True):
                    yield _line((section.id, table.title, table.settings, number, head.title, cell))


def readings_csv(results: Results) -> Iterator[str]:
    """Write every reading with the label of its results, in the columns of `suite.load(...).readings()`."""
    first = [next(iter(_rows(label, record))) for label, record in results.all_records]
    columns = dict.fromkeys(name for row in first for name in row) or {"label": None}
    yield _line(columns)
    for label, record in results.all_records:
        for row in _rows(label, record):
            yield _line(row.get(name) for name in columns)


def _line(cells: Iterable[Any]) -> str:
    line = StringIO()
    csv.writer(line, lineterminator="\n").writerow([_safe(cell) for cell in cells])
    return line.getvalue()


def _rows(label: str, record: Record) -> Iterable[dict[str, Any]]:
    fields = {"label": label, "started_at": started_at(record)}
    reason = scrub(record.reason or "", is_ours=False)
    for row in reading_rows(record):
        yield fields | row | {"reason": reason}


def _safe(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    plain = one_line(cell)
    return "'" + plain if plain.lstrip().startswith(RUNS_IN_A_SPREADSHEET) else plain


def markdown(sections: Sequence[Section]) -> str:
    """Write the tables of sections that have been rendered in a language."""
    return "\n".join(f"## {_plain(section.title)}\n\n" + "\n".join(map(_table, section.tables)) for section in sections)


def _table(table: Table) -> str:
    parts = [f"### {_plain(table.title)}", _plain(table.settings), "\n".join(_lines(table)), _plain(table.note)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _lines(table: Table) -> Iterator[str]:
    rule = ["---:" if head.kind is Kind.NUMBER else "---" for head in table.columns]
    cells = [[_plain(cell) for cell in row] for row in table.rows]
    for line in [[_plain(head.title) for head in table.columns], rule, *cells]:
        yield "| " + " | ".join(line) + " |"


def _plain(text: Text) -> str:
    assert isinstance(text, str), text
    return in_markdown(text)
