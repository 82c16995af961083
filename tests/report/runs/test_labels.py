"""Several results side by side: a label is a column, and only what at least two of them have stands there."""

from dataclasses import replace

import pytest

from suite.records.record import Reading
from suite.report.runs.coverage import build as build_coverage
from suite.report.runs.labels import build as build_labels
from tests.records.factory import build
from tests.report.reading import results_of, rows_of, said
from tests.report.rl.runs import run

FAST, SLOW = (1e-3,) * 7, (2e-3,) * 7


def section_of(tmp_path, **labelled):
    return said(build_labels(results_of(tmp_path, **labelled)))


def layer(table):
    return [row for row in rows_of(table) if row["Case"].endswith("Whole layer")]


def test_a_case_of_two_results_is_a_row_with_their_ratio(tmp_path):
    shared = build(latencies_s=SLOW)
    section = section_of(tmp_path, before=[shared, build(attention="mha")], after=[build(latencies_s=FAST)])
    (row,) = layer(section.tables[0])
    assert (row["before"], row["after"], row["after / before"]) == ("2.00 ms", "1.00 ms", "0.500× (0.450–0.555×)")
    assert row["Case"] == "MLA · deepseek-v2-lite · decode · 4,096 tokens · bfloat16 · Whole layer"
    assert row["Told apart"] == "clearly different"
    assert section.figures[0].finding == "after beside before: slower in 0, faster in 2, no clear difference in 0"


def in_launches(record, *medians_s, count=6):
    """The record's timings of several launches, each of samples that are alike."""
    kept = [reading for reading in record.readings if reading.metric != "latency_s"]
    timed = [
        Reading(step=step, span="layer", metric="latency_s", value=median_s, launch=launch)
        for launch, median_s in enumerate(medians_s)
        for step in range(count)
    ]
    return replace(record, readings=[*kept, *timed])


@pytest.mark.parametrize(("factor", "word"), [(1.1, "no clear difference"), (1.5, "clearly different")])
def test_records_whose_launches_overlap_are_not_told_apart(tmp_path, factor, word):
    first, other = (in_launches(build(), *(times * one for one in (2.9e-3, 3e-3, 3.1e-3))) for times in (1.0, factor))
    (row,) = layer(section_of(tmp_path, a=[first], b=[other]).tables[0])
    assert row["Told apart"] == word


@pytest.mark.parametrize(("slower_s", "word"), [(3.2e-3, "no clear difference"), (3.4e-3, "clearly different")])
def test_one_launch_is_apart_only_beyond_what_repeats_show(tmp_path, slower_s, word):
    one, other = build(latencies_s=(3e-3,) * 9), build(latencies_s=(slower_s,) * 9)
    section = section_of(tmp_path, a=[one], b=[other])
    (row,) = layer(section.tables[0])
    assert row["Told apart"] == word
    # A reader can hide what is no clear difference.
    assert section.figures[0].views[0].figure["data"][0]["meta"]["told"] == [word] * 2


def test_what_is_told_apart_and_furthest_stands_on_top(tmp_path):
    times = {1024: 3.1e-3, 2048: 4e-3, 4096: 6e-3}
    first = [build(seq_len=tokens, latencies_s=(3e-3,) * 9) for tokens in times]
    other = [build(seq_len=tokens, latencies_s=(time_s,) * 9) for tokens, time_s in times.items()]
    figure = section_of(tmp_path, a=first, b=other).figures[0].views[0].figure
    names = [one["text"].split(" ")[0] for one in figure["layout"]["annotations"]]
    assert names == ["4,096", "4,096", "2,048", "2,048", "1,024", "1,024"]


def test_points_name_the_runs_of_both_labels(tmp_path):
    one, other = build(latencies_s=SLOW), build(latencies_s=FAST, provenance={"started_at": "2026-05-01"})
    section = section_of(tmp_path, a=[one], b=[other])
    (trace,) = section.figures[0].views[0].figure["data"]
    assert trace["customdata"] == [[other.run_key, one.run_key]] * 2


def test_cases_are_grouped_by_the_labels_that_have_them(tmp_path):
    both, all_three = build(seq_len=64), build(latencies_s=SLOW)
    section = section_of(tmp_path, a=[all_three], b=[both, all_three], c=[build(), both])
    columns = [[column.title for column in table.columns][2:-1] for table in section.tables]
    assert columns == [["a", "b", "c", "b / a", "c / a"], ["b", "c", "c / b"]]
    assert len(section.figures) == 3


def test_scores_are_paired_by_seed(tmp_path):
    worse, better = ([run([0.0, level + seed / 100], seed=seed) for seed in range(5)] for level in (0.2, 0.6))
    (table,) = section_of(tmp_path, a=worse, b=better).tables
    (row,) = rows_of(table)
    assert (row["Compared"], row["Verdict"], row["n"]) == ("b / a", "higher", "5")


def test_results_that_share_no_case_have_no_such_section(tmp_path):
    assert section_of(tmp_path, a=[build()], b=[build(seq_len=64)]) is None


def test_the_counts_have_a_column_for_each_result(tmp_path):
    results = results_of(tmp_path, a=[build(), build(seq_len=64)], b=[build()])
    counts, *_ = said(build_coverage(results)).tables
    assert [(row["Runs"], row["a"], row["b"]) for row in rows_of(counts)][:2] == [("Cases", "2", "1"), ("OK", "2", "1")]
