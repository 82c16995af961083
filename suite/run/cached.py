"""Which stored record answers a job, so that it is not run again."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from suite.machine.plain_text import one_line
from suite.records.derived import started_at
from suite.records.record import REFUSED_UNRUN, CorruptRecordError, Record, Status
from suite.records.stores.claim import run_folders
from suite.records.stores.store import StoredRecord, each_run, has_record, read_record
from suite.records.stores.walk import Damage
from suite.run.job import Job

Notice = Callable[[str], None]
ANSWERS = (Status.OK, Status.INCORRECT, Status.UNSUPPORTED)
"""Statuses that follow from the case, the code and the machine, so that running it again would give the same."""


def find_cached_record(job: Job, folder: Path, notice: Notice | None = None) -> StoredRecord | None:
    """The newest whole record of the job's run key, if it answers it.

    A record that failed, ran out of memory or was cut short does not; nor one that was refused unrun and
    would not be refused now. `notice`: told of a record that cannot be read.
    """
    newest = newest_with_key(job.run_key, folder, notice)
    is_usable = newest is not None and is_answer(newest.record, is_refused=job.refusal is not None)
    return newest if is_usable else None


def newest_with_key(run_key: str, folder: Path, notice: Notice | None = None) -> StoredRecord | None:
    """The newest whole record of a run key, whatever became of it."""
    existing = takewhile(lambda place: place.exists() or has_record(place), run_folders(folder, run_key))
    for run_folder in reversed(list(existing)):
        try:
            record = read_record(run_folder) if has_record(run_folder) else None
        except CorruptRecordError as error:
            if notice is not None:
                notice(one_line(f"{run_folder}: damaged, so the case is run again: {error}"))
            continue
        if record is not None and record.run_key == run_key:
            return StoredRecord(record=record, folder=run_folder)
    return None


def is_answer(record: Record, *, is_refused: bool) -> bool:
    """Whether a record need not be made again. `is_refused`: whether the case would be refused unrun now."""
    is_overtaken = record.provenance.get(REFUSED_UNRUN) is True and not is_refused
    return record.status in ANSWERS and not is_overtaken


def runs_by_case(folder: Path, notice: Notice) -> dict[str, list[StoredRecord]]:
    """By case id, the runs directly in a folder, without readings, the newest first."""
    by_case = defaultdict[str, list[StoredRecord]](list)
    for run in each_run([folder], with_readings=False) if folder.is_dir() else ():
        if isinstance(run, Damage):
            notice(one_line(f"{run.folder}: damaged, so the case is run again: {run.reason}"))
        elif isinstance(run, StoredRecord) and run.folder.parent == folder:
            by_case[run.record.case.id].append(run)
    return {id: sorted(runs, key=_age, reverse=True) for id, runs in by_case.items()}


def find_on_any_machine(
    job: Job, runs: Iterable[StoredRecord], codes: Collection[str], *, is_refused: bool
) -> StoredRecord | None:
    """The newest of the runs of a case, wherever it was measured, if it answers the job.

    `codes`: digests of the code that the case reaches, any of which will do. Its settings must be the job's.
    """
    for run in sorted(runs, key=_age, reverse=True):
        machine = str(run.record.environment.get("machine_id") or "")
        if run.record.run_key not in {job.run_key_on(machine, code) for code in codes}:
            continue
        if not is_answer(run.record, is_refused=is_refused):
            return None
        with suppress(CorruptRecordError):  # its readings; an older one may be whole, or it is measured again
            return StoredRecord(record=read_record(run.folder), folder=run.folder)
    return None


def _age(run: StoredRecord) -> tuple[str, str]:
    return started_at(run.record), run.folder.name
