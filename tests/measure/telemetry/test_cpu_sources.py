"""RAPL, pressure and the worker's process, over files of the kernel's own form."""

import os
import subprocess
import sys
import time

import pytest

from suite.machine.nvml import State
from suite.measure.telemetry.counters import energy_counter
from suite.measure.telemetry.machine import Machine
from suite.measure.telemetry.rapl import Rapl
from suite.measure.telemetry.sampler import disturbance
from suite.measure.telemetry.source import Target
from suite.measure.telemetry.worker import WorkerProcess
from suite.records.stores.telemetry import Mark

NOBODY = Target()


def package(root, index, energy_uj, *, range_uj=1_000_000, name="package-0"):
    folder = root / f"intel-rapl:{index}"
    folder.mkdir(exist_ok=True)
    for file, content in (("name", name), ("energy_uj", energy_uj), ("max_energy_range_uj", range_uj)):
        (folder / file).write_text(f"{content}\n")


def energy_j(rapl):
    return [value for _, _, value in rapl.sample(NOBODY, is_slow_tick=False)]


def test_rapl_sums_whole_packages_and_survives_an_overflow(tmp_path):
    package(tmp_path, "0", 999_000)
    package(tmp_path, "1", 0)
    package(tmp_path, "0:0", 5, name="core")
    rapl = Rapl(tmp_path)
    assert rapl.state is State.MEASURED
    package(tmp_path, "0", 500_999)  # past its range of 1,000,000, so 502,000 µJ
    package(tmp_path, "1", 250_000)
    package(tmp_path, "0:0", 900_000, name="core")
    assert energy_j(rapl) == [pytest.approx(0.752)]


def test_a_case_on_the_cpu_is_charged_by_the_packages(tmp_path):
    package(tmp_path, "0", 1_000)
    counter = energy_counter(None, tmp_path)
    package(tmp_path, "0", 251_000)
    assert (counter.source, counter.read_j()) == ("rapl", pytest.approx(0.25))


def test_without_rapl_the_state_says_so_and_nothing_is_read(tmp_path):
    rapl = Rapl(tmp_path)
    assert (rapl.state, energy_j(rapl)) == (State.NOT_HERE, [])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_rapl_that_only_root_may_read_says_so(tmp_path):
    package(tmp_path, "0", 5)
    (tmp_path / "intel-rapl:0" / "energy_uj").chmod(0)
    assert Rapl(tmp_path).state is State.NO_PERMISSION


def pressure(root, some_us):
    for name in ("cpu", "memory"):
        (root / name).write_text(f"some avg10=9.99 avg60=0.00 avg300=0.00 total={some_us}\nfull avg10=0.00 total=0\n")


def test_pressure_is_the_share_of_the_time_between_two_samples(tmp_path):
    pressure(tmp_path, 1_000_000)
    machine = Machine(tmp_path)
    assert not any("pressure" in seen.quantity for seen in machine.sample(NOBODY, is_slow_tick=False))
    begun = time.monotonic()
    time.sleep(0.1)
    pressure(tmp_path, 1_050_000)
    found = {seen.quantity: seen.value for seen in machine.sample(NOBODY, is_slow_tick=False)}
    assert found["cpu_pressure_share"] == pytest.approx(0.05 / (time.monotonic() - begun), rel=0.05)
    assert "io_pressure_share" not in found
    missing = machine.facts(NOBODY)["cpu"]["missing"]
    assert missing["io_pressure_share"] == State.NOT_HERE
    assert not {"cpu_pressure_share", "memory_pressure_share"} & set(missing)
    machine.begin()
    assert not any("pressure" in seen.quantity for seen in machine.sample(NOBODY, is_slow_tick=False))


@pytest.mark.parametrize(
    "error",
    [
        NotImplementedError("can't find current frequency file"),
        RuntimeError("'pmgr' entry not found in AppleARMIODevice"),
        SystemError("<built-in function cpu_freq> returned NULL without setting an exception"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_cpu_without_a_frequency_has_all_else(tmp_path, monkeypatch, error):
    def refuse():
        raise error

    pressure(tmp_path, 1_000_000)
    monkeypatch.setattr("psutil.cpu_freq", refuse)
    machine = Machine(tmp_path)
    list(machine.sample(NOBODY, is_slow_tick=True))
    found = {seen.quantity for seen in machine.sample(NOBODY, is_slow_tick=True)}
    assert "cpu_pressure_share" in found
    assert "frequency_hz" not in found
    assert machine.facts(NOBODY)["cpu"]["missing"]["frequency_hz"] == State.NOT_HERE


def test_a_system_without_pressure_says_so(tmp_path):
    machine = Machine(tmp_path / "none")
    assert machine.state is State.NOT_HERE
    assert not any("pressure" in seen.quantity for seen in machine.sample(NOBODY, is_slow_tick=False))


@pytest.mark.parametrize(
    ("seen", "mark"),
    [
        ({}, None),
        ({"event_reasons": 0x3 | 0x10 | 0x100}, None),
        *(({"event_reasons": bit}, Mark.THROTTLED) for bit in (0x4, 0x8, 0x20, 0x40, 0x80)),
        ({"cpu_pressure_share": 0.1, "steal_share": 0.05}, None),
        ({"cpu_pressure_share": 0.11}, Mark.PRESSURED),
        ({"steal_share": 0.06}, Mark.PRESSURED),
    ],
)
def test_what_marks_a_sample(seen, mark):
    assert disturbance(seen) is mark


def test_the_worker_is_seen_until_it_ends():
    busy = "x = bytearray(50_000_000)\nprint(1, flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE) as process:
        source, target = WorkerProcess(), Target(pid=process.pid)
        process.stdout.readline()
        list(source.sample(target, is_slow_tick=False))
        time.sleep(0.5)
        found = {seen.quantity: seen.value for seen in source.sample(target, is_slow_tick=False)}
        process.kill()
    assert found["rss_bytes"] > 50_000_000
    assert 0 < found["cpu_share"] <= 1.2
    assert list(source.sample(target, is_slow_tick=False)) == []
    assert list(source.sample(NOBODY, is_slow_tick=False)) == []
