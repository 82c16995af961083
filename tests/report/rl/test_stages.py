"""What stages add."""

import pytest

from suite.report.rl import stages
from tests.report.reading import rows_of
from tests.report.rl.runs import (
    SORTED_ALREADY,
    named,
    noting_what_guessing_scores,
    of_older_settings,
    recipes,
    run,
    section_of,
    staged,
    titled,
)

AGAINST, BY_STAGE = "Recipes compared with the reference", "Accuracy and effort, stage by stage"


def at_equal_steps(table):
    return [row for row in rows_of(table) if row["Equal budget"].startswith("Training steps")]


def test_each_stage_is_told_by_what_it_added_to_each_seed():
    sft, zero, first, second = titled(section_of(stages, *recipes(5)), BY_STAGE)
    assert [row["Recipe"] for row in (sft, zero, first, second)] == ["SFT", "R1-Zero", "R1", "R1"]
    assert (first["Stage"], second["Stage"], zero["Stage"]) == ("stage 1 of 2: SFT", "stage 2 of 2: RL", "RL")
    # 30, 50, 30, 50, 30: the standard error is 10.95 / √5 = 4.90. The first of four by p, so a quarter of 5% lies
    # outside the interval: t(4, 99.375%) = 3.961.
    assert (second["Before"], second["After"]) == ("38% (24–52)", "90% (90–90)")
    assert (second["Added (points)"], second["Verdict"]) == ("+52.0 (+32.6 to +71.4)", "higher")
    # t is 7.76 and p 0.0015, the third of four.
    assert (first["Verdict"], first["p (t, Holm)"]) == ("higher", "0.003")
    # Two seeds end where they began.
    assert (sft["Added (points)"], sft["Verdict"]) == ("+12.0 (-1.6 to +25.6)", "no clear difference (5 pairs)")
    # A step takes one CPU second and ten completions in one update; a stage of R1 has two of them.
    spent = ("Steps", "CPU seconds", "Completions", "Updates", "Examples")
    assert [[row[name] for name in spent] for row in (first, second)] == [["2", "2.00 s", "20", "2", "–"]] * 2
    assert sft["Examples"] == "40"


def test_recipes_are_compared_with_r1_zero_at_equal_steps():
    barren = [
        staged(recipe, [0.0] * 5, *kinds, seed=seed, task="addition")
        for recipe, kinds in {"r1": ("sft", "rl"), "r1_zero": ("rl",)}.items()
        for seed in range(5)
    ]
    section = section_of(stages, *recipes(5), *barren)
    sort, addition = (at_equal_steps(table) for table in section.tables if table.title == AGAINST)
    assert [(row["Arm"], row["Verdict"]) for row in sort] == [("SFT", "lower"), ("R1", "higher")]
    assert [(row["Arm"], row["Verdict"]) for row in addition] == [("R1", "neither side beats guessing (0%)")]
    # 50, 40, 50, 40, 50: the standard error is 5.48 / √5 = 2.45. The second of four by p: t(4, 99.17%) = 3.961.
    assert sort[1]["Difference (points)"].startswith("+46.0 (")


COPIES = [SORTED_ALREADY] * 4 + [0.09]


@pytest.mark.parametrize("noting", [noting_what_guessing_scores, of_older_settings])
def test_a_policy_that_copies_its_prompt_has_learnt_nothing(noting):
    ends = {("r1_zero", "rl"): COPIES, ("sft", "sft"): [0.0] * 5, ("r1", "rl"): [0.12] * 5}
    section = section_of(
        stages,
        *(
            noting(staged(recipe, [0.0, end, end], kind, seed=seed))
            for (recipe, kind), of_seeds in ends.items()
            for seed, end in enumerate(of_seeds)
        ),
    )
    by_recipe = {row["Recipe"]: row for row in titled(section, BY_STAGE)}
    assert by_recipe["R1-Zero"]["Verdict"] == by_recipe["SFT"]["Verdict"] == "neither side beats guessing (7.4%)"
    assert (by_recipe["R1-Zero"]["Guessing"], by_recipe["R1-Zero"]["p (t, Holm)"]) == ("7.4%", "–")
    assert by_recipe["R1"]["Verdict"] == "higher"
    against = {row["Arm"]: row["Verdict"] for row in titled(section, AGAINST)}
    assert against == {"SFT": "neither side beats guessing (7.4%)", "R1": "higher"}
    (line,) = section.figures[0].views[0].figure["layout"]["shapes"]
    assert line["y0"] == line["y1"] == SORTED_ALREADY


def test_of_other_held_out_prompts_no_guess_is_known():
    records = [staged("r1", [0.0, end, end], "rl", seed=seed) for seed, end in enumerate(COPIES)]
    section = section_of(stages, *(of_older_settings(record, eval_prompts=64) for record in records))
    (row,) = titled(section, BY_STAGE)
    assert row["Verdict"] == "higher"
    assert "Guessing" not in row


def test_distillation_stands_beside_rl_and_names_its_teacher():
    distilled = {"policy": "tiny", "teacher": {"process_cpu_s": 40.0}, "more": {"completions": 0}}
    records = [staged("distill", [0.0, 0.3, 0.6], "distill", seed=seed, **distilled) for seed in (0, 1)]
    records += [staged("r1_zero", [0.0, 0.1, 0.2], "rl", seed=seed, policy="tiny") for seed in (0, 1)]
    section = section_of(stages, *records)
    assert [(row["Recipe"], row["Stage"], row["Teacher’s CPU time"]) for row in titled(section, BY_STAGE)] == [
        ("R1-Zero", "RL", "–"),
        ("Distilled", "distillation", "40.0 s"),
    ]
    assert titled(section, AGAINST)[0]["Difference (points)"] == "+40.0 (+40.0 to +40.0)"


def test_published_stages_are_folded_and_name_their_source():
    published = [table for table in section_of(stages, *recipes()).tables if table.title.startswith("Published")]
    assert all(table.folded for table in published)
    second = next(table for table in published if "table 2" in table.note)
    assert second.note.startswith("Nature 645:633 (2025)")
    assert list(rows_of(second)[0].values()) == ["AIME 2024", "77.9", "59.0", "74.0", "78.1", "79.8"]


def test_r1_zero_with_another_question_stays_out_of_the_recipes():
    figure = section_of(
        stages,
        *recipes(),
        *(named(run([0.1] * 5, seed=seed), supervision="process") for seed in (0, 1)),
        *(named(staged("r1", [0.1] * 5, "sft", "rl", seed=seed), filtered=False) for seed in (0, 1)),
    ).figures[0]
    lines = [trace["name"] for trace in figure.views[0].figure["data"] if "fill" not in trace]
    assert lines == ["SFT", "R1-Zero", "R1", "R1 · not filtered"]


def test_parts_of_r1_stand_beside_r1_with_what_they_preferred():
    finals = {"r1": 0.9, "r1_unfiltered": 0.5, "r1_preference": 0.8, "r1_zero": 0.4}
    kinds = {"r1": ("sft", "own"), "r1_unfiltered": ("sft", "own_unfiltered"), "r1_preference": ("sft", "preference")}
    pairs = {"r1_preference": {"pairs_kept": 3, "preference_accuracy": 0.75}}
    records = [
        staged(recipe, [0, 0.1, 0.2, 0.3, final], *kinds.get(recipe, ("rl",)), seed=seed, more=pairs.get(recipe, {}))
        for recipe, final in finals.items()
        for seed in range(5)
    ]
    section = section_of(stages, *records)
    by_stage = {(row["Recipe"], row["Stage"]): row for row in titled(section, BY_STAGE)}
    preference = by_stage["R1 preference", "stage 2 of 2: preferences"]
    assert (preference["Pairs kept"], preference["Preference accuracy"]) == ("6", "75%")
    assert by_stage["R1 unfiltered", "stage 2 of 2: own completions, unfiltered"]["Preference accuracy"] == "–"
    against = next(table for table in section.tables if table.facets.get("reference") == "R1")
    assert [(row["Arm"], row["Difference (points)"]) for row in at_equal_steps(against)] == [
        ("R1 unfiltered", "-40.0 (-40.0 to -40.0)"),
        ("R1 preference", "-10.0 (-10.0 to -10.0)"),
    ]
