"""Run folders on disk: written so that nothing is ever torn, read so that nothing bad stops the rest.

`record.json` is written last, by os.replace: it is the commit point, and holds the digests of the files beside it. A
folder without it is an unfinished run, which is listed and never read.
"""

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from suite.configuration.untrusted import parse_json
from suite.machine.privacy import scrubbed
from suite.records import aliases
from suite.records.aliases import span_today
from suite.records.metrics import METRICS
from suite.records.record import FILES, Columns, CorruptRecordError, Reading, Record, Rows, record_from_json
from suite.records.record import RECORD as RECORD
from suite.records.record import SAMPLES as SAMPLES
from suite.records.stores.pack import BLOCK_BYTES, Damage, folders_below, packed_file
from suite.records.stores.tables import FLOAT, INT, TEXT, TableFile
from suite.records.stores.withdrawn import WITHDRAWN, Withdrawal, withdrawals_in

LOCK = "claim.lock"
JUDGEMENT, SUMMARY, JUNIT = "judgement.json", "summary.md", "junit.xml"
"""Files that the gate writes, the summary first. Its folder is no run, even where the writing broke off."""
PRIVATE_PARTS = ("reason", "settings", "environment", "provenance")
"""Parts of a record that may hold something private, until it is written."""
PART = ".part"
"""Ends the name of a file until it is whole."""
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
    withdrawal: Withdrawal | None = None
    digest: str = ""
    """The sha256 of the record's file, where it was read among others."""

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
    withdrawn: Sequence[StoredRecord] = ()
    """Runs that count nowhere, and are named with the reason."""


def write_record(record: Record, folder: Path, files: Mapping[str, bytes] = MappingProxyType({})) -> None:
    """Write a run's files into its folder, the record last. `files`: further ones of FILES, by name."""
    assert set(files) <= set(FILES), f"a run has the files {FILES}; got {list(files)}"
    contents = {**files, SAMPLES: READINGS.content(record.readings)}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    plain = replace(record, files=digests).as_json()
    plain |= scrubbed({part: plain[part] for part in PRIVATE_PARTS})
    text = json.dumps(plain, indent=1, allow_nan=False) + "\n"
    for name, content in {**contents, RECORD: text.encode()}.items():  # the record last
        (folder / name).parent.mkdir(exist_ok=True)
        write_whole(folder / name, content)


@contextmanager
def whole_file(path: Path, *, mark: str = "") -> Iterator[IO[bytes]]:
    """Open a file beside `path` that takes its place in one step at the block's end: whoever looks sees all of it or
    none. Two processes that write one `path` at once must hold a lock or have a `mark` each.

    Raises OSError for what cannot be written, and leaves nothing behind then; also for a place that a folder, a device
    or a pipe has taken, which stays. A link is replaced, not followed: nothing outside a run's folder is touched.
    """
    if os.path.lexists(path) and not (path.is_symlink() or path.is_file()):
        raise OSError(errno.EINVAL, "it is no plain file, so it is left as it is", str(path))
    part = path.with_name(path.name + mark + PART)
    part.unlink(missing_ok=True)  # it may be a link
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # before its name: a power cut would leave the name of an empty file
        part.replace(path)
    except BaseException:  # an interruption too: it is raised on, and nothing stays that it left half-written
        part.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes | Iterable[bytes], *, mark: str = "") -> None:
    """Put a file in place as `whole_file` does, with this content."""
    with whole_file(path, mark=mark) as file:
        file.writelines([content] if isinstance(content, bytes) else content)


def write_named(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a file that a person named, in one step. Of a link, what it points to is written, and the link stays."""
    place = Path(os.path.realpath(path))
    if place.is_symlink():
        raise OSError(errno.ELOOP, "its links lead in a circle", str(path))  # Windows has no words of its own for it
    write_whole(place, content, mark=f".{os.getpid()}")


def read_record(folder: Path, *, with_readings: bool = True) -> Record:
    """Read one run. Raises CorruptRecordError, with what is wrong, for a damaged or foreign folder."""
    return _read_with_digest(folder, with_readings=with_readings)[0]


def _read_with_digest(folder: Path, *, with_readings: bool) -> tuple[Record, str]:
    """A run, and the sha256 of its record's file."""
    text = read_file(folder / RECORD)
    try:
        record = record_from_json(parse_json(text))
    except ValueError as error:
        raise CorruptRecordError(f"{RECORD} cannot be read: it {error}") from error
    if with_readings:
        record = replace(record, readings=read_readings(folder, record))
    return record, hashlib.sha256(text).hexdigest()


def read_readings(folder: Path, record: Record) -> Rows[Reading]:
    """The readings of a run whose record was read without them. Raises CorruptRecordError as `read_record`."""
    return Rows(Reading, read_columns(READINGS, folder, record))


def read_columns(table: TableFile, folder: Path, record: Record) -> Columns:
    """The table of a run as columns. Raises CorruptRecordError for a file that is not the record's own."""
    content = read_file(folder / table.name)
    if record.files.get(table.name) not in (None, hashlib.sha256(content).hexdigest()):
        raise CorruptRecordError(f"{table.name} is not the file that {RECORD} was written with")
    return table.columns_in(content)


def read_contents(roots: Iterable[Path], *, with_readings: bool = True) -> Contents:
    """Every run below the given folders, in a stable order. Nothing found there stops the rest."""
    entries = list(each_run(roots, with_readings=with_readings))
    runs = [entry for entry in entries if isinstance(entry, StoredRecord)]
    return Contents(
        stored=[run for run in runs if run.withdrawal is None],
        damaged=[entry for entry in entries if isinstance(entry, Damage)],
        unfinished=[entry for entry in entries if isinstance(entry, Path)],
        withdrawn=[run for run in runs if run.withdrawal],
    )


def each_run(roots: Iterable[Path], *, with_readings: bool = True) -> Iterator[StoredRecord | Damage | Path]:
    """Yield each run below the folders: a record, withdrawn or not, or a Damage, or the path of an unfinished one. The
    same as `read_contents`, but nothing is kept. An entry of a list of withdrawals that names no run is damage too."""
    damaged: list[Damage] = []
    begun: dict[Path, frozenset[str]] = {}
    lists: dict[Path, Sequence[Withdrawal]] = {}
    covering = set[tuple[Path, Withdrawal]]()
    for folder, names in (entry for root in roots for entry in folders_below(root, damaged)):
        # Others' files end with PART too, where a process was killed; these names are of runs alone.
        begun |= {} if RUN_BEGUN.isdisjoint(names) else {folder: names}
        try:
            lists |= {folder: _read_list(folder / WITHDRAWN)} if WITHDRAWN in names else {}
        except CorruptRecordError as error:
            damaged.append(Damage(folder=folder / WITHDRAWN, reason=str(error)))
    yield from damaged
    for folder in sorted(begun):  # a disk lists folders in any order
        if RECORD not in begun[folder]:
            yield folder
            continue
        try:
            record, digest = _read_with_digest(folder, with_readings=with_readings)
        except CorruptRecordError as error:
            yield Damage(folder=folder, reason=str(error))
        else:
            withdrawal = _withdrawal_covering(record, lists.get(folder.parent, ()))
            covering |= {(folder.parent, withdrawal)} if withdrawal else set()
            yield StoredRecord(record=record, folder=folder, withdrawal=withdrawal, digest=digest)
    for folder, entry in ((folder, entry) for folder, entries in lists.items() for entry in entries):
        if (folder, entry) not in covering:
            yield Damage(folder=folder / WITHDRAWN, reason=f"no run here was begun before it was {entry.said}")


def find_withdrawal(record: Record, folder: Path) -> Withdrawal | None:
    """The withdrawal of a run in a folder, if the list beside it has one. Raises CorruptRecordError for a list
    that cannot be read."""
    path = folder.parent / WITHDRAWN
    return _withdrawal_covering(record, _read_list(path)) if path.exists() else None


def _read_list(path: Path) -> Sequence[Withdrawal]:
    """The withdrawals in a list. Raises CorruptRecordError for one that cannot be read."""
    return withdrawals_in(read_file(path))


def _withdrawal_covering(record: Record, entries: Iterable[Withdrawal]) -> Withdrawal | None:
    return next((entry for entry in entries if entry.covers(record)), None)


def reading_rows(record: Record) -> Iterable[dict[str, Any]]:
    """Yield a flat row for each reading, with its case, run and unit; without readings one row without a metric."""
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
    names = [field.name for field in fields(Reading)]
    for reading in record.readings:
        metric = METRICS.get(reading.metric)
        numbers = {name: getattr(reading, name) for name in names}
        yield {**common, **numbers, "unit": metric.unit if metric else None}


def read_file(path: Path, *, may_be_link: bool = False) -> bytes:
    """The content of a file, which may lie in a pack. Raises CorruptRecordError for what is no file.

    `may_be_link`: a person named it, or keeps it elsewhere.
    """
    return b"".join(read_blocks(path, may_be_link=may_be_link))


def read_blocks(path: Path, *, may_be_link: bool = False) -> Iterator[bytes]:
    """Yield the content of a file, which may lie in a pack, in blocks: a trace may be larger than memory. Raises
    CorruptRecordError as `read_file`."""
    try:
        if (packed := packed_file(path)) is None:
            try:
                status = path.stat() if may_be_link else path.lstat()
                if not stat.S_ISREG(status.st_mode):  # a link may lead anywhere, and a pipe may never end
                    kind = "a link" if stat.S_ISLNK(status.st_mode) else "no file"
                    raise CorruptRecordError(f"{path.name} is {kind}")
                with path.open("rb") as file:
                    while block := file.read(BLOCK_BYTES):
                        yield block
                return
            except FileNotFoundError:
                if (packed := packed_file(path)) is None:  # else `pack --remove` took the folder since the look above
                    raise
        yield from packed.blocks()
    except OSError as error:
        raise CorruptRecordError(f"{path.name} cannot be read ({error.__class__.__name__})") from error


def file_digest(path: Path) -> str:
    """The sha256 of a run's file. Raises CorruptRecordError as `read_file`."""
    digest = hashlib.sha256()
    for block in read_blocks(path):
        digest.update(block)
    return digest.hexdigest()


def has_record(folder: Path) -> bool:
    """True if a run lies in this folder, or in a pack in its place. A torn pack has none; who reads runs names it."""
    try:
        return os.path.lexists(folder / RECORD) or packed_file(folder / RECORD) is not None
    except CorruptRecordError:
        return False
