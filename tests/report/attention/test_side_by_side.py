"""Several results in one table: a label is a column, and only what at least two of them have stands there."""

from suite.report.attention.latency import build as build_latency
from suite.report.runs.coverage import build as build_coverage
from tests.records.factory import build
from tests.report.reading import results_of, rows_of, said

FAST, SLOW = (1e-3,) * 7, (2e-3,) * 7


def latency_tables(tmp_path, **labelled):
    return said(build_latency(results_of(tmp_path, **labelled))).tables


def test_a_case_of_two_results_is_a_row_with_their_ratio(tmp_path):
    shared = build(latencies_s=SLOW)
    both, *_ = latency_tables(tmp_path, before=[shared, build(attention="mha")], after=[build(latencies_s=FAST)])
    (row,) = rows_of(both)
    assert not both.folded
    assert (row["before"], row["after"], row["after / before"]) == ("2.00 ms", "1.00 ms", "0.500×")
    assert (row["Variant"], row["Context (tokens)"]) == ("MLA", "4,096")


def test_medians_whose_intervals_overlap_are_marked(tmp_path):
    wide, within = (1.0e-3, 1.5e-3, 2.0e-3), (1.2e-3, 1.6e-3, 1.9e-3)
    both, *_ = latency_tables(tmp_path, a=[build(latencies_s=wide)], b=[build(latencies_s=within)])
    (row,) = rows_of(both)
    assert row["b / a"] == "≈ 1.07×"
    assert "overlap" in both.note


def test_everything_else_stands_in_a_table_that_opens(tmp_path):
    _, each, *_ = latency_tables(tmp_path, before=[build()], after=[build(), build(attention="mha")])
    assert each.folded
    assert sorted((row["Results"], row["Variant"]) for row in rows_of(each)) == [
        ("after", "MHA"),
        ("after", "MLA"),
        ("before", "MLA"),
    ]


def test_a_case_that_one_of_three_lacks_has_a_dash_there(tmp_path):
    both, *_ = latency_tables(
        tmp_path, a=[build(latencies_s=SLOW)], b=[build(seq_len=64)], c=[build(), build(seq_len=64)]
    )
    rows = rows_of(both)
    assert [(row["Context (tokens)"], row["a"] == "–", row["b"] == "–", row["c"] == "–") for row in rows] == [
        ("64", True, False, False),
        ("4,096", False, True, False),
    ]
    assert rows[0]["c / a"] == rows[1]["b / a"] == "–"


def test_results_that_share_no_case_have_no_such_table(tmp_path):
    tables = latency_tables(tmp_path, a=[build()], b=[build(seq_len=64)])
    assert not any("side by side" in table.title for table in tables)


def test_the_counts_have_a_column_for_each_result(tmp_path):
    results = results_of(tmp_path, a=[build(), build(seq_len=64)], b=[build()])
    counts, *_ = said(build_coverage(results)).tables
    assert [(row["Runs"], row["a"], row["b"]) for row in rows_of(counts)][:2] == [("Cases", "2", "1"), ("OK", "2", "1")]
