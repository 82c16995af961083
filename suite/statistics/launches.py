"""An effect from several launches of a program, each of which gives one number.

Samples of one launch are alike: memory lies where it lies, and code is placed where it is placed, until the program
starts anew. So a launch counts once, however many rounds it had, and Student's t asks how far launches lie apart.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean, median
from typing import TypeVar

from suite.statistics.student import t_above, t_quantile

T = TypeVar("T")
CHANCE = 1.88
"""Standard errors of von Neumann's ratio, which 3% of independent launches go beyond."""
FEWEST_ALIKE = 4
"""Benchmarks of which it can be seen that launches shift all of them alike."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A log-ratio with its standard error, which has Student's t with these degrees of freedom."""

    estimate: float
    error: float
    freedom: int
    is_drifting: bool = False
    """True if each launch resembles the one before, so that they are no independent draws and count as one."""
    shared: float = 0.0
    """The standard deviation over launches of what shifts all benchmarks alike; 0 where chance may do as much."""

    def bounds(self, level: float) -> tuple[float, float]:
        """Low and high end of Student's interval at this confidence, as log-ratios."""
        half = t_quantile((1 + level) / 2, self.freedom) * self.error
        return self.estimate - half, self.estimate + half

    def p_above_zero(self) -> float:
        """One-sided p of an effect this large or larger where there is none."""
        return self._one_sided_p(self.estimate)

    def p_below_zero(self) -> float:
        """One-sided p of an effect this low or lower where there is none."""
        return self._one_sided_p(-self.estimate)

    def _one_sided_p(self, estimate: float) -> float:
        if self.error > 0:
            return t_above(estimate / self.error, self.freedom)
        return 0.5 if estimate == 0 else float(estimate < 0)


def effect_over(launches: Sequence[float]) -> Effect:
    """The mean of the launches' log-ratios as an effect. Raises ValueError for fewer than two.

    At the levels that tests use, Student's t errs on the safe side where launches spread unequally, by long and short
    ones or by heavy tails: R. Ibragimov and U. K. Müller, t-statistic based correlation and heterogeneity robust
    inference, Journal of Business & Economic Statistics 28 (2010).
    """
    if len(launches) < 2:
        raise ValueError(f"an effect needs at least two launches; got {len(launches)}")
    error = _deviation(launches) / math.sqrt(len(launches))
    return Effect(estimate=fmean(launches), error=error, freedom=len(launches) - 1)


def effects_together(series: Mapping[T, Sequence[float]]) -> dict[T, Effect]:
    """The effect of each benchmark, with errors that hold under a drift; all ran in the same launches.

    A drift of one benchmark is seen in its own launches, and a smaller one of them all in the median over benchmarks.
    Where there is one, launches count as one: the error is their whole spread.
    """
    count = max(map(len, series.values()), default=0)
    whole = [launches for launches in series.values() if len(launches) == count > 2]
    middles = [median(launch) for launch in zip(*whole, strict=True)]
    common = _deviation(middles) if middles else 0.0
    # The median of so many independent launches spreads by 1.25 / √benchmarks of one's own; twice that is no chance.
    deviations = [_deviation([*map(float.__sub__, launches, middles)]) for launches in whole]
    is_shared = len(whole) >= FEWEST_ALIKE and common > 2 * 1.25 / math.sqrt(len(whole)) * median(deviations)
    effects = {}
    for benchmark, launches in series.items():
        effect = replace(effect_over(launches), shared=common * is_shared)
        if _is_drifting(launches):
            effect = replace(effect, error=_deviation(launches), is_drifting=True)
        elif _is_drifting(middles):
            effect = replace(effect, error=math.hypot(effect.error, common), is_drifting=True)
        effects[benchmark] = effect
    return effects


def _deviation(launches: Sequence[float]) -> float:
    mean = math.fsum(launches) / len(launches)  # statistics.stdev is exact, and fifty times as slow
    return math.sqrt(math.fsum((launch - mean) ** 2 for launch in launches) / (len(launches) - 1))


def _is_drifting(launches: Sequence[float]) -> bool:
    """Whether neighbours are more alike than independent launches are.

    J. von Neumann, Distribution of the ratio of the mean square successive difference to the variance, Annals of
    Mathematical Statistics 12 (1941), by its normal approximation: of three launches none is beyond it.
    """
    count = len(launches)
    if count < 3 or (spread := _deviation(launches)) == 0:
        return False
    ratio = math.fsum((new - old) ** 2 for old, new in pairwise(launches)) / (spread**2 * (count - 1))
    return ratio < 2 * (1 - CHANCE * math.sqrt((count - 2) / (count**2 - 1)))
