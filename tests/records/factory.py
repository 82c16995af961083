"""Records as a run writes them, from a few named facts, and those that are committed."""

import functools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from suite.records.case import Case
from suite.records.record import Evidence, Reading, Record, Status
from suite.records.stores.claim import claim_folder
from suite.records.stores.store import RECORD, read_file, write_record
from suite.records.stores.telemetry import SERIES, TELEMETRY, TelemetrySample
from suite.records.stores.walk import folders_below

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"

AXES = {
    "attention": "mla",
    "geometry": "deepseek-v2-lite",
    "match": "heads",
    "phase": "decode",
    "seq_len": 4096,
    "query_len": 1,
    "batch": 1,
    "tp": 1,
    "dtype": "bfloat16",
    "cache_dtype": None,
    "backend": "auto",
    "device": "cpu",
    "threads": 1,
}
CONSTANTS = {
    ("layer", "flops"): 2e8,
    ("layer", "traffic_bytes"): 3e7,
    ("kernel", "flops"): 1.1e8,
    ("kernel", "traffic_bytes"): 5e6,
    ("kernel", "relative_error"): 0.002,
    ("kernel", "allowed_error"): 0.02,
    ("case", "cache_bytes"): 4096 * 576 * 2,
    ("case", "cache_bytes_mha"): 4096 * 4096 * 2,
    ("layer", "ceiling_flops_per_s"): 1e11,
    ("layer", "ceiling_bytes_per_s"): 2e10,
    ("kernel", "ceiling_flops_per_s"): 1e11,
    ("kernel", "ceiling_bytes_per_s"): 5e10,
}
PROVENANCE = {
    "suite_version": "0.1.0",
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "dirty": False,
    "source_digest": "fedcba9876543210",
    "started_at": "2026-03-01T10:00:00+00:00",
    "backend": "sdpa_folded",
    "clock": "thread_cpu",
    "warnings": [],
}
ENVIRONMENT = {"machine_id": "a1b2c3d4", "cpu": "A processor", "usable_cpus": 2, "memory_bytes": 8 << 30, "gpus": []}


def readings(latencies_s: tuple[float, ...], *, wall_over: float = 1.02) -> list[Reading]:
    """The exact quantities of one case, and a timing of layer and kernel for each latency."""
    constants = [Reading(step=0, span=span, metric=name, value=value) for (span, name), value in CONSTANTS.items()]
    timings = [
        Reading(
            step=step,
            span=span,
            metric="latency_s",
            value=latency * part,
            wall_s=latency * part * wall_over,
            thread_cpu_s=latency * part,
            process_cpu_s=latency * part,
            involuntary_switches=0,
        )
        for step, latency in enumerate(latencies_s)
        for span, part in (("layer", 1.0), ("kernel", 0.4))
    ]
    return constants + timings


def build(
    *,
    latencies_s: tuple[float, ...] = (1.40e-3, 1.45e-3, 1.47e-3, 1.50e-3, 1.52e-3, 1.49e-3, 1.60e-3),
    wall_over: float = 1.02,
    status: Status = Status.OK,
    reason: str | None = None,
    provenance: dict[str, Any] | None = None,
    environment: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    extras: dict[str, Any] | None = None,
    **axes: Any,
) -> Record:
    return Record(
        case=Case(workload="attention", axes=AXES | axes, extras=extras or {}),
        run_key="0123456789abcdef" * 4,
        status=status,
        reason=reason,
        evidence=Evidence.MEASURED,
        settings=settings or {},
        environment=ENVIRONMENT | (environment or {}),
        provenance=PROVENANCE | (provenance or {}),
        readings=readings(latencies_s, wall_over=wall_over) if status is Status.OK else [],
    )


def with_readings(record: Record, span: str, **values: float | Sequence[float]) -> Record:
    """The record with other readings of these metrics of a span, a step each."""
    kept = [reading for reading in record.readings if reading.span != span or reading.metric not in values]
    for metric, given in values.items():
        steps = enumerate(given if isinstance(given, Sequence) else [given])
        kept += [Reading(step=step, span=span, metric=metric, value=value) for step, value in steps]
    return replace(record, readings=kept)


def in_launches(record: Record, *medians_s: float, spans: Sequence[str] = ("layer",), count: int = 6) -> Record:
    """The record timed in several launches, the samples of each of which are alike."""
    kept = [reading for reading in record.readings if reading.metric != "latency_s"]
    timed = [
        Reading(step=step, span=span, metric="latency_s", value=median_s, launch=launch)
        for launch, median_s in enumerate(medians_s)
        for step in range(count)
        for span in spans
    ]
    return replace(record, readings=[*kept, *timed])


def store(parent: Path, *records: Record, series: Sequence[TelemetrySample] = ()) -> list[Path]:
    """Write each record into a folder of its own, as runs do, all with the same telemetry series if there is one."""
    folders, files = [], {TELEMETRY: SERIES.content(series)} if series else {}
    for record in records:
        claim = claim_folder(parent, record.run_key)
        assert claim is not None
        with claim:
            write_record(record, claim.folder, files)
        folders.append(claim.folder)
    return folders


@functools.cache
def committed(root: Path = REFERENCE) -> Sequence[tuple[Path, dict[str, Any]]]:
    """The folder of every committed run, and what its record.json holds as it stands there."""
    folders = sorted(folder for folder, names in folders_below(root, []) if RECORD in names)
    return [(folder, json.loads(read_file(folder / RECORD))) for folder in folders]
