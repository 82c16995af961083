"""Published figures of memory in reinforcement learning, and what a case of ours must have to stand beside one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suite.configuration.files import read_yaml

NEEDS, PEAK, SAVING = KINDS = ("needs", "peak", "saving")


@dataclass(frozen=True, kw_only=True)
class PublishedMemory:
    kind: str
    problem: str
    source: str
    count: int = 0
    gpu_gb: int = 0
    """Of `needs`: so many GPUs of so many decimal GB."""
    peak: str = ""
    """As the source writes it."""
    share: float = 0.0
    """Of `saving`."""
    like: Mapping[str, Any] | None = None
    """Axes of a comparable case; None where there is none."""
    note: str = ""


def published_memory() -> list[PublishedMemory]:
    return [PublishedMemory(**figure) for figure in read_yaml("published_rl_memory.yaml")["figures"]]
