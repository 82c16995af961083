"""How steadily algorithms learn, and how thought evolves meanwhile."""

from suite.report.rl import cost, efficiency, stability
from suite.statistics.holm import holm
from suite.statistics.paired import ArmOutcome
from tests.report.quality_records import in_memory
from tests.report.reading import rows_of
from tests.report.rl.runs import SORTED_ALREADY, failed, noting_what_guessing_scores, run, section_of, thinking


def test_failed_and_collapsed_runs_are_counted():
    section = section_of(
        stability,
        run([0.1, 0.8, 0.3, 0.4], seed=0, more={"entropy": 0.5, "clip_fraction_low": 0.02}),
        run([0.1, 0.8, 0.3, 0.3], seed=1, more={"entropy": 0.7, "clip_fraction_low": 0.04}),
        failed(seed=2, steps=3),
    )
    (row,) = rows_of(section.tables[0])
    # The first ends at half of its best, which is not below it.
    assert (row["Failed"], row["Collapsed"]) == ("1 of 3", "1 of 2")
    assert (row["Largest drop (points)"], row["Entropy"], row["Clipped below"]) == ("50.0", "0.6", "3.0%")
    assert "Explained variance of the critic" not in row
    assert section.headlines[0].text == "Of 3 runs, 1 failed, 1 collapsed and 0 learnt only the format."


def test_a_run_that_learnt_the_form_alone_is_counted():
    section = section_of(
        stability,
        run([0.1, 0.7, 0.02], seed=4, forms=[0.1, 0.95, 1.0]),
        run([0.1, 0.7, 0.8], seed=5, forms=[0.1, 0.95, 1.0]),
        run([0.1, 0.7, 0.02], seed=6, forms=[0.1, 0.9, 0.3]),
    )
    assert rows_of(section.tables[0])[0]["Format only"] == "1 of 3"
    assert section.headlines[0].text.endswith("and 1 learnt only the format.")


def test_the_worst_fall_is_judged_beside_the_reference():
    # PPO falls by 10 points in each seed, GRPO by 30 to 34.
    falls = {"ppo": [0.1] * 5, "grpo": [0.3, 0.31, 0.32, 0.33, 0.34]}
    records = [
        run([0.1, 0.8, 0.8 - fall], algorithm=name, seed=seed)
        for name in falls
        for seed, fall in enumerate(falls[name])
    ]
    row = next(row for row in rows_of(section_of(stability, *records).tables[0]) if row["Arm"] == "GRPO")
    assert (row["Minus reference (points)"].split()[0], row["Verdict"]) == ("+22.0", "higher")


def test_a_line_is_the_mean_of_the_seeds_between_extremes():
    records = [run([0.1, 0.2, 0.3], seed=seed, more={"entropy": value}) for seed, value in enumerate((0.2, 0.4, 0.9))]
    (figure,) = section_of(stability, *records).figures
    band, line = figure.views[0].figure["data"]
    assert (line["x"], line["y"]) == ([0, 1], [0.5, 0.5])
    assert band["y"] == [0.9, 0.9, 0.2, 0.2]


def test_what_failed_everywhere_still_has_its_row():
    records = failed(seed=0), failed(seed=1)
    assert [section_of(module, *records) for module in (efficiency, cost)] == [None, None]
    section = section_of(stability, *records)
    assert section.figures == []
    assert rows_of(section.tables[0])[0]["Failed"] == "2 of 2"


def test_thought_is_told_from_the_first_evaluation_to_the_last():
    records = [thinking([2.0, 3.0, 4.0 + seed % 2], [0.1, 0.3, 0.6], [0.5, 0.5, 0.25], seed=seed) for seed in range(5)]
    records.append(run([0.1, 0.2, 0.3], algorithm="ppo"))
    (experiment,) = stability.thinking(in_memory(*records))
    by_metric = stability.evaluation_changes(experiment.arms).values()
    changes = [change for by_arm in by_metric for change in by_arm.values()]
    assert [change.adjusted_p for change in changes] == holm([change.p for change in changes])
    section = section_of(stability, *records)
    thoughts = next(
        table
        for table in section.tables
        if table.title == "Change of thoughts and corrections from the first to the last evaluation"
    )
    (row,) = rows_of(thoughts)
    assert (row["Thought (tokens)"], row["Corrections"], row["Sampled thought"]) == ("2 → 4.4", "50% → 25%", "3 → 3")
    # 2, 3, 2, 3, 2: the standard error is 0.548 / √5 = 0.245.
    assert thoughts.rows[0][2:4] == ["+2.40 (+1.72 to +3.08)", "higher"]
    assert thoughts.rows[0][7:9] == ["-25.0 (-25.0 to -25.0)", "lower"]


def test_accuracy_that_does_not_beat_guessing_has_not_risen():
    records = [thinking([2.0, 3.0], [0.0, SORTED_ALREADY], seed=seed) for seed in range(5)]
    experiment, *_ = stability.thinking(in_memory(*map(noting_what_guessing_scores, records)))
    by_metric = stability.evaluation_changes(experiment.arms)
    outcomes = {metric: change.outcome for metric, by_arm in by_metric.items() for change in by_arm.values()}
    assert outcomes["thought_length"] is ArmOutcome.HIGHER
    assert outcomes["accuracy"] is ArmOutcome.FLOOR
