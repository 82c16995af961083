"""The hardware while a case ran: a series of samples beside the record, and the facts about them in its provenance.

A sample is one quantity of one device at one time. Nothing is dropped: a sample taken while a device was throttled or
others pressed on it is marked. What could not be read has no sample and a named state, never a zero. A compact sweep
keeps one row in place of all samples of a phase, device and quantity.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from suite.records.record import TELEMETRY as TELEMETRY
from suite.records.record import Record, Rows
from suite.records.stores.store import read_columns
from suite.records.stores.tables import FLOAT, INT, TEXT, TableFile

SERIES = TableFile(
    name=TELEMETRY,
    rows="samples",
    types={
        "time_s": FLOAT,
        "unix_s": FLOAT,
        "phase": TEXT,
        "device": TEXT,
        "quantity": TEXT,
        "value": FLOAT,
        "mark": TEXT,
        "samples": INT,
        "until_s": FLOAT,
        "least": FLOAT,
        "most": FLOAT,
    },
    required=("time_s", "unix_s", "phase", "device", "quantity", "value"),
    later=("samples", "until_s", "least", "most"),
)
"""A quantity's name ends with its unit: of a GPU those of NVML, of the CPU among others RAPL's energy, of the worker
`cpu_share`, which counts a whole CPU as 1. `energy_j` is a counter, `event_reasons` are NVML's bits."""


class Mark(StrEnum):
    THROTTLED = "throttled"
    PRESSURED = "pressured"


@dataclass(frozen=True, slots=True)
class TelemetrySample:
    time_s: float
    """Since the case began, by a clock that never jumps."""
    unix_s: float
    phase: str
    """The phase of the case: prepare, check, measure, cold, profile, energy; empty before it says."""
    device: str
    """`cpu`, `worker`, or `gpu0` and so on by NVML's own index."""
    quantity: str
    value: float
    """The mean, where the row stands for several samples; of a counter `least` and `most` say more."""
    mark: str | None = None
    samples: int | None = None
    """The number of samples that the row stands for, from `time_s` to `until_s`; None for one."""
    until_s: float | None = None
    least: float | None = None
    most: float | None = None


def read_series(record: Record, folder: Path) -> Rows[TelemetrySample]:
    """The samples beside a record; empty where its run took none. Raises CorruptRecordError for a file not its
    own."""
    is_taken = TELEMETRY in record.files
    return Rows(TelemetrySample, read_columns(SERIES, folder, record) if is_taken else dict.fromkeys(SERIES.types, ()))


def telemetry_facts(record: Record) -> Mapping[str, Any]:
    """The facts about telemetry in a record's provenance; empty where it has none."""
    return _object(record.provenance.get("telemetry"))


def source_states(record: Record) -> dict[str, tuple[str, str]]:
    """The state that each source named, and why."""
    sources = _objects(telemetry_facts(record).get("sources"))
    return {name: (str(source.get("state")), str(source.get("why", ""))) for name, source in sources.items()}


def recorded_gpus(record: Record) -> dict[str, Mapping[str, Any]]:
    """The facts that NVML gave of each GPU, by label: `name`, `used`, `state` and more."""
    return _objects(telemetry_facts(record).get("devices"))


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _objects(value: Any) -> dict[str, Mapping[str, Any]]:
    return {name: inner for name, inner in _object(value).items() if isinstance(inner, Mapping)}
