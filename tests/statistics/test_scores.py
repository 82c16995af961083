"""Scores are summed up as Agarwal et al. define it, and the intervals are as wide as they say, or as narrow."""

import itertools
from functools import partial

import numpy as np
import pytest

from suite.statistics.scores import iqm, mean, stratified_bootstrap

STATISTICS = [mean, iqm]
# Two runs of three tasks; the tasks' means are 0.25, 0.5 and 2.
SCORES = [[0.0, 0.5, 1.0], [0.5, 0.5, 3.0]]


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


# --- the statistics


def test_small_scores_are_summed_up_as_by_hand():
    assert mean(SCORES) == pytest.approx(2.75 / 3)
    assert iqm(SCORES) == (0.5 + 0.5 + 0.5 + 1) / 4  # 0 and 3 are the outer quarters.


@pytest.mark.parametrize("count", [1, 3, 4, 7, 8, 12])
def test_the_iqm_leaves_out_a_quarter_at_each_end_rounded_down(count):
    scores = np.random.default_rng(count).permutation(np.arange(count) ** 2.0)
    middle = sorted(scores)[count // 4 : count - count // 4]
    assert iqm(scores[:, None]) == pytest.approx(sum(middle) / len(middle), abs=1e-12)


# --- the intervals


def all_resamples(scores_RT):
    """Every way to draw the rows again, for each task by itself."""
    runs, tasks = scores_RT.shape
    draws = itertools.product(itertools.product(range(runs), repeat=runs), repeat=tasks)
    return np.array([np.stack([scores_RT[list(rows), t] for t, rows in enumerate(draw)], axis=1) for draw in draws])


@pytest.mark.parametrize("statistic", [mean, iqm])
def test_the_interval_is_that_of_all_resamples_within_each_task(statistic):
    scores = normal(9, 3, 2)
    exact = np.quantile(statistic(all_resamples(scores)), [0.05, 0.95])
    interval = stratified_bootstrap(statistic, scores, level=0.9, resamples=20_000)
    assert [interval.low, interval.high] == pytest.approx(exact, abs=0.03 * (exact[1] - exact[0]))
    assert (interval.estimate, interval.level, interval.runs) == (statistic(scores), 0.9, 3)


def test_tasks_are_drawn_by_themselves_and_are_not_mixed():
    # Drawn by whole rows, the tasks' opposite scores would cancel; mixed, the means of tasks would move.
    opposite = np.array([[0.0, 1.0], [1.0, 0.0]] * 3)
    assert stratified_bootstrap(mean, opposite).high > 0.6
    interval = stratified_bootstrap(mean, np.array([[0.0, 100.0]] * 4))
    assert (interval.low, interval.estimate, interval.high) == (50, 50, 50)


def test_a_seed_repeats_its_interval_and_another_gives_another():
    draw = partial(stratified_bootstrap, iqm, normal(17, 5, 3))
    assert draw(seed=1) == draw(seed=1) != draw(seed=2)


# One task of normal scores. A bootstrap of few runs is too narrow: these are the figures the docstring states.
@pytest.mark.parametrize(("runs", "coverage"), [(5, 0.85), (10, 0.90)])
def test_the_interval_holds_the_truth_as_often_as_is_said(runs, coverage):
    matrices = normal(runs, 1000, runs, 1)
    intervals = [stratified_bootstrap(mean, scores, resamples=400, seed=seed) for seed, scores in enumerate(matrices)]
    assert np.mean([interval.low <= 0 <= interval.high for interval in intervals]) == pytest.approx(coverage, abs=0.035)


# --- what is refused


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([[]], "at least one of each; got the shape"),
        ([1.0, 2.0], "at least one of each; got the shape"),
        ([[1.0, 2.0], [1.0]], "a number for every run and task; got"),
        ([["a"]], "a number for every run and task; got"),
        ([[1.0, np.nan]], "must be finite; got nan"),
    ],
)
def test_what_is_no_matrix_of_scores_is_refused(scores, message):
    for statistic in (*STATISTICS, partial(stratified_bootstrap, mean)):
        with pytest.raises(ValueError, match=message):
            statistic(scores)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (partial(stratified_bootstrap, iqm, [[1.0, 2.0]]), "at least two runs"),
        (partial(stratified_bootstrap, mean, SCORES, level=1.0), "level must lie between 0 and 1; got 1.0"),
        (partial(stratified_bootstrap, mean, SCORES, resamples=0), "resamples must be at least 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
