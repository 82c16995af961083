"""Everything that can be wrong with a run that can be read: its name, its files, what it says of people, and whether
any machine can have given it. `suite results verify`, `merge` and `export` ask here."""

import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from suite.machine.environment import machine_id
from suite.machine.plain_text import complain
from suite.machine.privacy import Scrubber
from suite.records.derived import FIRST_YEAR, started_at
from suite.records.record import RECORD, TELEMETRY, CorruptRecordError, Record, Status
from suite.records.stores.claim import NAME_LENGTH
from suite.records.stores.store import PRIVATE_PARTS, SAMPLES, StoredRecord, file_digest
from suite.records.stores.telemetry import read_series
from suite.records.stores.walk import Damage
from suite.records.verify.rules import implausible_readings, implausible_series, impossible_timings


def whole_runs(
    runs: Iterable[StoredRecord | Damage | Path], left_out: list[Path], named: Callable[[Path], str] = str
) -> Iterator[StoredRecord]:
    """Yield the runs without a fault, and print why each other one is left out. `left_out`: takes the folders of those
    that are damaged or have a fault. `named`: how a folder is printed."""
    for run in runs:
        if isinstance(run, Path):
            complain(f"left out, unfinished: {named(run)}")
            continue
        reasons = reasons_against(run)
        for reason in reasons:
            complain(f"left out{', damaged' if isinstance(run, Damage) else ''}: {named(run.folder)}: {reason}")
        if isinstance(run, Damage) or reasons:
            left_out.append(run.folder)
        else:
            yield run


def reasons_against(run: StoredRecord | Damage) -> list[str]:
    """Why a run is refused: a sentence for each fault, or why it cannot be read."""
    if isinstance(run, Damage):
        return [run.reason]
    of_files = [*_fact_faults(run), *file_faults(run, is_judged=True), *_private_parts(run.record)]
    return [*of_files, *impossible_timings(run.record), *implausible_readings(run.record)]


def file_faults(run: StoredRecord, *, is_judged: bool = False) -> Iterator[str]:
    """Yield the faults of files beside the samples, which reading has compared already, and if `is_judged` those of
    what the telemetry says."""
    for name, digest in run.record.files.items():
        try:
            if name == TELEMETRY and is_judged:
                yield from implausible_series(run.record, run.folder)
            elif name == TELEMETRY:
                read_series(run.record, run.folder)
            elif name != SAMPLES and file_digest(run.folder / name) != digest:
                yield f"{name} is not the file that {RECORD} was written with"
        except CorruptRecordError as error:
            yield str(error)


@functools.cache
def _scrubber(is_ours: bool) -> Scrubber:
    """Kept, since it remembers the texts that it has cleaned: most records of a folder share theirs."""
    return Scrubber(is_ours=is_ours)


def _private_parts(record: Record) -> Iterator[str]:
    """Yield a sentence for each part of a record that holds a path, a secret or a private name."""
    is_ours = record.environment.get("machine_id") == machine_id()
    parts = {name: getattr(record, name) for name in PRIVATE_PARTS}
    parts["case"] = {**record.case.axes, **record.case.extras}
    for name, part in _scrubber(is_ours).clean_data(parts, is_free=False).items():
        if part != parts[name]:
            yield f"{name} holds a path{', a name' * is_ours} or a secret{' of this machine' * is_ours}"


def _fact_faults(run: StoredRecord) -> Iterator[str]:
    """Yield a sentence for each fact that cannot be: the folder's name, a missing reason, the time of the start."""
    record, begin = run.record, run.record.run_key[:NAME_LENGTH]
    if not run.folder.name.startswith(begin):
        yield f"the folder's name must begin with the first digits of its run key, {begin}"
    if record.status is not Status.OK and not record.reason:
        yield f"status {record.status} has no reason"
    if record.provenance.get("started_at") is not None and not started_at(record):
        yield f"started_at is no time between {FIRST_YEAR} and now, so that any other run counts as newer"
