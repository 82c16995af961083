"""Every reading as CSV, with the label of its results: columns as `suite.load` gives them."""

import csv
from collections.abc import Iterable, Iterator
from typing import Any

from suite.records.derived import started_at
from suite.records.plain_text import one_line
from suite.records.privacy import scrub
from suite.records.record import Record
from suite.records.store import reading_rows
from suite.report.model.results import Results

RUNS_IN_A_SPREADSHEET = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""A text cell that begins so, behind spaces or not, is a formula to a spreadsheet program (OWASP, CSV injection)."""


def readings_csv(results: Results) -> Iterator[str]:
    """Line by line, since a page of every reading would be larger than what it is made of."""
    first = [next(iter(_rows(label, record))) for label, record in results.every]
    columns = dict.fromkeys(name for row in first for name in row) or {"label": None}
    writer = csv.writer(_Lines(), lineterminator="\n")
    yield str(writer.writerow([_safe(name) for name in columns]))
    for label, record in results.every:
        for row in _rows(label, record):
            yield str(writer.writerow([_safe(row.get(name)) for name in columns]))


class _Lines:
    """What a writer writes to, and hands back."""

    def write(self, line: str) -> str:
        return line


def _rows(label: str, record: Record) -> Iterable[dict[str, Any]]:
    said = {"label": label, "started_at": started_at(record)}
    reason = scrub(record.reason or "", is_ours=False)
    for row in reading_rows(record):
        yield said | row | {"reason": reason}


def _safe(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    plain = one_line(cell)
    return "'" + plain if plain.lstrip().startswith(RUNS_IN_A_SPREADSHEET) else plain
