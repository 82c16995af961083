"""The page's tables as one CSV, a cell a line; and every reading, a reading a line.

Tables have columns of their own, so a file of all of them names the section, the table, the row and the column of each
cell: a spreadsheet or pandas filters and pivots that, and a table need not be known before.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from typing import Any

from suite.records.derived import started_at
from suite.records.machine.privacy import scrub
from suite.records.plain_text import one_line
from suite.records.record import Record
from suite.records.stores.store import reading_rows
from suite.report.blocks import Section
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
    first = [next(iter(_rows(label, record))) for label, record in results.every]
    columns = dict.fromkeys(name for row in first for name in row) or {"label": None}
    yield _line(columns)
    for label, record in results.every:
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
