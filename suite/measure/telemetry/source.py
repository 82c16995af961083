"""The base of telemetry sources. The parent reads them, so they import no torch and outlive a worker's death."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from suite.machine.nvml import State


class Seen(NamedTuple):
    """One quantity of one device, now; names as in suite.records.stores.telemetry."""

    device: str
    quantity: str
    value: float


@dataclass(kw_only=True)
class Target:
    """The watched case's own messages so far."""

    pid: int | None = None
    cuda_devices: list[Mapping[str, Any]] = field(default_factory=list)
    """`uuid` and `pci` of every GPU that it computes on, as torch gives them."""


class Source:
    """Read at every tick of the sampler; what cannot be read is left out and named in `state` or the facts."""

    name: ClassVar[str]

    def __init__(self) -> None:
        self.state, self.why = State.MEASURED, ""

    def begin(self) -> None:
        """Forget earlier readings, since a case starts: what grows is counted from here on."""

    def sample(self, target: Target, *, is_slow_tick: bool) -> Iterable[Seen]:
        """Read now. `is_slow_tick`: every tenth time, when slow quantities may be read too."""
        raise AssertionError(f"{type(self).__name__} does not say what it reads")

    def facts(self, target: Target) -> Mapping[str, Any]:
        """Facts for the record's `telemetry` beside the samples."""
        return {}
