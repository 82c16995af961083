"""Effects over launches: by simulation that an error holds, and by hand where it comes from."""

import math

import numpy as np
import pytest

from suite.statistics.launches import SHARED_LAUNCHES, Effect, effects
from suite.statistics.student import t_quantile

RUNS, BENCHMARKS = 100, 8


def simulated(seed, launches, rounds, *, between=0.0, runs=RUNS, benchmarks=BENCHMARKS):
    """Runs of identical code: rounds spread by 1, launches by `between` standard errors of a launch's median."""
    generator = np.random.default_rng(seed)
    spread = between * 1.2533 / math.sqrt(rounds)
    of_rounds = generator.normal(size=(runs, benchmarks, launches, rounds))
    of_launches = spread * generator.normal(size=(runs, benchmarks, launches, 1))
    return [effect for run in of_rounds + of_launches for effect in effects(run)]


def outside(found, level):
    """The share of effects whose interval of this confidence is beside the truth, which is 0."""
    beyond = {freedom: t_quantile((1 + level) / 2, freedom) for freedom in {one.freedom for one in found}}
    return np.mean([abs(one.estimate) > beyond[one.freedom] * one.error for one in found])


def one(*launches):
    (effect,) = effects([launches])
    return effect


def test_launches_that_do_not_differ_give_their_stated_error():
    found = simulated(1, launches=3, rounds=12)
    # Never below the rounds' own error, so on the safe side of 5 %: 800 effects leave it by at most 2.2 %.
    assert 0.015 < outside(found, 0.95) < 0.05 + 0.022
    assert np.std([one.estimate / one.error for one in found]) == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize(("between", "launches"), [(1.0, 2), (3.0, 3)])
def test_launches_that_differ_widen_the_error(between, launches):
    found = simulated(2, launches=launches, rounds=12, between=between)
    # Five standard deviations of 800 at 5 % would be 3.9 %; those of a run share a spread, so a little more.
    assert 0.02 < outside(found, 0.95) < 0.05 + 0.04
    alike = simulated(2, launches=launches, rounds=12)
    ratio = np.median([one.error for one in found]) / np.median([one.error for one in alike])
    # Variances add: a launch's median then has 1 + between² times its rounds' own.
    assert ratio == pytest.approx(math.sqrt(1 + between**2), rel=0.25)


def test_one_benchmark_alone_errs_on_the_safe_side():
    assert outside(simulated(3, launches=3, rounds=12, between=2.0, runs=400, benchmarks=1), 0.95) < 0.05 + 0.03


def test_an_error_is_the_rounds_own_where_launches_agree():
    launch = [-2.0, -1.0, 0.0, 1.0, 2.0]
    effect = one(launch, launch)
    # By hand: quartiles at -1 and 1, so a deviation of 2 / 1.349; ten rounds less two medians.
    assert effect.error == pytest.approx(1.2533 * 2 / 1.349 * math.sqrt(10 / 8) / math.sqrt(10))
    assert effect.estimate == 0


def test_the_error_of_one_benchmark_is_that_of_its_launches():
    launch = np.array([-0.02, -0.01, 0.0, 0.01, 0.02])
    effect = one(launch - 1, launch, launch + 1)
    # Medians of -1, 0 and 1: a variance of 1 between three launches.
    assert effect.error == pytest.approx(1 / math.sqrt(3))
    assert effect.freedom == 2


def test_a_benchmark_borrows_from_the_others_launches():
    calm, apart = [[-1.0, 0.0, 1.0, 0.5, -0.5]] * 2, [[-9.0, -8.0, -7.0, -8.5, -7.5], [9.0, 8.0, 7.0, 8.5, 7.5]]
    alone, beside_calm, beside_apart = (effects(of)[0] for of in ([calm], [calm, calm], [calm, apart]))
    assert beside_calm.error == alone.error
    assert beside_apart.error > 3 * alone.error
    assert effects([calm, calm, apart])[2].error < one(*apart).error


def test_one_benchmark_of_little_spread_does_not_hide_the_others():
    """Its excess has no bounds; a mean of all would have made a slowdown of 2 inconclusive."""
    calm = [[-1.0, 0.0, 1.0, 0.5, -0.5]] * 2
    steady = [[-1e-6, 0.0, 1e-6, 0.0, 1e-6], [9.0, 9.000001, 9.0, 8.999999, 9.0]]
    assert effects([calm] * 5 + [steady])[0].error == effects([calm] * 5)[0].error


@pytest.mark.parametrize(("benchmarks", "freedom"), [(1, 1), (2, 2), (8, 8), (50, 1 + SHARED_LAUNCHES)])
def test_freedom_grows_with_the_benchmarks_up_to_a_bound(benchmarks, freedom):
    generator = np.random.default_rng(4)
    assert {one.freedom for one in effects(generator.normal(size=(benchmarks, 2, 5)))} == {freedom}


def test_the_order_of_launches_does_not_matter():
    launches = np.random.default_rng(5).normal(size=(3, 9)) + np.array([[0.3], [0], [-0.2]])
    forth, back = one(*launches), one(*launches[::-1])
    assert (forth.estimate, forth.freedom) == (back.estimate, back.freedom)
    assert forth.error == pytest.approx(back.error, rel=1e-12)


def test_a_few_disturbed_rounds_hardly_move_an_effect():
    generator = np.random.default_rng(6)
    quiet = generator.normal(loc=0.05, scale=0.01, size=(3, 40))
    disturbed = [[*launch, 3.0, 5.0, -4.0] for launch in quiet]
    before, after = one(*quiet), one(*disturbed)
    assert after.estimate == pytest.approx(before.estimate, abs=before.error)
    assert after.error == pytest.approx(before.error, rel=0.3)


def test_a_long_launch_counts_for_more_than_a_short_one():
    generator = np.random.default_rng(7)
    short, long = generator.normal(0.2, 0.01, size=6), generator.normal(0.0, 0.01, size=60)
    effect = one(short, long)
    assert abs(effect.estimate) < 0.01
    # By hand: the short one's median is about 0.2 off, with six rounds' weight, and there is one degree of freedom.
    assert effect.error == pytest.approx(math.sqrt(6 * 0.2**2 / 66), rel=0.1)


def test_an_effect_far_from_zero_is_found_in_its_direction():
    launches = np.random.default_rng(8).normal(loc=0.1, scale=0.01, size=(3, 12))
    slower, faster = one(*launches), one(*-launches)
    assert slower.p_above_zero() < 0.01 < 0.99 < slower.p_below_zero()
    assert faster.p_below_zero() < 0.01 < 0.99 < faster.p_above_zero()
    assert slower.p_above_zero() == pytest.approx(1 - slower.p_below_zero())
    low, high = slower.bounds(0.95)
    assert 0 < low < slower.estimate < high
    assert slower.bounds(0.99)[0] < low


def test_bounds_are_students():
    low, high = Effect(estimate=1.0, error=0.1, freedom=4).bounds(0.95)
    assert (low, high) == (pytest.approx(1 - 0.2776, abs=1e-4), pytest.approx(1 + 0.2776, abs=1e-4))


@pytest.mark.parametrize(
    ("constant", "above", "below"), [(0.0, 0.5, 0.5), (0.1, 0.0, 1.0), (-0.1, 1.0, 0.0)], ids=["none", "up", "down"]
)
def test_rounds_without_any_spread_are_certain(constant, above, below):
    effect = one([constant] * 4, [constant] * 4)
    assert (effect.error, effect.bounds(0.98)) == (0, (constant, constant))
    assert (effect.p_above_zero(), effect.p_below_zero()) == (above, below)


def test_launches_a_clock_s_tick_apart_are_not_certain():
    """A coarse clock makes most rounds of a launch equal; that says nothing of the next launch."""
    effect = one([0.0] * 6, [0.05] * 6)
    assert effect.error == pytest.approx(0.025)  # of two launches 0.05 apart
    assert effect.freedom == 1
    assert effect.p_above_zero() > 0.2


@pytest.mark.parametrize("launches", [[[1.0, 2.0]], [[1.0, 2.0], [1.0]], []])
def test_too_few_launches_or_rounds_are_refused(launches):
    with pytest.raises(ValueError, match="two launches with two rounds each"):
        effects([launches])


def test_no_benchmarks_have_no_effects():
    assert effects([]) == []
