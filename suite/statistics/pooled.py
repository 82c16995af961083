"""One estimate from several units, such as tasks or models, in each of which two arms were compared pair by pair.

Every unit counts the same, so units must be independent: sorting four digits and sorting six are one unit. From
FEWEST_DRAWS units on they are draws: the error is that of the units' means, so the estimate speaks of units like these.
Of fewer the error comes from the pairs within units, and the estimate speaks of these units alone. Units that can tell
nothing, since they have too few pairs or since both arms stand at a bound, are left out before anything is estimated.

A clear mean is called clear only if every check of it comes to the same (`checked_conclusion`): the mean without any
one unit, and means by other usual choices. Otherwise it depends on what was left out or chosen.

Where units contradict each other, a mean would hide it: one unit is clearly higher and another clearly lower or equal,
and the two differ from each other at p < CONTRADICTION_ALPHA. Every other "clearly" is p < 0.05; both are meant after
Holm's correction. In simulations without a difference (3, 6 and 10 units of 5 and 10 pairs) this names a contradiction
in some 0.2% of cases, beside the 5% of the mean. Cochran's Q at p < 0.05 in place of Welch's test would do so in 4%.
"""

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations
from statistics import stdev

from suite.statistics.holm import holm
from suite.statistics.paired import ALPHA, TOLD_APART, ArmOutcome, Comparison, judge_together
from suite.statistics.scores import Estimate
from suite.statistics.student import chi_square_above, t_quantile, t_within

CONTRADICTION_ALPHA = 0.002
"""Small, since it adds to the 5% of false differences that the mean alone may give."""
FEWEST_DRAWS = 5
"""Units from which on their spread can be estimated: of two, Student's t needs a mean of 13 standard errors."""
ALPHA_BY_LOOKS = {1: ALPHA, 2: 0.0294}
"""By how often a claim was looked at, the p below which a mean is clear, so that all looks together err in 5%: S. J.
Pocock, Group sequential methods in the design and analysis of clinical trials, Biometrika 64 (1977)."""


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
    """Two units contradict each other."""
    DEPENDS = "depends"
    """The mean is clear, and a check of it is not, or says the opposite."""
    FEW = "few"
    """No unit has enough pairs, or none can tell."""


@dataclass(frozen=True)
class Pooled:
    """The mean over units of each unit's mean difference, with its interval and verdict."""

    comparisons: tuple[Comparison, ...]
    """A comparison a unit, not corrected for each other."""
    alpha: float = ALPHA
    """The mean is clear at a p below this; the interval's level is 1 less this."""
    are_draws: bool | None = None
    """Whether the error is that of the units' means; None: from FEWEST_DRAWS units on."""

    def without(self, place: int) -> "Pooled":
        """The other telling units, with the same kind of error."""
        others = tuple(unit for number, unit in enumerate(self.telling) if number != place)
        return replace(self, comparisons=others, are_draws=self.is_about_others and len(others) > 1)

    @functools.cached_property
    def telling(self) -> list[Comparison]:
        """The units that can tell, with Holm's correction among them."""
        return judge_together([comparison for comparison in self.comparisons if comparison.is_tested])

    @property
    def mean(self) -> float:
        """Mean of the telling units' mean differences, all counting the same. ZeroDivisionError if there is none."""
        return math.fsum(comparison.mean for comparison in self.telling) / len(self.telling)

    @property
    def is_about_others(self) -> bool:
        """True where units are draws, so that the interval holds for units like these; else for these alone."""
        return len(self.telling) >= FEWEST_DRAWS if self.are_draws is None else self.are_draws

    @property
    def _effect(self) -> tuple[float, float, int]:
        """The mean, its standard error, and its degrees of freedom: units less one, or of few units Welch and
        Satterthwaite's, rounded down."""
        count = len(self.telling)
        if self.is_about_others:
            return self.mean, stdev(comparison.mean for comparison in self.telling) / math.sqrt(count), count - 1
        error = math.sqrt(math.fsum(comparison.error**2 for comparison in self.telling))
        return self.mean, error / count, _freedom(self.telling)

    @property
    def heterogeneity_p(self) -> float | None:
        """p of Cochran's Q that all telling units have one mean; None of fewer than two.

        By chi-square with James's first-order correction for estimated variances (Biometrika 38, 1951): of 3 to 10
        units that do not differ, of 5 pairs each, it lies below 0.05 in 6 to 12% of cases, without the correction in 13
        to 33%. A unit whose pairs all differ by the same counts with the smallest error of another.
        """
        count = len(self.telling)
        if count < 2:
            return None
        smallest = min((unit.error for unit in self.telling if unit.error > 0), default=0.0)
        if smallest == 0:
            return 1.0 if len({unit.mean for unit in self.telling}) == 1 else 0.0
        weights = [(unit.error or smallest) ** -2 for unit in self.telling]
        total = math.fsum(weights)
        centre = math.fsum(w * unit.mean for w, unit in zip(weights, self.telling, strict=True)) / total
        q = math.fsum(w * (unit.mean - centre) ** 2 for w, unit in zip(weights, self.telling, strict=True))
        parts = ((1 - w / total) ** 2 / (unit.pairs - 1) for w, unit in zip(weights, self.telling, strict=True))
        # Q is as far out as the chi-square c with c (1 + (3 c + count + 1) share) = Q.
        share = math.fsum(parts) / (2 * (count * count - 1))
        linear = 1 + (count + 1) * share
        return chi_square_above(2 * q / (linear + math.sqrt(linear * linear + 12 * share * q)), count - 1)

    @functools.cached_property
    def interval(self) -> Estimate | None:
        """Student's interval of the mean, at 95% unless `alpha` asks for more; None where no unit can tell."""
        if not self.telling:
            return None
        mean, error, freedom = self._effect
        half = t_quantile(1 - self.alpha / 2, freedom) * error
        pairs = sum(comparison.pairs for comparison in self.telling)
        # No difference of scores is larger than the best of them, in a unit or on average.
        most = max(comparison.bounds[1] or math.inf for comparison in self.telling)
        low, high = max(-most, mean - half), min(most, mean + half)
        return Estimate(estimate=mean, low=low, high=high, level=1 - self.alpha, runs=pairs)

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
        """FEW, UNITS_DIFFER, HIGHER or LOWER (p < alpha); else by the interval EQUAL, NOT_HIGHER or NOT_LOWER, if it
        rules out gains, losses or both of the first telling unit's margin, or OPEN."""
        interval = self.interval
        if interval is None:
            return Conclusion.FEW
        if self.contradiction is not None:
            return Conclusion.UNITS_DIFFER
        if self.p < self.alpha:
            return Conclusion.HIGHER if interval.estimate > 0 else Conclusion.LOWER
        margin = self.telling[0].margin
        rules_out_gain = margin is not None and interval.high < margin
        rules_out_loss = margin is not None and interval.low > -margin
        if rules_out_gain and rules_out_loss:
            return Conclusion.EQUAL
        if rules_out_gain:
            return Conclusion.NOT_HIGHER
        return Conclusion.NOT_LOWER if rules_out_loss else Conclusion.OPEN


def checked_conclusion(pooled: Pooled, checks: Iterable[Pooled]) -> Conclusion:
    """The conclusion of a mean; DEPENDS where it is clear and any of the checks comes to another conclusion."""
    conclusion = pooled.conclusion
    is_clear = conclusion in (Conclusion.HIGHER, Conclusion.LOWER)
    return (
        Conclusion.DEPENDS if is_clear and any(check.conclusion is not conclusion for check in checks) else conclusion
    )


def differing_rows(rows: Sequence[Pooled]) -> list[bool]:
    """For each row of a table, True if its mean clearly differs from 0, after Holm's correction over the table."""
    tested = [row for row in rows if row.telling]
    adjusted = iter(holm([row.p for row in tested]))
    return [bool(row.telling) and next(adjusted) < ALPHA for row in rows]


def _two_sided_p(mean: float, error: float, freedom: int) -> float:
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
