"""What a metric is: a name, a unit, and which way is better."""

from dataclasses import dataclass
from enum import StrEnum


class Better(StrEnum):
    LOWER = "lower"
    HIGHER = "higher"
    NEITHER = "neither"


@dataclass(frozen=True, kw_only=True)
class Metric:
    name: str
    unit: str
    label: str
    better: Better
    exact: bool
    """An exact quantity is the same at every repeat: any difference is a change. Others are noisy."""
    seeded: bool = False
    """Follows from the seed: bit-equal in two runs of one seed on one machine, and different elsewhere."""
    points: bool = False
    """A share whose changes are judged, and told, in points."""


def seeded(name: str, unit: str, label: str, better: Better = Better.NEITHER, *, points: bool = False) -> Metric:
    return Metric(name=name, unit=unit, label=label, better=better, exact=False, seeded=True, points=points)


def exact(name: str, unit: str, label: str, better: Better = Better.NEITHER) -> Metric:
    return Metric(name=name, unit=unit, label=label, better=better, exact=True)
