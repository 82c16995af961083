"""Learning curves, read after the run: the cost of a level, the gain of a budget, and whether it lasted.

A curve is two series of one length, an evaluation each: what had been spent by then, in completions, tokens, seconds or
joules, and the score. Only mean_to_budget and fit_sigmoid say something of the time between two evaluations, where
nobody looked.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from suite.statistics.scores import Estimate, stratified_bootstrap

KEPT = 0.5
"""Share of its own best that a run must keep not to count as collapsed."""
WORTH = 0.1
"""A best below this had nothing to lose: it is ten held-out answers of a hundred."""
FEWEST_EVALUATIONS = 6
"""A sigmoid of four parameters through fewer fits noise."""
STEEPNESSES = 0.5, 16.0
"""The least and the largest B. With 16 most of a rise lies between two evaluations that are √2 apart."""
GRID = 33, 17
"""Values of log C_mid and of log B that are tried at once, at first over all of their ranges."""
PASSES = 3
"""Each further grid covers the cells around the best point, in the end an 8,000th of the range of log C_mid."""


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """How many runs reached a level, and the median spend over all runs, those that never did included."""

    arrived: int
    runs: int
    median: float | None
    """Over all runs, infinity standing for one that never arrived; None where it is infinite."""


@dataclass(frozen=True, kw_only=True)
class Sigmoid:
    """A, log C_mid and B of R(C) = R0 + (A - R0) / (1 + (C_mid / C)^B), with the spend C: the curve of ScaleRL
    (D. Khatri et al., arXiv 2510.13786), where normalisation moves C_mid and B and rarely A."""

    plateau: float
    log_middle: float
    steepness: float


def to_threshold(spent: ArrayLike, values: ArrayLike, threshold: float) -> float | None:
    """The spend at the first evaluation with a value of at least the threshold; None where there is none.

    Too late by up to the spend between two evaluations, so curves are compared that were evaluated equally often. And
    one lucky evaluation suffices: at_budget and is_collapsed say whether the level was held.
    """
    spent_by, reached = _curve(spent, values)
    if math.isnan(threshold):
        raise ValueError(f"threshold must be a number; got {threshold}")
    (there,) = np.nonzero(reached >= threshold)
    return float(spent_by[there[0]]) if len(there) else None


def arrivals(spends: Sequence[float | None]) -> Arrivals:
    """How many runs of an arm reached a level, by their `to_threshold`, and the median spend over all runs. A median of
    those that arrived alone would favour an arm whose slow runs never do. Raises ValueError for no runs, or a spend
    that is negative or no number."""
    if not spends:
        raise ValueError("spends must hold at least one run; got none")
    if wrong := [spend for spend in spends if spend is not None and not 0 <= spend < math.inf]:
        raise ValueError(f"spends must be finite and at least 0, or None for a run that never arrived; got {wrong[0]}")
    median = float(np.median([math.inf if spend is None else spend for spend in spends]))
    return Arrivals(
        arrived=sum(spend is not None for spend in spends),
        runs=len(spends),
        median=median if math.isfinite(median) else None,
    )


def at_budget(spent: ArrayLike, values: ArrayLike, budget: float) -> float | None:
    """The value of the last evaluation at which no more than the budget had been spent; None before the first. Not the
    best by then: whoever picks that has chosen by the very score that is reported."""
    spent_by, reached = _curve(spent, values)
    if math.isnan(budget):
        raise ValueError(f"budget must be a number; got {budget}")
    count = int(np.searchsorted(spent_by, budget, side="right"))
    return float(reached[count - 1]) if count else None


def mean_to_budget(
    spent: ArrayLike, values: ArrayLike, first: float, budget: float, *, is_linear: bool = False
) -> float | None:
    """The mean of a curve over every spend from `first` to the budget, each doubling of the spend counting the same:
    what an arm is worth to someone who does not know yet how much will be spent. `is_linear`: equal spends count the
    same, so that the last doubling is half of the mean.

    Straight lines join the evaluations, over the logarithm of the spend, or over the spend. None where no evaluation
    lies at `first` or before, or none at the budget or after. Raises ValueError unless 0 < first < budget.
    """
    spent_by, reached = _curve(spent, values)
    if not 0 < first < budget < math.inf:
        raise ValueError(f"first must be above 0 and below the budget; got {first} and {budget}")
    if not np.any((spent_by > 0) & (spent_by <= first)) or spent_by[-1] < budget:
        return None
    scale = np.asarray if is_linear else np.log
    spends = scale(spent_by[spent_by > 0])
    ends = scale(np.array([first, budget]))
    places = np.concatenate([ends[:1], spends[(spends > ends[0]) & (spends < ends[1])], ends[1:]])
    heights = np.interp(places, spends, reached[spent_by > 0])
    return float(np.average((heights[1:] + heights[:-1]) / 2, weights=np.diff(places)))


def worst_drawdown(values: ArrayLike) -> float:
    """The largest fall from an earlier maximum to a later value; 0 for a curve that never falls."""
    reached = _series(values, "values")
    return float((np.maximum.accumulate(reached) - reached).max())


def is_collapsed(values: ArrayLike, *, worth: float = WORTH, kept: float = KEPT) -> bool:
    """True if the last value is below `kept` of the curve's own best, and that best was at least `worth`.

    For scores from 0 up. A simple rule: a run that fell and recovered is not collapsed (worst_drawdown shows it), one
    that fell by a third is not either, and one that never learned has nothing to lose. Only the last evaluation is
    asked, so it should be of enough prompts that chance alone does not halve it.
    """
    reached = _series(values, "values")
    if not worth > 0 or not 0 < kept <= 1:
        raise ValueError(f"worth must be above 0 and kept above 0 and at most 1; got {worth} and {kept}")
    best = reached.max()
    return bool(best >= worth and reached[-1] < kept * best)


def fit_sigmoid(spent: ArrayLike, values: ArrayLike) -> Sigmoid:
    """The sigmoid with the least sum of squares, with R0 and A between 0 and 1, and C_mid between the first evaluation
    after the start and the last. Raises ValueError for fewer evaluations, or fewer than two different spends above 0.
    """
    spent_E, values_E = _curve(spent, values)
    positive = np.unique(spent_E[spent_E > 0])
    if len(spent_E) < FEWEST_EVALUATIONS or len(positive) < 2:
        raise ValueError(
            f"a sigmoid needs {FEWEST_EVALUATIONS} evaluations, two after the start; got {spent_E.tolist()}"
        )
    log_spent_E = np.log(spent_E, out=np.full(len(spent_E), -np.inf), where=spent_E > 0)
    low, high = np.log([positive[0], STEEPNESSES[0]]), np.log([positive[-1], STEEPNESSES[1]])
    best, half = (low + high) / 2, (high - low) / 2
    for _ in range(PASSES):
        starts, ends = np.maximum(low, best - half), np.minimum(high, best + half)
        axes = [np.linspace(*axis) for axis in zip(starts.tolist(), ends.tolist(), GRID, strict=True)]
        points_PG = np.stack(np.meshgrid(*axes), axis=0).reshape(2, -1)
        # As a hyperbolic tangent it cannot overflow, and is 0 at no spend.
        rise_GE = 0.5 + 0.5 * np.tanh(0.5 * np.exp(points_PG[1, :, None]) * (log_spent_E - points_PG[0, :, None]))
        plateau_G, loss_G = _fit_levels(rise_GE, values_E)
        place = int(np.argmin(loss_G))
        best, half = points_PG[:, place], 2 * half / (np.array(GRID) - 1)
    return Sigmoid(plateau=float(plateau_G[place]), log_middle=float(best[0]), steepness=float(np.exp(best[1])))


def _fit_levels(
    rise_GE: NDArray[np.float64], values_E: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A and the sum of squares for each rise. R0 and A solve the normal equations and are then cut to [0, 1]: where one
    is cut, the other is not fitted anew, which the next rise nearly makes up for."""
    rest_GE = 1 - rise_GE
    rest_G, both_G, rise_G = (rest_GE**2).sum(1), (rest_GE * rise_GE).sum(1), (rise_GE**2).sum(1)
    low_G, high_G, determinant_G = rest_GE @ values_E, rise_GE @ values_E, rest_G * rise_G - both_G**2
    start_G = np.clip((rise_G * low_G - both_G * high_G) / determinant_G, 0, 1)
    plateau_G = np.clip((rest_G * high_G - both_G * low_G) / determinant_G, 0, 1)
    return plateau_G, ((values_E - start_G[:, None] * rest_GE - plateau_G[:, None] * rise_GE) ** 2).sum(1)


def expected_best(trials: ArrayLike, k: int) -> float:
    """The expected score of the best of k tuning trials, from the scores of n ≥ k trials.

    The expected maximum of k draws with replacement from the trials' own distribution, as J. Dodge et al. report it in
    Show Your Work (arXiv 1909.03004). So arms that were tuned with different effort are compared at equal k.

    It comes out too low, the more so the closer k is to n: some draws repeat a trial. Draws without replacement have no
    such bias (R. Tang et al., arXiv 2004.13705), but at k = n they are the best trial seen and nothing else. J. Dodge
    et al. compared both (arXiv 2110.00613): the unbiased one varies most, and misleads more often about which of two
    models is better, which is the question here. With equal k and n all arms are too low.

    Raises ValueError unless 1 <= k <= n: beyond n the trials know nothing.
    """
    ordered = np.sort(_series(trials, "trials"))
    return float(_best_chances(len(ordered), k) @ ordered)


def expected_best_band(trials: ArrayLike, k: int, *, level: float = 0.95) -> Estimate:
    """`expected_best` with a percentile bootstrap interval, over as many trials drawn again from these. Raises
    ValueError unless 1 <= k <= n and n >= 2."""
    scores_R = np.sort(_series(trials, "trials"))  # so that their order does not change what is drawn
    chance_R = _best_chances(len(scores_R), k)
    return stratified_bootstrap(
        lambda drawn_RT: np.sort(drawn_RT[..., 0], axis=-1) @ chance_R, scores_R[:, None], level=level
    )


def _best_chances(count: int, k: int) -> NDArray[np.float64]:
    if not 1 <= k <= count:
        raise ValueError(f"k must lie between 1 and the number of trials, {count}; got {k}")
    return np.diff((np.arange(count + 1) / count) ** k)


def _series(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """The values as an array. Raises ValueError unless they are one series, not empty, of finite numbers."""
    series = np.asarray(values, dtype=np.float64)
    if series.ndim != 1 or len(series) == 0:
        raise ValueError(f"{name} must be a series of at least one number; got the shape {series.shape}")
    if not np.isfinite(series).all():
        raise ValueError(f"{name} must be finite; got {series[~np.isfinite(series)][0]}")
    return series


def _curve(spent: ArrayLike, values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Spend and value of each evaluation. Raises ValueError unless equally long, with a spend that never falls."""
    spent_by, reached = _series(spent, "spent"), _series(values, "values")
    if len(spent_by) != len(reached):
        raise ValueError(f"spent and values must be equally long; got {len(spent_by)} and {len(reached)}")
    if (np.diff(spent_by) < 0).any():
        raise ValueError(f"spent must never fall from one evaluation to the next; got {spent_by.tolist()}")
    return spent_by, reached
