"""Records on disk and back as a section gets them, and a section's tables as a test reads them."""

from suite.report.results import Results, read_results
from suite.report.section import Table
from tests.records.factory import store


def results_of(tmp_path, *records, **labelled) -> Results:
    """Records under one label, or lists of records by label."""
    labelled = labelled or {"results": records}
    for label, part in labelled.items():
        store(tmp_path / label, *part)
    return read_results([tmp_path / label for label in labelled])


def rows_of(table: Table) -> list[dict[str, str]]:
    return [dict(zip([column.title for column in table.columns], row, strict=True)) for row in table.rows]
