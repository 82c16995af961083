"""One case from its settings to its readings, inside the worker: prepare, check, time warm and cold, check, profile.

Its first launch does all of this. The later ones prepare anew, in a process of their own where the device allows, check
and repeat the warm step.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median
from typing import Any

import torch

from suite.configuration.files import locate
from suite.measure.cold import cold_state, time_cold, unproven
from suite.measure.devices import device_for
from suite.measure.devices.device import Device, TimedWorkload
from suite.measure.energy import SpanWork, take_energy
from suite.measure.meter import Meter, cpu_clock
from suite.measure.precision import set_matmul_precision
from suite.measure.profiling import record_trace
from suite.measure.repeats import Effort, repeat
from suite.measure.rng import seed_of
from suite.measure.telemetry.counters import energy_counter
from suite.measure.workload import IncorrectError, UnsupportedError, Workload
from suite.records.record import TIMINGS, TRACE, Reading, Status
from suite.theory.layers.roofline import MeasuredCeilings

Send = Callable[..., None]  # sends a message to the parent: each keyword is a part of it


def measure_case(
    send: Send, *, settings: Mapping[str, Any], ceilings: MeasuredCeilings, takes_energy: bool, launches: int
) -> tuple[Status, str | None]:
    """Measure one case, as the first of its launches. Returns status and reason. Readings go through `send` as they
    come, so that a death loses nothing that was sent.

    Sends `readings=[...]`, `facts={...}`, `durations_s={...}`, `warning="..."`, `files={name: bytes}`, and as one
    begins `phase="..."`. A refusal or a wrong output is a status and no exception.
    """
    workload, device, precision = _set_up(settings)
    effort = Effort.from_settings(settings)
    if (identity := device.identity()) is not None:
        send(cuda_device=identity, facts=device.facts())
    try:
        with timed(send, "prepare"):
            workload.prepare()
        readings = list(workload.constants())
        for span, costs in workload.plan.constants().items():
            if "traffic_bytes" in costs:
                best = ceilings.at(costs["traffic_bytes"])
                rates = {"ceiling_flops_per_s": best.flops_per_s, "ceiling_bytes_per_s": best.bytes_per_s}
                readings += [Reading(step=0, span=span, metric=name, value=rate) for name, rate in rates.items()]
        facts = {**workload.facts(), "clock": device.clock, "float32_matmul": precision}
        send(readings=readings, facts=facts)
        with timed(send, "check"):
            send(readings=list(workload.check()))
        with timed(send, "measure"):
            setup = device.timed(workload, ceilings)
            send(facts=setup.facts)
            meter = _repeat(send, workload, setup, effort.per_launch(launches), ceilings, launch=0)
        for sentence in setup.warnings:
            send(warning=sentence)
        with timed(send, "cold"):
            _time_cold(send, workload, device, effort, ceilings)
        with timed(send, "check"):
            workload.check()
        with timed(send, "profile"):
            probe = device.watcher()
            profiled = Meter(probe)
            workload.step(profiled)
        spans = [reading.span for reading in profiled.readings]
        ran = {fact: dict(zip(spans, names, strict=True)) for fact, names in probe.seen().items()}
        send(readings=profiled.readings, facts=ran)
        with timed(send, "energy"):
            if takes_energy:
                _take_energy(send, setup, meter, device, settings["telemetry"]["energy_seconds"])
            else:
                state = "off" if settings["telemetry"]["energy"] == "none" else "not_this_backend"
                send(facts={"energy": {"state": state}})
        if settings["profile"]:
            with timed(send, "trace"):
                send(files={TRACE: record_trace(workload.step, workload.plan.device)})
    except (UnsupportedError, IncorrectError) as error:
        return _outcome(error, send)
    for sentence in (*device.warnings(meter.readings), *workload.warnings(ran["operators"])):
        send(warning=sentence)
    return Status.OK, None


def measure_launch(
    send: Send, *, settings: Mapping[str, Any], ceilings: MeasuredCeilings, launch: int, launches: int
) -> tuple[Status, str | None]:
    """Time a case's warm step in a further launch, with inputs and allocations of its own. Returns status and reason.
    Sends what `measure_case` does but facts, which the first launch has sent.

    It checks as the first one does, and not for its inputs' sake alone: memory that a check frees stays with the
    allocator. Without it a prefill of 128 tokens took 994 page faults a step in place of one, and 13% longer in its
    kernel.
    """
    workload, device, _ = _set_up({**settings, "seed": seed_of(settings["seed"], "launch", launch)})
    try:
        with timed(send, "prepare"):
            workload.prepare()
        with timed(send, "check"):
            workload.check()
        with timed(send, "measure"):
            effort = Effort.from_settings(settings).per_launch(launches)
            _repeat(send, workload, device.timed(workload, ceilings), effort, ceilings, launch=launch)
    except (UnsupportedError, IncorrectError) as error:
        return _outcome(error, send)
    return Status.OK, None


def _outcome(error: UnsupportedError | IncorrectError, send: Send) -> tuple[Status, str]:
    """Status and reason of an error. For a wrong output, also withdraw the timings and send the error's readings."""
    if isinstance(error, UnsupportedError):
        return Status.UNSUPPORTED, str(error)
    send(withdraw=TIMINGS, readings=list(error.readings))
    return Status.INCORRECT, error.reason


def _set_up(settings: Mapping[str, Any]) -> tuple[Workload, Device, Mapping[str, Any]]:
    """Seed torch and set its precision: (workload, which holds nothing yet; device; torch's precision)."""
    workload: Workload = locate(settings["workload"]["_target_"])(settings)
    device = device_for(settings["device"], workload.plan.threads)
    device.require()
    # torch.manual_seed notes a traceback for each kind of device that is not in use yet, which takes 5 ms.
    seed = torch.default_generator.manual_seed if workload.plan.device == "cpu" else torch.manual_seed
    seed(settings["seed"])
    return workload, device, set_matmul_precision(settings.get("matmul_precision"))


def _repeat(
    send: Send, workload: Workload, timed: TimedWorkload, effort: Effort, ceilings: MeasuredCeilings, *, launch: int
) -> Meter:
    """Repeat a launch's step as `effort` asks and send readings as they come. Returns the meter with all."""
    meter, sent = Meter(*timed.probes, launch=launch), 0

    def send_new() -> None:
        nonlocal sent
        send(readings=meter.readings[sent:])
        sent = len(meter.readings)

    predicted_s = workload.plan.predicted_step_s(ceilings)
    repeat(timed.step, meter, effort, predicted_s=predicted_s, keep=send_new)
    send_new()
    return meter


def _time_cold(send: Send, workload: Workload, device: Device, effort: Effort, ceilings: MeasuredCeilings) -> None:
    """Send readings with flushed caches, and the fact `cold`: `measured`, or why there are none."""
    plan = workload.plan
    if device.flushes_every_run:
        return
    is_asked = effort.cold_steps > 0 and plan.predicted_step_s(ceilings) <= effort.max_seconds
    state = cold_state(plan.constants()) if is_asked else "not_asked"
    send(facts={"cold": state})
    if state == "measured":
        clock = cpu_clock(plan.threads, metric="cold_latency_s")
        readings = time_cold(workload.step, clock, steps=effort.cold_steps, max_seconds=effort.max_seconds)
        send(readings=readings)
        if warning := unproven(readings):
            send(warning=warning)


def _take_energy(send: Send, timed: TimedWorkload, meter: Meter, device: Device, seconds: float) -> None:
    """Send readings of each span's joules, and the fact `energy`, whose state says why some are missing."""
    parts = {}
    for span, work in timed.works.items():
        runs = timed.runs.get(span, 1)
        walls_s = [reading.wall_s for reading in meter.readings if reading.span == span and reading.wall_s is not None]
        parts[span] = SpanWork(work=work, runs=runs, call_s=runs * median(walls_s))
    readings, energy = take_energy(parts, energy_counter(device.identity()), seconds=seconds, finish=device.finish)
    send(readings=readings, facts={"energy": energy})


@contextmanager
def timed(send: Send, phase: str) -> Iterator[None]:
    """Tell the parent that a phase of a case begins, and at its end how long it took."""
    send(phase=phase)
    start = time.perf_counter()
    try:
        yield
    finally:
        send(durations_s={phase: time.perf_counter() - start})
