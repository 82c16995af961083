"""Kaplan-Meier's curve by the numbers that textbooks print, and exact tests by counting every split."""

import itertools
import math

import numpy as np
import pytest

from suite.statistics.take_off import TakeOff, fisher, kaplan_meier, log_rank, median_take_off, take_off

# Weeks of remission of 42 children (E. Freireich et al., Blood 21, 1963), a minus for those who were lost to follow-up.
TREATED = [6, 6, 6, -6, 7, -9, 10, -10, -11, 13, 16, -17, -19, -20, 22, 23, -25, -32, -32, -34, -35]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]


def runs(weeks):
    return [TakeOff(spent=abs(week), happened=week > 0) for week in weeks]


def test_kaplan_meier_of_freireich_is_the_textbook_s():
    shares = kaplan_meier(runs(TREATED))
    assert [*shares] == [0, 6, 7, 10, 13, 16, 22, 23]
    printed = [1, 0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448]
    assert [share.estimate for share in shares.values()] == pytest.approx(printed, abs=5e-4)
    # R's survfit with conf.type="log-log".
    assert (shares[6].low, shares[6].high) == pytest.approx((0.620, 0.952), abs=1e-3)
    assert (shares[23].low, shares[23].high) == pytest.approx((0.188, 0.680), abs=1e-3)
    assert median_take_off(shares) == (23, 13, math.inf)


def test_without_censoring_it_is_the_share_that_waits():
    shares = kaplan_meier(runs([1, 2, 2, 4, 5]))
    assert [share.estimate for share in shares.values()] == pytest.approx([1, 0.8, 0.4, 0.2, 0])
    assert median_take_off(shares) == (2, 1, 5)
    assert median_take_off(kaplan_meier(runs([-9, -9]))) == (math.inf,) * 3


def test_a_run_takes_off_at_its_first_half_or_is_censored():
    assert take_off([0, 10, 20], [0.1, 0.5, 0.2]) == TakeOff(spent=10, happened=True)
    assert take_off([0, 10, 20], [0.1, 0.49, 0.2]) == TakeOff(spent=20, happened=False)


def test_the_log_rank_test_is_that_of_the_textbook():
    # O - E is -10.25 for the treated with a variance of 6.257: chi² = 16.79, p = 4.2e-5.
    test = log_rank(runs(TREATED), runs(PLACEBO))
    assert test.direction == 1
    assert test.p < 3e-4


def by_every_split(ours, theirs):
    """p of the log-rank statistic by its definition, over all splits."""
    everyone = runs([*ours, *theirs])

    def statistic(chosen):
        total = 0.0
        for week in {run.spent for run in everyone if run.happened}:
            at_risk = [run.spent >= week for run in everyone]
            events = [run.happened and run.spent == week for run in everyone]
            share = sum(at_risk[place] for place in chosen) / sum(at_risk)
            total += sum(events[place] for place in chosen) - sum(events) * share
        return total

    splits = itertools.combinations(range(len(everyone)), len(ours))
    sums = np.abs([statistic(split) for split in splits])
    return np.mean(sums >= abs(statistic(range(len(ours)))) - 1e-9)


@pytest.mark.parametrize(
    ("ours", "theirs"), [([3, 5, -9, -9], [1, 3, 4, 5, -9]), ([1, 2, 3], [4, 5, 6]), ([1, 6, -6], [2, -6])]
)
def test_the_log_rank_p_counts_every_split(ours, theirs):
    test, mirrored = log_rank(runs(ours), runs(theirs)), log_rank(runs(theirs), runs(ours))
    assert test.p == pytest.approx(by_every_split(ours, theirs))
    assert (mirrored.p, mirrored.direction) == (pytest.approx(test.p), -test.direction)


def test_five_runs_against_five_can_be_clear_at_0_008():
    test = log_rank(runs([-9] * 4 + [8]), runs([1, 2, 3, 4, 5]))
    assert (test.p, test.direction) == (pytest.approx(2 / math.comb(10, 5)), 1)
    alike = log_rank(runs([-9] * 5), runs([-9] * 5))
    assert (alike.p, alike.is_tested, alike.direction) == (1, False, 0)


def test_of_many_runs_a_fixed_sample_of_splits_is_drawn():
    early, late = runs(range(1, 31)), runs(range(16, 46))
    assert log_rank(early, late) == log_rank(early, late)
    assert 0 < log_rank(early, late).p < 1e-3


@pytest.mark.parametrize(
    ("ours", "theirs", "runs", "p"),
    # The lady who tasted tea, 2 of 42 splits, 2,490 of 125,970, and what cannot differ.
    [(3, 1, 4, 0.485714), (4, 0, 5, 0.047619), (9, 3, 10, 0.019767), (0, 0, 5, 1.0), (10, 10, 10, 1.0)],
)
def test_fisher_s_p_is_the_textbook_s(ours, theirs, runs, p):
    assert fisher(ours, theirs, runs=runs).p == pytest.approx(p, abs=1e-6)
    assert fisher(theirs, ours, runs=runs).p == pytest.approx(p, abs=1e-6)
    assert fisher(ours, theirs, runs=runs).direction == (ours > theirs)


def test_a_share_of_few_runs_cannot_be_clear():
    assert [fisher(count, 0, runs=5).is_tested for count in range(6)] == [False] * 4 + [True] * 2
