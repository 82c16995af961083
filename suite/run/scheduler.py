"""The order of jobs: which run at all, which run side by side, and the exit code of all together.

A job that an earlier run of the same key has answered is not run again. Threads of the parent, which holds no torch,
each follow a slot of the launcher: they wait for what it measures, and write it. A signal reaches the main thread
alone, so that one does nothing but wait for the others, and end them.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Condition

from suite.machine.signals import Interruptions
from suite.machine.streams import INTERRUPTED
from suite.machine.temporary import remove_abandoned
from suite.measure.worker import TaskInterruptedError
from suite.records.record import Record, Status
from suite.records.stores.claim import claim_folder
from suite.run.cached import Notice
from suite.run.job import Job
from suite.run.launchers.launcher import CaseSlot, Launcher, LocalLauncher, SlotLostError
from suite.run.recorder import Listener, SharedState, write_measured

Takes = Callable[[Job], bool]
LOOK_EVERY_S = 0.1
"""The longest time until an interruption is seen. Windows does not interrupt a wait without end."""


@dataclass(frozen=True, kw_only=True)
class SweepOutcome:
    """The records of a sweep or a single case, and whether all of it ran."""

    records: Sequence[Record]
    was_interrupted: bool
    left: int = 0
    """Cases that did not run, since nothing was left that they could run on."""

    def exit_code(self, *, is_sweep: bool) -> int:
        """1 for a bad answer, 3 where nothing can be judged, 130 for an interruption, else 0."""
        counts = Counter(record.status for record in self.records)
        if self.was_interrupted or counts[Status.INTERRUPTED]:
            return INTERRUPTED
        if counts[Status.FAILED] or counts[Status.INCORRECT]:
            return 1
        if self.left or counts[Status.OUT_OF_MEMORY] or (not is_sweep and not counts[Status.OK]):
            return 3  # a single case that is unsupported, or that another process is running
        return 0


def execute(
    jobs: Sequence[Job],
    *,
    folder: Path,
    resume: bool,
    listener: Listener,
    workers: int = 1,
    launcher: Launcher | None = None,
) -> SweepOutcome:
    """Run jobs, each in a process, one after another or in several slots side by side; one that occurs twice runs once.

    With `resume` a record with the same run key is taken over instead of running the job again. The listener is told of
    everything, one call at a time. Without a launcher `workers` of this process run them.
    """
    launcher = launcher or LocalLauncher(workers=workers)
    unique = {job.case.id: job for job in jobs}
    cached = launcher.find_cached(list(unique.values()), folder) if resume else {}
    missing = [job for id, job in unique.items() if id not in cached]
    state = SharedState(listener=listener, workers=launcher.workers, resume=resume)
    records = [stored.record for stored in cached.values()]
    for record in records:
        state.turns.note(record)
    done = [
        (unique[id], "" if launcher.is_here else str(stored.record.environment.get("machine_id")))
        for id, stored in cached.items()
    ]
    was_interrupted, left = False, len(missing)
    with Interruptions() as interruptions:
        try:
            if removed := remove_abandoned():
                state.notice(removed)
            if cached:
                listener.recorded(list(cached.values()))
            if missing:
                with launcher.slots(missing, state) as slots:
                    queue = JobQueue(missing, slots=len(slots), done=done, notice=state.notice)
                    sweep = _Sweep(state, folder, queue, records)
                    try:
                        sweep.follow_all(slots, interruptions)
                    finally:
                        left = queue.left
        except KeyboardInterrupt:
            was_interrupted = True
    return SweepOutcome(records=records, was_interrupted=was_interrupted, left=left)


@dataclass(frozen=True)
class _Sweep:
    """Jobs that wait, and the records of those that ran."""

    state: SharedState
    folder: Path
    queue: "JobQueue"
    records: list[Record]

    def follow_all(self, slots: Sequence[CaseSlot], interruptions: Interruptions) -> None:
        """Run the jobs of the queue in the slots until there are none. Raises KeyboardInterrupt."""

        def stop() -> None:
            self.queue.stop()
            for slot in slots:
                slot.interrupt()

        run_all([partial(self._follow, slot) for slot in slots], stop=stop, interruptions=interruptions)

    def _follow(self, slot: CaseSlot) -> None:
        """Run jobs of the queue in a slot until none is left. A job whose slot was lost goes back to the queue."""
        queue = self.queue
        with slot, queue.leaving(slot):
            while slot.is_ready(lambda: queue.is_over):
                queue.enter(slot, slot.machine, slot.takes)
                if (job := queue.take(slot)) is None:
                    return
                try:
                    record = self._run_or_find(slot, job)
                except SlotLostError as lost:
                    queue.put_back(job)
                    self.state.notice(f"{lost}; run again: {job.case.id}")
                else:
                    self.records.extend([record] if record is not None else [])
                    queue.finish(job)

    def _run_or_find(self, slot: CaseSlot, job: Job) -> Record | None:
        """The record of a job that runs now, or that another process has run; None while another one runs it, and for
        one that was interrupted and left nothing to record."""
        # Looked for again: another process may be running the same sweep into the same folder.
        is_again = job.case.id in self.queue.again
        if not is_again and (record := self._recorded_by_another(slot, job, notice=self.state.notice)) is not None:
            return record
        listener = self.state.listener
        with ExitStack() as locks:
            is_first = slot.is_first(job, self.folder, locks)
            claim = claim_folder(self.folder, slot.run_key(job)) if is_first else None
            if claim is None:
                with self.state.print_lock:
                    listener.elsewhere(job.case)
                return None
            locks.enter_context(claim)
            # And once more: whoever had the claim may have ended between the look and it.
            if not is_again and (record := self._recorded_by_another(slot, job)) is not None:
                return record
            with self.state.print_lock:
                listener.started(job.case)
            try:
                measured = slot.measure(job, claim.folder)
            except TaskInterruptedError:
                return None
            return write_measured(self.state, measured, claim)

    def _recorded_by_another(self, slot: CaseSlot, job: Job, *, notice: Notice | None = None) -> Record | None:
        """The record of a job that another process has run meanwhile, which is told of; None where there is none."""
        stored = slot.find_cached(job, self.folder, notice=notice) if self.state.resume else None
        if stored is None:
            return None
        with self.state.print_lock:
            self.state.listener.recorded([stored], by_another=True)
        return stored.record


class JobQueue:
    """Hands each job out once, to whichever slot asks next. One that came to nothing comes back.

    Cases that are compared with one another (`Job.comparison`) go to one machine, which ends what it has begun before
    it begins another comparison. If it is lost before that, another machine runs all of them, those that are recorded
    too. `done`: jobs that earlier runs answered, and the machines that did.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        slots: int = 1,
        done: Sequence[tuple[Job, str]] = (),
        notice: Notice = lambda text: None,
    ) -> None:
        self._waiting = deque(jobs)
        self._changed = Condition()
        self._running = 0
        self._is_stopped = False
        self._starting, self._notice = slots, notice
        self._slots: dict[object, tuple[str, Takes]] = {}
        self._machines: dict[Hashable, str] = {job.comparison: machine for job, machine in done}
        """The machine that has begun cases which are compared with one another."""
        self._done = defaultdict[Hashable, list[Job]](list)
        self.again = set[str]()
        """Ids of cases that were done on a machine that was lost, so that their records are no answer."""
        self.left = len(self._waiting)
        for job, _ in done:
            self._done[job.comparison].append(job)

    def enter(self, slot: object, machine: str, takes: Takes) -> None:
        """Take note of the machine that a slot is on, and of the jobs that it takes."""
        with self._changed:
            self._starting -= slot not in self._slots
            self._slots[slot] = machine, takes
            self._free_orphans()
            self._changed.notify_all()

    @contextmanager
    def leaving(self, slot: object) -> Iterator[None]:
        """Take note, at the end, that a slot takes no more jobs."""
        try:
            yield
        finally:
            self.enter(slot, "", lambda job: False)

    def take(self, slot: object) -> Job | None:
        """The next job for a slot that has entered; None where none is left.

        Waits while one that was handed out, or that is another machine's, may yet come back.
        """
        machine, takes = self._slots[slot]
        with self._changed:
            while not self._is_stopped:
                if (place := self._choose(machine, takes)) is not None:
                    job = self._waiting[place]
                    del self._waiting[place]
                    self._machines[job.comparison] = machine
                    self._running += 1
                    return job
                if not self._running and not any(map(takes, self._waiting)):
                    return None
                self._changed.wait()
        return None

    def _choose(self, machine: str, takes: Takes) -> int | None:
        """The place of the first job whose comparison the machine has begun, or else of the first that none has. Where
        all run on this machine it is the first."""
        free = None
        for place, job in enumerate(self._waiting):
            if takes(job):
                owner = self._machines.get(job.comparison)
                if owner == machine or (owner is None and not machine):
                    return place
                if owner is None and free is None:
                    free = place
        return free

    def _free_orphans(self) -> None:
        """Let any machine have the jobs that no slot of their machine takes, once all slots have begun."""
        if self._starting > 0 or self._is_stopped:  # after Ctrl-C slots leave too, and nothing is handed out again
            return
        for comparison in {job.comparison for job in self._waiting if job.comparison in self._machines}:
            orphans = [job for job in self._waiting if job.comparison == comparison]
            there = [takes for machine, takes in self._slots.values() if machine == self._machines[comparison]]
            if not any(takes(job) for takes in there for job in orphans):
                again = self._done.pop(comparison, [])
                del self._machines[comparison]
                if again:
                    self._notice(
                        f"a machine was lost; run again, with what they are compared with: {len(again)} cases such as "
                        f"{again[0].case.id}"
                    )
                self._waiting.extendleft(reversed(again))
                self.again.update(job.case.id for job in again)
                self.left += len(again)

    def finish(self, job: Job) -> None:
        """Take note that a job that was handed out is done."""
        with self._changed:
            self._running -= 1
            self.left -= 1
            self._done[job.comparison].append(job)
            self._changed.notify_all()

    def put_back(self, job: Job) -> None:
        """Take back a job that came to nothing, to be handed out again before all others."""
        with self._changed:
            self._running -= 1
            self._waiting.appendleft(job)
            self._changed.notify_all()

    @property
    def is_over(self) -> bool:
        """True if nothing is handed out any more."""
        with self._changed:
            return self._is_stopped or not (self._waiting or self._running)

    def stop(self) -> None:
        """Hand out nothing any more."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()


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
