"""Several results side by side: only what at least two of them have stands there."""

import pytest

from suite.report.page.texts import load_texts
from suite.report.runs.trust import shared_headline, shared_table
from tests.records.factory import build, in_launches
from tests.report.reading import results_of, rows_of
from tests.report.rl.runs import run

SLOW = (2e-3,) * 7


def rows_in(tmp_path, **labelled):
    return rows_of(load_texts("en").render_block(shared_table(results_of(tmp_path, **labelled))))


def layers(rows):
    return [row for row in rows if row["Case"].endswith("Whole layer")]


def test_a_case_of_two_results_is_a_row_with_their_ratio(tmp_path):
    spans = {"spans": ("layer", "kernel")}
    slow, fast = in_launches(build(), 1.9e-3, 2e-3, 2.1e-3, **spans), in_launches(build(), 1e-3, 1e-3, 1e-3, **spans)
    before, after = [slow, build(attention="mha")], [fast]
    (row,) = layers(rows_in(tmp_path, before=before, after=after))
    assert (row["Compared"], row["First result"], row["Second result"]) == ("after / before", "1.00 ms", "2.00 ms")
    assert (row["Ratio or difference"], row["Verdict"]) == ("0.500× (0.442–0.566×)", "clearly different")
    headline = load_texts("en").render_block(shared_headline(results_of(tmp_path, before=before, after=after)))
    assert headline.text == "2 of 2 timings that several result sets measured differ clearly between them"


@pytest.mark.parametrize(("factor", "word"), [(1.1, "no clear difference"), (1.5, "clearly different")])
def test_records_whose_launches_overlap_are_not_told_apart(tmp_path, factor, word):
    first, other = (in_launches(build(), *(times * one for one in (2.9e-3, 3e-3, 3.1e-3))) for times in (1.0, factor))
    (row,) = layers(rows_in(tmp_path, a=[first], b=[other]))
    assert row["Verdict"] == word


def test_one_launch_is_not_compared(tmp_path):
    (row,) = layers(rows_in(tmp_path, a=[build(latencies_s=(3e-3,) * 9)], b=[build(latencies_s=(9e-3,) * 9)]))
    assert (row["Ratio or difference"], row["Verdict"]) == ("3.00×", load_texts("en")("own.behind.one_launch"))


def test_each_label_stands_beside_the_first_that_has_the_case(tmp_path):
    two, three = build(seq_len=64), build(latencies_s=SLOW)
    rows = layers(rows_in(tmp_path, a=[three], b=[two, three], c=[build(), two]))
    compared = sorted((row["Case"].split(" · ")[3], row["Compared"]) for row in rows)
    assert compared == [("4,096 tokens", "b / a"), ("4,096 tokens", "c / a"), ("64 tokens", "c / b")]


def test_scores_are_paired_by_seed(tmp_path):
    worse, better = ([run([0.0, level + seed / 100], seed=seed) for seed in range(5)] for level in (0.2, 0.6))
    (row,) = rows_in(tmp_path, a=worse, b=better)
    assert (row["Compared"], row["Verdict"], row["n"]) == ("b / a", "higher", "5")


def test_results_that_share_no_case_have_no_rows(tmp_path):
    assert rows_in(tmp_path, a=[build()], b=[build(seq_len=64)]) == []
    assert shared_headline(results_of(tmp_path, a=[build()], b=[build(seq_len=64)])) is None
