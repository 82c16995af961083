"""Medians with intervals that assume no distribution: timings are skewed and have tails."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A median, the order statistics around it, and the confidence that they really reach."""

    median: float
    low: float
    high: float
    level: float
    """Achieved confidence; below the one asked for where there are too few samples, 0 for a single one."""
    count: int

    @property
    def relative_half_width(self) -> float:
        return math.inf if self.level == 0 else (self.high - self.low) / (2 * self.median)


def median_interval(samples: ArrayLike, *, level: float = 0.95) -> Interval:
    """The median and the narrowest symmetric pair of order statistics that covers it with at least `level`.

    Exact for independent samples of any continuous distribution (David and Nagaraja, Order Statistics, section 7.1).
    With fewer than six samples 95 % is out of reach: the extremes are returned with the level that they reach.
    Raises ValueError for no samples.
    """
    ordered = np.sort(np.asarray(samples, dtype=float))
    count = len(ordered)
    if count == 0:
        raise ValueError("samples must hold at least one number; got none")
    # Coverage of the pair (k-th, k-th from the end) is 1 - 2 P(Binomial(n, 1/2) < k). Counted in whole numbers, since
    # 2^-n underflows for long series.
    below, ways, chosen, reached = 0, 1, 1, 0.0
    for k in range(1, count // 2 + 1):
        below += ways
        coverage = 1 - 2 * below / (1 << count)
        if k > 1 and coverage < level:
            break
        chosen, reached = k, coverage
        ways = ways * (count - k + 1) // k
    return Interval(
        median=float(np.median(ordered)),
        low=float(ordered[chosen - 1]),
        high=float(ordered[count - chosen]),
        level=reached,
        count=count,
    )


def paired_ratio_interval(
    candidate: ArrayLike, baseline: ArrayLike, *, level: float = 0.95, resamples: int = 4000, seed: int = 0
) -> Interval:
    """Median of candidate / baseline over rounds taken side by side, with a percentile bootstrap over rounds.

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
