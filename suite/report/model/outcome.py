"""The number that runs of a workload are compared by, which its YAML names under `outcome`."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from suite.configuration.files import workload_definition
from suite.records import numbers
from suite.records.derived import constant
from suite.records.record import Reading, Record, Status
from suite.report.model.experiment import Arm, ArmQuantity, Contrast, R, contrast, holm_corrected
from suite.report.model.formats import nats, points, signed, three_digits
from suite.statistics.paired import NATS_MARGIN, SHARE_MARGIN
from suite.statistics.seeds import ratio_by_cluster

UNITS: Mapping[str, tuple[Callable[[float], str], Callable[[float], str], float | None]] = {
    "points": (numbers.percent, points, SHARE_MARGIN),
    "nats": ("{:.3f}".format, nats, NATS_MARGIN),
    "": (three_digits, signed, None),
}
"""Functions that write a score and a difference of scores, and the smallest difference that matters, by unit."""


def share_quantity(
    name: str, value: Callable[[R], float | None], bounds: tuple[float | None, float | None] = (None, None)
) -> ArmQuantity[R]:
    """A share of a run by which arms are compared, in points. `bounds`: what guessing gives, and the best."""
    text, difference, margin = UNITS["points"]
    return ArmQuantity(
        name=name, value=value, text=text, difference=difference, unit="points", margin=margin, bounds=bounds
    )


@dataclass(frozen=True, kw_only=True)
class ScoredMetric:
    """A metric of a span at a record's last step, or where it is a ratio over steps, at each of them."""

    span: str
    metric: str
    name: str = ""  # the word for it: `accuracy`
    unit: str = ""  # `points` for shares, `nats` for losses
    per: str = ""
    """The metric of the same span that it is divided by. Two arms are then paired step by step, as windows of text."""
    pair: str = "seed"  # the word for what two arms are paired by
    margin: float | None = None
    """The smallest difference that matters, where it is not that of its unit."""
    chance: str = ""  # the metric of the same span that is the level of guessing
    best: float | None = None  # the best that can be reached

    def readings(self, record: Record) -> list[Reading]:
        """All readings that the score is made of: of this metric, its `per` and its `chance`, in its span."""
        needed = (self.metric, self.per, self.chance)
        return [reading for reading in record.readings if reading.span == self.span and reading.metric in needed]

    def scores(self, record: Record) -> dict[str, float]:
        """The metric's last finite value under the name "", or for a ratio its value at each step, by step.

        Empty where the run did not end well, or where a ratio lacks a step or has no finite value.
        """
        series = [record.series(metric, self.span) for metric in (self.metric, self.per)]
        values, weights = (dict(zip(rows.column("step"), rows.column("value"), strict=True)) for rows in series)
        if record.status is not Status.OK:
            return {}
        if not self.per:
            finite = [step for step, value in values.items() if math.isfinite(value)]
            return {"": values[max(finite)]} if finite else {}
        is_known = all(map(math.isfinite, [*values.values(), *weights.values()])) and sum(weights.values()) > 0
        if values.keys() != weights.keys() or not is_known:
            return {}
        steps = sorted(values)
        shares = ratio_by_cluster([values[step] for step in steps], [weights[step] for step in steps])
        return {str(step): share for step, share in zip(steps, shares, strict=True)}

    def contrasts(self, arms: Iterable[Arm[R]], other: Arm[R]) -> list[Contrast[R]]:
        """Compare each arm with `other` by this metric, with Holm's correction over all of them."""
        return holm_corrected(contrast(arm, other, self.quantity(arm)) for arm in arms)

    def quantity(self, arm: Arm[R]) -> ArmQuantity[R]:
        """The quantity that an arm is compared by: how it is written, its margin, and chance and best as bounds."""
        text, difference, margin = UNITS[self.unit]
        return ArmQuantity(
            name=self.name,
            value=lambda run: self.scores(run.record).get(""),
            by_pair=(lambda run: self.scores(run.record)) if self.per else None,
            text=text,
            difference=difference,
            unit=self.unit,
            pair=self.pair,
            margin=margin if self.margin is None else self.margin,
            bounds=(constant(arm.first.record, self.span, self.chance) if self.chance else None, self.best),
        )


def outcome_metric(workload: str, span: str | None = None, metric: str | None = None) -> ScoredMetric | None:
    """The metric that a workload's YAML names under `outcome`, or the one asked for; None where neither is named."""
    usual = workload_definition(workload).get("outcome", {})
    span, metric = span or usual.get("span"), metric or usual.get("metric")
    if span is None or metric is None:
        return None
    is_usual = (span, metric) == (usual.get("span"), usual.get("metric"))
    return ScoredMetric(**usual) if is_usual else ScoredMetric(span=span, metric=metric)
