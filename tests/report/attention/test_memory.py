"""What the memory section says of records."""

from functools import partial

import pytest

from suite.report.attention.memory import build as build_section
from tests.records.factory import build, with_readings
from tests.report.reading import built, rows_of

section_of = partial(built, build_section)

CACHE = 4096 * 576 * 2


def sized(record, *, layer=3 << 20, kernel=1 << 20, counted=CACHE):
    record = with_readings(with_readings(record, "layer", peak_bytes=layer), "kernel", peak_bytes=kernel)
    return with_readings(record, "case", cache_bytes_counted=counted)


def test_a_row_has_the_cache_its_formula_and_both_peaks(tmp_path):
    (row,) = rows_of(section_of(tmp_path, sized(build())).tables[0])
    assert row["Cache, closed form"] == row["Cache, counted"] == "4.50 MiB"
    assert row["Equal to the byte"] == "yes"
    assert (row["Peak of the kernel"], row["Peak of the whole layer"]) == ("1.00 MiB", "3.00 MiB")


def test_what_a_backend_keeps_has_a_column_where_any_does(tmp_path):
    def kept(value):
        return with_readings(sized(build(seq_len=1024 + value)), "kernel", kept_bytes=value)

    name = "Kept by the backend, not in the peaks"
    (with_one,) = section_of(tmp_path / "one", kept(0), kept(1 << 20)).tables
    assert [row[name] for row in rows_of(with_one)] == ["–", "1.00 MiB"]
    (without,) = section_of(tmp_path / "none", kept(0), sized(build())).tables
    assert name not in rows_of(without)[0]


def test_a_cache_that_differs_by_a_byte_stands_in_sight(tmp_path):
    section = section_of(tmp_path, sized(build()), sized(build(seq_len=8192), counted=CACHE + 1))
    (table,), (headline,) = section.tables, section.headlines
    assert not table.folded
    assert [row["Equal to the byte"] for row in rows_of(table)] == ["yes", "NO, by +1 B"]
    assert headline.text.startswith("In 1 of 2 cases, the cache differs from its closed form")
    assert section_of(tmp_path / "equal", sized(build())).headlines == []
    assert section_of(tmp_path / "none", build()) is None


def test_peaks_are_drawn_against_context_one_line_a_variant(tmp_path):
    records = [sized(build(attention=name, seq_len=tokens)) for name in ("mla", "mha") for tokens in (1024, 4096)]
    (figure,) = section_of(tmp_path, *records).figures
    layer = figure.views[0].figure
    assert [(trace["name"], trace["x"]) for trace in layer["data"]] == [("MHA", [1024, 4096]), ("MLA", [1024, 4096])]
    assert layer["data"][0]["y"] == pytest.approx([3 << 20] * 2, rel=1e-4)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 0.0, 1e300])
def test_an_impossible_size_is_a_dash_and_not_drawn(tmp_path, value):
    section = section_of(tmp_path, sized(build(), layer=value))
    assert [view.title for view in section.figures[0].views] == ["Kernel"]
    (row,) = rows_of(section.tables[0])
    assert row["Peak of the whole layer"] == ("0 B" if value == 0 else "–")


def test_a_context_that_is_no_number_keeps_its_row(tmp_path):
    section = section_of(tmp_path, sized(build(seq_len="many")))
    assert section.figures == []
    assert rows_of(section.tables[0])[0]["Context (tokens)"] == "–"
