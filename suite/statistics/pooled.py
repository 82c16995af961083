"""One estimate from several units, such as tasks or models, in each of which two arms were compared pair by pair.

Every unit counts the same. The error comes from the pairs within units, so the estimate speaks of these units and not
of others like them. Units that can tell nothing, since they have too few pairs or since both arms stand at a bound, are
left out before anything is estimated.

Where units contradict each other, a mean would hide it: one unit is clearly higher and another clearly lower or equal,
and the two differ from each other at p < CONTRADICTION_ALPHA. Every other "clearly" is p < 0.05; both are meant after
Holm's correction.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from suite.statistics.holm import holm
from suite.statistics.paired import ALPHA, TOLD_APART, ArmOutcome, Comparison, judge_together
from suite.statistics.scores import Estimate
from suite.statistics.student import t_quantile, t_within

CONTRADICTION_ALPHA = 0.01
"""Small, since it adds to the 5% of false differences that the mean alone may give."""


class Conclusion(StrEnum):
    """What all units together show about the first arm."""

    HIGHER = "higher"
    LOWER = "lower"
    EQUAL = "equal"
    """The difference is within the margin."""
    NOT_HIGHER = "not_higher"
    """A gain of the margin or more is ruled out, a loss is not."""
    NOT_LOWER = "not_lower"
    """A loss of the margin or more is ruled out, a gain is not."""
    OPEN = "open"
    UNITS_DIFFER = "units_differ"
    FEW = "few"
    """No unit has enough pairs, or none can tell."""


@dataclass(frozen=True)
class Pooled:
    """The mean over units of each unit's mean difference, with its interval and verdict."""

    comparisons: tuple[Comparison, ...]
    """A comparison a unit, not corrected for each other."""

    @functools.cached_property
    def telling(self) -> list[Comparison]:
        """The units that can tell, with Holm's correction among them."""
        return judge_together([comparison for comparison in self.comparisons if comparison.is_tested])

    @property
    def mean(self) -> float:
        """Mean of the telling units' mean differences, all counting the same. ZeroDivisionError if there is none."""
        return math.fsum(comparison.mean for comparison in self.telling) / len(self.telling)

    @property
    def _effect(self) -> tuple[float, float, int]:
        """The mean, its standard error, and Welch and Satterthwaite's degrees of freedom, rounded down."""
        error = math.sqrt(math.fsum(comparison.error**2 for comparison in self.telling))
        return self.mean, error / len(self.telling), _freedom(self.telling)

    @functools.cached_property
    def interval(self) -> Estimate | None:
        """Student's 95% interval of the mean; None where no unit can tell."""
        if not self.telling:
            return None
        mean, error, freedom = self._effect
        half = t_quantile(1 - ALPHA / 2, freedom) * error
        pairs = sum(comparison.pairs for comparison in self.telling)
        # No difference of scores is larger than the best of them, in a unit or on average.
        most = max(comparison.bounds[1] or math.inf for comparison in self.telling)
        low, high = max(-most, mean - half), min(most, mean + half)
        return Estimate(estimate=mean, low=low, high=high, level=1 - ALPHA, runs=pairs)

    @property
    def p(self) -> float:
        """Two-sided p of no difference, of units that can tell."""
        return _two_sided_p(*self._effect)

    @functools.cached_property
    def contradiction(self) -> tuple[int, int] | None:
        """Places among `telling` of the two units that contradict each other most clearly; None where none do."""
        pairs = list(combinations(range(len(self.telling)), 2))
        # By Welch's test that two units have one mean.
        p_values = []
        for units in combinations(self.telling, 2):
            error = math.hypot(units[0].error, units[1].error)
            p_values.append(_two_sided_p(units[0].mean - units[1].mean, error, _freedom(units)))
        adjusted = holm(p_values)
        for p, (first, second) in sorted(zip(adjusted, pairs, strict=True)):
            outcomes = {self.telling[first].outcome, self.telling[second].outcome}
            opposed = outcomes == {*TOLD_APART} or (ArmOutcome.ALIKE in outcomes and len(outcomes & {*TOLD_APART}) == 1)
            if p < CONTRADICTION_ALPHA and opposed:
                return first, second
        return None

    @functools.cached_property
    def conclusion(self) -> Conclusion:
        """FEW, UNITS_DIFFER, HIGHER or LOWER (p < 0.05); else by the interval EQUAL, NOT_HIGHER or NOT_LOWER, if it
        rules out gains, losses or both of the first telling unit's margin, or OPEN."""
        interval = self.interval
        if interval is None:
            return Conclusion.FEW
        if self.contradiction is not None:
            return Conclusion.UNITS_DIFFER
        if self.p < ALPHA:
            return Conclusion.HIGHER if interval.estimate > 0 else Conclusion.LOWER
        margin = self.telling[0].margin
        rules_out_gain = margin is not None and interval.high < margin
        rules_out_loss = margin is not None and interval.low > -margin
        if rules_out_gain and rules_out_loss:
            return Conclusion.EQUAL
        if rules_out_gain:
            return Conclusion.NOT_HIGHER
        return Conclusion.NOT_LOWER if rules_out_loss else Conclusion.OPEN


def differing_rows(rows: Sequence[Pooled]) -> list[bool]:
    """For each row of a table, True if its mean clearly differs from 0, after Holm's correction over the table."""
    tested = [row for row in rows if row.telling]
    adjusted = iter(holm([row.p for row in tested]))
    return [bool(row.telling) and next(adjusted) < ALPHA for row in rows]


def _two_sided_p(mean: float, error: float, freedom: int) -> float:
    """Two-sided p of Student's t that the true mean is 0; with an error of 0 it is 1 for a mean of 0, else 0."""
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return 1 - t_within(mean / error, freedom)


def _freedom(units: Sequence[Comparison]) -> int:
    """Welch and Satterthwaite's degrees of freedom of a sum of the units' means, rounded down."""
    variances = [unit.error**2 for unit in units]
    total = math.fsum(variances)
    if total == 0:
        return min(unit.pairs - 1 for unit in units)
    parts = math.fsum(variance**2 / (unit.pairs - 1) for variance, unit in zip(variances, units, strict=True))
    return max(1, math.floor(total**2 / parts * (1 + 1e-12)))
