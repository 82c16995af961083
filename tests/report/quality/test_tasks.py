"""What the page says of the tasks, from runs whose numbers can be added up by hand."""

import pytest

from suite.configuration.files import choices, read_choice
from suite.report.quality import tasks
from suite.report.quality.design import latent_rank, task_experiments
from suite.report.quality.tasks import pareto_front, qualities
from tests.report.quality_records import (
    OPEN,
    details,
    in_memory,
    mla,
    mqa,
    quality_record,
    recall,
    section_of,
    study,
    table_of,
)


def test_a_task_has_shares_differences_and_updates_to_a_level():
    records = [
        *recall([1.0, 0.98, 0.99, 1.0, 0.98], attention="mha"),
        *recall([0.96, 0.2, 0.97, 0.9, 0.4], **mla(16)),
        *recall([0.6, 0.5, 0.4, 0.55, 0.45], match="params", **mla(16)),
    ]
    mha, narrow, matched = table_of(section_of(tasks, *records), "By variant")
    # Evaluated after 0, 200 and 400 updates; half way it lies in the middle of start and end.
    assert (mha["Updates to 95 %"], mha["Arrived"], mha["Less MHA (points)"]) == ("400", "5 of 5", "–")
    assert (narrow["Updates to 95 %"], narrow["Arrived"], narrow["In words"]) == ("–", "2 of 5", OPEN)
    # No matching changes MHA, so that of match=heads stands for it.
    assert (matched["Study"], matched["Less MHA (points)"].split()[0]) == ("recall · at equal parameters", "-49.0")
    assert matched["In words"] == "lower"


def test_two_hops_are_told_by_questions_that_take_two():
    records = [
        quality_record(0.6, task="two_hop", seed=seed, kinds={"one hop": 0.9, "two hops": two}, **said)
        for said, shares in (({"attention": "mha"}, (0.5, 0.52)), (mla(16), (0.3, 0.33)))
        for seed, two in enumerate(shares)
    ]
    mha, narrow = table_of(section_of(tasks, *records), "By variant")
    assert (mha["Answered"].split(" (")[0], narrow["Less MHA (points)"].split()[0]) == ("51 %", "-19.5")


def test_a_loss_that_is_higher_is_called_worse():
    records = [
        quality_record(0.5, task="plays", loss=loss, seed=seed, **said)
        for said, losses in (
            ({"attention": "mha"}, (1.5, 1.52, 1.5, 1.52, 1.51)),
            (mla(16), (1.7, 1.73, 1.71, 1.72, 1.72)),
            (mla(32), (1.3, 1.33, 1.31, 1.32, 1.32)),
        )
        for seed, loss in enumerate(losses)
    ]
    _, better, worse = table_of(section_of(tasks, *records), "By variant")
    assert (worse["Variant"], worse["In words"]) == ("MLA rank 16", "worse (higher loss)")
    # 0.2, 0.21, 0.21, 0.2, 0.21: a standard error of 0.00548 / √5, and as one of two t(4, 98.75 %) = 3.495.
    assert worse["Less MHA (nats)"] == "+0.206 (+0.197 to +0.215)"
    assert (better["In words"], better["Less MHA (nats)"].split()[0]) == ("better (lower loss)", "-0.194")


def test_the_front_holds_what_no_other_beats_in_both():
    records = [
        quality_record(0.9, task="recall", attention="mha"),
        quality_record(0.9, task="recall", **mla(32)),
        quality_record(0.5, task="recall", **mla(8)),
        quality_record(0.4, task="recall", **mqa(12)),
    ]
    (one,) = task_experiments(in_memory(*records))
    assert [latent_rank(arm) for arm in pareto_front(qualities(one))] == [8, 32]


def test_of_a_loss_the_front_has_the_lowest():
    records = [
        quality_record(0.5, task="plays", attention="mha", loss=1.5),
        quality_record(0.5, task="plays", loss=1.6, **mla(16)),
        quality_record(0.5, task="plays", loss=1.7, **mla(32)),
    ]
    (one,) = task_experiments(in_memory(*records))
    assert [arm.first.attention for arm in pareto_front(qualities(one))] == ["mla", "mha"]


def test_marks_on_the_front_are_filled_and_say_their_cpu_time():
    records = [
        quality_record(0.9, task="recall", attention="mha", decode_s=4e-3),
        quality_record(0.5, task="recall", decode_s=1e-3, **mla(8)),
        quality_record(0.4, task="recall", **mqa(12)),
    ]
    (figure,) = [one for one in section_of(tasks, *records).figures if one.title == "Quality against cache"]
    assert figure.finding.startswith("MLA rank 8: 50 % with 64 B a token, n = 1, the least cache of 2 that none beats")
    traces = {trace["name"]: trace for trace in figure.views[0].figure["data"]}
    symbols = {name: trace["marker"]["symbol"] for name, trace in traces.items() if "marker" in trace}
    assert [symbol[0].endswith("-open") for symbol in symbols.values()] == [False, True, False]
    assert "a token takes 4.00 ms" in traces["MHA"]["hovertext"][0]


def test_mla_without_rope_or_norm_stands_beside_itself():
    records = [
        *recall([0.9, 0.91, 0.9, 0.9, 0.91], **mla(16)),
        *recall([0.7, 0.8, 0.75, 0.72, 0.6], **mla(16, **{"attention.qk_rope_head_dim": 0})),
        *recall([0.95, 0.85, 0.9, 0.95, 0.86], **mla(16, **{"attention.latent_norm": False})),
        *recall([0.1] * 5, **mla(8)),
    ]
    found = table_of(section_of(tasks, *records), "MLA without RoPE")
    told = {row["Without"]: row for row in found}
    assert (told["RoPE"]["Difference (points)"].split()[0], told["RoPE"]["In words"]) == ("-19.0", "lower")
    # -20, -11, -15, -18, -31: t is 5.65 and p 0.0048 alone, of two contrasts twice.
    assert told["RoPE"]["p (t, Holm)"] == "0.010"
    assert told["RoPE"]["Cache (B / token)"] == "64 / 96"
    assert told["norm"]["In words"] == OPEN


def test_by_width_by_cache_and_by_parameters_are_three_questions():
    section = section_of(tasks, *study(3), *recall([0.7] * 3, **mqa(12, **{"task.pairs": 4})))
    (figure,) = [one for one in section.figures if one.title.startswith("Task by task")]
    assert [view.title for view in figure.views] == ["By width", "By cache", "By parameters"]
    by_cache = {trace["name"]: trace["x"] for trace in figure.views[1].figure["data"]}
    assert by_cache == {"MLA rank 16": [pytest.approx(-19.3, abs=0.05)]}


def test_a_table_of_many_asks_more_and_all_places_agree():
    # 10 to 50 points lower: p is 0.0132 alone, and five times as much among five.
    mha, narrow = recall([0.9] * 5, attention="mha"), recall([0.8, 0.7, 0.6, 0.5, 0.4], **mla(16))
    others = [one for rank in (4, 8, 24, 32) for one in recall([0.95, 0.85, 0.9, 0.95, 0.86], **mla(rank))]
    for records, p, outcome, said, count in (
        ([*mha, *narrow], "0.013", "lower", "lower", 1),
        ([*mha, *narrow, *others], "0.066", OPEN, "no clear difference", 5),
    ):
        section = section_of(tasks, *records)
        (row,) = [row for row in table_of(section, "By variant") if row["Variant"] == "MLA rank 16"]
        assert (row["In words"], row["p (t, Holm)"], row["p (flips)"]) == (outcome, p, "0.062")
        (figure,) = [one for one in section.figures if one.title.startswith("Task by task")]
        assert figure.finding.startswith(
            "MLA rank 16 against MHA (recall): -30.0 (" if count == 1 else "No clear difference in 5 comparisons"
        )
        (trace,) = [one for one in figure.views[0].figure["data"] if one["name"] == "MLA rank 16"]
        assert trace["hovertext"][0].endswith(f", {outcome}")
        assert details(in_memory(*records))[-1].endswith(f"({count} compared): {said} in {count}.")


def test_a_quoted_table_names_its_source_and_fills_its_columns():
    section = section_of(tasks, quality_record())
    quoted = [table for table in section.tables if table.title.startswith("Quoted: ")]
    assert len(quoted) == len(choices("published_quality")) >= 5
    assert all("Quoted, not measured here" in table.note for table in quoted)
    for name in choices("published_quality"):
        said = read_choice("published_quality", name)
        assert said["source"]
        assert all(len(values) == len(said["columns"]) for values in said["rows"].values())
