"""Effects over launches: by hand where an error comes from, and by simulation that it holds."""

import math

import numpy as np
import pytest

from suite.statistics.launches import Effect, effect_over, effects_together
from suite.statistics.student import t_quantile

RUNS = 4000


def outside(launches, level):
    """The share of runs whose interval of this confidence is beside the truth, which is 0."""
    effects = [effect_over(run) for run in launches.tolist()]
    reach = t_quantile((1 + level) / 2, launches.shape[1] - 1)
    return np.mean([abs(effect.estimate) > reach * effect.error for effect in effects])


def test_an_effect_is_the_mean_of_launches_by_their_spread():
    effect = effect_over([0.1, 0.2, 0.6])
    assert effect.estimate == pytest.approx(0.3)
    assert effect.error == pytest.approx(math.sqrt((0.04 + 0.01 + 0.09) / 2 / 3))
    assert effect.freedom == 2


@pytest.mark.parametrize(("launches", "level"), [(3, 0.99), (6, 0.99), (6, 0.95)])
def test_launches_that_shift_alike_give_their_stated_error(launches, level):
    share = outside(np.random.default_rng(1).normal(size=(RUNS, launches)), level)
    # Four standard deviations of so many runs, to either side.
    assert abs(share - (1 - level)) < 4 * math.sqrt(level * (1 - level) / RUNS)


@pytest.mark.parametrize("launches", [3, 10])
def test_unequal_and_heavy_launches_err_on_the_safe_side(launches):
    generator = np.random.default_rng(2)
    heavy = generator.standard_t(2, size=(RUNS, launches))
    unequal = generator.normal(size=(RUNS, launches)) * np.where(np.arange(launches) < 2, 5.0, 1.0)
    room = 4 * math.sqrt(0.99 * 0.01 / RUNS)
    assert outside(heavy, 0.99) < 0.01 + room
    assert outside(unequal, 0.99) < 0.01 + room


def test_bounds_are_students():
    bounds = Effect(estimate=1.0, error=0.1, freedom=4).bounds(0.95)
    assert bounds == pytest.approx((1 - 0.2776, 1 + 0.2776), abs=1e-4)


@pytest.mark.parametrize(
    ("constant", "above", "below"), [(0.0, 0.5, 0.5), (0.1, 0.0, 1.0), (-0.1, 1.0, 0.0)], ids=["none", "up", "down"]
)
def test_launches_without_any_spread_are_certain(constant, above, below):
    effect = effect_over([constant] * 4)
    assert (effect.error, effect.bounds(0.98)) == (0, (constant, constant))
    assert (effect.p_above_zero(), effect.p_below_zero()) == (above, below)


@pytest.mark.parametrize("launches", [[], [1.0]])
def test_too_few_launches_are_refused(launches):
    with pytest.raises(ValueError, match=f"two launches; got {len(launches)}"):
        effect_over(launches)


def test_launches_that_drift_count_as_one():
    """Their mean would lie six errors from 0, were they independent."""
    drifting, mixed = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06], [0.04, 0.01, 0.06, 0.02, 0.05, 0.03]
    effects = effects_together({"drifting": drifting, "mixed": mixed})
    assert effects["drifting"].is_drifting
    assert effects["drifting"].error == pytest.approx(np.std(drifting, ddof=1))
    assert not effects["mixed"].is_drifting
    assert effects["mixed"] == effect_over(mixed)


def test_a_drift_of_all_is_seen_beneath_the_noise_of_each():
    noise = 0.02 * np.random.default_rng(0).normal(size=(16, 8))
    drifting = {str(index): list(row + 0.01 * np.arange(8)) for index, row in enumerate(noise)}
    assert all(effect.is_drifting for effect in effects_together(drifting).values())
    assert not all(effects_together({name: own})[name].is_drifting for name, own in drifting.items())
    still = {str(index): list(row) for index, row in enumerate(noise)}
    assert not all(effect.is_drifting for effect in effects_together(still).values())


def test_what_shifts_all_benchmarks_alike_is_measured():
    generator = np.random.default_rng(1)
    noise, shift = 0.005 * generator.normal(size=(8, 6)), 0.03 * generator.normal(size=6)
    shared = effects_together({index: list(row + shift) for index, row in enumerate(noise)})
    assert all(effect.shared == pytest.approx(np.std(shift, ddof=1), rel=0.3) for effect in shared.values())
    assert all(effect.shared == 0 for effect in effects_together(dict(enumerate(noise.tolist()))).values())


@pytest.mark.parametrize(("benchmarks", "is_measured"), [(3, False), (4, True)])
def test_a_shared_shift_is_told_from_four_benchmarks_on(benchmarks, is_measured):
    shift = [0.0, 0.05, -0.04, 0.02, -0.05, 0.03]
    effects = effects_together({index: [0.001 * index + launch for launch in shift] for index in range(benchmarks)})
    assert all((effect.shared > 0) is is_measured for effect in effects.values())
