"""Spans, the probes that watch them, and the clocks of a CPU run.

A probe is a callable that is given the span's name, starts and returns its stop function, which gives what it saw.
Probes start in order and stop in reverse, so the last one, the clock, stands closest to the work.

On a shared machine wall time holds other people's work; the thread's own CPU time does not. It fits work on one thread.
Several threads have no single CPU time that is a latency, so wall time judges there. Every clock is kept in every
reading.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from suite.records.record import Reading

Seen = Sequence[Mapping[str, Any]]  # fields of readings: `metric`, `value`, and for a timing the clocks
Probe = Callable[[str], Callable[[], Seen]]


class Meter:
    """Collects the readings of every span of the current step."""

    def __init__(self, *probes: Probe, launch: int | None = None) -> None:
        self._probes, self.launch = probes, launch
        self.step = 0
        self.readings: list[Reading] = []

    def span(self, name: str) -> "Span":
        """A context manager around the work of a span, which starts the probes and collects their readings."""
        return Span(self, name, self._probes)

    @contextmanager
    def watched(self, probe: Probe) -> Iterator[None]:
        """Watch the spans inside by one more probe, which starts before the others and stops after them."""
        outer_probes = self._probes
        self._probes = (probe, *outer_probes)
        try:
            yield
        finally:
            self._probes = outer_probes

    def note(self, span: str = "case", **values: float) -> None:
        """Add a reading of the current step for each keyword: numbers that the work itself knows, such as a loss."""
        for metric, value in values.items():
            self.readings.append(Reading(step=self.step, span=span, metric=metric, value=value, launch=self.launch))


class Span:
    """A context manager, written as a class because a generator would cost more than some kernels."""

    __slots__ = ("_meter", "_name", "_probes", "_stops")

    def __init__(self, meter: Meter, name: str, probes: Sequence[Probe]) -> None:
        self._meter, self._name, self._probes = meter, name, probes
        self._stops: list[Callable[[], Seen]] = []

    def __enter__(self) -> None:
        for probe in self._probes:
            self._stops.append(probe(self._name))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seen = [stop() for stop in reversed(self._stops)]
        if error is None:
            meter = self._meter
            for fields in (fields for readings in seen for fields in readings):
                meter.readings.append(Reading(step=meter.step, span=self._name, launch=meter.launch, **fields))


def judging_clock(threads: int) -> str:
    """The clock that a reading's `value` is of: `thread_cpu` or `wall`."""
    # Windows counts CPU time in ticks of 15.6 ms, though it claims a resolution of 100 ns.
    return "thread_cpu" if threads == 1 and sys.platform != "win32" else "wall"


def cpu_clock(threads: int, metric: str = "latency_s") -> Probe:
    """A probe for wall, thread and process CPU time and for the times that the scheduler took the CPU away."""
    judge = judging_clock(threads)

    def start(span: str) -> Callable[[], Seen]:
        switches = involuntary_switches()
        process, thread, wall = time.process_time(), time.thread_time(), time.perf_counter()

        def stop() -> Seen:
            wall_s = time.perf_counter() - wall
            thread_cpu_s = time.thread_time() - thread
            process_cpu_s = time.process_time() - process
            now = involuntary_switches()
            return [
                {
                    "metric": metric,
                    "value": thread_cpu_s if judge == "thread_cpu" else wall_s,
                    "wall_s": wall_s,
                    "thread_cpu_s": thread_cpu_s,
                    "process_cpu_s": process_cpu_s,
                    "involuntary_switches": None if now is None or switches is None else now - switches,
                }
            ]

        return stop

    return start


if sys.platform == "win32":

    def involuntary_switches() -> int | None:
        """None: Windows does not count them."""
        return None

else:
    import resource

    _WHO = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)

    def involuntary_switches() -> int | None:
        """Involuntary context switches of this thread so far (of the process on macOS)."""
        return resource.getrusage(_WHO).ru_nivcsw
