"""Two arms of workload=quality side by side: by how many points one answers more, every seed against itself."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from suite.report.blocks import Text, say
from suite.report.quality_run import ALL, QualityRun
from suite.report.quality_runs import Arm, Value
from suite.report.rl_numbers import points, with_range
from suite.report.verdicts import loss_verdict, verdict
from suite.statistics.paired import NATS_MARGIN, SHARE_MARGIN, Comparison, Outcome, compare, judge_together
from suite.statistics.scores import Estimate


@dataclass(frozen=True, kw_only=True)
class Contest:
    """An arm less another, of the seeds that both have."""

    arm: Arm
    other: Arm
    found: Comparison
    kind: str = ALL
    """Of the questions."""
    is_share: bool = True

    @property
    def ours(self) -> Sequence[float]:
        return self.found.ours

    @property
    def theirs(self) -> Sequence[float]:
        return self.found.theirs

    @property
    def interval(self) -> Estimate | None:
        return self.found.interval

    @property
    def mean(self) -> float:
        return self.found.mean

    @property
    def seeds(self) -> int:
        return self.found.pairs

    @property
    def outcome(self) -> Outcome:
        return self.found.outcome

    def said(self) -> Text:
        """Return the outcome as a cell says it; a lower loss is called better, so that nobody takes it for worse."""
        return (verdict if self.is_share else loss_verdict)(self.found)

    def told(self) -> Text:
        """Return the difference in points, with its interval."""
        return with_range(self.mean, self.interval, points, say("rl.to"))

    def told_loss(self) -> Text:
        """Return how the loss itself moved, in nats, where the values are losses with their sign turned."""
        own = self.interval
        turned = None if own is None else replace(own, estimate=-own.estimate, low=-own.high, high=-own.low)
        return with_range(-self.mean, turned, _nats, say("rl.to"))


def contest(
    arm: Arm, other: Arm, value: Value | None = None, *, kind: str = ALL, is_share: bool = True
) -> Contest | None:
    """Compare by the final share of questions of a kind, or by another value; None where no seed has both."""
    taken = value or share_of(kind)
    found = compare(
        arm.by_seed(taken),
        other.by_seed(taken),
        bounds=(arm.runs[0].chance(kind), 1.0) if is_share else (None, None),
        margin=SHARE_MARGIN if is_share else NATS_MARGIN,
    )
    return None if found is None else Contest(arm=arm, other=other, found=found, kind=kind, is_share=is_share)


def judged(contests: Iterable[Contest | None]) -> list[Contest]:
    """Return those that there are, those of one table, with Holm's correction over all of them."""
    known = [one for one in contests if one is not None]
    together = judge_together([one.found for one in known])
    return [replace(one, found=found) for one, found in zip(known, together, strict=True)]


def share_of(kind: str) -> Value:
    def final(run: QualityRun) -> float | None:
        return run.final(kind)

    return final


def of_outcome(contests: Iterable[Contest], *outcomes: Outcome) -> list[Contest]:
    return [one for one in contests if one.outcome in outcomes]


def _nats(difference: float) -> str:
    return f"{round(difference, 3) + 0.0:+.3f}"
