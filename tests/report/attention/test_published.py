"""Published kernels on the page: every figure, with its share, its source and what is uncertain about it."""

from suite.report.attention.published import build as build_section
from suite.theory.answers.published import published_figures
from tests.records.factory import build
from tests.report.reading import results_of, rows_of, said


def rows(tmp_path):
    (table,) = said(build_section(results_of(tmp_path, build()))).tables
    assert table.folded
    return rows_of(table)


def test_every_figure_is_a_row_with_a_share_and_a_source(tmp_path):
    shown = rows(tmp_path)
    assert len(shown) == len(published_figures())
    assert all(row["Roofline share"].endswith("%") and row["Source"] for row in shown)


def test_a_row_says_the_problem_the_figure_and_both_times(tmp_path):
    (row,) = [row for row in rows(tmp_path) if row["Published"] == "756 TFLOP/s"]
    assert (row["Problem"], row["Phase"]) == ("8 heads × 256, 1 × 16,384", "forward")
    assert (row["Least time"], row["Published time"], row["Roofline share"]) == ("2.22 ms", "2.91 ms", "76 %")
    assert row["Notes"] == "read by eye"


def test_without_sizes_the_share_is_of_the_named_ceiling(tmp_path):
    (row,) = [row for row in rows(tmp_path) if row["Published"] == "3,000 GB/s"]
    assert (row["Least time"], row["Roofline share"], row["Limited by"]) == ("–", "90 %", "memory traffic")


def test_a_page_without_records_needs_no_comparison(tmp_path):
    (tmp_path / "results").mkdir()
    assert said(build_section(results_of(tmp_path))) is None
