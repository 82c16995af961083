"""Everything that is tested at once in a judgement of stored records, with the error spent over all of it."""

import math
from collections.abc import Sequence
from typing import Protocol

from suite.gate.tolerances import Tolerances
from suite.gate.verdict import Outcome, Verdict
from suite.statistics.holm import holm
from suite.statistics.student import t_above, t_quantile

ALPHA = 0.01
"""For one false alarm, or less, in a hundred judgements: over all that one judgement tests."""
LEVEL = 1 - 2 * ALPHA
"""Of the two-sided interval, so that each of its ends is passed with ALPHA."""


class Tested(Protocol):
    """A quantity whose change is known with an error: on its own scale, where a shift above 0 is for the worse."""

    @property
    def t(self) -> float: ...

    @property
    def freedom(self) -> int: ...

    def judged(self, p_worse: float, p_better: float, tolerances: Tolerances) -> Verdict:
        """Its verdict by p-values that Holm has adjusted."""
        ...


def judge_together(tested: Sequence[Tested], tolerances: Tolerances) -> list[Verdict]:
    """A verdict for each."""
    worse = holm([t_above(one.t, one.freedom) for one in tested])
    better = holm([t_above(-one.t, one.freedom) for one in tested])
    return [
        one.judged(*p_values, tolerances) for one, p_values in zip(tested, zip(worse, better, strict=True), strict=True)
    ]


def t_of(shift: float, error: float) -> float:
    """Without any spread every shift is beyond it."""
    return shift / error if error > 0 else math.copysign(math.inf, shift) if shift else 0.0


def reach_of(error: float, freedom: int) -> float:
    """Half the width of the interval."""
    return t_quantile((1 + LEVEL) / 2, freedom) * error


def outcome_of(p_worse: float, p_better: float, *, shift: float, reach: float, floor: float, target: float) -> Outcome:
    """All but the p-values are on the scale of the shift."""
    if p_worse < ALPHA and shift > floor:
        return Outcome.SLOWER
    if p_better < ALPHA and shift < -floor:
        return Outcome.FASTER
    return Outcome.SAME if shift + reach < target else Outcome.INCONCLUSIVE
