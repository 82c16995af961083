"""What a source of telemetry is. The parent reads them, so they import no torch and outlive a worker's death."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from suite.records.nvml import State


class Seen(NamedTuple):
    """One quantity of one device, now; names as in suite.records.telemetry."""

    device: str
    quantity: str
    value: float


@dataclass(kw_only=True)
class Target:
    """What the case that is watched has said of itself so far."""

    pid: int | None = None
    cuda_devices: list[Mapping[str, Any]] = field(default_factory=list)
    """`uuid` and `pci` of every GPU that it computes on, as torch gives them."""


class Source:
    """Read at every tick of the sampler. What it cannot read it leaves out and says in `state` or in its facts."""

    name: ClassVar[str]

    def __init__(self) -> None:
        self.state, self.why = State.MEASURED, ""

    def begin(self) -> None:
        """A case starts: differences begin anew."""

    def sample(self, target: Target, *, is_slow_tick: bool) -> Iterable[Seen]:
        """Now. `is_slow_tick`: every tenth time, when what takes long may be read too."""
        raise AssertionError(f"{type(self).__name__} does not say what it reads")

    def facts(self, target: Target) -> Mapping[str, Any]:
        """What the record's `telemetry` is to say beside the samples."""
        return {}
