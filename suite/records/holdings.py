"""The holders of memory: owner, kind, and phase of a step. No torch: the report reads these words.

The peak of a phase is one reading, `held_peak_bytes` in the phase's own span; what was held at that moment is a reading
`held_bytes` for each owner and kind, in a span of all three.
"""

from collections.abc import Mapping

from suite.records.record import Reading
from suite.theory.answers import step_memory

POLICY, CRITIC, REFERENCE = step_memory.OWNERS
REWARD_MODEL, ENGINE = "reward_model", "engine"
"""ENGINE is a rollout engine beside the trainer, with a copy of the policy's weights of its own."""
OWNERS = (*step_memory.OWNERS, REWARD_MODEL, ENGINE)
PARAMETERS, GRADIENTS, OPTIMISER = step_memory.DIVIDED
OPTIMISER_TEMPORARIES = "optimiser_temporaries"
ACTIVATIONS, LOGITS, KV_CACHE, EXPERIENCE, GATHERED = step_memory.UNDIVIDED
DIVIDED = (*step_memory.DIVIDED, OPTIMISER_TEMPORARIES)
"""Kinds that devices divide among them."""
KINDS = (*DIVIDED, *step_memory.UNDIVIDED)
NOBODY, OTHER = step_memory.NOBODY, step_memory.OTHER
PEAK, PART = "held_peak_bytes", "held_bytes"
ALLOCATOR_PEAK, RESERVED_PEAK, IN_USE = OF_GPU = "allocator_peak_bytes", "reserved_peak_bytes", "gpu_used_bytes"
"""A phase's peak as torch's allocator counts it: with its rounding, with memory that operators take and give back
within themselves, and with memory that evaluations alone need. What it reserved at most, which is no less. And what
NVML counts on the whole GPU as the phase ends, its context and other processes included: no less again, unless torch
gave memory back meanwhile."""


def holder_parts(span: str) -> tuple[str, str, str] | None:
    """Phase, owner and kind of a `held_bytes` reading's span; None for any other span."""
    parts = span.split("/")
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else None


def held_readings(step: int, phase: str, nbytes: Mapping[tuple[str, str], int]) -> list[Reading]:
    """The peak of a phase and its parts by owner and kind, in bytes; their sum is the peak."""
    parts = [
        Reading(step=step, span=f"{phase}/{owner}/{kind}", metric=PART, value=value)
        for (owner, kind), value in nbytes.items()
        if value
    ]
    return [Reading(step=step, span=phase, metric=PEAK, value=sum(nbytes.values())), *parts]
