"""The clock of a CUDA run, and the flush before it.

Two events stand in the device's own queue around a span, and their distance is what the device took. The device must
not reach the first before all of the span is launched: it would wait for Python in between, and that would be timed. So
a kernel that only spins holds it for as long as launching flush and span takes. Where the first event was reached too
early all the same, a reading says so.
"""

import functools
import time
from collections.abc import Callable, Mapping, MutableMapping

import torch

from suite.measure.meter import Probe, Seen, cpu_clock, involuntary_switches

FLUSH_OVER_L2 = 2
# The flush is proved by reading one part in so many of the L2: enough to take longer than a kernel's own start-up.
PROBE_SHARE = 4
FLOAT_BYTES = 4
LAUNCHED_AHEAD = "launched_ahead"
HELD_OVER_LAUNCH = 1.5  # launches of one span differ, and so do the device's clocks
# Chosen, not measured, until a GPU is at hand: launching the flush, and a span that no run has launched yet.
FLUSH_LAUNCH_S, FIRST_LAUNCH_S = 2e-4, 5e-3
TRIED_CYCLES = 1_000_000  # between half a millisecond and one, at 1 to 2 GHz
MANY_THREADS = 2  # more than one for the clock, so that wall time judges: the device works beside the host's thread


def l2_bytes() -> int:
    """Size of the current CUDA device's L2 cache."""
    size: int = torch.cuda.get_device_properties().L2_cache_size
    return size


def event_clock(runs: Mapping[str, int], launch_s: MutableMapping[str, float] | None = None) -> Probe:
    """A probe for a span's time on the device. `runs`: repetitions of a span's work, 1 where it is not named; every
    figure is that of one run. `launch_s`: the longest time that launching a span took so far, for a CudaFlush.

    The CPU times are the host's until everything is launched. Wall time ends when the device has finished, and begins
    while it is still held and flushes.
    """
    longest_s = {} if launch_s is None else launch_s

    def start(span: str) -> Callable[[], Seen]:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        switches = involuntary_switches()
        process, thread, wall = time.process_time(), time.thread_time(), time.perf_counter()
        begin.record()

        def stop() -> Seen:
            """Record the second event and wait for it: the seconds of one run by every clock, and whether all of it was
            launched before the device began."""
            end.record()
            thread_cpu_s = time.thread_time() - thread
            process_cpu_s = time.process_time() - process
            is_ahead = not begin.query()
            longest_s[span] = max(longest_s.get(span, 0.0), time.perf_counter() - wall)
            now = involuntary_switches()
            end.synchronize()  # after the CPU's clocks were read: it waits by spinning
            wall_s = time.perf_counter() - wall
            count = runs.get(span, 1)
            return [
                {
                    "metric": "latency_s",
                    "value": begin.elapsed_time(end) / 1e3 / count,
                    "wall_s": wall_s / count,
                    "thread_cpu_s": thread_cpu_s / count,
                    "process_cpu_s": process_cpu_s / count,
                    "involuntary_switches": None if now is None or switches is None else now - switches,
                },
                {"metric": LAUNCHED_AHEAD, "value": float(is_ahead)},
            ]

        return stop

    return start


class CudaFlush:
    """A probe that reads twice the L2 before the clock starts, and holds the device until the span is launched.

    It only reads: lines that were written stay in the L2 until others need their place, so that after a flush that
    writes the span would wait for them to be written back, up to a whole L2 of them.

    A probe is read before and after it: the second time must be longer.
    """

    def __init__(self, cache_bytes: int, launch_s: Mapping[str, float] | None = None) -> None:
        """`launch_s`: how long launching took by span, as `event_clock` notes it; else FIRST_LAUNCH_S."""
        self._launch_s = {} if launch_s is None else launch_s
        self._filler = torch.ones(FLUSH_OVER_L2 * cache_bytes // FLOAT_BYTES, device="cuda")
        self._probe = torch.ones(cache_bytes // PROBE_SHARE // FLOAT_BYTES, device="cuda")

    def __call__(self, span: str) -> Callable[[], Seen]:
        # The flush takes no part in holding: with a small cache it is over before one kernel is launched.
        held_s = FLUSH_LAUNCH_S + HELD_OVER_LAUNCH * self._launch_s.get(span, FIRST_LAUNCH_S)
        torch.cuda._sleep(int(held_s * _sleep_cycles_per_s(torch.cuda.current_device())))
        self._probe.sum()
        warm = self._read()
        self._filler.sum()
        cold = self._read()

        def stop() -> Seen:
            # The clock has stopped by now, so all of these events have happened.
            ratio = cold[0].elapsed_time(cold[1]) / warm[0].elapsed_time(warm[1])
            return [{"metric": "flush_probe_ratio", "value": ratio}]

        return stop

    def _read(self) -> tuple[torch.cuda.Event, torch.cuda.Event]:
        """Read the probe. Returns the events before and after it."""
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        self._probe.sum()
        end.record()
        return begin, end


@functools.cache
def _sleep_cycles_per_s(device: int) -> float:
    """Cycles of the spinning kernel in a second on the current device, timed once: its clock may still rise."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda._sleep(TRIED_CYCLES)  # loads the kernel
    begin.record()
    torch.cuda._sleep(TRIED_CYCLES)
    end.record()
    end.synchronize()
    seconds: float = begin.elapsed_time(end) / 1e3
    return TRIED_CYCLES / seconds


def nvtx_range(span: str) -> Callable[[], Seen]:
    """A probe that marks a span as an NVTX range, for nsys. It starts after the flush, which is no part of the span."""
    torch.cuda.nvtx.range_push(f"span {span}")

    def stop() -> Seen:
        torch.cuda.nvtx.range_pop()
        return ()

    return stop


def synchronised_clock(span: str) -> Callable[[], Seen]:
    """A probe of wall time from idle device to idle device, for spans far longer than waiting for the device."""
    torch.cuda.synchronize()
    stop_clock = cpu_clock(MANY_THREADS)(span)

    def stop() -> Seen:
        torch.cuda.synchronize()
        return stop_clock()

    return stop
