"""How often to repeat: until the interval is narrow or the budget is spent, and once where a single step exceeds it."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from suite.configuration import positive_number, whole_number
from suite.measure.meter import Meter
from suite.statistics.intervals import median_interval

LEAST_LEVEL = 0.95
TOO_FEW = "too few for a 95 % interval"


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much a measurement may cost and how narrow it should become."""

    precision: float
    """Wanted half-width of the median's 95 % interval, as a share of the median."""
    max_seconds: float
    """Wall time for the timed steps of one case."""
    min_steps: int
    max_steps: int
    cold_steps: int
    """Steps with flushed caches; 0 for none."""

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "Effort":
        """Raises ValueError for what is wrong in itself."""
        measure = settings["measure"]
        effort = cls(
            precision=positive_number(measure, "precision", where="measure."),
            max_seconds=positive_number(measure, "max_seconds", where="measure."),
            min_steps=whole_number(measure, "min_steps", at_least=1, where="measure."),
            max_steps=whole_number(measure, "max_steps", at_least=1, where="measure."),
            cold_steps=whole_number(measure, "cold_steps", at_least=0, where="measure."),
        )
        if effort.max_steps < effort.min_steps:
            raise ValueError(
                f"measure.max_steps must be at least measure.min_steps; got {effort.max_steps} and {effort.min_steps}"
            )
        return effort


def repeat(
    step: Callable[[Meter], None], meter: Meter, effort: Effort, *, predicted_s: float, keep: Callable[[], None]
) -> str | None:
    """Run steps until they suffice. Returns a warning, or None where the interval became as narrow as wanted.

    `predicted_s`: the least time of one step. Over the budget, one step is timed and nothing is warmed up. `keep` is
    called after every second or so, outside the spans, with whatever was read so far.
    """
    if predicted_s > effort.max_seconds:
        step(meter)
        return (
            f"n = 1: one step takes at least {predicted_s:.3g} s by prediction, "
            f"more than measure.max_seconds = {effort.max_seconds:g}"
        )
    step(Meter())  # warm up: first calls allocate and choose kernels
    begun = kept = time.perf_counter()
    next_look = effort.min_steps
    while True:
        step(meter)
        meter.step += 1
        now = time.perf_counter()
        if now - kept > 1:
            keep()
            kept = now
        spent = now - begun >= effort.max_seconds or meter.step >= effort.max_steps
        if spent or meter.step >= next_look:
            width = _widest(meter)
            if width <= effort.precision and meter.step >= effort.min_steps:
                return None
            if spent:
                reached = f"the widest interval is ±{width:.1%} of its median" if width < math.inf else TOO_FEW
                return f"stopped by its budget at n = {meter.step}: {reached}"
            next_look = max(meter.step + 1, int(meter.step * 1.3))


def _widest(meter: Meter) -> float:
    """The largest relative half-width among the spans' latencies; infinite where too few samples give no interval."""
    by_span = defaultdict(list)
    for reading in meter.readings:
        if reading.metric == "latency_s":
            by_span[reading.span].append(reading.value)
    intervals = [median_interval(values) for values in by_span.values()]
    return max(one.relative_half_width if one.level >= LEAST_LEVEL else math.inf for one in intervals)
