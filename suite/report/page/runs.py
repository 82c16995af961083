"""Every run of the page as plain data: its case, its record, its numbers, and the command that repeats it.

A run's record stands in the page whole, its timings too, so that what is downloaded is what was recorded. Of the series
that training leaves, hundreds of readings each, stands the last value: they are in the run's folder.
"""

import json
import math
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from suite.records.case import command_line
from suite.records.derived import started_at
from suite.records.machine.privacy import FREE_TEXTS, Scrubber
from suite.records.machines import machine_names
from suite.records.record import TIMINGS, Record
from suite.report.model.results import Results
from suite.report.model.run import clip_text, plausible_launches
from suite.statistics.intervals import launched_interval

MOST_READINGS = 1000  # readings up to which the timings of a run stand in the page


def runs_content(results: Results) -> dict[str, Any]:
    """All runs as plain data, by block: `runs`, a line each; `numbers`, the values of each behind names that many have;
    and `records`, whole, with the parts that they share held once."""
    pool = SharedObjects()
    lines, rows, records = [], [], []
    names: dict[tuple[tuple[str, str], ...], int] = {}
    machines = machine_names([record for _, record in results.all_records])
    for (label, record), machine in zip(results.all_records, machines, strict=True):
        lines.append(_run_line(label, record, machine))
        numbers = _number_rows(record)
        names_of_run = tuple((span, metric) for span, metric, *_ in numbers)
        rows.append([names.setdefault(names_of_run, len(names)), *(values for _, _, *values in numbers)])
        records.append({"record": pool.put(record.as_json()), "readings": _timing_rows(record)})
    shared = {"pool": pool.values, "runs": records}
    return {"runs": lines, "numbers": {"names": list(names), "rows": rows}, "records": shared}


def run_numbers(results: Results) -> dict[str, int]:
    """The position of each run key in the list of runs; the last one of a key that occurs twice."""
    return {record.run_key: place for place, (_, record) in enumerate(results.all_records)}


class SharedObjects:
    """Objects that many records share, each held once, as it may leave this machine."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[bytes | None, int] = {}
        """By digests of the objects, as they were recorded and as they stand in the pool."""
        self._scrubber = Scrubber()
        self._texts: dict[tuple[str, str], str] = {}
        """By key and text, the text as it may leave this machine: records repeat them thousands of times."""

    def put(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Add a record's objects to the pool, nested ones too; gives a copy with their places instead: `{"@": 3}`."""
        return {key: self._pooled(key, value, depth=2) for key, value in record.items()}

    def _pooled(self, key: str, value: Any, depth: int) -> Any:
        """A value without private text; an object, and those in it down to `depth`, gives its place in the pool."""
        if isinstance(value, str | int | float | None) or not isinstance(value, Mapping):
            return self._scrubbed(key, value)
        if not value or key in FREE_TEXTS:
            return self._scrubbed(key, value)
        # Few records share all their settings, but most share each object in them, which is looked up as it came.
        recorded = _digest([key, depth, value]) if depth == 1 else None
        if recorded not in self._places:
            inner = {name: self._pooled(name, part, depth - 1) for name, part in value.items()} if depth else value
            pooled = _digest([key, inner])
            if pooled not in self._places:
                self._places[pooled] = len(self.values)
                self.values.append(inner if depth else self._scrubbed(key, inner))
            if recorded is None:
                return {"@": self._places[pooled]}
            self._places[recorded] = self._places[pooled]
        return {"@": self._places[recorded]}

    def _scrubbed(self, key: str, value: Any) -> Any:
        """The value without private text; its key tells free texts and paths from facts."""
        if isinstance(value, int | float | None):
            return value
        if not isinstance(value, str):
            return self._scrubber.clean_data({key: value}, is_free=False)[key]
        if (key, value) not in self._texts:
            self._texts[key, value] = self._scrubber.clean_data({key: value}, is_free=False)[key]
        return self._texts[key, value]


def _digest(value: Any) -> bytes:
    return blake2b(json.dumps(value).encode(), digest_size=16).digest()


def _run_line(label: str, record: Record, machine: str) -> dict[str, Any]:
    """A run's line in lists and on a point's card: case, status, machine, time and command, as plain data."""
    commit = record.provenance.get("commit")
    return {
        "key": record.run_key[:12],
        "label": label,
        "case": record.case.id,
        "status": str(record.status),
        "reason": clip_text(record.reason, 300),
        "evidence": str(record.evidence),
        "machine": machine,
        "at": started_at(record),
        "commit": clip_text(commit)[:12] + "+" * (record.provenance.get("dirty") is True),
        "clock": clip_text(record.provenance.get("clock")),
        "command": command_line(record.case),
    }


def _number_rows(record: Record) -> list[list[Any]]:
    """Rows of span, metric, count and last value; of timings the median instead, and behind it its interval's ends."""
    rows, values = [], record.rows.column("value")
    for (span, metric), repeats in record.by_span.items():
        if metric not in TIMINGS:
            rows.append([span, metric, len(repeats), _json_number(values[repeats.places[-1]])])  # where training ended
        elif launches := plausible_launches(repeats):
            interval = launched_interval(launches)
            ends = [interval.low, interval.high] if interval.count > 1 else []
            rows.append([span, metric, interval.count, interval.median, *ends])
    return rows


def _timing_rows(record: Record) -> list[list[Any]]:
    """Rows of span, metric and all values, in their order, for repeated timings; none of a run of many steps."""
    if len(record.readings) > MOST_READINGS:
        return []
    timed = {name: repeats for name, repeats in record.by_span.items() if name[1] in TIMINGS}
    return [[*name, list(map(_json_number, repeats.column("value")))] for name, repeats in timed.items()]


def _json_number(value: float) -> float | str:
    """A number as JSON has it: one that is not finite is a text."""
    return value if math.isfinite(value) else str(value)
