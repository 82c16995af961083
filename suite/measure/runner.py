"""One case from its settings to its readings, inside the worker: prepare, check, time warm and cold, check, profile."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from suite.configuration import locate
from suite.measure.allocator import AllocatorProbe
from suite.measure.clock import cpu_clock, judging_clock
from suite.measure.cold import cold_state, time_cold, unproven
from suite.measure.energy import take_energy
from suite.measure.meter import Meter
from suite.measure.repeats import Effort, repeat
from suite.measure.telemetry.counters import energy_counter
from suite.measure.trace import TRACE, nvtx_ranges, trace_of
from suite.measure.workload import IncorrectError, UnsupportedError, Workload
from suite.records.record import Reading, Status
from suite.statistics.intervals import median_interval
from suite.theory.roofline import MeasuredCeilings

Send = Callable[..., None]
WALL_EXCEEDS_CPU = 1.1
TIMINGS = ("latency_s", "cold_latency_s")


def measure_case(
    send: Send, *, settings: Mapping[str, Any], ceilings: MeasuredCeilings, takes_energy: bool
) -> tuple[Status, str | None]:
    """Measure one case. What is read goes through `send` as it comes, so that a death loses nothing that was sent.

    Sends `readings=[...]`, `facts={...}`, `durations_s={...}`, `warning="..."`, `files={name: bytes}`, and as one
    begins `phase="..."`. Returns the status and its reason.
    """
    workload: Workload = locate(settings["workload"]["_target_"])(settings)
    torch.manual_seed(settings["seed"])
    effort = Effort.from_settings(settings)
    try:
        with _timed(send, "prepare"):
            workload.prepare()
        clock = judging_clock(workload.plan.threads)
        send(readings=[*workload.constants(), *_ceiling_readings(workload, ceilings)])
        send(facts={**workload.facts(), "clock": clock})
        with _timed(send, "check"):
            send(readings=list(workload.check()))
        with _timed(send, "measure"):
            meter = Meter(*nvtx_ranges(workload.plan.device), cpu_clock(workload.plan.threads))
            warning = _repeat(send, workload, meter, effort, ceilings)
        if warning:
            send(warning=warning)
        with _timed(send, "cold"):
            _time_cold(send, workload, effort, ceilings)
        with _timed(send, "check"):
            workload.check()
        with _timed(send, "profile"):
            probe = AllocatorProbe()
            profiled = Meter(probe)
            workload.step(profiled)
        operators = _by_span(profiled.readings, probe.operators)
        send(readings=profiled.readings, facts={"operators": operators})
        with _timed(send, "energy"):
            _take_energy(send, workload, settings["telemetry"], takes_energy=takes_energy)
        if settings["profile"]:
            with _timed(send, "trace"):
                send(files={TRACE: trace_of(workload.step, workload.plan.device)})
    except UnsupportedError as error:
        return Status.UNSUPPORTED, str(error)
    except IncorrectError as error:
        send(withdraw=TIMINGS, readings=list(error.readings))
        return Status.INCORRECT, error.reason
    for sentence in (*_criticism(meter.readings, clock), *workload.criticise(operators)):
        send(warning=sentence)
    return Status.OK, None


def _repeat(send: Send, workload: Workload, meter: Meter, effort: Effort, ceilings: MeasuredCeilings) -> str | None:
    sent = 0

    def keep() -> None:
        nonlocal sent
        send(readings=meter.readings[sent:])
        sent = len(meter.readings)

    predicted_s = workload.plan.predicted_step_s(ceilings)
    warning = repeat(workload.step, meter, effort, predicted_s=predicted_s, keep=keep)
    keep()
    return warning


def _time_cold(send: Send, workload: Workload, effort: Effort, ceilings: MeasuredCeilings) -> None:
    """Time with flushed caches, and say why where that is not done."""
    plan = workload.plan
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


def _take_energy(send: Send, workload: Workload, telemetry: Mapping[str, Any], *, takes_energy: bool) -> None:
    """Joules of each span, or the named state that says why there are none."""
    if not takes_energy:
        state = "off" if telemetry["energy"] == "none" else "not_this_backend"
        return send(facts={"energy": {"state": state}})
    readings, energy = take_energy(
        workload.parts(), energy_counter(None), seconds=telemetry["energy_seconds"], finish=lambda: None
    )
    return send(readings=readings, facts={"energy": energy})


def _ceiling_readings(workload: Workload, measured: MeasuredCeilings) -> Iterator[Reading]:
    for span, quantities in workload.plan.constants().items():
        if "traffic_bytes" in quantities:
            ceilings = measured.at(quantities["traffic_bytes"])
            yield Reading(step=0, span=span, metric="ceiling_flops_per_s", value=ceilings.flops_per_s)
            yield Reading(step=0, span=span, metric="ceiling_bytes_per_s", value=ceilings.bytes_per_s)


def _by_span(readings: Sequence[Reading], operators: Sequence[Sequence[str]]) -> dict[str, Sequence[str]]:
    return {reading.span: names for reading, names in zip(readings, operators, strict=True)}


def _criticism(readings: Sequence[Reading], clock: str) -> Iterator[str]:
    """What a reader should hold against these timings."""
    for span in dict.fromkeys(reading.span for reading in readings):
        timed = [reading for reading in readings if reading.span == span and reading.wall_s is not None]
        if clock == "thread_cpu" and timed:
            wall = median_interval([reading.wall_s or 0.0 for reading in timed]).median
            ratio = wall / median_interval([reading.value for reading in timed]).median
            if ratio > WALL_EXCEEDS_CPU:
                yield f"{span}: wall time is {ratio:.2f} times the CPU time that is reported: other work was running"


@contextmanager
def _timed(send: Send, phase: str) -> Iterator[None]:
    send(phase=phase)
    start = time.perf_counter()
    try:
        yield
    finally:
        send(durations_s={phase: time.perf_counter() - start})
