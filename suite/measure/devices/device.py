"""The differences between devices when a case is measured: the runner asks for them and knows no device."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from suite.measure.meter import Meter, Probe
from suite.measure.profiling import AllocatorProbe
from suite.measure.workload import Workload
from suite.records.record import Reading
from suite.theory.layers.roofline import MeasuredCeilings


@dataclass(frozen=True, kw_only=True)
class TimedWorkload:
    """A workload as a device times it."""

    step: Callable[[Meter], None]
    probes: Sequence[Probe] = ()
    works: Mapping[str, Callable[[], object]]
    """The work of each span that can be repeated alone, as `step` does it."""
    facts: Mapping[str, Any]
    runs: Mapping[str, int] = field(default_factory=dict)
    """Repetitions of its work within a span, where there are several; the clock's figures are those of one."""
    warnings: Sequence[str] = ()


class Device:
    """A device to measure on. By default nothing has to be waited for, given back or found, as with a CPU."""

    clock: str
    """The clock that a reading's `value` is of, for the record."""
    flushes_every_run = False
    """Caches are emptied before each timed span, so that there is no warm latency beside a cold one."""

    def identity(self) -> Mapping[str, Any] | None:
        """The names by which NVML knows the device, see telemetry.nvml.is_same_gpu; None for a CPU."""
        return None

    def facts(self) -> Mapping[str, Any]:
        """Facts of the device that the record's environment does not have."""
        return {}

    def finish(self) -> None:
        """Wait until all that was begun is done."""

    def require(self) -> None:
        """Raise UnsupportedError where torch finds no such device."""

    def ceilings(self, dtype: torch.dtype) -> MeasuredCeilings:
        """Measure the rates that the device reaches at best, by its own clock."""
        raise NotImplementedError

    def timed(self, workload: Workload, ceilings: MeasuredCeilings) -> TimedWorkload:
        """The workload with the probes that time it here; called once, after the workload was checked."""
        raise NotImplementedError

    def stateful_clock(self) -> tuple[str, Probe]:
        """(name, probe) of the clock for training steps; the probe waits for the device at both ends of a span."""
        raise NotImplementedError

    def watcher(self) -> AllocatorProbe:
        """A probe for the profiled pass: gives each span's `peak_bytes`, and keeps what ran."""
        raise NotImplementedError

    def forget_peaks(self) -> None:
        """Reset what `peak_bytes` gives; nothing on a device that keeps no peaks."""

    def peak_bytes(self) -> Mapping[str, int]:
        """Most bytes that torch's allocator held and reserved since `forget_peaks`, by metric; empty if torch does not
        say."""
        return {}

    def warnings(self, readings: Sequence[Reading]) -> Iterator[str]:
        """Yield sentences that make a reader doubt these timings."""
        raise NotImplementedError

    def reset(self) -> str | None:
        """Free what a case held, before the next one in this process. A warning if something stayed, else None."""
        return None

    def is_lost(self, error: Exception) -> bool:
        """True if, after this error, nothing more can run on the device in this process."""
        return False
