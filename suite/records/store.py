"""Run folders on disk: written so that nothing is ever torn, read so that nothing bad stops the rest.

`record.json` is written last, by os.replace: it is the commit point, and holds the digests of the files beside it. A
folder without it is an unfinished run, which is listed and never read.
"""

import errno
import hashlib
import json
import os
import stat
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from suite.records.metrics import METRICS
from suite.records.privacy import scrubbed
from suite.records.record import CorruptRecordError, Reading, Record, record_from_json
from suite.records.tables import LARGEST_TABLE_BYTES, TableFile, schema_of

if TYPE_CHECKING:
    import pandas as pd

RECORD, SAMPLES, LOCK = "record.json", "samples.parquet", "claim.lock"
JUDGEMENT, SUMMARY, JUNIT = "judgement.json", "summary.md", "junit.xml"
"""What the gate writes, the summary first. Its folder is no run, however far the writing came."""
PART = ".part"
"""Ends the name of a file until it is whole."""
LONGEST_RECORD_BYTES = 4 << 20
"""A record is a few kilobytes. What is larger is none of ours, and is not loaded."""
READINGS = TableFile(
    name=SAMPLES,
    rows="readings",
    columns=schema_of(
        ("step", pa.int64()),
        ("span", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("wall_s", pa.float64()),
        ("thread_cpu_s", pa.float64()),
        ("process_cpu_s", pa.float64()),
        ("involuntary_switches", pa.int64()),
        ("launch", pa.int64()),
    ),
    required=("step", "span", "metric", "value"),
    later=("launch",),
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


def write_record(record: Record, folder: Path, files: Mapping[str, bytes] = MappingProxyType({})) -> None:
    """Write a run's files into its folder, the record last. `files`: further ones, by name."""
    beside = {**files, SAMPLES: READINGS.content(record.readings)}
    digests = {name: hashlib.sha256(written).hexdigest() for name, written in beside.items()}
    content = replace(record, files=digests).as_json()
    for part in ("reason", "environment", "provenance"):
        content[part] = scrubbed(content[part])
    content["settings"] = scrubbed(content["settings"], is_choice=True)
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    for name, written in {**beside, RECORD: text.encode()}.items():
        write_whole(folder / name, written)


def write_whole(path: Path, content: bytes, *, mark: str = "") -> None:
    """Put a file in place in one step: whoever looks sees all of it or none.

    Raises OSError for what cannot be written, and leaves nothing behind then; also for a place that a folder, a device
    or a pipe has taken, which stays. A link is replaced, not followed: nothing outside a run's folder is touched.
    """
    if os.path.lexists(path) and not (path.is_symlink() or path.is_file()):
        raise OSError(errno.EINVAL, "no plain file, and left as it is", str(path))
    beside = path.with_name(path.name + mark + PART)
    beside.unlink(missing_ok=True)  # it may be a link
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_named(path: Path, content: bytes) -> None:
    """The same for a file that a person named: what a link points to is written, and the link stays."""
    write_whole(Path(os.path.realpath(path)), content, mark=f".{os.getpid()}")


def read_record(folder: Path, *, with_readings: bool = True) -> Record:
    """Read one run. Raises CorruptRecordError, with what is wrong, for a damaged or foreign folder."""
    try:
        content = json.loads(read_file(folder / RECORD, LONGEST_RECORD_BYTES))
    except (ValueError, RecursionError) as error:
        raise CorruptRecordError(f"{RECORD} cannot be read ({error.__class__.__name__})") from error
    record = record_from_json(content)
    if not with_readings:
        return record
    samples = read_file(folder / SAMPLES, LARGEST_TABLE_BYTES)
    if record.files.get(SAMPLES) not in (None, hashlib.sha256(samples).hexdigest()):
        raise CorruptRecordError(f"{SAMPLES} is not the file that {RECORD} was written with")
    return replace(record, readings=[Reading(**row) for row in READINGS.rows_of(samples)])


def read_contents(roots: Iterable[Path], *, with_readings: bool = True) -> Contents:
    """Every run below the given folders, in a stable order. Nothing found there stops the rest."""
    stored, damaged, unfinished = [], [], []
    for folder in sorted({folder for root in roots for folder in _run_folders(root)}):
        if not (folder / RECORD).exists():
            unfinished.append(folder)
            continue
        try:
            stored.append(StoredRecord(record=read_record(folder, with_readings=with_readings), folder=folder))
        except CorruptRecordError as error:
            damaged.append(Damage(folder=folder, reason=str(error)))
    return Contents(stored=stored, damaged=damaged, unfinished=unfinished)


def _run_folders(root: Path) -> Iterable[Path]:
    """Folders in which a run was begun. Links to other folders are not followed."""
    for folder, folders, files in os.walk(root):
        is_gates = any(name.removesuffix(PART) in (JUDGEMENT, SUMMARY) for name in files)
        is_begun = any(name.endswith(PART) for name in files) and not is_gates
        if not {RECORD, SAMPLES, LOCK}.isdisjoint([*files, *folders]) or is_begun:
            yield Path(folder)


def load(path: str | Path) -> "pd.DataFrame":
    """Every reading below a results folder, one a row.

    Columns: `case_id`, `run_key`, `machine_id`, `status`, `reason`, `evidence`; a column for each axis of the case;
    then `step`, `span`, `metric`, `value`, `unit` (of `value`), and for timings `wall_s`, `thread_cpu_s` and
    `process_cpu_s` (seconds), `involuntary_switches` (a count) and `launch` (a number from 0, in which `step` counts
    from 0 again; null where all are of one). A run without readings has one row whose `metric` is
    null. Raises ValueError where there is no such folder. Damaged runs are left out, and a warning names them.
    """
    import pandas as pd

    if not Path(path).is_dir():
        raise ValueError(f"path must be a folder of results; got {str(path)!r}")
    contents = read_contents([Path(path)])
    if contents.damaged:
        named = "; ".join(f"{damage.folder.name}: {damage.reason}" for damage in contents.damaged)
        warnings.warn(f"left out as damaged: {named}", stacklevel=2)
    return pd.DataFrame([row for stored in contents.stored for row in reading_rows(stored.record)])


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


def read_file(path: Path, most_bytes: int) -> bytes:
    """A file's content. Raises CorruptRecordError for what is no file, or too large to be ours."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for without end
            raise CorruptRecordError(f"{path.name} is no file")
        if found.st_size > most_bytes:
            raise CorruptRecordError(f"{path.name} is larger than {most_bytes} bytes")
        return path.read_bytes()
    except OSError as error:
        raise CorruptRecordError(f"{path.name} cannot be read ({error.__class__.__name__})") from error
