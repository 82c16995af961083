"""A ratio of two sums over clusters: loss a word over windows of text, which do not hold equally many words.

The mean of the clusters' own ratios would count a window of three words as much as one of a hundred. A
cluster moves the ratio of the sums linearly to first order (Cochran, Sampling Techniques, 3rd edition, chapter 6, the
ratio estimate's variance), and Student's t of these is its interval. With a few clusters both are approximate.
"""

import math
from collections.abc import Sequence


def ratio_by_cluster(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Return R + n (y - R x) / sum x of each cluster, with R = sum y / sum x: values whose mean is the ratio of the
    sums.

    suite.statistics.seeds.mean_of_seeds of them is its interval, and of the differences of two such lists over the same
    clusters that of the difference of their ratios. Raises ValueError unless both have as many finite numbers, at
    least one, and the denominators a sum above zero.
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
