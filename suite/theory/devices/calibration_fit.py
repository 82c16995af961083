"""Fits of a device's decode kernels to times that were measured on it: a floor and a share of the bound a family.

Half of the cells are fitted, and the errors are of the other half, so that they say what a cell has that was not seen.
Median and not mean: a few cells at which a kernel changes its way of splitting the work must not bend the two numbers.
"""

import math
from collections.abc import Sequence
from statistics import median

import numpy as np
import numpy.typing as npt

from suite.theory.devices.calibration import FEWEST_TOKENS, LEAST_BOUND_S, Cell, Fit, Kernel
from suite.theory.layers.roofline import Ceilings

FEWEST_CELLS = 6
SHARES = np.arange(0.02, 1.0001, 0.005)
STEPS, ROUNDS = 61, 3
SMALL = 1e-3
"""The weight of the mean error, which chooses among floors and shares of equal median error."""

Numbers = npt.NDArray[np.float64]


def select_usable(cells: Sequence[Cell], ceilings: Ceilings) -> list[Cell]:
    """The cells that a fit may take: one new token, a context that two numbers can describe, the fastest of each
    batch and context, and none faster than the bound, whose clock cannot be right."""
    fastest: dict[tuple[Kernel, int, int], Cell] = {}
    for cell in sorted(cells, key=lambda cell: -cell.time_s):
        bound_s = ceilings.bound_s(**cell.work)
        if cell.query_len == 1 and cell.seq_len >= FEWEST_TOKENS and LEAST_BOUND_S <= bound_s <= cell.time_s:
            fastest[cell.of, cell.batch, cell.seq_len] = cell
    return list(fastest.values())


def fit_family(cells: Sequence[Cell], ceilings: Ceilings) -> Fit:
    """The fit of one family's usable cells: half of them are fitted, the errors are the other half's. Raises ValueError
    for fewer than FEWEST_CELLS."""
    if len(cells) < FEWEST_CELLS:
        raise ValueError(f"a family needs {FEWEST_CELLS} cells to be fitted; got {len(cells)}")
    ordered = sorted(cells, key=lambda cell: (ceilings.bound_s(**cell.work), cell.batch))
    bounds = np.array([ceilings.bound_s(**cell.work) for cell in ordered])
    times = np.array([cell.time_s for cell in ordered])
    share, floor_s = share_and_floor(bounds[::2], times[::2])
    errors = np.abs(np.log((floor_s + bounds[1::2] / share) / times[1::2]))
    return Fit(
        of=ordered[0].of,
        share=share,
        floor_s=floor_s,
        median_error=median(errors.tolist()),
        p90_error=sorted(errors.tolist())[math.ceil(0.9 * len(errors)) - 1],
        largest_error=max(errors.tolist()),
        cells=len(ordered),
    )


def share_and_floor(bounds: Numbers, times: Numbers) -> tuple[float, float]:
    """The share and the floor in seconds with the least median error, by a grid that narrows around the best."""
    shares, floors = SHARES, np.linspace(0.0, float(times.min()), STEPS)
    share = floor_s = 0.0
    for _ in range(ROUNDS):
        predicted = floors[None, :, None] + bounds[None, None, :] / shares[:, None, None]
        errors = np.abs(np.log(predicted / times))
        cost = np.median(errors, axis=2) + SMALL * errors.mean(axis=2)
        row, column = np.unravel_index(int(cost.argmin()), cost.shape)
        share, floor_s = float(shares[row]), float(floors[column])
        step, reach = float(shares[1] - shares[0]), float(floors[1] - floors[0])
        shares = np.linspace(max(step / 10, share - step), min(1.0, share + step), STEPS)
        floors = np.linspace(max(0.0, floor_s - reach), floor_s + reach, STEPS)
    return share, floor_s
