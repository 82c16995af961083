"""Change points: found where they lie, by how much, and not where there are none. Noise is drawn with fixed seeds."""

import math

import numpy as np
import pytest

from suite.statistics.change_points import (
    FEWEST_STEPS,
    FEWEST_VALUES,
    Steps,
    step_changes,
    value_changes,
    visible_step,
    visible_sum,
)


def noise(count, seed=0, deviation=0.01):
    return np.random.default_rng(seed).normal(scale=deviation, size=count)


def stepped(count=40, at=20, by=0.05, **settings):
    values = noise(count, **settings)
    values[at:] += by
    return values


def steps(ratios, error=0.007, called=()):
    ratios = list(ratios)
    return Steps(ratios=ratios, errors=[error] * len(ratios), called=[index in called for index in range(len(ratios))])


def test_a_step_is_found_where_it_lies_with_its_size():
    ((change,),) = value_changes([stepped()])
    assert (change.first, change.last, change.drift) == (20, 20, 0)
    assert change.low < 0.05 < change.high < change.low + 0.02


@pytest.mark.parametrize(("back", "sign"), [(35, -1), (40, 1)], ids=["a loss that was mended", "a staircase"])
def test_two_steps_are_two_changes(back, sign):
    values = noise(60)
    values[25:] += 0.05
    values[back:] += 0.05 * sign
    (changes,) = value_changes([values])
    assert [change.first for change in changes] == [25, pytest.approx(back, abs=1)]
    assert changes[0].shift > 0 < changes[1].shift * sign


def test_flat_series_show_no_change():
    flat = [noise(30, seed=seed) for seed in range(100)]
    assert sum(map(bool, value_changes(flat))) == 0
    assert sum(map(bool, (value_changes([values])[0] for values in flat))) <= 3


def test_heavy_tails_are_no_changes():
    heavy = [np.random.default_rng(seed).standard_t(2, size=40) for seed in range(30)]
    assert sum(map(bool, value_changes(heavy))) == 0
    assert not any(step_changes([steps(0.007 * values) for values in heavy]))


def test_correlated_noise_is_marked_as_drift():
    """Without the mark 20 of 50 such series have a change, by a test that takes values for independent."""
    random, unmarked = np.random.default_rng(4), 0
    for _ in range(50):
        values = random.normal(size=30)
        for place in range(1, 30):
            values[place] = 0.6 * values[place - 1] + 0.8 * values[place]
        unmarked += any(not change.drift for change in value_changes([values])[0])
    assert unmarked <= 5


def test_one_bad_measurement_is_no_change():
    values, ratios = noise(40), noise(40, deviation=0.007)
    values[17] += 1.0
    ratios[17] += 1.0
    assert value_changes([values]) == [[]]
    assert step_changes([steps(ratios)]) == [[]]


def test_a_single_step_counts_where_its_comparison_called_it():
    ratios = noise(20, deviation=0.005)
    ratios[11] += 0.1
    ((change,),) = step_changes([steps(ratios, called={11})])
    assert change.first == change.last == 11
    assert change.shift == pytest.approx(ratios[11])


def test_many_small_losses_are_one_change():
    ratios = noise(30, deviation=0.002)
    ratios[10:22] += 0.009
    assert max(ratios) < 3 * 0.005  # no single one could be told from noise
    ((change,),) = step_changes([steps(ratios, error=0.005)])
    assert change.low < 12 * 0.009 < change.high
    assert change.first == pytest.approx(10, abs=1)
    assert change.last == pytest.approx(21, abs=1)


def test_a_loss_and_a_gain_are_two_changes():
    ratios = noise(30, deviation=0.003)
    ratios[5] += 0.1
    ratios[20] -= 0.1
    ((loss, gain),) = step_changes([steps(ratios, called={5, 20})])
    assert (loss.first, gain.last) == (5, 20)


def test_the_more_series_the_more_evidence_is_asked_for():
    weak = stepped(by=0.02, seed=1, deviation=0.012)
    assert value_changes([weak])[0]
    assert not value_changes([weak, *(noise(40, seed=seed) for seed in range(2, 40))])[0]


def test_a_constant_series_has_no_change():
    assert value_changes([[1.0] * FEWEST_VALUES]) == [[]]
    assert step_changes([steps([0.0] * FEWEST_STEPS)]) == [[]]


def test_a_change_of_the_visible_size_is_mostly_found():
    detected = [0, 0]
    for seed in range(40):
        flat, ratios = noise(40, seed=seed), noise(20, seed=seed, deviation=0.007)
        detected[0] += bool(value_changes([flat + np.repeat([0, visible_step(flat, [], tests=1)], 20)])[0])
        detected[1] += bool(step_changes([steps(ratios + visible_sum(steps(ratios), tests=1) / 20)])[0])
    assert min(detected) >= 34


def test_a_few_values_show_no_step_to_many_series():
    assert math.isinf(visible_step(noise(20), [], tests=1000))


def test_series_that_are_too_short_are_refused():
    with pytest.raises(ValueError, match=f"at least {FEWEST_VALUES} values; got 19"):
        value_changes([[1.0] * 19])
    with pytest.raises(ValueError, match=f"at least {FEWEST_STEPS} steps; got 2"):
        step_changes([steps([0.0, 0.0])])
    with pytest.raises(ValueError, match="errors of steps must be above zero"):
        step_changes([steps([0.0] * 3, error=0.0)])
