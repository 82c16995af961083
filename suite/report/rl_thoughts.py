"""How thought changes over training: from the first evaluation to the last, and its length at equal accuracy."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from suite.report.results import Results
from suite.report.rl_contests import FEWEST, mean_interval
from suite.report.rl_numbers import outcome_of
from suite.report.rl_run import MOST, Run, is_share
from suite.report.rl_runs import Arm, Comparison, comparisons
from suite.statistics.learning import to_threshold
from suite.statistics.scores import Estimate, mean, paired_bootstrap

LENGTH, CORRECTIONS, ACCURACY = "thought_length", "corrections", "accuracy"
HELD_OUT = "heldout_"
LEVELS = (0.25, 0.5, 0.75)
OFTEN = 0.01
REFERENCE = "grpo"
"""Its loss is a mean over each sequence before it is one over them; the token mean stands against it."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """Of one held-out number, in the runs of one arm that have it more than once."""

    firsts: Sequence[float]
    lasts: Sequence[float]
    interval: Estimate | None
    """Of the mean of last less first, each run against itself."""

    @property
    def mean_change(self) -> float:
        return fmean(self.lasts) - fmean(self.firsts)

    @property
    def outcome(self) -> str:
        """open, higher or lower."""
        return outcome_of(self.interval)


@dataclass(frozen=True, kw_only=True)
class AtLevel:
    """How long an arm thinks at the evaluation where its accuracy first reaches a level."""

    arm: Arm
    level: float
    lengths: Mapping[str, float]
    """By seed, of those that got there and think at all."""
    runs: int
    differences: Sequence[float]
    """Less the reference's, for each seed that has both; empty for the reference itself."""
    interval: Estimate | None

    @property
    def outcome(self) -> str:
        return outcome_of(self.interval)


def thinking(results: Results) -> dict[Comparison, list[Arm]]:
    """Arms whose thoughts were measured, of those that figures show; comparisons in which any corrects itself first."""
    found = {one: [arm for arm in one.chosen if _thinks(arm)] for one in comparisons(results)}
    return {one: found[one] for one in sorted(found, key=lambda one: not corrects(found[one])) if found[one]}


def _thinks(arm: Arm) -> bool:
    return any(held_out(run, LENGTH) for run in arm.ended)


def corrects(arms: Iterable[Arm]) -> bool:
    """Whether their thoughts correct themselves at any step or evaluation, more often than by a slip of sampling."""
    runs = [run for arm in arms for run in arm.ended]
    shares = (of_run(run, CORRECTIONS).values() for run in runs for of_run in (sampled, held_out))
    return any(share >= OFTEN for of_run in shares for share in of_run)


def sampled(run: Run, metric: str) -> dict[int, float]:
    return _sensible(run.of_step.get(metric, {}), metric)


def held_out(run: Run, metric: str) -> dict[int, float]:
    return _sensible(run.evaluated.get(HELD_OUT + metric, {}), metric)


def change_of(arm: Arm, metric: str) -> Change | None:
    series = [sorted(found.items()) for run in arm.ended if len(found := held_out(run, metric)) > 1]
    if not series:
        return None
    firsts, lasts = [values[0][1] for values in series], [values[-1][1] for values in series]
    changes = [last - first for first, last in zip(firsts, lasts, strict=True)]
    return Change(firsts=firsts, lasts=lasts, interval=mean_interval(changes))


def sequence_mean(arms: Sequence[Arm]) -> Arm:
    """GRPO as its paper has it, else the first."""
    return next((arm for arm in arms if arm.algorithm == REFERENCE), arms[0])


def at_levels(arms: Sequence[Arm]) -> list[AtLevel]:
    """Level by level, arm by arm, against `sequence_mean`; levels that no run reaches are left out."""
    reference = sequence_mean(arms)
    found = []
    for level in LEVELS:
        theirs = _lengths(reference, level)
        of_level = [_at_level(arm, level, {} if arm is reference else theirs) for arm in arms]
        found += of_level if any(one.lengths for one in of_level) else []
    return found


def _at_level(arm: Arm, level: float, theirs: Mapping[str, float]) -> AtLevel:
    ours = _lengths(arm, level)
    seeds = [seed for seed in ours if seed in theirs]
    paired = [np.asarray([lengths[seed] for seed in seeds]).reshape(-1, 1) for lengths in (ours, theirs)]
    return AtLevel(
        arm=arm,
        level=level,
        lengths=ours,
        runs=len(arm.ended),
        differences=[ours[seed] - theirs[seed] for seed in seeds],
        interval=paired_bootstrap(mean, *paired) if len(seeds) >= FEWEST else None,
    )


def _lengths(arm: Arm, level: float) -> dict[str, float]:
    found = {}
    for run in arm.ended:
        assert run.curve is not None
        step = to_threshold(run.curve.at, run.curve.accuracy, level)
        length = None if step is None else held_out(run, LENGTH).get(int(step))
        if length is not None:
            found[run.seed] = length
    return found


def _sensible(values: Mapping[int, float], metric: str) -> dict[int, float]:
    is_sensible = _is_length if metric == LENGTH else is_share
    return {step: value for step, value in values.items() if is_sensible(value)}


def _is_length(value: float) -> bool:
    return 0 <= value < MOST
