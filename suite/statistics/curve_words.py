"""Whole learning curves of an arm beside those of another on the same seeds, in one word.

The last accuracy of a short run says neither whether an arm is worse nor whether it is later. The word is the first
that holds:

1. `trapped`: it takes off clearly later (`log_rank`), and clearly more of its runs never do (`fisher`); or A is clearly
   lower, and none of its runs takes off.
2. `collapses`: clearly more of its runs take off and end below half of their best (`fisher`).
3. `lower`: A, where a run's sigmoid levels off, is clearly lower (Student's t, paired by seed).
4. `late`: it takes off clearly later.
5. `alike`: the intervals of the differences of A and of C_mid are within PLATEAU_MARGIN and MIDDLE_FACTOR.
6. `open`.

Each word of the first four has its mirror, where the same holds of the other arm. Clear is p < 0.05 after Holm's
correction over all tests of take-off, collapse and A in a table that could be clear. Whether runs never take off is
asked only where one arm is clearly later, with a correction over these.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from suite.statistics.learning import Sigmoid, fit_sigmoid, is_collapsed
from suite.statistics.paired import FEWEST_PAIRS, TOLD_APART, ArmOutcome, Comparison, compare, judge_together
from suite.statistics.take_off import ExactTest, TakeOff, fisher, log_rank, take_off

PLATEAU_MARGIN = 0.05
MIDDLE_FACTOR = 2.0
NOT_ASKED, NO_PAIR = ExactTest(p=1.0, least_p=1.0, direction=0), Comparison(ours=(), theirs=())


class CurveWord(StrEnum):
    """What the curves show about the first arm."""

    TRAPPED = "trapped"
    ESCAPES = "escapes"
    COLLAPSES = "collapses"
    HOLDS = "holds"
    LOWER = "lower"
    HIGHER = "higher"
    LATE = "late"
    EARLY = "early"
    ALIKE = "alike"
    OPEN = "open"
    FEW = "few"


@dataclass(frozen=True, kw_only=True)
class RunCurve:
    """What is read of one run's curve."""

    take_off: TakeOff
    plateau: float
    """A of its sigmoid; of a run that never took off, or that collapsed, the last accuracy: it does not level off."""
    sigmoid: Sigmoid | None
    """None for such a run, and for one that rose before the first evaluation after the start: nobody saw it."""
    is_collapsed: bool


@dataclass(frozen=True, kw_only=True)
class CurveComparison:
    """The curves of an arm beside those of another, at the seeds that both have."""

    plateau: Comparison
    """Of A."""
    middle: Comparison | None
    """Of log C_mid, at the seeds at which both have one."""
    later: ExactTest
    collapses: ExactTest
    never: ExactTest
    stuck: tuple[bool, bool] = (False, False)
    """Whether none of the arm's runs takes off, and none of the other's."""

    @property
    def word(self) -> CurveWord:
        """The first word that holds, by the rules of this module's docstring; FEW for too few seeds."""
        if self.plateau.pairs < FEWEST_PAIRS:
            return CurveWord.FEW
        if self.never.is_clear and self.never.direction == self.later.direction:
            return CurveWord.TRAPPED if self.never.direction > 0 else CurveWord.ESCAPES
        if self.collapses.is_clear:
            return CurveWord.COLLAPSES if self.collapses.direction > 0 else CurveWord.HOLDS
        if self.plateau.outcome in TOLD_APART:
            is_lower = self.plateau.outcome is ArmOutcome.LOWER
            if self.stuck[0 if is_lower else 1]:
                return CurveWord.TRAPPED if is_lower else CurveWord.ESCAPES
            return CurveWord(self.plateau.outcome)
        if self.later.is_clear:
            return CurveWord.LATE if self.later.direction > 0 else CurveWord.EARLY
        # At the ceiling A is alike, though no interval says so.
        is_level_alike = self.plateau.outcome in (ArmOutcome.ALIKE, ArmOutcome.CEILING)
        is_rise_alike = self.middle is not None and self.middle.outcome is ArmOutcome.ALIKE
        return CurveWord.ALIKE if is_level_alike and is_rise_alike else CurveWord.OPEN


def read_curve(spent: Sequence[float], accuracy: Sequence[float]) -> RunCurve:
    """Read one run's curve. Raises ValueError as `fit_sigmoid`."""
    sigmoid, start = fit_sigmoid(spent, accuracy), take_off(spent, accuracy)
    collapsed = start.happened and is_collapsed(accuracy)
    levels_off = start.happened and not collapsed
    is_seen = math.exp(sigmoid.log_middle) > min(amount for amount in spent if amount > 0) * (1 + 1e-9)
    return RunCurve(
        take_off=start,
        plateau=sigmoid.plateau if levels_off else accuracy[-1],
        sigmoid=sigmoid if levels_off and is_seen else None,
        is_collapsed=collapsed,
    )


def judge_curves(
    rows: Sequence[tuple[Mapping[str, RunCurve], Mapping[str, RunCurve]]], bounds: tuple[float, float]
) -> list[CurveComparison]:
    """Compare the two arms of each row of a table, given by seed, and judge all together. `bounds`: the accuracy of
    guessing and the best, as of `Comparison`."""
    compared = [_compare(ours, theirs, bounds) for ours, theirs in rows]
    tests: list[Any] = [test for row in compared for test in (row.later, row.collapses, row.plateau)]
    judged = iter(judge_together(tests))
    compared = [replace(row, later=next(judged), collapses=next(judged), plateau=next(judged)) for row in compared]
    never = [row.never if row.later.is_clear else NOT_ASKED for row in compared]
    return [replace(row, never=test) for row, test in zip(compared, judge_together(never), strict=True)]


def _compare(
    ours: Mapping[str, RunCurve], theirs: Mapping[str, RunCurve], bounds: tuple[float, float]
) -> CurveComparison:
    """Compare two arms at the seeds that both have, without any correction; of too few seeds no test is asked."""
    arms = [{seed: arm[seed] for seed in ours if seed in theirs} for arm in (ours, theirs)]
    plateaus = [{seed: run.plateau for seed, run in arm.items()} for arm in arms]
    middles = [{seed: run.sigmoid.log_middle for seed, run in arm.items() if run.sigmoid} for arm in arms]
    later = collapses = never = NOT_ASKED
    if (count := len(arms[0])) >= FEWEST_PAIRS:
        later = log_rank(*([run.take_off for run in arm.values()] for arm in arms))
        collapses = fisher(*(sum(run.is_collapsed for run in arm.values()) for arm in arms), runs=count)
        never = fisher(*(sum(not run.take_off.happened for run in arm.values()) for arm in arms), runs=count)
    return CurveComparison(
        plateau=compare(*plateaus, bounds=bounds, margin=PLATEAU_MARGIN) or NO_PAIR,
        middle=compare(*middles, margin=math.log(MIDDLE_FACTOR)),
        later=later,
        collapses=collapses,
        never=never,
        stuck=(_is_stuck(arms[0]), _is_stuck(arms[1])),
    )


def _is_stuck(arm: Mapping[str, RunCurve]) -> bool:
    return not any(run.take_off.happened for run in arm.values())
