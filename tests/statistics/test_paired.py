import itertools
import math

import numpy as np
import pytest

from suite.statistics.paired import ArmOutcome, Comparison, changes, compare, judge_together, sign_flip_p
from suite.statistics.student import t_within

SEEDS = [str(seed) for seed in range(5)]


def arms(*differences, base=0.5, **settings):
    theirs = {seed: base for seed, _ in zip(SEEDS * 2, differences, strict=False)}
    return compare({seed: base + d for seed, d in zip(SEEDS, differences, strict=False)}, theirs, **settings)


def test_pairs_are_made_by_name_and_not_by_place():
    comparison = compare({"1": 1.0, "2": 2.0, "9": 7.0}, {"2": 1.5, "1": 0.0, "3": 5.0})
    assert comparison.differences == (1.0, 0.5)
    assert compare({"1": 1.0}, {"2": 1.0}) is None


def test_fewer_than_five_pairs_say_nothing():
    assert arms(0.3, 0.3, 0.3, 0.31).outcome is ArmOutcome.FEW
    assert arms(0.3, 0.3, 0.3, 0.31, 0.3).outcome is ArmOutcome.HIGHER
    assert arms(0.0, 0.0, base=1.0, bounds=(0.1, 1.0)).outcome is ArmOutcome.FEW


def test_one_pair_has_no_interval_and_any_error():
    alone = arms(0.3)
    assert (alone.pairs, alone.mean, alone.error) == (1, pytest.approx(0.3), math.inf)
    assert (alone.interval, alone.p, alone.outcome) == (None, None, ArmOutcome.FEW)
    assert arms(0.3, 0.5).error == pytest.approx(0.1)


def test_the_interval_is_students():
    comparison = arms(0.1, 0.2, 0.3, 0.4, 0.5)
    # t(4) at 97.5% is 2.776, the standard deviation 0.1581.
    assert (comparison.interval.low, comparison.interval.high) == pytest.approx((0.3 - 0.1963, 0.3 + 0.1963), abs=1e-4)
    assert comparison.p == pytest.approx(0.0132, abs=1e-4)
    assert comparison.sign_flip_p == pytest.approx(2 / 32)


def test_a_gap_that_rests_on_one_seed_is_open():
    assert arms(-0.77, -0.06, -0.07, -0.05, -0.06).outcome is ArmOutcome.OPEN


def test_alike_is_what_two_one_sided_tests_say():
    generator, words = np.random.default_rng(0), set()
    for spread, gap in itertools.product((0.008, 0.014, 0.02), (-0.01, 0.0, 0.01, 0.03)):
        differences = generator.normal(gap, spread, size=10)
        comparison = changes(differences.tolist(), margin=0.02)
        beyond = min(0.02 + comparison.mean, 0.02 - comparison.mean) / comparison.error  # the nearer end of the margin
        larger_p = (1 - t_within(beyond, 9)) / 2 if beyond > 0 else 0.5
        assert (comparison.outcome is ArmOutcome.ALIKE) == (larger_p < 0.025 and comparison.p >= 0.05)
        words.add(comparison.outcome)
    assert words >= {ArmOutcome.ALIKE, ArmOutcome.OPEN, ArmOutcome.HIGHER}


def test_alike_needs_an_interval_within_the_margin():
    differences = (0.004, -0.004, 0.002, -0.002, 0.001)
    assert arms(*differences, margin=0.02).outcome is ArmOutcome.ALIKE
    assert arms(*differences, margin=0.004).outcome is ArmOutcome.OPEN
    assert arms(*differences).outcome is ArmOutcome.OPEN
    # -1.9 points, -4.5 to +0.7: within two points above, and not below.
    one_sided = (-0.05, -0.01, -0.03, 0.005, -0.01)
    assert arms(*one_sided, margin=0.02).outcome is ArmOutcome.OPEN
    assert arms(*(-d for d in one_sided), margin=0.02).outcome is ArmOutcome.OPEN
    assert arms(0.0, 0.0, 0.0, 0.0, 0.0, margin=0.02).outcome is ArmOutcome.ALIKE


def test_a_task_at_its_bounds_tells_nothing_apart():
    bounds = (0.125, 1.0)
    assert arms(*[0.005] * 5, base=0.992, bounds=bounds).outcome is ArmOutcome.CEILING
    assert arms(*[0.01] * 5, base=0.12, bounds=bounds).outcome is ArmOutcome.FLOOR
    assert arms(*[0.03] * 5, base=0.12, bounds=bounds).outcome is ArmOutcome.HIGHER


def test_a_table_of_many_comparisons_asks_more_of_each():
    higher = arms(0.1, 0.2, 0.3, 0.4, 0.5)
    assert higher.outcome is ArmOutcome.HIGHER
    corrected, *_ = judge_together([higher, *[arms(0.1, -0.1, 0.2, -0.2, 0.01)] * 9])
    assert corrected.adjusted_p == pytest.approx(10 * higher.p)
    assert corrected.outcome is ArmOutcome.OPEN


def test_what_is_not_tested_costs_the_others_nothing():
    higher, few = arms(0.1, 0.2, 0.3, 0.4, 0.5), arms(0.1, 0.2)
    ceiling = arms(0.0, 0.0, 0.0, 0.0, 0.0, base=1.0, bounds=(None, 1.0))
    judged = judge_together([few, higher, ceiling])
    assert [c.outcome for c in judged] == [ArmOutcome.FEW, ArmOutcome.HIGHER, ArmOutcome.CEILING]
    assert judged[1].adjusted_p == higher.p


@pytest.mark.parametrize("count", [1, 5, 8])
def test_sign_flips_are_counted_exactly(count):
    differences = np.random.default_rng(count).normal(0.4, 1, count)
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product((1, -1), repeat=count)]
    assert sign_flip_p(differences) == np.mean(np.array(sums) >= abs(differences.sum()) - 1e-12)


def test_a_change_is_compared_with_nothing_or_another_series():
    assert changes([1.0, 2.0, 3.0], less=1.0).differences == (0.0, 1.0, 2.0)
    assert changes([1.0, 2.0], less=[2.0, 1.0]).differences == (-1.0, 1.0)
    assert changes([]) is None


def test_a_value_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="finite"):
        compare({"1": math.nan}, {"1": 1.0})


@pytest.mark.parametrize("spread", ["normal", "heavy"])
@pytest.mark.parametrize("pairs", [2, 3, 5, 10])
def test_the_rule_is_seldom_wrong_where_nothing_differs(pairs, spread):
    generator = np.random.default_rng(pairs)
    drawn = generator.normal(size=(600, pairs)) if spread == "normal" else generator.standard_t(2, (600, pairs))
    judged = [Comparison(ours=tuple(row), theirs=(0.0,) * pairs).outcome for row in drawn.tolist()]
    # 6% and what 600 draws add by chance; a bootstrap is at 17% with five pairs.
    assert np.mean([outcome in (ArmOutcome.HIGHER, ArmOutcome.LOWER) for outcome in judged]) <= 0.075
