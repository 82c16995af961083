"""The same work with cold caches: the cost of a step when something else ran since the last one.

Before each span more bytes are read than the last-level cache holds. A small probe that was warm before shows that they
pushed it out: reading it again must take at least FLUSHED times as long.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import torch

from suite.machine.limits import available_bytes
from suite.measure.meter import Meter, Probe, Seen
from suite.records.record import Reading

FLUSHED = 2.0
PROBE_BYTES = 256 << 10
OVER_THE_CACHE = 1.1
CPU_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def last_level_cache_bytes(caches: Path = CPU_CACHES) -> int | None:
    """Size of the first CPU's largest cache for data; None where the system does not say."""
    sizes = [(path / "size", path / "type") for path in caches.glob("index*")]
    read = [size.read_text().strip() for size, kind in sizes if kind.read_text().strip() != "Instruction"]
    return max((int(text[:-1]) * UNITS[text[-1]] for text in read), default=None)


def cold_state(constants: Mapping[str, Mapping[str, float]]) -> str:
    """`measured`, or why not: `unknown_cache`, `as_warm` (no span fits the cache) or `no_memory`."""
    cache_bytes = last_level_cache_bytes()
    if cache_bytes is None:
        return "unknown_cache"
    if all(costs.get("traffic_bytes", math.inf) > cache_bytes for costs in constants.values()):
        return "as_warm"
    return "measured" if available_bytes() > 2 * OVER_THE_CACHE * cache_bytes else "no_memory"


def time_cold(step: Callable[[Meter], None], clock: Probe, *, steps: int, max_seconds: float) -> Sequence[Reading]:
    """Readings of `steps` steps with flushed caches, or of as many as `max_seconds` allows, one at least."""
    meter = Meter(Flush(), clock)
    begun = time.perf_counter()
    while meter.step < steps and (meter.step == 0 or time.perf_counter() - begun < max_seconds):
        step(meter)
        meter.step += 1
    return meter.readings


def unproven(readings: Sequence[Reading], *, at_least: float = FLUSHED) -> str | None:
    """A warning if the probe's cold read took less than `at_least` times its warm one, in the median."""
    ratio = median(reading.value for reading in readings if reading.metric == "flush_probe_ratio")
    if ratio >= at_least:
        return None
    return f"cold times may not be cold: a probe read after the flush took only {ratio:.2f} times its warm time"


class Flush:
    """A probe that empties the caches before the clock starts."""

    def __init__(self) -> None:
        cache_bytes = last_level_cache_bytes()
        assert cache_bytes is not None
        # Written once: memory that was never written is one page, which any cache holds.
        self.filler = torch.ones(int(cache_bytes * OVER_THE_CACHE) // 4)
        self._probe = torch.ones(PROBE_BYTES // 4)

    def __call__(self, span: str) -> Callable[[], Seen]:
        self._probe.sum()
        warm_s = self._read_s()
        self.filler.sum()
        ratio = self._read_s() / warm_s
        return lambda: [{"metric": "flush_probe_ratio", "value": ratio}]

    def _read_s(self) -> float:
        start = time.perf_counter()
        self._probe.sum()
        return time.perf_counter() - start
