"""The protocol of workloads whose step is timed again and again; for those that train see suite.measure.stateful."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from suite.machine.plain_text import complain
from suite.measure.meter import Meter
from suite.measure.rotated_buffers import RotatedRuns
from suite.records.record import Reading
from suite.theory.layers.roofline import MeasuredCeilings

ANNOUNCERS: list[Callable[[str], None]] = [complain]
"""The last one takes sentences about a long wait; a worker, which has no terminal, adds its parent."""


def announce(text: str) -> None:
    """Say what is waited for, at once and where a person sees it."""
    ANNOUNCERS[-1](text)


class UnsupportedError(Exception):
    """The settings are right, but cannot run here; the message says why."""


class IncorrectError(Exception):
    """The output is wrong: nothing is timed. Keeps the readings that show it."""

    def __init__(self, reason: str, readings: Sequence[Reading] = ()) -> None:
        super().__init__(reason)
        self.reason, self.readings = reason, readings


class StatefulPlan(Protocol):
    """The part of a case that is known before anything is allocated. Constructed with the settings, in the parent too,
    so it may not import torch; raises ValueError for settings that are wrong in themselves."""

    device: str
    dtype: str
    threads: int
    refusal: str | None
    """The reason why a case that is right in itself cannot be laid out; nothing else of the plan is then asked for."""

    def facts(self) -> Mapping[str, Any]:
        """Facts of the case before it ran for the record's provenance, as plain data."""

    def constants(self) -> Mapping[str, Mapping[str, float]]:
        """Exact quantities by span, then by name, among them `flops` and `traffic_bytes` of each timed span."""

    def least_bytes(self) -> float:
        """Bytes that must be held at once at the very least; a case that needs more than its device has is not run."""


class Plan(StatefulPlan, Protocol):
    """The plan of a workload whose step can be predicted."""

    def predicted_step_s(self, measured: MeasuredCeilings) -> float:
        """The least time of one step on a device with these ceilings, in seconds."""


class DescribedWorkload(Protocol):
    """What workloads of both kinds say of themselves once they are prepared."""

    def constants(self) -> Iterable[Reading]:
        """Readings of quantities that do not change from step to step."""

    def facts(self) -> Mapping[str, Any]:
        """Facts of the run for the record's provenance, as plain data."""


class Workload(DescribedWorkload, Protocol):
    """Constructed with the resolved settings, anew in each launch of a case and with another seed; allocates in
    `prepare`, where it may also raise UnsupportedError."""

    plan: Plan

    def prepare(self) -> None:
        """Allocate, and draw the inputs."""

    def warnings(self, operators: Mapping[str, Sequence[str]]) -> Iterable[str]:
        """Sentences that make a reader doubt the result. `operators`: names of those that ran in each span."""

    def check(self) -> Iterable[Reading]:
        """Compare the output with a reference on fresh inputs: readings of errors. Raises IncorrectError."""

    def step(self, meter: Meter) -> None:
        """Do the work once, each part inside a span of the meter."""

    def parts(self) -> Mapping[str, Callable[[], object]]:
        """A function for each span that can be repeated by itself, by the span's name; empty where no span can."""


@runtime_checkable
class GraphableWorkload(Protocol):
    """A workload whose spans can also be captured in a graph, on a device that has such a thing."""

    def rotated_runs(self, span: str, cache_bytes: int, most_bytes: int) -> RotatedRuns | None:
        """Runs of a span over copies of its inputs, see rotated_buffers; None if it cannot be captured."""
