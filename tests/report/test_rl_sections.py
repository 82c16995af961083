"""What the page says of reinforcement learning, from runs whose numbers can be added up by hand."""

import re
from dataclasses import replace

import plotly.graph_objects
import pytest

from suite.configuration import languages, read_yaml
from suite.records.case import Case
from suite.records.record import Reading, Status
from suite.report.command import build_sections
from suite.report.facets import choices
from suite.report.findings import headlines
from suite.report.rl_runs import comparisons
from suite.report.sections import (
    coverage,
    disturbance,
    latency,
    rl_attention,
    rl_conformance,
    rl_cost,
    rl_efficiency,
    rl_stability,
)
from suite.report.words import load_words
from tests.records.factory import build
from tests.report.reading import results_of, results_with_series, rows_of, samples, telemetry
from tests.report.rl_records import only, rl_record, study
from tests.report.test_hostile import EVIL, page_of, parsed, texts

EN = load_words("en")
SECTIONS = (rl_efficiency, rl_cost, rl_stability, rl_attention, rl_conformance)


def run(accuracies, *, cpu_s=(0.25, 0.25, 0.5), each=10, energy_j=None, forms=None, more=None, **axes):
    """Evaluated before each step and after the last; `cpu_s`: of rollout, score and update in each step."""
    steps = len(accuracies) - 1
    axes = {"steps": steps, "prompts_per_step": each // 2, "num_generations": 2} | axes
    readings = [Reading(step=0, span="case", metric="policy_parameter_count", value=1000)]
    for step, accuracy in enumerate(accuracies):
        readings.append(Reading(step=step, span="evaluate", metric="heldout_accuracy", value=accuracy))
        if forms:
            readings.append(Reading(step=step, span="evaluate", metric="heldout_format", value=forms[step]))
        readings.append(timing(step, "evaluate", 0.125))
    for step in range(steps):
        counted = {"completions": each, "sampled_tokens": 5 * each, "updates": 1, **(more or {})}
        counted |= {} if energy_j is None else {"energy_j": energy_j}
        readings += [Reading(step=step, span="step", metric=name, value=value) for name, value in counted.items()]
        readings += [timing(step, span, s) for span, s in zip(("rollout", "score", "update"), cpu_s, strict=True)]
    return replace(bare(**axes), status=Status.OK, readings=readings)


def timing(step, span, cpu_s):
    return Reading(step=step, span=span, metric="latency_s", value=cpu_s, wall_s=2 * cpu_s, process_cpu_s=cpu_s)


def bare(**axes):
    return rl_record(status=Status.FAILED, reason="it broke", **axes)


def failed(**axes):
    return bare(**{"steps": 2, "prompts_per_step": 5, "num_generations": 2} | axes)


def section_of(module, tmp_path, *records):
    return module.build(results_of(tmp_path, *records), EN)


def rows(module, tmp_path, *records, table=0):
    return rows_of(section_of(module, tmp_path, *records).tables[table])


def arms(finals_of, base=0.1, **more):
    """For each algorithm a run of two steps a final accuracy, seeds from 0."""
    return [
        run([base, 0.2, final], algorithm=algorithm, seed=seed, **more.get(algorithm, {}))
        for algorithm, finals in finals_of.items()
        for seed, final in enumerate(finals)
    ]


def test_without_such_records_there_are_no_such_sections(tmp_path):
    results = results_of(tmp_path, build())
    assert [module.build(results, EN) for module in SECTIONS] == [None] * 5


def test_an_evaluation_stands_at_what_the_steps_before_it_had_spent(tmp_path):
    (one,) = comparisons(results_of(tmp_path, run([0.1, 0.3, 0.6, 0.5], energy_j=2.0)))
    (curve,) = one.arms[0].curves
    assert curve.accuracy == [0.1, 0.3, 0.6, 0.5]
    assert curve.spent == {
        "completions": [0, 10, 20, 30],
        "tokens": [0, 50, 100, 150],
        "updates": [0, 1, 2, 3],
        "cpu": [0, 1.0, 2.0, 3.0],
        "wall": [0, 2.0, 4.0, 6.0],
        "joules": [0, 2.0, 4.0, 6.0],
    }


def test_a_budget_with_a_gap_is_none(tmp_path):
    record = run([0.1, 0.3, 0.6])
    readings = [r for r in record.readings if not (r.metric == "sampled_tokens" and r.step == 0)]
    readings = [replace(r, process_cpu_s=None) if r.span == "score" else r for r in readings]
    (one,) = comparisons(results_of(tmp_path, replace(record, readings=readings)))
    assert one.budgets == ["completions", "updates", "wall"]


def test_arms_are_held_against_ppo_by_how_often_and_by_how_much(tmp_path):
    records = arms({"grpo": (0.6, 0.65, 0.7, 0.75, 0.8), "ppo": (0.5, 0.55, 0.6, 0.65, 0.7)})
    first, at_cpu = rows(rl_efficiency, tmp_path, *records)
    # Of 25 pairs GRPO wins 19 and draws three: 19/25 + 3/25/2.
    assert (first["Arm"], first["P(arm > ref.)"]) == ("GRPO", "0.82")
    assert first["Difference (points)"] == "+10.0 (+10.0 to +10.0)"
    assert (first["Accuracy"], first["Reference"], first["Pairs"]) == ("70 %", "60 %", "5")
    assert (first["Held equal"], at_cpu["Held equal"]) == ("Completions: 20", "CPU seconds: 2.00 s")
    assert first["In words"] == "higher"


def test_at_equal_cpu_seconds_the_slower_arm_counts_by_an_earlier_evaluation(tmp_path):
    slow = [run([0.1, 0.4, 0.9], algorithm="ppo", seed=seed, cpu_s=(0.5, 0.5, 1.0)) for seed in range(5)]
    fast = [run([0.1, 0.3, 0.6], algorithm="grpo", seed=seed) for seed in range(5)]
    at_completions, at_cpu = rows(rl_efficiency, tmp_path, *slow, *fast)
    assert at_completions["Difference (points)"].startswith("-30.0")
    # Two CPU seconds are all of GRPO's run and the first step of PPO's.
    assert (at_cpu["Held equal"], at_cpu["Difference (points)"].split()[0]) == ("CPU seconds: 2.00 s", "+20.0")
    assert (at_completions["In words"], at_cpu["In words"]) == ("lower", "higher")


def test_where_the_interval_holds_zero_arms_are_not_told_apart(tmp_path):
    records = arms({"grpo": (0.6, 0.5, 0.7, 0.65, 0.6), "ppo": (0.5, 0.6, 0.7, 0.6, 0.65)})
    results = results_of(tmp_path, *records)
    section = rl_efficiency.build(results, EN)
    assert rows_of(section.tables[0])[0]["In words"] == "not told apart (5 pairs)"
    told = "Arms: 2; seeds of each: 5. At equal completions, against PPO: GRPO not told apart."
    assert told in section.figures[0].caption
    assert headlines(results, EN)[0].startswith(f"sort · small · MHA: {told}")


def test_among_many_arms_more_is_asked_of_each_and_all_places_say_the_same(tmp_path):
    # 10 to 50 points higher: p is 0.0132, at two budgets; of two it is twice, of eight eight times as much.
    ours = {"ppo": (0.1, 0.1, 0.1, 0.1, 0.1), "grpo": (0.2, 0.3, 0.4, 0.5, 0.6)}
    others = dict.fromkeys(("rloo", "dr_grpo", "grpo_token_mean"), (0.15, 0.05, 0.1, 0.15, 0.06))
    for finals, p, outcome, told in (
        (ours, "0.026", "higher", "GRPO higher."),
        (ours | others, "0.106", "not told apart (5 pairs)", "GRPO, GRPO token mean, Dr. GRPO, RLOO not told apart."),
    ):
        results = results_of(tmp_path / str(len(finals)), *arms(finals))
        section = rl_efficiency.build(results, EN)
        (row, at_cpu) = [row for row in rows_of(section.tables[0]) if row["Arm"] == "GRPO"]
        assert (row["In words"], row["p (t, Holm)"], at_cpu["In words"]) == (outcome, p, outcome)
        assert f"At equal completions, against PPO: {told}" in section.figures[0].caption
        assert f"At equal completions, against PPO: {told}" in headlines(results, EN)[0]
        assert [table.note.count("after Holm’s correction") for table in section.tables] == [1, 0]


def test_arms_whose_interval_lies_within_two_points_are_alike(tmp_path):
    # 0, 1, -1, 0, 0 points: a standard error of 0.707 / √5, and t(4, 97.5 %) = 2.776.
    records = arms({"grpo": (0.6, 0.61, 0.7, 0.6, 0.65), "ppo": (0.6, 0.6, 0.71, 0.6, 0.65)})
    row = rows(rl_efficiency, tmp_path, *records)[0]
    assert (row["Difference (points)"], row["In words"]) == ("+0.0 (-0.9 to +0.9)", "alike (within 2 points)")


def test_ppo_on_grouped_prompts_is_the_reference_before_ppo_on_lone_ones(tmp_path):
    lone = [run([0.1, 0.2], algorithm="ppo", seed=seed, prompts_per_step=10, num_generations=1) for seed in (0, 1)]
    grouped = [run([0.1, 0.3], algorithm="ppo", seed=seed) for seed in (0, 1)]
    section = section_of(rl_efficiency, tmp_path, *lone, *grouped)
    assert section.tables[0].title == "sort · small · MHA · against PPO · 5 × 2"
    assert rows_of(section.tables[0])[0]["Arm"] == "PPO · 10 × 1"


def test_a_single_seed_has_no_interval_and_decides_nothing(tmp_path):
    section = section_of(rl_efficiency, tmp_path, *arms({"grpo": (0.6,), "ppo": (0.5,)}))
    row = rows_of(section.tables[0])[0]
    assert (row["P(arm > ref.)"], row["Difference (points)"], row["In words"]) == ("1.00", "+10.0", "few seeds (1)")
    assert "At equal completions" not in section.figures[0].caption
    assert all("fill" not in trace for trace in section.figures[0].views[0].figure["data"])
    assert "single seed" in section.figures[0].caption


def test_arms_without_a_shared_seed_are_not_judged(tmp_path):
    ours = [run([0.1, final], algorithm="grpo", seed=seed) for seed, final in ((5, 0.8), (6, 0.9))]
    theirs = [run([0.1, final], algorithm="ppo", seed=seed) for seed, final in ((0, 0.2), (1, 0.3))]
    row = rows(rl_efficiency, tmp_path, *ours, *theirs)[0]
    assert (row["Pairs"], row["Difference (points)"], row["P(arm > ref.)"]) == ("0", "–", "1.00")
    assert (row["In words"], row["p (t, Holm)"], row["p (flips)"]) == ("–", "–", "–")


def test_a_level_costs_the_median_of_all_seeds_those_that_never_arrived_included(tmp_path):
    curves = ([0.1, 0.5, 0.6], [0.1, 0.2, 0.7], [0.1, 0.1, 0.4])
    half, most = rows(rl_efficiency, tmp_path, *(run(curve, seed=seed) for seed, curve in enumerate(curves)))
    # At 50 %: 10, 20 and never. At 70 %: one of three, so the median never arrives.
    assert (half["Accuracy reached"], half["Arrived"], half["Completions"]) == ("50 %", "2 of 3", "20")
    assert (half["Tokens"], half["CPU seconds"]) == ("100", "2.00 s")
    assert (most["Arrived"], most["Completions"], most["CPU seconds"]) == ("1 of 3", "–", "–")


def test_a_curve_is_the_mean_of_the_seeds_over_the_mean_of_what_they_spent(tmp_path):
    records = [run([0.1, 0.2, 0.6], seed=0), run([0.1, 0.4, 0.8], seed=1, cpu_s=(1.0, 0.5, 0.5))]
    (figure,) = section_of(rl_efficiency, tmp_path, *records).figures
    assert [view.title for view in figure.views] == ["Completions", "Tokens", "Updates", "CPU seconds", "Wall clock"]
    band, line = figure.views[3].figure["data"]
    assert (line["name"], line["x"]) == ("GRPO", [0, 1.5, 3.0])
    assert line["y"] == pytest.approx([0.1, 0.3, 0.7])
    assert (band["hoverinfo"], max(band["y"]), min(band["y"])) == ("skip", 0.8, 0.1)


def test_arms_are_named_by_what_differs_and_not_by_what_their_algorithm_sets(tmp_path):
    records = [
        run([0.1, 0.2], algorithm="dr_grpo", kl_coef=0.0),
        run([0.1, 0.2], algorithm="grpo", lr=1e-4),
        run([0.1, 0.2], algorithm="ppo", critic_lr=1e-3, prompts_per_step=10, num_generations=1),
        run([0.1, 0.2], algorithm="someone's"),
    ]
    (one,) = comparisons(results_of(tmp_path, *records))
    assert [arm.name for arm in one.arms] == [
        "PPO · 10 × 1 · lr=0.0003",
        "GRPO · 5 × 2 · lr=0.0001",
        "Dr. GRPO · 5 × 2 · lr=0.0003",
        "someone's · 5 × 2 · lr=0.0003",
    ]


def test_runs_of_another_task_device_or_length_are_no_comparison(tmp_path):
    records = [run([0.1, 0.2]), run([0.1, 0.2], task="add"), run([0.1, 0.2, 0.3]), run([0.1, 0.2], device="cuda")]
    titles = [one.title for one in comparisons(results_of(tmp_path, *records))]
    assert titles == [
        "add · small · MHA",
        "sort · small · MHA · device=cpu · completions=10",
        "sort · small · MHA · device=cpu · completions=20",
        "sort · small · MHA · device=cuda · completions=10",
    ]


def test_the_cost_is_split_into_phases_and_evaluation_stands_apart(tmp_path):
    records = [run([0.1, 0.2, 0.3], seed=0), run([0.1, 0.2, 0.3], seed=1, cpu_s=(0.25, 0.25, 1.5))]
    section = section_of(rl_cost, tmp_path, *records)
    (row,) = rows_of(section.tables[0])
    # Ten completions a step take 1 and 2 CPU seconds: 100 and 200 s a thousand.
    assert (row["CPU seconds / 1,000 completions"], row["Over seeds"]) == ("150 s", "100–200 s")
    assert (row["Rollout"], row["Score"], row["Update"]) == ("17 %", "17 %", "67 %")
    assert (row["Tokens / s of rollout"], row["Wall clock / 1,000"]) == ("200", "300 s")
    assert (row["Whole run"], row["Evaluation, apart"], row["× cheapest"]) == ("3.00 s", "375 ms", "1.00×")
    assert "Energy / 1,000" not in row
    bars = section.figures[0].views[0].figure["data"]
    assert {bar["name"]: bar["x"] for bar in bars} == {"Rollout": [25.0], "Score": [25.0], "Update": [100.0]}


def test_energy_is_a_budget_and_a_column_where_it_was_recorded(tmp_path):
    records = [run([0.1, 0.2], seed=seed, energy_j=3.0) for seed in (0, 1)]
    assert rows(rl_cost, tmp_path, *records)[0]["Energy / 1,000"] == "300 J"
    section = section_of(rl_efficiency, tmp_path / "again", *records)
    assert section.figures[0].views[-1].title == "Joules"


def test_a_gpu_is_told_by_the_wall_clock(tmp_path):
    section = section_of(rl_cost, tmp_path, run([0.1, 0.2], device="cuda"))
    (row,) = rows_of(section.tables[0])
    assert row["wall-clock seconds / 1,000 completions"] == "200 s"
    assert "Wall clock / 1,000" not in row


def test_failed_and_collapsed_runs_are_counted(tmp_path):
    records = [
        run([0.1, 0.8, 0.3, 0.4], seed=0, more={"entropy": 0.5, "clip_fraction_low": 0.02}),
        run([0.1, 0.8, 0.3, 0.3], seed=1, more={"entropy": 0.7, "clip_fraction_low": 0.04}),
        failed(seed=2, steps=3),
    ]
    section = section_of(rl_stability, tmp_path, *records)
    (row,) = rows_of(section.tables[0])
    # The first ends at half of its best, which is not below it.
    assert (row["Runs"], row["Failed"], row["Collapsed"]) == ("3", "1", "1 of 2")
    assert (row["Worst fall (points)"], row["Entropy"], row["Clipped low"]) == ("50.0", "0.6", "3.0 %")
    assert "Critic explains" not in row
    assert "Of 3 runs 1 failed, 1 collapsed and 0 learnt the form alone." in section.explanation


def test_a_run_that_learnt_the_form_alone_is_named(tmp_path):
    hacked = run([0.1, 0.7, 0.02], seed=4, forms=[0.1, 0.95, 1.0])
    honest = run([0.1, 0.7, 0.8], seed=5, forms=[0.1, 0.95, 1.0])
    unformed = run([0.1, 0.7, 0.02], seed=6, forms=[0.1, 0.9, 0.3])
    section = section_of(rl_stability, tmp_path, hacked, honest, unformed)
    assert section.tables[0].title == "Runs that learnt the form alone"
    (row,) = rows_of(section.tables[0])
    assert (row["Seed"], row["Best accuracy"], row["Accuracy"], row["Format"]) == ("4", "70 %", "2.0 %", "100 %")


def test_a_stability_line_is_the_mean_of_the_seeds_between_their_extremes(tmp_path):
    records = [run([0.1, 0.2, 0.3], seed=seed, more={"entropy": value}) for seed, value in enumerate((0.2, 0.4, 0.9))]
    (figure,) = section_of(rl_stability, tmp_path, *records).figures
    assert [view.title for view in figure.views] == ["Entropy"]
    band, line = figure.views[0].figure["data"]
    assert (line["x"], line["y"]) == ([0, 1], [0.5, 0.5])
    assert band["y"] == [0.9, 0.9, 0.2, 0.2]


def test_what_failed_everywhere_still_has_its_row(tmp_path):
    results = results_of(tmp_path, failed(seed=0), failed(seed=1))
    assert rl_efficiency.build(results, EN) is None
    assert rl_cost.build(results, EN) is None
    section = rl_stability.build(results, EN)
    assert section.figures == []
    assert rows_of(section.tables[0])[0]["Failed"] == "2"


def test_attention_variants_stand_side_by_side_where_at_least_two_were_trained(tmp_path):
    alone = [run([0.1, 0.5], seed=seed, algorithm="rloo") for seed in (0, 1)]
    assert section_of(rl_attention, tmp_path, *alone) is None
    both = [
        run([0.1, final], seed=seed, attention=attention)
        for attention, finals in (("mla", (0.4, 0.6, 0.5)), ("mha", (0.6, 0.8, 0.7)))
        for seed, final in enumerate(finals)
    ]
    section = section_of(rl_attention, tmp_path / "both", *alone, *both)
    mha, mla = rows_of(section.tables[0])
    # t(2, 97.5 %) = 4.303, and a standard error of 10 / √3 points.
    assert (mha["Arm"], mha["Variant"], mha["Final accuracy"], mha["Interval"]) == ("GRPO", "MHA", "70 %", "45–95 %")
    assert (mla["Variant"], mla["Final accuracy"], mla["Seeds"]) == ("MLA", "50 %", "3")
    assert (mla["CPU seconds / 1,000 completions"], mla["Parameters of the policy"]) == ("100 s", "1,000")
    accuracy, cost = section.figures[0].views
    assert [(bar["name"], bar["x"], bar["y"]) for bar in accuracy.figure["data"]] == [
        ("MHA", [0.7], [0]),
        ("MLA", [0.5], [0]),
    ]
    assert [bar["x"] for bar in cost.figure["data"]] == [[100.0], [100.0]]


def test_two_tasks_give_an_interquartile_mean_and_a_profile(tmp_path):
    finals = {"sort": (0.1, 0.5), "add": (0.7, 0.9)}
    records = [
        run([0.0, final], algorithm=algorithm, task=task, seed=seed)
        for algorithm in ("grpo", "ppo")
        for task, of_seeds in finals.items()
        for seed, final in enumerate(of_seeds)
    ]
    section = section_of(rl_efficiency, tmp_path, *records)
    ppo, grpo = rows_of(section.tables[-1])
    # Of 0.1, 0.5, 0.7, 0.9 the lowest and the highest go.
    assert (grpo["Arm"], grpo["Tasks"], grpo["Seeds"]) == ("GRPO", "2", "2")
    assert (grpo["Interquartile mean"], grpo["Mean"], ppo["Mean"]) == ("60 %", "55 %", "55 %")
    profile = section.figures[-1].views[0].figure["data"][-1]
    assert [profile["y"][profile["x"].index(tau)] for tau in (0.0, 0.1, 0.6, 0.9)] == [1.0, 0.75, 0.5, 0.0]


def test_of_many_trials_the_best_of_each_algorithm_is_drawn_and_equal_effort_compared(tmp_path):
    records = [
        replace(
            one := run([0.1, 0.1 * trial], algorithm=algorithm, seed=0, lr=1e-4 * (1 + trial)),
            case=Case(workload="rl", axes=one.case.axes, extras={"trial": trial}),
        )
        for algorithm, trials in (("grpo", range(1, 9)), ("ppo", range(1, 6)))
        for trial in trials
    ]
    section = section_of(rl_efficiency, tmp_path, *records)
    lines = [trace["name"] for trace in section.figures[0].views[0].figure["data"] if "fill" not in trace]
    assert lines == ["PPO · lr=0.0006 · trial=5", "GRPO · lr=0.0009 · trial=8"]
    assert "the best of each algorithm is drawn" in section.figures[0].caption
    assert "At equal" not in section.figures[0].caption
    ppo, grpo = rows_of(section.tables[-1])
    # The best of one draw is the mean. Of 5 trials the best of two: the sum of k (2k - 1) / 25 tenths, 95 / 25.
    assert (ppo["Trials"], ppo["Best of 1"], ppo["Best of 2"], ppo["Best of 8"]) == ("5", "30 %", "38 %", "–")
    assert (grpo["Best of 1"], grpo["Best trial"]) == ("45 %", "GRPO · lr=0.0009 · trial=8")


CONFORMANCE = {
    "kl k1 in the loss": {"value_bias": 0.0, "gradient_norm_ratio": 0.0, "gradient_bias": 1.0},
    "kl k3 in the loss": {"value_bias": 0.25, "gradient_norm_ratio": 1.2, "gradient_bias": 0.4, "gradient_cosine": 0.6},
    "kl k3 in the reward": {"gradient_norm_ratio": 0.4, "gradient_bias": 1.2, "gradient_cosine": -0.5},
    "estimator rloo": {"gradient_norm_ratio": 1.0, "gradient_bias": 1e-16, "gradient_cosine": 1.0, "unheard_of": 7.0},
    "estimator grpo": {"gradient_norm_ratio": 0.5, "gradient_bias": 0.5, "gradient_cosine": 1.0},
    "padding ppo": {"largest_difference": 0.0},
    "order ppo": {"largest_difference": 0.125},
}


def conformance(spans, **axes):
    return replace(
        bare(),
        case=Case(workload="rl_conformance", axes={"seed": 0, "dtype": "float64"} | axes),
        status=Status.OK,
        readings=[
            Reading(step=0, span=span, metric=metric, value=value)
            for span, values in spans.items()
            for metric, value in values.items()
        ],
    )


def test_each_choice_is_said_to_be_unbiased_or_how_not(tmp_path):
    section = section_of(rl_conformance, tmp_path, conformance(CONFORMANCE))
    assert [table.title for table in section.tables] == [
        "Estimates of the KL",
        "Advantage estimators",
        "What must be equal",
    ]
    assert {row["Choice"]: row["In words"] for table in section.tables for row in rows_of(table)} == {
        "k1 in the loss": "value unbiased; no gradient at all",
        "k3 in the loss": "value biased by +0.25; gradient biased, 80 % of it points elsewhere",
        "k3 in the reward": "gradient biased, points the wrong way",
        "rloo": "gradient unbiased",
        "grpo": "direction unbiased, 0.500× as long",
        "padding ppo": "equal",
        "order ppo": "differs by 0.125",
    }
    rloo = rows_of(section.tables[1])[0]
    assert (rloo["Gradient off by"], rloo["unheard_of"]) == ("0", "7")
    assert list(rloo)[1] == "In words"


def test_a_second_conformance_record_is_named_and_folded(tmp_path):
    section = section_of(rl_conformance, tmp_path, conformance(CONFORMANCE), conformance(CONFORMANCE, seed=1))
    assert [table.folded for table in section.tables] == [False] * 3 + [True] * 3
    assert [table.title.split(" · ")[-1] for table in section.tables] == ["seed=0"] * 3 + ["seed=1"] * 3


def test_sections_of_attention_are_the_same_beside_training_runs(tmp_path):
    attention = [build(attention=name, seq_len=tokens) for name in ("mha", "mla") for tokens in (1024, 4096)]
    training = [*arms({"grpo": (0.6, 0.7), "ppo": (0.5, 0.6)}), failed(seed=9), conformance(CONFORMANCE)]
    mixed = results_of(tmp_path / "mixed", *attention, *training)
    alone = results_of(tmp_path / "alone", *attention)
    assert latency.build(mixed, EN) == latency.build(alone, EN)
    ours = {module.__name__.split(".")[-1] for module in SECTIONS} | {"coverage", "provenance"}
    others = [[one for one in build_sections(results, EN) if one.id not in ours] for results in (mixed, alone)]
    assert others[0] == others[1]
    cases = rows_of(coverage.build(mixed, EN).tables[0])
    assert [row["results"] for row in cases[:3]] == ["10", "9", "1"]
    assert "algorithm=grpo" in rows_of(coverage.build(mixed, EN).tables[1])[0]["Case"]
    assert choices(build_sections(mixed, EN))["algorithm"] == ["GRPO", "PPO"]


def test_a_disturbed_training_run_is_named_by_its_algorithm_and_seed(tmp_path):
    marks = [(place, "pressured") for place in range(5)]
    record = replace(run([0.1, 0.2], seed=3), provenance=telemetry())
    results = results_with_series(tmp_path, (record, samples("cpu", "steal_share", [0.0] * 10, marks=marks)))
    section = disturbance.build(results, EN)
    (row,) = rows_of(section.tables[0])
    assert "algorithm=grpo" in row["Settings"]
    (note,) = section.figures[0].views[0].figure["layout"]["annotations"]
    assert note["text"] == "cpu · MHA · sort · GRPO · seed 3"


@pytest.mark.parametrize(
    "record",
    [
        only(run([0.1, 0.2]), "heldout_accuracy"),
        only(run([0.1, 0.2]), "completions", "latency_s"),
        run([0.1]),
        run([float("nan"), 2.0, -1.0]),
        run([0.1, 0.5], each=0),
        run([0.1, 0.5], cpu_s=(0.0, 0.0, 0.0), energy_j=-1.0),
        run([0.1, 0.5], cpu_s=(float("nan"), float("inf"), -1.0), more={"entropy": float("nan"), "format": 7.0}),
        run([0.1, 0.5], algorithm=None, task=None, attention=None, policy=None, seed=None, device=None),
        run([0.1, 0.5], algorithm=3, seed="x", steps="many", prompts_per_step=10**400, num_generations=True),
        replace(run([0.1, 0.5]), readings=[Reading(step=-1, span="evaluate", metric="heldout_accuracy", value=0.1)]),
        replace(
            run([0.1, 0.5]), readings=[Reading(step=10**12, span="evaluate", metric="heldout_accuracy", value=0.1)]
        ),
        conformance({"": {"": float("nan")}, "kl": {"value_bias": float("inf"), "gradient_bias": float("nan")}}),
    ],
    ids=range(12),
)
def test_an_odd_training_record_breaks_nothing(tmp_path, record):
    results = results_of(tmp_path, record)
    assert coverage.build(results, EN) is not None
    assert headlines(results, EN) == []
    for section in filter(None, (module.build(results, EN) for module in SECTIONS)):
        for view in (view for figure in section.figures for view in figure.views):
            plotly.graph_objects.Figure(view.figure)


def test_hostile_names_of_training_runs_are_shown_as_text(tmp_path):
    named = dict.fromkeys(("algorithm", "task", "policy", "attention", "dtype", "lr"), EVIL)
    records = [
        run([0.1, 0.2], **named, seed=EVIL, forms=[1.0, 1.0]),
        run([0.1, 0.2], **named, seed=1),
        run([0.1, 0.2], **named | {"attention": "mha"}, seed=1),
        conformance({EVIL: {EVIL: 1.0, "gradient_bias": 1.0}}, dtype=EVIL),
    ]
    records = [replace(one, case=replace(one.case, extras={EVIL: EVIL, "task.digits": EVIL})) for one in records]
    elements = parsed(page_of(tmp_path, *records, labels=[EVIL]))
    assert "b" not in elements.tags
    sections = {f"#{dotted.split('.')[-2]}" for dotted in read_yaml("report.yaml")["sections"]}
    assert {f"#{module.__name__.split('.')[-1]}" for module in SECTIONS} < sections
    assert {value for name, value in elements.attributes if name == "href"} <= sections
    templates = {"%{hovertext}<extra>%{fullData.name}</extra>", "%{y}: %{text}<extra>%{fullData.name}</extra>"}
    for text in set(texts([data for data in elements.data if "data" in data])) - templates:
        assert not re.search(r"[<>$]|%\{", text)


def test_a_whole_study_gives_figures_that_plotly_accepts_in_every_language(tmp_path):
    results = results_of(tmp_path, *study(seeds=2, steps=8))
    for words in map(load_words, languages("report")):
        found = [section for module in SECTIONS if (section := module.build(results, words))]
        assert [section.id for section in found] == ["rl_efficiency", "rl_cost", "rl_stability"]
        assert len(found[2].figures[0].views) == 7
        for figure in (figure for section in found for figure in section.figures):
            assert figure.caption
            for view in figure.views:
                plotly.graph_objects.Figure(view.figure)
