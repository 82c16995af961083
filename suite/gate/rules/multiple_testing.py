"""All tests of one judgement of stored records, with the error spent over every one of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from suite.gate.rules.tolerances import Tolerance, Tolerances
from suite.gate.verdict import Outcome, Verdict
from suite.records.numbers import percent
from suite.statistics.holm import holm
from suite.statistics.student import t_above, t_quantile

ALPHA = 0.01
"""At most one false alarm in a hundred judgements, over all that one judgement tests."""
LEVEL = 1 - 2 * ALPHA
"""Confidence of the two-sided interval, so that each of its ends is passed with ALPHA."""


@dataclass(frozen=True, kw_only=True)
class Change:
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

    @property
    def t(self) -> float:
        """Return Student's t; without any spread every shift lies beyond it."""
        if self.error > 0:
            return self.shift / self.error
        return math.copysign(math.inf, self.shift) if self.shift else 0.0

    @property
    def half_width(self) -> float:
        """Return half the width of the interval around the shift."""
        return t_quantile((1 + LEVEL) / 2, self.freedom) * self.error

    def verdict(self, p_worse: float, p_better: float, tolerances: Tolerances) -> Verdict:
        """Return its verdict by p-values that Holm has adjusted. Tolerances are points, or shares of a ratio."""
        tolerance = tolerances.tolerance(self.case, self.span, self.metric, usual=self.usual)
        effect, margin = tolerance.minimum_effect, tolerance.equivalence_margin
        if not self.by_points:
            effect, margin = math.log1p(effect), math.log1p(margin)
        best, worst = self.shift - self.half_width, self.shift + self.half_width
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
            hidden = self._in_words(margin) if self.signed_margin else percent(tolerance.equivalence_margin)
            reason += f"; the {self.runs} spread too far to rule out {hidden}"
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
        """Return after over before by a shift; a value of 0 points before has none."""
        if self.by_points:
            return (self.before - shift) / self.before if self.before > 0 else None
        return math.exp(shift)

    def _in_words(self, shift: float) -> str:
        """Write a shift with a sign that says which way the value went."""
        if self.by_points:
            return f"{'−' if shift > 0 else '+'}{abs(shift):.3f}"
        return f"{'+' if shift >= 0 else '−'}{percent(abs(math.exp(shift) - 1))}"


def judge_together(changes: Sequence[Change], tolerances: Tolerances) -> list[Verdict]:
    """Return a verdict for each change, with Holm's correction over all of them."""
    worse = holm([t_above(change.t, change.freedom) for change in changes])
    better = holm([t_above(-change.t, change.freedom) for change in changes])
    return [
        change.verdict(p_worse, p_better, tolerances)
        for change, p_worse, p_better in zip(changes, worse, better, strict=True)
    ]
