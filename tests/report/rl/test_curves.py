"""Whole curves: take-off with censoring, the sigmoid's numbers and the word beside the baseline."""

from dataclasses import replace
from statistics import geometric_mean

import pytest

from suite.report.rl import curves
from tests.report.quality_records import in_memory
from tests.report.rl.runs import rows, run, section_of

LOG_STEPS = [0, 1, 2, 3, 4, 6, 8, 11, 16, 20]


def evaluated(middle, final, steps=LOG_STEPS, **axes):
    """A run of 20 steps of 10 completions, whose accuracy rises around a step; never where it is None."""
    rise = [0.0 if middle is None or step == 0 else final / (1 + (middle / step) ** 4) for step in range(21)]
    record = run(rise, **axes)
    return replace(record, readings=[each for each in record.readings if not is_skipped(each, steps)])


def is_skipped(reading, steps):
    return reading.metric.startswith("heldout") and reading.step not in steps


def arms(steps=LOG_STEPS):
    ppo = [(2.2, 0.9), (2.9, 0.92), (1.7, 0.91), (2.4, 0.93), (2.7, 0.9)]
    grpo = [(8.2, 0.91), (9.0, 0.92), (None, 0), (7.6, 0.9), (10.0, 0.93)]
    return [
        evaluated(*shape, steps, algorithm=algorithm, seed=seed)
        for algorithm, shapes in {"ppo": ppo, "grpo": grpo}.items()
        for seed, shape in enumerate(shapes)
    ]


def test_an_arm_that_is_late_is_called_so():
    ppo, grpo = rows(curves, *arms())
    assert (ppo["Arm"], ppo["Compared with the reference"]) == ("PPO", "–")
    assert (grpo["Arm"], grpo["Compared with the reference"]) == ("GRPO", "late")
    assert (ppo["Runs that took off"], grpo["Runs that took off"]) == ("5 of 5", "4 of 5")
    # Of 30, 40, 20, 30 and 30 completions, and of 110, 110, never, 110 and 110.
    assert ppo["Take-off, median (completions)"] == "30 (20 to 40)"
    assert grpo["Take-off, median (completions)"] == "110 (110 to ∞)"
    assert grpo["Runs with a C_mid"] == "4 of 5"
    assert float(grpo["C_mid (completions)"].split()[0]) == pytest.approx(geometric_mean([82, 90, 76, 100]), abs=1)
    assert grpo["p of take-off (log-rank, Holm)"] == "0.016"


def test_take_off_is_drawn_as_stairs_over_log_completions():
    (figure,) = section_of(curves, *arms()).figures
    waiting, accuracy = (view.figure for view in figure.views)
    line = next(trace for trace in waiting["data"] if trace["name"] == "PPO" and "fill" not in trace)
    assert line["x"] == [10, 20, 20, 30, 30, 40, 40, 200]
    assert line["y"] == pytest.approx([1, 1, 0.8, 0.8, 0.2, 0.2, 0, 0])
    drawn = next(trace for trace in accuracy["data"] if trace["name"] == "PPO" and "fill" not in trace)
    assert drawn["x"][0] == 10  # a logarithmic axis has no 0


def test_even_evaluations_have_no_second_view_of_accuracy():
    (figure,) = section_of(curves, *arms(range(0, 21, 2))).figures
    assert [view.title for view in figure.views] == ["Not taken off"]


def test_curves_of_few_evaluations_are_left_out():
    few, enough = (curves.build(in_memory(*arms(steps))) for steps in ([0, 4, 8, 16, 20], [0, 2, 4, 8, 16, 20]))
    assert few is None
    assert enough is not None
