"""Slots that a launcher gives the scheduler, in each of which cases run one after another; and the launcher of this
machine.

The scheduler keeps the queue, the claims and the exit code, and follows each slot by a thread of its own. A launcher
says how many slots there are and what a case in one of them is measured by.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from suite.configuration.files import choices, locate
from suite.configuration.values import whole_number
from suite.machine.code import code_named_in
from suite.machine.limits import most_threads
from suite.measure.worker import CaseWorker
from suite.records.stores.store import StoredRecord
from suite.run.cached import Notice, find_cached_record
from suite.run.compose.point import SweepPoint
from suite.run.job import Job
from suite.run.recorder import COMPLAINTS, MeasuredCase, SharedState, WorkerSlot, measure

LAUNCHER, WORKERS = "launcher", "workers"


class SlotLostError(Exception):
    """A slot went while a case ran in it, which is to be run again; the message says what happened."""


class CaseSlot:
    """A place where cases run one after another, followed by one thread: here a worker of this process.

    Use as a context manager."""

    def __init__(self, slot: WorkerSlot) -> None:
        self._slot = slot

    def __enter__(self) -> "CaseSlot":
        self._slot.worker.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._slot.worker.__exit__(None, None, None)

    def is_ready(self, is_over: Callable[[], bool]) -> bool:
        """Wait until a case can run here; False where none ever will. `is_over`: asked whether one is left at all."""
        return True

    def takes(self, job: Job) -> bool:
        """Whether the case can run here."""
        return True

    @property
    def machine(self) -> str:
        """The machine that cases run on now, once the slot is ready; empty for this one."""
        return ""

    def find_cached(self, job: Job, folder: Path, notice: Notice | None = None) -> StoredRecord | None:
        """The record that answers the case here."""
        return find_cached_record(job, folder, notice)

    def run_key(self, job: Job) -> str:
        """The run key of a record that is made here."""
        return job.run_key

    def is_first(self, job: Job, parent: Path, locks: ExitStack) -> bool:
        """Keep other machines from the case until `locks` is left; False if one of them runs it in the same folder."""
        return True  # no other machine's record would answer it

    def measure(self, job: Job, folder: Path) -> MeasuredCase:
        """Run the case. Raises SlotLostError, and TaskInterruptedError where there is nothing to record."""
        return measure(self._slot, job, complaints=folder / COMPLAINTS, shared=folder.parent)

    def interrupt(self) -> None:
        """End the case that runs, and every later one, from any thread."""
        self._slot.worker.interrupt()


class Launcher(Protocol):
    """Constructed with its own settings, and the `workers` that were asked for, or None."""

    workers: int
    """Cases that run side by side now, as far as that is known."""
    is_here: bool
    """True if all run on this machine, so that their run keys are known before they do."""

    def check(self, jobs: Sequence[Job]) -> None:
        """Raise ValueError, in one sentence, for jobs that cannot run so."""

    def find_cached(self, jobs: Sequence[Job], folder: Path) -> Mapping[str, StoredRecord]:
        """The records that answer jobs, by case id, before anything is started."""

    def slots(self, jobs: Sequence[Job], state: SharedState) -> AbstractContextManager[Sequence[CaseSlot]]:
        """Start what runs the jobs, at least one; leaving the context ends it.

        Raises CommandFailedError where nothing can be started.
        """


class LocalLauncher:
    """Workers of this process, several side by side where that disturbs no figure."""

    is_here = True

    def __init__(self, settings: Mapping[str, Any] | None = None, workers: int | None = None) -> None:
        self.workers = workers or 1

    def check(self, jobs: Sequence[Job]) -> None:
        """Raise ValueError if several workers would run timed cases, share a GPU or need too many CPUs."""
        for job in jobs if self.workers > 1 else ():
            name, most = job.settings["workload"]["name"], max(1, most_threads() // job.plan.threads)
            limit = f"1 for device={job.plan.device}, which they would share"
            if not job.is_course:
                why = "which runs nothing" if job.is_projection else "whose cases are timed alone"
                limit = f"1 for workload={name}, {why}"
            elif job.plan.device == "cpu":
                limit = (
                    f"at most {most} for threads={job.plan.threads} on the {most_threads()} CPUs that this process may "
                    "use at once"
                )
                if self.workers <= most:
                    continue
            raise ValueError(f"workers must be {limit}; got {self.workers}")

    def find_cached(self, jobs: Sequence[Job], folder: Path) -> Mapping[str, StoredRecord]:
        """The records in the folder that answer jobs, by case id."""
        return {job.case.id: stored for job in jobs if (stored := find_cached_record(job, folder))}

    @contextmanager
    def slots(self, jobs: Sequence[Job], state: SharedState) -> Iterator[Sequence[CaseSlot]]:
        """Slots of this machine, one a worker, whose processes are started when a slot is entered."""
        workers = [CaseWorker(preload=own_modules(jobs), say=state.notice) for _ in range(self.workers)]
        yield [CaseSlot(WorkerSlot(state=state, worker=worker)) for worker in workers]


def chosen_launcher(points: Sequence[SweepPoint]) -> Launcher:
    """The launcher that all points name. Raises ValueError where they do not agree, and for wrong settings."""
    options: list[Any] = [point.settings.get(LAUNCHER) for point in points]
    for option in options:
        if not (isinstance(option, Mapping) and "_target_" in option):
            raise ValueError(f"{LAUNCHER} must be one of {', '.join(choices(LAUNCHER))}; got {option!r}")
    _common_value([point.chosen.get(LAUNCHER) for point in points], LAUNCHER, "option")
    settings = {
        name: _common_value([option.get(name) for option in options], f"{LAUNCHER}.{name}") for name in options[0]
    }
    workers = _common_value([whole_number(point.settings, WORKERS, at_least=1) for point in points], WORKERS, "number")
    is_asked = any(WORKERS in point.named for point in points)
    launcher: Launcher = locate(settings["_target_"])(settings, workers if is_asked else None)
    return launcher


def _common_value(values: Sequence[Any], name: str, what: str = "value") -> Any:
    """The value that all points have. Raises ValueError, about the setting `name`, where they differ."""
    different = [value for place, value in enumerate(values) if value not in values[:place]]
    if len(different) > 1:
        raise ValueError(f"{name} must be one {what} for the whole sweep; got {', '.join(map(str, different))}")
    return different[0]


def own_modules(jobs: Sequence[Job]) -> list[str]:
    """Modules that the workers will need. Other packages' that settings name are left to their case, which may fail
    alone."""
    modules, others = set[str](), {"numpy.ma"}  # the first median imports it: 15 ms of processor time a case
    for case in (job.settings for job in jobs if not job.is_projection):
        options = [option for option in case.values() if isinstance(option, Mapping)]
        modules.update(str(option.get("_target_", "")).rpartition(".")[0] for option in options)
        modules |= code_named_in(case["workload"].get("reaches"))
        if case["workload"].get("course"):
            others.add("torch._dynamo")  # torch's first optimiser imports it: 1.7 s
    return sorted(others.union(module for module in modules if module.startswith("suite.")))
