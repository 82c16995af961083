"""Jobs one after another through the worker, each into a record, whatever becomes of it.

The parent holds no torch: it refuses what is wrong in itself, sends a case, takes what comes back and writes it. What
an earlier run of the same key has answered is not run again.
"""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

from suite import __version__
from suite.interruptions import Interruptions
from suite.job import Job
from suite.measure.telemetry.sampler import Telemetry, Watch
from suite.measure.telemetry.turns import EnergyTurns
from suite.measure.worker import Worker
from suite.records.claim import NAME_LENGTH, Claim, claim_folder, run_folders
from suite.records.code import code_digest
from suite.records.environment import commit, environment, source_digest
from suite.records.record import (
    REFUSED_UNRUN,
    CorruptRecordError,
    Evidence,
    Reading,
    Record,
    Status,
    constant_readings,
)
from suite.records.store import RECORD, StoredRecord, read_record, write_record
from suite.records.telemetry import TELEMETRY, series_bytes
from suite.terminal import Terminal
from suite.theory.roofline import MeasuredCeilings

Ceilings = dict[tuple[str, str, int, str | None], MeasuredCeilings]
"""By device, dtype, number of threads and the precision of float32 products."""
INTERRUPTED = 130
ANSWERS = (Status.OK, Status.INCORRECT, Status.UNSUPPORTED)
"""What follows from the case, the code and the machine, so that running it again would say the same."""
CHECKPOINTS = "checkpoints"
"""A folder beside the runs', for those that were not finished."""
COMPLAINTS = "worker.log"
"""Lies in a run's folder while it is unfinished."""


def execute(jobs: Sequence[Job], *, folder: Path, is_sweep: bool, resume: bool) -> int:
    """Run each case once, write its record below `folder`, and return the exit code.

    `resume`: what lies there already with the same run key is taken over instead of run again.
    """
    unique = {job.case.id: job for job in jobs}
    answered = {id: stored for id, job in unique.items() if resume and (stored := answer_of(job, folder))}
    missing = [job for id, job in unique.items() if id not in answered]
    records = [stored.record for stored in answered.values()]
    terminal = Terminal([job.case for job in unique.values()], is_sweep=is_sweep)
    was_interrupted = False
    with Interruptions() as interruptions, terminal, Worker(preload=_own_modules(missing)) as worker:
        kept = _Kept(worker=worker, resume=resume)
        for record in records:
            kept.turns.took(record)
        try:
            terminal.recorded(list(answered.values()))
            for job in missing:
                # Looked for again: another process may be running the same sweep into the same folder.
                if resume and (stored := answer_of(job, folder)):
                    records.append(stored.record)
                    terminal.recorded([stored], when="meanwhile, by another process")
                elif (claim := claim_folder(folder, job.run_key)) is None:
                    terminal.held_elsewhere(job.case)
                else:
                    with claim:
                        records.append(_run_and_write(kept, job, claim, interruptions, terminal))
                    kept.turns.took(records[-1])
                    if records[-1].status is Status.INTERRUPTED:
                        break
        except KeyboardInterrupt:
            was_interrupted = True
    terminal.summary(folder)
    return INTERRUPTED if was_interrupted else exit_code(records, is_sweep=is_sweep)


def answer_of(job: Job, folder: Path) -> StoredRecord | None:
    """The newest whole record of the job's run key, if it answers it.

    What failed, ran out of memory or was cut short does not; nor what was refused unrun and would not be refused now.
    """
    for run_folder in reversed(list(takewhile(Path.exists, run_folders(folder, job.run_key)))):
        try:
            record = read_record(run_folder) if (run_folder / RECORD).exists() else None
        except CorruptRecordError:
            continue
        if record is not None and record.run_key == job.run_key:
            is_overtaken = record.provenance.get(REFUSED_UNRUN) is True and job.refusal is None
            is_answer = record.status in ANSWERS and not is_overtaken
            return StoredRecord(record=record, folder=run_folder) if is_answer else None
    return None


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


@dataclass(kw_only=True)
class _Kept:
    """What the cases of a sweep share."""

    worker: Worker
    resume: bool
    ceilings: Ceilings = field(default_factory=dict)
    turns: EnergyTurns = field(default_factory=EnergyTurns)
    _telemetry: dict[str, Telemetry] = field(default_factory=dict)
    """By its settings, since a sweep may vary them."""

    def watch(self, settings: Mapping[str, Any]) -> Watch:
        key = json.dumps(settings, sort_keys=True)
        if key not in self._telemetry:
            self._telemetry[key] = Telemetry(settings)
        return self._telemetry[key].watch()


def _run_and_write(kept: _Kept, job: Job, claim: Claim, interruptions: Interruptions, terminal: Terminal) -> Record:
    terminal.starting(job.case)
    started_at, start = datetime.now(UTC), time.perf_counter()
    complaints = claim.folder / COMPLAINTS
    received = _received(kept, job, complaints)
    with interruptions.held():
        complaints.unlink(missing_ok=True)  # what it says of a death is in the record, without its paths
        record = _record(job, received, started_at, time.perf_counter() - start)
        write_record(record, claim.folder, received.files)
        terminal.finished(record, claim.folder)
    return record


def _received(kept: _Kept, job: Job, complaints: Path) -> _Received:
    """All that came of a case until it ended or was interrupted."""
    received = _Received()
    try:
        if job.refusal is not None:
            received.take({"outcome": (Status.UNSUPPORTED, job.refusal), "facts": {REFUSED_UNRUN: True}})
        elif job.is_projection:
            received.take({"readings": constant_readings(job.plan.constants()), "facts": job.plan.facts()})
            received.outcome = (Status.OK, None)
        else:
            _watch_and_measure(kept, job, complaints, received)
    except KeyboardInterrupt:
        pass
    return received


def _watch_and_measure(kept: _Kept, job: Job, complaints: Path, received: _Received) -> None:
    watch = kept.watch(job.settings["telemetry"])
    try:
        with watch:
            _measure(kept, job, complaints, received, watch)
    finally:
        received.warnings += watch.warnings()
        received.facts |= {"telemetry": facts} if (facts := watch.facts()) else {}
        received.files |= {TELEMETRY: series_bytes(watch.samples)} if watch.samples else {}


def _record(job: Job, received: _Received, started_at: datetime, duration_s: float) -> Record:
    status, reason = received.outcome
    received.durations_s["overhead"] = duration_s - sum(received.durations_s.values())
    return Record(
        case=job.case,
        run_key=job.run_key,
        status=status,
        reason=reason,
        evidence=Evidence.PROJECTED if job.is_projection else Evidence.MEASURED,
        settings=job.settings,
        environment=environment(),
        provenance={
            "suite_version": __version__,
            **commit(),
            "source_digest": source_digest(),
            "code_digest": code_digest(job.settings),
            "started_at": started_at.isoformat(timespec="seconds"),
            "duration_s": duration_s,
            "durations_s": received.durations_s,
            **received.facts,
            "warnings": received.warnings,
        },
        readings=received.readings,
    )


def _measure(kept: _Kept, job: Job, complaints: Path, received: _Received, watch: Watch) -> None:
    """Run the case in the worker, after the machine's ceilings where no earlier case has had them measured."""
    if job.is_course:
        return _run_course(kept, job, complaints, received, watch)
    plan, precision = job.plan, job.settings.get("matmul_precision")
    key = (plan.device, plan.dtype, plan.threads, precision)
    if key not in kept.ceilings:
        begun = time.perf_counter()
        watch.told({"phase": "ceilings"})
        asked = {"device": plan.device, "dtype": plan.dtype, "threads": plan.threads, "precision": precision}
        for message in kept.worker.run("ceilings", asked, threads=plan.threads, complaints=complaints, stays=job.stays):
            if "result" in message:
                kept.ceilings[key] = message["result"]
            watch.told(message)
            received.take(message)
        received.durations_s["ceilings"] = time.perf_counter() - begun
        if key not in kept.ceilings:
            return None
    arguments = {
        "settings": job.settings,
        "ceilings": kept.ceilings[key],
        "takes_energy": kept.turns.is_due(job.case, job.settings["telemetry"]),
    }
    for message in kept.worker.run("case", arguments, threads=plan.threads, complaints=complaints, stays=job.stays):
        watch.told(message)
        received.take(message)
    return None


def _run_course(kept: _Kept, job: Job, complaints: Path, received: _Received, watch: Watch) -> None:
    """Run it in the worker, from its checkpoint where an unfinished run of the same key left one."""
    folder = complaints.parent.parent
    checkpoint = folder / CHECKPOINTS / f"{job.run_key[:NAME_LENGTH]}.pt"
    if not kept.resume:
        checkpoint.unlink(missing_ok=True)
    arguments = {
        "settings": job.settings,
        "shared": folder,
        "checkpoint": checkpoint,
        "no_energy": "off" if job.settings["telemetry"]["energy"] == "none" else None,
    }
    task = kept.worker.run("course", arguments, threads=job.plan.threads, complaints=complaints, stays=job.stays)
    for message in task:
        watch.told(message)
        received.take(message)
