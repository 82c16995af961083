"""The number of repeats: until the interval is narrow or the budget is spent, or one where a step exceeds the budget.

Samples of one launch share its memory's places and its moment, and say nothing of the next. So the budget is divided
among several launches, each with allocations and inputs of its own.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from suite.configuration.values import positive_number, whole_number
from suite.measure.meter import Meter
from suite.records.derived import IMPRECISE, by_launch
from suite.records.record import Reading
from suite.statistics.intervals import Interval, launched_interval

LEAST_LEVEL = 0.95
FEWEST_LAUNCHES = 3  # Student's t at 95% is 12.7 with two
TOO_FEW = "too few for a 95% interval"


@dataclass(frozen=True, kw_only=True)
class Effort:
    """The cost that a measurement may have and the width that it should reach."""

    precision: float
    """Wanted half-width of the median's 95% interval, over launches where there are several, as a share of it."""
    launches: int
    """Launches that share the budget; see `launches_for`."""
    max_seconds: float
    """Wall time for the timed steps of one case, in all launches together."""
    min_steps: int
    max_steps: int
    cold_steps: int
    """Steps with flushed caches; 0 for none."""

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "Effort":
        """The effort that the settings under `measure` ask for. Raises ValueError for a wrong one."""
        measure = settings["measure"]
        effort = cls(
            precision=positive_number(measure, "precision", where="measure."),
            launches=whole_number(measure, "launches", at_least=1, where="measure."),
            max_seconds=positive_number(measure, "max_seconds", where="measure."),
            min_steps=whole_number(measure, "min_steps", at_least=1, where="measure."),
            max_steps=whole_number(measure, "max_steps", at_least=1, where="measure."),
            cold_steps=whole_number(measure, "cold_steps", at_least=0, where="measure."),
        )
        if effort.max_steps < effort.min_steps:
            raise ValueError(
                f"measure.max_steps must be at least measure.min_steps; got max_steps={effort.max_steps} and "
                f"min_steps={effort.min_steps}"
            )
        return effort

    def launches_for(self, predicted_s: float) -> int:
        """Launches asked for, or as many as fit the budget with a step each; 1 if too few fit to tell their spread."""
        count = self.launches if predicted_s <= 0 else min(self.launches, int(self.max_seconds / predicted_s))
        return count if count >= min(FEWEST_LAUNCHES, self.launches) else 1

    def per_launch(self, launches: int) -> "Effort":
        """One launch's share of seconds and steps. Several must each be twice as precise: launches differ."""
        return replace(
            self,
            precision=self.precision / 2 if launches > 1 else self.precision,
            max_seconds=self.max_seconds / launches,
            min_steps=math.ceil(self.min_steps / launches),
            max_steps=math.ceil(self.max_steps / launches),
        )


def repeat(
    step: Callable[[Meter], None], meter: Meter, effort: Effort, *, predicted_s: float, keep: Callable[[], None]
) -> None:
    """Run steps of a launch until its own interval is as narrow as wanted or its budget is spent.

    `predicted_s`: the least time of one step. Over the budget, one step is timed and nothing is warmed up. `keep` is
    called after every second or so, outside the spans.
    """
    if predicted_s > effort.max_seconds:
        step(meter)
        return
    step(Meter())  # warm up: first calls allocate and choose kernels
    begun = last_progress = time.perf_counter()
    next_look = effort.min_steps
    while True:
        step(meter)
        meter.step += 1
        now = time.perf_counter()
        if now - last_progress > 1:
            keep()
            last_progress = now
        if now - begun >= effort.max_seconds or meter.step >= effort.max_steps:
            return
        if meter.step >= next_look:
            if _relative_half_width(_widest_interval(meter.readings)) <= effort.precision:
                return
            next_look = max(meter.step + 1, int(meter.step * 1.3))


def shortfall(readings: Iterable[Reading], effort: Effort, *, predicted_s: float) -> str | None:
    """A sentence on why a case's timings are less precise than wanted; None if they are precise enough."""
    widest = _widest_interval(readings)
    if predicted_s > effort.max_seconds:
        return (
            f"n = 1: one step takes at least {predicted_s:.3g} s by prediction, "
            f"more than measure.max_seconds = {effort.max_seconds:g}"
        )
    share = _relative_half_width(widest)
    if share <= effort.precision:
        return None
    among = f" in {widest.launches} launches" if widest.launches > 1 else ""
    reached = f"the widest interval is ±{share:.1%} of its median" if share < math.inf else TOO_FEW
    return f"{IMPRECISE} = {effort.precision:g} at n = {widest.count}{among}: {reached}"


def _widest_interval(readings: Iterable[Reading]) -> Interval:
    """The interval of a span's median latency that is widest relative to its median, among all spans."""
    by_span = defaultdict(list)
    for reading in readings:
        if reading.metric == "latency_s":
            by_span[reading.span].append(reading)
    return max((launched_interval(by_launch(latencies)) for latencies in by_span.values()), key=_relative_half_width)


def _relative_half_width(interval: Interval) -> float:
    return interval.relative_half_width if interval.level >= LEAST_LEVEL else math.inf
