"""Timings of attention records as the sections and the headlines need them: one a record and span.

A record may be old or foreign: what it lacks is None here, and nothing but its timings is required.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from suite.records import numbers
from suite.records.derived import by_launch, constant, roofline
from suite.records.record import Evidence, Reading, Record, Status
from suite.report.blocks import Text, joined, say, say_or
from suite.report.model.results import CurrentRecord, Results
from suite.report.palette import rank, shown
from suite.statistics.intervals import ONE_LAUNCH_REACH, Interval, launched_interval

LINE_AXES = ("attention", "backend", "seq_len")
"""Axes that tell lines and their points apart. All others must agree for two timings to share a figure."""
OF_A_VARIANT = "attention."
PLAUSIBLE_S = (1e-12, 1e9)
PLAUSIBLE_RATE = (1e-3, 1e24)
"""FLOP/s, B/s or FLOP/B. No device has others, and a figure's axis would not bear them."""
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
    def sized_variant(self) -> str:
        """For people, with sizes of its own where somebody set them: GQA (kv_heads=2)."""
        sizes = ", ".join(own_extras(self.record))
        return f"{shown(self.variant)} ({sizes})" if sizes else shown(self.variant)

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
    def flops_per_s(self) -> float | None:
        """The useful FLOPs over the median."""
        return plausible_rate(constant(self.record, self.span, "flops"), self.interval.median)

    @property
    def bytes_per_s(self) -> float | None:
        """The least memory traffic over the median."""
        return plausible_rate(constant(self.record, self.span, "traffic_bytes"), self.interval.median)

    @property
    def flops_per_byte(self) -> float | None:
        """Arithmetic intensity: useful FLOPs a byte of the least traffic."""
        flops, traffic = (constant(self.record, self.span, name) for name in ("flops", "traffic_bytes"))
        return plausible_rate(flops, traffic)

    @property
    def cold_s(self) -> float | None:
        """The median after the caches were flushed, where that was measured."""
        cold = [r.value for r in self.record.readings if r.span == self.span and r.metric == "cold_latency_s"]
        usable = [value for value in cold if _is_plausible(value)]
        return float(np.median(usable)) if usable else None

    @property
    def chosen_line(self) -> tuple[str, ...]:
        """The same with the backend as it was asked for: `auto` may choose another at each context."""
        return (axis(self.record, "backend") or self.backend, *self.line[1:])

    @property
    def line(self) -> tuple[str, ...]:
        """What its line is called besides the variant: backend, further settings, projected or not."""
        return (
            self.backend,
            *extras(self.record),
            *([self.record.evidence] if self.record.evidence != Evidence.MEASURED else []),
        )


def axis(record: Record, name: str) -> str:
    value = record.case.axes.get(name)
    return "" if value is None else str(value)


def plausible_rate(amount: float | None, over: float | None = 1.0) -> float | None:
    """`amount` a unit of `over`, where both are known and a device could have it."""
    if amount is None or over is None:
        return None
    return amount / over if PLAUSIBLE_RATE[0] < amount / over < PLAUSIBLE_RATE[1] else None


def extras(record: Record) -> list[str]:
    """Settings named besides the axes, as `name=value`; without those that do not apply to the case."""
    return [f"{name}={value}" for name, value in sorted(record.case.extras.items()) if value is not None]


def shared_extras(record: Record) -> list[str]:
    """Those that two variants can have in common."""
    return [extra for extra in extras(record) if not extra.startswith(OF_A_VARIANT)]


def own_extras(record: Record) -> list[str]:
    """Sizes of the variant's own, which no other need share: `kv_heads=2`."""
    return [extra.removeprefix(OF_A_VARIANT) for extra in extras(record) if extra.startswith(OF_A_VARIANT)]


def settings_shown(
    timings: Sequence[Timing], *, besides: Collection[str], extras_of: Callable[[Record], list[str]] = extras
) -> list[str]:
    """For each timing what tells it from the others, besides these axes: `query_len=16, batch=8`."""
    names = {name for timing in timings for name in timing.record.case.axes} - {*besides, "query_len"}
    differ = {name for name in names if len({axis(timing.record, name) for timing in timings}) > 1}
    return [
        ", ".join([*_settings(timing.record, differ), *extras_of(timing.record), *_evidence(timing)])
        for timing in timings
    ]


def _settings(record: Record, names: Collection[str]) -> Iterable[str]:
    for name, value in record.case.axes.items():
        # One query is what decoding means, so only other numbers are said, and those always.
        if value is not None and (name in names or (name == "query_len" and value != 1)):
            yield f"{name}={value}"


def _evidence(timing: Timing) -> Iterable[str]:
    if timing.record.evidence is not Evidence.MEASURED:
        yield timing.record.evidence


def in_order(timings: Iterable[Timing]) -> list[Timing]:
    """As tables list them: by context, then from the widest cache to the most compressed."""
    return sorted(timings, key=lambda timing: (timing.seq_len or 0, rank(timing.variant), timing.line, timing.label))


def clock_names(timings: Sequence[Timing]) -> str:
    return joined(" / ", [say_or(f"clock.{name}", name) for name in sorted({timing.clock for timing in timings})])


def interval_level(interval: Interval) -> Text:
    """The confidence that an interval reaches, and what it holds for: `95.0 % over 3 launches`."""
    level = f"{100 * interval.level:.1f} %"
    if interval.launches > 1:
        return say("interval.launches", level=level, count=interval.launches)
    return say("interval.one_launch", level=level)


def one_launch_reach() -> str:
    """Return how far a median within one launch is taken to reach where it is compared, as a share."""
    return numbers.percent(ONE_LAUNCH_REACH - 1)


def groups(results: Results) -> dict[tuple[tuple[str, str], ...], list[Timing]]:
    """Timings that may stand in one figure, by the axes that they share."""
    found: dict[tuple[tuple[str, str], ...], list[Timing]] = defaultdict(list)
    for current in results.records:
        if is_timed(current):
            shared = tuple((name, axis(current.record, name)) for name in current.record.case.axes)
            key = tuple(pair for pair in shared if pair[0] not in LINE_AXES)
            found[key].extend(timings_of(current))
    return {key: found[key] for key in sorted(found) if found[key]}


def is_timed(current: CurrentRecord, workloads: Collection[str] = ("attention",)) -> bool:
    return current.record.case.workload in workloads and current.record.status is Status.OK


def timings_of(current: CurrentRecord, metric: str = "latency_s") -> Iterable[Timing]:
    """One for each span that has a usable reading. Of a projected record `bound_s`, its least time, is the metric."""
    by_span: dict[str, list[Reading]] = defaultdict(list)
    for reading in current.record.readings:
        if reading.metric == metric:
            by_span[reading.span].append(reading)
    for span, readings in by_span.items():
        usable = [reading for reading in readings if _is_plausible(reading.value)]
        if usable:
            interval = launched_interval(by_launch(usable))
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


def _is_plausible(seconds: float) -> bool:
    return PLAUSIBLE_S[0] < seconds < PLAUSIBLE_S[1]


def _wall_over(readings: Sequence[Reading], judged_s: float) -> float | None:
    walls = [reading.wall_s for reading in readings if reading.wall_s is not None]
    if not walls or not np.median(walls) > WALL_ABOVE_JUDGED * judged_s:
        return None
    return float(np.median(walls)) / judged_s
