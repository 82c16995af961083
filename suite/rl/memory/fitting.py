"""From what one device holds to what each of several does, and to the smallest set of devices that takes it. No torch.

As in FSDP and ZeRO-3, parameters, gradients and AdamW's moments are divided, and each device gathers the unit that it
computes with whole, the largest of which is added; a micro-batch's activations and logits are as on one device, and
each samples and learns from its share of the completions. A rollout engine divides its own copy as tensor parallelism
does and gathers nothing. Not counted: a second unit gathered ahead, and a unit's gradient before it is scattered.
"""

import math
from collections.abc import Mapping

from suite.records.holdings import EXPERIENCE, GATHERED, GRADIENTS, NOBODY, OPTIMISER, OPTIMISER_TEMPORARIES, PARAMETERS

Held = Mapping[tuple[str, str], int]
"""Bytes by owner and kind."""
DIVIDED = (PARAMETERS, GRADIENTS, OPTIMISER, OPTIMISER_TEMPORARIES)
GPU_GIGABYTES = (24, 40, 80, 141)
"""Decimal, as they are sold."""


def share(label: tuple[str, str], *, shards: int, rows: int, completions: int) -> float:
    """What one of several devices holds of one device's bytes. `rows`: completions of its share."""
    _, kind = label
    if kind in DIVIDED:
        return 1 / shards
    if kind == EXPERIENCE:
        return rows / completions
    if kind == GATHERED and shards > 1:
        return 0.0  # copies of single weights, in whose place a unit is gathered
    return 1.0


def sharded(held: Held, *, shards: int, rows: int, completions: int, gathered_bytes: int) -> dict[tuple[str, str], int]:
    """Of each of several devices, by owner and kind."""
    parts = {
        label: math.ceil(value * share(label, shards=shards, rows=rows, completions=completions))
        for label, value in held.items()
    }
    if shards > 1:
        parts[NOBODY, GATHERED] = gathered_bytes
    return {label: value for label, value in parts.items() if value}


def devices_needed(peaks: Mapping[int, float], gigabytes: int, *, reserve_bytes: float) -> int | None:
    """The least number of devices, of those in `peaks`, that hold it; None where all are too few.

    `peaks`: bytes of one device, by how many divide them. `reserve_bytes`: of each device, not to be had.
    """
    fitting = [shards for shards, peak in peaks.items() if peak <= gigabytes * 1e9 - reserve_bytes]
    return min(fitting, default=None)
