"""What differs between devices when a case is measured: the runner asks for it and knows neither."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from suite.measure.meter import Meter, Probe
from suite.measure.workload import Workload
from suite.records.record import Reading
from suite.theory.roofline import MeasuredCeilings


class Watcher(Protocol):
    """A probe for the profiled pass: gives each span's `peak_bytes`, and keeps what ran."""

    def __call__(self, span: str) -> Callable[[], Sequence[Mapping[str, Any]]]: ...

    def seen(self) -> Mapping[str, Sequence[Sequence[str]]]:
        """By the name of a fact, what ran in each span so far, in the order of the spans."""
        ...


@dataclass(frozen=True, kw_only=True)
class Timed:
    """How a workload is timed on a device."""

    step: Callable[[Meter], None]
    probes: Sequence[Probe]
    works: Mapping[str, Callable[[], object]]
    """Of each span that can be repeated alone, as `step` does it."""
    facts: Mapping[str, Any]
    runs: Mapping[str, int] = field(default_factory=dict)
    """How often a span does its work each time, where more than once; the clock's figures are those of one run."""
    warnings: Sequence[str] = ()


class Device(Protocol):
    clock: str
    """Which clock a reading's `value` is, for the record."""
    flushes_every_run: bool
    """Caches are emptied before each timed span, so that there is no warm latency beside a cold one."""

    def identity(self) -> Mapping[str, Any] | None:
        """By what NVML knows the device, see suite.measure.telemetry.devices.is_same_gpu; None for a CPU."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """What a reader must know of the device beside what the environment says."""
        ...

    def finish(self) -> None:
        """Wait until all that was begun is done."""
        ...

    def require(self) -> None:
        """Raise UnsupportedError where torch finds no such device."""
        ...

    def ceilings(self, dtype: torch.dtype) -> MeasuredCeilings:
        """What the device reaches at best, by its own clock."""
        ...

    def timed(self, workload: Workload, ceilings: MeasuredCeilings) -> Timed:
        """Called once, when the workload has been checked."""
        ...

    def course_clock(self) -> tuple[str, Probe]:
        """For work that is not repeated: which clock a reading's `value` is, and the probe, which waits for the device
        at both ends of a span."""
        ...

    def watcher(self) -> Watcher: ...

    def forget_peak(self) -> None:
        """From here on `peak_bytes` counts anew."""
        ...

    def peak_bytes(self) -> int | None:
        """The most that torch's allocator held since `forget_peak`, whoever asked for it; None where torch does not
        say."""
        ...

    def criticise(self, readings: Sequence[Reading]) -> Iterator[str]:
        """What a reader should hold against these timings."""
        ...

    def reset(self) -> str | None:
        """Give back what a case held, before the next one in this process. A warning where something stayed."""
        ...

    def is_lost(self, error: Exception) -> bool:
        """Whether nothing more can run on the device in this process."""
        ...
