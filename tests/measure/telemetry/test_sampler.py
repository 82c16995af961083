"""The series of a run: energy of a trace, marks, shares, phases, and what is said when a source breaks."""

import itertools
import time

import pytest

from suite.measure.telemetry import sampler
from suite.measure.telemetry.nvml import Nvml
from suite.measure.telemetry.sampler import Telemetry, TelemetryWatch, checked
from suite.measure.telemetry.source import Seen, Source
from suite.records.stores.store import read_record
from suite.records.stores.telemetry import Mark, read_series
from tests.fake_nvml import driver
from tests.fake_nvml.driver import FIRST, SECOND, device
from tests.records.factory import build, store

PERIOD_S = 0.02
USED = {"cuda_device": {"uuid": FIRST, "pci": None}}
SETTINGS = {
    "telemetry": {"sources": [], "period_s": 0.1, "energy": "none", "energy_seconds": 1.0},
    "price_per_device_hour": None,
}


def watched(seconds, *messages):
    watch = TelemetryWatch([Nvml()], PERIOD_S)
    for message in messages:
        watch.on_message(message)
    with watch:
        time.sleep(seconds)
    return watch


def of(watch, quantity, label="gpu0"):
    return [sample for sample in watch.samples if (sample.device, sample.quantity) == (label, quantity)]


@driver.needs_gcc
def test_energy_of_a_power_ramp_is_right_within_one_percent(play):
    script = play(device(), "power 0 0:100 0.3:400 0.6:400 0.9:50", "update 0.001")
    watch = watched(0.8)
    first, *_, last = of(watch, "energy_j")
    begin_s, end_s = (sample.time_s + watch_began(watch, script) for sample in (first, last))
    assert last.value - first.value == pytest.approx(ramp_j(end_s) - ramp_j(begin_s), rel=0.01)


def watch_began(watch, script):
    """Seconds from the script's zero to the watch's, by the clock that both stamp."""
    return watch.samples[0].unix_s - watch.samples[0].time_s - (time.time() - time.monotonic()) - script.epoch_s


def ramp_j(until_s, steps=20_000):
    """The integral of the ramp above, by small steps: independent of the stand-in's closed form."""
    points = [(0, 100), (0.3, 400), (0.6, 400), (0.9, 50), (1e9, 50)]
    total, width_s = 0.0, until_s / steps
    for index in range(steps):
        at_s = (index + 0.5) * width_s
        (left_s, left_w), (right_s, right_w) = next(pair for pair in itertools.pairwise(points) if at_s < pair[1][0])
        total += (left_w + (right_w - left_w) * (at_s - left_s) / (right_s - left_s)) * width_s
    return total


class Counter(Source):
    name = "counter"

    def __init__(self):
        super().__init__()
        self.looks = itertools.count()

    def sample(self, target, *, is_slow_tick):
        yield Seen("cpu", "energy_j", float(next(self.looks)))


def test_a_case_is_sampled_as_it_begins_and_once_more_as_it_ends():
    with TelemetryWatch([Counter()], period_s=1000.0) as watch:
        while not watch.samples:
            time.sleep(0.001)
    assert [sample.value for sample in watch.samples] == [0.0, 1.0]


@driver.needs_gcc
def test_throttled_samples_are_marked_and_none_is_dropped(play):
    # 0x1 is an idle GPU and 0x2 a set clock: neither is a throttle.
    script = play(device(), "reasons 0 0:0x1 0.1:0x2 0.2:0x4 0.3:0x48 0.4:0x2 0.5:0x1")
    watch = watched(0.6, USED)
    began_s = watch_began(watch, script)
    for sample in watch.samples:
        at_s = sample.time_s + began_s
        if min(abs(at_s - edge_s) for edge_s in (0.2, 0.4)) > 0.004:
            assert (sample.mark == Mark.THROTTLED) == (0.2 <= at_s < 0.4), at_s
    reasons = of(watch, "event_reasons")
    throttled = [sample for sample in reasons if int(sample.value) & 0xEC]
    assert [sample for sample in reasons if sample.mark] == throttled
    facts = watch.facts()
    assert facts["marked_share"] == {"gpu0": {Mark.THROTTLED: len(throttled) / len(reasons)}}
    assert len(reasons) == facts["ticks"] >= 25
    assert set(facts["event_reasons_share"]["gpu0"]) == {
        *("gpu_idle", "applications_clocks_setting", "sw_power_cap", "hw_slowdown", "hw_thermal_slowdown")
    }
    (warning,) = watch.warnings()
    assert "gpu0 was throttled in" in warning
    assert "sw_power_cap" in warning


@driver.needs_gcc
def test_an_unused_gpus_throttles_give_no_warning(play):
    play(device(), device(SECOND, "0:ca:0"), "reasons 1 0:0x4", "process 1 7 1", "process 1 8 1")
    watch = watched(0.1, USED)
    assert watch.facts()["marked_share"] == {"gpu1": {Mark.THROTTLED: 1.0}}
    assert watch.warnings() == []


@driver.needs_gcc
def test_a_gpu_that_others_hold_is_named_in_the_warnings(play):
    lines = ["process 0 7 1", "mps 0 100 1", "graphics 0 9 1", f"held 0 {3 << 29}"]
    play(device(), device(SECOND, "0:ca:0"), *lines, "graphics 1 9 1", f"held 1 {200 << 20}")
    watch = watched(0.1, USED, {"pid": 100})
    assert watch.warnings() == [
        "1 other process was computing on gpu0",
        "gpu0 is shared by MPS: its power, memory and clocks are those of all its clients",
        "gpu0 also draws: a graphics process holds memory and time of it",
        "1.50 GiB of gpu0's memory were held before anything ran here",
    ]
    first, second = watch.facts()["devices"].values()
    counted = {name: first[name] for name in ("mps_processes", "graphics_processes", "held_before_bytes")}
    assert counted == {"mps_processes": 1, "graphics_processes": 1, "held_before_bytes": 3 << 29}
    assert "mps_processes" not in second
    watch.on_message({"cuda_device": {"uuid": SECOND, "pci": None}})
    assert [warning for warning in watch.warnings() if "gpu1" in warning] == [
        "gpu1 also draws: a graphics process holds memory and time of it"
    ]


@driver.needs_gcc
def test_other_processes_and_a_lost_or_split_gpu_give_warnings(play):
    play(device(), device(SECOND, "0:ca:0"), "process 0 7 1", "process 0 8 1", "lost 0 0.4", "mig 1")
    watch = watched(0.5, USED, {"cuda_device": {"uuid": SECOND, "pci": None}})
    processes, lost, split = watch.warnings()
    assert "1 other process was computing on gpu0" in processes
    assert "lost while the case ran" in lost
    assert "split by MIG" in split


class Ticking(Source):
    name = "ticking"

    def sample(self, target, *, is_slow_tick):
        yield Seen("cpu", "cpu_pressure_share", 0.5 if target.pid == 3 else 0.0)


class Breaking(Source):
    name = "breaking"

    def sample(self, target, *, is_slow_tick):
        raise RuntimeError("no such file")


def test_phases_times_and_pressure_are_kept(tmp_path):
    watch = TelemetryWatch([Ticking()], PERIOD_S)
    with watch:
        time.sleep(0.05)
        watch.on_message({"phase": "measure", "pid": 3})
        time.sleep(0.05)
    assert {sample.phase for sample in watch.samples} == {"", "measure"}
    times_s = [sample.time_s for sample in watch.samples]
    assert times_s == sorted(times_s)
    assert all(abs(sample.unix_s - time.time()) < 5 for sample in watch.samples)
    for sample in watch.samples:
        assert sample.mark == (Mark.PRESSURED if sample.value else None)
    record = build(provenance={"telemetry": watch.facts()})
    (folder,) = store(tmp_path, record, series=watch.samples)
    assert read_series(read_record(folder), folder) == watch.samples


def test_a_broken_source_ends_the_series_and_not_the_run():
    watch = TelemetryWatch([Ticking(), Breaking()], PERIOD_S)
    with watch:
        time.sleep(0.05)
    (warning,) = watch.warnings()
    assert "telemetry stopped early: RuntimeError: no such file" in warning


def test_a_long_run_is_sampled_ever_more_slowly(monkeypatch):
    monkeypatch.setattr(sampler, "SLOWER_EVERY_SAMPLES", 4)
    watch = TelemetryWatch([Ticking()], PERIOD_S)
    with watch:
        time.sleep(0.3)
    times_s = [sample.time_s for sample in watch.samples]
    # Ticks lie on a grid of the period: 0.02 s at first, from the fifth sample on 0.04 s and more.
    assert all(later - earlier > PERIOD_S * 1.5 for earlier, later in itertools.pairwise(times_s[8:-1]))
    assert watch.facts()["last_period_s"] == PERIOD_S * 2 ** (len(times_s) // 4)


def test_without_sources_nothing_is_watched():
    with Telemetry({"period_s": 0.1, "sources": []}).watch() as watch:
        pass
    assert (watch.samples, watch.facts(), watch.warnings()) == ([], {}, [])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"telemetry": {**SETTINGS["telemetry"], "period_s": 0.001}}, "telemetry.period_s must be at least 0.02"),
        ({"telemetry": {**SETTINGS["telemetry"], "period_s": "fast"}}, "telemetry.period_s must be a number above 0"),
        ({"telemetry": {**SETTINGS["telemetry"], "energy": "all"}}, "one_backend, every, none; got 'all'"),
        ({"price_per_device_hour": -1}, "price_per_device_hour must be a number above 0; got -1"),
    ],
)
def test_wrong_settings_are_refused_in_a_sentence(change, sentence):
    checked(SETTINGS)
    with pytest.raises(ValueError, match=sentence):
        checked(SETTINGS | change)
