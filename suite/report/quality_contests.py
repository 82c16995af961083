"""Two arms of workload=quality held against each other: by how many points one answers more, every seed against itself.

"No difference seen" is what an interval that holds zero leaves, and no proof that there is none. Where both arms answer
nearly everything, or neither more than guessing, the task cannot tell them apart, and that is said instead.
"""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from suite.report.quality_run import ALL, QualityRun
from suite.report.quality_runs import Arm, Value
from suite.report.rl_numbers import points, with_range
from suite.report.words import Words
from suite.statistics.scores import Estimate
from suite.statistics.seeds import mean_of_seeds

HIGHER, LOWER, OPEN, CEILING, FLOOR, SINGLE = "higher", "lower", "open", "ceiling", "floor", "single"
OUTCOMES = (LOWER, HIGHER, OPEN, CEILING, FLOOR, SINGLE)
JUDGED = (LOWER, HIGHER, OPEN)
"""Outcomes of which something can be said."""
FEWEST = 2
"""Seeds from which on there is an interval."""
ALL_BUT = 0.01
"""Two shares as near to 1 as this tell nothing apart."""
ABOVE_CHANCE = 0.02
"""Two shares no further above guessing than this have learnt nothing."""


@dataclass(frozen=True, kw_only=True)
class Contest:
    """An arm less another, of the seeds that both have."""

    arm: Arm
    other: Arm
    ours: Sequence[float]
    theirs: Sequence[float]
    chance: float | None
    is_share: bool = True

    @functools.cached_property
    def differences(self) -> list[float]:
        return [one - other for one, other in zip(self.ours, self.theirs, strict=True)]

    @functools.cached_property
    def interval(self) -> Estimate | None:
        return interval_of(self.differences)

    @property
    def mean(self) -> float:
        return fmean(self.differences)

    @property
    def seeds(self) -> int:
        return len(self.differences)

    @property
    def outcome(self) -> str:
        """One of OUTCOMES."""
        means = [fmean(self.ours), fmean(self.theirs)]
        if self.is_share and min(means) >= 1 - ALL_BUT:
            return CEILING
        if self.is_share and self.chance is not None and max(means) <= self.chance + ABOVE_CHANCE:
            return FLOOR
        return outcome_of(self.interval)

    def said(self, words: Words) -> str:
        """The outcome as a cell says it."""
        return words(f"quality.outcome.{self.outcome}", count=self.seeds)

    def told(self, words: Words) -> str:
        """The difference in points, with its interval."""
        return with_range(self.mean, self.interval, points, words("rl.to"), words)

    def told_loss(self, words: Words) -> str:
        """Of values that are losses with their sign turned: how the loss itself moved, in nats."""
        turned = interval_of([-difference for difference in self.differences])
        return with_range(-self.mean, turned, _nats, words("rl.to"), words)


def contest(
    arm: Arm, other: Arm, value: Value | None = None, *, kind: str = ALL, is_share: bool = True
) -> Contest | None:
    """By the final share of questions of a kind, or by another value; None where no seed has both."""
    taken = value or share_of(kind)
    ours, theirs = arm.by_seed(taken), other.by_seed(taken)
    shared = [seed for seed in ours if seed in theirs]
    if not shared:
        return None
    return Contest(
        arm=arm,
        other=other,
        ours=[ours[seed] for seed in shared],
        theirs=[theirs[seed] for seed in shared],
        chance=arm.runs[0].chance(kind),
        is_share=is_share,
    )


def share_of(kind: str) -> Value:
    def final(run: QualityRun) -> float | None:
        return run.final(kind)

    return final


def interval_of(values: Sequence[float]) -> Estimate | None:
    """Of the mean of several seeds; a single one has none."""
    return mean_of_seeds(values) if len(values) >= FEWEST else None


def outcome_of(interval: Estimate | None) -> str:
    """What an interval of a difference leaves."""
    if interval is None:
        return SINGLE
    if interval.low <= 0 <= interval.high:
        return OPEN
    return HIGHER if interval.estimate > 0 else LOWER


def of_outcome(contests: Iterable[Contest], *outcomes: str) -> list[Contest]:
    return [one for one in contests if one.outcome in outcomes]


def _nats(difference: float) -> str:
    return f"{round(difference, 3) + 0.0:+.3f}"
