"""An effect from several launches of a program, each of which gives one number.

Samples of one launch are alike: memory lies where it lies, and code is placed where it is placed, until the program
starts anew. So a launch counts once, however many rounds it had, and Student's t asks how far launches lie apart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from suite.statistics.student import t_above, t_quantile


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A log-ratio with its standard error, which has Student's t with these degrees of freedom."""

    estimate: float
    error: float
    freedom: int

    def bounds(self, level: float) -> tuple[float, float]:
        """The two-sided interval of this confidence."""
        half = t_quantile((1 + level) / 2, self.freedom) * self.error
        return self.estimate - half, self.estimate + half

    def p_above_zero(self) -> float:
        """One-sided p of an effect this large or larger where there is none."""
        return self._p(self.estimate)

    def p_below_zero(self) -> float:
        return self._p(-self.estimate)

    def _p(self, estimate: float) -> float:
        if self.error > 0:
            return t_above(estimate / self.error, self.freedom)
        return 0.5 if estimate == 0 else float(estimate < 0)


def effect_over(launches: Sequence[float]) -> Effect:
    """Return the mean of the launches' log-ratios as an effect. Raises ValueError for fewer than two.

    At the levels that tests use, Student's t errs on the safe side where launches spread unequally, by long and short
    ones or by heavy tails: R. Ibragimov and U. K. Müller, t-statistic based correlation and heterogeneity robust
    inference, Journal of Business & Economic Statistics 28 (2010).
    """
    if len(launches) < 2:
        raise ValueError(f"an effect needs two launches; got {len(launches)}")
    mean = math.fsum(launches) / len(launches)
    squares = math.fsum((launch - mean) ** 2 for launch in launches)
    freedom = len(launches) - 1
    return Effect(estimate=mean, error=math.sqrt(squares / freedom / len(launches)), freedom=freedom)
