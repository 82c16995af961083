"""The mean of a handful of seeds by Student's t, which a bootstrap of so few falls short of.

The percentile bootstrap of suite.statistics.scores holds a mean of five normal scores in 85% of cases where 95% was
asked for; t holds it in 95%. Of shares near 0 or 1, which are not normal, both are approximate.
"""

import math
from collections.abc import Sequence

import numpy as np

from suite.statistics.scores import Estimate
from suite.statistics.student import t_quantile


def seed_mean(values: Sequence[float], *, level: float = 0.95) -> Estimate:
    """The mean of one value a seed with Student's t interval; for paired seeds pass their differences. Where all values
    agree it has no width, which is no proof. Raises ValueError for fewer than two values, or one that is not finite."""
    series = np.asarray(values, dtype=np.float64)
    if series.ndim != 1 or len(series) < 2 or not np.isfinite(series).all():
        raise ValueError(f"values must be at least two finite numbers, one a seed; got {list(values)}")
    mean = float(series.mean())
    half = t_quantile((1 + level) / 2, len(series) - 1) * float(series.std(ddof=1)) / math.sqrt(len(series))
    return Estimate(estimate=mean, low=mean - half, high=mean + half, level=level, runs=len(series))


def ratio_by_cluster(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """R + n (y - R x) / sum x of each cluster, with R = sum y / sum x: values whose mean is the ratio of two sums.

    For loss a word over windows of text that do not hold equally many words: the mean of the windows' own ratios would
    count a window of three words as much as one of a hundred. A cluster moves the ratio of the sums linearly to first
    order (Cochran, Sampling Techniques, 3rd edition, chapter 6), so `seed_mean` of these values is its interval,
    and of the differences of two such lists over the same clusters that of the difference of their ratios. With a few
    clusters both are approximate.

    Raises ValueError unless both have as many finite numbers, at least one, and the denominators a sum above zero.
    """
    total = math.fsum(denominators)
    numbers = [*numerators, *denominators]
    if not numerators or len(numerators) != len(denominators) or not all(map(math.isfinite, numbers)) or total <= 0:
        raise ValueError(
            "numerators and denominators must be as many finite numbers, and the denominators' sum above zero; "
            f"got {len(numerators)} and {len(denominators)} with a sum of {total}"
        )
    ratio = math.fsum(numerators) / total
    return [ratio + len(numerators) * (y - ratio * x) / total for y, x in zip(numerators, denominators, strict=True)]
