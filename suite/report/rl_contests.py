"""Arms of reinforcement learning held against each other: by how often one beats another, and by how much on a shared
base model, each where both have spent as much."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from suite.report.rl_run import COMPLETIONS, JOULES, Curve
from suite.report.rl_runs import Arm, Comparison, clock_of
from suite.statistics.learning import at_budget
from suite.statistics.scores import (
    Estimate,
    mean,
    paired_bootstrap,
    probability_of_improvement,
    stratified_bootstrap,
)

REFERENCE = "ppo"
FEWEST = 2
"""Runs from which on there is an interval."""


@dataclass(frozen=True, kw_only=True)
class Contest:
    """One arm against the reference, where both have spent as much of one budget."""

    arm: Arm
    reference: Arm
    budget: str
    held: float
    """The most that is counted of what each run spent."""
    scores: Sequence[float]
    reference_scores: Sequence[float]
    improvement: float
    """P(arm > reference)."""
    improvement_interval: Estimate | None
    """None where an arm has a single run."""
    differences: Sequence[float]
    """Arm less reference, for each seed that both have."""
    difference_interval: Estimate | None

    @property
    def is_judged(self) -> bool:
        """Whether there are seeds enough for an interval."""
        return (self.difference_interval or self.improvement_interval) is not None

    @property
    def is_open(self) -> bool:
        """Whether the seeds leave it open which of the two is higher."""
        interval = self.difference_interval or self.improvement_interval
        zero = 0.0 if self.difference_interval else 0.5
        return interval is None or interval.low <= zero <= interval.high

    @property
    def outcome(self) -> str:
        """open, higher or lower."""
        if self.is_open:
            return "open"
        is_higher = fmean(self.differences) > 0 if self.difference_interval else self.improvement > 0.5
        return "higher" if is_higher else "lower"

    @property
    def seeds(self) -> int:
        """How many the outcome rests on."""
        return len(self.differences) if self.difference_interval else min(len(self.scores), len(self.reference_scores))


def reference_of(comparison: Comparison) -> Arm | None:
    """PPO on grouped prompts, which differs from the group-relative algorithms in nothing but the algorithm; else the
    first arm."""
    grouped = [arm for arm in comparison.chosen if arm.algorithm == REFERENCE and not _has_lone_samples(arm)]
    return next(iter([*grouped, *comparison.chosen]), None)


def contests(comparison: Comparison) -> Sequence[Contest]:
    """Every arm against the reference, budget by budget."""
    reference = reference_of(comparison)
    return [] if reference is None else contests_against(reference, comparison)


@functools.lru_cache(maxsize=64)
def contests_against(reference: Arm, comparison: Comparison, counted: str = COMPLETIONS) -> Sequence[Contest]:
    """Every other arm against this one, at equal `counted`, at equal seconds and at equal joules, as far as known."""
    held = [budget for budget in (counted, clock_of(reference), JOULES) if comparison.has(budget)]
    others = [arm for arm in comparison.drawn if arm is not reference]
    return [_contest(arm, reference, budget, _least(comparison, budget)) for budget in held for arm in others]


def mean_interval(values: Sequence[float]) -> Estimate | None:
    return stratified_bootstrap(mean, _column(values)) if len(values) >= FEWEST else None


def _has_lone_samples(arm: Arm) -> bool:
    return dict(arm.key).get("num_generations") == "1"


def _least(comparison: Comparison, budget: str) -> float:
    totals = [curve.total(budget) for arm in comparison.drawn for curve in arm.curves]
    return min(total for total in totals if total is not None)


def _contest(arm: Arm, reference: Arm, budget: str, held: float) -> Contest:
    ours, theirs = (_scores(one, budget, held) for one in (arm, reference))
    seeds = [seed for seed in ours if seed in theirs]
    x, y = list(ours.values()), list(theirs.values())
    is_drawn = min(len(x), len(y)) >= FEWEST
    paired = [_column([scores[seed] for seed in seeds]) for scores in (ours, theirs)]
    return Contest(
        arm=arm,
        reference=reference,
        budget=budget,
        held=held,
        scores=x,
        reference_scores=y,
        improvement=float(probability_of_improvement(_column(x), _column(y))),
        improvement_interval=stratified_bootstrap(probability_of_improvement, _column(x), _column(y))
        if is_drawn
        else None,
        differences=[ours[seed] - theirs[seed] for seed in seeds],
        difference_interval=paired_bootstrap(mean, *paired) if len(seeds) >= FEWEST else None,
    )


def _scores(arm: Arm, budget: str, held: float) -> dict[str, float]:
    """By seed the accuracy at the last evaluation before more was spent."""
    return {seed: score for seed, curve in arm.by_seed.items() if (score := score_at(curve, budget, held)) is not None}


def score_at(curve: Curve, budget: str, held: float) -> float | None:
    return at_budget(curve.by(budget), curve.accuracy, held)


def _column(values: Sequence[float]) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    """Runs of one task."""
    return np.asarray(values, dtype=np.float64).reshape(-1, 1)
