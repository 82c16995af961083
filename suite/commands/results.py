"""`suite results`: what lies in results folders, whether it is whole, and several brought together.

Records are data: they are read, shown and copied, and nothing in them is run.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from suite.console.record import answer, row
from suite.console.summary import HeadlineValue, stored_json, summary_of
from suite.console.table import ConsoleColumn, fits, has_colour, table_lines, terminal_width
from suite.records import labels, numbers
from suite.records.derived import started_at
from suite.records.machine.temporary import remove_abandoned, temporary_folder
from suite.records.machines import machine_names
from suite.records.plain_text import complain, json_text, one_line, say
from suite.records.record import FILES, CorruptRecordError, Status
from suite.records.stores.archive import unpacked, write_pack
from suite.records.stores.claim import NAME_LENGTH, alone_in, claim_new_folder
from suite.records.stores.folder import StoreFolder, remove_run
from suite.records.stores.mirror import existing, on_this_machine
from suite.records.stores.objects import open_store
from suite.records.stores.pack import PACK, Damage, folders_below
from suite.records.stores.place import is_store, mirrored_url, shown, url_in
from suite.records.stores.store import (
    RECORD,
    SAMPLES,
    Contents,
    StoredRecord,
    each_run,
    file_digest,
    find_withdrawal,
    has_record,
    read_blocks,
    read_contents,
    read_record,
    write_whole,
)
from suite.records.verify.copies import Copies
from suite.records.verify.faults import file_faults, reasons_against, whole_runs

DONE, BROKEN = 0, 4
SHORTEST_KEY, LONGEST_CELL = 4, 200
DAMAGED, UNFINISHED, WITHDRAWN = "damaged", "unfinished", "withdrawn"


@dataclass(frozen=True)
class ListedRun:
    """A line of the list. Without a record for what cannot be read, or was withdrawn."""

    folder: Path
    status: str
    reason: str = ""
    stored: StoredRecord | None = None
    values: Sequence[HeadlineValue] = ()

    def as_json(self) -> dict[str, Any]:
        if self.stored is not None:
            return stored_json(self.stored, self.values)
        return {"folder": shown(self.folder), "status": self.status, "reason": self.reason or None}


def list_runs(folders: Sequence[Path], *, status: str | None, as_json: bool) -> int:
    """Print a line for each run, the oldest first. Returns 4 where a folder is damaged, else 0.

    Raises ValueError for a folder that is not there or a status that does not exist.
    """
    choices = [*map(str, Status), DAMAGED, UNFINISHED, WITHDRAWN]
    if status is not None and status not in choices:
        raise ValueError(f"status must be one of {', '.join(choices)}; got {status!r}")
    contents = _read(folders)
    stored = [run for run in contents.stored if status in (None, run.record.status)]
    runs = [
        *map(_listed, sorted(stored, key=lambda run: (started_at(run.record), run.folder))),
        *(ListedRun(damage.folder, DAMAGED, damage.reason) for damage in contents.damaged),
        *(ListedRun(folder, UNFINISHED) for folder in contents.unfinished),
        *(ListedRun(run.folder, WITHDRAWN, run.withdrawal.said) for run in contents.withdrawn if run.withdrawal),
    ]
    counts = Counter(run.status if run.stored is None else "runs" for run in runs)
    runs = sorted((run for run in runs if status in (None, run.status)), key=lambda run: run.stored is None)
    if as_json:
        say(json_text([run.as_json() for run in runs]))
    else:
        names = ("runs", DAMAGED, UNFINISHED, *([WITHDRAWN] if counts[WITHDRAWN] else []))
        say(*_list_lines(runs), ", ".join(f"{counts[name]} {name}" for name in names))
    return BROKEN if counts[DAMAGED] else DONE


def _listed(run: StoredRecord) -> ListedRun:
    """A run with its headline values, which are read one run at a time."""
    record = run.record
    try:
        values = summary_of(read_record(run.folder)).values if record.status is Status.OK else ()
    except CorruptRecordError as error:
        return ListedRun(run.folder, DAMAGED, str(error))
    return ListedRun(run.folder, str(record.status), record.reason or "", run, values)


def _list_lines(runs: Sequence[ListedRun]) -> list[str]:
    """A line for each run, and before them the folder that all of them share."""
    if not runs:
        return []
    above, records = _above([run.folder for run in runs]), [run.stored.record for run in runs if run.stored]
    workloads, settings = {record.case.workload for record in records}, [record.case.settings for record in records]
    differences = labels.differences(settings, alike_in=["workload"])
    if len(workloads) > 1:
        differences = [
            {"workload": record.case.workload} | own for record, own in zip(records, differences, strict=True)
        ]
    told_apart = [labels.written(own) or record.case.id for record, own in zip(records, differences, strict=True)]
    machines = machine_names(records)
    started = [started_at(record)[:16].replace("T", " ") for record in records]
    nothing = [""] * (len(runs) - len(records))
    before = [
        ConsoleColumn(
            title="run",
            cells=[str(run.folder.relative_to(above)) if above else shown(run.folder) for run in runs],
            is_name=True,
        ),
        ConsoleColumn(title="status", cells=[run.status for run in runs], is_status=True),
        *([ConsoleColumn(title="machine", cells=[*machines, *nothing], is_name=True)] if len({*machines}) > 1 else []),
    ]
    after = [
        ConsoleColumn(title="result", cells=[run.values[0].labelled if run.values else run.reason for run in runs]),
        ConsoleColumn(title="started", cells=[*started, *nothing], rank=1, is_name=True),
    ]
    width, names = terminal_width(), list(labels.differing(settings)) if len(workloads) == 1 else []
    columns = [*before, *(_setting_column(name, settings, nothing) for name in names), *after]
    if not names or not fits([column for column in columns if not column.rank], width):
        cells = [*(text[:LONGEST_CELL] for text in told_apart), *nothing]
        columns = [*before, ConsoleColumn(title="settings", cells=cells), *after]
    lines = table_lines(columns, width=width, colour=has_colour())
    return [one_line(f"runs below {shown(above)}:" if above else "runs:"), *lines]


def _setting_column(name: str, settings: Sequence[Mapping[str, str]], nothing: Sequence[str]) -> ConsoleColumn:
    return ConsoleColumn(title=name, cells=[*(own.get(name) or numbers.NOTHING for own in settings), *nothing])


def _above(folders: Sequence[Path]) -> Path | None:
    """The folder that all of them lie in; None where there is none, as for a store's beside this machine's."""
    schemes = {url.partition("://")[0] if (url := mirrored_url(folder)) else "" for folder in folders}
    if len(schemes) != 1 or len({folder.is_absolute() for folder in folders}) > 1:
        return None
    return Path(os.path.commonpath([folder.parent for folder in folders]))


def find_run(name: str, folders: Sequence[Path]) -> Path:
    """The folder of one run. `name`: that folder, or how its run key begins.

    Raises ValueError where there is no such run, or more than one, and CorruptRecordError for a damaged one.
    """
    place = on_this_machine(Path(name))
    if has_record(place):
        return place
    contents, begins = _read(folders), name if len(name) >= SHORTEST_KEY else None
    runs = [
        run.folder
        for run in (*contents.stored, *contents.withdrawn)
        if run.folder.name == name or (begins and run.record.run_key.startswith(begins))
    ]
    for damage in contents.damaged if not runs else ():
        if damage.folder.name == name or (begins and damage.folder.name.startswith(begins)):
            raise CorruptRecordError(damage.reason)
    if len(runs) > 1:
        raise ValueError(f"run must name one run; {name!r} names {', '.join(map(shown, runs))}")
    if not runs:
        raise ValueError(f"run must be a run's folder or begin its key, by {SHORTEST_KEY} digits or more; got {name!r}")
    return runs[0]


def show(name: str, folders: Sequence[Path]) -> int:
    """Print a run as its own command line did, and where it comes from. `name`: its folder, or how its run key begins.

    Raises ValueError where there is no such run, or more than one.
    """
    try:
        folder = find_run(name, folders)
        record = read_record(folder)
        withdrawal = find_withdrawal(record, folder)
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
        "code": f"{_text(provenance, 'commit')[:12]}{' changed since' * (provenance.get('dirty') is True)}",
        "versions": ", ".join(f"{k} {v}" for k, v in versions.items()) if isinstance(versions, Mapping) else "",
        "readings": numbers.count(len(record.readings)),
        "record": shown(folder / RECORD),
    }
    lines = [
        record.case.id,
        *([row("withdrawn", withdrawal.said)] if withdrawal else []),
        *answer(record, str(record.status), summary_of(record)),
        *(row(name, text) for name, text in facts.items()),
    ]
    say(*map(one_line, lines))
    return DONE


def verify(folders: Sequence[Path]) -> int:
    """Read every run whole, one at a time, and print what is wrong and what was withdrawn. Returns 4 where something is
    wrong, else 0."""
    faults = whole = readings = withdrawn = 0
    copies = Copies()
    for found in each_run(existing(folders)):
        if isinstance(found, Path):
            say(one_line(f"{shown(found)}: unfinished, not read; the same command takes it over"))
            continue
        reasons = reasons_against(found, copies)
        faults += len(reasons)
        for reason in reasons:
            say(one_line(f"{shown(found.folder)}: {reason}"))
        if isinstance(found, StoredRecord):
            readings += len(found.record.readings)
            whole += not reasons
            if found.withdrawal:
                withdrawn += 1
                say(one_line(f"{shown(found.folder)}: {found.withdrawal.said}"))
    also = f"; {withdrawn} withdrawn" if withdrawn else ""
    print(f"{whole} runs with {numbers.count(readings)} readings are whole; {faults} faults{also}")
    return BROKEN if faults else DONE


def merge(sources: Sequence[Path], into: Path) -> int:
    """Copy every whole run of the sources, folders or archives, into one folder, here or in a store. Returns 4 where a
    source is damaged or has damaged runs, else 0.

    A run that is there already, byte for byte, is not copied again, and nothing is overwritten. One that was withdrawn
    stays behind. Raises ValueError for a source that is not there, and where `into` is a file or a store that cannot be
    written.
    """
    if into.exists() and not into.is_dir():
        raise ValueError(f"into must be a folder; got {str(into)!r}")
    sources = [on_this_machine(source) for source in sources]
    for source in sources:
        if not source.is_dir() and not source.is_file():
            raise ValueError(f"results must be folders or archives that exist; got {shown(source)!r}")
    if removed := remove_abandoned():
        say(removed)
    with temporary_folder("merge") as unpacked_here:
        folders: dict[Path, Path] = {}
        torn = []
        for number, source in enumerate(sources):
            try:
                folder = source if source.is_dir() else unpacked(source, unpacked_here / str(number))
                folders[folder] = source
            except CorruptRecordError as error:
                torn.append(Damage(folder=source, reason=str(error)))
        if not is_store(into):
            with alone_in(into):
                return _merged(folders, torn, into, copy=partial(_copy, into=into))
        results = StoreFolder(store=open_store(url_in(into)))
        results.store.check_create()
        # Each under the first name that is free there.
        return _merged(
            folders,
            torn,
            on_this_machine(into),
            copy=lambda run: results.put_run(run.folder, run.record.run_key[:NAME_LENGTH]),
        )


def pack(folders: Sequence[Path], *, remove: bool) -> int:
    """Pack the runs that lie directly below one folder, for each such folder, into a file there that is read as they
    are. Returns 4 where a run is damaged, and packs nothing then, else 0.

    `remove`: the packed folders are removed, after all of the pack was read back. Raises ValueError for a folder that
    is not there.
    """
    for folder in folders:
        if is_store(folder):
            raise ValueError(f"pack works on folders of this machine; got {shown(folder)!r}")
    runs: dict[Path, list[Path]] = {}
    faults = 0
    for found in each_run(existing(folders)):
        if isinstance(found, Path):
            say(one_line(f"{found}: unfinished, stays as it is"))
            continue
        reasons = [found.reason] if isinstance(found, Damage) else list(file_faults(found))
        faults += len(reasons)
        for reason in reasons:
            complain(f"{found.folder}: {reason}")
        if found.folder.is_dir():  # else it is packed already
            runs.setdefault(found.folder.parent, []).append(found.folder)
    if faults:
        complain(f"suite results: nothing was packed; {faults} faults")
        return BROKEN
    for folder, of_folder in runs.items():
        with alone_in(folder):
            if not (packed := list(filter(_is_nothing_but_a_run, of_folder))):
                continue
            try:
                nbytes = write_pack(folder, packed)
            except CorruptRecordError as error:
                complain(f"suite results: {folder} was not packed: {error}")
                return BROKEN
            for run in packed if remove else ():
                remove_run(run)
        say(one_line(f"{folder / PACK}: {len(packed)} runs, {numbers.bytes_iec(nbytes)}{', removed' * remove}"))
    return DONE


def _is_nothing_but_a_run(folder: Path) -> bool:
    named = [inner / name for inner, names in folders_below(folder, []) for name in names]
    parts = [part for part in named if part.is_symlink() or not part.is_dir()]
    others = sorted({part.relative_to(folder).as_posix() for part in parts} - {RECORD, *FILES})
    if others:
        say(one_line(f"{folder}: stays as it is, since it holds {', '.join(others)}"))
    return not others


def _merged(
    folders: Mapping[Path, Path], torn: Sequence[Damage], into: Path, *, copy: Callable[[StoredRecord], object]
) -> int:
    """Copy the whole runs. `folders`: by the folder that is read, the source that it stands for."""

    def named(folder: Path) -> str:
        of = next((read for read in folders if folder.is_relative_to(read)), None)
        return shown(folder if of is None else folders[of] / folder.relative_to(of))

    copied, known, left_out = 0, 0, list[Path]()
    there, copies = set[str](), Copies()  # digests of the runs that lie there, and their timings: none may come again
    for run in each_run([into]):
        if isinstance(run, StoredRecord):
            there.add(file_digest(run.folder / RECORD))
            copies.remember(run)
    for run in whole_runs(chain(torn, each_run(folders)), copies, left_out, named):
        if run.withdrawal:
            complain(f"left out, {run.withdrawal.said}: {named(run.folder)}")
        elif (digest := file_digest(run.folder / RECORD)) in there:
            known += 1
        else:
            copy(run)
            there.add(digest)
            copied += 1
    say(one_line(f"{copied} runs copied into {shown(into)}; {known} were there already"))
    return BROKEN if left_out else DONE


def _read(folders: Sequence[Path]) -> Contents:
    return read_contents(existing(folders), with_readings=False)


def _copy(run: StoredRecord, into: Path) -> None:
    """Copy a run into a folder that is new, so that nothing is overwritten; the record last: it is the commit point.
    What cannot be copied whole leaves nothing."""
    with claim_new_folder(into, run.record.run_key) as claim:
        try:
            for name in (*dict.fromkeys((SAMPLES, *run.record.files)), RECORD):
                (claim.folder / name).parent.mkdir(exist_ok=True)
                write_whole(claim.folder / name, read_blocks(run.folder / name))
        except BaseException:
            shutil.rmtree(claim.folder, ignore_errors=True)
            raise


def _text(facts: Mapping[str, Any], name: str) -> str:
    value = facts.get(name)
    return value if isinstance(value, str) else numbers.NOTHING
