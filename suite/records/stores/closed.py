"""A closed sweep: the runs of a folder as three tables, which every reader of parquet can read too.

`runs.parquet` has a row for each run: its record as JSON, and where its rows lie in `readings.parquet` and
`telemetry.parquet`. `manifest.json` names the tables with their sha256. It is put in place last, and is the commit
point: tables that it does not name are leftovers of a process that was killed.
"""

import functools
import itertools
import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.configuration.untrusted import parse_json
from suite.records.record import DIGEST, OVERRIDES, PLAIN_NAME, RECORD, SAMPLES, SCHEMA, CorruptRecordError
from suite.records.record import TELEMETRY as TELEMETRY_FILE
from suite.records.stores.files import check_plain, sha256
from suite.records.stores.tables import INT, TEXT, TableFile

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MANIFEST = "manifest.json"
RUNS, READINGS, TELEMETRY = "runs", "readings", "telemetry"
TABLES = (RUNS, READINGS, TELEMETRY)
KINDS = {SAMPLES: READINGS, TELEMETRY_FILE: TELEMETRY}
"""The table of a sweep by the file of a run whose rows it holds."""
TABLE_NAME = re.compile(rf"({'|'.join(TABLES)})(-(?P<number>[1-9]\d{{0,5}}))?\.parquet")
RUN_COLUMNS = {
    "run": TEXT,
    "workload": TEXT,
    "case_id": TEXT,
    "status": TEXT,
    "record": TEXT,
    "overrides": TEXT,
    "first_reading": INT,
    "readings": INT,
    "first_sample": INT,
    "samples": INT,
}
GROUP_ROWS = 1 << 17
"""Rows of a row group, but a run lies in one. Whoever reads one run decodes one group."""


def is_table(name: str) -> bool:
    """Whether a file's name is that of a closed sweep's table."""
    return TABLE_NAME.fullmatch(name) is not None


@dataclass(frozen=True, kw_only=True)
class RowRange:
    first: int
    count: int


@dataclass(frozen=True, kw_only=True)
class ClosedRun:
    """One run of a closed sweep."""

    files: Mapping[str, bytes]
    """The content of its record, and of its overrides where it has some."""
    rows: Mapping[str, RowRange]
    """Where its readings and its telemetry lie, by table."""


@dataclass(frozen=True, kw_only=True)
class ClosedSweep:
    """The tables of a folder, and the runs in them."""

    folder: Path
    files: Mapping[str, str]
    """The name of each table's file."""
    digests: Mapping[str, str]
    """The sha256 of each table."""
    runs: Mapping[str, ClosedRun]
    """By the name that the run's folder had."""
    is_compact: bool = False

    def batches(self, table: TableFile, run: str) -> "list[pa.RecordBatch]":
        """A run's rows of one table. Raises CorruptRecordError for a table that cannot be read."""
        import pyarrow as pa

        kind = KINDS[table.name]
        rows, path, digest = self.runs[run].rows[kind], self.folder / self.files[kind], self.digests[kind]
        if not rows.count:
            return []
        try:
            starts = _group_starts(path, digest)
            number = bisect_right(starts, rows.first) - 1
            if rows.first + rows.count > starts[min(number + 1, len(starts) - 1)]:
                raise CorruptRecordError(f"{path.name} has not all rows of the run {run}")
            return [_row_group(path, digest, table, number).slice(rows.first - starts[number], rows.count)]
        except (OSError, pa.ArrowException) as error:
            newer = closed_sweep(self.folder)
            if newer is None or newer.files == self.files:
                raise CorruptRecordError(f"{path.name} cannot be read ({type(error).__name__})") from error
            return newer.batches(table, run)  # another process has closed the folder anew since

    def damaged_tables(self) -> Iterator[str]:
        """Yield a sentence for each table that is not the one that the manifest names."""
        for kind, name in self.files.items():
            if sha256(self.folder / name) != self.digests[kind]:
                yield f"{name} is not the table that {MANIFEST} was written with"


def closed_sweep(folder: Path) -> ClosedSweep | None:
    """The closed sweep of a folder; None where there is none. Raises CorruptRecordError for a torn or foreign one."""
    try:
        status = check_plain(folder / MANIFEST)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CorruptRecordError(f"{MANIFEST} cannot be read ({type(error).__name__})") from error
    try:
        return _read(folder, status.st_mtime_ns, status.st_ino)
    except OSError as error:
        if not os.path.lexists(folder / MANIFEST) or not os.path.samestat(status, (folder / MANIFEST).lstat()):
            return closed_sweep(folder)  # another process has closed the folder anew since
        raise CorruptRecordError(f"a table that {MANIFEST} names cannot be read ({type(error).__name__})") from error


def closed_run(folder: Path) -> tuple[ClosedSweep, ClosedRun] | None:
    """The closed run that stands in the place of a run's folder, with its sweep; None where there is none.

    A folder with a record counts in its place: it is what `pack --remove` has not removed yet. Raises
    CorruptRecordError as `closed_sweep`.
    """
    if os.path.lexists(folder / RECORD) and not folder.is_symlink():
        return None
    sweep = closed_sweep(folder.parent)
    return (sweep, sweep.runs[folder.name]) if sweep and folder.name in sweep.runs else None


@functools.lru_cache(maxsize=64)  # by what changes when a manifest is replaced
def _read(folder: Path, modified_ns: int, inode: int) -> ClosedSweep:
    return sweep_from((folder / MANIFEST).read_bytes(), folder)


def sweep_from(manifest: bytes, folder: Path) -> ClosedSweep:
    """The closed sweep that a manifest describes. Raises CorruptRecordError for what is none of ours, and OSError for a
    table that is not there."""
    try:
        content = parse_json(manifest)
    except ValueError as error:
        raise CorruptRecordError(f"{MANIFEST} cannot be read: it {error}") from error
    tables = content.get("tables") if isinstance(content, dict) and content.get("schema") == SCHEMA else None
    if not isinstance(tables, dict) or set(tables) != set(TABLES):
        raise CorruptRecordError(f"{MANIFEST} must be of schema {SCHEMA} and name the tables {', '.join(TABLES)}")
    files, digests = {}, {}
    for kind, table in tables.items():
        name, digest = (table.get("file"), table.get("sha256")) if isinstance(table, dict) else (None, None)
        if not TABLE_NAME.fullmatch(str(name)) or not DIGEST.fullmatch(str(digest)):
            raise CorruptRecordError(f"{MANIFEST} must name the file of each table and give its sha256; not so: {kind}")
        files[kind], digests[kind] = str(name), str(digest)
    runs = _read_runs(folder / files[RUNS])
    is_compact = content.get("compact") is True
    return ClosedSweep(folder=folder, files=files, digests=digests, runs=runs, is_compact=is_compact)


def _read_runs(path: Path) -> dict[str, ClosedRun]:
    import pyarrow as pa

    try:
        with _opened(path) as file:
            rows = file.read(columns=list(RUN_COLUMNS), use_threads=False).to_pylist()
    except pa.ArrowException as error:
        raise CorruptRecordError(f"{path.name} cannot be read ({type(error).__name__})") from error
    runs = {str(row.get("run")): _run_from(row) for row in rows}
    if len(runs) < len(rows) or not all(map(PLAIN_NAME.fullmatch, runs)):
        raise CorruptRecordError(f"{path.name} must name each run once, by a plain name")
    return runs


def _run_from(row: Mapping[str, Any]) -> ClosedRun:
    """The run of a row of the table of runs. Raises CorruptRecordError for one without a record or its places."""
    record, overrides = row.get("record"), row.get("overrides")
    places: list[Any] = [row.get(name) for name in ("first_reading", "readings", "first_sample", "samples")]
    if not isinstance(record, str) or not all(isinstance(place, int) and place >= 0 for place in places):
        raise CorruptRecordError(f"{RUNS} has a run without a record, or without the places of its rows")
    files = {RECORD: record.encode()} | ({OVERRIDES: overrides.encode()} if isinstance(overrides, str) else {})
    readings = RowRange(first=places[0], count=places[1])
    return ClosedRun(files=files, rows={READINGS: readings, TELEMETRY: RowRange(first=places[2], count=places[3])})


@functools.lru_cache(maxsize=128)
def _group_starts(path: Path, digest: str) -> Sequence[int]:
    """The first row of each row group of a table. Raises OSError and Arrow's errors."""
    with _opened(path) as file:
        counts = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    return list(itertools.accumulate(counts, initial=0))


@functools.lru_cache(maxsize=4)  # readers take runs in the order of their rows
def _row_group(path: Path, digest: str, table: TableFile, number: int) -> "pa.RecordBatch":
    """A row group in the types of the table's columns. Raises as `_group_starts`, and CorruptRecordError."""
    with _opened(path, table) as file:
        return table.batch_in(file.read_row_group(number, use_threads=False))


def _opened(path: Path, table: TableFile | None = None) -> "pq.ParquetFile":
    import pyarrow.parquet as pq

    check_plain(path)
    texts = table.texts if table else None
    return pq.ParquetFile(path, read_dictionary=texts, pre_buffer=False, page_checksum_verification=True)
