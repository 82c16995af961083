"""The ratio of two series of times that were taken side by side, round by round. For the scripts beside this file."""

import numpy as np
from numpy.typing import ArrayLike

from suite.statistics.intervals import Interval


def paired_ratio_interval(
    candidate: ArrayLike, baseline: ArrayLike, *, level: float = 0.95, resamples: int = 4000, seed: int = 0
) -> Interval:
    """The median of candidate / baseline over rounds, with a percentile bootstrap over rounds.

    Raises ValueError unless both have the same number of rounds, at least two.
    """
    a, b = np.asarray(candidate, dtype=float), np.asarray(baseline, dtype=float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise ValueError(
            f"candidate and baseline must be two series of equal length, at least 2; got {a.shape} and {b.shape}"
        )
    log_ratios = np.log(a / b)
    generator = np.random.default_rng(seed)
    resampled = generator.choice(log_ratios, size=(resamples, len(log_ratios)))
    low, high = np.quantile(np.median(resampled, axis=1), [(1 - level) / 2, (1 + level) / 2])
    return Interval(
        median=float(np.exp(np.median(log_ratios))),
        low=float(np.exp(low)),
        high=float(np.exp(high)),
        level=level,
        count=len(a),
    )
