"""What a step of RL holds of memory on devices that need not be here, as a course of one simulated step."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from suite.measure.meter import Meter
from suite.records.holdings import held_readings
from suite.records.record import Reading, constant_readings
from suite.rl.memory.fitting import GPU_GIGABYTES, Division, devices_needed
from suite.rl.memory.plan import SHARDS, SHARED, RlMemoryPlan
from suite.rl.memory.step import ROLLOUT, SCORE, UPDATE, rollout_phase, simulated, update_phase

Phases = dict[str, dict[tuple[str, str], int]]
"""Of one device: bytes by owner and kind at each phase's peak."""


class RlMemoryWorkload:
    """See suite.measure.stateful.StatefulWorkload. Its one step is too short for a checkpoint."""

    steps = 1
    checkpoint_seconds = math.inf

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.plan = RlMemoryPlan(settings)
        self._attention = settings["attention"]

    def prepare(self, shared: Path) -> None:
        """There is nothing to allocate or to share."""

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
        """There is no state."""


def held_by_shards(plan: RlMemoryPlan, attention: Mapping[str, Any]) -> dict[int, Phases]:
    """One device's phases, for each number of devices that leaves each a micro-batch."""
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
    """Another engine divides its own weights, or is not here; then no unit is gathered in a rollout."""
    return 0 if phase == ROLLOUT and plan.engine != SHARED else plan.gathered_bytes
