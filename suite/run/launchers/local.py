"""Cases on this machine: each in a worker of this process, several side by side where that disturbs no figure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from suite.measure.worker import CaseWorker
from suite.records.machine.limits import most_threads
from suite.records.stores.store import StoredRecord
from suite.run.cached import Notice, find_cached_record
from suite.run.job import Job
from suite.run.launchers.launcher import own_modules
from suite.run.recorder import COMPLAINTS, Measured, SharedState, WorkerSlot, measure


@dataclass(frozen=True, kw_only=True)
class LocalSlot:
    """A worker of this process."""

    slot: WorkerSlot

    def __enter__(self) -> "LocalSlot":
        self.slot.worker.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.slot.worker.__exit__(kind, error, trace)

    def is_ready(self, is_over: Callable[[], bool]) -> bool:
        return True

    def takes(self, job: Job) -> bool:
        return True

    def find_cached(self, job: Job, folder: Path, notice: Notice | None = None) -> StoredRecord | None:
        return find_cached_record(job, folder, notice)

    def run_key(self, job: Job) -> str:
        return job.run_key

    def is_first(self, job: Job, parent: Path, held: ExitStack) -> bool:
        return True  # no other machine's record would answer it

    def measure(self, job: Job, folder: Path) -> Measured:
        return measure(self.slot, job, complaints=folder / COMPLAINTS, shared=folder.parent)

    def interrupt(self) -> None:
        self.slot.worker.interrupt()


class LocalLauncher:
    """Workers of this process."""

    is_here = True

    def __init__(self, settings: Mapping[str, Any] | None = None, workers: int | None = None) -> None:
        self.workers = workers or 1

    def check(self, jobs: Sequence[Job]) -> None:
        refuse_workers(jobs, self.workers)

    def find_cached(self, jobs: Sequence[Job], folder: Path) -> Mapping[str, StoredRecord]:
        return {job.case.id: stored for job in jobs if (stored := find_cached_record(job, folder))}

    @contextmanager
    def slots(self, jobs: Sequence[Job], state: SharedState) -> Iterator[Sequence[LocalSlot]]:
        workers = [CaseWorker(preload=own_modules(jobs), say=state.notice) for _ in range(self.workers)]
        yield [LocalSlot(slot=WorkerSlot(state=state, worker=worker)) for worker in workers]


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
