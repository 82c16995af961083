"""The parts of the CUDA path that need no GPU, and those that do where there is one."""

from types import SimpleNamespace

import pytest
import torch
from torch.overrides import TorchFunctionMode

from suite.measure.devices import device_for
from suite.measure.devices.ceilings import measure_cuda_ceilings, sizes_tried
from suite.measure.devices.cuda_graph import SHORT_S, agrees, captured_step, short_spans
from suite.measure.meter import Meter
from suite.measure.profiling import short_kernel_name
from suite.measure.workload import UnsupportedError
from suite.records.holdings import ALLOCATOR_PEAK, RESERVED_PEAK
from suite.theory.layers.roofline import MeasuredCeilings
from tests.measure.devices.test_ceilings import BYTES_PER_S, FLOPS_PER_S, Machine

H100_LIKE = MeasuredCeilings(flops_per_s=6e14, bytes_per_s_by_size={1 << 28: 3e12, 1 << 30: 2.9e12})
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class OnNoDevice(TorchFunctionMode):
    """Tensors for a GPU, made without memory."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        asked = kwargs or {}
        return func(*args, **(asked | ({"device": "meta"} if asked.get("device") == "cuda" else {})))


def events(now_s):
    """A class of events for a device whose clock is given."""

    class Event:
        def __init__(self, *, enable_timing):
            assert enable_timing

        def record(self):
            self.at_s = now_s()

        def synchronize(self):
            pass

        def elapsed_time(self, end):
            return (end.at_s - self.at_s) * 1e3

    return Event


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_cuda_ceilings_are_amounts_between_two_events(monkeypatch, dtype):
    properties = SimpleNamespace(L2_cache_size=50 << 20, total_memory=80 << 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda: properties)
    with OnNoDevice(), Machine() as machine:
        monkeypatch.setattr(torch.cuda, "Event", events(lambda: machine.now))
        measured = measure_cuda_ceilings(dtype)
    assert measured.flops_per_s == pytest.approx(FLOPS_PER_S)
    assert measured.bytes_per_s_by_size == pytest.approx(dict.fromkeys((1 << 28, 1 << 30, 1 << 32), BYTES_PER_S))


def test_a_torch_without_cuda_is_said_in_one_sentence():
    if torch.cuda.is_available():
        pytest.skip("this torch finds a CUDA device")
    with pytest.raises(UnsupportedError, match=r"^device=cuda: \w+"):
        device_for("cuda", 1).require()


def test_nothing_of_the_device_is_touched_before_it_is_asked_for():
    device = device_for("cuda", 1)
    assert device.reset() is None or torch.cuda.is_initialized()
    assert not device.is_lost(RuntimeError("CUDA error: device-side assert")) or torch.cuda.is_initialized()


def test_spans_are_short_by_their_predicted_time():
    def kernel(seconds):
        return {"flops": seconds * 6e14, "traffic_bytes": 1.0}

    constants = {"kernel": kernel(SHORT_S / 2), "layer": kernel(SHORT_S * 2), "case": {"cache_bytes": 1.0}}
    assert short_spans(constants, H100_LIKE) == {"kernel": True, "layer": False}


def test_a_workload_that_offers_no_turns_is_timed_as_it_is():
    spans = {"short": {"flops": 6e8, "traffic_bytes": 1.0}, "long": {"flops": 6e13, "traffic_bytes": 1.0}}
    workload = SimpleNamespace(plan=SimpleNamespace(constants=lambda: spans), step=lambda meter: None, parts=dict)
    timed = captured_step(workload, H100_LIKE)
    assert (timed.step, timed.runs, timed.warnings) == (workload.step, {}, ())
    assert timed.facts == {"short": "not offered by the workload", "long": "not short"}


def test_a_graph_that_did_nothing_does_not_agree():
    expected = torch.randn(8, 8)
    assert agrees(expected + 1e-3 * torch.randn(8, 8), expected)
    assert not agrees(torch.zeros(8, 8), expected)
    assert not agrees(torch.full((8, 8), torch.nan), expected)


def test_working_sets_exceed_the_l2_and_leave_room():
    assert sizes_tried(50 << 20, 80 << 30) == [1 << 28, 1 << 30, 1 << 32]
    assert sizes_tried(126 << 20, 8 << 30) == [1 << 30]
    assert sizes_tried(4 << 20, 512 << 20) == [1 << 28]


@pytest.mark.parametrize(
    ("whole", "short"),
    [
        ("void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float>>(int)", "at::native::reduce_kernel"),
        ("void (anonymous namespace)::softmax<float>(float*)", "anonymous::softmax"),
        ("sm90_xmma_gemm_bf16bf16_bf16f32_tn_n", "sm90_xmma_gemm_bf16bf16_bf16f32_tn_n"),
        ("_mla_decode_kernel", "_mla_decode_kernel"),
    ],
)
def test_a_kernel_is_named_without_its_template_arguments(whole, short):
    assert short_kernel_name(whole) == short


@needs_cuda
def test_events_time_the_device_and_the_flush_shows():
    from suite.measure.devices.cuda_clock import CudaFlush, event_clock, l2_bytes

    values = torch.ones(1 << 26, device="cuda")
    meter = Meter(CudaFlush(l2_bytes()), event_clock({"many": 4}))
    for _ in range(20):
        for span, count in (("one", 1), ("many", 4)):
            with meter.span(span):
                for _ in range(count):
                    values.sum()
    by_span = {
        span: [r.value for r in meter.readings if r.span == span and r.metric == "latency_s"]
        for span in ("one", "many")
    }
    assert min(by_span["many"]) == pytest.approx(min(by_span["one"]), rel=0.3)
    assert not list(device_for("cuda", 1).warnings([r for r in meter.readings if r.metric == "flush_probe_ratio"]))


def test_a_cpu_does_not_say_what_its_allocator_held_at_most():
    device = device_for("cpu", 1)
    device.forget_peaks()
    assert device.peak_bytes() == {}


def test_the_peak_counts_from_where_it_was_forgotten(monkeypatch):
    counted = [7]
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", counted.clear)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: sum(counted))
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: sum(counted) + 2)
    device = device_for("cuda", 1)
    assert device.peak_bytes() == {ALLOCATOR_PEAK: 7, RESERVED_PEAK: 9}
    device.forget_peaks()
    assert device.peak_bytes() == {ALLOCATOR_PEAK: 0, RESERVED_PEAK: 2}


@needs_cuda
def test_the_peak_counts_anew_and_holds_what_was_held():
    device = device_for("cuda", 1)
    kept = torch.ones(1 << 20, device="cuda")
    torch.ones(1 << 22, device="cuda")
    device.forget_peaks()
    held_bytes = torch.cuda.memory_allocated()
    assert device.peak_bytes()[ALLOCATOR_PEAK] == held_bytes
    torch.ones(1 << 21, device="cuda")
    assert device.peak_bytes()[ALLOCATOR_PEAK] == held_bytes + (1 << 23)
    del kept


@needs_cuda
def test_a_graph_computes_what_the_work_does():
    from suite.measure.devices.cuda_graph import _capture_span
    from suite.measure.rotated_buffers import rotated

    inputs = [torch.randn(256, 256, device="cuda") for _ in range(2)]
    span = _capture_span(rotated(torch.mm, inputs, 10 * 2 * 256 * 256 * 4, 1 << 30))
    assert (span.runs, span.fact) == (10, {"turns": 10, "copies": 10, "rotated_bytes": 10 * 2 * 256 * 256 * 4})
