"""A sigmoid for each run's learning curve: where it ends, when it rises, and how steeply.

R(C) = R0 + (A - R0) / (1 + (C_mid / C)^B), with the spend C, is the curve of ScaleRL (D. Khatri et al., arXiv
2510.13786), where normalisation moves C_mid and B and rarely A. Each run has its own, since runs are what repeats.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from suite.statistics.learning import checked_curve

FEWEST_EVALUATIONS = 6
STEEPNESSES = 0.5, 16.0
"""The least and the largest B. With 16 most of a rise lies between two evaluations that are √2 apart."""
GRID = 33, 17
"""Values of log C_mid and of log B that are tried at once, at first over all of their ranges."""
PASSES = 3
"""Each further grid covers the cells around the best point, in the end an 8,000th of the range of log C_mid."""


@dataclass(frozen=True, kw_only=True)
class Sigmoid:
    plateau: float
    """A."""
    log_middle: float
    steepness: float


def fit_sigmoid(spent: ArrayLike, values: ArrayLike) -> Sigmoid:
    """The sigmoid with the least sum of squares, with R0 and A between 0 and 1, and C_mid between the first evaluation
    after the start and the last. Raises ValueError for fewer evaluations, or fewer than two different spends above 0.
    """
    spent_E, values_E = checked_curve(spent, values)
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
    """A and the loss, less its constant, of the best R0 and A in [0, 1] for each rise. These lie at the solution of the
    normal equations or, where that is outside, on one of the square's edges."""
    rest_GE = 1 - rise_GE
    rest_G, both_G, rise_G = (rest_GE**2).sum(1), (rest_GE * rise_GE).sum(1), (rise_GE**2).sum(1)
    low_G, high_G = rest_GE @ values_E, rise_GE @ values_E
    determinant_G = rest_G * rise_G - both_G**2
    starts = [(rise_G * low_G - both_G * high_G) / determinant_G]
    plateaus = [(rest_G * high_G - both_G * low_G) / determinant_G]
    for edge_G in (np.zeros(len(low_G)), np.ones(len(low_G))):
        starts += [edge_G, (low_G - both_G * edge_G) / rest_G]
        plateaus += [(high_G - both_G * edge_G) / rise_G, edge_G]
    start_KG, plateau_KG = np.clip(starts, 0, 1), np.clip(plateaus, 0, 1)
    loss_KG = rest_G * start_KG**2 + 2 * both_G * start_KG * plateau_KG + rise_G * plateau_KG**2
    loss_KG -= 2 * (low_G * start_KG + high_G * plateau_KG)
    place_G = loss_KG.argmin(axis=0), np.arange(len(low_G))
    return plateau_KG[place_G], loss_KG[place_G]
