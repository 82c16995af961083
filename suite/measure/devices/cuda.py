"""A CUDA device: timed by its own events, with flushed caches, in one process for all cases.

A context takes seconds to make, so the process stays; what a case held is given back after it. No part of this module
touches the device before it is asked to, since whoever only imports it may have none.
"""

import gc
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import torch

from suite.measure.cold import unproven
from suite.measure.devices.ceilings import measure_cuda_ceilings
from suite.measure.devices.cuda_clock import (
    LAUNCHED_AHEAD,
    CudaFlush,
    event_clock,
    l2_bytes,
    nvtx_range,
    synchronised_clock,
)
from suite.measure.devices.cuda_graph import captured_step
from suite.measure.devices.device import Device, TimedWorkload
from suite.measure.meter import Probe
from suite.measure.profiling import CudaWatcher
from suite.measure.workload import UnsupportedError, Workload
from suite.records import numbers
from suite.records.holdings import ALLOCATOR_PEAK, RESERVED_PEAK
from suite.records.record import Reading
from suite.theory.layers.roofline import MeasuredCeilings

# Chosen, not measured: a kernel's own start-up hides part of what a flushed read costs more, so it is below the CPU's
# cold.FLUSHED.
FLUSHED = 1.2
LEFT_BYTES = 32 << 20  # bytes that may stay allocated after a case without a warning, such as a library's workspace


class Cuda(Device):
    """The GPU of a number among the visible ones, the first by default, as torch's current device."""

    clock = "cuda_events"
    flushes_every_run = True

    def __init__(self, index: int | None = None) -> None:
        self._index = index
        self._held_bytes = torch.cuda.memory_allocated() if torch.cuda.is_initialized() else 0

    def identity(self) -> dict[str, Any]:
        """`uuid` and `pci` (hexadecimal domain:bus:device, None if torch does not give it), to find it in NVML."""
        properties = torch.cuda.get_device_properties()
        # Older versions of torch do not give the bus.
        pci_numbers = [getattr(properties, f"pci_{part}_id", None) for part in ("domain", "bus", "device")]
        pci = None if None in pci_numbers else ":".join(f"{number:x}" for number in pci_numbers)
        return {"uuid": str(properties.uuid), "pci": pci}

    def facts(self) -> dict[str, Any]:
        properties = torch.cuda.get_device_properties()
        described = {
            "name": properties.name,
            "compute_capability": f"{properties.major}.{properties.minor}",
            "memory_bytes": properties.total_memory,
            "l2_bytes": l2_bytes(),
            "cuda": torch.version.cuda,
        }
        return {"device": described}

    def finish(self) -> None:
        torch.cuda.synchronize()

    def require(self) -> None:
        """Make it torch's current device. Raises UnsupportedError where torch cannot use it."""
        if (why_not := why_not_usable()) is not None:
            raise UnsupportedError(f"device=cuda: {why_not}")
        if self._index is not None and self._index >= (count := torch.cuda.device_count()):
            raise UnsupportedError(f"device=cuda:{self._index}: torch finds {count} GPUs, counted from cuda:0")
        torch.cuda.set_device(self._index or 0)

    def ceilings(self, dtype: torch.dtype) -> MeasuredCeilings:
        return measure_cuda_ceilings(dtype)

    def timed(self, workload: Workload, ceilings: MeasuredCeilings) -> TimedWorkload:
        """Short spans captured as CUDA graphs, timed by events, with the L2 flushed before each span."""
        captured = captured_step(workload, ceilings)
        launch_s: dict[str, float] = {}
        return replace(
            captured,
            probes=[CudaFlush(l2_bytes(), launch_s), nvtx_range, event_clock(captured.runs, launch_s)],
            facts={"cold": "every_run", "cuda_graph": captured.facts},
        )

    def stateful_clock(self) -> tuple[str, Probe]:
        return "wall", synchronised_clock

    def watcher(self) -> CudaWatcher:
        return CudaWatcher()

    def forget_peaks(self) -> None:
        torch.cuda.reset_peak_memory_stats()

    def peak_bytes(self) -> dict[str, int]:
        return {ALLOCATOR_PEAK: torch.cuda.max_memory_allocated(), RESERVED_PEAK: torch.cuda.max_memory_reserved()}

    def warnings(self, readings: Sequence[Reading]) -> Iterator[str]:
        """Yield a sentence if the flush failed, and for each span that the device mostly began too early."""
        if warning := unproven(readings, at_least=FLUSHED):
            yield warning
        by_span = defaultdict(list)
        for reading in readings:
            if reading.metric == LAUNCHED_AHEAD:
                by_span[reading.span].append(reading.value)
        for span, is_ahead in by_span.items():
            if median(is_ahead) < 1:
                early = is_ahead.count(0.0)
                yield (
                    f"{span}: in {early} of {len(is_ahead)} runs the device began before all of it was launched, "
                    f"and may have waited for the host"
                )

    def reset(self) -> str | None:
        """Free what the case held on the device. A warning if more than LEFT_BYTES stay allocated, else None."""
        if not torch.cuda.is_initialized():
            return None
        if "torch._dynamo" in sys.modules:  # it compiles a function only so many times, and keeps what it compiled
            sys.modules["torch._dynamo"].reset()
        gc.collect()
        torch.cuda.synchronize()
        torch._C._cuda_clearCublasWorkspaces()  # torch's notes on CUDA name it: nothing else frees them
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        left_bytes = torch.cuda.memory_allocated() - self._held_bytes
        if left_bytes <= LEFT_BYTES:
            return None
        return f"{numbers.bytes_iec(left_bytes)} of the device's memory stay allocated after the case"

    def is_lost(self, error: Exception) -> bool:
        """True if later calls would fail too, as after an illegal access; not for exhausted memory."""
        if isinstance(error, torch.OutOfMemoryError) or not torch.cuda.is_initialized():
            return False
        if isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error):
            return True
        try:
            torch.cuda.synchronize()
        except RuntimeError:
            return True
        return False


def why_not_usable() -> str | None:
    """Why torch cannot use a GPU here, in its own words where it has some; None where it can."""
    if torch.version.hip is not None:
        return f"the suite measures NVIDIA's GPUs alone, and torch {torch.__version__} is built for AMD's"
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA"
    try:
        torch.cuda.init()  # it says what is_available() keeps to itself: no driver, or one that is too old
    except (RuntimeError, AssertionError) as error:
        return " ".join(str(error).split())
    return None
