"""Scores of a few runs on a few tasks: whole distributions and intervals, since one seed's curve is an anecdote.

The definitions are those of R. Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice
(arXiv 2108.13264), and their package, rliable, gives the same numbers (tests/parity_rliable). It is not used here: it
needs an older pandas, and its intervals differ from call to call.

Legend of shapes: R runs, T tasks, B resamples. A row is a run, mostly a seed; a column is a task. The statistics take
further axes in front, so that all resamples are computed at once.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.float64]
Statistic = Callable[..., Numbers]
"""Maps one or more matrices, each runs × tasks with the same further axes in front, to those axes."""


def mean(scores: ArrayLike) -> Numbers:
    """Mean over runs, then over tasks. A single excellent task can carry it."""
    task_means: Numbers = _matrix(scores).mean(axis=-2)  # numpy's stubs type a mean along an axis as Any
    return np.asarray(task_means.mean(axis=-1))


def iqm(scores: ArrayLike) -> Numbers:
    """Interquartile mean: of all runs × tasks the middle half, less a quarter, rounded down, at each end.

    Equal to scipy.stats.trim_mean(scores, 0.25, axis=None). Of three scores or fewer nothing is trimmed.
    """
    matrix = _matrix(scores)
    flat = matrix.reshape(*matrix.shape[:-2], -1)
    trimmed = flat.shape[-1] // 4
    end = flat.shape[-1] - trimmed
    # Partitioned as scipy does it and not sorted: the sum then has its order, and the result its last bit.
    return np.asarray(np.partition(flat, (trimmed, end - 1), axis=-1)[..., trimmed:end].mean(axis=-1))


def performance_profile(scores: ArrayLike, thresholds: ArrayLike) -> Numbers:
    """The share of all runs × tasks with a score above each threshold; thresholds are the last axis of the result."""
    matrix, taus = _matrix(scores), np.asarray(thresholds, dtype=np.float64)
    if taus.ndim != 1 or len(taus) == 0 or not np.isfinite(taus).all():
        raise ValueError(f"thresholds must be a list of at least one finite number; got {thresholds!r}")
    return np.stack([(matrix > tau).mean(axis=(-2, -1)) for tau in taus], axis=-1)


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> Numbers:
    """P(X > Y): the share of pairs in which a run of x beats a run of y on the same task, ties counting half, in the
    mean over tasks.

    Mann and Whitney's U over the number of pairs. x and y may have different numbers of runs. It says nothing about by
    how much, and 0.5 is what equals give.
    """
    x_RT, y_RT = _matrix(x, "x"), _matrix(y, "y")
    if x_RT.shape[-1] != y_RT.shape[-1]:
        raise ValueError(f"x and y must have the same tasks; got {x_RT.shape[-1]} and {y_RT.shape[-1]} columns")
    # Whole and half numbers, so the sums are exact. One run of y at a time: all pairs of all resamples would be large.
    wins_T = np.zeros(x_RT.shape[-1])
    for run in range(y_RT.shape[-2]):
        rival_T = y_RT[..., run, None, :]
        wins_T = wins_T + (x_RT > rival_T).sum(axis=-2) + (x_RT == rival_T).sum(axis=-2) / 2
    shares_T: Numbers = wins_T / (x_RT.shape[-2] * y_RT.shape[-2])
    return np.asarray(shares_T.mean(axis=-1))


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A statistic of the scores and its interval: of a percentile bootstrap, or as suite.statistics.seeds says."""

    estimate: float
    low: float
    high: float
    level: float
    """The confidence asked for. With few runs less is reached, as stratified_bootstrap says."""
    runs: int
    """Runs of the matrix with the fewest."""


def stratified_bootstrap(
    statistic: Statistic, *scores: ArrayLike, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Estimate:
    """A statistic of one matrix, or of several, with a percentile interval over other runs on these same tasks.

    Runs are drawn again within each task by itself, and in each matrix by itself: for bands of curves and for profiles.
    Arms are compared by suite.statistics.paired. The same seed gives the same interval. A statistic with a setting is
    passed as functools.partial(performance_profile, thresholds=[0.5]).

    A bootstrap of few runs is too narrow, since it takes their spread about their own mean for the whole spread. An
    interval at 95 % for the mean of normal scores on one task held the truth in 85 % of cases with 5 runs and in 90 %
    with 10 (tests/statistics/test_scores.py). Where all runs agree it has no width at all, which is no proof.

    Raises ValueError for a matrix that is empty, ragged, not finite, or has fewer than two runs.
    """
    matrices = [_matrix(matrix) for matrix in scores]
    if not matrices:
        raise ValueError("scores must hold at least one matrix; got none")
    for matrix in matrices:
        if matrix.ndim != 2 or len(matrix) < 2:
            shape = matrix.shape
            raise ValueError(f"scores must be one matrix of at least two runs, to draw from; got the shape {shape}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1; got {level}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1; got {resamples}")
    generator = np.random.default_rng(seed)
    resampled = []
    for scores_RT in matrices:
        rows_BRT = generator.integers(len(scores_RT), size=(resamples, *scores_RT.shape))
        resampled.append(scores_RT[rows_BRT, np.arange(scores_RT.shape[1])])
    low, high = np.quantile(statistic(*resampled), [(1 - level) / 2, (1 + level) / 2], axis=0)
    runs = min(map(len, matrices))
    return Estimate(estimate=float(statistic(*matrices)), low=float(low), high=float(high), level=level, runs=runs)


def _matrix(scores: ArrayLike, name: str = "scores") -> Numbers:
    try:
        matrix = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must have a number for every run and task; got {scores!r}") from error
    if matrix.ndim < 2 or matrix.size == 0:
        raise ValueError(f"{name} must be runs × tasks, at least one of each; got the shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError(f"{name} must be finite; got {matrix[~np.isfinite(matrix)][0]}")
    return matrix
