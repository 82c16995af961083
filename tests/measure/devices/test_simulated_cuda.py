"""The CUDA clock, its flush and its graphs on a device whose times are known."""

import json
from statistics import median
from types import SimpleNamespace

import pytest
import torch

from suite.measure import bias
from suite.measure.devices import cuda, cuda_clock, cuda_graph, device_for
from suite.measure.meter import Meter
from suite.measure.rotated_buffers import RotatedRuns, rotated
from suite.theory.layers.roofline import MeasuredCeilings
from tests.measure.devices.simulated_cuda import BYTES_PER_S, L2_BYTES, LAUNCH_S, LINE_BYTES, START_S, simulated_cuda

CEILINGS = MeasuredCeilings(flops_per_s=1e15, bytes_per_s_by_size={1 << 20: BYTES_PER_S})
STEPS = 5


@pytest.fixture
def chip(monkeypatch):
    with simulated_cuda(monkeypatch) as chip:
        yield chip


class Reads:
    """A workload of one span that reads `nbytes`."""

    def __init__(self, nbytes, *, launches=1, graphable=True, work=None):
        self.inputs = [torch.ones(nbytes // 4)]
        self.launches, self.work = launches, work or self._read
        costs = {"kernel": {"flops": 1.0, "traffic_bytes": float(nbytes)}}
        self.plan = SimpleNamespace(constants=lambda: costs)
        if graphable:
            self.rotated_runs = lambda span, cache_bytes, most_bytes: rotated(
                self.work, self.inputs, cache_bytes, most_bytes
            )

    def _read(self, values):
        for _ in range(self.launches):
            out = values.sum()
        return out

    def parts(self):
        return {"kernel": lambda: self.work(*self.inputs)}

    def step(self, meter):
        with meter.span("kernel"):
            self.work(*self.inputs)


def timed(workload):
    device = device_for("cuda", 1)
    setup = device.timed(workload, CEILINGS)
    meter = Meter(*setup.probes)
    for _ in range(STEPS):
        setup.step(meter)
    found = {
        metric: [reading.value for reading in meter.readings if reading.metric == metric]
        for metric in ("latency_s", "flush_probe_ratio")
    }
    return found, [*setup.warnings, *device.warnings(meter.readings)], setup.facts["cuda_graph"]["kernel"]


def read_s(nbytes):
    return nbytes / BYTES_PER_S


@pytest.mark.parametrize("over_l2", [0.5, 1, 2, 4, 16])
def test_a_read_takes_what_its_bytes_take_at_every_size(chip, over_l2):
    nbytes = int(over_l2 * L2_BYTES)
    found, warnings, captured = timed(Reads(nbytes))
    assert found["latency_s"] == pytest.approx([read_s(nbytes)] * STEPS, rel=0.1)
    copies = max(4, int(5 / over_l2))
    assert captured == {"turns": max(10, 12 * (copies == 4)), "copies": copies, "rotated_bytes": copies * nbytes}
    assert not warnings


def test_without_a_graph_the_flush_leaves_nothing_behind(chip):
    nbytes = L2_BYTES // 2
    found, warnings, captured = timed(Reads(nbytes, graphable=False))
    assert found["latency_s"] == pytest.approx([read_s(nbytes) + START_S] * STEPS, rel=0.02)
    assert captured == "not offered by the workload"
    assert not warnings


def test_a_slow_host_is_ahead_of_the_device_all_the_same(chip):
    chip.launch_s = 13 * LAUNCH_S
    found, _, _ = timed(Reads(L2_BYTES // 2, graphable=False))
    assert found["latency_s"] == pytest.approx([read_s(L2_BYTES // 2) + START_S] * STEPS, rel=0.02)


def test_what_work_wrote_is_written_back_before_the_next_span(chip):
    target = torch.ones(L2_BYTES // 8)
    found, _, _ = timed(Reads(L2_BYTES // 2, graphable=False, work=lambda values: target.copy_(values[: len(target)])))
    assert found["latency_s"] == pytest.approx([read_s(L2_BYTES // 2) + START_S] * STEPS, rel=0.1)


def test_the_probe_shows_a_flush_and_its_absence(chip, monkeypatch):
    found, _, _ = timed(Reads(L2_BYTES, graphable=False))
    assert median(found["flush_probe_ratio"]) > 4
    monkeypatch.setattr(cuda, "l2_bytes", lambda: L2_BYTES // 4)
    _, warnings, _ = timed(Reads(L2_BYTES, graphable=False))
    assert any("may not be cold" in warning for warning in warnings)


def test_a_layer_of_many_launches_does_not_wait_for_the_host(chip):
    layer = Reads(16 * LINE_BYTES, launches=200)
    layer.rotated_runs = lambda span, cache_bytes, most_bytes: RotatedRuns(runs=[layer.parts()["kernel"]])
    found, warnings, captured = timed(layer)
    assert captured == {"turns": 1, "copies": 1, "rotated_bytes": 0}
    assert max(found["latency_s"]) < 200 * 0.5 * LAUNCH_S
    assert not warnings


def test_what_python_launches_is_held_back_until_all_is_queued(chip):
    """Of 200 launches the host makes 1.2 ms, twelve flushes, and the device 0.4 ms."""
    found, warnings, _ = timed(Reads(LINE_BYTES, launches=200, graphable=False))
    assert found["latency_s"] == pytest.approx([200 * START_S] * STEPS, rel=0.02)
    assert not warnings


def test_a_device_that_begins_before_all_is_launched_is_named(chip, monkeypatch):
    monkeypatch.setattr(torch.cuda, "_sleep", lambda cycles: None)
    monkeypatch.setattr(cuda_clock, "_sleep_cycles_per_s", lambda device: 1.0)
    _, (warning,), _ = timed(Reads(LINE_BYTES, launches=200, graphable=False))
    assert warning.startswith("kernel: in 5 of 5 runs the device began before all of it was launched")


def test_each_gpu_captures_in_a_stream_of_its_own(chip, monkeypatch):
    streams = []
    monkeypatch.setattr(torch.cuda, "Stream", streams.append)
    cuda_graph._capture_stream.cache_clear()
    for number in (0, 1, 0):
        monkeypatch.setattr(torch.cuda, "current_device", lambda number=number: number)
        cuda_graph.captured([torch.ones(4).sum])
    cuda_graph._capture_stream.cache_clear()
    assert streams == [0, 1], "a stream of the first would make it the current one again"


def test_copies_leave_room(chip, monkeypatch):
    nbytes = 2 * L2_BYTES
    for free_copies, copies in ((8, 4), (4, 3), (2, 2), (1, 1)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda free=free_copies: (free * nbytes, 1 << 40))
        assert timed(Reads(nbytes))[2]["copies"] == copies


def test_work_that_escapes_a_capture_is_found(chip):
    out = torch.zeros(64)

    def work(values):
        out.numpy()[:] = values.numpy()  # a kernel of a library that knows nothing of torch's stream
        return out

    _, warnings, captured = timed(Reads(256, work=work))
    assert captured == "captured, but the graph does not compute what the work does"
    assert any(captured in warning for warning in warnings)


def test_work_that_waits_for_the_device_is_not_captured(chip):
    _, _, captured = timed(Reads(L2_BYTES, work=lambda values: values * values.sum().item()))
    assert captured.startswith("cannot be captured (CUDA error: operation not permitted when stream is capturing")
    assert chip.capturing is None


def test_the_range_for_a_timeline_holds_the_span_alone(chip, monkeypatch):
    launch = chip.launch
    monkeypatch.setattr(chip, "launch", lambda *what, **how: chip.ranges.append("kernel") or launch(*what, **how))
    timed(Reads(L2_BYTES, graphable=False))
    first = chip.ranges.index("span kernel")
    assert chip.ranges[first : first + 3] == ["span kernel", "kernel", "end"]


def test_a_flush_by_writes_is_told_from_one_by_reads(chip, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bias, "SIZES_BYTES", (L2_BYTES // 2, 4 * L2_BYTES))
    monkeypatch.setattr(bias, "STEPS", STEPS)
    assert bias.main(tmp_path / "bias.json") == bias.AGREES
    assert "our clock agrees" in capsys.readouterr().out
    small, _ = json.loads((tmp_path / "bias.json").read_bytes())["reads"].values()
    assert small["ours_over_read_flush"] == pytest.approx(1, abs=0.03)
    assert small["write_over_read_flush"] > 1.5
    assert small["single_graph_over_copies"] > 1.1
    assert small["cold_over_warm"] > 2
