"""One case from its settings to its readings, inside the worker: prepare, check, time warm and cold, check, profile.

Its first launch does all of this. The later ones prepare anew, in a process of their own where the device allows, check
and repeat the warm step.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

import torch

from suite.configuration.files import locate
from suite.measure.clock import cpu_clock
from suite.measure.cold import cold_state, time_cold, unproven
from suite.measure.devices import device_for
from suite.measure.devices.device import Device, Timed
from suite.measure.energy import Part, take_energy
from suite.measure.meter import Meter
from suite.measure.precision import set_matmul_precision
from suite.measure.profiling import TRACE, trace_of
from suite.measure.repeats import Effort, repeat
from suite.measure.rng import seed_of
from suite.measure.telemetry.counters import energy_counter
from suite.measure.workload import IncorrectError, UnsupportedError, Workload
from suite.records.record import Reading, Status
from suite.theory.layers.roofline import MeasuredCeilings

Send = Callable[..., None]
"""Sends a message to the parent: each keyword is a part of it."""
TIMINGS = ("latency_s", "cold_latency_s")


def measure_case(
    send: Send, *, settings: Mapping[str, Any], ceilings: MeasuredCeilings, takes_energy: bool, launches: int
) -> tuple[Status, str | None]:
    """Measure one case, as the first of its launches. Readings go through `send` as they come, so that a death
    loses nothing that was sent.

    Sends `readings=[...]`, `facts={...}`, `durations_s={...}`, `warning="..."`, `files={name: bytes}`, and as one
    begins `phase="..."`. Returns the status and its reason.
    """
    workload, device, precision = _set_up(settings)
    effort = Effort.from_settings(settings)
    if (identity := device.identity()) is not None:
        send(cuda_device=identity, facts=device.facts())
    try:
        with timed(send, "prepare"):
            workload.prepare()
        send(readings=[*workload.constants(), *_ceiling_readings(workload, ceilings)])
        send(facts={**workload.facts(), "clock": device.clock, "float32_matmul": precision})
        with timed(send, "check"):
            send(readings=list(workload.check()))
        with timed(send, "measure"):
            setup = device.timed(workload, ceilings)
            send(facts=setup.facts)
            meter = Meter(*setup.probes, launch=0)
            _repeat(send, workload, setup, meter, effort.of_one_launch(launches), ceilings)
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
            _take_energy(send, setup, meter.readings, device, settings["telemetry"], takes_energy=takes_energy)
        if settings["profile"]:
            with timed(send, "trace"):
                send(files={TRACE: trace_of(workload.step, workload.plan.device)})
    except (UnsupportedError, IncorrectError) as error:
        return _outcome_of(error, send)
    for sentence in (*device.warnings(meter.readings), *workload.warnings(ran["operators"])):
        send(warning=sentence)
    return Status.OK, None


def measure_launch(
    send: Send, *, settings: Mapping[str, Any], ceilings: MeasuredCeilings, launch: int, launches: int
) -> tuple[Status, str | None]:
    """Time a case's warm step once more, with inputs and allocations of this launch alone. Send and return as
    `measure_case` does, without repeating the facts of the first launch.

    It checks as the first one does, and not for its inputs' sake alone: memory that a check frees stays with the
    allocator. Without it a prefill of 128 tokens took 994 page faults a step in place of one, and 13 % longer in its
    kernel.
    """
    workload, device, _ = _set_up({**settings, "seed": seed_of(settings["seed"], "launch", launch)})
    try:
        with timed(send, "prepare"):
            workload.prepare()
        with timed(send, "check"):
            workload.check()
        with timed(send, "measure"):
            setup = device.timed(workload, ceilings)
            meter = Meter(*setup.probes, launch=launch)
            _repeat(send, workload, setup, meter, Effort.from_settings(settings).of_one_launch(launches), ceilings)
    except (UnsupportedError, IncorrectError) as error:
        return _outcome_of(error, send)
    return Status.OK, None


def _outcome_of(error: UnsupportedError | IncorrectError, send: Send) -> tuple[Status, str]:
    if isinstance(error, UnsupportedError):
        return Status.UNSUPPORTED, str(error)
    send(withdraw=TIMINGS, readings=list(error.readings))
    return Status.INCORRECT, error.reason


def _set_up(settings: Mapping[str, Any]) -> tuple[Workload, Device, Mapping[str, Any]]:
    """The workload, which holds nothing yet, its device, and the precision of float32 products that torch reports."""
    workload: Workload = locate(settings["workload"]["_target_"])(settings)
    torch.manual_seed(settings["seed"])
    device = device_for(workload.plan.device, workload.plan.threads)
    return workload, device, set_matmul_precision(settings.get("matmul_precision"))


def _repeat(
    send: Send, workload: Workload, timed: Timed, meter: Meter, effort: Effort, ceilings: MeasuredCeilings
) -> None:
    sent = 0

    def keep() -> None:
        nonlocal sent
        send(readings=meter.readings[sent:])
        sent = len(meter.readings)

    predicted_s = workload.plan.predicted_step_s(ceilings)
    repeat(timed.step, meter, effort, predicted_s=predicted_s, keep=keep)
    keep()


def _time_cold(send: Send, workload: Workload, device: Device, effort: Effort, ceilings: MeasuredCeilings) -> None:
    """Time with flushed caches, or send the reason why that is not done."""
    plan = workload.plan
    if device.flushes_every_run:
        return None
    if effort.cold_steps == 0 or plan.predicted_step_s(ceilings) > effort.max_seconds:
        return send(facts={"cold": "not_asked"})
    state = cold_state(plan.constants())
    send(facts={"cold": state})
    if state != "measured":
        return None
    clock = cpu_clock(plan.threads, metric="cold_latency_s")
    readings = time_cold(workload.step, clock, steps=effort.cold_steps, max_seconds=effort.max_seconds)
    send(readings=readings)
    if warning := unproven(readings):
        send(warning=warning)
    return None


def _take_energy(
    send: Send,
    timed: Timed,
    readings: Sequence[Reading],
    device: Device,
    telemetry: Mapping[str, Any],
    *,
    takes_energy: bool,
) -> None:
    """Send the joules of each span, or the named state that says why there are none."""
    if not takes_energy:
        state = "off" if telemetry["energy"] == "none" else "not_this_backend"
        return send(facts={"energy": {"state": state}})
    parts = {}
    for span, work in timed.works.items():
        runs = timed.runs.get(span, 1)
        walls_s = [reading.wall_s for reading in readings if reading.span == span and reading.wall_s is not None]
        parts[span] = Part(work=work, runs=runs, call_s=runs * median(walls_s))
    counter, seconds = energy_counter(device.identity()), telemetry["energy_seconds"]
    of_spans, energy = take_energy(parts, counter, seconds=seconds, finish=device.finish)
    return send(readings=of_spans, facts={"energy": energy})


def _ceiling_readings(workload: Workload, measured: MeasuredCeilings) -> Iterator[Reading]:
    for span, quantities in workload.plan.constants().items():
        if "traffic_bytes" in quantities:
            ceilings = measured.at(quantities["traffic_bytes"])
            yield Reading(step=0, span=span, metric="ceiling_flops_per_s", value=ceilings.flops_per_s)
            yield Reading(step=0, span=span, metric="ceiling_bytes_per_s", value=ceilings.bytes_per_s)


@contextmanager
def timed(send: Send, phase: str) -> Iterator[None]:
    """Tell the parent that a phase of a case begins, and at its end how long it took."""
    send(phase=phase)
    start = time.perf_counter()
    try:
        yield
    finally:
        send(durations_s={phase: time.perf_counter() - start})
