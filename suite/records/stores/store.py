"""Run folders on disk: written so that nothing is ever torn, read so that nothing bad stops the rest.

`record.json` is written last, by os.replace: it is the commit point, and holds the digests of the files beside it. A
folder without it is an unfinished run, which is listed and never read.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from suite.configuration.untrusted import parse_json
from suite.machine.privacy import scrubbed
from suite.records import aliases
from suite.records.aliases import span_today
from suite.records.record import FILES, OVERRIDES, Columns, CorruptRecordError, Reading, Record, Rows, record_from_json
from suite.records.record import RECORD as RECORD
from suite.records.record import SAMPLES as SAMPLES
from suite.records.stores.closed import closed_run
from suite.records.stores.files import PART, file_blocks, write_whole
from suite.records.stores.tables import FLOAT, INT, TEXT, DecodedColumns, TableFile
from suite.records.stores.walk import Damage, folders_below

if TYPE_CHECKING:
    import pyarrow as pa

LOCK = "claim.lock"
JUDGEMENT, SUMMARY, JUNIT = "judgement.json", "summary.md", "junit.xml"
"""Files that the gate writes, the summary first. Its folder is no run, even where the writing broke off."""
PRIVATE_PARTS = ("reason", "settings", "environment", "provenance")
"""Parts of a record that may hold something private, until it is written."""
RUN_BEGUN = {RECORD, SAMPLES, LOCK, *(name + PART for name in (RECORD, *FILES))}
"""Files of which a folder has one as soon as a run was begun in it."""
READINGS = TableFile(
    name=SAMPLES,
    rows="readings",
    types={
        "step": INT,
        "span": TEXT,
        "metric": TEXT,
        "value": FLOAT,
        "wall_s": FLOAT,
        "thread_cpu_s": FLOAT,
        "process_cpu_s": FLOAT,
        "involuntary_switches": INT,
        "launch": INT,
    },
    required=("step", "span", "metric", "value"),
    later=("launch",),
    renamed={"span": span_today, "metric": lambda metric: aliases.METRICS.get(metric, metric)},
)


@dataclass(frozen=True, kw_only=True)
class StoredRecord:
    record: Record
    folder: Path

    @cached_property
    def digest(self) -> str:
        """The sha256 of the record without the digests of the files beside it, which tables do not keep: equal in two
        places of one run. Raises CorruptRecordError as `read_file`."""
        content = parse_json(read_file(self.folder / RECORD))
        return hashlib.sha256(json.dumps(content | {"files": {}}).encode()).hexdigest()

    @property
    def name(self) -> str:
        """The last parts of the path, which name a run among several folders."""
        return "/".join(self.folder.parts[-2:])


def check_folders(folders: Iterable[Path]) -> None:
    """Raise ValueError for the first folder of results that is not there."""
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"results must be folders that exist; got {str(folder)!r}")


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The runs below a results folder."""

    stored: Sequence[StoredRecord] = ()
    damaged: Sequence[Damage] = ()
    unfinished: Sequence[Path] = ()


def write_record(record: Record, folder: Path, files: Mapping[str, bytes] = MappingProxyType({})) -> None:
    """Write a run's files into its folder, the record last. `files`: further ones of FILES, by name."""
    assert set(files) <= set(FILES), f"a run has the files {FILES}; got {list(files)}"
    contents = {**files, SAMPLES: READINGS.content(record.readings)}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    plain = replace(record, files=digests).as_json()
    plain |= scrubbed({part: plain[part] for part in PRIVATE_PARTS})
    for name, content in {**contents, RECORD: record_text(plain)}.items():  # the record last
        (folder / name).parent.mkdir(exist_ok=True)
        write_whole(folder / name, content)


def record_text(content: Mapping[str, Any]) -> bytes:
    """A record as its file holds it."""
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def read_record(folder: Path, *, with_readings: bool = True) -> Record:
    """Read one run. Raises CorruptRecordError, with what is wrong, for a damaged or foreign folder."""
    text = read_file(folder / RECORD)
    try:
        record = record_from_json(parse_json(text))
    except ValueError as error:
        raise CorruptRecordError(f"{RECORD} cannot be read: it {error}") from error
    return replace(record, readings=read_readings(folder, record)) if with_readings else record


def read_readings(folder: Path, record: Record) -> Rows[Reading]:
    """The readings of a run whose record was read without them. Raises CorruptRecordError as `read_record`."""
    return Rows(Reading, read_columns(READINGS, folder, record))


def read_columns(table: TableFile, folder: Path, record: Record) -> Columns:
    """The table of a run as columns. Raises CorruptRecordError for a file that is not the record's own."""
    return DecodedColumns(table, read_batches(table, folder, record))


def read_batches(table: TableFile, folder: Path, record: Record) -> "list[pa.RecordBatch]":
    """The table of a run as Arrow has it. Raises CorruptRecordError for a file that is not the record's own."""
    closed = closed_run(folder)
    if closed is None:
        try:
            content = read_file(folder / table.name)
        except CorruptRecordError:
            closed = closed_run(folder)  # `pack --remove` may have taken the folder since the look above
            if closed is None:
                raise
    if closed:
        sweep, _ = closed
        return sweep.batches(table, folder.name)
    if record.files.get(table.name) not in (None, hashlib.sha256(content).hexdigest()):
        raise CorruptRecordError(f"{table.name} is not the file that {RECORD} was written with")
    return table.batches_in(content)


def read_contents(roots: Iterable[Path], *, with_readings: bool = True) -> Contents:
    """Every run below the given folders, in a stable order. Nothing found there stops the rest."""
    entries = list(each_run(roots, with_readings=with_readings))
    return Contents(
        stored=[entry for entry in entries if isinstance(entry, StoredRecord)],
        damaged=[entry for entry in entries if isinstance(entry, Damage)],
        unfinished=[entry for entry in entries if isinstance(entry, Path)],
    )


def each_run(roots: Iterable[Path], *, with_readings: bool = True) -> Iterator[StoredRecord | Damage | Path]:
    """Yield each run below the folders: a record, or a Damage, or the path of an unfinished one. The same as
    `read_contents`, but nothing is kept."""
    damaged: list[Damage] = []
    begun: dict[Path, frozenset[str]] = {}
    for folder, names in (entry for root in roots for entry in folders_below(root, damaged)):
        # Others' files end with PART too, where a process was killed; these names are of runs alone.
        begun |= {} if RUN_BEGUN.isdisjoint(names) else {folder: names}
    yield from damaged
    for folder in sorted(begun):  # a disk lists folders in any order
        if RECORD not in begun[folder]:
            yield folder
            continue
        try:
            run = StoredRecord(record=read_record(folder, with_readings=with_readings), folder=folder)
        except CorruptRecordError as error:
            yield Damage(folder=folder, reason=str(error))
        else:
            yield run


def read_file(path: Path) -> bytes:
    """The content of a run's file, in its folder or in a closed sweep. Raises CorruptRecordError for what is none."""
    return b"".join(read_blocks(path))


def read_blocks(path: Path) -> Iterator[bytes]:
    """Yield the content of a run's file in blocks: a trace may be larger than memory. Raises CorruptRecordError as
    `read_file`."""
    try:
        if (content := _stored_file(path)) is not None:
            yield content
            return
        try:
            yield from file_blocks(path)
        except FileNotFoundError:
            if (content := _stored_file(path)) is None:
                raise
            yield content  # `pack --remove` took the folder since the look above
    except OSError as error:
        raise CorruptRecordError(f"{path.name} cannot be read ({error.__class__.__name__})") from error


def _stored_file(path: Path) -> bytes | None:
    """A run's file that lies in a closed sweep; None where it lies in its own folder, or nowhere."""
    folder = path.parent.parent if path.parent.name == OVERRIDES.partition("/")[0] else path.parent
    if closed := closed_run(folder):
        _, run = closed
        return run.files.get(path.relative_to(folder).as_posix())
    return None


def file_digest(path: Path) -> str:
    """The sha256 of a run's file. Raises CorruptRecordError as `read_file`."""
    digest = hashlib.sha256()
    for block in read_blocks(path):
        digest.update(block)
    return digest.hexdigest()


def has_record(folder: Path) -> bool:
    """True if a run lies in this folder, or in a closed sweep in its place. A torn one has none; who reads runs
    names it."""
    try:
        return os.path.lexists(folder / RECORD) or closed_run(folder) is not None
    except CorruptRecordError:
        return False
