"""All tests of one judgement of stored records, with the error spent over every one of them.

Stored runs were taken at other hours than the new one. A judgement learns from all of its timings together what hours
do: by how far stored runs lie apart, how heavy the tails are, and by what the new run's timings share, how busy its own
hour was. How often that errs is in results/reference/cpu/gate/stored_tails.txt.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from suite.gate.rules.tolerances import Tolerance, Tolerances
from suite.gate.verdict import Outcome, Verdict
from suite.records.numbers import percent
from suite.statistics.holm import holm
from suite.statistics.student import t_above, t_quantile, t_within

# At most one false alarm in a hundred judgements, over all that one judgement tests.
ALPHA = 0.01
# Confidence of the two-sided interval, so that each of its ends is passed with ALPHA.
LEVEL = 1 - 2 * ALPHA
# Degrees of freedom of the test where few stored runs tell nothing of the tails. With three, runs that have the tails
# of t with two degrees raised a false alarm in up to 6 of 100 judgements of 40 cases.
HEAVIEST_TAILS = 2
# Chance at which tails are ruled out. With 0.01, t with two degrees raised 1.2% of false alarms in place of 1.0.
TAILS_ERROR = ALPHA / 2
# The most that an hour alone is taken to change all timings of a run by.
BUSY_HOUR = math.log(1.2)
# Timings of the run whose median says how busy its hour was; with fewer it may have been as busy as BUSY_HOUR.
ENOUGH_OTHERS = 3


@dataclass(frozen=True, kw_only=True)
class TestedChange:
    """The change of one quantity, known with an error, on the scale on which it is tested: above 0 is for the worse."""

    case: str
    span: str
    metric: str
    before: float
    after: float
    shift: float
    """The logarithm of after over before, or the fall of a quantity that changes by points."""
    error: float
    """The standard error of the shift, which has Student's t with these degrees of freedom."""
    freedom: int
    by_points: bool = False
    usual: Tolerance | None = None
    """The tolerance where conf/gate.yaml says nothing of the case; None where it is that of the metric."""
    values: str
    """Both values in words."""
    runs: str
    """The runs whose spread is the error, in words."""
    signed_margin: bool
    """True if the reason writes the margin with its sign."""
    launches: int
    clock: str
    notes: Sequence[str] = ()
    deviations: Sequence[float] = ()
    """The distance of each stored run from the others, oldest first, in errors of one further run. Empty for what is
    paired, whose error holds the hours already."""
    hour: float = 0.0
    """The part of the shift that the hour of the new run may be the cause of; of the shift's sign."""

    @property
    def t(self) -> float:
        """Student's t; without any spread every shift lies beyond it."""
        beyond = self.shift - self.hour
        if self.error > 0:
            return beyond / self.error
        return math.copysign(math.inf, beyond) if beyond else 0.0

    @property
    def half_width(self) -> float:
        """Half of the interval at LEVEL, on the scale of the shift."""
        return t_quantile((1 + LEVEL) / 2, self.freedom) * self.error

    def verdict(self, p_worse: float, p_better: float, tolerances: Tolerances) -> Verdict:
        """The verdict by Holm-adjusted one-sided p-values for a change to the worse and to the better. Significant and
        beyond the minimum effect is slower or faster; else same if the margin is ruled out."""
        tolerance = tolerances.tolerance(self.case, self.span, self.metric, usual=self.usual)
        effect, margin = tolerance.minimum_effect, tolerance.equivalence_margin
        if not self.by_points:
            effect, margin = math.log1p(effect), math.log1p(margin)
        best = self.shift - self.half_width - max(self.hour, 0.0)
        worst = self.shift + self.half_width - min(self.hour, 0.0)
        ends = (worst, best) if self.by_points else (best, worst)  # from the lower value after to the higher
        reason = f"{self.values}: {self._in_words(self.shift)} ({' to '.join(map(self._in_words, ends))})"
        if p_worse < ALPHA and self.shift > effect:
            outcome = Outcome.SLOWER
        elif p_better < ALPHA and self.shift < -effect:
            outcome = Outcome.FASTER
        elif worst < margin:
            outcome = Outcome.SAME
        else:
            outcome = Outcome.INCONCLUSIVE
            hidden = self._in_words(margin) if self.signed_margin else _percent(tolerance.equivalence_margin)
            reason += f"; the {self.runs} spread too far to rule out a change of {hidden}"
            if self.shift > effect and self.hour > effect:
                reason += f"; up to {_percent(math.expm1(self.hour))} may come from a busy hour of the new run"
            if best > effect:
                reason += "; significant by itself, but not after the correction for all tests made here"
        low, high = map(self._ratio, ends)
        return Verdict(
            case=self.case,
            span=self.span,
            metric=self.metric,
            outcome=outcome,
            reason=reason,
            before=self.before,
            after=self.after,
            ratio=self._ratio(self.shift),
            low=low,
            high=high,
            level=LEVEL,
            allowed=self._ratio(effect),
            clock=self.clock,
            launches=self.launches,
            notes=self.notes,
        )

    def _ratio(self, shift: float) -> float | None:
        """After divided by before, from a shift: a logarithm, or points lost. None if there were 0 points before."""
        if self.by_points:
            return (self.before - shift) / self.before if self.before > 0 else None
        return math.exp(shift)

    def _in_words(self, shift: float) -> str:
        """Write a shift as `+5.2%`, or in points as `−0.170`; the sign is that of the value, not of the loss."""
        if self.by_points:
            return f"{'−' if shift > 0 else '+'}{abs(shift):.3f}"
        return f"{'+' if shift >= 0 else '−'}{_percent(abs(math.exp(shift) - 1))}"


def _percent(share: float) -> str:
    """Write a share as `5.2%`."""
    return percent(share).replace(" ", "")


def judge_together(changes: Sequence[TestedChange], tolerances: Tolerances) -> list[Verdict]:
    """The verdict of each change, in the given order, with Holm's correction over all of them in each direction."""
    changes = _with_hours(changes)
    worse = holm([t_above(change.t, change.freedom) for change in changes])
    better = holm([t_above(-change.t, change.freedom) for change in changes])
    return [
        change.verdict(p_worse, p_better, tolerances)
        for change, p_worse, p_better in zip(changes, worse, better, strict=True)
    ]


def _with_hours(changes: Sequence[TestedChange]) -> list[TestedChange]:
    """Set `freedom` and `hour` of each timing that stored runs judge; other changes are returned as they are. All
    timings together show how heavy the tails are. The median shift of the others tells how busy the new run's hour was;
    with fewer than ENOUGH_OTHERS it counts as up to BUSY_HOUR."""
    timed = [change for change in changes if change.deviations]
    # From the newest on, a run holds the timings at one place; one that has fewer stored runs lies near in the others.
    runs = list(itertools.zip_longest(*(reversed(change.deviations) for change in timed), fillvalue=0.0))
    farthest, count = [max(map(abs, run)) for run in runs], sum(len(change.deviations) for change in timed)
    freedom = tails_freedom(farthest, count / len(runs)) if runs else 0
    judged = []
    for change in changes:
        if change.deviations:
            shifts = [other_change.shift for other_change in timed if other_change is not change]
            shared = median(shifts) if len(shifts) >= ENOUGH_OTHERS else math.copysign(BUSY_HOUR, change.shift)
            most = min(abs(change.shift), BUSY_HOUR, max(0.0, math.copysign(1.0, change.shift) * shared))
            own_freedom = max(HEAVIEST_TAILS, min(freedom, len(change.deviations) - 2))
            change = replace(change, freedom=own_freedom, hour=math.copysign(most, change.shift))
        judged.append(change)
    return judged


def tails_freedom(farthest: Sequence[float], timings: float) -> int:
    """The fewest degrees of freedom whose t has no heavier tails than stored runs show, from HEAVIEST_TAILS on.

    `farthest`: of each run the largest deviation of its `timings`, as TestedChange has them. Asked of each freedom is
    the chance that all runs but one lie as near as they do: one may be of a busy hour, which moves all of its timings.
    """
    runs, second = len(farthest), sorted(farthest)[-2]
    for freedom in range(HEAVIEST_TAILS, runs - 2):
        within = t_within(second, freedom) ** timings
        if within**runs + runs * (1 - within) * within ** (runs - 1) >= TAILS_ERROR:
            return freedom
    return runs - 2
