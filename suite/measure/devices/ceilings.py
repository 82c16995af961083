"""The two ceilings of a device, measured: a matrix product, and reading and copying memory.

They are taken once a sweep for each dtype and number of threads, by the clock that judges the cases. The best of
several tries is kept, since a ceiling is what can be reached. On CUDA every span is timed with a flushed L2, so only
working sets well above the L2 are tried.
"""

import time
from collections.abc import Callable

import torch

from suite.measure.devices.cuda_clock import l2_bytes
from suite.measure.meter import judging_clock
from suite.theory.layers.roofline import MeasuredCeilings

TRIES = 5
PRODUCT_SIZE = 1024
SIZES_BYTES = tuple((1 << 18) << 2 * step for step in range(6))  # working sets from a quarter of a MiB to 256 MiB
FEWEST_BYTES_A_TRY = 16 << 20
# float64 is up to 64 times as slow on cards that are not made for it.
CUDA_PRODUCT_SIZE, CUDA_PRODUCT_SIZE_FLOAT64 = 8192, 4096
CUDA_SIZES_BYTES = (1 << 28, 1 << 30, 1 << 32)
OVER_L2 = 4
FLOAT_BYTES = 4

# Returns the least time of several tries of a piece of work, in seconds.
BestTime = Callable[[Callable[[], object]], float]


def measure_ceilings(dtype: torch.dtype, threads: int) -> MeasuredCeilings:
    """The CPU's best matrix-product rate in FLOP/s, and its best memory rate in B/s by size of working set."""
    clock = time.thread_time if judging_clock(threads) == "thread_cpu" else time.perf_counter

    def best_s(work: Callable[[], object]) -> float:
        work()
        times = []
        for _ in range(TRIES):
            start = clock()
            work()
            times.append(clock() - start)
        return min(times)

    a, b = (torch.randn(PRODUCT_SIZE, PRODUCT_SIZE).to(dtype) for _ in range(2))
    product_s = best_s(lambda: torch.mm(a, b))
    rates = {size: _memory_rate(size, "cpu", best_s, calls=max(1, FEWEST_BYTES_A_TRY // size)) for size in SIZES_BYTES}
    return MeasuredCeilings(flops_per_s=2 * PRODUCT_SIZE**3 / product_s, bytes_per_s_by_size=rates)


def measure_cuda_ceilings(dtype: torch.dtype) -> MeasuredCeilings:
    """A CUDA device's best matrix-product rate in FLOP/s and memory rates in B/s, timed by its own events."""
    size = CUDA_PRODUCT_SIZE_FLOAT64 if dtype == torch.float64 else CUDA_PRODUCT_SIZE
    a, b = (torch.randn(size, size, device="cuda").to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    product_s = _best_event_s(lambda: torch.mm(a, b, out=out))
    sizes = sizes_tried(l2_bytes(), torch.cuda.get_device_properties().total_memory)
    rates = {nbytes: _memory_rate(nbytes, "cuda", _best_event_s) for nbytes in sizes}
    return MeasuredCeilings(flops_per_s=2 * size**3 / product_s, bytes_per_s_by_size=rates)


def sizes_tried(cache_bytes: int, total_bytes: int) -> list[int]:
    """Bytes of working sets from OVER_L2 times the L2 to a quarter of the memory; one at least."""
    fitting = [size for size in CUDA_SIZES_BYTES if size >= OVER_L2 * cache_bytes and size <= total_bytes // 4]
    return fitting or [max(CUDA_SIZES_BYTES[0], OVER_L2 * cache_bytes)]


def _memory_rate(nbytes: int, device: str, best_s: BestTime, *, calls: int = 1) -> float:
    """Bytes per second of reading `nbytes` (a sum) or of copying one half to the other, whichever is faster."""
    values = torch.ones(nbytes // FLOAT_BYTES, device=device)
    source, target = values.chunk(2)

    def read() -> None:
        for _ in range(calls):
            values.sum()

    def copy() -> None:
        for _ in range(calls):
            target.copy_(source)

    return calls * nbytes / min(best_s(read), best_s(copy))


def _best_event_s(work: Callable[[], object]) -> float:
    """Least seconds of TRIES calls by CUDA events, after one to warm up."""
    times_s: list[float] = []
    for attempt in range(1 + TRIES):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        if attempt:  # the first one allocates and chooses a kernel
            times_s.append(begin.elapsed_time(end) / 1e3)
    return min(times_s)
