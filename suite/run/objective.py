"""The one number of a case that a sweeper optimises, named as `objective=layer.latency_s`: a span and a metric."""

from collections.abc import Sequence
from typing import Any

from suite.process.streams import CommandFailedError
from suite.records.derived import by_launch
from suite.records.record import Record, Status
from suite.statistics.intervals import launched_interval

TIMED = ("latency_s", "cold_latency_s")


def objective_of(records: Sequence[Record], name: Any) -> float | None:
    """Return the value of the one record: the median of a time, else the value of the last step; None without a name.

    Raises CommandFailedError for a case that failed, or that has no such value, and ValueError for a name that is none.
    """
    span, _, metric = str(name).rpartition(".")
    if name is not None and not span:
        raise ValueError(f"objective must be a span and a metric, as layer.latency_s; got {name!r}")
    if not records:
        raise CommandFailedError("another process is running this case", 3)
    (record,) = records
    if record.status is not Status.OK and (name is not None or record.status is not Status.UNSUPPORTED):
        code = 1 if record.status in (Status.FAILED, Status.INCORRECT) else 3
        raise CommandFailedError(f"{record.case.id}: {record.status}: {record.reason}", code)
    if name is None:
        return None
    found = record.series(metric, span)
    if not found:
        there = ", ".join(sorted({f"{reading.span}.{reading.metric}" for reading in record.readings}))
        raise CommandFailedError(f"objective={name} is no reading of {record.case.id}, which has {there}", 2)
    if metric in TIMED:
        return launched_interval(by_launch(found)).median
    return max(found, key=lambda reading: reading.step).value
