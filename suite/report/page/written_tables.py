"""The page's tables as Markdown, for a README or a review, and as one CSV, a cell a line; every reading as a CSV, too.

Tables have columns of their own, so a CSV of all of them names the section, the table, the row and the column of each
cell: a spreadsheet or pandas filters and pivots that, and a table need not be known before.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from typing import Any

from suite.machine.plain_text import in_markdown, one_line
from suite.records.derived import started_at
from suite.records.metrics import METRICS
from suite.records.record import Reading, Record
from suite.report.blocks import Kind, Section, Table, Text
from suite.report.model.results import Results
from suite.report.model.run import scrub_recorded

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


def readings_csv(results: Results) -> Iterator[str]:
    """Yield the lines of a CSV of every reading, the label first, with its case and its unit."""
    first = [next(iter(_reading_rows(label, record))) for label, record in results.all_records]
    columns = dict.fromkeys(name for row in first for name in row) or {"label": None}
    yield _csv_line(columns)
    for label, record in results.all_records:
        for row in _reading_rows(label, record):
            yield _csv_line(row.get(name) for name in columns)


def _csv_line(cells: Iterable[Any]) -> str:
    line = StringIO()
    csv.writer(line, lineterminator="\n").writerow([_safe_cell(cell) for cell in cells])
    return line.getvalue()


def _reading_rows(label: str, record: Record) -> Iterable[dict[str, Any]]:
    """The readings of a record as dictionaries, each with its case, run and unit; without readings one row without a
    metric."""
    common = {
        "label": label,
        "started_at": started_at(record),
        "case_id": record.case.id,
        "run_key": record.run_key,
        "machine_id": record.environment.get("machine_id"),
        "status": str(record.status),
        "reason": scrub_recorded(record.reason or ""),
        "evidence": str(record.evidence),
        **record.case.axes,
    }
    if not record.readings:
        yield {**common, "metric": None}
    for reading in record.readings:
        metric = METRICS.get(reading.metric)
        numbers = {name: getattr(reading, name) for name in Reading.__slots__}
        yield {**common, **numbers, "unit": metric.unit if metric else None}


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
