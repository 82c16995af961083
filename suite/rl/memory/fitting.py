"""From what one device holds to what each of several does, and to the smallest set of devices that takes it. No torch.

As in FSDP and ZeRO-3, parameters, gradients and AdamW's moments are divided, and each device gathers the unit that it
computes with whole, the largest of which is added; a micro-batch's activations and logits are as on one device, and
each samples and learns from its share of the completions. A rollout engine divides its own copy as tensor parallelism
does and gathers nothing. Not counted: a second unit gathered ahead, and a unit's gradient before it is scattered.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from suite.records.holdings import EXPERIENCE, GATHERED, GRADIENTS, NOBODY, OPTIMISER, OPTIMISER_TEMPORARIES, PARAMETERS

Held = Mapping[tuple[str, str], int]
"""Bytes by owner and kind."""
DIVIDED = (PARAMETERS, GRADIENTS, OPTIMISER, OPTIMISER_TEMPORARIES)
GPU_GIGABYTES = (24, 40, 80, 141)
"""Decimal, as they are sold."""


@dataclass(frozen=True, kw_only=True)
class Division:
    """Of one device's work among several."""

    shards: int
    rows: int
    """Completions of one's share."""
    completions: int

    def share(self, label: tuple[str, str]) -> float:
        """Of what one device would hold under a label, by owner and kind."""
        _, kind = label
        if kind in DIVIDED:
            return 1 / self.shards
        if kind == EXPERIENCE:
            return self.rows / self.completions
        if kind == GATHERED and self.shards > 1:
            return 0.0  # copies of single weights, in whose place a unit is gathered
        return 1.0

    def of(self, held: Held, *, gathered_bytes: int) -> dict[tuple[str, str], int]:
        """What each device holds of what one would, with the unit that it gathers."""
        parts = {label: math.ceil(value * self.share(label)) for label, value in held.items()}
        if self.shards > 1:
            parts[NOBODY, GATHERED] = gathered_bytes
        return {label: value for label, value in parts.items() if value}


def devices_needed(peaks: Mapping[int, float], gigabytes: int, *, reserve_bytes: float) -> int | None:
    """The least number of devices, of those in `peaks`, that hold it; None where all are too few.

    `peaks`: bytes of one device, by how many divide them. `reserve_bytes`: of each device, not to be had.
    """
    fitting = [shards for shards, peak in peaks.items() if peak <= gigabytes * 1e9 - reserve_bytes]
    return min(fitting, default=None)
