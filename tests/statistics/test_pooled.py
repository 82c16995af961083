"""Several units as one estimate: its interval, what it concludes, and units that contradict each other."""

import math

import numpy as np
import pytest

from suite.statistics.paired import FEWEST_PAIRS, ArmOutcome, changes
from suite.statistics.pooled import ALPHA_BY_LOOKS, Conclusion, Pooled, checked_conclusion, differing_rows

RIPPLE = [-0.01, -0.005, 0.0, 0.005, 0.01]


def unit(shift, spread=1.0, margin=0.02):
    return changes([shift + spread * ripple for ripple in RIPPLE], margin=margin)


def test_the_interval_is_welchs():
    """By hand: two units of five pairs, with variances of 6.25e-5 and four times as much."""
    pooled = Pooled((unit(0.10), unit(0.04, spread=2.0)))
    variance = sum(ripple**2 for ripple in RIPPLE) / 4 / 5
    error = math.sqrt(variance + 4 * variance) / 2
    freedom = (5 * variance) ** 2 / (variance**2 / 4 + (4 * variance) ** 2 / 4)
    assert math.floor(freedom) == 5
    t_of_5 = 2.570582
    assert pooled.interval.estimate == pytest.approx(0.07)
    assert pooled.interval.high == pytest.approx(0.07 + t_of_5 * error, rel=1e-6)


@pytest.mark.parametrize(
    ("shifts", "spread", "conclusion"),
    [
        ([0.10, 0.08, 0.09], 1.0, Conclusion.HIGHER),
        ([-0.10, -0.09], 1.0, Conclusion.LOWER),
        ([0.001, -0.001], 0.5, Conclusion.EQUAL),
        ([-0.012, -0.012], 3.0, Conclusion.NOT_HIGHER),
        ([0.012, 0.012], 3.0, Conclusion.NOT_LOWER),
        ([0.0, 0.0], 10.0, Conclusion.OPEN),
        ([0.10, -0.10], 1.0, Conclusion.UNITS_DIFFER),
        ([0.10, 0.0], 0.5, Conclusion.UNITS_DIFFER),
        ([0.10, 0.05], 1.0, Conclusion.HIGHER),
    ],
)
def test_a_conclusion_follows_from_the_interval(shifts, spread, conclusion):
    assert Pooled(tuple(unit(shift, spread) for shift in shifts)).conclusion is conclusion


def test_units_that_cannot_tell_are_left_out():
    few = changes([0.5] * (FEWEST_PAIRS - 1), margin=0.02)
    assert Pooled((few,)).conclusion is Conclusion.FEW
    assert Pooled((few, unit(0.1))).interval.estimate == pytest.approx(0.1)


def test_from_five_units_on_the_estimate_is_about_others():
    """By hand: means of 1 to 5 points have a standard error of √(2.5 / 5), and t(4, 97.5%) is 2.776."""
    few, draws = (Pooled(tuple(unit(shift / 100) for shift in range(1, count))) for count in (5, 6))
    assert (few.is_about_others, draws.is_about_others) == (False, True)
    assert draws.interval.high == pytest.approx(0.03 + 2.776445 * math.sqrt(2.5 / 5) / 100, rel=1e-6)
    assert draws.interval.runs == 25
    # That four differ among themselves does not widen their interval.
    assert few.interval.high == Pooled((unit(0.025),) * 4).interval.high
    scattered = Pooled(tuple(unit(shift) for shift in (0.2, 0.01, 0.02, 0.01, 0.02)))
    assert scattered.conclusion is Conclusion.OPEN


def test_heterogeneity_is_cochrans_q():
    """By hand: of many pairs, units at -1, 0 and 1 standard errors have Q = 2; e^-1 is p of two degrees."""
    count = 10_000
    spread = 0.01 * math.sqrt((count - 1) / count) * math.sqrt(count)  # a standard error of 0.01
    units = [changes([shift - spread, shift + spread] * (count // 2)) for shift in (-0.01, 0.0, 0.01)]
    assert Pooled(tuple(units)).heterogeneity_p == pytest.approx(math.exp(-1), rel=1e-3)
    # Of five pairs each, with weights of a third, the same Q stands for c (1 + (3 c + 4) / 48) = 2, or 1.6828.
    few = [unit(shift * math.sqrt(6.25e-5 / 5)) for shift in (-1, 0, 1)]
    assert Pooled(tuple(few)).heterogeneity_p == pytest.approx(math.exp(-1.6828 / 2), rel=1e-4)


def test_units_without_spread_have_a_heterogeneity_too():
    flat = changes([0.01] * 5)
    assert Pooled((flat, flat)).heterogeneity_p == 1.0
    assert Pooled((flat, changes([0.02] * 5))).heterogeneity_p == 0.0
    assert 0.0 < Pooled((flat, unit(0.012))).heterogeneity_p < 1.0
    assert Pooled((flat,)).heterogeneity_p is None


@pytest.mark.parametrize("count", [3, 6])
def test_no_difference_is_called_one_in_a_twentieth(count):
    random = np.random.default_rng(0)
    rounds = 300
    asserted = 0
    for _ in range(rounds):
        pooled = Pooled(tuple(changes(list(random.normal(size=10)), margin=0.02) for _ in range(count)))
        asserted += pooled.conclusion in (Conclusion.HIGHER, Conclusion.LOWER, Conclusion.UNITS_DIFFER)
    assert asserted / rounds < 0.08


def test_rows_are_corrected_for_each_other():
    random = np.random.default_rng(1)
    alone = Pooled((changes([0.03, 0.01, 0.02, 0.04, 0.005]),))
    assert differing_rows([alone]) == [True]
    others = [Pooled((changes(list(random.normal(size=5))),)) for _ in range(19)]
    assert differing_rows([alone, *others])[0] is False


def test_units_that_are_not_clearly_different_do_not_contradict():
    """One is clearly higher, the other within the margin; that they differ has p = 0.03."""
    pooled = Pooled((unit(0.012, spread=0.6), unit(0.004, spread=0.6)))
    assert [comparison.outcome for comparison in pooled.telling] == [ArmOutcome.HIGHER, ArmOutcome.ALIKE]
    assert pooled.conclusion is Conclusion.HIGHER


def test_a_clear_mean_stands_only_if_every_check_agrees():
    """Without the first unit the mean of the others is nothing; without any other it stays clear."""
    pooled = Pooled((unit(0.10), unit(0.001), unit(-0.001)))
    assert pooled.without(0).mean == pytest.approx(0.0)
    plain = Pooled((unit(0.10), unit(0.09), unit(0.11)))
    assert checked_conclusion(plain, [plain.without(place) for place in range(3)]) is Conclusion.HIGHER
    assert checked_conclusion(plain, [plain.without(0), Pooled((unit(-0.10),))]) is Conclusion.DEPENDS
    still_open = Pooled((unit(0.0, spread=10.0),))
    assert checked_conclusion(still_open, [plain]) is Conclusion.OPEN


def test_five_draws_stay_draws_without_one():
    draws = Pooled(tuple(unit(shift / 100) for shift in range(1, 6)))
    rest = draws.without(4)
    assert rest.is_about_others
    assert rest.interval.high == pytest.approx(0.025 + 3.182446 * math.sqrt(5 / 3) / 2 / 100, rel=1e-6)


def test_a_second_look_asks_for_a_smaller_p():
    """Five differences whose mean is 3 standard errors above 0: p is 0.0399, between both limits."""
    ripple = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    differences = ripple + 3 * np.std(ripple, ddof=1) / math.sqrt(5)
    first, second = (Pooled((changes(list(differences)),), alpha=ALPHA_BY_LOOKS[looks]) for looks in (1, 2))
    assert first.p == pytest.approx(0.0399, abs=1e-4)
    assert (first.conclusion, second.conclusion) == (Conclusion.HIGHER, Conclusion.OPEN)
    assert second.interval.low < 0 < first.interval.low
