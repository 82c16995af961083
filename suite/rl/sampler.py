"""The policy that samples, where it is not the one that learns: older by some steps, or of fewer bits.

An asynchronous trainer samples with weights that are some steps old, and an engine for inference may compute in
bfloat16 or keep its cache in eight bits. Here each is a setting, so that what it costs in learning can be measured. The
cache is rounded as such an engine rounds it and kept in the dtype of the rest: it saves no memory here.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from suite.attention.cache import DTYPES
from suite.attention.grouped import GroupedAttention
from suite.attention.latent import AbsorbedLatentAttention
from suite.lm.decoder import Decoder
from suite.measure.memory_tracker import OwnedTensors
from suite.measure.workload import UnsupportedError
from suite.records.holdings import ENGINE, OTHER, PARAMETERS
from suite.rl.base import new_decoder
from suite.rl.plan import RlPlan


class Sampler:
    """Samples as the policy of `rollout_lag` steps ago would, with the rounding that the plan asks for.

    In a stage's first steps the policy is as old as the stage is. UnsupportedError for an attention whose cache cannot
    be rounded.
    """

    def __init__(self, plan: RlPlan, attention: Mapping[str, Any], policy: Decoder) -> None:
        self._policy = policy
        self._past: deque[dict[str, Tensor]] = deque(maxlen=plan.rollouts.lag)
        self.decoder = policy
        if plan.rollouts.differ:
            self.decoder = new_decoder(plan, attention, dtype=plan.rollouts.dtype).requires_grad_(False)
            self.decoder.cache_rounding = _rounding(plan.rollouts.cache_dtype, self.decoder)

    def begin_step(self) -> None:
        """Take over the weights that this step samples with."""
        present = self._policy.state_dict()
        self.decoder.load_state_dict(self._past[0] if self._past else present)
        if self._past.maxlen:
            self._past.append({name: weight.clone() for name, weight in present.items()})

    def owned_tensors(self) -> Iterable[OwnedTensors]:
        """The sampling copy of the weights and those that wait for their step, with owner and kind."""
        if self.decoder is not self._policy:
            yield list(self.decoder.parameters()), ENGINE, PARAMETERS
            yield self.decoder.rotary_tables(), ENGINE, OTHER
            yield [weight for weights in self._past for weight in weights.values()], ENGINE, PARAMETERS

    def state(self) -> list[dict[str, Tensor]]:
        """The weights that wait for their step, the oldest first."""
        return list(self._past)

    def restore(self, state: Iterable[dict[str, Tensor]]) -> None:
        self._past.extend(state)


def _rounding(cache_dtype: str | None, decoder: Decoder) -> torch.dtype | None:
    """The dtype that cached rows are rounded to; None for none. Raises UnsupportedError."""
    if cache_dtype is None:
        return None
    layer = decoder.attention_layer(0)
    if type(layer) not in (GroupedAttention, AbsorbedLatentAttention):
        raise UnsupportedError(
            f"rollout_cache_dtype={cache_dtype} supports grouped attention and absorbed MLA; got {type(layer).__name__}"
        )
    return DTYPES[cache_dtype]
