"""What the page says of recipes, of thought and of rewards, from runs whose numbers can be added up by hand."""

import re
from dataclasses import replace

import plotly.graph_objects

from suite.configuration import languages
from suite.records.record import Reading
from suite.report import rl_thoughts
from suite.report.findings import headlines
from suite.report.rl_runs import comparisons
from suite.report.sections import rl_evolution, rl_feedback, rl_stages
from suite.report.words import load_words
from suite.statistics.holm import holm
from tests.report.reading import results_of, rows_of
from tests.report.test_hostile import EVIL, texts
from tests.report.test_rl_sections import run

EN = load_words("en")
SECTIONS = (rl_stages, rl_evolution, rl_feedback)
OPEN = "not told apart (5 pairs)"


def named(record, *, stages=None, teacher=None, started_at="", **extras):
    """The record with settings that somebody named, and the facts of its recipe."""
    facts = {name: said for name, said in {"stages": stages, "teacher": teacher}.items() if said is not None}
    case = replace(record.case, extras={**record.case.extras, **extras})
    return replace(record, case=case, provenance={**record.provenance, **facts, "started_at": started_at})


def staged(recipe, accuracies, *kinds, seed=0, teacher=None, more=None, **axes):
    """A run with as many steps in each of its stages."""
    each = (len(accuracies) - 1) // len(kinds)
    stages = [{"kind": kind, "steps": each} for kind in kinds]
    return named(run(accuracies, seed=seed, more=more, **axes), stages=stages, teacher=teacher, recipe=recipe)


def recipes(seeds=2, **axes):
    """Three recipes with two seeds each, or more that are like these in turn, and what they are held against."""
    return [
        record
        for seed in range(seeds)
        for record in (
            staged("r1_zero", [0.0, 0.1, 0.2, 0.3, 0.4 + 0.1 * (seed % 2)], "rl", seed=seed, **axes),
            staged("r1", [0.0, 0.1, 0.3 + 0.2 * (seed % 2), 0.6, 0.9], "sft", "rl", seed=seed, **axes),
            staged(
                "sft", [0.0, 0.1, 0.1, 0.1, 0.2 - 0.2 * (seed % 2)], "sft", seed=seed, more={"examples": 10}, **axes
            ),
        )
    ]


def thinking(lengths, accuracies, corrections=None, sampled=3.0, **more):
    """A run whose held-out thoughts have these lengths."""
    record = run(accuracies, more={"thought_length": sampled, "corrections": 0.25}, **more)
    held = {"heldout_thought_length": lengths, "heldout_corrections": corrections or [0.0] * len(lengths)}
    readings = [
        Reading(step=step, span="evaluate", metric=metric, value=value)
        for metric, values in held.items()
        for step, value in enumerate(values)
    ]
    return replace(record, readings=[*record.readings, *readings])


def fed(setting, value, finals, **axes):
    return [named(run([0.1, 0.2, final], seed=seed, **axes), **{setting: value}) for seed, final in enumerate(finals)]


def section_of(module, tmp_path, *records, words=EN):
    return module.build(results_of(tmp_path, *records), words)


def test_without_recipes_thoughts_or_two_rewards_there_are_no_such_sections(tmp_path):
    results = results_of(tmp_path, run([0.1, 0.2]), named(run([0.1, 0.2], seed=2), recipe="r1_zero"))
    assert [module.build(results, EN) for module in SECTIONS] == [None] * 3


def test_each_stage_is_told_by_what_it_added_to_each_seed(tmp_path):
    section = section_of(rl_stages, tmp_path, *recipes(5))
    sft, zero, first, second = rows_of(section.tables[0])
    assert [row["Recipe"] for row in (sft, zero, first, second)] == ["SFT", "R1-Zero", "R1", "R1"]
    assert (first["Stage"], second["Stage"], zero["Stage"]) == ("1 of 2: SFT", "2 of 2: RL", "1 of 1: RL")
    # 30, 50, 30, 50, 30: the standard error is 10.95 / √5 = 4.90, and t(4, 97.5 %) = 2.776.
    assert (second["Before"], second["After"]) == ("38 % (24–52 %)", "90 % (90–90 %)")
    assert (second["Added (points)"], second["In words"]) == ("+52.0 (+38.4 to +65.6)", "higher")
    # t is 7.76 and p 0.0015, the third of four.
    assert (first["In words"], first["p (t, Holm)"]) == ("higher", "0.003")
    # Two seeds end where they began.
    assert (sft["Added (points)"], sft["In words"]) == ("+12.0 (-1.6 to +25.6)", OPEN)
    # A step takes one CPU second and ten completions in one update; a stage of R1 has two of them.
    spent = ("Steps", "CPU seconds", "Completions", "Updates", "Examples")
    assert [[row[name] for name in spent] for row in (first, second)] == [["2", "2.00 s", "20", "2", "–"]] * 2
    assert sft["Examples"] == "40"


def test_recipes_are_held_against_r1_zero_after_as_many_steps_and_a_task_that_does_not_learn_stays(tmp_path):
    barren = [
        staged(recipe, [0.0] * 5, *kinds, seed=seed, task="addition")
        for recipe, kinds in {"r1": ("sft", "rl"), "r1_zero": ("rl",)}.items()
        for seed in range(5)
    ]
    results = results_of(tmp_path, *recipes(5), *barren)
    section = rl_stages.build(results, EN)
    contests = next(table for table in section.tables if table.title == "Recipes against R1-Zero")
    at_steps = [row for row in rows_of(contests) if row["Held equal"].startswith("Training steps")]
    assert [(row["Group"].split(" · ")[0], row["Arm"], row["In words"]) for row in at_steps] == [
        ("sort", "SFT", "lower"),
        ("sort", "R1", "higher"),
        ("addition", "R1", "neither learnt it"),
    ]
    # 50, 40, 50, 40, 50: the standard error is 5.48 / √5 = 2.45.
    assert (at_steps[1]["Difference (points)"], at_steps[1]["P(arm > ref.)"]) == ("+46.0 (+39.2 to +52.8)", "1.00")
    assert [view.title for view in section.figures[-1].views] == [
        "sort · small · MHA · GRPO",
        "addition · small · MHA · GRPO",
    ]
    said = "sort · small · MHA · GRPO: after as many steps, against R1-Zero: R1 higher; SFT lower."
    assert said in headlines(results, EN)


def test_marks_stand_where_stages_end_and_name_them_where_there_are_several(tmp_path):
    figure = section_of(rl_stages, tmp_path, *recipes()).figures[0]
    assert [view.title for view in figure.views] == ["Training steps", "CPU seconds"]
    marks = {trace["name"]: trace for trace in figure.views[0].figure["data"] if trace["mode"] == "markers+text"}
    assert (marks["R1"]["x"], marks["R1"]["y"], marks["R1"]["text"]) == ([0, 2, 4], [0, 0.4, 0.9], ["", "SFT", "RL"])
    assert (marks["R1-Zero"]["x"], marks["R1-Zero"]["text"]) == ([0, 4], ["", ""])
    # Two seeds 10 points apart: Student's t makes 12.7 standard errors of it, cut at 100 %.
    assert marks["R1-Zero"]["error_y"]["array"] == [0, 0.55]


def test_distillation_stands_beside_rl_on_the_same_small_model_and_its_teacher_in_a_column(tmp_path):
    teacher = {"process_cpu_s": 40.0, "heldout_accuracy": 0.9}
    records = [
        staged(
            "distill", [0.0, 0.3, 0.6], "distill", seed=seed, policy="tiny", teacher=teacher, more={"completions": 0}
        )
        for seed in (0, 1)
    ]
    records += [staged("r1_zero", [0.0, 0.1, 0.2], "rl", seed=seed, policy="tiny") for seed in (0, 1)]
    section = section_of(rl_stages, tmp_path, *records)
    zero, distilled = rows_of(section.tables[0])
    assert (distilled["Recipe"], distilled["Stage"], distilled["Teacher, CPU"]) == (
        "Distilled",
        "1 of 1: distillation",
        "40.0 s",
    )
    assert zero["Teacher, CPU"] == "–"
    assert rows_of(section.tables[1])[0]["Difference (points)"] == "+40.0 (+40.0 to +40.0)"


def test_the_published_stages_are_folded_and_name_their_source(tmp_path):
    published = [
        table for table in section_of(rl_stages, tmp_path, *recipes()).tables if table.title.startswith("Published")
    ]
    assert all(table.folded for table in published)
    of_stages = next(table for table in published if "table 2" in table.note)
    assert of_stages.note.startswith("Nature 645:633 (2025)")
    assert list(rows_of(of_stages)[0].values()) == ["AIME 2024", "77.9", "59.0", "74.0", "78.1", "79.8"]


def test_recipes_and_majority_votes_are_no_arms_among_algorithms_and_a_default_named_is_none(tmp_path):
    plain = run([0.1, 0.2, 0.3])
    records = [
        named(plain, started_at="2026-01-01"),
        named(run([0.1, 0.2, 0.6]), recipe="r1_zero", reward_from="key", started_at="2026-01-02"),
        named(run([0.1, 0.2, 0.9]), recipe="r1"),
        named(run([0.1, 0.2, 0.9]), reward_from="majority"),
    ]
    assert comparisons(results_of(tmp_path / "alone", *records)) == []
    (one,) = comparisons(results_of(tmp_path / "beside", *records, run([0.1, 0.2, 0.4], algorithm="ppo")))
    assert [(arm.name, arm.mean_final, len(arm.runs)) for arm in one.arms] == [("PPO", 0.4, 1), ("GRPO", 0.6, 1)]


def test_r1_zero_with_another_question_stays_out_of_the_recipes(tmp_path):
    records = [
        *recipes(),
        *(named(run([0.1] * 5, seed=seed), supervision="process") for seed in (0, 1)),
        *(named(staged("r1", [0.1] * 5, "sft", "rl", seed=seed), filtered=False) for seed in (0, 1)),
    ]
    section = section_of(rl_stages, tmp_path, *records)
    assert [trace["name"] for trace in section.figures[0].views[0].figure["data"] if "marker" in trace] == [
        "SFT",
        "R1-Zero",
        "R1",
        "R1 · filtered=false",
    ]


def test_thought_is_told_from_the_first_evaluation_to_the_last(tmp_path):
    records = [thinking([2.0, 3.0, 4.0 + seed % 2], [0.1, 0.3, 0.6], [0.5, 0.5, 0.25], seed=seed) for seed in range(5)]
    results = results_of(tmp_path, *records, run([0.1, 0.2, 0.3], algorithm="ppo"))
    section = rl_evolution.build(results, EN)
    ((arm,),) = rl_thoughts.thinking(results).values()
    changed = rl_thoughts.changes_of([arm]).values()
    assert [one.adjusted_p for one in changed] == holm([one.p for one in changed])
    (row,) = rows_of(section.tables[0])
    assert (row["Thought (tokens)"], row["Corrections"], row["Sampled thought"]) == ("2 → 4.4", "50 % → 25 %", "3 → 3")
    # 2, 3, 2, 3, 2: the standard error is 0.548 / √5 = 0.245.
    assert section.tables[0].rows[0][3:5] == ["+2.40 (+1.72 to +3.08)", "higher"]
    assert section.tables[0].rows[0][6:8] == ["-25.0 (-25.0 to -25.0)", "lower"]
    assert [view.title for view in section.figures[0].views] == [
        "Thought",
        "Corrections",
        "Accuracy",
        "Length by accuracy",
    ]
    said = "held-out thought, last against first evaluation: length: GRPO higher; self-correction: GRPO lower."
    assert f"sort · small · MHA: {said}" in headlines(results, EN)


def test_comparisons_in_which_a_thought_corrects_itself_come_first(tmp_path):
    # The other one has more arms.
    silent = [thinking([2.0, 2.0], [0.1, 0.2], algorithm=name, task="addition") for name in ("grpo", "ppo")]
    silent = [replace(one, readings=[r for r in one.readings if r.metric != "corrections"]) for one in silent]
    section = section_of(rl_evolution, tmp_path, *silent, thinking([2.0, 2.0], [0.1, 0.2], [0.0, 0.5]))
    assert [figure.title for figure in section.figures] == ["sort · small · MHA", "addition · small · MHA"]
    assert ["Corrections" in [view.title for view in figure.views] for figure in section.figures] == [True, False]


def test_few_seeds_are_no_headline_and_beside_others_said_to_be_few(tmp_path):
    few = [one for one in recipes(5) if one.case.axes["seed"] == 0 or one.case.extras["recipe"] != "r1"]
    (said,) = headlines(results_of(tmp_path / "beside", *few), EN)
    assert said.endswith("against R1-Zero: SFT lower; R1 (few seeds).")
    assert headlines(results_of(tmp_path / "alone", *recipes(2)), EN) == []


def test_thought_at_equal_accuracy_is_that_of_the_evaluation_that_first_reaches_it(tmp_path):
    records = [
        thinking(lengths, accuracies, algorithm=algorithm, seed=seed)
        for algorithm, lengths, accuracies in (
            ("grpo", [2.0, 6.0, 8.0], [0.1, 0.3, 0.6]),
            ("grpo_token_mean", [2.0, 4.0, 9.0], [0.1, 0.55, 0.4]),
        )
        for seed in range(5)
    ]
    section = section_of(rl_evolution, tmp_path, *records)
    quarter, of_token_mean, half, late = rows_of(section.tables[1])
    assert section.tables[1].title.endswith("against GRPO")
    assert (quarter["Thought there (tokens)"], quarter["Less reference"]) == ("6 (6 to 6)", "–")
    assert (of_token_mean["Thought there (tokens)"], of_token_mean["Less reference"]) == (
        "4 (4 to 4)",
        "-2.00 (-2.00 to -2.00)",
    )
    # The level counts as reached however long it is held.
    assert (half["Arrived"], late["Thought there (tokens)"], late["In words"]) == ("5 of 5", "4 (4 to 4)", "lower")


def test_what_a_reward_is_of_is_held_against_the_other_with_all_else_the_same(tmp_path):
    records = [
        *fed("supervision", "outcome", (0.6, 0.5, 0.6, 0.5, 0.6)),
        *fed("supervision", "process", (0.8, 0.7, 0.8, 0.7, 0.8)),
        *fed("reward_from", "majority", (0.5, 0.6, 0.5, 0.6, 0.55), task="addition"),
        *(run([0.1, 0.2, final], seed=seed, task="addition") for seed, final in enumerate((0.6, 0.5, 0.6, 0.5, 0.55))),
        *fed("reward_from", "majority", (0.5, 0.6), task="alone"),
    ]
    results = results_of(tmp_path, *records)
    section = rl_feedback.build(results, EN)
    assert "every token of a completion gets the same advantage" in section.explanation
    assert "GRPO compares samples of one policy" in section.explanation
    process, majority = (rows_of(table) for table in section.tables)
    assert {row["Arm"] for row in process} == {"supervision=process"}
    assert (process[0]["Held equal"], process[0]["Difference (points)"]) == (
        "Completions: 20",
        "+20.0 (+20.0 to +20.0)",
    )
    assert [row["Group"].split(" · ")[0] for row in majority] == ["addition", "addition"]
    assert majority[0]["In words"] == OPEN
    paid = "process against outcome supervision: sort · small · MHA · GRPO higher"
    voted = "majority vote against the key: addition · small · MHA · GRPO not told apart"
    assert f"At equal completions: {paid}; {voted}." in headlines(results, EN)


def test_what_belongs_to_one_value_keeps_no_arm_from_the_reference(tmp_path):
    records = [run([0.1, 0.2, 0.5], seed=0), run([0.1, 0.2, 0.6], seed=1)]
    for is_step in (False, True):
        process = [run([0.1, 0.2, 0.8], seed=seed) for seed in (0, 1)]
        records += [named(one, supervision="process", outcome_as_step=is_step) for one in process]
    (table,) = section_of(rl_feedback, tmp_path, *records).tables
    arms = [row["Arm"] for row in rows_of(table)]
    assert {"supervision=process", "supervision=process · outcome_as_step=true"} == set(arms)


ODD_STAGES = (
    "rl",
    [],
    [1],
    [{"kind": "rl"}],
    [{"kind": ["x"], "steps": 2}],
    [{"kind": "rl", "steps": -1}],
    [{"kind": "rl", "steps": 10**400}],
    [{"kind": "rl", "steps": 1}] * 100,
    [{"kind": "rl", "steps": 1}],
    [{"kind": "rl", "steps": 50}],
)


def test_odd_records_of_recipes_break_nothing(tmp_path):
    records = [
        *(
            named(run([0.1, 0.2, 0.3], seed=seed), stages=stages, teacher=stages, recipe="r1", reward_from="majority")
            for seed, stages in enumerate(ODD_STAGES)
        ),
        named(run([0.1, 0.2, 0.3], seed="odd"), recipe=3, supervision=[1], reward_from=None),
        named(run([0.1]), recipe="base", stages=[], teacher={"process_cpu_s": "long"}),
        named(run([0.1, float("nan"), 7.0], cpu_s=(float("nan"), -1.0, 0.0)), recipe="sft"),
        thinking([float("nan"), -3.0, 1e300], [0.1, 0.5, 0.9], [2.0, -1.0, float("inf")], sampled=-1.0, seed=5),
        thinking([1.0], [0.9], seed=6),
    ]
    results = results_of(tmp_path, *records)
    assert headlines(results, EN) is not None
    for words in map(load_words, languages("report")):
        for section in filter(None, (module.build(results, words) for module in SECTIONS)):
            for view in (view for figure in section.figures for view in figure.views):
                plotly.graph_objects.Figure(view.figure)


def test_hostile_names_of_recipes_are_shown_as_text(tmp_path):
    names = dict.fromkeys(("algorithm", "task", "policy", "attention"), EVIL)
    records = [
        named(thinking([1.0, 2.0, 3.0], [0.1, 0.3, 0.6], seed=seed, **names), **extras, stages=stages)
        for seed in (0, 1)
        for extras, stages in (
            ({"recipe": EVIL, EVIL: EVIL}, [{"kind": EVIL, "steps": 1}, {"kind": EVIL, "steps": 1}]),
            ({"supervision": EVIL}, None),
            ({"reward_from": EVIL}, None),
            ({}, None),
        )
    ]
    results = results_of(tmp_path, *records)
    found = [section for module in SECTIONS if (section := module.build(results, EN))]
    assert len(found) == len(SECTIONS)
    drawn = [view.figure for section in found for figure in section.figures for view in figure.views]
    for text in set(texts(drawn)) - {"%{hovertext}<extra>%{fullData.name}</extra>"}:
        assert not re.search(r"[<>$]|%\{", text)
