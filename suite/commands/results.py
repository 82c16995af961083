"""`suite results`: what lies in results folders, whether it is whole, and several brought together.

Records are data: they are read, shown and copied, and nothing in them is run.
"""

import hashlib
import json
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from suite.console.record import answer, row
from suite.console.summary import HeadlineValue, stored_json, summarise_record
from suite.console.table import ConsoleColumn, fits, has_colour, table_lines, terminal_width
from suite.machine.plain_text import complain, json_text, one_line, say
from suite.machine.temporary import remove_abandoned, temporary_folder
from suite.records import labels, numbers
from suite.records.derived import started_at
from suite.records.machines import machine_names
from suite.records.record import FILES, OVERRIDES, TELEMETRY, CorruptRecordError, Status
from suite.records.stores import store
from suite.records.stores.archive import check_size, unpack
from suite.records.stores.claim import alone_in, claim_new_folder
from suite.records.stores.close import close_sweep
from suite.records.stores.closed import closed_run, closed_sweep
from suite.records.stores.files import write_whole
from suite.records.stores.old_zip import OLD_ZIP, unpack_old_zip
from suite.records.stores.telemetry import SERIES, read_series
from suite.records.stores.walk import Damage, closed_sweeps, folders_below
from suite.records.verify.faults import file_faults, reasons_against, whole_runs

DONE, BROKEN = 0, 4
SHORTEST_KEY, LONGEST_CELL = 4, 200
DAMAGED, UNFINISHED = "damaged", "unfinished"


@dataclass(frozen=True)
class ListedRun:
    """A line of the list. Without a record for what cannot be read."""

    folder: Path
    status: str
    reason: str = ""
    stored: store.StoredRecord | None = None
    values: Sequence[HeadlineValue] = ()

    def as_json(self) -> dict[str, Any]:
        if self.stored is not None:
            return stored_json(self.stored, self.values)
        return {"folder": str(self.folder), "status": self.status, "reason": self.reason or None}


def list_runs(folders: Sequence[Path], *, status: str | None, as_json: bool) -> int:
    """Print a line for each run, the oldest first. Returns 4 where a folder is damaged, else 0.

    Raises ValueError for a folder that is not there or a status that does not exist.
    """
    choices = [*map(str, Status), DAMAGED, UNFINISHED]
    if status is not None and status not in choices:
        raise ValueError(f"status must be one of {', '.join(choices)}; got {status!r}")
    contents = _read(folders)
    stored = [run for run in contents.stored if status in (None, run.record.status)]
    runs = [
        *sorted(map(_listed, stored), key=_start),  # read in their own order: neighbours share a row group
        *(ListedRun(damage.folder, DAMAGED, damage.reason) for damage in contents.damaged),
        *(ListedRun(folder, UNFINISHED) for folder in contents.unfinished),
    ]
    counts = Counter("runs" if run.stored else run.status for run in runs)
    runs = sorted((run for run in runs if status in (None, run.status)), key=lambda run: run.stored is None)
    if as_json:
        say(json_text([run.as_json() for run in runs]))
    else:
        sums = ", ".join(f"{counts[name]} {name}" for name in ("runs", DAMAGED, UNFINISHED))
        say(*(_list_lines(runs) if runs else ()), sums)
    return BROKEN if counts[DAMAGED] else DONE


def _start(run: ListedRun) -> tuple[str, Path]:
    """When a listed run began, then its folder."""
    return started_at(run.stored.record) if run.stored else "", run.folder


def _listed(run: store.StoredRecord) -> ListedRun:
    """The list's line for a run with its headline values; a damaged one where its readings cannot be read."""
    record, values = run.record, list[HeadlineValue]()
    try:
        if record.status is Status.OK:
            read = replace(record, readings=store.read_readings(run.folder, record))
            values += summarise_record(read).values
    except CorruptRecordError as error:
        return ListedRun(run.folder, DAMAGED, str(error))
    return ListedRun(run.folder, str(record.status), record.reason or "", run, values)


def _list_lines(runs: Sequence[ListedRun]) -> list[str]:
    """A heading with the folder that holds all runs, then a table with a row for each run, in the given order.

    Runs with a record must come before those without, or cells stand in wrong rows.
    """
    records, parent = [run.stored.record for run in runs if run.stored], _common_parent([run.folder for run in runs])
    machines, settings = machine_names(records), [record.case.settings for record in records]

    def column(title: str, cells: Iterable[str], **how: Any) -> ConsoleColumn:
        cells = list(cells)
        return ConsoleColumn(title=title, cells=cells + [""] * (len(runs) - len(cells)), **how)

    places = [str(run.folder.relative_to(parent)) if parent else str(run.folder) for run in runs]
    before = [
        column("run", places, is_name=True),
        column("status", [run.status for run in runs], is_status=True),
        *([column("machine", machines, is_name=True)] if len({*machines}) > 1 else []),
    ]
    after = [
        column("result", [run.values[0].labelled if run.values else run.reason for run in runs]),
        column("started", [started_at(record)[:16].replace("T", " ") for record in records], rank=1, is_name=True),
    ]
    width, is_of_one_workload = terminal_width(), len({record.case.workload for record in records}) == 1
    by_setting = [
        column(name, [values.get(name) or numbers.NOTHING for values in settings])
        for name in (labels.differing(settings) if is_of_one_workload else ())
    ]
    columns = [*before, *by_setting, *after]
    if not by_setting or not fits([column for column in columns if not column.rank], width):
        # One column of all settings that differ, where a column for each says nothing or has no room.
        texts = []
        for record, differences in zip(records, labels.differences(settings, alike_in=["workload"]), strict=True):
            workload = {} if is_of_one_workload else {"workload": record.case.workload}
            texts.append((labels.written(workload | differences) or record.case.id)[:LONGEST_CELL])
        columns = [*before, column("settings", texts), *after]
    lines = table_lines(columns, width=width, colour=has_colour())
    return [one_line(f"runs in {parent}:" if parent else "runs:"), *lines]


def _common_parent(folders: Sequence[Path]) -> Path | None:
    if len({folder.is_absolute() for folder in folders}) > 1:
        return None
    return Path(os.path.commonpath([folder.parent for folder in folders]))


def find_run(name: str, folders: Sequence[Path]) -> Path:
    """The folder of one run. `name`: that folder, or how its run key begins.

    Raises ValueError where there is no such run, or more than one, and CorruptRecordError for a damaged one.
    """
    place = Path(name)
    if store.has_record(place):
        return place
    contents, is_key = _read(folders), len(name) >= SHORTEST_KEY
    runs = [
        run.folder
        for run in contents.stored
        if run.folder.name == name or (is_key and run.record.run_key.startswith(name))
    ]
    if len(runs) > 1:
        raise ValueError(f"run must name one run; {name!r} names {', '.join(map(str, runs))}")
    if runs:
        return runs[0]
    for damage in contents.damaged:
        if damage.folder.name == name or (is_key and damage.folder.name.startswith(name)):
            raise CorruptRecordError(damage.reason)
    if is_key:
        none = f"none of {len(contents.stored)} runs is the folder {name!r} or has a key that begins so"
        raise ValueError(f"{none}; see suite results list")
    raise ValueError(f"run must be a run's folder or the first {SHORTEST_KEY} or more digits of its key; got {name!r}")


def show(name: str, folders: Sequence[Path]) -> int:
    """Print a run as its own command line did, and where it comes from. `name`: its folder, or how its run key begins.

    Raises ValueError where there is no such run, or more than one.
    """
    try:
        folder = find_run(name, folders)
        record = store.read_record(folder)
    except CorruptRecordError as error:
        complain(f"suite results: the run is damaged: {error}")
        return BROKEN
    environment, provenance = record.environment, record.provenance
    gpus, versions = environment.get("gpus"), environment.get("packages")
    machine = [_text(environment, "cpu"), *(map(str, gpus) if isinstance(gpus, list) else ())]
    facts = {
        "evidence": str(record.evidence),
        "started": started_at(record),
        "machine": f"{', '.join(machine)} ({_text(environment, 'machine_id')})",
        "code": f"{_text(provenance, 'commit')[:12]}{' with later changes' * (provenance.get('dirty') is True)}",
        "versions": ", ".join(f"{k} {v}" for k, v in versions.items()) if isinstance(versions, Mapping) else "",
        "readings": numbers.count(len(record.readings)),
        "record": str(folder / store.RECORD),
    }
    lines = [
        record.case.id,
        *answer(record, str(record.status), summarise_record(record)),
        *(row(name, text) for name, text in facts.items()),
    ]
    say(*map(one_line, lines))
    return DONE


def verify(folders: Sequence[Path]) -> int:
    """Read every run whole, one at a time, and print what is wrong. Returns 4 where something is, else 0."""
    store.check_folders(folders)
    faults = whole = readings = 0
    for sweep in closed_sweeps(folders):
        for reason in sweep.damaged_tables():
            faults += 1
            say(one_line(f"{sweep.folder}: {reason}"))
    for run in store.each_run(folders):
        if isinstance(run, Path):
            say(one_line(f"{run}: unfinished, not read; the command that began it completes it"))
            continue
        reasons = reasons_against(run)
        faults += len(reasons)
        for reason in reasons:
            say(one_line(f"{run.folder}: {reason}"))
        if isinstance(run, store.StoredRecord):
            readings += len(run.record.readings)
            whole += not reasons
    print(f"{whole} runs with {numbers.count(readings)} readings are complete; {faults} faults")
    return BROKEN if faults else DONE


def merge(sources: Sequence[Path], into: Path) -> int:
    """Copy every whole run of the sources, folders or archives, into one folder. Returns 4 where a source is damaged or
    has damaged runs, else 0.

    A run that is there already, byte for byte, is not copied again, and nothing is overwritten. Raises
    ValueError for a source that is not there, and where `into` is a file.
    """
    if into.exists() and not into.is_dir():
        raise ValueError(f"into must be a folder; got {str(into)!r}")
    for source in sources:
        if not source.is_dir() and not source.is_file():
            raise ValueError(f"results must be folders or archives that exist; got {str(source)!r}")
    if removed := remove_abandoned():
        say(removed)
    with temporary_folder("merge") as folder:
        sources_by_folder: dict[Path, Path] = {}
        torn = []
        for number, source in enumerate(sources):
            try:
                unpacked_source = source if source.is_dir() else unpack(source, folder / str(number))
                check_size(unpacked_source)
                sources_by_folder[unpacked_source] = source
            except CorruptRecordError as error:
                torn.append(Damage(folder=source, reason=str(error)))
        with alone_in(into):
            return _merge(sources_by_folder, torn, into)


def _merge(sources: Mapping[Path, Path], torn: Sequence[Damage], into: Path) -> int:
    """Copy the whole runs that `into` does not have, print how many, and return the exit code: 4 where a run was left
    out. `sources`: by the folder that is read, the source that it stands for."""

    def original_name(folder: Path) -> str:
        """The path of a run as its source was named, not as it was unpacked."""
        for read_folder, source in sources.items():
            if folder.is_relative_to(read_folder):
                return str(source / folder.relative_to(read_folder))
        return str(folder)

    num_copied, num_present, left_out = 0, 0, list[Path]()
    digests = {run.digest for run in store.each_run([into]) if isinstance(run, store.StoredRecord)}
    for run in whole_runs(chain(torn, store.each_run(sources)), left_out, original_name):
        if run.digest in digests:
            num_present += 1
        else:
            _copy(run, into)
            digests.add(run.digest)
            num_copied += 1
    say(one_line(f"{num_copied} runs copied into {into}; {num_present} were there already"))
    return BROKEN if left_out else DONE


def _copy(run: store.StoredRecord, into: Path) -> None:
    """Copy a run into a folder that is new, so that nothing is overwritten; the record last: it is the commit point.
    What cannot be copied whole leaves nothing."""
    with claim_new_folder(into, run.record.run_key) as claim:
        try:
            try:
                for name in (*dict.fromkeys((store.SAMPLES, *run.record.files)), store.RECORD):
                    (claim.folder / name).parent.mkdir(exist_ok=True)
                    write_whole(claim.folder / name, store.read_blocks(run.folder / name))
            except CorruptRecordError:
                if not closed_run(run.folder):  # in tables, or put there by another process since it was read
                    raise
                _write_from_tables(run, claim.folder)
        except BaseException:
            shutil.rmtree(claim.folder, ignore_errors=True)
            raise


def _write_from_tables(run: store.StoredRecord, folder: Path) -> None:
    """Write a run of a closed sweep into a folder of its own, its record as it was but for the digests of its files."""
    files = {store.SAMPLES: store.READINGS.content(run.record.rows)}
    if TELEMETRY in run.record.files:
        files[TELEMETRY] = SERIES.content(read_series(run.record, run.folder))
    if OVERRIDES in run.record.files:
        files[OVERRIDES] = store.read_file(run.folder / OVERRIDES)
    content = json.loads(store.read_file(run.folder / store.RECORD))
    content["files"] = {name: hashlib.sha256(part).hexdigest() for name, part in files.items()}
    files[store.RECORD] = store.record_text(content)
    for name, part in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        write_whole(folder / name, part)


def pack(folders: Sequence[Path], *, remove: bool, compact: bool = False) -> int:
    """Write the runs of each folder below these as tables there, which are read as the runs' folders are. An older
    `runs.zip` becomes run folders first. Returns 4 where a run is damaged, and packs nothing then, else 0.

    `remove`: the run folders are removed, after all tables were read back. `compact`: with clocks of seven
    digits, and telemetry summed up by phase, device and quantity. Raises ValueError for a folder
    that is not there.
    """
    store.check_folders(folders)
    for folder in [folder for root in folders for folder, names in folders_below(root, []) if OLD_ZIP in names]:
        try:
            with alone_in(folder):
                unpack_old_zip(folder / OLD_ZIP)
        except CorruptRecordError as error:
            complain(f"suite results: nothing was packed: {folder}: {error}")
            return BROKEN
    runs_by_parent: dict[Path, list[store.StoredRecord]] = defaultdict(list)
    faults = 0
    for run in store.each_run(folders):
        if isinstance(run, Path):
            say(one_line(f"{run}: unfinished, stays as it is"))
            continue
        reasons = [run.reason] if isinstance(run, Damage) else list(file_faults(run))
        faults += len(reasons)
        for reason in reasons:
            complain(f"{run.folder}: {reason}")
        if isinstance(run, store.StoredRecord):
            # Of the readings, which were checked, one run's at a time is held.
            runs_by_parent[run.folder.parent].append(replace(run, record=replace(run.record, readings=())))
    if faults:
        complain(f"suite results: nothing was packed, because of {faults} faults")
        return BROKEN
    for parent, runs in runs_by_parent.items():
        with alone_in(parent):
            if not _pack_folder(parent, runs, remove=remove, compact=compact):
                return BROKEN
    return DONE


def _pack_folder(parent: Path, runs: Sequence[store.StoredRecord], *, remove: bool, compact: bool) -> bool:
    """Write a folder's runs as its tables, and print how large they are. Returns False where that failed."""
    in_folders = [run for run in runs if run.folder.is_dir()]
    left = [run for run in in_folders if not _holds_only_a_run(run.folder)]
    chosen = [run for run in runs if run not in left]
    before = closed_sweep(parent)
    if all(closed_run(run.folder) for run in chosen) and not (compact and before and not before.is_compact):
        return True
    try:
        nbytes = close_sweep(parent, chosen, compact=compact)
    except CorruptRecordError as error:
        complain(f"suite results: {parent} was not packed: {error}")
        return False
    if remove:
        for run in in_folders:
            if run not in left:
                _remove_run(run.folder)
    say(one_line(f"{parent}: {len(chosen)} runs in tables, {numbers.bytes_iec(nbytes)}{', folders removed' * remove}"))
    return True


def _remove_run(folder: Path) -> None:
    """Remove a packed run, its record first: half of a run is none. What else its folder holds stays there."""
    for file in (store.RECORD, *FILES):
        (folder / file).unlink(missing_ok=True)
    for emptied in ((folder / OVERRIDES).parent, folder):
        with suppress(OSError):
            emptied.rmdir()


def _holds_only_a_run(folder: Path) -> bool:
    """Whether a folder holds nothing but what tables take: a record, readings, telemetry and overrides. Prints the
    names of other files."""
    files = {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()
    }
    if strangers := sorted(files - {store.RECORD, store.SAMPLES, TELEMETRY, OVERRIDES}):
        say(one_line(f"{folder}: stays as it is, since it holds {', '.join(strangers)}"))
    return not strangers


def _read(folders: Sequence[Path]) -> store.Contents:
    """The runs below folders, without readings. Raises ValueError for a folder that is not there."""
    store.check_folders(folders)
    return store.read_contents(folders, with_readings=False)


def _text(facts: Mapping[str, Any], name: str) -> str:
    """A fact that is a text; a dash where it is missing or something else."""
    value = facts.get(name)
    return value if isinstance(value, str) else numbers.NOTHING
