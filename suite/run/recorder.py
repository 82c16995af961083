"""One case through a worker into its record, in success and failure alike."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from suite import __version__
from suite.configuration.files import read_choice
from suite.machine.code import code_digest
from suite.machine.environment import commit, environment, source_digest
from suite.measure.energy import EnergySchedule
from suite.measure.repeats import Effort, shortfall
from suite.measure.telemetry.sampler import Telemetry, TelemetryWatch
from suite.measure.worker import FORKS, CaseWorker, TaskInterruptedError
from suite.records.case import Case
from suite.records.derived import by_launch
from suite.records.record import OVERRIDES, REFUSED_UNRUN, Evidence, Reading, Record, Status, constant_readings
from suite.records.stores.claim import NAME_LENGTH, Claim
from suite.records.stores.store import StoredRecord, write_record
from suite.records.stores.telemetry import SERIES, TELEMETRY
from suite.run.job import Job
from suite.statistics.intervals import lag1_autocorrelation
from suite.theory.layers.roofline import MeasuredCeilings

Ceilings = dict[tuple[str, str, int, str | None], MeasuredCeilings]
"""MeasuredCase ceilings by device, dtype, number of threads and the precision of float32 products."""
CHECKPOINTS = "checkpoints"
"""A folder beside the runs', for those that were not finished."""
COMPLAINTS = "worker.log"
"""Lies in a run's folder while it is unfinished."""
UNDONE = Status.INTERRUPTED, "interrupted before it was done"


class Listener(Protocol):
    """Told what becomes of cases, one call at a time, from any thread."""

    def recorded(self, stored: Sequence[StoredRecord], *, by_another: bool = False) -> None:
        """Take records that lie there already, so that their cases need not run.

        `by_another`: another process has written them meanwhile.
        """

    def elsewhere(self, case: Case) -> None:
        """Take a case that another process runs into the same folder. May be called again for the same one."""

    def started(self, case: Case) -> None:
        """Take a case that begins."""

    def finished(self, record: Record, folder: Path) -> None:
        """Take the record of a case that ended, written into its folder."""

    def notice(self, text: str) -> None:
        """Take a sentence about something unusual, such as a worker that was stopped."""


@dataclass(kw_only=True)
class MachineState:
    """State that all cases of a sweep share on one machine, those side by side too."""

    workers: int
    """Cases that run side by side there."""
    resume: bool
    turns: EnergySchedule = field(default_factory=EnergySchedule)
    ceilings: Ceilings = field(default_factory=dict)
    measuring_ceilings: Lock = field(default_factory=Lock)
    """Held while ceilings are measured: once for all, and not one beside the other."""


@dataclass(kw_only=True)
class SharedState(MachineState):
    """State that all cases of a sweep share, where their records are written."""

    listener: Listener
    print_lock: Lock = field(default_factory=Lock)
    """Held to call the listener: one at a time."""

    def notice(self, text: str) -> None:
        """Tell the listener a sentence, from any thread."""
        with self.print_lock:
            self.listener.notice(text)


@dataclass(kw_only=True)
class WorkerSlot:
    """A worker and the state of the cases that follow one another in it. Cases side by side have a slot each."""

    state: MachineState
    worker: CaseWorker
    _telemetry: dict[str, Telemetry] = field(default_factory=dict)
    """Watchers by their settings, which a sweep may vary. Slots share none: a source remembers its last reading."""

    def watch(self, settings: Mapping[str, Any]) -> TelemetryWatch:
        """A watch of a case by the telemetry of these settings, which is made only once."""
        key = json.dumps(settings, sort_keys=True)
        if key not in self._telemetry:
            self._telemetry[key] = Telemetry(settings)
        return self._telemetry[key].watch()


@dataclass(kw_only=True)
class _Received:
    """Messages of a case so far, put together."""

    outcome: tuple[Status, str | None] = UNDONE
    readings: list[Reading] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    durations_s: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def take(self, message: Mapping[str, Any]) -> None:
        """Add a message's readings, facts, files, durations and warning. Its outcome replaces the one before, and
        `withdraw` drops earlier readings of those metrics."""
        if "withdraw" in message:
            self.readings = [reading for reading in self.readings if reading.metric not in message["withdraw"]]
        self.readings += message.get("readings", [])
        self.facts |= message.get("facts", {})
        self.files |= message.get("files", {})
        for phase, seconds in message.get("durations_s", {}).items():
            self.durations_s[phase] = self.durations_s.get(phase, 0.0) + seconds
        self.warnings += [message["warning"]] if "warning" in message else []
        self.outcome = message.get("outcome", self.outcome)


@dataclass(frozen=True, kw_only=True)
class MeasuredCase:
    """A record that is not written yet, and the files that go beside it, by name. It travels as bytes."""

    record: Record
    files: Mapping[str, bytes] = field(default_factory=dict)


def measure(slot: WorkerSlot, job: Job, *, complaints: Path, shared: Path) -> MeasuredCase:
    """Run a case on this machine, whose facts its record has.

    `complaints`: a file for what the worker prints. `shared`: a folder for files of several cases, as a base model and
    checkpoints.
    """
    started_at, start = datetime.now(UTC), time.perf_counter()
    received = _received(slot, job, complaints, shared)
    duration_s = time.perf_counter() - start
    received.durations_s["overhead"] = duration_s - sum(received.durations_s.values())
    status, reason = received.outcome
    record = Record(
        case=job.case,
        run_key=job.run_key,
        status=status,
        reason=reason,
        evidence=Evidence.PROJECTED if job.projects else Evidence.MEASURED,
        settings=job.settings,
        environment=environment(),
        provenance={
            **base_provenance(job, started_at, duration_s),
            "durations_s": received.durations_s,
            **received.facts,
            "warnings": received.warnings,
        },
        readings=received.readings,
    )
    return MeasuredCase(record=record, files={**received.files, OVERRIDES: overrides_file(job.overrides)})


def write_measured(state: SharedState, measured: MeasuredCase, claim: Claim) -> Record:
    """Write a case's record into its claimed folder and tell the listener."""
    # What it says of a death is in the record, without its paths.
    (claim.folder / COMPLAINTS).unlink(missing_ok=True)
    write_record(measured.record, claim.folder, measured.files)
    with state.print_lock:
        state.turns.note(measured.record)
        state.listener.finished(measured.record, claim.folder)
    return measured.record


def overrides_file(overrides: Sequence[str]) -> bytes:
    """Write overrides as Hydra's own .hydra/overrides.yaml does: a list of strings."""
    return "".join(f"- {json.dumps(override, ensure_ascii=False)}\n" for override in overrides).encode() or b"[]\n"


def _received(slot: WorkerSlot, job: Job, complaints: Path, shared: Path) -> _Received:
    """Run a case until it ends or is interrupted, and gather what its worker sent.

    A refused case and a projection are not run: what they have to say is made here.
    """
    received = _Received()
    if job.refusal is not None:
        received.take({"outcome": (Status.UNSUPPORTED, job.refusal), "facts": {REFUSED_UNRUN: True}})
    elif job.is_projection:
        received.take({"readings": constant_readings(job.plan.constants()), "facts": job.plan.facts()})
        received.outcome = (Status.OK, None)
    else:
        watch = slot.watch(job.settings["telemetry"])
        try:
            with watch:
                _run(slot, job, complaints, shared, received, watch)
        except TaskInterruptedError:
            pass  # the outcome that nothing has replaced says so
        finally:
            received.warnings += watch.warnings()
            received.facts |= {"telemetry": facts} if (facts := watch.facts()) else {}
            received.files |= {TELEMETRY: SERIES.content(watch.samples)} if watch.samples else {}
    if slot.state.workers > 1:
        received.facts["side_by_side"] = slot.state.workers
    if job.spread:
        received.facts["spread"] = True
    return received


def _run(
    slot: WorkerSlot, job: Job, complaints: Path, shared: Path, received: _Received, watch: TelemetryWatch
) -> None:
    """Run the case in the worker: the machine's ceilings if no case has measured them, then each launch, or a course
    once."""

    def messages(task: str, arguments: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield what the worker sends for a task, after the watch and `received` have taken it."""
        threads, stays = job.plan.threads, job.stays
        for message in slot.worker.run(task, arguments, threads=threads, stderr_log=complaints, persistent=stays):
            watch.on_message(message)
            received.take(message)
            yield message

    plan, precision, state = job.plan, job.settings.get("matmul_precision"), slot.state
    if job.is_course:
        for _ in messages("stateful", _course_arguments(state, job, shared)):
            pass
        return
    device, effort = job.settings["device"], Effort.from_settings(job.settings)
    key = (device, plan.dtype, plan.threads, precision)
    slot.worker.expected = 0 if job.stays or state.workers > 1 else effort.launches + (key not in state.ceilings)
    if key not in state.ceilings:
        begun = time.perf_counter()
        watch.on_message({"phase": "ceilings"})
        conditions = {"device": device, "dtype": plan.dtype, "threads": plan.threads, "precision": precision}
        with state.measuring_ceilings:
            for message in messages("ceilings", conditions) if key not in state.ceilings else ():
                if "result" in message:
                    state.ceilings[key] = message["result"]
        received.durations_s["ceilings"] = time.perf_counter() - begun
        if key not in state.ceilings:
            return
    ceilings = state.ceilings[key]
    predicted_s = plan.predicted_step_s(ceilings)
    launches = effort.launches_for(predicted_s)
    arguments = {"settings": job.settings, "ceilings": ceilings, "launches": launches}
    is_due, is_alone = state.turns.is_due(job.case, job.settings["telemetry"]), state.workers == 1
    for _ in messages("case", {**arguments, "takes_energy": is_due and is_alone}):
        pass
    if is_due and not is_alone:  # a counter has the energy of all that runs beside it
        received.facts["energy"] = {"state": "side_by_side"}
    settings, chosen = job.settings, received.facts.get("backend")
    is_auto = (settings.get("backend") or {}).get("_target_") == read_choice("backend", "auto")["_target_"]
    if is_auto and chosen is not None:  # later launches repeat the first's choice: a record never mixes kernels' times
        settings = {**settings, "backend": read_choice("backend", chosen)}
    for launch in range(1, launches):
        if received.outcome[0] is not Status.OK:
            return
        received.outcome = UNDONE
        for _ in messages("launch", {**arguments, "settings": settings, "launch": launch}):
            pass
        status, reason = received.outcome
        if reason is not None:
            received.outcome = status, f"launch {launch + 1} of {launches}: {reason}"
    if received.outcome[0] is Status.OK:
        received.facts |= _launch_facts(received.readings, launches, job)
        warning = shortfall(received.readings, effort, predicted_s=predicted_s)
        received.warnings += [warning] if warning else []


def _launch_facts(readings: Sequence[Reading], launches: int, job: Job) -> dict[str, Any]:
    """The number of launches, what each is, and by span how alike neighbouring samples of a launch are."""
    timed = [reading for reading in readings if reading.metric == "latency_s"]
    spans = sorted({reading.span for reading in timed})
    launches_by_span = {span: by_launch(reading for reading in timed if reading.span == span) for span in spans}
    autocorrelation = {span: lag1_autocorrelation(values) for span, values in launches_by_span.items()}
    each = "allocations in one process" if job.stays else "a fork of one process" if FORKS else "a process"
    return {"launches": {"count": launches, "each": each}, "lag1_autocorrelation": autocorrelation}


def _course_arguments(state: MachineState, job: Job, folder: Path) -> dict[str, Any]:
    """The arguments of a course: it goes on from the checkpoint that an unfinished run of the same key left."""
    checkpoint = folder / CHECKPOINTS / f"{job.run_key[:NAME_LENGTH]}.pt"
    if not state.resume:
        checkpoint.unlink(missing_ok=True)
    # A counter has the energy of all that runs beside it.
    is_off = job.projects or job.settings["telemetry"]["energy"] == "none"
    no_energy = "off" if is_off else "side_by_side" if state.workers > 1 else None
    return {
        "settings": job.settings,
        "shared": folder,
        "checkpoint": checkpoint,
        "run_key": job.run_key,
        "no_energy": no_energy,
    }


def base_provenance(job: Job, started_at: datetime, duration_s: float) -> dict[str, Any]:
    """Where a record comes from: version, commit and digests of the code, when it was made and how long it took."""
    return {
        "suite_version": __version__,
        **commit(),
        "source_digest": source_digest(),
        "code_digest": code_digest(job.settings),
        "started_at": started_at.isoformat(timespec="seconds"),
        "duration_s": duration_s,
        "durations_s": {},
        "warnings": [],
    }
