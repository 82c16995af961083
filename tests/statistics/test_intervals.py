"""The intervals reach the confidence that they claim."""

import math
from dataclasses import replace

import numpy as np
import pytest

from suite.statistics.holm import holm
from suite.statistics.intervals import (
    ONE_LAUNCH_GAP,
    Interval,
    lag1_autocorrelation,
    launched_interval,
    median_interval,
    median_ratio,
    median_ratios,
    paired_ratio,
)


def test_one_sample_has_no_interval_and_says_so():
    interval = median_interval([3.0])
    assert (interval.median, interval.low, interval.high, interval.level, interval.count) == (3, 3, 3, 0, 1)
    assert interval.relative_half_width == float("inf")


@pytest.mark.parametrize("count", [2, 5])
def test_below_six_samples_the_extremes_have_their_own_level(count):
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


def test_the_interval_covers_the_median_of_a_skewed_distribution():
    generator = np.random.default_rng(7)
    series = generator.lognormal(sigma=1.0, size=(3000, 25))
    intervals = [median_interval(samples) for samples in series]
    covered = np.mean([interval.low <= 1.0 <= interval.high for interval in intervals])
    assert covered == pytest.approx(intervals[0].level, abs=0.012)


def launches_of(generator, count, *, between=0.03, within=0.04, samples=15):
    shifts = generator.normal(scale=between, size=(count, 1))
    return np.exp(shifts + generator.normal(scale=within, size=(count, samples)))


@pytest.mark.parametrize(("count", "between"), [(3, 0.1), (5, 0.03), (3, 0.0)])
def test_the_interval_over_launches_covers_as_often_as_it_says(count, between):
    generator = np.random.default_rng(11)
    intervals = [launched_interval(launches_of(generator, count, between=between)) for _ in range(600)]
    assert np.mean([interval.low <= 1.0 <= interval.high for interval in intervals]) > 0.93
    assert {(i.level, i.count, i.launches) for i in intervals} == {(0.95, 15 * count, count)}


def test_an_interval_of_one_launch_misses_where_launches_differ():
    generator = np.random.default_rng(11)
    intervals = [launched_interval(launches_of(generator, 3)[:1]) for _ in range(300)]
    assert np.mean([interval.low <= 1.0 <= interval.high for interval in intervals]) < 0.7
    assert {interval.launches for interval in intervals} == {1}


def test_spreads_of_launches_and_samples_widen_the_interval():
    one = np.exp(np.random.default_rng(5).normal(scale=0.04, size=201))
    still, noisy = ([of * shift for shift in (0.98, 1.0, 1.02)] for of in (np.full(201, 1.0), one))
    alone, samples, both = (
        np.log(launched_interval(of).high / launched_interval(of).median) for of in (still, [one] * 3, noisy)
    )
    assert both == pytest.approx(np.hypot(alone, samples), rel=1e-6)


def test_the_interval_over_launches_lies_about_its_median():
    interval = launched_interval([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]])
    assert (interval.median, interval.low * interval.high) == (2.0, pytest.approx(4.0))
    assert interval.high == pytest.approx(2 * np.exp(4.3027 * np.log(2) / np.sqrt(3)), rel=1e-4)


@pytest.mark.parametrize("launches", [[], [[]], [[1.0], []], [[1.0], [0.0], [1.0]]])
def test_launches_without_usable_samples_are_refused(launches):
    with pytest.raises(ValueError, match=r"launches must|above zero"):
        launched_interval(launches)
    with pytest.raises(ValueError, match="at least one"):
        median_interval([])


def test_medians_whose_launches_overlap_may_be_equal():
    spread = launched_interval([[1.0, 1.01], [1.02, 1.03], [1.04, 1.05]])
    near, far = (launched_interval([[x, x * 1.01]] * 3) for x in (1.06, 1.6))
    assert not median_ratio(spread, near).is_clear
    assert median_ratio(spread, far).is_clear
    assert not median_ratio(far, median_interval([1.0])).is_clear


def test_intervals_of_one_launch_are_apart_beyond_repeats_alone():
    first, near, far = (median_interval([x] * 9) for x in (1.0, ONE_LAUNCH_GAP - 0.01, ONE_LAUNCH_GAP + 0.01))
    assert not median_ratio(near, first).is_clear
    assert median_ratio(far, first).is_clear
    assert median_ratio(near, first).high == pytest.approx((ONE_LAUNCH_GAP - 0.01) * ONE_LAUNCH_GAP)


def test_half_widths_of_two_records_are_sides_of_a_right_angle():
    first, other = (Interval(median=2.0, low=2 / by, high=2 * by, level=0.95, count=9, launches=3) for by in (1.3, 1.4))
    half = math.exp(math.hypot(math.log(1.3), math.log(1.4)))
    ratio = median_ratio(first, other)
    assert (ratio.low, ratio.ratio, ratio.high) == (pytest.approx(1 / half), 1, pytest.approx(half))


def p_of(first, other):
    """One minus the highest confidence at which the ratio's interval excludes 1, by bisection."""
    low, high = 1e-9, 1 - 1e-9
    for _ in range(60):
        middle = math.sqrt(low * high)
        is_clear = median_ratio(first.at_level(1 - middle), other.at_level(1 - middle)).is_clear
        low, high = (low, middle) if is_clear else (middle, high)
    return high


@pytest.mark.parametrize("seed", range(20))
def test_ratios_of_several_cases_are_clear_by_holms_rule(seed):
    generator = np.random.default_rng(seed)
    shifts = (1.0, 1.1, 1.2, 1.3, 1.5, 2.0)
    sides = [[launched_interval(launches_of(generator, 5)) for _ in range(2)] for _ in shifts]
    pairs = [
        (replace(first, median=first.median * shift), other)
        for shift, (first, other) in zip(shifts, sides, strict=True)
    ]
    by_p = [p < 0.05 for p in holm([p_of(*pair) for pair in pairs])]
    assert [ratio.is_clear for ratio in median_ratios(pairs)] == by_p
    assert median_ratios([]) == []


def test_a_ratio_of_one_record_is_taken_launch_by_launch():
    """By hand: the launches' ratios are 0.5, 0.6 and 0.72, whose logarithms are 0.1823 apart."""
    whole, part = ({1: [2.0], 4: [1.0], 7: [4.0], 9: [1.0]}, {1: [1.0], 4: [0.6], 7: [2.88]})
    ratio = paired_ratio(part, whole)
    half = math.exp(4.3027 * math.log(1.2) / math.sqrt(3))
    assert ratio.ratio == pytest.approx(0.6)
    assert (ratio.low, ratio.high) == (pytest.approx(0.6 / half, rel=1e-4), pytest.approx(0.6 * half, rel=1e-4))
    alone = paired_ratio({0: [1.0]}, {0: [2.0]})
    assert (alone.ratio, alone.low, alone.high, alone.is_clear) == (0.5, 0, math.inf, False)
    with pytest.raises(ValueError, match="must have timed both"):
        paired_ratio({0: [1.0]}, {1: [1.0]})


@pytest.mark.parametrize("launches", [3, 8])
def test_ratios_hold_the_truth_as_often_as_they_say(launches):
    """Spans of one record share nine tenths of a launch’s noise. A paired ratio holds as often as asked; that of two
    records at least as often. The bound is three standard errors of 2,000 rounds."""
    generator, rounds = np.random.default_rng(17), 2000
    bound = 3 * math.sqrt(0.95 * 0.05 / rounds)
    paired, between = 0, 0
    for _ in range(rounds):
        shared = generator.normal(scale=0.09, size=(launches, 1))
        spans = [np.exp(shared + generator.normal(scale=0.03, size=(launches, 1))) for _ in range(2)]
        ratio = paired_ratio(*(dict(enumerate(span)) for span in spans))
        paired += ratio.low <= 1 <= ratio.high
        records = [launches_of(generator, launches, between=0.05, within=0.0) for _ in range(2)]
        ratio = median_ratio(*map(launched_interval, records))
        between += ratio.low <= 1 <= ratio.high
    assert abs(paired / rounds - 0.95) <= bound
    assert 0.95 - bound <= between / rounds <= 0.99


def test_autocorrelation_is_that_of_neighbours_within_a_launch():
    assert lag1_autocorrelation([[0, 1] * 50, [5, 6] * 50]) == pytest.approx(-1, abs=0.02)
    assert lag1_autocorrelation([range(100)]) > 0.9
    assert lag1_autocorrelation([[1, 1, 1], [2]]) is None
