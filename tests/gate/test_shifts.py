"""Whole simulated runs of the gate on launches that shift: its own schedule, analyses and rule, without workers."""

import numpy as np
import pytest

from suite.gate.verdict import Outcome
from tools.benchmarks.gate_shifts import (
    CONSTANT,
    DRIFT,
    EACH,
    LASTING,
    LAYOUTS,
    ONE,
    SECOND,
    SHARED,
    Recorded,
    Shift,
    simulate,
)

RUNS = 60


@pytest.fixture(scope="module")
def recorded():
    """Sixteen benchmarks whose rounds spread by 2%, and by 10% in one of ten."""
    generator = np.random.default_rng(0)
    scale = np.where(generator.random((200, 16, 8)) < 0.1, 0.1, 0.02)
    return Recorded(log_ratios_LBR=scale * generator.normal(size=scale.shape), round_s_B=np.full(16, 0.02))


@pytest.mark.parametrize(
    "shift",
    [Shift(of=ONE, size=0.03), Shift(of=EACH, size=0.02), Shift(of=SHARED, size=0.03)],
    ids=lambda shift: shift.name,
)
def test_launches_that_shift_raise_no_alarms(recorded, shift):
    """With a spread borrowed from other benchmarks 6 to 14 of so many runs had one, or a false gain."""
    runs = simulate(recorded, shift, runs=RUNS)
    assert sum({Outcome.SLOWER, Outcome.FASTER} & set(run.outcomes) != set() for run in runs) <= 1


def test_layouts_of_memory_raise_no_alarms(recorded):
    """Decided after four launches, one in 256 of sixteen timings would be: 6 of 100 runs, on either side."""
    runs = simulate(recorded, Shift(of=EACH, form=LAYOUTS, size=0.1), runs=RUNS)
    assert sum({Outcome.SLOWER, Outcome.FASTER} & set(run.outcomes) != set() for run in runs) <= 1


@pytest.mark.parametrize(
    "shift",
    [
        Shift(of=SHARED, form=DRIFT, size=0.01),
        Shift(of=SECOND, form=DRIFT, size=0.01),
        Shift(of=SECOND, form=CONSTANT, size=0.03),
        Shift(of=SECOND, form=LASTING, size=0.05),
    ],
    ids=lambda shift: shift.name,
)
def test_a_drift_of_launches_raises_no_alarms(recorded, shift):
    """Of 20 runs the first drift alarmed in 20 where launches were taken for independent draws."""
    runs = simulate(recorded, shift, runs=20)
    assert not any({Outcome.SLOWER, Outcome.FASTER} & set(run.outcomes) for run in runs)


def test_slowdowns_are_found_where_launches_do_not_shift(recorded):
    outcomes = [outcome for run in simulate(recorded, Shift(), runs=15, slowed=0.05) for outcome in run.outcomes]
    assert outcomes.count(Outcome.SLOWER) > 0.95 * len(outcomes)
    assert outcomes.count(Outcome.SAME) < 0.05 * len(outcomes)


def test_identical_code_is_the_same_in_half_the_cap(recorded):
    runs = simulate(recorded, Shift(), runs=15)
    assert {outcome for run in runs for outcome in run.outcomes} == {Outcome.SAME}
    assert np.median([run.measured_s for run in runs]) < 15
