"""Curves are read at their evaluations, and runs that never arrive count."""

import itertools
import math

import numpy as np
import pytest

from suite.statistics.learning import (
    Arrivals,
    arrivals,
    at_budget,
    expected_best,
    expected_best_band,
    is_collapsed,
    mean_to_budget,
    to_threshold,
    worst_drawdown,
)

SPENT, VALUES = [0, 100, 200, 300, 400], [0.0, 0.3, 0.6, 0.2, 0.7]


@pytest.mark.parametrize(
    ("threshold", "spend"), [(0.0, 0), (0.1, 100), (0.3, 100), (0.31, 200), (0.65, 400), (0.7, 400), (0.71, None)]
)
def test_a_threshold_is_reached_at_the_first_evaluation_above(threshold, spend):
    assert to_threshold(SPENT, VALUES, threshold) == spend


@pytest.mark.parametrize(("budget", "value"), [(-1, None), (0, 0.0), (99.9, 0.0), (100, 0.3), (350, 0.2), (1e9, 0.7)])
def test_a_budget_buys_the_last_evaluation_within_it(budget, value):
    assert at_budget(SPENT, VALUES, budget) == value


def test_of_evaluations_at_one_spend_the_later_counts():
    assert at_budget([0, 5, 5, 6], [0.0, 0.1, 0.2, 0.3], 5) == 0.2
    assert to_threshold([0, 5, 5, 6], [0.0, 0.1, 0.2, 0.3], 0.2) == 5


@pytest.mark.parametrize(
    ("spends", "arrived", "median"),
    [
        ([3, 1], 2, 2),
        ([5.0, None, 1.0], 2, 5),  # Of those that arrived alone it would be 3.
        ([1.0, None], 1, None),
        ([1.0, 2.0, None, 4.0], 3, 3),
        ([None, None], 0, None),
    ],
)
def test_runs_that_never_arrive_count_as_infinitely_late(spends, arrived, median):
    assert arrivals(spends) == Arrivals(arrived=arrived, runs=len(spends), median=median)


def test_a_drawdown_is_the_largest_fall_from_any_earlier_value():
    assert worst_drawdown(VALUES) == pytest.approx(0.4)
    assert worst_drawdown([0.1, 0.1, 0.9]) == worst_drawdown([0.5]) == 0
    walk = np.random.default_rng(1).normal(size=40).cumsum()
    assert worst_drawdown(walk) == max(early - late for early, late in itertools.combinations(walk, 2))


@pytest.mark.parametrize(
    ("values", "collapsed"),
    [
        ([0.0, 0.8, 0.39], True),
        ([0.0, 0.8, 0.4], False),  # Exactly half is kept.
        ([0.0, 0.8, 0.1, 0.7], False),  # It recovered.
        ([0.0, 0.09, 0.0], False),  # It had nothing to lose.
        ([0.0, 0.1, 0.0], True),
        ([0.3, 0.2, 0.1], True),  # Below half of what the base model could.
        ([0.0, 0.0], False),
    ],
)
def test_a_run_is_collapsed_below_half_of_a_worthy_best(values, collapsed):
    assert is_collapsed(values) is collapsed


@pytest.mark.parametrize("k", [1, 3])
def test_the_expected_best_is_the_mean_over_all_draws(k):
    trials = [0.3, 0.9, 0.1, 0.3]
    assert expected_best(trials, k) == pytest.approx(np.mean([max(d) for d in itertools.product(trials, repeat=k)]))


def test_the_band_of_the_expected_best_is_of_other_trials():
    trials = np.random.default_rng(4).uniform(size=8)
    band = expected_best_band(trials, 4)
    drawn = [expected_best(np.random.default_rng(seed).choice(trials, 8), 4) for seed in range(1000)]
    assert band.estimate == expected_best(trials, 4)
    assert [band.low, band.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.02)
    assert band == expected_best_band(trials[::-1], 4)


# --- what is refused


@pytest.mark.parametrize(
    ("spent", "values", "message"),
    [
        ([], [], "spent must be a series of at least one number"),
        ([1.0], [], "values must be a series of at least one number"),
        ([1.0, 2.0], [1.0], "equally long; got 2 and 1"),
        ([2.0, 1.0], [1.0, 1.0], "spent must never fall"),
        ([1.0, math.nan], [1.0, 1.0], "spent must be finite; got nan"),
        ([1.0, 2.0], [1.0, math.inf], "values must be finite; got inf"),
        ([[1.0]], [[1.0]], "spent must be a series"),
    ],
)
def test_what_is_no_curve_is_refused(spent, values, message):
    for read in (to_threshold, at_budget):
        with pytest.raises(ValueError, match=message):
            read(spent, values, 0.5)


def test_a_threshold_or_budget_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="threshold must be a number"):
        to_threshold([1.0], [1.0], math.nan)
    with pytest.raises(ValueError, match="budget must be a number"):
        at_budget([1.0], [1.0], math.nan)


def test_a_mean_counts_each_doubling_of_the_spend_the_same():
    spent, values = [0, 1, 2, 4, 8], [0.9, 0.0, 0.2, 0.6, 1.0]
    assert mean_to_budget(spent, values, 1, 8) == pytest.approx((0.1 + 0.4 + 0.8) / 3)
    assert mean_to_budget(spent, values, 2, 4) == pytest.approx(0.4)
    # Half of a doubling is √2, where the line between two evaluations stands in their middle.
    assert mean_to_budget(spent, values, 2, 2 * 2**0.5) == pytest.approx((0.2 + 0.4) / 2)
    assert mean_to_budget([1, 8], [0.3, 0.3], 1, 8) == pytest.approx(0.3)


def test_a_mean_needs_evaluations_at_both_ends():
    spent, values = [0, 2, 8], [0.0, 0.5, 1.0]
    assert mean_to_budget(spent, values, 1, 8) is None  # at 0 nothing is spent, which no doubling leads to
    assert mean_to_budget(spent, values, 2, 9) is None
    for first, budget in ((0, 8), (8, 8), (2, math.inf), (math.nan, 8)):
        with pytest.raises(ValueError, match="first must be above 0 and below the budget"):
            mean_to_budget(spent, values, first, budget)


@pytest.mark.parametrize("spends", [[], [math.nan], [-1.0], [math.inf]])
def test_spends_that_are_none_are_refused(spends):
    with pytest.raises(ValueError, match="spends must"):
        arrivals(spends)


@pytest.mark.parametrize("read", [worst_drawdown, is_collapsed, lambda values: expected_best(values, 1)])
@pytest.mark.parametrize("values", [[], [0.5, math.nan]])
def test_an_empty_series_and_one_with_gaps_are_refused(read, values):
    with pytest.raises(ValueError, match=r"must be (a series|finite)"):
        read(values)


@pytest.mark.parametrize("k", [0, -1, 4])
def test_more_trials_than_were_made_are_not_extrapolated(k):
    with pytest.raises(ValueError, match=f"number of trials, 3; got {k}"):
        expected_best([0.1, 0.2, 0.3], k)


@pytest.mark.parametrize("settings", [{"worth": 0.0}, {"kept": 0.0}, {"kept": 1.5}])
def test_a_collapse_of_nothing_or_everything_is_refused(settings):
    with pytest.raises(ValueError, match="worth must be above 0"):
        is_collapsed([0.5, 0.1], **settings)
