"""The order of jobs: which run at all, which run side by side, and the exit code of all together.

A job that an earlier run of the same key has answered is not run again. Threads of the parent, which holds no torch,
each follow a worker: they wait for its messages, and write them. A signal reaches the main thread alone, so that one
does nothing but wait for the others, and end them.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path

from suite.measure.worker import Worker
from suite.process.signals import Interruptions
from suite.process.streams import INTERRUPTED
from suite.records.claim import run_folders
from suite.records.limits import most_threads
from suite.records.plain_text import one_line
from suite.records.record import REFUSED_UNRUN, CorruptRecordError, Record, Status
from suite.records.store import StoredRecord, has_record, read_record
from suite.records.stores.folder import ResultsFolder, results_folder
from suite.records.stores.place import shown
from suite.records.temporary import remove_abandoned
from suite.run.job import Job
from suite.run.recorder import Listener, SharedState, WorkerSlot, run_and_record

ANSWERS = (Status.OK, Status.INCORRECT, Status.UNSUPPORTED)
"""Statuses that follow from the case, the code and the machine, so that running it again would give the same."""
LOOK_EVERY_S = 0.1
"""The longest time until an interruption is seen. Windows does not interrupt a wait without end."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The records of a sweep or a single case, and whether all of it ran."""

    records: Sequence[Record]
    was_interrupted: bool

    def exit_code(self, *, is_sweep: bool) -> int:
        """Return 1 for a bad answer, 3 where nothing can be judged, 130 for an interruption, else 0."""
        counts = Counter(record.status for record in self.records)
        if self.was_interrupted or counts[Status.INTERRUPTED]:
            return INTERRUPTED
        if counts[Status.FAILED] or counts[Status.INCORRECT]:
            return 1
        if counts[Status.OUT_OF_MEMORY] or (not is_sweep and not counts[Status.OK]):
            return 3  # a single case that is unsupported, or that another process is running
        return 0


def execute(jobs: Sequence[Job], *, folder: Path, resume: bool, listener: Listener, workers: int = 1) -> Outcome:
    """Run each job once, `workers` of them side by side, and write its record below `folder`, or into the store that
    this mirrors.

    `resume`: a record with the same run key is taken over instead of running the job again. The listener is told of
    everything, one call at a time.
    """
    unique, results = {job.case.id: job for job in jobs}, results_folder(folder)
    results.prepare([job.run_key for job in unique.values()])
    folder = results.folder
    cached = {id: stored for id, job in unique.items() if resume and (stored := find_cached_record(job, folder))}
    missing = [job for id, job in unique.items() if id not in cached]
    records = [stored.record for stored in cached.values()]
    state = SharedState(listener=listener, workers=workers, resume=resume)
    for record in records:
        state.turns.took(record)
    queue, preload = JobQueue(missing), _own_modules(missing)
    slots = [WorkerSlot(state=state, worker=Worker(preload=preload, say=state.notice)) for _ in range(workers)]

    def follow(slot: WorkerSlot) -> None:
        with slot.worker:
            while (job := queue.take()) is not None:
                record = _record_of(slot, job, results)
                records.extend([record] if record is not None else [])

    def stop() -> None:
        queue.stop()
        for slot in slots:
            slot.worker.interrupt()

    was_interrupted = False
    with Interruptions() as interruptions:
        try:
            if removed := remove_abandoned():
                state.notice(removed)
            if cached:
                listener.recorded(list(cached.values()))
            run_all([partial(follow, slot) for slot in slots], stop=stop, interruptions=interruptions)
        except KeyboardInterrupt:
            was_interrupted = True
    return Outcome(records=records, was_interrupted=was_interrupted)


def refuse_workers(jobs: Sequence[Job], workers: int) -> None:
    """Raise ValueError, in one sentence, for cases that would disturb each other's figures."""
    for job in jobs if workers > 1 else ():
        name = job.settings["workload"]["name"]
        if not job.is_course:
            why = "which runs nothing" if job.is_projection else "whose cases are timed alone"
            raise ValueError(f"workers must be 1 for workload={name}, {why}; got {workers}")
        if job.plan.device != "cpu":
            raise ValueError(f"workers must be 1 for device={job.plan.device}, which they would share; got {workers}")
        most = max(1, most_threads() // job.plan.threads)
        if workers > most:
            raise ValueError(
                f"workers must be at most {most} for threads={job.plan.threads} on the {most_threads()} CPUs that this "
                f"process may use at once; got {workers}"
            )


def find_cached_record(job: Job, folder: Path, notice: Callable[[str], None] | None = None) -> StoredRecord | None:
    """Return the newest whole record of the job's run key, if it answers it.

    A record that failed, ran out of memory or was cut short does not; nor one that was refused unrun and would not be
    refused now. `notice`: told of a record that cannot be read.
    """
    for run_folder in reversed(list(takewhile(_is_taken, run_folders(folder, job.run_key)))):
        try:
            record = read_record(run_folder) if has_record(run_folder) else None
        except CorruptRecordError as error:
            if notice is not None:
                notice(one_line(f"{shown(run_folder)}: damaged, so the case is run again: {error}"))
            continue
        if record is not None and record.run_key == job.run_key:
            is_overtaken = record.provenance.get(REFUSED_UNRUN) is True and job.refusal is None
            is_answer = record.status in ANSWERS and not is_overtaken
            return StoredRecord(record=record, folder=run_folder) if is_answer else None
    return None


def _record_of(slot: WorkerSlot, job: Job, results: ResultsFolder) -> Record | None:
    """Return the record of a job that runs now, or that another process has run; None while another one runs it."""
    state = slot.state
    # Looked for again: another process may be running the same sweep into the same folder.
    results.look_again(job.run_key)
    if state.resume and (stored := find_cached_record(job, results.folder, notice=state.notice)):
        with state.print_lock:
            state.listener.recorded([stored], by_another=True)
        return stored.record
    claim = results.claim(job.run_key)
    if claim is None:
        with state.print_lock:
            state.listener.elsewhere(job.case)
        return None
    with claim:
        return run_and_record(slot, job, claim)


def _is_taken(run_folder: Path) -> bool:
    return run_folder.exists() or has_record(run_folder)


def _own_modules(jobs: Sequence[Job]) -> list[str]:
    """Return modules that every worker will need. Other packages' are left to their case, which may fail alone."""
    workloads = [job.settings["workload"] for job in jobs if not job.is_projection]
    modules = {workload["_target_"].rpartition(".")[0] for workload in workloads}
    own = {module for module in modules if module.startswith("suite.")}
    # torch's first optimiser imports it, which takes a case of training 1.7 s of processor time.
    optimisers = {"torch._dynamo"} if any(workload.get("course") for workload in workloads) else set()
    return sorted(own | optimisers)


class JobQueue:
    """Hands each job out once, in order, to whichever thread asks next."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._waiting = deque(jobs)

    def take(self) -> Job | None:
        """Return the next job; None where none is left."""
        try:
            return self._waiting.popleft()  # which no other thread can come between
        except IndexError:
            return None

    def stop(self) -> None:
        """Hand out nothing any more."""
        self._waiting.clear()


def run_all(parts: Sequence[Callable[[], None]], *, stop: Callable[[], None], interruptions: Interruptions) -> None:
    """Run each part in a thread of its own, until all have ended.

    An interruption, or an error in one of them, calls `stop`, which must end the others; it is raised when they have.
    """

    def until_it_fails(part: Callable[[], None]) -> None:
        try:
            part()
        except BaseException:
            stop()
            raise

    with interruptions.deferred(), ThreadPoolExecutor(len(parts)) as threads:
        running = [threads.submit(until_it_fails, part) for part in parts]
        while wait(running, timeout=LOOK_EVERY_S).not_done:
            if interruptions.is_pending:
                stop()
    for part in running:
        part.result()
