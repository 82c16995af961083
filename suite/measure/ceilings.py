"""The two ceilings of this machine, measured: a matrix product, and reading and copying memory.

Taken once a sweep for each dtype and number of threads, by the clock that judges the cases. The best of several tries
is kept, since a ceiling is what can be reached.
"""

import time
from collections.abc import Callable

import torch

from suite.measure.clock import judging_clock
from suite.theory.roofline import MeasuredCeilings

TRIES = 5
PRODUCT_SIZE = 1024
SIZES_BYTES = tuple((1 << 18) << 2 * step for step in range(6))
"""Working sets from a quarter of a MiB to 256 MiB."""
FEWEST_BYTES_A_TRY = 16 << 20


def measure_ceilings(dtype: torch.dtype, threads: int) -> MeasuredCeilings:
    """Best matrix-product rate in FLOP/s, and best memory rate in B/s for working sets of several sizes."""
    clock = time.thread_time if judging_clock(threads) == "thread_cpu" else time.perf_counter
    a, b = (torch.randn(PRODUCT_SIZE, PRODUCT_SIZE).to(dtype) for _ in range(2))
    product_s = _best_s(lambda: torch.mm(a, b), clock)
    rates = {size: _memory_rate(size, clock) for size in SIZES_BYTES}
    return MeasuredCeilings(flops_per_s=2 * PRODUCT_SIZE**3 / product_s, bytes_per_s_by_size=rates)


def _memory_rate(size: int, clock: Callable[[], float]) -> float:
    """The better of reading `size` bytes (a sum) and copying half as many to the other half."""
    values = torch.ones(size // 4)
    source, target = values.chunk(2)
    calls = max(1, FEWEST_BYTES_A_TRY // size)

    def read() -> None:
        for _ in range(calls):
            values.sum()

    def copy() -> None:
        for _ in range(calls):
            target.copy_(source)

    return calls * size / min(_best_s(read, clock), _best_s(copy, clock))


def _best_s(work: Callable[[], object], clock: Callable[[], float]) -> float:
    work()
    times = []
    for _ in range(TRIES):
        start = clock()
        work()
        times.append(clock() - start)
    return min(times)
