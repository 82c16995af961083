"""What the page says of decoders trained on questions, from runs whose numbers can be added up by hand."""

import re
from dataclasses import replace

import plotly.graph_objects
import pytest

from suite.configuration import choices, languages, read_choice
from suite.quality.tasks.tiers import SHARES as ASKED_SHARES
from suite.quality.tasks.tiers import TIERS as ASKED_TIERS
from suite.records.case import Case
from suite.records.record import Reading, Status
from suite.report.findings import headlines
from suite.report.quality_pareto import front_of, standings
from suite.report.quality_rulings_tiers import gradings_of
from suite.report.quality_run import TIERS
from suite.report.quality_runs import studies
from suite.report.quality_tasks import against_pairs, tasks_of
from suite.report.quality_tiers_family import SHARES, families
from suite.report.quality_tiers_tables import form_contests, found_in_cache
from suite.report.sections import quality, quality_tiers
from suite.report.words import load_words
from suite.statistics.holm import holm
from tests.records.factory import build
from tests.report.quality_records import arm, in_memory, mla, mqa, quality_record
from tests.report.reading import rows_of
from tests.report.test_hostile import EVIL, page_of, parsed, texts

EN = load_words("en")
SECTIONS = (quality_tiers, quality)
ALIKE, OPEN = "alike (within 2 points)", "not told apart (5 pairs)"
NUDGES = (0.0, 0.01, -0.01, 0.005, -0.005)
ONE_HEAD_EACH = [[0.9 if attribute % 4 == head else 0.0 for attribute in range(6)] for head in range(4)]
ALL_HEADS_ALIKE = [[0.2] * 6] * 4
ONE_FOR_ALL = [[0.9] * 6, *([[0.0] * 6] * 3)]


def section_of(module, *records, words=EN):
    return module.build(in_memory(*records), words)


def table_of(section, start):
    (table,) = [table for table in section.tables if table.title.startswith(start)]
    return rows_of(table)


def tiers(third, *, seeds=5, **said):
    """Every seed answers the first two tiers, and this much of the third, give or take a point."""
    return arm([(1.0, 1.0, min(1.0, third + nudge)) for nudge in NUDGES[:seeds]], **said)


def recall(finals, *, task="recall", **said):
    return arm(finals, task=task, chance=1 / 32, **said)


def asked(form, **said):
    return said | {"extras": {**said.get("extras", {}), "task.asked": form}}


def study(seeds=2):
    """Everything that a section can say something of; five seeds for what is judged."""
    every = [
        *tiers(1.0, attention="mha", falls=ONE_HEAD_EACH, cached=(1.0, 1.0, 1.0)),
        *tiers(0.5, **mqa(16)),
        *tiers(0.35, **mqa(12)),
        *tiers(0.2, **mla(16), falls=ALL_HEADS_ALIKE, cached=(1.0, 1.0, 0.5)),
        *tiers(0.5, **mla(24)),
        *tiers(0.98, **asked("evenly", **mla(16))),
        *tiers(1.0, **asked("swapped", **mla(16))),
        *tiers(0.6, updates=1600, **mla(16)),
        *tiers(0.1, **mla(16, **{"attention.qk_rope_head_dim": 0})),
        *(
            record
            for pairs in (4, 8)
            for record in (
                *recall([0.9, 0.92, 0.91, 0.9, 0.92], attention="mha", extras={"task.pairs": pairs}),
                *recall([0.5, 0.52, 0.50, 0.5, 0.51], **mla(16, **{"task.pairs": pairs})),
                *recall([0.9, 0.91, 0.93, 0.9, 0.92], match="params", **mla(16, **{"task.pairs": pairs})),
            )
        ),
        *recall([0.5] * 5, task="plays", attention="mha", loss=1.5),
        *recall([0.5] * 5, task="plays", loss=1.7, **mla(16)),
    ]
    return [record for record in every if record.case.axes["seed"] < seeds]


def test_without_such_records_there_are_no_such_sections():
    failed = quality_record(status=Status.FAILED)
    results = in_memory(build(), failed, quality_record(status=Status.INTERRUPTED, seed=1))
    assert [module.build(results, EN) for module in SECTIONS] == [None, None]


def test_the_tiers_of_the_page_are_those_that_the_task_asks():
    assert (TIERS, SHARES) == (ASKED_TIERS, ASKED_SHARES)


def test_runs_of_one_arm_differ_in_their_seed_and_to_name_a_default_names_nothing():
    named = quality_record(0.5, seed=1, extras={"task.asked": "unevenly"})
    older = quality_record(0.1, seed=1, started_at="2026-01-01T10:00:00+00:00")
    broken = quality_record(seed=2, status=Status.FAILED)
    ((only,),) = [one.arms for one in studies(in_memory(quality_record(0.3), named, older, broken))]
    assert only.by_seed(lambda run: run.final()) == {"0": pytest.approx(0.3), "1": pytest.approx(0.5)}
    assert only.failed == 1


def test_an_arm_without_a_named_rank_has_that_of_deepseek_s_ratio():
    results = in_memory(quality_record(**mla(None)), quality_record(**mla(32), seed=1))
    ((wide, narrow),) = [one.arms for one in studies(results)]
    assert (wide.latent_rank, wide.has_default_rank) == (64, True)
    assert (narrow.latent_rank, narrow.has_default_rank) == (32, False)


THIRDS = (0.30, 0.32, 0.31, 0.30, 0.32)


@pytest.mark.parametrize(
    ("ours", "theirs", "difference", "said"),
    [
        # t(4, 97.5 %) = 2.776; differences of -5, -4, -6, -5, -5 points have a standard error of 0.707 / √5 = 0.316.
        ((0.25, 0.28, 0.25, 0.25, 0.27), THIRDS, "-5.0 (-5.9 to -4.1)", "lower"),
        ((0.35, 0.36, 0.37, 0.35, 0.37), THIRDS, "+5.0 (+4.1 to +5.9)", "higher"),
        # 0, 1, -1, 0, 0 have the same, and lie within two points; of 0, 6, -6, 3, -3 it is 4.743 / √5 = 2.121.
        ((0.30, 0.33, 0.30, 0.30, 0.32), THIRDS, "+0.0 (-0.9 to +0.9)", ALIKE),
        ((0.30, 0.38, 0.25, 0.33, 0.29), THIRDS, "+0.0 (-5.9 to +5.9)", OPEN),
        # -0.5, -1, -0.5, -0.5, -1: 0.274 / √5 = 0.122; and -1, -1, -2, -1, -1: 0.447 / √5 = 0.2.
        ((0.995, 0.99, 0.995, 0.995, 0.99), (1.0,) * 5, "-0.7 (-1.0 to -0.4)", "both answer 99 % or more"),
        ((0.12, 0.13, 0.12, 0.12, 0.12), (0.13, 0.14, 0.14, 0.13, 0.13), "-1.2 (-1.8 to -0.6)", "neither learnt it"),
        # t(3, 97.5 %) = 3.182 and 0.816 / √4: an interval that excludes zero, of too few seeds.
        ((0.25, 0.28, 0.25, 0.25), THIRDS[:4], "-5.0 (-6.3 to -3.7)", "few seeds (4)"),
        ((0.25,), (0.30,), "-5.0", "few seeds (1)"),
    ],
)
def test_a_latent_is_held_against_grouped_heads_of_the_same_cache_seed_by_seed(ours, theirs, difference, said):
    latents = arm([(1.0, 1.0, third) for third in ours], **mla(16))
    grouped = arm([(1.0, 1.0, third) for third in theirs], **mqa(12))
    wider = arm([(1.0, 1.0, 0.9) for _ in theirs], **mqa(16))
    (row,) = table_of(section_of(quality_tiers, *latents, *grouped, *wider), "Is it MLA")
    assert (row["MLA"], row["Against"], row["Its cache"]) == ("MLA rank 16", "MQA with heads of 12", "=")
    assert (row["Tier"], row["Seeds"]) == ("Third tier (3 %)", str(len(ours)))
    assert (row["Difference (points)"], row["In words"]) == (difference, said)


def test_only_seeds_that_both_have_are_compared():
    latents = arm([(1.0, 1.0, third) for third in (0.2, 0.2, 0.9)], seeds=(1, 2, 7), **mla(16))
    grouped = arm([(1.0, 1.0, third) for third in (0.9, 0.3, 0.31)], seeds=(0, 1, 2), **mqa(12))
    (row,) = table_of(section_of(quality_tiers, *latents, *grouped), "Is it MLA")
    assert (row["Seeds"], row["Difference (points)"].split()[0]) == ("2", "-10.5")


def test_the_nearest_cache_is_named_by_its_size_and_one_too_far_is_no_pair():
    records = [*tiers(0.2, **mla(4)), *tiers(0.3, **mqa(8)), *tiers(0.9, **mla(56))]
    (row,) = table_of(section_of(quality_tiers, *records), "Is it MLA")
    assert (row["MLA"], row["Against"], row["Its cache"]) == ("MLA rank 4", "MQA with heads of 8", "1.33×")


def test_a_form_of_training_is_held_against_the_uneven_one_of_the_same_variant():
    records = [
        *tiers(0.2, **mla(16)),
        *tiers(0.9, **asked("evenly", **mla(16))),
        *tiers(0.1, **asked("evenly_weighted", **mla(16))),
        *tiers(0.2, updates=1600, **mla(16)),
        *tiers(1.0, **asked("evenly", attention="mha")),
    ]
    found = table_of(section_of(quality_tiers, *records), "The same decoder, trained differently")
    assert [(row["Training"], row["In words"]) for row in found] == [
        ("asked unevenly: 85 / 12 / 3", "–"),
        ("asked evenly", "higher"),
        ("asked evenly, loss weighted 85 / 12 / 3", "lower"),
        ("asked unevenly: 85 / 12 / 3, 4 × the updates", ALIKE),
    ]
    assert found[1]["Third tier, less unevenly (points)"] == "+70.0 (+70.0 to +70.0)"


def test_other_mixes_of_questions_are_computed_from_the_shares_of_each_tier():
    (row,) = table_of(section_of(quality_tiers, *arm([(1.0, 0.5, 0.2)], **mla(16))), "The trained decoder")
    # 0.85 + 0.12 · 0.5 + 0.03 · 0.2; the mean of the three; 0.03 + 0.12 · 0.5 + 0.85 · 0.2.
    told = [row[name] for name in ("as in training (85 / 12 / 3 %)", "evenly", "swapped (3 / 12 / 85 %)")]
    assert told == ["92 %", "57 %", "26 %"]
    assert row["Swapped, less as trained (points)"] == "-65.6"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ((0.5, 0.5, 0.5, 0.5, 0.5), "more is in the cache than is answered"),
        ((0.1, 0.1, 0.1, 0.1, 0.1), "answered beyond a linear reader"),
        # Less what is answered: ± 5, 0, ± 3 points, whose standard error is 4.12 / √5; and 1, -1, 0, 0, 0.
        ((0.25, 0.16, 0.22, 0.23, 0.18), OPEN),
        ((0.21, 0.20, 0.22, 0.20, 0.21), ALIKE),
        ((0.5, 0.5, 0.5), "few seeds (3)"),
    ],
)
def test_what_is_in_the_cache_is_held_against_what_is_answered(found, said):
    records = [
        quality_record((1.0, 1.0, third), seed=seed, cached=(1.0, 1.0, of_cache), **mla(16))
        for seed, (third, of_cache) in enumerate(zip((0.2, 0.21, 0.22, 0.2, 0.21), found, strict=False))
    ]
    first, _, third = table_of(section_of(quality_tiers, *records), "Dropped from the cache")
    assert (first["In words"], third["In words"]) == ("answered", said)


def test_heads_are_told_by_the_largest_share_of_a_fall_and_by_how_many_come_first():
    records = [
        *tiers(1.0, attention="mha", falls=ONE_HEAD_EACH),
        *tiers(1.0, **mla(16), falls=ALL_HEADS_ALIKE),
        *tiers(1.0, **mla(8), falls=ONE_FOR_ALL),
    ]
    found = table_of(section_of(quality_tiers, *records), "Do heads")
    names = ("Variant", "Largest share of one head", "If all alike", "Heads that come first")
    assert [tuple(row[name] for name in names) for row in found] == [
        ("MHA", "100 % (100–100)", "25 %", "4.0"),
        ("MLA rank 16", "25 % (25–25)", "25 %", "1.0"),
        ("MLA rank 8", "100 % (100–100)", "25 %", "1.0"),
    ]


def test_an_attribute_that_was_never_learnt_has_no_head_that_carries_it():
    still = section_of(quality_tiers, *tiers(1.0, attention="mha", falls=[[0.01] * 6] * 4))
    assert not [table for table in still.tables if table.title.startswith("Do heads")]


def test_the_map_of_heads_is_of_the_lowest_seed_alone():
    records = [quality_record((1.0, 1.0, 1.0), seed=seed, falls=[[0.1 * seed] * 6] * 4) for seed in (3, 2, 4)]
    (figure,) = [one for one in section_of(quality_tiers, *records).figures if "head" in one.title]
    assert "seed 2" in figure.caption
    assert figure.views[0].figure["data"][0]["z"] == [[20.0] * 6] * 4


def test_an_arm_that_lost_its_cache_size_stands_in_tables_and_not_over_bytes():
    record = quality_record((1.0, 1.0, 0.2))
    bare = replace(record, readings=[one for one in record.readings if one.span != "case"])
    section = section_of(quality_tiers, bare)
    assert [figure.title for figure in section.figures] == ["When each tier is learnt"]
    assert table_of(section, "Asked unevenly")[0]["Cache (B / token)"] == "–"


def test_one_seed_is_said_to_be_one():
    alone = section_of(quality_tiers, quality_record((1.0, 1.0, 0.2)))
    assert "One seed" in alone.figures[0].caption
    assert "error_y" not in alone.figures[0].views[0].figure["data"][0]
    several = section_of(quality_tiers, *tiers(0.2), quality_record((1.0, 1.0, 0.5), **mla(8)))
    assert "One seed" not in several.figures[0].caption


def test_a_task_is_told_by_its_share_the_difference_to_mha_and_the_updates_to_a_level():
    records = [
        *recall([1.0, 0.98, 0.99, 1.0, 0.98], attention="mha"),
        *recall([0.96, 0.2, 0.97, 0.9, 0.4], **mla(16)),
        *recall([0.6, 0.5, 0.4, 0.55, 0.45], match="params", **mla(16)),
    ]
    mha, narrow, matched = table_of(section_of(quality, *records), "recall: by variant")
    # Evaluated after 0, 200 and 400 updates; half way it lies in the middle of start and end.
    assert (mha["Updates to 95 %"], mha["Arrived"], mha["Less MHA (points)"]) == ("400", "5 of 5", "–")
    assert (narrow["Updates to 95 %"], narrow["Arrived"], narrow["In words"]) == ("–", "2 of 5", OPEN)
    # No matching changes MHA, so that of match=heads stands for it.
    assert (matched["Study"], matched["Less MHA (points)"].split()[0]) == ("recall · match=params", "-49.0")
    assert matched["In words"] == "lower"


def test_where_all_is_answered_it_still_tells_who_learnt_it_later():
    mha = recall([1.0] * 5, attention="mha", start=0.95)
    late = recall([1.0] * 5, start=0.9, **mla(16))
    later = recall([1.0] * 5, start=0.0, **mla(8))
    never = recall([1.0, 1.0, 0.5, 1.0, 1.0], start=0.0, **mla(4))
    found = table_of(section_of(quality, *mha, *late, *later, *never), "recall: by variant")
    # Evaluated after 0, 200 and 400 updates.
    assert [row["Later than MHA (updates)"].split()[0] for row in found] == ["–", "+200", "+400", "–"]
    assert found[1]["In words"] == "both answer 99 % or more"


def test_two_hops_are_told_by_the_questions_that_take_two_and_one_hop_stands_beside():
    records = [
        quality_record(0.6, task="two_hop", seed=seed, kinds={"one hop": 0.9, "two hops": two}, **said)
        for said, shares in (({"attention": "mha"}, (0.5, 0.52)), (mla(16), (0.3, 0.33)))
        for seed, two in enumerate(shares)
    ]
    section = section_of(quality, *records)
    mha, narrow = table_of(section, "two_hop: by variant")
    assert (mha["Answered"].split(" (")[0], narrow["Less MHA (points)"].split()[0]) == ("51 %", "-19.5")
    by_kind = table_of(section, "two_hop: by kind of question")
    assert [row["one hop"].split(" (")[0] for row in by_kind] == ["90 %", "90 %"]


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
    _, better, worse = table_of(section_of(quality, *records), "plays: by variant")
    assert (worse["Variant"], worse["In words"]) == ("MLA rank 16", "worse (higher loss)")
    # 0.2, 0.21, 0.21, 0.2, 0.21: a standard error of 0.00548 / √5, and t(4, 97.5 %) = 2.776.
    assert worse["Less MHA (nats)"] == "+0.206 (+0.199 to +0.213)"
    assert (better["In words"], better["Less MHA (nats)"].split()[0]) == ("better (lower loss)", "-0.194")


def test_the_front_holds_what_no_other_beats_in_both():
    records = [
        quality_record(0.9, task="recall", attention="mha"),
        quality_record(0.9, task="recall", **mla(32)),
        quality_record(0.5, task="recall", **mla(8)),
        quality_record(0.4, task="recall", **mqa(12)),
    ]
    (one,) = tasks_of(in_memory(*records))
    assert [of.arm.latent_rank for of in front_of(standings(one))] == [8, 32]


def test_of_a_loss_the_front_has_the_lowest():
    records = [
        quality_record(0.5, task="plays", attention="mha", loss=1.5),
        quality_record(0.5, task="plays", loss=1.6, **mla(16)),
        quality_record(0.5, task="plays", loss=1.7, **mla(32)),
    ]
    (one,) = tasks_of(in_memory(*records))
    assert [of.arm.attention for of in front_of(standings(one))] == ["mla", "mha"]


def test_larger_marks_take_longer_by_cpu_time():
    records = [
        quality_record(0.9, task="recall", attention="mha", decode_s=4e-3),
        quality_record(0.5, task="recall", decode_s=1e-3, **mla(8)),
    ]
    section = section_of(quality, *records)
    (figure,) = [one for one in section.figures if one.title == "Quality against cache"]
    traces = {trace["name"]: trace for trace in figure.views[0].figure["data"]}
    assert traces["MHA"]["marker"]["size"][0] > 2 * traces["MLA rank 8"]["marker"]["size"][0]
    assert "a token takes 4.00 ms" in traces["MHA"]["hovertext"][0]


def test_a_setting_of_a_task_with_several_values_is_a_line_a_variant():
    records = [
        quality_record(final, task="recall", seed=seed, extras={"task.pairs": pairs})
        for pairs, final in ((16, 0.4), (4, 0.9), (8, 0.8))
        for seed in (0, 1)
    ]
    (figure,) = [one for one in section_of(quality, *records).figures if one.title == "recall · pairs"]
    (line,) = figure.views[0].figure["data"]
    assert (line["x"], line["y"]) == ([4, 8, 16], [0.9, 0.8, 0.4])


def test_mla_without_rope_and_without_its_norm_stands_beside_itself():
    records = [
        *recall([0.9, 0.91, 0.9, 0.9, 0.91], **mla(16)),
        *recall([0.7, 0.8, 0.75, 0.72, 0.6], **mla(16, **{"attention.qk_rope_head_dim": 0})),
        *recall([0.95, 0.85, 0.9, 0.95, 0.86], **mla(16, **{"attention.latent_norm": False})),
        *recall([0.1] * 5, **mla(8)),
    ]
    found = table_of(section_of(quality, *records), "MLA without RoPE")
    told = {row["Without"]: row for row in found}
    assert (told["RoPE"]["Difference (points)"].split()[0], told["RoPE"]["In words"]) == ("-19.0", "lower")
    # -20, -11, -15, -18, -31: t is 5.65 and p 0.0048 alone, of two contrasts twice.
    assert told["RoPE"]["p (t, Holm)"] == "0.010"
    assert told["RoPE"]["Cache (B / token)"] == "64 / 96"
    assert told["norm"]["In words"] == OPEN


def test_by_width_by_cache_and_by_parameters_are_three_questions():
    section = section_of(quality, *study(3), *recall([0.7] * 3, **mqa(12, **{"task.pairs": 4})))
    (figure,) = [one for one in section.figures if one.title.startswith("Task by task")]
    assert [view.title for view in figure.views] == ["By width", "By cache", "By parameters"]
    by_cache = {trace["name"]: trace["x"] for trace in figure.views[1].figure["data"]}
    assert by_cache == {"MLA rank 16": [pytest.approx(-19.3, abs=0.05)]}


def test_what_small_models_show_is_said_with_their_sizes():
    said = section_of(quality, *tiers(0.2, seeds=3), quality_record(task="recall", updates=800)).explanation
    assert "4 runs, decoders of 50,000 parameters, each trained on 230,400 to 460,800 questions" in said


def test_the_headlines_say_what_is_kept_and_how_tasks_end():
    first, second = headlines(in_memory(*study(5)), EN)
    assert "(400 updates, 5 seeds): MLA rank 16 100 % / 100 % / 20 %; MHA 100 % / 100 % / 100 %." in first
    assert "answers of the rarest 98 % (asked evenly); 60 % (asked unevenly: 85 / 12 / 3, 4 × the updates)." in first
    assert "MQA with heads of 12 with as many cache bytes answers 35 % of the rarest" in first
    assert first.endswith("MLA rank 16 against it: lower.")
    assert second.startswith(
        "Small decoders at equal width, MLA of every rank against MHA on recall, plays, 3 contests"
    )
    assert second.endswith("3 contests: lower in 3.")


def test_a_table_of_many_asks_more_of_each_and_all_places_say_the_same():
    # 10 to 50 points lower: p is 0.0132 alone, and five times as much among five.
    mha, narrow = recall([0.9] * 5, attention="mha"), recall([0.8, 0.7, 0.6, 0.5, 0.4], **mla(16))
    others = [one for rank in (4, 8, 24, 32) for one in recall([0.95, 0.85, 0.9, 0.95, 0.86], **mla(rank))]
    for records, p, outcome, said, count in (
        ([*mha, *narrow], "0.013", "lower", "lower", 1),
        ([*mha, *narrow, *others], "0.066", OPEN, "not told apart", 5),
    ):
        section = section_of(quality, *records)
        (row,) = [row for row in table_of(section, "recall: by variant") if row["Variant"] == "MLA rank 16"]
        assert (row["In words"], row["p (t, Holm)"], row["p (flips)"]) == (outcome, p, "0.062")
        (figure,) = [one for one in section.figures if one.title.startswith("Task by task")]
        (trace,) = [one for one in figure.views[0].figure["data"] if one["name"] == "MLA rank 16"]
        assert trace["hovertext"][0].endswith(f", {outcome}")
        assert (
            f"of {count}: {said} in {count}" in table_of(section, "What the article claims")[0]["What the records say"]
        )
        assert headlines(in_memory(*records), EN)[-1].endswith(f"{count} contests: {said} in {count}.")


def thirds(finals, cached=None, **said):
    """Seeds that answer the first two tiers, and these shares of the third."""
    return [
        quality_record((1.0, 1.0, third), seed=seed, cached=(1.0, 1.0, cached[seed]) if cached else None, **said)
        for seed, third in enumerate(finals)
    ]


def test_all_that_an_experiment_compares_is_judged_together():
    often, seldom, wide = (0.9, 0.8, 0.95, 0.7, 0.85), (0.2, 0.3, 0.25, 0.4, 0.1), (0.5, 0.3, 0.45, 0.35, 0.6)
    records = [
        *thirds(seldom, wide, **mla(16)),
        *thirds(wide, often, **mla(24)),
        *thirds(often, **mqa(12)),
        *thirds((0.6, 0.7, 0.4, 0.5, 0.9), **mqa(16)),
        *thirds(wide, **asked("evenly", **mla(16))),
        *thirds(often, **asked("swapped", **mla(16))),
    ]
    (family,) = families(in_memory(*records))
    for found in (
        [one.found for _, one in against_pairs(family.main, kinds=TIERS)],
        [one.found for one in form_contests(family).values()],
        # What is answered is not asked of the cache.
        [one for (_, tier), one in found_in_cache(family).items() if tier == TIERS[-1]],
        gradings_of(family.main).values(),
    ):
        tested = [one for one in found if one.is_tested]
        assert len(tested) > 1
        assert [one.adjusted_p for one in tested] == holm([one.p for one in tested]) != [one.p for one in tested]


def test_the_rule_is_said_once_a_section():
    for module in SECTIONS:
        notes = [table.note for table in section_of(module, *study()).tables]
        assert sum("after Holm’s correction" in note for note in notes) == 1
        assert sum("p (flips) counts all sign flips" in note for note in notes) == 1


def test_several_results_stand_side_by_side_and_are_never_pooled():
    results = in_memory(before=tiers(0.2, **mla(16)), after=tiers(0.9, **mla(16)))
    assert [len(family.main.arms[0].runs) for family in families(results)] == [5, 5]
    section = quality_tiers.build(results, EN)
    assert [figure.title for figure in section.figures if figure.title.startswith("Accuracy by tier")] == [
        "Accuracy by tier against cache bytes · tiers · after",
        "Accuracy by tier against cache bytes · tiers · before",
    ]
    assert [sentence.split(":")[0] for sentence in headlines(results, EN)] == ["after", "before"]


def test_every_record_can_be_missing():
    every = study()
    for left in [every[:1], every[2:4], every[6:8], every[10:12], every[-2:], every[::7]]:
        results = in_memory(*left)
        for module in SECTIONS:
            module.build(results, EN)
        headlines(results, EN)


def test_metrics_can_be_missing_or_senseless():
    record = quality_record((1.0, 1.0, 0.2), cached=(1.0, 1.0, 0.2), falls=ALL_HEADS_ALIKE)
    only = [replace(record, readings=[one for one in record.readings if one.metric == "answered"])]
    wild = [
        replace(one, value=value)
        for one in record.readings
        for value in (float("nan"), float("inf"), -1.0, 1e300)
        if one.step
    ]
    only.append(replace(quality_record(seed=1), readings=[*record.readings, *wild]))
    only.append(replace(quality_record(seed=2), readings=[Reading(step=1 << 40, span="x", metric="y", value=1)]))
    for left in only:
        results = in_memory(left)
        for module in SECTIONS:
            module.build(results, EN)


@pytest.mark.parametrize("lang", languages("report"))
def test_every_figure_is_one_that_plotly_accepts(lang):
    words, results = load_words(lang), in_memory(*study())
    figures = [view.figure for module in SECTIONS for one in module.build(results, words).figures for view in one.views]
    assert len(figures) > 12
    for figure in figures:
        plotly.graph_objects.Figure(figure)


def test_hostile_text_stays_text(tmp_path):
    evil = quality_record((1.0, 1.0, 0.2), attention=EVIL, geometry=EVIL, extras={"attention.x": EVIL, "task.y": EVIL})
    other = quality_record(0.5, task=EVIL, extras={"task.y": EVIL}, settings={"attention": EVIL, "geometry": [EVIL]})
    spans = [Reading(step=1, span=f"evaluate/{EVIL}", metric="answered", value=0.5)]
    page = page_of(tmp_path, replace(evil, readings=[*evil.readings, *spans]), other, *study())
    elements = parsed(page)
    assert 'id="quality_tiers"' in page
    assert "b" not in elements.tags
    figures = [data for data in elements.data if "data" in data]
    ours = {"%{hovertext}<extra>%{fullData.name}</extra>", "%{y}: %{text}<extra>%{fullData.name}</extra>"}
    for text in set(texts(figures)) - ours:
        assert not re.search(r"[<>$]|%\{", text)


def test_a_foreign_axis_or_seed_breaks_nothing():
    odd = replace(quality_record(), case=Case(workload="quality", axes={"task": None, "seed": "x"}, extras={}))
    assert section_of(quality, odd, quality_record(seed=10**400)) is not None


def test_a_quoted_table_names_its_source_and_has_a_value_for_each_column():
    section = section_of(quality, quality_record())
    quoted = [table for table in section.tables if table.title.startswith("Quoted: ")]
    assert len(quoted) == len(choices("published_quality")) >= 5
    assert all("Quoted, not measured here" in table.note for table in quoted)
    for name in choices("published_quality"):
        said = read_choice("published_quality", name)
        assert said["source"]
        assert all(len(values) == len(said["columns"]) for values in said["rows"].values())
