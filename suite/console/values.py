"""Headline values of a record: the few numbers that its case was run for, with their intervals, for tables and JSON."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from suite.records import numbers
from suite.records.derived import by_launch, constant, roofline
from suite.records.record import Record
from suite.statistics.intervals import Interval, launched_interval

SPANS = ("layer", "indexer", "kernel")
MOST_SPANS = 3
"""Spans of a foreign workload that are headline values; it may have many."""


@dataclass(frozen=True, kw_only=True)
class Value:
    """A headline number of a record."""

    key: str
    """Its name for programs, with its unit: `layer_latency_s`."""
    title: str
    """Its name above a column."""
    number: float
    write: Callable[[float], str]
    """Writes the number as a table shows it."""
    interval: Interval | None = None

    @property
    def text(self) -> str:
        """The number as a table shows it, with its interval."""
        return self.write(self.number) + ("" if self.interval is None else f" {width(self.interval)}")

    @property
    def labelled(self) -> str:
        """The number behind its name."""
        return f"{self.title} {self.text}"

    def as_json(self) -> dict[str, Any]:
        """Return the number, with the ends of its interval where it has one."""
        if self.interval is None or self.interval.level == 0:
            return {"value": self.number}
        ends = {"low": self.interval.low, "high": self.interval.high, "level": self.interval.level}
        return {"value": self.number, **ends, "launches": self.interval.launches}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The time or the size by which records are compared where they have no score: less is better."""

    says: str
    """The verb of an arm: `decodes`, `holds`."""
    number: float
    interval: Interval | None = None
    """The interval of a timing; a projected number has none."""
    is_size: bool = False
    """True of bytes, false of seconds."""

    @property
    def text(self) -> str:
        """The number as a table shows it."""
        return numbers.bytes_iec(self.number) if self.is_size else numbers.seconds(self.number)


def latency(record: Record, span: str, metric: str = "latency_s") -> Interval | None:
    """Return the median of a span's timings and its interval over launches; None where nothing usable was timed."""
    launches = by_launch(reading for reading in record.series(metric, span) if 0 < reading.value < math.inf)
    return launched_interval(launches) if launches else None


def width(interval: Interval) -> str:
    """Write how wide an interval is, of its median: `±2.1%`."""
    return "(n = 1)" if interval.count == 1 else f"±{interval.relative_half_width:.1%}"


def timed_spans(record: Record) -> list[str]:
    """Return the names of a few spans that were timed, those of attention first."""
    timed = dict.fromkeys(reading.span for reading in record.series("latency_s"))
    return sorted(timed, key=lambda span: span not in SPANS)[:MOST_SPANS]


def timed_values(record: Record, spans: Sequence[str] = SPANS) -> list[Value]:
    """Return the latency of spans; where the record projects them the least they take, and what is expected."""
    found = []
    for span in spans:
        bound_s, warm = constant(record, span, "bound_s"), latency(record, span)
        if warm is not None:
            key = f"{span}_latency_s"
            found.append(Value(key=key, title=span, number=warm.median, write=numbers.seconds, interval=warm))
        elif bound_s is not None:
            found.append(Value(key=f"{span}_bound_s", title=span, number=bound_s, write=_at_least))
            if (expected_s := constant(record, span, "expected_s")) is not None:
                key = f"{span}_expected_s"
                found.append(Value(key=key, title=f"{span} expected", number=expected_s, write=numbers.seconds))
    return found


def _at_least(seconds: float) -> str:
    return f"≥ {numbers.seconds(seconds)}"


def roofline_values(record: Record) -> list[Value]:
    """Return the share of the roofline that the layer reaches, if its ceilings are known."""
    warm = latency(record, SPANS[0])
    share = None if warm is None else roofline(record, SPANS[0], warm.median)[0]
    if share is None:
        return []
    return [share_value("roofline_share", "roofline", share)]


def bytes_value(key: str, title: str, nbytes: float) -> Value:
    """Return a headline number of bytes."""
    return Value(key=key, title=title, number=nbytes, write=numbers.bytes_iec)


def share_value(key: str, title: str, share: float) -> Value:
    """Return a headline share."""
    return Value(key=key, title=title, number=share, write=numbers.percent)


def seconds_value(key: str, title: str, seconds: float) -> Value:
    """Return a headline time."""
    return Value(key=key, title=title, number=seconds, write=numbers.seconds)


def values_json(values: Sequence[Value]) -> dict[str, Any]:
    """Return headline values for programs, by their keys."""
    return {value.key: value.as_json() for value in values if math.isfinite(value.number)}
