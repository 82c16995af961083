"""What can be measured: attention, and later RL and quality, are all this."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from suite.measure.meter import Meter
from suite.measure.rotation import Turns
from suite.records.record import Reading
from suite.theory.roofline import MeasuredCeilings


class UnsupportedError(Exception):
    """Right in itself, but not runnable here; the message says why."""


class IncorrectError(Exception):
    """The output is wrong: nothing is timed. Keeps the readings that show it."""

    def __init__(self, reason: str, readings: Sequence[Reading] = ()) -> None:
        super().__init__(reason)
        self.reason, self.readings = reason, readings


class Plan(Protocol):
    """What is known of a case before anything is allocated. Constructed with the settings, in the parent too, so it may
    not import torch; raises ValueError for settings that are wrong in themselves."""

    device: str
    dtype: str
    threads: int
    refusal: str | None
    """Why a case that is right in itself cannot be laid out; nothing else of the plan is then asked for."""

    def facts(self) -> Mapping[str, Any]:
        """What a reader must know of the case before it ran, as plain data for the record's provenance."""
        ...

    def constants(self) -> Mapping[str, Mapping[str, float]]:
        """Exact quantities by span, among them `flops` and `traffic_bytes` of each timed one."""
        ...

    def least_bytes(self) -> float:
        """What must be held at once at the very least, by closed form; more than there is is refused unrun."""
        ...

    def predicted_step_s(self, measured: MeasuredCeilings) -> float:
        """Least time of one step on a device with these ceilings."""
        ...


class Workload(Protocol):
    """Constructed with the resolved settings, anew in each launch of a case and with another seed; allocates in
    `prepare`, where it may also raise UnsupportedError."""

    plan: Plan

    def prepare(self) -> None: ...

    def constants(self) -> Iterable[Reading]:
        """Quantities that do not change from step to step."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """What a reader must know of how it ran, as plain data for the record's provenance."""
        ...

    def criticise(self, operators: Mapping[str, Sequence[str]]) -> Iterable[str]:
        """Sentences that a reader should hold against the result, given the operators that ran in each span."""
        ...

    def check(self) -> Iterable[Reading]:
        """Compare the output with a reference on fresh inputs. Raises IncorrectError where they differ."""
        ...

    def step(self, meter: Meter) -> None:
        """Do the work once, each part inside a span of the meter."""
        ...

    def parts(self) -> Mapping[str, Callable[[], object]]:
        """The work of each span that can be repeated by itself; empty where none can."""
        ...


@runtime_checkable
class WorkloadInTurns(Protocol):
    """A workload whose spans can also be captured in a graph, on a device that has such a thing."""

    def turns(self, span: str, least_bytes: int) -> Turns | None:
        """A span's work as its part does it, rotating over copies of its inputs that together hold `least_bytes` where
        it can; None where it cannot be captured. Each run returns its output."""
        ...
