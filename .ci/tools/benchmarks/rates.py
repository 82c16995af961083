"""What the scripts beside this file print: shares with their intervals, ratios of turns, and aligned tables."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from suite.statistics.intervals import Interval
from tools.benchmarks.proportions import wilson


def share(successes: int, trials: int, *, digits: int = 1, has_counts: bool = True) -> str:
    """`19 of 20, 95.0% [76.4%, 99.1%]`, with Wilson's interval."""
    if not trials:
        return "none of none"
    rate = wilson(successes, trials)
    counts = f"{successes} of {trials}, " if has_counts else ""
    return f"{counts}{rate.share:.{digits}%} [{rate.low:.{digits}%}, {rate.high:.{digits}%}]"


def aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    """A line of a table."""
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def paired_ratio_interval(candidate: ArrayLike, baseline: ArrayLike, *, resamples: int = 4000) -> Interval:
    """The median of candidate / baseline over rounds taken side by side, with a 95% percentile bootstrap over them.

    Raises ValueError unless both have the same number of rounds, at least two.
    """
    a, b = np.asarray(candidate, dtype=float), np.asarray(baseline, dtype=float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise ValueError(
            f"candidate and baseline must be two series of equal length, at least 2; got {a.shape} and {b.shape}"
        )
    log_ratios = np.log(a / b)
    resampled = np.random.default_rng(0).choice(log_ratios, size=(resamples, len(log_ratios)))
    middle, low, high = np.exp([np.median(log_ratios), *np.quantile(np.median(resampled, axis=1), [0.025, 0.975])])
    return Interval(median=float(middle), low=float(low), high=float(high), level=0.95, count=len(a))
