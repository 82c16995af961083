"""What the sections say of records."""

import pytest

from suite.records import numbers
from suite.report.command import render_sections
from suite.report.model.results import read_results
from suite.report.page.texts import load_texts
from tests.records.factory import store


def read(tmp_path, *records):
    store(tmp_path / "results", *records)
    return read_results([tmp_path / "results"])


def table_of(results, section_id, index=0):
    """Rows of a table as dictionaries by column title."""
    (section,) = [one for one in render_sections(results, load_texts("en")) if one.id == section_id]
    table = section.tables[index]
    return [dict(zip([column.title for column in table.columns], row, strict=True)) for row in table.rows]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (numbers.seconds(1.4712e-3), "1.47 ms"),
        (numbers.seconds(9.996e-4), "1.00 ms"),
        (numbers.seconds(12.5), "12.5 s"),
        (numbers.seconds(4e-7), "400 ns"),
        (numbers.seconds_range(9.4e-4, 1.1e-3), "0.940–1.10 ms"),
        (numbers.bytes_iec(9.4 * 2**20), "9.40 MiB"),
        (numbers.bytes_iec(0), "0 B"),
        (numbers.percent(0.1406), "14 %"),
        (numbers.percent(0.004), "0.40 %"),
    ],
)
def test_numbers_read_well(text, expected):
    assert text == expected
