"""Every reading as CSV, with the label of its results: columns as `suite.load` gives them."""

import csv
import io
from collections.abc import Iterable
from typing import Any

from suite.records.derived import started_at
from suite.records.plain_text import one_line
from suite.records.privacy import scrub
from suite.records.record import Record
from suite.records.store import reading_rows
from suite.report.results import Results

RUNS_IN_A_SPREADSHEET = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""A text cell that begins so, behind spaces or not, is a formula to a spreadsheet program (OWASP, CSV injection)."""


def readings_csv(results: Results) -> str:
    rows = [row for label, record in results.every for row in _rows(label, record)]
    columns = dict.fromkeys(name for row in rows for name in row) or {"label": None}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_safe(name) for name in columns])
    writer.writerows([_safe(row.get(name)) for name in columns] for row in rows)
    return text.getvalue()


def _rows(label: str, record: Record) -> Iterable[dict[str, Any]]:
    for row in reading_rows(record):
        row["reason"] = scrub(row["reason"] or "", is_ours=False)
        yield {"label": label, "started_at": started_at(record)} | row


def _safe(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    plain = one_line(cell)
    return "'" + plain if plain.lstrip().startswith(RUNS_IN_A_SPREADSHEET) else plain
