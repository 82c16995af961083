"""Medians with intervals: of samples of one launch without any assumption, and of a timing across launches.

Samples of one launch share where their memory lies and who was busy beside them, so an interval made of them alone says
nothing of the next launch: on two cores of a virtual machine it held what twelve fresh runs of a case had in common in
two of the twelve. See .ci/tools/benchmarks/launch_coverage.py.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from suite.statistics.student import t_quantile

QUARTILES_OF_NORMAL = 1.349
"""Distance of a standard normal's quartiles."""
ONE_LAUNCH_GAP = 1.13
"""Ratio of two medians that says nothing where both are of a single launch: of 40 pairs of records of one case on one
machine in results/reference two lay further apart, and the intervals of 26 were disjoint."""
ONE_LAUNCH_REACH = ONE_LAUNCH_GAP ** math.sqrt(0.5)
"""Factor that each of the two contributes; `median_ratio` makes ONE_LAUNCH_GAP of both."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A median with an interval, and the confidence that the interval reaches."""

    median: float
    low: float
    high: float
    level: float
    """Achieved confidence; below the one asked for where there are too few samples, 0 for a single one."""
    count: int
    launches: int = 1
    """Launches that it is made of. An interval of one holds for this launch alone."""
    launch_error: float = 0.0
    """Standard error of what several launches have in common, and the standard deviation of their single samples, both
    of the logarithm; 0 for one launch."""
    sample_deviation: float = 0.0

    @property
    def relative_half_width(self) -> float:
        """Half the width over the median; infinite for a single sample."""
        return math.inf if self.level == 0 else (self.high - self.low) / (2 * self.median)

    def at_level(self, level: float) -> "Interval":
        """The interval of the same launches at another confidence; there must be several (see `launched_interval`)."""
        assert self.launches > 1
        launch_half_width = t_quantile((1 + level) / 2, self.launches - 1) * self.launch_error
        sample_half_width = NormalDist().inv_cdf((1 + level) / 2) * self.sample_deviation
        half = math.hypot(launch_half_width, sample_half_width)
        return replace(self, low=self.median * math.exp(-half), high=self.median * math.exp(half), level=level)


def median_interval(samples: ArrayLike, *, level: float = 0.95) -> Interval:
    """The median and the narrowest symmetric pair of order statistics that covers it with at least `level`.

    Exact for independent samples of any continuous distribution (David and Nagaraja, Order Statistics, section 7.1).
    With fewer than six samples 95% is out of reach: the extremes are returned with the level that they reach.
    Raises ValueError for no samples.
    """
    ordered = np.sort(np.asarray(samples, dtype=float))
    count = len(ordered)
    if count == 0:
        raise ValueError("samples must hold at least one number; got none")
    chosen, reached = _covering_place(count, level)
    return Interval(
        median=_middle(ordered),
        low=float(ordered[chosen - 1]),
        high=float(ordered[count - chosen]),
        level=reached,
        count=count,
    )


@lru_cache(maxsize=1024)
def _covering_place(count: int, level: float) -> tuple[int, float]:
    """The k of the narrowest pair (k-th, k-th from the end) of `count` samples that covers the median, and how sure."""
    # Coverage of the pair is 1 - 2 P(Binomial(n, 1/2) < k). Counted in whole numbers, since 2^-n underflows for long
    # series.
    below, ways, chosen, reached = 0, 1, 1, 0.0
    for k in range(1, count // 2 + 1):
        below += ways
        coverage = 1 - 2 * below / (1 << count)
        if k > 1 and coverage < level:
            break
        chosen, reached = k, coverage
        ways = ways * (count - k + 1) // k
    return chosen, reached


def _middle(ordered: NDArray[np.float64]) -> float:
    """The median of sorted samples, as np.median gives it, which takes ten times as long for a few."""
    half = len(ordered) // 2
    if math.isnan(ordered[-1]):
        return math.nan
    return float(ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2)


def launched_interval(launches: Sequence[ArrayLike], *, level: float = 0.95) -> Interval:
    """The median of all samples with an interval for what launches have in common; of one launch, `median_interval`.

    Two half-widths on a logarithmic scale, as the sides of a right angle: Student's t over the launches' medians, and
    what holds as large a share of the single samples, by their quartiles. Where launches are independent draws the
    first is enough. But those of one run share its seconds: three of them may be alike by chance, and a machine drifts
    over minutes. .ci/tools/benchmarks/launch_coverage.py shows how often it holds. Raises ValueError for no launches,
    one without samples, or of several launches a sample that is not above zero.
    """
    samples_by_launch = [np.asarray(samples, dtype=float) for samples in launches]
    if not samples_by_launch or not all(map(len, samples_by_launch)):
        raise ValueError(
            f"launches must each hold at least one number; got {[len(samples) for samples in samples_by_launch]}"
        )
    if len(samples_by_launch) == 1:
        return median_interval(samples_by_launch[0], level=level)
    least = min(samples.min() for samples in samples_by_launch)
    if least <= 0:
        raise ValueError(f"samples of several launches must be above zero; got {least}")
    logs = [np.log(samples) for samples in samples_by_launch]
    medians = np.array([_middle(np.sort(samples)) for samples in logs])
    median = _middle(np.sort(np.concatenate(samples_by_launch)))
    interval = Interval(
        median=median,
        low=median,
        high=median,
        level=0,
        count=sum(map(len, samples_by_launch)),
        launches=len(samples_by_launch),
        launch_error=float(np.std(medians, ddof=1)) / math.sqrt(len(medians)),
        sample_deviation=_sample_deviation(logs, medians),
    )
    return interval.at_level(level)


def _sample_deviation(launches: Sequence[NDArray[np.float64]], medians: NDArray[np.float64]) -> float:
    """Standard deviation of the samples of a launch if they are normal, from the quartiles of all samples about their
    launch's median. Samples and result are logarithms."""
    rests = np.concatenate([samples - median for samples, median in zip(launches, medians, strict=True)])
    left = len(rests) - len(medians)  # each launch's median took a degree of freedom
    if left == 0:
        return 0.0
    return float(np.subtract(*np.quantile(rests, [0.75, 0.25])) / QUARTILES_OF_NORMAL * math.sqrt(len(rests) / left))


def comparable_interval(interval: Interval) -> Interval:
    """Widen an interval of a single launch to at least a factor ONE_LAUNCH_REACH each way; others stay."""
    if interval.launches > 1:
        return interval
    low = min(interval.low, interval.median / ONE_LAUNCH_REACH)
    return replace(interval, low=low, high=max(interval.high, interval.median * ONE_LAUNCH_REACH))


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A ratio of two medians with its 95% interval."""

    ratio: float
    low: float
    high: float
    is_clear: bool
    """Whether the interval excludes 1 and neither median is of a single sample."""


def median_ratio(first: Interval, other: Interval) -> Ratio:
    """The first median over the other. On the logarithm, the half-widths of their comparable_interval ranges combine as
    the sides of a right angle, since the two are independent."""
    is_repeated = 1 not in (first.count, other.count)
    first, other = comparable_interval(first), comparable_interval(other)
    ratio = first.median / other.median
    below = math.hypot(math.log(first.median / first.low), math.log(other.high / other.median))
    above = math.hypot(math.log(first.high / first.median), math.log(other.median / other.low))
    low, high = ratio * math.exp(-below), ratio * math.exp(above)
    return Ratio(ratio=ratio, low=low, high=high, is_clear=is_repeated and not low <= 1 <= high)


def median_ratios(pairs: Sequence[tuple[Interval, Interval]], *, level: float = 0.95) -> list[Ratio]:
    """`median_ratio` of each pair, clear by Holm's correction over all pairs. Each must be of several launches."""
    num_clear = 0
    while True:
        # Holm's steps by confidence in place of p: each pair that is clear lowers the confidence that others need.
        needed = 1 - (1 - level) / max(1, len(pairs) - num_clear)
        ratios = [median_ratio(first.at_level(needed), other.at_level(needed)) for first, other in pairs]
        if num_clear == (num_clear := sum(ratio.is_clear for ratio in ratios)):
            return ratios


def paired_ratio(
    first: Mapping[int, Sequence[float]], other: Mapping[int, Sequence[float]], *, level: float = 0.95
) -> Ratio:
    """The ratio of two spans that the same launches timed, from the samples of each by launch.

    Student's t over launches, on the logarithm of each launch's ratio of medians: what slows a whole launch slows both
    spans, and cancels. Launches that timed one span alone are left out. Of one launch the interval is 0 to infinity.
    Raises ValueError where no launch timed both.
    """
    shared = sorted(first.keys() & other.keys())
    if not shared:
        raise ValueError(f"a launch must have timed both spans; got launches {sorted(first)} and {sorted(other)}")
    logs = [float(np.log(np.median(first[launch]) / np.median(other[launch]))) for launch in shared]
    half = math.inf
    if len(logs) > 1:
        half = t_quantile((1 + level) / 2, len(logs) - 1) * float(np.std(logs, ddof=1)) / math.sqrt(len(logs))
    ratio = math.exp(sum(logs) / len(logs))
    low, high = ratio * math.exp(-half), ratio * math.exp(half)
    return Ratio(ratio=ratio, low=low, high=high, is_clear=not low <= 1 <= high)


def lag1_autocorrelation(launches: Sequence[ArrayLike]) -> float | None:
    """Correlation of neighbouring samples within launches, each about its own mean. None for fewer than three samples
    in every launch, or samples that are all alike."""
    samples_by_launch = [np.asarray(samples, dtype=float) for samples in launches]
    rests = [samples - samples.mean() for samples in samples_by_launch if len(samples) > 2]
    total = sum(float(rest @ rest) for rest in rests)
    return sum(float(rest[:-1] @ rest[1:]) for rest in rests) / total if total > 0 else None
