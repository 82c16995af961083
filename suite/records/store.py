"""Run folders on disk: written so that nothing is ever torn, read so that nothing bad stops the rest.

`record.json` is written last, by os.replace: it is the commit point. A folder without it is an unfinished run, which is
listed and never read.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from suite.records.metrics import METRICS
from suite.records.privacy import scrubbed
from suite.records.record import SCHEMA, CorruptRecordError, Reading, Record, record_from_json

if TYPE_CHECKING:
    import pandas as pd

RECORD, SAMPLES = "record.json", "samples.parquet"
LONGEST_RECORD_BYTES = 4 << 20
"""A record is a few kilobytes. A larger file is no record of ours, and is not loaded."""
COLUMNS = pa.schema(
    [
        ("step", pa.int64()),
        ("span", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("wall_s", pa.float64()),
        ("thread_cpu_s", pa.float64()),
        ("process_cpu_s", pa.float64()),
        ("involuntary_switches", pa.int64()),
    ],
    metadata={"schema": str(SCHEMA)},
)


@dataclass(frozen=True, kw_only=True)
class StoredRecord:
    record: Record
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Damage:
    folder: Path
    reason: str


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What lies below a results folder."""

    stored: Sequence[StoredRecord]
    damaged: Sequence[Damage]
    unfinished: Sequence[Path]


def claim_folder(parent: Path, run_key: str) -> Path:
    """Make and return a new run folder. An earlier run of the same key is kept: the new one gets a number."""
    parent.mkdir(parents=True, exist_ok=True)
    attempt = 1
    while True:
        folder = parent / (run_key[:16] if attempt == 1 else f"{run_key[:16]}-{attempt}")
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            attempt += 1


def write_record(record: Record, folder: Path, files: Mapping[str, bytes] = MappingProxyType({})) -> None:
    """Write a run's files into its folder, the record last. `files`: further ones, by name."""
    for name, content_bytes in files.items():
        (folder / (name + ".part")).write_bytes(content_bytes)
        _into_place(folder / (name + ".part"), folder / name)
    columns = {
        name: pa.array([getattr(reading, name) for reading in record.readings], COLUMNS.field(name).type)
        for name in COLUMNS.names
    }
    beside = folder / (SAMPLES + ".part")
    pq.write_table(pa.table(columns, schema=COLUMNS), beside)
    _into_place(beside, folder / SAMPLES)
    content = record.as_json()
    for part in ("reason", "environment", "provenance"):
        content[part] = scrubbed(content[part])
    content["settings"] = scrubbed(content["settings"], is_choice=True)
    beside = folder / (RECORD + ".part")
    beside.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    _into_place(beside, folder / RECORD)


def read_record(folder: Path) -> Record:
    """Read one run. Raises CorruptRecordError, with what is wrong, for a damaged or foreign folder."""
    path = folder / RECORD
    try:
        if path.stat().st_size > LONGEST_RECORD_BYTES:
            raise CorruptRecordError(f"record.json is larger than {LONGEST_RECORD_BYTES} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptRecordError(f"record.json cannot be read ({error.__class__.__name__})") from error
    return record_from_json(content, _read_samples(folder / SAMPLES))


def read_contents(roots: Iterable[Path]) -> Contents:
    """Every run below the given folders, in a stable order. Nothing found there stops the rest."""
    stored, damaged, unfinished = [], [], []
    for folder in sorted(
        {path.parent for root in roots for name in (RECORD, SAMPLES) for path in Path(root).rglob(name)}
    ):
        if not (folder / RECORD).exists():
            unfinished.append(folder)
            continue
        try:
            stored.append(StoredRecord(record=read_record(folder), folder=folder))
        except CorruptRecordError as error:
            damaged.append(Damage(folder=folder, reason=str(error)))
    return Contents(stored=stored, damaged=damaged, unfinished=unfinished)


def load(path: str | Path) -> "pd.DataFrame":
    """Every reading below a results folder, one a row.

    Columns: `case_id`, `run_key`, `machine_id`, `status`, `reason`, `evidence`; a column for each axis of the case;
    then `step`, `span`, `metric`, `value`, `unit` (of `value`), and for timings `wall_s`, `thread_cpu_s` and
    `process_cpu_s` (seconds) and `involuntary_switches` (a count). A run without readings has one row whose `metric` is
    null. Raises ValueError where there is no such folder; damaged runs are left out, as `suite report` names them.
    """
    import pandas as pd

    if not Path(path).is_dir():
        raise ValueError(f"path must be a folder of results; got {str(path)!r}")
    rows: list[dict[str, Any]] = []
    for stored in read_contents([Path(path)]).stored:
        rows.extend(reading_rows(stored.record))
    return pd.DataFrame(rows)


def reading_rows(record: Record) -> Iterable[dict[str, Any]]:
    common = {
        "case_id": record.case.id,
        "run_key": record.run_key,
        "machine_id": record.environment.get("machine_id"),
        "status": str(record.status),
        "reason": record.reason,
        "evidence": str(record.evidence),
        **record.case.axes,
    }
    if not record.readings:
        yield {**common, "metric": None}
    for reading in record.readings:
        metric = METRICS.get(reading.metric)
        numbers = {field.name: getattr(reading, field.name) for field in fields(Reading)}
        yield {**common, **numbers, "unit": metric.unit if metric else None}


def _read_samples(path: Path) -> list[Reading]:
    try:
        table = pq.read_table(path, partitioning=None)
        rows = table.to_pylist()
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise CorruptRecordError(f"{SAMPLES} cannot be read ({error.__class__.__name__})") from error
    if not table.schema.equals(COLUMNS, check_metadata=True):
        raise CorruptRecordError(f"{SAMPLES} must be of schema {SCHEMA}, with the columns {', '.join(COLUMNS.names)}")
    if any(row[name] is None for row in rows for name in ("step", "span", "metric", "value")):
        raise CorruptRecordError(f"{SAMPLES} has readings without a step, span, metric or value")
    return [Reading(**row) for row in rows]


def _into_place(beside: Path, path: Path) -> None:
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.replace(path)
