"""The CPU: timed by the clocks of the operating system, a process for each case."""

from collections.abc import Iterator, Sequence

import torch

from suite.measure.devices.ceilings import measure_ceilings
from suite.measure.devices.device import Device, TimedWorkload
from suite.measure.meter import Probe, cpu_clock, judging_clock
from suite.measure.profiling import AllocatorProbe
from suite.measure.workload import Workload
from suite.records.record import Reading
from suite.statistics.intervals import median_interval
from suite.theory.layers.roofline import MeasuredCeilings

WALL_EXCEEDS_CPU = 1.1


class Cpu(Device):
    """A CPU with so many threads for torch."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self.clock = judging_clock(threads)

    def ceilings(self, dtype: torch.dtype) -> MeasuredCeilings:
        return measure_ceilings(dtype, self._threads)

    def timed(self, workload: Workload, ceilings: MeasuredCeilings) -> TimedWorkload:
        return TimedWorkload(step=workload.step, probes=[cpu_clock(self._threads)], works=workload.parts(), facts={})

    def stateful_clock(self) -> tuple[str, Probe]:
        return self.clock, cpu_clock(self._threads)

    def watcher(self) -> AllocatorProbe:
        return AllocatorProbe()

    def warnings(self, readings: Sequence[Reading]) -> Iterator[str]:
        """Yield a sentence for each span whose median wall time is more than WALL_EXCEEDS_CPU times its CPU time."""
        for span in dict.fromkeys(reading.span for reading in readings):
            timed = [reading for reading in readings if reading.span == span and reading.wall_s is not None]
            if self.clock == "thread_cpu" and timed:
                wall = median_interval([reading.wall_s or 0.0 for reading in timed]).median
                ratio = wall / median_interval([reading.value for reading in timed]).median
                if ratio > WALL_EXCEEDS_CPU:
                    more = f"{ratio:.2f} times the CPU time that is reported"
                    yield f"{span}: wall time is {more}: other work was running"
