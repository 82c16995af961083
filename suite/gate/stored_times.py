"""Times against stored ones: only as far as the spread of stored runs allows.

What was measured at another hour has lost its pairing: on one busy machine, CPU time without interleaving failed
identical code in 6 of 8 runs. So each stored run counts as one draw, whatever the number of its steps, and the
candidate as one more: it is slower only where it lies outside what a further run of the old code would give.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from suite.gate.family import LEVEL, outcome_of, reach_of, t_of
from suite.gate.tolerances import Tolerances
from suite.gate.verdict import Outcome, Verdict
from suite.records.numbers import percent, seconds

LATENCY = "latency_s"
FEWEST_RUNS = 5
"""Student's t at 99 % is 32 with two runs, 7.0 with three and 3.7 with five: with fewer, the interval says little."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One span's time against the stored runs, on a logarithmic scale, where a slowdown is a shift."""

    case: str
    span: str
    before_s: float
    """Geometric mean of the stored runs' medians."""
    after_s: float
    """Median of the candidate's runs' medians."""
    error: float
    """Standard error of a prediction: of one further run, about the mean of the stored ones."""
    runs: int
    clock: str

    @property
    def shift(self) -> float:
        return math.log(self.after_s / self.before_s)

    @property
    def t(self) -> float:
        return t_of(self.shift, self.error)

    @property
    def freedom(self) -> int:
        return self.runs - 1

    def judged(self, p_worse: float, p_better: float, tolerances: Tolerances) -> Verdict:
        floor, target = (ask(self.case, self.span, LATENCY) for ask in (tolerances.floor, tolerances.target))
        reach = reach_of(self.error, self.freedom)
        on_scale = {"floor": math.log1p(floor), "target": math.log1p(target)}
        outcome = outcome_of(p_worse, p_better, shift=self.shift, reach=reach, **on_scale)
        ratio, low, high = (math.exp(shift) for shift in (self.shift, self.shift - reach, self.shift + reach))
        return Verdict(
            case=self.case,
            span=self.span,
            metric=LATENCY,
            outcome=outcome,
            reason=_reason(self, outcome, (ratio, low, high), target),
            before=self.before_s,
            after=self.after_s,
            ratio=ratio,
            low=low,
            high=high,
            level=LEVEL,
            allowed=1 + floor,
            clock=self.clock,
            launches=self.runs,
        )


def compared(case: str, span: str, stored_s: Sequence[float], candidate_s: Sequence[float], clock: str) -> Comparison:
    """Medians of the stored runs against those of the candidate's, all above zero.

    The candidate's runs count as one draw however many they are: they were made together, and share their hour.
    """
    logs = np.log(np.asarray(stored_s, dtype=float))
    return Comparison(
        case=case,
        span=span,
        before_s=float(np.exp(logs.mean())),
        after_s=float(np.median(candidate_s)),
        error=float(logs.std(ddof=1)) * math.sqrt(1 + 1 / len(logs)),
        runs=len(logs),
        clock=clock,
    )


def _reason(one: Comparison, outcome: Outcome, ratios: tuple[float, float, float], target: float) -> str:
    change, low, high = (f"{'+' if ratio >= 1 else '−'}{percent(abs(ratio - 1))}" for ratio in ratios)
    told = f"{seconds(one.before_s)} in {one.runs} stored runs, {seconds(one.after_s)} now: {change} ({low} to {high})"
    if outcome is Outcome.INCONCLUSIVE:
        return f"{told}; the stored runs spread too far to rule out {percent(target)}"
    return told
