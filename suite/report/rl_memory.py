"""What a step of reinforcement learning holds, read from records: projected for a geometry, or measured in a run.

A record may be old or foreign: what it lacks, and what no memory can be, is left out here. An owner or a kind that this
suite does not know counts as nobody's and as other, so that the parts of a peak always add up to it.
"""

import functools
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suite.records.case import as_typed
from suite.records.derived import constant, noted
from suite.records.holdings import KINDS, NOBODY, OTHER, OWNERS, PART, PEAK, REFERENCE, parts_of
from suite.records.record import Evidence, Record, Status
from suite.records.rl_metrics import PHASES
from suite.report.facets import name_facets
from suite.report.model.results import CurrentRecord
from suite.report.watched import cut

WORKLOADS = ("rl_memory", "rl")
ALLOCATOR = "allocator_peak_bytes"
MODEL = ("geometry", "policy")
"""Axes that name a model: a projection's and a run's."""
MOST_BYTES = 1 << 60
MOST_STEPS = 1 << 20
SLACK = 1 + 1e-9
"""Rounding of sums."""

Part = tuple[str, str]
"""Owner and kind."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One phase of a step at its peak."""

    peak: float
    parts: Mapping[Part, float]
    """Their sum is the peak."""
    allocator: float | None
    """The most that the allocator of a GPU held meanwhile."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Holding:
    """One case."""

    current: CurrentRecord
    phases: Mapping[str, Phase]
    """In the order of a step; at least one."""

    @property
    def record(self) -> Record:
        return self.current.record

    @property
    def is_measured(self) -> bool:
        return self.record.evidence is Evidence.MEASURED

    @property
    def algorithm(self) -> str:
        return said(self.record, "algorithm")

    @property
    def model(self) -> str:
        return next(filter(None, (said(self.record, name) for name in MODEL)), "")

    @property
    def peak_phase(self) -> str:
        return max(self.phases, key=lambda phase: self.phases[phase].peak)

    @property
    def peak(self) -> float:
        return self.phases[self.peak_phase].peak

    @property
    def parameters(self) -> float | None:
        """Of the policy."""
        return constant(self.record, "case", "policy_parameter_count")

    @property
    def has_reference(self) -> bool:
        held = any(owner == REFERENCE for phase in self.phases.values() for owner, _ in phase.parts)
        return held or constant(self.record, "case", "reference_parameter_count") is not None

    @property
    def facets(self) -> dict[str, str]:
        return name_facets(self.record.case.axes) | {"label": self.current.label}


def all_of(record: Record) -> dict[str, str]:
    """Every axis and further setting of a case as its id writes it; empty where it does not apply."""
    axes, extras = record.case.axes, sorted(record.case.extras.items())
    return {name: setting_text(value) for name, value in (*axes.items(), *extras)}


def said(record: Record, name: str) -> str:
    """One of them; empty where the case has none."""
    return setting_text(record.case.axes.get(name, record.case.extras.get(name)))


def devices_needed(holding: Holding, size_gb: int) -> int | None:
    """The least number of such GPUs that holds it; None where none that was tried does."""
    count = noted(holding.record, f"gpu_{size_gb}", "devices_needed")
    return int(count) if count is not None and 1 <= count <= MOST_STEPS else None


def read_holding(current: CurrentRecord) -> Holding | None:
    record = current.record
    if record.case.workload not in WORKLOADS or record.status is not Status.OK:
        return None
    peaks: dict[str, dict[int, float]] = defaultdict(dict)
    parts: dict[tuple[str, int], dict[Part, float]] = defaultdict(lambda: defaultdict(float))
    for reading in record.readings:
        if not 0 <= reading.step < MOST_STEPS or not 0 < reading.value < MOST_BYTES:
            continue
        if reading.metric == PEAK:
            peaks[reading.span][reading.step] = reading.value
        elif reading.metric == PART and (part := parts_of(reading.span)) is not None:
            phase, owner, kind = part
            parts[phase, reading.step][_known(owner, kind)] += reading.value
    phases = {phase: _phase(record, phase, peaks[phase], parts) for phase in PHASES if phase in peaks}
    return Holding(current=current, phases=phases) if phases else None


def _phase(
    record: Record, phase: str, peaks: Mapping[int, float], parts: Mapping[tuple[str, int], Mapping[Part, float]]
) -> Phase:
    """At the step that held most."""
    step = max(peaks, key=lambda step: (peaks[step], -step))
    peak, held = peaks[step], dict(parts.get((phase, step), {}))
    if sum(held.values()) > peak * SLACK:
        held = {}  # They cannot be this peak's.
    rest = peak - sum(held.values())
    if rest > peak * (SLACK - 1):
        held[NOBODY, OTHER] = held.get((NOBODY, OTHER), 0.0) + rest
    allocator = [r.value for r in record.readings if r.span == phase and r.metric == ALLOCATOR]
    known = [value for value in allocator if 0 < value < MOST_BYTES]
    return Phase(peak=peak, parts=held, allocator=max(known, default=None))


def _known(owner: str, kind: str) -> Part:
    return owner if owner in OWNERS else NOBODY, kind if kind in KINDS else OTHER


def setting_text(value: Any) -> str:
    """As a case's id writes it; empty for none, and for what is no plain value."""
    return _text(value) if isinstance(value, str | int | float) else ""


@functools.lru_cache(maxsize=1024, typed=True)
def _text(value: Any) -> str:
    return cut(f"{value:g}" if isinstance(value, float) else as_typed(value))
