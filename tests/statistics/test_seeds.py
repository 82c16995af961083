"""Student's interval of a few seeds, and of the ratio of two sums over clusters, by hand."""

import math

import numpy as np
import pytest

from suite.statistics.seeds import ratio_by_cluster, seed_mean


def test_the_interval_is_student_s():
    """t(2, 97.5%) = 4.303 times the standard error of three values."""
    interval = seed_mean([0.1, 0.2, 0.3])
    reach = 4.303 * 0.1 / math.sqrt(3)
    assert (interval.estimate, interval.runs, interval.level) == (pytest.approx(0.2), 3, 0.95)
    assert [interval.low, interval.high] == pytest.approx([0.2 - reach, 0.2 + reach], rel=1e-3)
    equal = seed_mean([0.5, 0.5])
    assert (equal.low, equal.high) == (0.5, 0.5)


def test_five_normal_values_are_covered_as_often_as_it_says():
    values = np.random.default_rng(0).standard_normal((1000, 5))
    covered = [interval.low <= 0 <= interval.high for interval in map(seed_mean, values)]
    assert 0.93 <= np.mean(covered) <= 0.97


@pytest.mark.parametrize("values", [[], [0.5], [0.5, math.nan]])
def test_fewer_than_two_values_have_none(values):
    with pytest.raises(ValueError, match="at least two finite numbers"):
        seed_mean(values)


@pytest.mark.parametrize(
    ("numerators", "denominators", "values"),
    [
        # (1 + 9) / (1 + 3) = 2.5, where the mean of 1 and 3 is 2; 2.5 + 2 (1 - 2.5) / 4 and 2.5 + 2 (9 - 7.5) / 4.
        ([1.0, 9.0], [1.0, 3.0], [1.75, 3.25]),
        ([2.0, 4.0, 9.0], [2.0, 2.0, 2.0], [1.0, 2.0, 4.5]),  # equal clusters: each one's own ratio
        ([0.0, 4.0], [0.0, 2.0], [2.0, 2.0]),  # a cluster with nothing to count moves nothing
    ],
)
def test_the_mean_is_the_ratio_of_the_sums_and_not_of_the_ratios(numerators, denominators, values):
    assert ratio_by_cluster(numerators, denominators) == pytest.approx(values)


@pytest.mark.parametrize(
    ("numerators", "denominators"),
    [([], []), ([1.0], [1.0, 2.0]), ([1.0], [0.0]), ([math.nan], [1.0]), ([1.0], [math.inf])],
)
def test_what_has_no_ratio_is_refused(numerators, denominators):
    with pytest.raises(ValueError, match="as many finite numbers"):
        ratio_by_cluster(numerators, denominators)
