"""Joules by the difference of a counter: right for a known trace, and absent where the counter is too coarse."""

import itertools
import time
from dataclasses import replace
from statistics import mean, median
from types import SimpleNamespace

import pytest

from suite.machine.nvml import State
from suite.measure import energy
from suite.measure.energy import EnergySchedule, SpanWork, measure_energy, take_energy, update_interval_s
from suite.measure.telemetry.counters import EnergyCounter, NoCounter, energy_counter
from suite.records.record import Status
from tests.fake_nvml import driver
from tests.fake_nvml.driver import FIRST, device
from tests.records.factory import build

GPU = {"uuid": FIRST, "pci": None}
NOTHING_TO_WAIT_FOR = int


def sleeping(seconds, runs=1):
    return SpanWork(work=lambda: time.sleep(seconds), runs=runs, call_s=seconds + 1e-4)


@driver.needs_gcc
def test_energy_of_a_known_load_is_right_within_one_percent(play):
    play(device(), "power 0 0:250", "update 0.005")
    counter = energy_counter(GPU)
    assert isinstance(counter, EnergyCounter)
    taken = [measure_energy(sleeping(0.0005), counter.read_j, NOTHING_TO_WAIT_FOR, seconds=0.4) for _ in range(3)]
    assert all(energy.window_s >= 0.4 for energy in taken)
    # The middle one, since other work on the machine may delay a look at the counter.
    assert median(energy.power_w for energy in taken) == pytest.approx(250, rel=0.01)
    assert median(energy.step_j * energy.steps / energy.window_s for energy in taken) == pytest.approx(250, rel=0.01)


@driver.needs_gcc
def test_a_step_longer_than_the_counters_pace_is_charged_once(play):
    play(device(), "power 0 0:100", "update 0.005")
    energy = measure_energy(sleeping(0.1), energy_counter(GPU).read_j, NOTHING_TO_WAIT_FOR, seconds=0.2)
    assert energy.step_j == pytest.approx(
        100 * energy.window_s / energy.steps, rel=0.2
    )  # 5 ms of 200 at either end, more on a busy machine
    assert energy.steps in (2, 3)


def test_the_window_begins_and_ends_where_the_counter_changes(monkeypatch):
    now_us = itertools.count()

    def passed(microseconds):
        return next(itertools.islice(now_us, microseconds, None))

    # Five calls a change; after 105 ms a window that asks for so many is in the middle of one.
    monkeypatch.setattr(energy, "time", SimpleNamespace(perf_counter=lambda: passed(0) * 1e-6))
    part = SpanWork(work=lambda: passed(2000), call_s=0.002)
    taken = measure_energy(part, lambda: passed(0) // 10_000 * 1.0, NOTHING_TO_WAIT_FOR, seconds=0.105)
    assert taken.window_s == pytest.approx(0.11, rel=3e-3)
    assert (taken.power_w, taken.step_j) == pytest.approx((100, 0.2), rel=3e-3)


@driver.needs_gcc
def test_the_pace_of_a_counter_is_seen(play):
    play(device(), "power 0 0:100", "update 0.05")
    assert 0.045 < update_interval_s(energy_counter(GPU).read_j) < 0.2  # on a busy machine it is seen later


def test_a_counter_that_stands_still_gives_no_energy():
    assert measure_energy(sleeping(0), lambda: 5.0, NOTHING_TO_WAIT_FOR, seconds=0.01) is None


def test_a_counter_that_stops_midway_gives_no_energy():
    counts = itertools.count()
    assert (
        measure_energy(sleeping(0.001), lambda: float(min(next(counts), 4)), NOTHING_TO_WAIT_FOR, seconds=0.01) is None
    )


@driver.needs_gcc
@pytest.mark.parametrize(("code", "state"), [(3, State.MISSING_COUNTER), (4, State.NO_PERMISSION), (999, State.FAILED)])
def test_a_counter_that_cannot_be_read_has_a_named_state(play, code, state):
    play(device(), f"error nvmlDeviceGetTotalEnergyConsumption {code}")
    counter = energy_counter(GPU)
    assert isinstance(counter, NoCounter)
    assert counter.state is state


def taken(counter, **parts):
    return take_energy(parts, counter, seconds=0.05, finish=NOTHING_TO_WAIT_FOR)


@driver.needs_gcc
def test_each_span_gets_its_joules_with_their_source(play):
    """A step takes what it took: on a busy machine a sleep is longer than it was asked to be."""
    play(device(), "power 0 0:100", "update 0.0005")
    took_s = {"layer": [], "kernel": []}

    def timed(span, runs):
        def work():
            begun = time.perf_counter()
            time.sleep(0.01)
            took_s[span].append(time.perf_counter() - begun)

        return replace(sleeping(0.01, runs=runs), work=work)

    readings, fact = taken(energy_counter(GPU), layer=timed("layer", 1), kernel=timed("kernel", 4))
    by_span = {(reading.span, reading.metric): reading.value for reading in readings}
    assert by_span["layer", "energy_j"] == pytest.approx(100 * mean(took_s["layer"]), rel=0.3)
    assert by_span["kernel", "energy_j"] == pytest.approx(100 * mean(took_s["kernel"]) / 4, rel=0.3)
    assert by_span["kernel", "energy_power_w"] == pytest.approx(100, rel=0.05)
    assert fact == {"state": "measured", "source": "nvml"}


@driver.needs_gcc
def test_a_gpu_lost_while_energy_is_taken_is_no_failure(play):
    play(device(), "power 0 0:100", "update 0.002", "lost 0 0.6")
    readings, fact = taken(energy_counter(GPU), layer=sleeping(0.002), kernel=sleeping(0.7))
    assert {reading.span for reading in readings} == {"layer"}
    assert (fact["state"], "lost" in fact["why"]) == ("lost", True)


def test_spans_that_the_counter_does_not_resolve_are_named():
    readings, fact = taken(EnergyCounter(source="rapl", read_j=lambda: 1.0), kernel=sleeping(0))
    assert readings == []
    assert fact == {"state": "too_coarse", "source": "rapl", "why": "the counter does not resolve kernel"}


def test_without_a_counter_the_state_says_why():
    why = "only root may read RAPL's counters"
    counter = NoCounter(state=State.NO_PERMISSION, why=why)
    assert taken(counter, kernel=sleeping(0)) == ([], {"state": "no_counter", "why": why})


ONE, EVERY, NONE = ({"energy": energy} for energy in ("one_backend", "every", "none"))
MEASURED = {"energy": {"state": "measured"}}


def test_one_backend_of_a_variant_has_its_energy_measured():
    schedule = EnergySchedule()
    eager, folded = (build(backend=name, provenance=MEASURED) for name in ("eager", "sdpa_folded"))
    assert schedule.is_due(eager.case, ONE)
    schedule.note(build(backend="eager", provenance={"energy": {"state": "no_counter"}}))
    schedule.note(build(backend="eager", status=Status.FAILED, provenance=MEASURED))
    assert schedule.is_due(folded.case, ONE)
    schedule.note(eager)
    assert not schedule.is_due(folded.case, ONE)
    assert schedule.is_due(build(seq_len=8192).case, ONE)
    assert schedule.is_due(folded.case, EVERY)
    assert not schedule.is_due(build(seq_len=8192).case, NONE)
