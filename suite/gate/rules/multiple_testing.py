"""All tests of one judgement of stored records, with the error spent over every one of them."""

import math
from collections.abc import Sequence
from typing import Protocol

from suite.gate.rules.tolerances import Tolerances
from suite.gate.verdict import Outcome, Verdict
from suite.statistics.holm import holm
from suite.statistics.student import t_above, t_quantile

ALPHA = 0.01
"""At most one false alarm in a hundred judgements, over all that one judgement tests."""
LEVEL = 1 - 2 * ALPHA
"""Confidence of the two-sided interval, so that each of its ends is passed with ALPHA."""


class Tested(Protocol):
    """A quantity whose change is known with an error, on its own scale, where a shift above 0 is for the worse."""

    @property
    def shift(self) -> float: ...

    @property
    def error(self) -> float: ...

    @property
    def freedom(self) -> int: ...

    def judged(self, p_worse: float, p_better: float, tolerances: Tolerances) -> Verdict:
        """Return its verdict by p-values that Holm has adjusted."""
        ...


def judge_together(tested: Sequence[Tested], tolerances: Tolerances) -> list[Verdict]:
    """Return a verdict for each quantity."""
    statistics = [(_t(quantity.shift, quantity.error), quantity.freedom) for quantity in tested]
    worse = holm([t_above(t, freedom) for t, freedom in statistics])
    better = holm([t_above(-t, freedom) for t, freedom in statistics])
    return [
        quantity.judged(p_worse, p_better, tolerances)
        for quantity, p_worse, p_better in zip(tested, worse, better, strict=True)
    ]


def half_width(quantity: Tested) -> float:
    """Return half the width of the interval around its shift."""
    return t_quantile((1 + LEVEL) / 2, quantity.freedom) * quantity.error


def outcome_of(
    quantity: Tested, p_worse: float, p_better: float, *, minimum_effect: float, equivalence_margin: float
) -> Outcome:
    """Return the outcome; the effect and the margin are on the scale of the shift."""
    if p_worse < ALPHA and quantity.shift > minimum_effect:
        return Outcome.SLOWER
    if p_better < ALPHA and quantity.shift < -minimum_effect:
        return Outcome.FASTER
    return Outcome.SAME if quantity.shift + half_width(quantity) < equivalence_margin else Outcome.INCONCLUSIVE


def _t(shift: float, error: float) -> float:
    """Return Student's t; without any spread every shift lies beyond it."""
    return shift / error if error > 0 else math.copysign(math.inf, shift) if shift else 0.0
