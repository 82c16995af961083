"""When other tools call a benchmark slower, as rules on two series of times. Written anew from the sources named.

Each rule takes the times before and after and says whether it would report a slowdown. None corrects for the number of
benchmarks, as the tools themselves do not. For the scripts beside this file; no part of the suite.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Times = Sequence[float] | NDArray[np.float64]
Rule = Callable[[Times, Times], bool]

ASV_FACTOR = 1.1
ASV_P = 0.002
ASV_MOST_EXACT = 20
NODES = np.polynomial.legendre.leggauss(200)


def median_threshold(before: Times, after: Times, *, percent: float = 5) -> bool:
    """pytest-benchmark 5.3.1, `--benchmark-compare-fail=median:5%`: utils.py, PercentageRegressionCheck."""
    return float(np.median(after) / np.median(before)) * 100 - 100 > percent


def asv(before: Times, after: Times) -> bool:
    """asv 0.6.6, `asv continuous` and `asv compare` with their default factor of 1.1.

    asv/commands/compare.py, _is_result_better: the medians are further apart than the factor, and asv/_stats.py,
    is_different, holds. The median and its interval are those of asv_runner/statistics.py, compute_stats.
    """
    return bool(np.median(before) < np.median(after) / ASV_FACTOR) and asv_differs(before, after)


def asv_differs(before: Times, after: Times) -> bool:
    """A U test at 0.002 if there are enough samples for it to reach that, else whether the intervals are apart."""
    if 1 / math.comb(len(before) + len(after), len(before)) < ASV_P:
        return asv_p(before, after) < ASV_P
    (low, high), (low_after, high_after) = asv_interval(before), asv_interval(after)
    return high < low_after or high_after < low


def asv_p(before: Times, after: Times) -> float:
    """Two-sided p of asv's U test: exact up to 20 samples a side, else the normal approximation without corrections.
    A tie is broken in whichever way is least significant."""
    m, n = len(before), len(after)
    wins, ties = u_statistic(before, after)
    half = m * n // 2
    u = half if wins <= half <= wins + ties else max(min(end, m * n - end) for end in (wins, wins + ties))
    if max(m, n) > ASV_MOST_EXACT:
        return math.erfc((m * n / 2 - u) / math.sqrt(m * n * (m + n + 1) / 12) / math.sqrt(2))
    orderings = u_orderings(m, n)
    above = max(half, m * n - u - 1)
    return (sum(orderings[: u + 1]) + sum(orderings[above + 1 :])) / math.comb(m + n, m)


def asv_interval(times: Times) -> tuple[float, float]:
    """99% interval of the median: order statistics, and where there are too few the quantiles of a posterior.

    The posterior is that of the location of Laplace noise of unknown scale, proportional to sum |x - location| to the
    power of minus the number of samples. For a single sample nothing bounds it.
    """
    ordered = np.sort(np.asarray(times, dtype=float))
    count = len(ordered)
    below, low, high = 0.0, -math.inf, math.inf
    for rank in range(count):
        below += math.comb(count, rank) / 2**count
        if below <= 0.005:
            low = float(ordered[rank])
        if below >= 0.995:
            high = float(ordered[rank])
            break
    if count > 1 and low == -math.inf:
        low = min(laplace_quantile(ordered, 0.005), float(ordered[0]))
    if count > 1 and high == math.inf:
        high = max(laplace_quantile(ordered, 0.995), float(ordered[-1]))
    return low, high


def laplace_quantile(ordered: NDArray[np.float64], probability: float) -> float:
    """Where the posterior of `asv_interval` reaches this probability, below a tenth or above nine tenths.

    Outside the samples their summed distance is n |location - mean|, so that the tails have a closed form; between
    them it is integrated by Simpson's rule.
    """
    count, mean = len(ordered), float(np.mean(ordered))
    scale = float(np.sum(np.abs(ordered - np.median(ordered))))
    if scale == 0:
        return float(ordered[0])
    inside = 0.0
    for low, high in pairwise(ordered):
        at = np.linspace(low, high, 201)
        heights = (np.abs(at[:, None] - ordered).sum(axis=1) / scale) ** -float(count)
        inside += (high - low) / 600 * (heights[0] + heights[-1] + 4 * heights[1::2].sum() + 2 * heights[2:-1:2].sum())

    def tail(distance: float) -> float:
        """The mass further from the mean than this, on one side."""
        return (count * distance / scale) ** (1 - count) * scale / (count * (count - 1))

    left, right = tail(mean - float(ordered[0])), tail(float(ordered[-1]) - mean)
    is_low = probability < 0.5
    wanted = (probability if is_low else 1 - probability) * (left + inside + right)
    if wanted > (left if is_low else right):  # it lies between the samples, whose own ends then bound the interval
        return float(ordered[0] if is_low else ordered[-1])
    distance = scale / count * (wanted * count * (count - 1) / scale) ** (1 / (1 - count))
    return mean - distance if is_low else mean + distance


def u_statistic(before: Times, after: Times) -> tuple[int, int]:
    """The number of pairs in which the time before is longer, and of pairs that tie."""
    ordered = np.sort(np.asarray(after, dtype=float))
    shorter = np.searchsorted(ordered, before, side="left")
    up_to = np.searchsorted(ordered, before, side="right")
    return int(shorter.sum()), int((up_to - shorter).sum())


@cache
def u_orderings(m: int, n: int) -> tuple[int, ...]:
    """How many of the orderings of m and n distinct times have each U, from 0 to m n (Mann and Whitney 1947)."""
    # The Gaussian binomial coefficient: multiply by 1 - q^(n + i), divide by 1 - q^i.
    counts = [1] + [0] * (m * n)
    for i in range(1, m + 1):
        for power in range(m * n, n + i - 1, -1):
            counts[power] -= counts[power - n - i]
        for power in range(i, m * n + 1):
            counts[power] += counts[power - i]
    return tuple(counts)


def u_test_p(before: Times, after: Times) -> float:
    """Two-sided p by the normal approximation with corrections for ties and continuity.

    benchstat is exact below 50 samples without ties, where this agrees to the second digit; Google benchmark's
    compare.py calls scipy, which takes this form.
    """
    m, n = len(before), len(after)
    wins, ties = u_statistic(before, after)
    _, tied = np.unique(np.concatenate([before, after]), return_counts=True)
    total = m + n
    variance = m * n / 12 * (total + 1 - float((tied**3 - tied).sum()) / (total * (total - 1)))
    if variance == 0:
        return 1.0
    apart = max(0.0, abs(wins + ties / 2 - m * n / 2) - 0.5)
    return math.erfc(apart / math.sqrt(2 * variance))


def u_test(before: Times, after: Times, *, alpha: float = 0.05) -> bool:
    """benchstat (golang.org/x/perf) and Google benchmark's tools/compare.py: a U test at 0.05."""
    return bool(np.median(after) > np.median(before)) and u_test_p(before, after) < alpha


def welch_p(before: Times, after: Times) -> float:
    """Two-sided p of Welch's t test."""
    a, b = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    of_a, of_b = float(a.var(ddof=1)) / len(a), float(b.var(ddof=1)) / len(b)
    if of_a + of_b == 0:
        return 1.0 if a.mean() == b.mean() else 0.0
    t = abs(float(b.mean() - a.mean())) / math.sqrt(of_a + of_b)
    freedom = (of_a + of_b) ** 2 / (of_a**2 / (len(a) - 1) + of_b**2 / (len(b) - 1))
    return student_p(t, freedom)


def student_p(t: float, freedom: float) -> float:
    """P(|T| > t): with T = tan(angle) times the root of the freedom the density is a power of the cosine."""
    nodes, weights = NODES
    reach = math.atan(t / math.sqrt(freedom))
    inside = reach / 2 * float(weights @ np.cos(reach / 2 * (nodes + 1)) ** (freedom - 1))
    norm = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    return min(1.0, max(0.0, 1 - 2 * norm * inside))


def welch(before: Times, after: Times, *, alpha: float = 0.05) -> bool:
    """pyperf's rule in Welch's form. pyperf/_utils.py, is_significant, pools the variances and wants equally many
    samples; then t is the same and only the degrees of freedom differ."""
    return bool(np.mean(after) > np.mean(before)) and welch_p(before, after) < alpha


RULES: dict[str, Rule] = {
    "pytest-benchmark median:5%": median_threshold,
    "asv 0.6 (factor 1.1, p < 0.002)": asv,
    "benchstat, Google benchmark (U, p < 0.05)": u_test,
    "pyperf (t, p < 0.05)": welch,
}
