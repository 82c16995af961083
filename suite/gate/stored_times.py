"""Times against stored ones: only as far as the spread of stored runs allows.

What was measured at another hour has lost its pairing: on one busy machine, CPU time without interleaving failed
identical code in 6 of 8 runs. So each stored run counts as one draw, whatever the number of its steps, and the
candidate as one more: it is slower only where it lies outside what a further run of the old code would give.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from suite.gate.tolerances import Tolerances
from suite.gate.verdict import Outcome, Verdict
from suite.records.numbers import percent, seconds
from suite.statistics.holm import holm
from suite.statistics.student import t_above, t_quantile

LATENCY = "latency_s"
FEWEST_RUNS = 5
"""Student's t at 99 % is 32 with two runs, 7.0 with three and 3.7 with five: with fewer, the interval says little."""
ALPHA = 0.01
"""For one false alarm, or less, in a hundred judgements: over all benchmarks of one judgement."""
LEVEL = 1 - 2 * ALPHA
"""Of the two-sided interval, so that each of its ends is passed with ALPHA."""


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
        """Without any spread every shift is beyond it."""
        return self.shift / self.error if self.error > 0 else math.copysign(math.inf, self.shift) if self.shift else 0.0


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


def judge_times(comparisons: Sequence[Comparison], tolerances: Tolerances) -> list[Verdict]:
    """A verdict for each, with the error spent over all of them."""
    slower = holm([t_above(one.t, one.runs - 1) for one in comparisons])
    faster = holm([t_above(-one.t, one.runs - 1) for one in comparisons])
    return [_judge(*each, tolerances) for each in zip(comparisons, slower, faster, strict=True)]


def _judge(one: Comparison, p_slower: float, p_faster: float, tolerances: Tolerances) -> Verdict:
    floor, target = (ask(one.case, one.span, LATENCY) for ask in (tolerances.floor, tolerances.target))
    reach = t_quantile((1 + LEVEL) / 2, one.runs - 1) * one.error
    ratio, low, high = (math.exp(shift) for shift in (one.shift, one.shift - reach, one.shift + reach))
    outcome = Outcome.INCONCLUSIVE
    if p_slower < ALPHA and ratio > 1 + floor:
        outcome = Outcome.SLOWER
    elif p_faster < ALPHA and ratio < 1 / (1 + floor):
        outcome = Outcome.FASTER
    elif high < 1 + target:
        outcome = Outcome.SAME
    return Verdict(
        case=one.case,
        span=one.span,
        metric=LATENCY,
        outcome=outcome,
        reason=_reason(one, outcome, (ratio, low, high), target),
        before=one.before_s,
        after=one.after_s,
        ratio=ratio,
        low=low,
        high=high,
        level=LEVEL,
        allowed=1 + floor,
        clock=one.clock,
        launches=one.runs,
    )


def _reason(one: Comparison, outcome: Outcome, ratios: tuple[float, float, float], target: float) -> str:
    change, low, high = (f"{'+' if ratio >= 1 else '−'}{percent(abs(ratio - 1))}" for ratio in ratios)
    told = f"{seconds(one.before_s)} in {one.runs} stored runs, {seconds(one.after_s)} now: {change} ({low} to {high})"
    if outcome is Outcome.INCONCLUSIVE:
        return f"{told}; the stored runs spread too far to rule out {percent(target)}"
    return told
