"""Slots that a launcher gives the scheduler, in each of which cases run one after another.

The scheduler keeps the queue, the claims and the exit code, and follows each slot by a thread of its own. A launcher
says how many slots there are and what a case in one of them is measured by.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from suite.compose.point import SweepPoint
from suite.configuration.files import choices, locate
from suite.configuration.values import whole_number
from suite.records.stores.store import StoredRecord
from suite.run.cached import Notice
from suite.run.job import Job
from suite.run.recorder import Measured, SharedState

LAUNCHER, WORKERS = "launcher", "workers"


class SlotLostError(Exception):
    """A slot went while a case ran in it, which is to be run again; the message says what happened."""


class Slot(Protocol):
    """A place where cases run one after another, followed by one thread. Use as a context manager."""

    def __enter__(self) -> "Slot": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def is_ready(self, is_over: Callable[[], bool]) -> bool:
        """Wait until a case can run here; False where none ever will. `is_over`: asked whether one is left at all."""

    def takes(self, job: Job) -> bool:
        """Tell whether the case can run here."""

    def find_cached(self, job: Job, folder: Path, notice: Notice | None = None) -> StoredRecord | None:
        """Return the record that answers the case here."""

    def run_key(self, job: Job) -> str:
        """Return the run key of a record that is made here."""

    def is_first(self, job: Job, parent: Path, held: ExitStack) -> bool:
        """Keep other machines from the case until `held` is left; False where one of them runs it into the same
        place."""

    def measure(self, job: Job, folder: Path) -> Measured:
        """Run the case. Raises SlotLostError, and TaskInterruptedError where there is nothing to record."""

    def interrupt(self) -> None:
        """End the case that runs, and every later one, from any thread."""


class Launcher(Protocol):
    """Constructed with its own settings, and the `workers` that were asked for, or None."""

    workers: int
    """Cases that run side by side now, as far as that is known."""
    is_here: bool
    """True if all run on this machine, so that their run keys are known before they do."""

    def check(self, jobs: Sequence[Job]) -> None:
        """Raise ValueError, in one sentence, for jobs that cannot run so."""

    def find_cached(self, jobs: Sequence[Job], folder: Path) -> Mapping[str, StoredRecord]:
        """Return by case id the records that answer jobs, before anything is started."""

    def slots(self, jobs: Sequence[Job], state: SharedState) -> AbstractContextManager[Sequence[Slot]]:
        """Start what runs the jobs, at least one; leaving the context ends it.

        Raises CommandFailedError where nothing can be started.
        """


def launcher_of(points: Sequence[SweepPoint]) -> Launcher:
    """Make the launcher that all points name. Raises ValueError where they do not agree, and for wrong settings."""
    options = []
    for point in points:
        option = point.settings.get(LAUNCHER)
        if not (isinstance(option, Mapping) and "_target_" in option):
            raise ValueError(f"{LAUNCHER} must be one of {', '.join(choices(LAUNCHER))}; got {option!r}")
        options.append(option)
    _one([point.chosen.get(LAUNCHER) for point in points], LAUNCHER, "option")
    settings = {name: _one([option.get(name) for option in options], f"{LAUNCHER}.{name}") for name in options[0]}
    workers = _one([whole_number(point.settings, WORKERS, at_least=1) for point in points], WORKERS, "number")
    is_asked = any(WORKERS in point.named for point in points)
    launcher: Launcher = locate(settings["_target_"])(settings, workers if is_asked else None)
    return launcher


def own_modules(jobs: Sequence[Job]) -> list[str]:
    """Return modules that every worker will need. Other packages' are left to their case, which may fail alone."""
    workloads = [job.settings["workload"] for job in jobs if not job.is_projection]
    modules = {workload["_target_"].rpartition(".")[0] for workload in workloads}
    own = {module for module in modules if module.startswith("suite.")}
    # torch's first optimiser imports it, which takes a case of training 1.7 s of processor time.
    optimisers = {"torch._dynamo"} if any(workload.get("course") for workload in workloads) else set()
    return sorted(own | optimisers)


def _one(values: Sequence[Any], name: str, what: str = "value") -> Any:
    """What all have. Raises ValueError where they differ."""
    different = [value for place, value in enumerate(values) if value not in values[:place]]
    if len(different) > 1:
        raise ValueError(f"{name} must be one {what} for the whole sweep; got {', '.join(map(str, different))}")
    return different[0]
