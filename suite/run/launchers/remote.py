"""The inside of a worker on another machine: it measures cases, and gives their records as bytes.

What a record says of its machine, its code and its clocks is said here. Nothing is written but into a temporary folder
of this machine, so no file system need be shared with whoever asks. Knows nothing of Ray: it is a plain class.
"""

import pickle
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from multiprocessing import forkserver
from typing import Any

from suite.machine.code import code_digest
from suite.machine.environment import environment, source_digest
from suite.machine.privacy import scrubbed
from suite.machine.temporary import remove_abandoned, temporary_folder
from suite.measure.worker import FORKS, CaseWorker
from suite.records.case import Case
from suite.records.record import Record
from suite.records.stores.store import PRIVATE_PARTS
from suite.run.job import Job, planned
from suite.run.launchers.cores import Cores, own_cores
from suite.run.recorder import COMPLAINTS, MachineState, MeasuredCase, WorkerSlot, measure

CPU = "cpu"


@dataclass(frozen=True, kw_only=True)
class Errand:
    """A job as it travels: its plan is made anew where it runs, by the code that lies there."""

    case: Case
    settings: Mapping[str, Any]
    overrides: Sequence[str]

    @classmethod
    def of(cls, job: Job) -> "Errand":
        """The parts of a job that travel to another machine."""
        return cls(case=job.case, settings=job.settings, overrides=job.overrides)

    def job(self) -> Job:
        """Make the job again, with a plan by the code that lies here."""
        return planned(self.case, self.settings, self.overrides)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Terms on which a worker is made."""

    launcher: str
    device: str
    """cpu, where it has cores of its own, or the device that whoever started it has given it alone."""
    threads: int
    """The most that a case has."""
    side_by_side: int
    """Workers of the sweep on this machine that measure processor time or share its memory."""
    workers: int
    """Workers of the sweep on all machines."""
    resume: bool
    preload: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Description:
    """Facts that a worker tells of itself before its first case."""

    source_digest: str
    environment: Mapping[str, Any]
    code_digests: Mapping[str, str]
    """Digests by case id, as a record of the case has them here."""
    refusals: Mapping[str, str]
    """Reasons by case id, of those that cannot run here."""
    notices: Sequence[str]

    @property
    def machine_id(self) -> str:
        return str(self.environment["machine_id"])


@dataclass(frozen=True, kw_only=True)
class RemoteAnswer:
    """A measured case, and sentences about what was unusual."""

    measured: MeasuredCase
    notices: Sequence[str]


class RemoteWorker:
    """A worker with its cores and its folder, which stays warm between cases. All that goes in and out is bytes."""

    def __init__(self, terms: bytes) -> None:
        self._terms: Terms = pickle.loads(terms)
        self._notices: list[str] = []
        self._stack = ExitStack()
        if removed := remove_abandoned():
            self._notices.append(removed)
        is_on_cpu = self._terms.device == CPU
        self._folder = self._stack.enter_context(temporary_folder("worker"))
        self._cores = self._stack.enter_context(own_cores(self._terms.threads)) if is_on_cpu else Cores()
        worker = self._stack.enter_context(CaseWorker(preload=self._terms.preload, say=self._notices.append))
        # A device that a worker has alone is not shared by those beside it.
        state = MachineState(workers=self._terms.side_by_side if is_on_cpu else 1, resume=self._terms.resume)
        self._slot = WorkerSlot(state=state, worker=worker)

    def describe(self, errands: bytes) -> bytes:
        """The pickled Description, given pickled errands."""
        jobs = [errand.job() for errand in pickle.loads(errands)]
        return pickle.dumps(
            Description(
                source_digest=source_digest(),
                environment=environment(),
                code_digests={job.case.id: code_digest(job.settings) for job in jobs},
                refusals={job.case.id: job.refusal for job in jobs if job.refusal is not None},
                notices=self._take_notices(),
            )
        )

    def measure(self, errand: bytes) -> bytes:
        """Run a case; return the pickled RemoteAnswer, given its pickled errand."""
        job: Job = pickle.loads(errand).job()
        if FORKS and not job.is_projection:
            forkserver.ensure_running()
            if (server := fork_server()) is not None:
                self._cores.pin(server)
        measured = measure(self._slot, job, complaints=self._folder / COMPLAINTS, shared=self._folder)
        record = self._with_facts(measured.record)
        return pickle.dumps(RemoteAnswer(measured=replace(measured, record=record), notices=self._take_notices()))

    def interrupt(self) -> None:
        """End the case that runs, whose record then says so, and every later one."""
        self._slot.worker.interrupt()

    def close(self) -> None:
        """End the worker's processes, and give up its cores and its folder."""
        self._stack.close()

    def _with_facts(self, record: Record) -> Record:
        """The record with where it was run, and without the names and secrets of this machine."""
        terms, provenance = self._terms, dict(record.provenance)
        provenance["launcher"] = {
            "name": terms.launcher,
            "workers": terms.workers,
            "on_this_machine": terms.side_by_side,
        }
        if terms.device == CPU:  # who else is on a GPU is in the telemetry
            provenance["cores"] = {"own": list(self._cores.cpus), "why_none": self._cores.why}
        content = replace(record, provenance=provenance).as_json()
        return replace(record, **scrubbed({part: content[part] for part in PRIVATE_PARTS}))

    def _take_notices(self) -> list[str]:
        """The notices since they were last taken."""
        notices, self._notices[:] = list(self._notices), []
        return notices


def fork_server() -> int | None:
    """The process id of the server from which all cases are forked; None before it has started."""
    number: int | None = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    return number
