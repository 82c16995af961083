"""The arithmetic of the ways of measuring; what they give on a GPU no CPU can show."""

import itertools

import pytest
import torch

from suite.measure import bias
from suite.measure.bias import (
    FLUSHED,
    OURS,
    RATIOS,
    READ,
    TOLERANCE,
    by_events,
    clock_faults,
    format_times,
    time_ratios,
)
from tests.measure.devices.test_cuda import events

GOOD = {way: 50e-6 for ways in RATIOS.values() for way in ways}
WRITTEN_BACK = {**GOOD, bias.WRITE: 67e-6, bias.GRAPH_WRITE: 68e-6, bias.ROTATED: 40e-6, bias.WARM: 20e-6, OURS: 51e-6}


def test_each_ratio_is_of_the_ways_that_its_name_says():
    assert time_ratios(WRITTEN_BACK) == pytest.approx(
        {
            "ours_over_read_flush": 51 / 50,
            "write_over_read_flush": 67 / 50,
            "write_over_read_flush_in_a_graph": 68 / 50,
            "graph_over_launched": 1.0,
            "single_graph_over_copies": 50 / 40,
            "cold_over_warm": 50 / 20,
        }
    )


def test_a_line_says_the_rate_that_each_time_would_mean():
    assert format_times(151_000_000, {READ: 50e-6, OURS: 75.5e-6}) == (
        "bias: 151 MB: flush by a read 50.0 us (3.02 TB/s), ours 75.5 us (2.00 TB/s)"
    )


@pytest.mark.parametrize("off", [TOLERANCE * 0.99, -TOLERANCE * 0.99])
def test_a_clock_within_the_tolerance_has_no_fault(off):
    assert clock_faults({1: {**GOOD, OURS: (1 + off) * 50e-6}}, FLUSHED) == []


@pytest.mark.parametrize(("off_s", "faults"), [(0.99e-6, 0), (-0.99e-6, 0), (1.01e-6, 1)])
def test_a_short_read_may_be_off_by_what_events_resolve(off_s, faults):
    assert len(clock_faults({1: {**GOOD, READ: 9e-6, OURS: 9e-6 + off_s}}, FLUSHED)) == faults


@pytest.mark.parametrize("ours_s", [67e-6, 40e-6, float("nan")])
def test_a_clock_that_is_off_at_one_size_is_named(ours_s):
    (fault,) = clock_faults({16_000_000: GOOD, 151_000_000: {**GOOD, OURS: ours_s}}, FLUSHED)
    assert fault == f"our clock gives {ours_s / 50e-6:.3f} times the time behind a flush by reads at 151 MB"


@pytest.mark.parametrize("ratio", [FLUSHED - 0.01, float("nan")])
def test_a_flush_that_its_probe_does_not_show_is_a_fault(ratio):
    (fault,) = clock_faults({1: GOOD}, ratio)
    assert fault.endswith(f"{ratio:.2f} times a warm read, less than {FLUSHED}")


def test_only_the_run_lies_between_the_two_events(monkeypatch):
    device_ms, durations_ms = [0.0], iter([500.0, *itertools.islice(itertools.cycle([1.0, 2.0, 9.0]), bias.STEPS)])

    def work(take):
        def run():
            device_ms[0] += take()

        return run

    monkeypatch.setattr(torch.cuda, "Event", events(lambda: device_ms[0] / 1e3))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    measured_s = by_events(work(lambda: next(durations_ms)), work(lambda: 30.0))
    assert measured_s == pytest.approx(0.002)  # neither the first run's, which sets things up, nor the flush's
    assert next(durations_ms, None) is None


def test_without_a_gpu_it_says_so_and_writes_nothing(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert bias.main(tmp_path / "bias.json") == bias.CANNOT_SAY
    assert capsys.readouterr().out == "bias: needs a GPU that torch finds; there is none here\n"
    assert not (tmp_path / "bias.json").exists()
