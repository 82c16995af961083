"""Jobs one after another through the worker, each into a record, whatever becomes of it.

The parent holds no torch: it refuses what is wrong in itself, sends a case, takes what comes back and writes it.
"""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from suite import __version__
from suite.configuration import locate
from suite.measure.repeats import Effort
from suite.measure.worker import Worker
from suite.records.case import Case, run_key
from suite.records.environment import commit, environment, source_digest
from suite.records.limits import most_threads
from suite.records.record import Evidence, Reading, Record, Status, constant_readings
from suite.records.store import claim_folder, write_record
from suite.terminal import Terminal
from suite.theory.roofline import MeasuredCeilings

Ceilings = dict[tuple[str, int], MeasuredCeilings]
"""By dtype and number of threads."""


class PlannedWork(Protocol):
    """What is needed of a workload's plan here; see suite.measure.workload.Plan for all of it."""

    dtype: str
    threads: int
    refusal: str | None
    """Why a case that is right in itself cannot be laid out."""

    def facts(self) -> Mapping[str, Any]: ...

    def constants(self) -> Mapping[str, Mapping[str, float]]: ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """A case with its settings, known to be right in themselves."""

    case: Case
    settings: Mapping[str, Any]
    plan: PlannedWork

    @property
    def is_projection(self) -> bool:
        """A workload that names no code to run: its plan is all there is."""
        return "_target_" not in self.settings["workload"]


def execute(jobs: Sequence[Job], *, folder: Path, is_sweep: bool) -> int:
    """Run each case once, write its record below `folder`, and return the exit code."""
    unique = {job.case.id: job for job in jobs}
    terminal = Terminal([job.case for job in unique.values()], is_sweep=is_sweep)
    ceilings: Ceilings = {}
    records: list[Record] = []
    with Worker(preload=_own_modules(jobs)) as worker:
        for job in unique.values():
            terminal.starting(job.case)
            record, files = _run(worker, job, ceilings)
            run_folder = claim_folder(folder, record.run_key)
            write_record(record, run_folder, files)
            records.append(record)
            terminal.finished(record, run_folder)
            if record.status is Status.INTERRUPTED:
                break
    terminal.summary(records, folder)
    return exit_code(records, is_sweep=is_sweep)


def exit_code(records: Sequence[Record], *, is_sweep: bool) -> int:
    """What the statuses mean together, as interface: 1 a bad answer, 3 cannot judge, 130 interrupted."""
    counts = Counter(record.status for record in records)
    if counts[Status.INTERRUPTED]:
        return 130
    if counts[Status.FAILED] or counts[Status.INCORRECT]:
        return 1
    if counts[Status.OUT_OF_MEMORY] or (counts[Status.UNSUPPORTED] and not is_sweep):
        return 3
    return 0


def job_for(case: Case, settings: Mapping[str, Any]) -> Job:
    """Raises ValueError, before anything is allocated, for settings that are wrong in themselves."""
    try:
        json.dumps(settings, allow_nan=False)
    except ValueError as error:
        raise ValueError("every number among the settings must be finite; got inf or nan") from error
    Effort.from_settings(settings)
    return Job(case=case, settings=settings, plan=locate(settings["workload"]["plan"])(settings))


def _own_modules(jobs: Sequence[Job]) -> list[str]:
    """Modules that every worker will need. Other packages' are left to their case: if one fails, the rest go on."""
    modules = {job.settings["workload"]["_target_"].rpartition(".")[0] for job in jobs if not job.is_projection}
    return sorted(module for module in modules if module.startswith("suite."))


@dataclass(kw_only=True)
class _Received:
    """What a case has sent so far."""

    outcome: tuple[Status, str | None] = (Status.INTERRUPTED, "interrupted before it was done")
    readings: list[Reading] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    durations_s: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    """Further files of the run, by name."""

    def take(self, message: Mapping[str, Any]) -> None:
        if "withdraw" in message:
            self.readings = [reading for reading in self.readings if reading.metric not in message["withdraw"]]
        self.readings += message.get("readings", [])
        self.facts |= message.get("facts", {})
        self.files |= message.get("files", {})
        for phase, seconds in message.get("durations_s", {}).items():
            self.durations_s[phase] = self.durations_s.get(phase, 0.0) + seconds
        self.warnings += [message["warning"]] if "warning" in message else []
        self.outcome = message.get("outcome", self.outcome)


def _run(worker: Worker, job: Job, ceilings: Ceilings) -> tuple[Record, Mapping[str, bytes]]:
    """The record, and the files that belong beside it."""
    started_at, start = datetime.now(UTC), time.perf_counter()
    received = _Received()
    try:
        if job.plan.refusal is not None:
            received.outcome = (Status.UNSUPPORTED, job.plan.refusal)
        elif job.is_projection:
            received.take({"readings": constant_readings(job.plan.constants()), "facts": job.plan.facts()})
            received.outcome = (Status.OK, None)
        elif job.plan.threads > most_threads():
            # They would wait for each other: the figure would say nothing of the work.
            refusal = (
                f"threads={job.plan.threads} is more than the {most_threads()} CPUs that this process may use at once"
            )
            received.outcome = (Status.UNSUPPORTED, refusal)
        else:
            _measure(worker, job, ceilings, received)
    except KeyboardInterrupt:
        pass
    duration_s = time.perf_counter() - start
    status, reason = received.outcome
    received.durations_s["overhead"] = duration_s - sum(received.durations_s.values())
    record = Record(
        case=job.case,
        run_key=run_key(job.case, job.settings),
        status=status,
        reason=reason,
        evidence=Evidence.PROJECTED if job.is_projection else Evidence.MEASURED,
        settings=job.settings,
        environment=environment(),
        provenance={
            "suite_version": __version__,
            **commit(),
            "source_digest": source_digest(),
            "started_at": started_at.isoformat(timespec="seconds"),
            "duration_s": duration_s,
            "durations_s": received.durations_s,
            **received.facts,
            "warnings": received.warnings,
        },
        readings=received.readings,
    )
    return record, received.files


def _measure(worker: Worker, job: Job, ceilings: Ceilings, received: _Received) -> None:
    """Run the case in the worker, after the machine's ceilings where no earlier case has had them measured."""
    dtype, threads = key = (job.plan.dtype, job.plan.threads)
    if key not in ceilings:
        begun = time.perf_counter()
        for message in worker.run("ceilings", {"dtype": dtype, "threads": threads}, threads=threads):
            if "result" in message:
                ceilings[key] = message["result"]
            received.take(message)
        received.durations_s["ceilings"] = time.perf_counter() - begun
        if key not in ceilings:
            return
    arguments = {"settings": job.settings, "ceilings": ceilings[key]}
    for message in worker.run("case", arguments, threads=threads):
        received.take(message)
