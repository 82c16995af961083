"""Sample efficiency."""

import pytest

from suite.report.rl import efficiency
from tests.report.reading import rows_of
from tests.report.rl.runs import (
    SORTED_ALREADY,
    arms,
    fed,
    named,
    noting_what_guessing_scores,
    rows,
    run,
    section_of,
    titled,
)

BASE = (0.6, 0.6, 0.71, 0.6, 0.65)
PROCESS = "Accuracy with process and with outcome supervision"
MAJORITY = "Accuracy with reward by the group’s vote and by the key"


@pytest.mark.parametrize(
    ("ours", "difference", "words"),
    [
        ([final + 0.1 for final in BASE], "+10.0 (+10.0 to +10.0)", "higher"),
        ((0.7, 0.7, 0.6, 0.5, 0.66), "+0.0 (-12.8 to +12.8)", "no clear difference (5 pairs)"),
        # 0, 1, -1, 0, 0 points: a standard error of 0.707 / √5, and t(4, 97.5%) = 2.776.
        ((0.6, 0.61, 0.7, 0.6, 0.65), "+0.0 (-0.9 to +0.9)", "no relevant difference (within 2 points)"),
        ((0.7,), "+10.0", "too few seeds (1; at least 5 are needed)"),
    ],
)
def test_grpo_is_compared_with_ppo_at_equal_budgets(ours, difference, words):
    section = section_of(efficiency, *arms({"grpo": ours, "ppo": BASE[: len(ours)]}))
    first, at_cpu = rows_of(section.tables[0])
    assert (first["Equal budget"], at_cpu["Equal budget"]) == ("Completions: 20", "CPU seconds: 2.00 s")
    assert (first["Arm"], first["Difference (points)"], first["Verdict"]) == ("GRPO", difference, words)
    is_single = len(ours) == 1
    assert is_single == all("fill" not in trace for trace in section.figures[0].views[0].figure["data"])
    assert is_single == ("single seed" in section.figures[0].caption)


def test_a_slower_arm_counts_by_an_earlier_evaluation():
    slow = [run([0.1, 0.4, 0.9], algorithm="ppo", seed=seed, cpu_s=(0.5, 0.5, 1.0)) for seed in range(5)]
    fast = [run([0.1, 0.3, 0.6], algorithm="grpo", seed=seed) for seed in range(5)]
    at_completions, at_cpu = rows(efficiency, *slow, *fast)
    assert at_completions["Difference (points)"].startswith("-30.0")
    # Two CPU seconds are all of GRPO's run and the first step of PPO's.
    assert (at_cpu["Equal budget"], at_cpu["Difference (points)"].split()[0]) == ("CPU seconds: 2.00 s", "+20.0")
    assert (at_completions["Verdict"], at_cpu["Verdict"]) == ("lower", "higher")


def test_grpos_relatives_are_compared_with_grpo_too():
    levels = {"ppo": 0.5, "grpo": 0.6, "dr_grpo": 0.7}
    records = arms({name: [level + seed / 100 for seed in range(5)] for name, level in levels.items()})
    tables = [table for table in section_of(efficiency, *records).tables if "reference" in table.facets]
    assert {
        table.facets["reference"]: {row["Arm"]: row["Difference (points)"].split()[0] for row in rows_of(table)}
        for table in tables
    } == {"PPO": {"GRPO": "+10.0", "Dr. GRPO": "+20.0"}, "GRPO": {"PPO": "-10.0", "Dr. GRPO": "+10.0"}}


@pytest.mark.parametrize(
    ("relatives", "p", "words"),
    [((), "0.026", "higher"), (("rloo", "dr_grpo", "grpo_token_mean"), "0.106", "no clear difference (5 pairs)")],
)
def test_among_many_arms_more_is_asked_of_each(relatives, p, words):
    # 10 to 50 points higher: p is 0.0132, at two budgets; of two it is twice, of eight eight times as much.
    finals = {"ppo": (0.1, 0.1, 0.1, 0.1, 0.1), "grpo": (0.2, 0.3, 0.4, 0.5, 0.6)}
    section = section_of(efficiency, *arms(finals | dict.fromkeys(relatives, (0.15, 0.05, 0.1, 0.15, 0.06))))
    row, at_cpu = [row for row in rows_of(section.tables[0]) if row["Arm"] == "GRPO"]
    assert (row["Verdict"], row["p (t, Holm)"], at_cpu["Verdict"]) == (words, p, words)


def test_ppo_on_grouped_prompts_is_the_reference():
    lone = [run(algorithm="ppo", seed=seed, prompts_per_step=10, num_generations=1) for seed in (0, 1)]
    grouped = [run(algorithm="ppo", seed=seed) for seed in (0, 1)]
    assert rows(efficiency, *lone, *grouped)[0]["Arm"] == "PPO · 10 × 1"


def test_arms_without_a_shared_seed_are_not_judged():
    ours = [run([0.1, final], algorithm="grpo", seed=seed) for seed, final in ((5, 0.8), (6, 0.9))]
    theirs = [run([0.1, final], algorithm="ppo", seed=seed) for seed, final in ((0, 0.2), (1, 0.3))]
    row = rows(efficiency, *ours, *theirs)[0]
    assert (row["Pairs"], row["Difference (points)"]) == ("0", "–")
    assert (row["Verdict"], row["p (t, Holm)"], row["p (sign flips)"]) == ("–", "–", "–")


def test_a_level_costs_the_median_of_all_seeds():
    curves = ([0.1, 0.5, 0.6], [0.1, 0.2, 0.7], [0.1, 0.1, 0.4])
    half, most = rows(efficiency, *(run(curve, seed=seed) for seed, curve in enumerate(curves)))
    # At 50%: 10, 20 and never. At 70%: one of three, so the median never arrives.
    assert (half["Accuracy reached"], half["Runs that reached it"], half["Completions"]) == ("50%", "2 of 3", "20")
    assert (half["Tokens"], half["CPU seconds"]) == ("100", "2.00 s")
    assert (most["Runs that reached it"], most["Completions"], most["CPU seconds"]) == ("1 of 3", "–", "–")


def test_a_curve_is_the_mean_over_the_mean_spent():
    records = [run([0.1, 0.2, 0.6], seed=0), run([0.1, 0.4, 0.8], seed=1, cpu_s=(1.0, 0.5, 0.5))]
    (figure,) = section_of(efficiency, *records).figures
    band, line = figure.views[3].figure["data"]
    assert (line["name"], line["x"]) == ("GRPO", [0, 1.5, 3.0])
    assert line["y"] == pytest.approx([0.1, 0.3, 0.7])
    assert (band["hoverinfo"], max(band["y"]), min(band["y"])) == ("skip", 0.8, 0.1)


@pytest.mark.parametrize("updates", [{"sort": 300, "add": 300}, {"sort": 300, "add": 1000}])
def test_two_tasks_give_an_interquartile_mean(updates):
    finals = {"sort": (0.1, 0.5), "add": (0.7, 0.9)}
    records = [
        named(run([0.0, final], algorithm=algorithm, task=task, seed=seed), **{"base.updates": updates[task]})
        for algorithm in ("grpo", "ppo")
        for task, of_seeds in finals.items()
        for seed, final in enumerate(of_seeds)
    ]
    ppo, grpo = titled(section_of(efficiency, *records), "Final accuracy over all tasks")
    # Of 0.1, 0.5, 0.7, 0.9 the lowest and the highest go.
    assert (grpo["Arm"], grpo["Number of tasks"], grpo["Seeds"]) == ("GRPO", "2", "2")
    assert (grpo["Interquartile mean"], grpo["Mean"], ppo["Mean"]) == ("60%", "55%", "55%")


def test_one_task_under_two_base_models_is_not_two_tasks():
    records = [
        named(run([0.0, 0.5], algorithm=algorithm, seed=seed), **{"base.updates": updates})
        for algorithm in ("grpo", "ppo")
        for updates in (300, 1000)
        for seed in (0, 1)
    ]
    assert "Final accuracy over all tasks" not in [table.title for table in section_of(efficiency, *records).tables]


@pytest.mark.parametrize(("gain", "is_highest"), [(0.0, False), (0.2, True)])
def test_an_arm_leads_over_tasks_only_where_every_other_is_lower(gain, is_highest):
    noise = (0.1, -0.1, 0.05, -0.05, 0.02, -0.02)
    records = [
        run([0.0, 0.5 + noise[(seed + shift) % 6] + added], task=task, seed=seed, algorithm=algorithm)
        for shift, (algorithm, added) in enumerate({"grpo": 0, "ppo": 0, "rloo": gain}.items())
        for task in ("sort", "add")
        for seed in range(6)
    ]
    note = section_of(efficiency, *records).tables[-1].note
    assert note.startswith("Over 2 tasks, RLOO ends highest" if is_highest else "Over 2 tasks, no arm clearly ends")


def test_of_many_trials_the_best_of_each_algorithm_is_drawn():
    records = [
        named(run([0.1, 0.1 * trial], algorithm=algorithm, seed=0, lr=1e-4 * (1 + trial)), trial=trial)
        for algorithm, count in (("grpo", 8), ("ppo", 5))
        for trial in range(1, count + 1)
    ]
    section = section_of(efficiency, *records)
    (figure,) = section.figures
    lines = [trace["name"] for trace in figure.views[0].figure["data"] if "fill" not in trace]
    assert lines == ["PPO · trial 5", "GRPO · trial 8"]
    assert figure.finding.endswith("picked by that score, so the lead is not judged")
    ppo, grpo = rows_of(section.tables[-1])
    # The best of one draw is the mean. Of 5 trials the best of two: the sum of k (2k - 1) / 25 tenths, 95 / 25.
    assert (ppo["Trials"], ppo["Best of 1"], ppo["Best of 2"], ppo["Best of 8"]) == ("5", "30%", "38%", "–")
    assert (ppo["Interval"], grpo["Interval"]) == ("–", "50–80%")
    assert (grpo["Best of 1"], grpo["Best trial"]) == ("45%", "GRPO · lr=0.0009 · trial=8")


def test_a_reward_is_compared_with_all_else_the_same():
    section = section_of(
        efficiency,
        *fed("supervision", "outcome", (0.6, 0.5, 0.6, 0.5, 0.6)),
        *fed("supervision", "process", (0.8, 0.7, 0.8, 0.7, 0.8)),
        *fed("reward_source", "majority", (0.5, 0.6, 0.5, 0.6, 0.55), task="addition"),
        *(run([0.1, 0.2, final], seed=seed, task="addition") for seed, final in enumerate((0.6, 0.5, 0.6, 0.5, 0.55))),
        *fed("reward_source", "majority", (0.5, 0.6), task="alone"),
    )
    process, majority = titled(section, PROCESS), titled(section, MAJORITY)
    assert {row["Arm"] for row in process} == {"supervision=process"}
    assert (process[0]["Equal budget"], process[0]["Difference (points)"]) == (
        "Completions: 20",
        "+20.0 (+20.0 to +20.0)",
    )
    assert majority[0]["Verdict"] == "no clear difference (5 pairs)"
    assert [figure.facets["task"] for figure in section.figures if figure.title == MAJORITY] == ["addition"]


def test_settings_of_one_value_keep_the_reference():
    records = [run([0.1, 0.2, 0.5], seed=0), run([0.1, 0.2, 0.6], seed=1)]
    for is_step in (False, True):
        process = [run([0.1, 0.2, 0.8], seed=seed) for seed in (0, 1)]
        records += [named(record, supervision="process", outcome_as_step=is_step) for record in process]
    names = {row["Arm"] for row in titled(section_of(efficiency, *records), PROCESS)}
    assert names == {"supervision=process", "supervision=process · outcome_as_step=true"}


def test_votes_that_copy_the_prompt_are_no_better_than_guessing():
    key, votes = fed("reward_source", "ground_truth", [0.0] * 5), fed("reward_source", "majority", [SORTED_ALREADY] * 5)
    row, *_ = titled(section_of(efficiency, *map(noting_what_guessing_scores, [*key, *votes])), MAJORITY)
    assert (row["Difference (points)"], row["Guessing"]) == ("+7.4 (+7.4 to +7.4)", "7.4%")
    assert row["Verdict"] == "neither side beats guessing (7.4%)"
