"""Arms of reinforcement learning side by side on a shared base model, each where both have spent as much."""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from suite.report.rl_run import COMPLETIONS, JOULES, Curve
from suite.report.rl_runs import Arm, Comparison, clock_of
from suite.statistics import paired
from suite.statistics.learning import at_budget
from suite.statistics.paired import SHARE_MARGIN, Outcome, compare, judge_together
from suite.statistics.scores import probability_of_improvement

REFERENCE = "ppo"
BOUNDS = (0.0, 1.0)
"""Of an accuracy: the answer to a prompt of these tasks cannot be guessed."""


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
    """P(arm > reference), over all pairs of their runs: a description, by which nothing is judged."""
    found: paired.Comparison | None
    """Arm less reference, over the seeds that both have; None where they share none."""

    @property
    def outcome(self) -> Outcome:
        return Outcome.FEW if self.found is None else self.found.outcome


def reference_of(comparison: Comparison) -> Arm | None:
    """PPO on grouped prompts, which differs from the group-relative algorithms in nothing but the algorithm; else the
    first arm."""
    grouped = [arm for arm in comparison.chosen if arm.algorithm == REFERENCE and not _has_lone_samples(arm)]
    return next(iter([*grouped, *comparison.chosen]), None)


def contests(comparison: Comparison) -> Sequence[Contest]:
    """Compare every arm with the reference, budget by budget."""
    reference = reference_of(comparison)
    return [] if reference is None else contests_against(reference, comparison)


@functools.lru_cache(maxsize=64)
def contests_against(reference: Arm, comparison: Comparison, counted: str = COMPLETIONS) -> Sequence[Contest]:
    """Compare every other arm with this one, at equal `counted`, at equal seconds and at equal joules, as far as known.

    Holm's correction goes over all of them together.
    """
    held = [budget for budget in (counted, clock_of(reference), JOULES) if comparison.has(budget)]
    others = [arm for arm in comparison.drawn if arm is not reference]
    return _judged(_contest(arm, reference, budget, _least(comparison, budget)) for budget in held for arm in others)


def _judged(contests: Iterable[Contest]) -> list[Contest]:
    made = list(contests)
    together = iter(judge_together([one.found for one in made if one.found is not None]))
    return [one if one.found is None else replace(one, found=next(together)) for one in made]


def _has_lone_samples(arm: Arm) -> bool:
    return dict(arm.key).get("num_generations") == "1"


def _least(comparison: Comparison, budget: str) -> float:
    totals = [curve.total(budget) for arm in comparison.drawn for curve in arm.curves]
    return min(total for total in totals if total is not None)


def _contest(arm: Arm, reference: Arm, budget: str, held: float) -> Contest:
    ours, theirs = (_scores(one, budget, held) for one in (arm, reference))
    x, y = list(ours.values()), list(theirs.values())
    return Contest(
        arm=arm,
        reference=reference,
        budget=budget,
        held=held,
        scores=x,
        reference_scores=y,
        improvement=float(probability_of_improvement(*(np.asarray(scores).reshape(-1, 1) for scores in (x, y)))),
        found=compare(ours, theirs, bounds=BOUNDS, margin=SHARE_MARGIN),
    )


def _scores(arm: Arm, budget: str, held: float) -> dict[str, float]:
    """Return by seed the accuracy at the last evaluation before more was spent."""
    return {seed: score for seed, curve in arm.by_seed.items() if (score := score_at(curve, budget, held)) is not None}


def score_at(curve: Curve, budget: str, held: float) -> float | None:
    return at_budget(curve.by(budget), curve.accuracy, held)
