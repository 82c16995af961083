"""The rules of other tools, by worked examples: .ci/tools/benchmarks/rules.py."""

import math

import numpy as np
import pytest

from tools.benchmarks import rules

FLAT = [1.0, 1.01, 1.02, 0.99, 0.98, 1.03, 0.97, 1.04, 0.96, 1.05]


def test_u_counts_the_pairs_in_which_the_first_is_longer():
    assert rules.u_statistic([1, 4], [2, 3, 5]) == (2, 0)  # 4 > 2 and 4 > 3
    assert rules.u_statistic([2, 2], [2, 1]) == (2, 2)
    assert rules.u_statistic([1, 2], [3, 4]) == (0, 0)


def test_the_orderings_of_two_and_three_times_are_those_by_hand():
    assert rules.u_orderings(2, 2) == (1, 1, 2, 1, 1)
    assert rules.u_orderings(2, 3) == (1, 1, 2, 2, 2, 1, 1)
    assert sum(rules.u_orderings(9, 7)) == math.comb(16, 7)


def test_the_exact_p_is_that_of_the_published_tables():
    # Mann and Whitney 1947, table I, of 4 and 4: P(U <= 0, 1, 2, 3) is .014, .029, .057, .100.
    reached = np.cumsum(rules.u_orderings(4, 4))[:4] / math.comb(8, 4)
    assert [round(float(one), 3) for one in reached] == [0.014, 0.029, 0.057, 0.1]
    assert rules.asv_p([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]) == pytest.approx(2 / 252)


def test_the_approximation_agrees_with_exact_p_to_two_digits():
    generator = np.random.default_rng(2)
    for _ in range(20):
        before, after = generator.normal(size=12), generator.normal(loc=0.5, size=12)
        assert rules.u_test_p(before, after) == pytest.approx(rules.asv_p(before, after), abs=0.01)


def test_ties_are_corrected_for_and_all_equal_is_no_difference():
    # By hand: U = 3.5 of 8; ranks tie in a pair, so the variance is 16 / 12 (9 - 6 / 56) = 11.857.
    before, after = [1, 2, 3, 4], [4, 5, 6, 0.5]
    assert rules.u_statistic(before, after) == (4, 1)
    assert rules.u_test_p(before, after) == pytest.approx(math.erfc(3 / math.sqrt(2 * 16 / 12 * (9 - 6 / 56))))
    assert rules.u_test_p([1, 1, 1], [1, 1, 1]) == 1


def test_a_tie_is_broken_by_asv_in_the_least_significant_way():
    assert rules.asv_p([1, 2, 3], [3, 4, 5]) == pytest.approx(2 * 2 / 20)  # U of 1, not of 0
    assert rules.asv_p([1, 1, 1], [1, 1, 1]) == pytest.approx(1)


def test_t_is_that_of_the_tables():
    for freedom, critical in ((1, 12.706), (5, 2.571), (10, 2.228), (30, 2.042), (1000, 1.962)):
        assert rules.student_p(critical, freedom) == pytest.approx(0.05, abs=2e-4)
    assert rules.student_p(0, 7) == 1
    assert rules.student_p(60, 500) < 1e-9


def test_welch_uses_each_sides_own_variance():
    # By hand: means 2 and 5, variances 1 and 4 of three each: t = 3 / sqrt(5/3), (5/3)^2 / ((1/9 + 16/9) / 2) degrees.
    assert rules.welch_p([1, 2, 3], [3, 5, 7]) == pytest.approx(rules.student_p(3 / math.sqrt(5 / 3), 50 / 17))


def test_asv_wants_both_a_tenth_and_a_difference():
    assert rules.asv(FLAT, [1.2 * one for one in FLAT])
    assert not rules.asv(FLAT, [1.09 * one for one in FLAT])  # apart for sure, by less than its factor
    assert rules.asv_differs(FLAT, [1.09 * one for one in FLAT])
    noisy = [0.5, 0.6, 0.7, 0.8, 0.9, 1.3, 1.4, 1.5, 1.6, 1.7]
    assert np.median(noisy) / np.median(FLAT) > 1.05
    assert not rules.asv(FLAT, [1.1 * one for one in noisy])  # further than its factor, and no difference
    assert not rules.asv([1.2 * one for one in FLAT], FLAT)  # faster is not slower


def test_asv_with_few_samples_asks_for_disjoint_median_intervals():
    five = [1.0, 1.01, 0.99, 1.02, 0.98]
    assert 1 / math.comb(10, 5) > rules.ASV_P  # its U test cannot say it
    assert not rules.asv(five, [1.2 * one for one in [0.5, 0.9, 1.0, 1.1, 1.5]])
    assert rules.asv(five, [1.5 * one for one in five])
    assert not rules.asv([1.0], [2.0])  # a single sample has no interval


def test_eight_values_give_an_order_statistic_median_interval():
    assert rules.asv_interval(range(1, 9)) == (1, 8)  # 2 / 256 outside
    assert rules.asv_interval(range(1, 21)) == (4, 17)
    low, high = rules.asv_interval([1.0, 2.0, 3.0])
    assert low < 1
    assert high > 3
    assert low + high == pytest.approx(4)


def test_the_posterior_of_two_samples_is_the_integrated_one():
    # Of -1 and 1 it is 1 between them and x^-2 outside, 4 in all: the tail beyond 50 is 1 / 50, which is 0.005 of 4.
    assert rules.laplace_quantile(np.array([-1.0, 1.0]), 0.005) == pytest.approx(-50)
    assert rules.laplace_quantile(np.array([-1.0, 1.0]), 0.995) == pytest.approx(50)


def test_a_threshold_looks_at_the_medians_alone():
    assert rules.median_threshold([1, 1, 9], [1.06, 1.06, 1.06])
    assert not rules.median_threshold([1, 1, 9], [1.04, 1.04, 99])
    assert not rules.median_threshold(FLAT, [0.5 * one for one in FLAT])


@pytest.mark.parametrize("rule", rules.RULES.values(), ids=rules.RULES)
def test_every_rule_finds_a_half_and_nothing_in_equal_times(rule):
    assert rule(FLAT, [1.5 * one for one in FLAT])
    assert not rule(FLAT, FLAT)
    assert not rule([1.5 * one for one in FLAT], FLAT)
