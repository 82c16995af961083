"""The intervals reach the confidence that they claim."""

import numpy as np
import pytest

from suite.statistics.intervals import median_interval, paired_ratio_interval


def test_one_sample_has_no_interval_and_says_so():
    interval = median_interval([3.0])
    assert (interval.median, interval.low, interval.high, interval.level, interval.count) == (3, 3, 3, 0, 1)
    assert interval.relative_half_width == float("inf")


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_below_six_samples_the_extremes_are_given_with_the_level_they_reach(count):
    interval = median_interval(range(1, count + 1))
    assert (interval.low, interval.high) == (1, count)
    assert interval.level == 1 - 2 ** (1 - count) < 0.95


@pytest.mark.parametrize(
    ("count", "rank", "level"),
    [(6, 1, 0.96875), (8, 1, 0.9921875), (9, 2, 0.9609375), (10, 2, 0.978515625), (20, 6, 0.9586105346679688)],
)
def test_the_order_statistics_are_those_of_the_binomial_table(count, rank, level):
    interval = median_interval(range(1, count + 1))
    assert (interval.low, interval.high) == (rank, count + 1 - rank)
    assert interval.level == pytest.approx(level, abs=1e-12)


def test_a_long_series_neither_underflows_nor_widens():
    interval = median_interval(np.arange(5000.0))
    assert 0.95 <= interval.level < 0.955
    assert interval.relative_half_width < 0.03


def test_the_interval_covers_the_median_of_a_skewed_distribution_as_often_as_it_says():
    generator = np.random.default_rng(7)
    series = generator.lognormal(sigma=1.0, size=(3000, 25))
    intervals = [median_interval(samples) for samples in series]
    covered = np.mean([interval.low <= 1.0 <= interval.high for interval in intervals])
    assert covered == pytest.approx(intervals[0].level, abs=0.012)


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        median_interval([])


def test_a_paired_ratio_finds_a_small_change_below_a_common_drift():
    generator = np.random.default_rng(3)
    drift = np.exp(np.cumsum(generator.normal(scale=0.1, size=40)))
    noise = generator.lognormal(sigma=0.01, size=(2, 40))
    ratio = paired_ratio_interval(1.05 * drift * noise[0], drift * noise[1])
    assert ratio.low > 1.03
    assert ratio.high < 1.07
    assert ratio.low <= ratio.median <= ratio.high


def test_a_paired_ratio_of_a_series_with_itself_is_one():
    ratio = paired_ratio_interval([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert (ratio.low, ratio.median, ratio.high) == (1, 1, 1)


@pytest.mark.parametrize("other", [[1.0], [1.0, 2.0]])
def test_rounds_that_do_not_pair_are_refused(other):
    with pytest.raises(ValueError, match="equal length"):
        paired_ratio_interval([1.0], other)
