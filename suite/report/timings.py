"""Timings of attention records as the latency section and the headlines need them: one a record and span.

A record may be old or foreign: what it lacks is None here, and nothing but its timings is required.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from suite.records.derived import roofline
from suite.records.record import Evidence, Reading, Record, Status
from suite.report.results import CurrentRecord, Results
from suite.report.words import Words
from suite.statistics.intervals import Interval, median_interval

LINE_AXES = ("attention", "backend", "seq_len")
"""Axes that tell lines and their points apart. All others must agree for two timings to share a figure."""
PLAUSIBLE_S = (1e-12, 1e9)
MOST_TOKENS = 1 << 53
WALL_ABOVE_JUDGED = 1.10
"""From here on the wall clock tells another story than the judged one, and the table says so."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    current: CurrentRecord
    span: str
    interval: Interval
    left_out: int
    """Readings that no clock can have given."""
    wall_over_judged: float | None
    roofline_share: float | None
    """The least time at the measured ceilings over the median: 1 is as fast as these ceilings allow."""
    regime: str | None

    @property
    def record(self) -> Record:
        return self.current.record

    @property
    def label(self) -> str:
        return self.current.label

    @property
    def variant(self) -> str:
        return axis(self.record, "attention")

    @property
    def backend(self) -> str:
        """What ran, which `backend=auto` leaves open."""
        return str(self.record.provenance.get("backend") or axis(self.record, "backend"))

    @property
    def clock(self) -> str:
        return str(self.record.provenance.get("clock") or "unknown")

    @property
    def seq_len(self) -> int | None:
        tokens = self.record.case.axes.get("seq_len")
        return tokens if isinstance(tokens, int) and 0 < tokens < MOST_TOKENS else None

    @property
    def line(self) -> tuple[str, ...]:
        """What its line is called besides the variant: backend, further settings, projected or not."""
        extras = [f"{name}={value}" for name, value in sorted(self.record.case.extras.items())]
        return (self.backend, *extras, *([self.record.evidence] if self.record.evidence != Evidence.MEASURED else []))


def axis(record: Record, name: str) -> str:
    value = record.case.axes.get(name)
    return "" if value is None else str(value)


def clock_names(timings: Sequence[Timing], words: Words) -> str:
    return " / ".join(sorted({words.either(f"clock.{timing.clock}", timing.clock) for timing in timings}))


def groups(results: Results) -> dict[tuple[tuple[str, str], ...], list[Timing]]:
    """Timings that may stand in one figure, by the axes that they share."""
    found: dict[tuple[tuple[str, str], ...], list[Timing]] = defaultdict(list)
    for current in results.records:
        if current.record.case.workload == "attention" and current.record.status is Status.OK:
            shared = tuple((name, axis(current.record, name)) for name in current.record.case.axes)
            key = tuple(pair for pair in shared if pair[0] not in LINE_AXES)
            found[key].extend(_timings(current))
    return {key: found[key] for key in sorted(found) if found[key]}


def _timings(current: CurrentRecord) -> Iterable[Timing]:
    by_span: dict[str, list[Reading]] = defaultdict(list)
    for reading in current.record.readings:
        if reading.metric == "latency_s":
            by_span[reading.span].append(reading)
    for span, readings in by_span.items():
        usable = [reading for reading in readings if PLAUSIBLE_S[0] < reading.value < PLAUSIBLE_S[1]]
        if usable:
            interval = median_interval([reading.value for reading in usable])
            share, regime = roofline(current.record, span, interval.median)
            yield Timing(
                current=current,
                span=span,
                interval=interval,
                left_out=len(readings) - len(usable),
                wall_over_judged=_wall_over(usable, interval.median),
                roofline_share=share,
                regime=regime,
            )


def _wall_over(readings: Sequence[Reading], judged_s: float) -> float | None:
    walls = [reading.wall_s for reading in readings if reading.wall_s is not None]
    if not walls or not np.median(walls) > WALL_ABOVE_JUDGED * judged_s:
        return None
    return float(np.median(walls)) / judged_s
