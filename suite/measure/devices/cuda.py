"""A CUDA device: timed by its own events, with flushed caches, in one process for all cases.

A context takes seconds to make, so the process stays; what a case held is given back after it. No part of this module
touches the device before it is asked to, since whoever only imports it may have none.
"""

import gc
import sys
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

import torch

from suite.measure.cold import unproven
from suite.measure.devices.cuda_ceilings import measure_cuda_ceilings
from suite.measure.devices.cuda_clock import CudaFlush, event_clock, l2_bytes, nvtx_range, synchronised_clock
from suite.measure.devices.cuda_graph import timed_turns
from suite.measure.devices.cuda_memory import CudaWatcher
from suite.measure.devices.device import Timed
from suite.measure.meter import Probe
from suite.measure.workload import UnsupportedError, Workload
from suite.records import numbers
from suite.records.record import Reading
from suite.theory.roofline import MeasuredCeilings

FLUSHED = 1.2
"""Chosen, not measured: a kernel's own start-up hides part of what a flushed read costs more, so it is below the CPU's
cold.FLUSHED."""
LEFT_BYTES = 32 << 20
"""What may stay allocated after a case and says nothing, such as a library's workspace."""


class Cuda:
    """See suite.measure.devices.Device. Always torch's current device, the first one that is visible."""

    clock = "cuda_events"
    flushes_every_run = True

    def __init__(self) -> None:
        self._held_bytes = torch.cuda.memory_allocated() if torch.cuda.is_initialized() else 0

    def identity(self) -> dict[str, Any]:
        properties = torch.cuda.get_device_properties()
        # Older versions of torch do not give the bus.
        numbers = [getattr(properties, f"pci_{part}_id", None) for part in ("domain", "bus", "device")]
        pci = None if None in numbers else ":".join(f"{number:x}" for number in numbers)
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
        if torch.version.cuda is None and torch.version.hip is None:
            raise UnsupportedError(f"device=cuda needs a torch with CUDA; torch {torch.__version__} is without it")
        if not torch.cuda.is_available():
            raise UnsupportedError("device=cuda needs a GPU and its driver; torch finds none that it can use")

    def ceilings(self, dtype: torch.dtype) -> MeasuredCeilings:
        return measure_cuda_ceilings(dtype)

    def timed(self, workload: Workload, ceilings: MeasuredCeilings) -> Timed:
        turns = timed_turns(workload, ceilings)
        return Timed(
            step=turns.step,
            probes=[nvtx_range, CudaFlush(l2_bytes()), event_clock(turns.runs)],
            works=turns.works,
            facts={"cold": "every_run", "cuda_graph": turns.facts},
            runs=turns.runs,
            warnings=turns.warnings,
        )

    def course_clock(self) -> tuple[str, Probe]:
        return "wall", synchronised_clock

    def watcher(self) -> CudaWatcher:
        return CudaWatcher()

    def forget_peak(self) -> None:
        torch.cuda.reset_peak_memory_stats()

    def peak_bytes(self) -> int:
        return torch.cuda.max_memory_allocated()

    def criticise(self, readings: Sequence[Reading]) -> Iterator[str]:
        if warning := unproven(readings, at_least=FLUSHED):
            yield warning
        for span in dict.fromkeys(reading.span for reading in readings):
            timed = [one for one in readings if one.span == span and one.thread_cpu_s is not None]
            if timed and (ratio := median((one.thread_cpu_s or 0.0) / one.value for one in timed)) > 1:
                yield (
                    f"{span}: launching took the host {ratio:.2f} times as long as the device's time: "
                    f"the device may have waited for it"
                )

    def reset(self) -> str | None:
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
        """An illegal access or the like makes every later call fail; exhausted memory does not."""
        if isinstance(error, torch.OutOfMemoryError) or not torch.cuda.is_initialized():
            return False
        if isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error):
            return True
        try:
            torch.cuda.synchronize()
        except RuntimeError:
            return True
        return False
