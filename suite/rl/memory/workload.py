"""The memory that a step of RL holds on devices that need not be here, as a course of one simulated step.

From the bytes of one device follow those of each of several, and the smallest set of devices that takes the step. As in
FSDP and ZeRO-3, parameters, gradients and AdamW's moments are divided, and each device gathers the unit that it
computes with whole, the largest of which is added; a micro-batch's activations and logits are as on one device, and
each samples and learns from its share of the completions. A rollout engine divides its own copy as tensor parallelism
does and gathers nothing. Not counted: a second unit gathered ahead, and a unit's gradient before it is scattered.
"""

import functools
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from suite.measure.meter import Meter
from suite.records.holdings import DIVIDED, EXPERIENCE, GATHERED, NOBODY, held_readings
from suite.records.record import Reading, constant_readings
from suite.rl.memory.plan import COMPUTED_DTYPE, FIT, NONE, SHARED, RlMemoryPlan
from suite.rl.memory.step import ROLLOUT, SCORE, UPDATE, SimulatedStep, rollout_phase, update_phase
from suite.rl.memory.work import bound_s, step_work
from suite.theory.devices.gpus import GPU_GIGABYTES, SHARDS, Gpus

Label = tuple[str, str]  # owner and kind
Phases = dict[str, dict[Label, int]]  # bytes of one device by label at each phase's peak
GPUS = "gpus"  # the span of readings of the GPUs at hand; a phase of theirs lies below it


class RlMemoryWorkload:
    """A suite.measure.stateful.StatefulWorkload of one step, which prepares nothing and is too short to save."""

    steps, checkpoint_seconds = 1, math.inf

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.plan = RlMemoryPlan(settings)
        self._attention = settings["attention"]

    def prepare(self, shared: Path) -> None:
        """Allocate and share nothing."""

    def facts(self) -> Mapping[str, Any]:
        """Empty: the plan's say all."""
        return {}

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore nothing: there is no state."""

    def constants(self) -> Iterable[Reading]:
        return constant_readings(self.plan.constants())

    def step(self, meter: Meter) -> None:
        """Note each phase's bytes, the peak by number of devices, devices needed, and the answer for `gpus`."""
        plan, projection = self.plan, Projection(self.plan, self._attention)
        batch = projection.frugal_batch(plan.shards)
        phases = projection.phases(plan.shards, batch)
        for phase, parts in phases.items():
            meter.readings += held_readings(meter.step, phase, parts)
        peaks = {count: projection.smallest_peak(count) for count in SHARDS if plan.divides(count)}
        for shards, peak in peaks.items():
            meter.note(f"shards_{shards}", peak_bytes_per_device=float(peak))
        for gigabytes in GPU_GIGABYTES:
            count = devices_needed(peaks, gigabytes, reserve_bytes=plan.reserve_bytes_per_device)
            if count is not None:
                meter.note(f"gpu_{gigabytes}", devices_needed=count)
        if plan.engine != NONE:
            meter.note(ROLLOUT, rollout_batch=batch)
        if plan.gpus is not None:
            self._answer(meter, projection, highest_peak(phases), plan.gpus)

    def _answer(self, meter: Meter, projection: "Projection", peak: int, gpus: Gpus) -> None:
        """Note whether these GPUs hold the step, what they have to spare, how they sample best and, for known GPUs,
        least seconds."""
        plan = self.plan
        room = int(gpus.memory_bytes - plan.reserve_bytes_per_device)
        meter.note(GPUS, step_fits=float(peak <= room), spare_bytes=float(room - peak))
        if peak > room:
            return
        batch = projection.largest_batch(plan.shards, room)
        if plan.engine != NONE:
            meter.note(GPUS, rollout_batch=batch)
        if gpus.device is not None:
            ceilings = gpus.device.ceilings(COMPUTED_DTYPE[plan.precision])
            assert ceilings is not None, "the plan has refused a device without a peak"
            for phase, work in step_work(plan, batch).items():
                meter.note(f"{GPUS}/{phase}", bound_s=bound_s(work, ceilings))


class Projection:
    """A projection of what each device holds, by how many there are and how many completions one samples at once."""

    def __init__(self, plan: RlMemoryPlan, attention: Mapping[str, Any]) -> None:
        self._plan, self._step = plan, SimulatedStep(plan, attention)
        self.phases = functools.cache(self._phases)  # one device's phases, by shards and rollout batch

    def _phases(self, shards: int, batch: int) -> Phases:
        """Bytes by label that one device holds in each phase, if `shards` devices share the step and each samples
        `batch` at once."""
        self._step.roll_out(batch)
        plan = self._plan
        shares = kind_shares(shards=shards, rows=plan.rows(shards), completions=plan.completions)
        peaks = self._step.peaks(lambda label: shares.get(label[1], 1.0))
        names = {ROLLOUT: rollout_phase(batch), SCORE: SCORE, UPDATE: update_phase(plan.micro_batches(shards))}
        # Another engine divides its own weights, or is not here: its rollout gathers no unit.
        gathered = dict.fromkeys(names, plan.gathered_bytes) | ({} if plan.engine == SHARED else {ROLLOUT: 0})
        return {phase: per_device(peaks[name].held, shares, gathered[phase]) for phase, name in names.items()}

    def smallest_peak(self, shards: int) -> int:
        """Peak bytes of one device's step, with the smallest rollout that the plan allows."""
        return highest_peak(self.phases(shards, self._smallest_batch(shards)))

    def frugal_batch(self, shards: int) -> int:
        """The most completions to sample at once whose rollout holds no more than scores and update do. At least the
        smallest batch that the plan allows: 1, or all where its size is not to fit."""
        phases = self.phases(shards, self._smallest_batch(shards))
        return self.largest_batch(shards, max(sum(phases[phase].values()) for phase in (SCORE, UPDATE)))

    def largest_batch(self, shards: int, room_bytes: int) -> int:
        """The most completions whose rollout fits in `room_bytes` of one device, or the plan's smallest batch where
        none does.

        A larger batch holds more, noise aside, and nearly as much more as it is larger: a straight line between a
        batch that fits and one that does not finds the next to try, until they are neighbours.
        """
        fits, fails = self._smallest_batch(shards), self._plan.rollout_rows(shards)
        least, most = self._rollout_bytes(shards, fits), self._rollout_bytes(shards, fails)
        if least > room_bytes or most <= room_bytes:
            return fits if least > room_bytes else fails
        while fails - fits > 1:
            guess = fits + int((fails - fits) * (room_bytes - least) / (most - least))
            tried = min(max(guess, fits + 1), fails - 1)
            rollout_bytes = self._rollout_bytes(shards, tried)
            if rollout_bytes <= room_bytes:
                fits, least = tried, rollout_bytes
            else:
                fails, most = tried, rollout_bytes
        return fits

    def _rollout_bytes(self, shards: int, batch: int) -> int:
        return sum(self.phases(shards, batch)[ROLLOUT].values())

    def _smallest_batch(self, shards: int) -> int:
        return 1 if self._plan.rollout_batch == FIT else self._plan.rollout_rows(shards)


def highest_peak(phases: Phases) -> int:
    """The bytes of the phase that holds most."""
    return max(sum(owned_bytes.values()) for owned_bytes in phases.values())


def kind_shares(*, shards: int, rows: int, completions: int) -> dict[str, float]:
    """The share, by kind, of the bytes of one device working alone that each of several holds; all of other kinds.
    `rows`: completions of one device's share."""
    shares = {**dict.fromkeys(DIVIDED, 1 / shards), EXPERIENCE: rows / completions}
    # Copies of single weights, in whose place a unit is gathered.
    return {**shares, GATHERED: 0.0} if shards > 1 else shares


def per_device(held_bytes: Mapping[Label, int], shares: Mapping[str, float], gathered_bytes: int) -> dict[Label, int]:
    """Bytes by label of each device, from those of one device alone; with several, the unit it gathers is added."""
    parts = {label: math.ceil(value * shares.get(label[1], 1.0)) for label, value in held_bytes.items()}
    if GATHERED in shares:
        parts[NOBODY, GATHERED] = gathered_bytes
    return {label: value for label, value in parts.items() if value}


def devices_needed(peaks: Mapping[int, float], gigabytes: int, *, reserve_bytes: float) -> int | None:
    """The fewest devices, of those in `peaks`, that hold a step; None where all are too few.

    `peaks`: bytes that one device holds at most, by the number of devices. `gigabytes`: memory of each, in 10^9 bytes.
    `reserve_bytes`: left free on each.
    """
    fitting = [shards for shards, peak in peaks.items() if peak <= gigabytes * 1e9 - reserve_bytes]
    return min(fitting, default=None)
