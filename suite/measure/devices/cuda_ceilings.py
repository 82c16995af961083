"""The two ceilings of a CUDA device, measured by its own events: a matrix product, and reading and copying memory.

Every span is timed with a flushed L2, so only working sets well above the L2 are tried. The best of several tries is
kept, since a ceiling is what can be reached.
"""

from collections.abc import Callable

import torch

from suite.measure.devices.cuda_clock import l2_bytes
from suite.theory.roofline import MeasuredCeilings

TRIES = 5
PRODUCT_SIZE, PRODUCT_SIZE_FLOAT64 = 8192, 4096
"""float64 is up to 64 times as slow on cards that are not made for it."""
SIZES_BYTES = (1 << 28, 1 << 30, 1 << 32)
OVER_L2 = 4
FLOAT_BYTES = 4


def measure_cuda_ceilings(dtype: torch.dtype) -> MeasuredCeilings:
    """Best matrix-product rate in FLOP/s, and best memory rate in B/s for working sets of several sizes."""
    size = PRODUCT_SIZE_FLOAT64 if dtype == torch.float64 else PRODUCT_SIZE
    a, b = (torch.randn(size, size, device="cuda").to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    product_s = _best_s(lambda: torch.mm(a, b, out=out))
    total_bytes = torch.cuda.get_device_properties().total_memory
    rates = {nbytes: _memory_rate(nbytes) for nbytes in sizes_tried(l2_bytes(), total_bytes)}
    return MeasuredCeilings(flops_per_s=2 * size**3 / product_s, bytes_per_s_by_size=rates)


def sizes_tried(cache_bytes: int, total_bytes: int) -> list[int]:
    """Working sets that no L2 holds and that leave the device room; the smallest at least."""
    fitting = [size for size in SIZES_BYTES if size >= OVER_L2 * cache_bytes and size <= total_bytes // 4]
    return fitting or [max(SIZES_BYTES[0], OVER_L2 * cache_bytes)]


def _memory_rate(nbytes: int) -> float:
    """The better of reading `nbytes` (a sum) and copying half as many to the other half."""
    values = torch.ones(nbytes // FLOAT_BYTES, device="cuda")
    source, target = values.chunk(2)
    return nbytes / min(_best_s(values.sum), _best_s(lambda: target.copy_(source)))


def _best_s(work: Callable[[], object]) -> float:
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
