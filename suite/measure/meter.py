"""Spans and the probes that watch them.

A probe is a callable that is given the span's name, starts and returns its stop function, which gives what it saw.
Probes start in order and stop in reverse, so the last one, the clock, stands closest to the work.
"""

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
        return Span(self, name, self._probes)

    @contextmanager
    def watched(self, probe: Probe) -> Iterator[None]:
        """One more probe meanwhile, outside the others."""
        outer_probes = self._probes
        self._probes = (probe, *outer_probes)
        try:
            yield
        finally:
            self._probes = outer_probes

    def note(self, span: str = "case", **values: float) -> None:
        """Record numbers that the work itself knows, such as a loss."""
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
