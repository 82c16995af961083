"""The share of a measured time that is the way of measuring it: one plain read, timed in every way, on a GPU.

    python -m suite.measure.bias [--out FILE]

A flush that writes leaves up to a whole L2 of dirty lines, which are written back while the span behind it runs; one
that reads leaves nothing to do. A graph of one run starts behind its flush, one of many runs over copies of the input
starts once for all of them, and no copy is in the cache when its turn comes again. The bytes of a read are known, so
its time shows what each way adds. Our own clock must agree with the flush by reads within TOLERANCE or
RESOLVED_S, and its probe must show that the cache was cold.

Prints a line a size; ends with 1 where our clock is off, and with 3 where there is no GPU.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import torch

from suite.machine.streams import run_guarded
from suite.measure.devices.cuda import FLUSHED
from suite.measure.devices.cuda_clock import FLUSH_OVER_L2, CudaFlush, event_clock, l2_bytes
from suite.measure.devices.cuda_graph import captured
from suite.measure.meter import Meter
from suite.measure.rotated_buffers import rotated
from suite.records.stores.files import write_named

TOLERANCE, RESOLVED_S = 0.03, 1e-6  # an event tells 0.5 us, and a small read takes 9
# Bytes that are read. The third is the cache of MLA with 128 heads at 16,384 tokens and a batch of 8.
SIZES_BYTES = (16_000_000, 64_000_000, 151_000_000, 537_000_000)
FLOAT_BYTES = 4
STEPS = 60
OURS, WARM = "ours", "warm"
WRITE, READ, WRITE_THEN_READ = "flush by a write", "flush by a read", "flush by a write, then a read"
GRAPH_WRITE, GRAPH_READ = f"graph, {WRITE}", f"graph, {READ}"
ROTATED = "graph of copies"
# The two ways that each ratio is of.
RATIOS = {
    "ours_over_read_flush": (OURS, READ),
    "write_over_read_flush": (WRITE, READ),
    "write_over_read_flush_in_a_graph": (GRAPH_WRITE, GRAPH_READ),
    "graph_over_launched": (GRAPH_READ, READ),
    "single_graph_over_copies": (GRAPH_READ, ROTATED),
    "cold_over_warm": (READ, WARM),
}
AGREES, IS_OFF, CANNOT_SAY = 0, 1, 3

Work = Callable[[], object]


def main(out: Path | None) -> int:
    """Time reads in every way, print them and write them to `out` as JSON. Returns the exit code."""
    if not torch.cuda.is_available():
        print("bias: needs a GPU that torch finds; there is none here")
        return CANNOT_SAY
    with torch.inference_mode():
        launch_s = _launch_times()
        times = {size: _read_times(size) for size in SIZES_BYTES}
        probe = median(by_our_meter(_ones(FLOAT_BYTES).neg_, "flush_probe_ratio"))
    for name, seconds in launch_s.items():
        print(f"bias: one tiny kernel, {name}: {seconds * 1e6:.2f} us")
    print(f"bias: our flush, cold over warm reads of its probe: {probe:.2f}, where {FLUSHED} is asked for")
    for size, times_s in times.items():
        print(format_times(size, times_s))
    reads = {size: {"latency_s": times_s, **time_ratios(times_s)} for size, times_s in times.items()}
    write_findings(out, l2_bytes=l2_bytes(), flush_probe_ratio=probe, launch_s=launch_s, reads=reads)
    reasons = clock_faults(times, probe)
    print(f"bias: {'; '.join(reasons) or 'our clock agrees with a flush by reads'}")
    return IS_OFF if reasons else AGREES


def write_findings(out: Path | None, **findings: object) -> None:
    """Write findings, the GPU's name and the tolerance as JSON to `out`; nothing if that is None."""
    if out is not None:
        content = {"schema": 1, "gpu": torch.cuda.get_device_name(), "tolerance": TOLERANCE, **findings}
        write_named(out, (json.dumps(content, indent=1) + "\n").encode())


def time_ratios(times_s: Mapping[str, float]) -> dict[str, float]:
    """Ratios of the times, in the pairs that RATIOS names. `times_s`: seconds by the way of timing."""
    return {name: times_s[way] / times_s[other] for name, (way, other) in RATIOS.items()}


def format_times(size_bytes: int, times_s: Mapping[str, float]) -> str:
    """A line to print: a read's time in each way, and the bytes per second that it would mean."""
    ways = [f"{way} {time * 1e6:.1f} us ({size_bytes / time / 1e12:.2f} TB/s)" for way, time in times_s.items()]
    return f"bias: {size_bytes / 1e6:.0f} MB: {', '.join(ways)}"


def clock_faults(times: Mapping[int, Mapping[str, float]], flush_probe_ratio: float) -> list[str]:
    """Sentences on what is wrong with our own clock; none if it is right. NaN is wrong."""
    faults = []
    for size, times_s in times.items():
        ratio, apart_s = time_ratios(times_s)["ours_over_read_flush"], abs(times_s[OURS] - times_s[READ])
        if not apart_s <= max(TOLERANCE * times_s[READ], RESOLVED_S):
            faults.append(f"our clock gives {ratio:.3f} times the time behind a flush by reads at {size / 1e6:.0f} MB")
    if not flush_probe_ratio >= FLUSHED:
        faults.append(f"the flush's probe shows {flush_probe_ratio:.2f} times a warm read, less than {FLUSHED}")
    return faults


def by_events(run: Work, flush: Work) -> float:
    """Median seconds of a run by a CUDA event on either side of it, over STEPS runs, with a flush before each."""
    run()
    pairs = []
    for _ in range(STEPS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        flush()
        begin.record()
        run()
        end.record()
        pairs.append((begin, end))
    torch.cuda.synchronize()
    times_s: list[float] = [begin.elapsed_time(end) / 1e3 for begin, end in pairs]
    return median(times_s)


def _read_times(size_bytes: int) -> dict[str, float]:
    """Median seconds of reading `size_bytes` on the GPU, by the way of timing it."""
    reads = rotated(torch.sum, [_ones(size_bytes)], l2_bytes(), sys.maxsize).runs
    filler = torch.zeros(FLUSH_OVER_L2 * l2_bytes() // FLOAT_BYTES, device="cuda")
    read = reads[0]

    def write_then_read() -> None:
        filler.zero_()
        filler.sum()

    (single, _), (of_copies, _) = captured([read]), captured(reads)
    return {
        OURS: median(by_our_meter(read, "latency_s")),
        WARM: by_events(read, lambda: None),
        WRITE: by_events(read, filler.zero_),
        READ: by_events(read, filler.sum),
        WRITE_THEN_READ: by_events(read, write_then_read),
        GRAPH_WRITE: by_events(single.replay, filler.zero_),
        GRAPH_READ: by_events(single.replay, filler.sum),
        ROTATED: by_events(of_copies.replay, filler.sum) / len(reads),
    }


def _launch_times() -> dict[str, float]:
    """Median seconds of a kernel that does next to nothing, by the way of launching it."""
    single_float, filler = _ones(FLOAT_BYTES), torch.zeros(FLUSH_OVER_L2 * l2_bytes() // FLOAT_BYTES, device="cuda")
    touch, many = single_float.neg_, 100
    return {
        "launched": by_events(touch, filler.sum),
        "in a graph": by_events(captured([touch])[0].replay, filler.sum),
        f"in a graph of {many}": by_events(captured([touch] * many)[0].replay, filler.sum) / many,
    }


def by_our_meter(run: Work, metric: str, *, steps: int | None = None) -> list[float]:
    """Values of one metric at each of `steps` runs behind our flush, by the clock that times cases."""
    run()
    meter = Meter(CudaFlush(l2_bytes()), event_clock({}))
    for _ in range(steps or STEPS):
        with meter.span("read"):
            run()
    return [reading.value for reading in meter.readings if reading.metric == metric]


def _ones(size_bytes: int) -> torch.Tensor:
    return torch.ones(size_bytes // FLOAT_BYTES, device="cuda")


def run_by_hand(program: Callable[[Path | None], int]) -> None:
    """Parse --out, run the program with its path or None, and exit with its code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    sys.exit(run_guarded(lambda: program(parser.parse_args().out)))


if __name__ == "__main__":
    run_by_hand(main)
