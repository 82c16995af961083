"""Summaries of records: their headline values with intervals, and a workload's own words, whose function its YAML names
under `summary`."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from suite.configuration.files import locate, workload_definition
from suite.records import numbers
from suite.records.derived import by_launch, constant
from suite.records.record import Record
from suite.records.stores.store import StoredRecord
from suite.statistics.intervals import Interval, launched_interval

SPANS = ("layer", "indexer", "kernel")
# Spans of a foreign workload that are headline values; it may have many.
MOST_SPANS = 3


@dataclass(frozen=True)
class HeadlineValue:
    """One of the few numbers that a case was run for."""

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
        """The number as a table shows it, a time with its interval: `1.49 ms (1.40–1.60 ms)`."""
        if self.interval is None:
            return self.write(self.number)
        ends = numbers.seconds_range(self.interval.low, self.interval.high)
        return f"{self.write(self.number)} ({'n = 1' if self.interval.count == 1 else ends})"

    @property
    def labelled(self) -> str:
        """`layer 1.49 ms (1.40–1.60 ms)`"""
        return f"{self.title} {self.text}"

    def as_json(self) -> dict[str, Any]:
        """The number, with the ends of its interval where it has one."""
        if self.interval is None or self.interval.level == 0:
            return {"value": self.number}
        ends = {"low": self.interval.low, "high": self.interval.high, "level": self.interval.level}
        return {"value": self.number, **ends, "launches": self.interval.launches}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The time or the size by which records are compared where they have no score: less is better."""

    number: float
    interval: Interval | None = None
    """The interval of a timing; a projected number has none."""
    is_size: bool = False
    """True of bytes, false of seconds."""

    @property
    def text(self) -> str:
        """The number with its unit, as `1.49 ms` or `12.0 GiB`."""
        return numbers.bytes_iec(self.number) if self.is_size else numbers.seconds(self.number)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A workload's words of a record, beside the times, checks and energy that any record may have."""

    lines: Sequence[tuple[str, str]] = ()
    """Names and texts, where the record stands alone."""
    brief: str | None = None
    """Its part of a line among others."""
    values: Sequence[HeadlineValue] = ()
    """The most telling first."""
    cost: Cost | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class SummaryEntry:
    """A record with its summary, and the folder that it is of where there are several. Equal only to itself."""

    record: Record
    summary: Summary
    label: str = ""
    is_of_one_machine: bool = True
    """The label's records are all of one machine, so that their times may be compared."""


Summarise = Callable[[Record], Summary]


def summary_by(dotted: str | None) -> Summarise:
    """The function that a dotted name names, or `plain` for None; where its summary has no values, the timings stand
    for them. Raises ValueError where there is no such function."""
    summarise: Summarise = locate(dotted) if dotted is not None else plain

    def with_values(record: Record) -> Summary:
        """The record's summary; where that has no values, with its timings and their cost."""
        summary = summarise(record)
        if summary.values:
            return summary
        timed = plain(record)
        return replace(summary, values=timed.values, cost=timed.cost)

    return with_values


def summarise_record(record: Record) -> Summary:
    """The summary of a stored record; plain where its workload is unknown."""
    return summary_by(workload_definition(record.case.workload).get("summary"))(record)


def plain(record: Record) -> Summary:
    """A summary of a record's timings alone, those of attention first; the median of the first span is the cost."""
    timed = dict.fromkeys(span for span, metric in record.by_span if metric == "latency_s")
    spans = sorted(timed, key=lambda span: span not in SPANS)[:MOST_SPANS]
    warm = latency(record, spans[0]) if spans else None
    cost = None if warm is None else Cost(number=warm.median, interval=warm)
    return Summary(values=timed_values(record, spans), cost=cost)


def latency(record: Record, span: str, metric: str = "latency_s") -> Interval | None:
    """The median of a span's timings and its interval over launches; None where nothing usable was timed."""
    # A foreign record may hold zero or infinity, of which no ratio can be made.
    rows = record.series(metric, span)
    usable = zip(rows.places, rows.column("value"), strict=True)
    launches = by_launch(rows.at(place for place, value in usable if 0 < value < math.inf))
    return launched_interval(launches) if launches else None


def timed_values(record: Record, spans: Sequence[str] = SPANS) -> list[HeadlineValue]:
    """The median latency of each span with its interval, or, of a projected span, its bound and expected time."""
    values: list[HeadlineValue] = []
    for span in spans:
        bound_s, expected_s = constant(record, span, "bound_s"), constant(record, span, "expected_s")
        warm = latency(record, span)
        if warm is not None:
            values.append(HeadlineValue(f"{span}_latency_s", span, warm.median, numbers.seconds, warm))
        elif bound_s is not None:
            values.append(HeadlineValue(f"{span}_bound_s", span, bound_s, lambda bound: f"≥ {numbers.seconds(bound)}"))
            if expected_s is not None:
                values.append(HeadlineValue(f"{span}_expected_s", f"{span} expected", expected_s, numbers.seconds))
    return values


def stored_json(stored: StoredRecord, values: Sequence[HeadlineValue]) -> dict[str, Any]:
    """A run for programs: what it is, how it ended, where it lies, and its headline values."""
    record = stored.record
    return {
        "folder": str(stored.folder),
        "run_key": record.run_key,
        "case_id": record.case.id,
        "status": str(record.status),
        "reason": record.reason,
        "evidence": str(record.evidence),
        "started_at": record.provenance.get("started_at"),
        "machine_id": record.environment.get("machine_id"),
        "commit": record.provenance.get("commit"),
        "values": {value.key: value.as_json() for value in values if math.isfinite(value.number)},
    }
