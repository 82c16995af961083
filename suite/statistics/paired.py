"""The one rule by which an arm is compared with another: a page, a claim and the gate all ask here.

Runs of one seed share their base model, their prompts and the order of both, and windows of one text share the text, so
what a pair has in common cancels in its difference. The rule, in order:

1. Fewer than FEWEST_PAIRS pairs: FEW. Nothing is said of them.
2. Both arms at the top of what can be reached, or neither above guessing: CEILING, FLOOR. The task tells nothing apart.
3. Student's t on the differences, with Holm's correction over the comparisons of one table, below ALPHA: HIGHER, LOWER.
4. The interval, as wide as that correction asks, lies within the equivalence margin: ALIKE. "No difference" needs
   evidence, too. These are two one-sided tests (D. Schuirmann, 1987), each at half of ALPHA.
5. Else OPEN: no clear difference.

`.ci/tool benchmarks.evidence` prints how often this rule is wrong where nothing differs.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from suite.statistics.holm import holm
from suite.statistics.scores import Estimate
from suite.statistics.seeds import seed_mean
from suite.statistics.student import t_within

T = TypeVar("T", bound=Any)
FEWEST_PAIRS = 5
"""Student's t at 95% reaches 2.8 standard errors with five pairs and 12.7 with two; a bootstrap of so few is far too
narrow, and the exact test below cannot go under 0.0625 with five."""
ALPHA = 0.05
"""Chance of any false HIGHER or LOWER in a table where nothing differs."""
SHARE_MARGIN = 0.02
"""Two points of accuracy, about what published tables of attention variants tell apart."""
NATS_MARGIN = 0.02
"""Margin of a loss a token: two percent of perplexity."""
BITS_MARGIN = 0.02
"""Margin of a loss a byte of text, of which small models need one to two bits."""
ALL_BUT = 0.01
"""If both arms are this near the best possible score, the task cannot show a difference."""
ABOVE_CHANCE = 0.02
"""If neither arm is further above guessing, neither has learnt anything."""
MOST_FLIPPED = 40
"""Pairs up to which all sign flips are counted: beyond, the halves below hold more than a million sums."""


class ArmOutcome(StrEnum):
    """What the pairs show about the first arm."""

    HIGHER = "higher"
    LOWER = "lower"
    ALIKE = "alike"
    OPEN = "open"
    CEILING = "ceiling"
    FLOOR = "floor"
    FEW = "few"


TOLD_APART = (ArmOutcome.HIGHER, ArmOutcome.LOWER)
JUDGED = (*TOLD_APART, ArmOutcome.ALIKE, ArmOutcome.OPEN)
"""Outcomes of pairs that were enough, on a task that can tell."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Values of two arms, pair by pair, and the verdict on their difference, the first minus the second."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    bounds: tuple[float | None, float | None] = (None, None)
    """The level of guessing, and the best that can be reached."""
    margin: float | None = None
    """The smallest difference that matters; None if none is set, and then nothing is called alike."""
    adjusted_p: float | None = None
    """`p` after Holm's correction; None for a comparison that stands alone."""
    names: tuple[str, ...] = ()
    """What each pair shares, mostly a seed; may be empty."""

    @property
    def pairs(self) -> int:
        return len(self.ours)

    @functools.cached_property
    def differences(self) -> tuple[float, ...]:
        """The first arm minus the second, pair by pair."""
        return tuple(ours - theirs for ours, theirs in zip(self.ours, self.theirs, strict=True))

    @property
    def mean(self) -> float:
        """Mean of the differences, the first arm minus the second."""
        return math.fsum(self.differences) / self.pairs

    @property
    def error(self) -> float:
        """Standard error of the mean, with `pairs - 1` degrees of freedom; infinite for one pair."""
        if self.pairs < 2:
            return math.inf
        return float(np.std(self.differences, ddof=1)) / math.sqrt(self.pairs)

    @functools.cached_property
    def interval(self) -> Estimate | None:
        """Student's interval of the mean difference, cut to differences that scores allow; None for one pair.

        At 95% for a comparison that stands alone. After Holm's correction it is as wide as the corrected test of this
        comparison: it contains 0 if and only if the rule finds no difference.
        """
        if not self.p or not self.adjusted_p:
            return self._interval_at(1 - ALPHA)
        return self._interval_at(1 - ALPHA * self.p / self.adjusted_p)

    def _interval_at(self, level: float) -> Estimate | None:
        """Student's interval at this confidence, cut to ± the best score if one is given; None for one pair."""
        if self.pairs < 2:
            return None
        interval = seed_mean(self.differences, level=level)
        most = self.bounds[1]
        if most is None:
            return interval
        # Scores lie between 0 and the best that can be reached, so their differences cannot be larger than that.
        return replace(interval, low=max(-most, interval.low), high=min(most, interval.high))

    @functools.cached_property
    def p(self) -> float | None:
        """Two-sided p of Student's t before any correction; None for fewer than FEWEST_PAIRS pairs."""
        if self.pairs < FEWEST_PAIRS:
            return None
        if self.error == 0:
            return 1.0 if self.mean == 0 else 0.0
        return 1 - t_within(self.mean / self.error, self.pairs - 1)

    @property
    def sign_flip_p(self) -> float | None:
        """`sign_flip_p` of the differences; None for more than MOST_FLIPPED pairs."""
        return sign_flip_p(self.differences) if self.pairs <= MOST_FLIPPED else None

    @property
    def at_bounds(self) -> ArmOutcome | None:
        """CEILING if both means reach the best score but ALL_BUT, FLOOR if neither is ABOVE_CHANCE over guessing, else
        None. The number of pairs does not matter."""
        chance, best = self.bounds
        means = [math.fsum(values) / self.pairs for values in (self.ours, self.theirs)]
        if best is not None and min(means) >= best - ALL_BUT:
            return ArmOutcome.CEILING
        if chance is not None and max(means) <= chance + ABOVE_CHANCE:
            return ArmOutcome.FLOOR
        return None

    @property
    def is_tested(self) -> bool:
        """True if there are at least FEWEST_PAIRS pairs and the arms are at neither bound."""
        return self.pairs >= FEWEST_PAIRS and self.at_bounds is None

    @functools.cached_property
    def outcome(self) -> ArmOutcome:
        """The verdict on the first arm by the five steps of this module's docstring, with Holm's p where it is set."""
        if self.pairs < FEWEST_PAIRS:
            return ArmOutcome.FEW
        if self.at_bounds is not None:
            return self.at_bounds
        p = self.p if self.adjusted_p is None else self.adjusted_p
        assert p is not None
        assert self.interval is not None
        if p < ALPHA:
            return ArmOutcome.HIGHER if self.mean > 0 else ArmOutcome.LOWER
        if self.margin is not None and -self.margin < self.interval.low and self.interval.high < self.margin:
            return ArmOutcome.ALIKE
        return ArmOutcome.OPEN


def compare(
    ours: Mapping[str, float],
    theirs: Mapping[str, float],
    *,
    bounds: tuple[float | None, float | None] = (None, None),
    margin: float | None = None,
) -> Comparison | None:
    """Pair the values of two arms by what they share, mostly seeds; None where they share nothing. Values that only one
    arm has are left out. Raises ValueError for a value that is not finite."""
    shared = [name for name in ours if name in theirs]
    pairs = [(ours[name], theirs[name]) for name in shared]
    if wrong := [value for pair in pairs for value in pair if not math.isfinite(value)]:
        raise ValueError(f"values must be finite; got {wrong[0]}")
    if not pairs:
        return None
    first, second = zip(*pairs, strict=True)
    return Comparison(ours=first, theirs=second, bounds=bounds, margin=margin, names=tuple(shared))


def changes(
    values: Sequence[float], *, less: float | Sequence[float] = 0.0, margin: float | None = None
) -> Comparison | None:
    """Compare a series with the equally long `less`, place by place, or with one number; None for an empty one."""
    baselines = [less] * len(values) if isinstance(less, int | float) else less
    numbered = [{str(place): value for place, value in enumerate(series)} for series in (values, baselines)]
    return compare(*numbered, margin=margin)


def judge_together(comparisons: Sequence[T]) -> list[T]:
    """The comparisons of one table, in order, with Holm's `adjusted_p` over those that are tested. They may be of other
    classes with `p`, `is_tested` and `adjusted_p`."""
    adjusted = iter(
        holm([comparison.p for comparison in comparisons if comparison.is_tested and comparison.p is not None])
    )
    return [
        replace(comparison, adjusted_p=next(adjusted)) if comparison.is_tested else comparison
        for comparison in comparisons
    ]


def sign_flip_p(differences: Sequence[float]) -> float:
    """Exact two-sided p of Fisher's randomisation test: the share of all sign flips whose sum is at least as large in
    size.

    Counted in two halves, each sum of one with each of the other, so 2^(n/2) sums stand for 2^n flips. It assumes
    nothing but that a difference is as likely as its opposite. Raises ValueError for none, or more than MOST_FLIPPED.
    """
    if not 0 < len(differences) <= MOST_FLIPPED:
        raise ValueError(f"differences must be 1 to {MOST_FLIPPED} numbers; got {len(differences)}")
    middle = len(differences) // 2
    left, right = (_signed_sums(half) for half in (differences[:middle], differences[middle:]))
    right.sort()
    # Sums that are equal on paper differ in their last bits.
    reached = abs(math.fsum(differences)) - 1e-9 * math.fsum(map(abs, differences))
    above = int(np.sum(len(right) - np.searchsorted(right, reached - left, side="left")))
    below = int(np.sum(np.searchsorted(right, -reached - left, side="right")))
    return min(1.0, (above + below) / float(2 ** len(differences)))


def _signed_sums(half: Sequence[float]) -> NDArray[np.float64]:
    """All 2^n sums of the n numbers, each number with either sign."""
    sums = np.zeros(1)
    for difference in half:
        sums = np.concatenate([sums + difference, sums - difference])
    return sums
