"""Which jobs run, and what came of all: what an earlier run of the same key has answered is not run again."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path

from suite.console.progress import Terminal
from suite.measure.worker import Worker
from suite.process.signals import Interruptions
from suite.records.claim import claim_folder, run_folders
from suite.records.plain_text import one_line
from suite.records.record import REFUSED_UNRUN, CorruptRecordError, Record, Status
from suite.records.store import StoredRecord, has_record, read_record
from suite.records.temporary import remove_abandoned
from suite.run.job import Job
from suite.run.recorder import Kept, Lane, run_and_record
from suite.run.worker_slots import JobQueue, run_all

INTERRUPTED = 130
ANSWERS = (Status.OK, Status.INCORRECT, Status.UNSUPPORTED)
"""What follows from the case, the code and the machine, so that running it again would say the same."""


def execute(jobs: Sequence[Job], *, folder: Path, is_sweep: bool, resume: bool, workers: int = 1) -> int:
    """Run each case once, `workers` of them side by side, write its record below `folder`, and return the exit code.

    `resume`: what lies there already with the same run key is taken over instead of run again.
    """
    unique = {job.case.id: job for job in jobs}
    answered = {id: stored for id, job in unique.items() if resume and (stored := answer_of(job, folder))}
    missing = [job for id, job in unique.items() if id not in answered]
    records = [stored.record for stored in answered.values()]
    summaries = {job.case.workload: job.summarise for job in unique.values()}
    terminal = Terminal([job.case for job in unique.values()], is_sweep=is_sweep, workers=workers, summaries=summaries)
    kept, queue, preload = (
        Kept(terminal=terminal, workers=workers, resume=resume),
        JobQueue(missing),
        _own_modules(missing),
    )
    for record in records:
        kept.turns.took(record)
    lanes = [Lane(kept=kept, worker=Worker(preload=preload, say=kept.say)) for _ in range(workers)]

    def follow(lane: Lane) -> None:
        with lane.worker:
            while (job := queue.take()) is not None:
                record = _record_of(lane, job, folder, resume=resume)
                records.extend([record] if record is not None else [])

    def stop() -> None:
        queue.stop()
        for lane in lanes:
            lane.worker.interrupt()

    was_interrupted = False
    with Interruptions() as interruptions, terminal:
        try:
            if removed := remove_abandoned():
                kept.say(removed)
            terminal.recorded(list(answered.values()))
            run_all([partial(follow, lane) for lane in lanes], stop=stop, interruptions=interruptions)
        except KeyboardInterrupt:
            was_interrupted = True
    terminal.summary(folder)
    return INTERRUPTED if was_interrupted else exit_code(records, is_sweep=is_sweep)


def _record_of(lane: Lane, job: Job, folder: Path, *, resume: bool) -> Record | None:
    """Of a case that is run now, unless another process has just done so; None where that is still at it."""
    saying, terminal = lane.kept.saying, lane.kept.terminal
    # Looked for again: another process may be running the same sweep into the same folder.
    if resume and (stored := answer_of(job, folder, say=lane.kept.say)):
        with saying:
            terminal.recorded([stored], when="meanwhile, by another process")
        return stored.record
    claim = claim_folder(folder, job.run_key)
    if claim is None:
        with saying:
            terminal.held_elsewhere(job.case)
        return None
    with claim:
        return run_and_record(lane, job, claim)


def answer_of(job: Job, folder: Path, say: Callable[[str], None] | None = None) -> StoredRecord | None:
    """The newest whole record of the job's run key, if it answers it.

    What failed, ran out of memory or was cut short does not; nor what was refused unrun and would not be refused now.
    `say`: told of a record that cannot be read.
    """
    for run_folder in reversed(list(takewhile(_is_taken, run_folders(folder, job.run_key)))):
        try:
            record = read_record(run_folder) if has_record(run_folder) else None
        except CorruptRecordError as error:
            if say is not None:
                say(one_line(f"{run_folder}: damaged, so the case is run again: {error}"))
            continue
        if record is not None and record.run_key == job.run_key:
            is_overtaken = record.provenance.get(REFUSED_UNRUN) is True and job.refusal is None
            is_answer = record.status in ANSWERS and not is_overtaken
            return StoredRecord(record=record, folder=run_folder) if is_answer else None
    return None


def _is_taken(run_folder: Path) -> bool:
    return run_folder.exists() or has_record(run_folder)


def exit_code(records: Sequence[Record], *, is_sweep: bool) -> int:
    """What the statuses mean together, as interface: 1 a bad answer, 3 cannot judge, 130 interrupted."""
    counts = Counter(record.status for record in records)
    if counts[Status.INTERRUPTED]:
        return INTERRUPTED
    if counts[Status.FAILED] or counts[Status.INCORRECT]:
        return 1
    if counts[Status.OUT_OF_MEMORY] or (not is_sweep and not counts[Status.OK]):
        return 3  # a single case that is unsupported, or that another process is running
    return 0


def _own_modules(jobs: Sequence[Job]) -> list[str]:
    """Modules that every worker will need. Other packages' are left to their case: if one fails, the rest go on."""
    modules = {job.settings["workload"]["_target_"].rpartition(".")[0] for job in jobs if not job.is_projection}
    return sorted(module for module in modules if module.startswith("suite."))
