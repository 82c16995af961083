"""Summaries of records: a workload's YAML names, under `summary`, the function that makes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from suite.configuration.files import locate, workload_definition
from suite.console.values import Cost, Value, latency, timed_spans, timed_values, values_json
from suite.records.record import Record
from suite.records.stores.place import shown
from suite.records.stores.store import StoredRecord


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A workload's words of a record, beside the times, checks and energy that any record may have."""

    lines: Sequence[tuple[str, str]] = ()
    """Names and texts, where the record stands alone."""
    brief: str | None = None
    """Its part of a line among others."""
    values: Sequence[Value] = ()
    """Headline numbers, the most telling first."""
    cost: Cost | None = None
    """The number by which it is compared with others where it has no score; None where there is none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """A record with its summary, and the folder that it is of where there are several. Equal only to itself."""

    record: Record
    summary: Summary
    label: str = ""
    is_of_one_machine: bool = True
    """The label's records are all of one machine, so that their times may be compared."""


Summarise = Callable[[Record], Summary]


def plain(record: Record) -> Summary:
    """Tell the timings of a record whose workload names no summary; the first of its spans is its cost."""
    spans = timed_spans(record)
    warm = latency(record, spans[0]) if spans else None
    cost = None if warm is None else Cost(says="runs", number=warm.median, interval=warm)
    return Summary(values=timed_values(record, spans), cost=cost)


def summary_by(dotted: str | None) -> Summarise:
    """Return the function of a dotted name; one that names no values gets the timings. Raises ValueError where there is
    none."""
    found: Summarise = locate(dotted) if dotted is not None else plain

    def with_values(record: Record) -> Summary:
        summary, timed = found(record), plain(record)
        return summary if summary.values else replace(summary, values=timed.values, cost=timed.cost)

    return with_values


def summary_of(record: Record) -> Summary:
    """Summarise a stored record; plainly where its workload is unknown."""
    return summary_by(workload_definition(record.case.workload).get("summary"))(record)


def stored_json(stored: StoredRecord, values: Sequence[Value]) -> dict[str, Any]:
    """Return a run for programs: what it is, how it ended, where it lies, and its headline values."""
    record = stored.record
    return {
        "folder": shown(stored.folder),
        "run_key": record.run_key,
        "case_id": record.case.id,
        "status": str(record.status),
        "reason": record.reason,
        "evidence": str(record.evidence),
        "started_at": record.provenance.get("started_at"),
        "machine_id": record.environment.get("machine_id"),
        "commit": record.provenance.get("commit"),
        "values": values_json(values),
    }
