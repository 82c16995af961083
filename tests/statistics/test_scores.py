"""Scores are summed up as Agarwal et al. define it, and the intervals are as wide as they say, or as narrow."""

import itertools
from functools import partial

import numpy as np
import pytest

from suite.statistics.scores import (
    bootstrap_profile,
    iqm,
    mean,
    median,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap,
)

OF_ONE = [mean, median, iqm, optimality_gap, partial(performance_profile, thresholds=[0.0, 0.5])]
# Two runs of three tasks; the tasks' means are 0.25, 0.5 and 2.
SCORES = [[0.0, 0.5, 1.0], [0.5, 0.5, 3.0]]


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


# --- the statistics


def test_small_scores_are_summed_up_as_by_hand():
    assert mean(SCORES) == pytest.approx(2.75 / 3)
    assert median(SCORES) == 0.5
    assert median([[0.0, 1.0], [4.0, 9.0]]) == 3.5  # Of the means 2 and 5; of all four scores it would be 2.5.
    assert iqm(SCORES) == (0.5 + 0.5 + 0.5 + 1) / 4  # 0 and 3 are the outer quarters.
    assert optimality_gap(SCORES) == pytest.approx(1 - 3.5 / 6)
    assert optimality_gap(SCORES, gamma=0.5) == pytest.approx(0.5 - 2.5 / 6)
    assert performance_profile(SCORES, [-1, 0, 0.5, 2.9, 3]).tolist() == [1, 5 / 6, 2 / 6, 1 / 6, 0]


@pytest.mark.parametrize("count", range(1, 13))
def test_the_iqm_leaves_out_a_quarter_at_each_end_rounded_down(count):
    scores = np.random.default_rng(count).permutation(np.arange(count) ** 2.0)
    kept = sorted(scores)[count // 4 : count - count // 4]
    assert iqm(scores[:, None]) == pytest.approx(sum(kept) / len(kept), abs=1e-12)


def test_equal_scores_are_their_own_iqm_mean_and_median():
    assert {float(statistic(np.full((4, 3), 0.25))) for statistic in (iqm, mean, median)} == {0.25}


def test_a_single_outlier_moves_the_mean_and_not_the_iqm():
    scores = normal(1, 5, 3)
    spoiled = np.where(scores == scores.max(), 1e6, scores)
    assert iqm(spoiled) == iqm(scores)
    assert mean(spoiled) > 1e4


@pytest.mark.parametrize("statistic", OF_ONE)
def test_the_order_of_runs_and_of_tasks_does_not_matter(statistic):
    scores = normal(2, 5, 3)
    turned = np.random.default_rng(3).permutation(np.random.default_rng(4).permuted(scores, axis=0), axis=1)
    np.testing.assert_allclose(statistic(turned), statistic(scores), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("statistic", OF_ONE)
def test_many_matrices_at_once_give_what_each_gives(statistic):
    stacked = normal(5, 2, 7, 5, 3)
    one_by_one = np.array([[statistic(scores) for scores in row] for row in stacked])
    np.testing.assert_allclose(statistic(stacked), one_by_one, rtol=1e-14, atol=1e-15)


def test_improvement_counts_pairs_and_half_of_the_ties():
    # Task 1: 2 > 1 twice, 0 < 1 twice. Task 2: 1 = 1 twice, 1 > 0 twice.
    assert probability_of_improvement([[2.0, 1.0], [0.0, 1.0]], [[1.0, 1.0], [1.0, 0.0]]) == (2 / 4 + 3 / 4) / 2


def test_the_probability_of_improvement_is_that_of_all_pairs():
    generator = np.random.default_rng(6)
    x, y = generator.integers(4, size=(5, 3)), generator.integers(4, size=(7, 3))
    pairs = [
        np.mean([(a > b) + (a == b) / 2 for a, b in itertools.product(x[:, task], y[:, task])]) for task in range(3)
    ]
    assert probability_of_improvement(x, y) == pytest.approx(np.mean(pairs), abs=1e-15)
    assert probability_of_improvement(x, y) + probability_of_improvement(y, x) == pytest.approx(1, abs=1e-15)
    assert probability_of_improvement(x, x) == 0.5
    assert probability_of_improvement(x + 4, y) == 1


def test_improvement_of_many_matrices_pairs_them():
    x, y = normal(7, 11, 4, 2), normal(8, 11, 6, 2)
    one_by_one = [probability_of_improvement(a, b) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(probability_of_improvement(x, y), one_by_one, rtol=1e-15)


# --- the intervals


def all_resamples(scores_RT):
    """Every way to draw the rows again, for each task by itself."""
    runs, tasks = scores_RT.shape
    of_a_task = list(itertools.product(range(runs), repeat=runs))
    return np.array(
        [
            np.stack([scores_RT[list(rows), task] for task, rows in enumerate(choice)], axis=1)
            for choice in itertools.product(of_a_task, repeat=tasks)
        ]
    )


@pytest.mark.parametrize("statistic", OF_ONE[:-1])
def test_the_interval_is_that_of_all_resamples_within_each_task(statistic):
    scores = normal(9, 3, 2)
    exact = np.quantile(statistic(all_resamples(scores)), [0.05, 0.95])
    drawn = stratified_bootstrap(statistic, scores, level=0.9, resamples=20_000)
    spread = exact[1] - exact[0]
    assert (drawn.low, drawn.high) == (
        pytest.approx(exact[0], abs=0.03 * spread),
        pytest.approx(exact[1], abs=0.03 * spread),
    )
    assert (drawn.estimate, drawn.level, drawn.runs) == (statistic(scores), 0.9, 3)


def test_tasks_are_drawn_by_themselves_and_are_not_mixed():
    # Drawn by whole rows, the tasks' opposite scores would cancel; mixed, the means of tasks would move.
    opposite = np.array([[0.0, 1.0], [1.0, 0.0]] * 3)
    assert stratified_bootstrap(mean, opposite).high > 0.6
    apart = np.array([[0.0, 100.0]] * 4)
    drawn = stratified_bootstrap(mean, apart)
    assert (drawn.low, drawn.estimate, drawn.high) == (50, 50, 50)


def test_two_matrices_are_drawn_independently():
    scores = normal(10, 6, 1)
    drawn = stratified_bootstrap(probability_of_improvement, scores, scores)
    assert drawn.low < 0.4 < drawn.estimate == 0.5 < 0.6 < drawn.high


def test_matrices_may_differ_in_runs_and_the_fewest_are_told():
    assert stratified_bootstrap(probability_of_improvement, normal(11, 6, 2), normal(12, 4, 2)).runs == 4


def test_a_profiles_interval_encloses_it_at_every_threshold():
    scores, thresholds = normal(16, 6, 2), np.linspace(-2, 2, 9)
    profile = bootstrap_profile(scores, thresholds)
    assert profile.shares.tolist() == performance_profile(scores, thresholds).tolist()
    assert (profile.low <= profile.shares).all()
    assert (profile.shares <= profile.high).all()
    at_zero = stratified_bootstrap(lambda drawn: performance_profile(drawn, [0.0])[..., 0], scores)
    assert (profile.low[4], profile.high[4]) == (at_zero.low, at_zero.high)


def test_a_seed_repeats_its_interval_and_another_gives_another():
    x, y = normal(17, 5, 3), normal(18, 5, 3)
    for draw in (
        partial(stratified_bootstrap, iqm, x),
        partial(stratified_bootstrap, probability_of_improvement, x, y, resamples=1999),
    ):
        assert draw(seed=1) == draw(seed=1)
        assert draw(seed=1) != draw(seed=2)


# One task of normal scores. A bootstrap of few runs is too narrow: these are the figures the docstring states.
@pytest.mark.parametrize(("runs", "covered"), [(5, 0.85), (10, 0.90), (40, 0.94)])
def test_the_interval_holds_the_truth_as_often_as_is_said(runs, covered):
    drawn = normal(runs, 1000, runs, 1)
    intervals = [stratified_bootstrap(mean, scores, resamples=400, seed=seed) for seed, scores in enumerate(drawn)]
    assert np.mean([interval.low <= 0 <= interval.high for interval in intervals]) == pytest.approx(covered, abs=0.035)


def test_a_higher_level_is_wider():
    scores = normal(19, 5, 3)
    wide, narrow = stratified_bootstrap(mean, scores, level=0.99), stratified_bootstrap(mean, scores, level=0.5)
    assert wide.low < narrow.low < narrow.high < wide.high


# --- what is refused


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([], "at least one of each; got the shape"),
        ([[]], "at least one of each; got the shape"),
        ([1.0, 2.0], "at least one of each; got the shape"),
        ([[1.0, 2.0], [1.0]], "a number for every run and task; got"),
        ([["a"]], "a number for every run and task; got"),
        ([[1.0, np.nan]], "must be finite; got nan"),
        ([[1.0], [np.inf]], "must be finite; got inf"),
    ],
)
def test_what_is_no_matrix_of_scores_is_refused(scores, message):
    for statistic in OF_ONE:
        with pytest.raises(ValueError, match=message):
            statistic(scores)
    for draw in (partial(stratified_bootstrap, mean), partial(probability_of_improvement, [[1.0]])):
        with pytest.raises(ValueError, match=message):
            draw(scores)


def test_one_run_gives_no_interval():
    with pytest.raises(ValueError, match="at least two runs"):
        stratified_bootstrap(iqm, [[1.0, 2.0]])


def test_tasks_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="the same tasks; got 2 and 3"):
        probability_of_improvement(np.ones((4, 2)), np.ones((4, 3)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"level": 1.0}, "level must lie between 0 and 1; got 1.0"), ({"resamples": 0}, "resamples must be at least 1")],
)
def test_settings_of_no_bootstrap_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        stratified_bootstrap(mean, SCORES, **settings)


def test_an_empty_bootstrap_and_profile_are_refused():
    with pytest.raises(ValueError, match="at least one matrix"):
        stratified_bootstrap(mean)
    for thresholds in ([], [np.nan], 0.5):
        with pytest.raises(ValueError, match="thresholds must be a list"):
            performance_profile(SCORES, thresholds)
