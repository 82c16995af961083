"""The memory that a step of RL holds on devices that need not be here, as a course of one simulated step.

From the bytes of one device follow those of each of several, and the smallest set of devices that takes the step. As in
FSDP and ZeRO-3, parameters, gradients and AdamW's moments are divided, and each device gathers the unit that it
computes with whole, the largest of which is added; a micro-batch's activations and logits are as on one device, and
each samples and learns from its share of the completions. A rollout engine divides its own copy as tensor parallelism
does and gathers nothing. Not counted: a second unit gathered ahead, and a unit's gradient before it is scattered.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.measure.meter import Meter
from suite.records.holdings import (
    EXPERIENCE,
    GATHERED,
    GRADIENTS,
    NOBODY,
    OPTIMISER,
    OPTIMISER_TEMPORARIES,
    PARAMETERS,
    held_readings,
)
from suite.records.record import Reading, constant_readings
from suite.rl.memory.plan import SHARDS, SHARED, RlMemoryPlan
from suite.rl.memory.step import ROLLOUT, SCORE, UPDATE, rollout_phase, simulated, update_phase

OwnedTensors = Mapping[tuple[str, str], int]
"""Bytes by owner and kind."""
DIVIDED = (PARAMETERS, GRADIENTS, OPTIMISER, OPTIMISER_TEMPORARIES)
GPU_GIGABYTES = (24, 40, 80, 141)
"""Decimal, as they are sold."""
Phases = dict[str, dict[tuple[str, str], int]]
"""Bytes of one device by owner and kind at each phase's peak."""


class RlMemoryWorkload:
    """A suite.measure.stateful.StatefulWorkload. Its one step is too short for a checkpoint."""

    steps = 1
    checkpoint_seconds = math.inf

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.plan = RlMemoryPlan(settings)
        self._attention = settings["attention"]

    def prepare(self, shared: Path) -> None:
        """Allocate and share nothing."""

    def constants(self) -> Iterable[Reading]:
        return constant_readings(self.plan.constants())

    def facts(self) -> Mapping[str, Any]:
        return {}

    def step(self, meter: Meter) -> None:
        by_shards = held_by_shards(self.plan, self._attention)
        for phase, held in by_shards[self.plan.shards].items():
            meter.readings += held_readings(meter.step, phase, held)
        peaks = {
            shards: float(max(sum(held.values()) for held in phases.values())) for shards, phases in by_shards.items()
        }
        for shards, peak in peaks.items():
            meter.note(f"shards_{shards}", peak_bytes_per_device=peak)
        for gigabytes in GPU_GIGABYTES:
            count = devices_needed(peaks, gigabytes, reserve_bytes=self.plan.reserve_bytes_per_device)
            if count is not None:
                meter.note(f"gpu_{gigabytes}", devices_needed=count)

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore nothing: there is no state."""


def held_by_shards(plan: RlMemoryPlan, attention: Mapping[str, Any]) -> dict[int, Phases]:
    """Return one device's phases, for each number of devices that leaves each a micro-batch."""
    holdings = simulated(plan, attention)
    found: dict[int, Phases] = {}
    for shards in (count for count in SHARDS if plan.divides(count)):
        divided = Division(shards=shards, rows=plan.rows(shards), completions=plan.completions)
        peaks = holdings.peaks(divided.share)
        phases = {
            ROLLOUT: rollout_phase(plan.rollout_rows(shards)),
            SCORE: SCORE,
            UPDATE: update_phase(plan.micro_batches(shards)),
        }
        found[shards] = {
            phase: divided.of(peaks[name].held, gathered_bytes=_gathered_bytes(plan, phase))
            for phase, name in phases.items()
        }
    return found


def _gathered_bytes(plan: RlMemoryPlan, phase: str) -> int:
    """Return the bytes of the gathered unit: 0 in the rollout of another engine, which divides its own weights or is
    not here."""
    return 0 if phase == ROLLOUT and plan.engine != SHARED else plan.gathered_bytes


@dataclass(frozen=True, kw_only=True)
class Division:
    """A division of one device's work among several."""

    shards: int
    rows: int
    """Completions of one device's share."""
    completions: int

    def share(self, label: tuple[str, str]) -> float:
        """Return the share of what one device would hold under a label, by owner and kind."""
        _, kind = label
        if kind in DIVIDED:
            return 1 / self.shards
        if kind == EXPERIENCE:
            return self.rows / self.completions
        if kind == GATHERED and self.shards > 1:
            return 0.0  # copies of single weights, in whose place a unit is gathered
        return 1.0

    def of(self, held: OwnedTensors, *, gathered_bytes: int) -> dict[tuple[str, str], int]:
        """Return what each device holds of what one would, with the unit that it gathers."""
        parts = {label: math.ceil(value * self.share(label)) for label, value in held.items()}
        if self.shards > 1:
            parts[NOBODY, GATHERED] = gathered_bytes
        return {label: value for label, value in parts.items() if value}


def devices_needed(peaks: Mapping[int, float], gigabytes: int, *, reserve_bytes: float) -> int | None:
    """Return the least number of devices, of those in `peaks`, that hold it; None where all are too few.

    `peaks`: bytes of one device, by how many divide them. `reserve_bytes`: the part of each device that is not to be
    had.
    """
    fitting = [shards for shards, peak in peaks.items() if peak <= gigabytes * 1e9 - reserve_bytes]
    return min(fitting, default=None)
