"""The models of a step as their settings want them, each labelled with whose it is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from suite.attention.cache import Cache
from suite.attention.layer import AttentionLayer
from suite.lm.decoder import Decoder, FactoryKwargs
from suite.lm.lora import adapt, unadapted
from suite.measure.memory_tracker import MemoryTracker, attribute_to
from suite.records.holdings import CRITIC, OTHER, PARAMETERS, POLICY
from suite.rl.critic import Critic
from suite.rl.memory.plan import BF16, FLOAT32, MIXED, RlMemoryPlan

Model = TypeVar("Model", bound=torch.nn.Module)
DTYPES = {BF16: (torch.bfloat16, torch.bfloat16), MIXED: (torch.float32, torch.bfloat16), FLOAT32: (torch.float32,) * 2}
"""The dtypes of trained and of frozen parameters."""
COMPUTED_IN = torch.bfloat16


class AutocastDecoder(Decoder):
    """A decoder whose float32 weights compute in bfloat16, as torch.autocast has it: the mixed recipe on one device.

    Each pass makes a bfloat16 copy of every weight that is multiplied, which autograd keeps until the way back unless
    blocks are recomputed. The residual stream, norms and log-probabilities are float32.
    """

    def cached_in(self, layer: AttentionLayer) -> torch.dtype:
        return COMPUTED_IN

    def forward(self, tokens_BS: Tensor, mask_B1ST: Tensor | None = None) -> Tensor:
        with self._autocast():
            return super().forward(tokens_BS, mask_B1ST)

    def decode(self, tokens_BS: Tensor, caches: Sequence[Cache], start: int, mask_B1ST: Tensor | None) -> Tensor:
        with self._autocast():
            return super().decode(tokens_BS, caches, start, mask_B1ST)

    def logits(self, h_BSD: Tensor) -> Tensor:
        with self._autocast():
            logits_BSV = super().logits(h_BSD)
        return logits_BSV.float()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.made.device.type, dtype=COMPUTED_IN)


class Models:
    """A maker of the models. It makes each anew whenever it is asked for; what is held is what the asker keeps."""

    def __init__(self, plan: RlMemoryPlan, attention: Mapping[str, Any], holdings: MemoryTracker) -> None:
        self._plan, self._attention, self._holdings = plan, attention, holdings
        self._generator = torch.Generator()

    def policy(self) -> Decoder:
        return self._labelled(self._trained(POLICY), POLICY)

    def critic(self, policy: Decoder) -> Critic | None:
        if not self._plan.objective.has_critic:
            return None
        if self._plan.shares_trunk:
            critic = Critic(policy, shares_trunk=True)
            self._holdings.label([critic.value_D], CRITIC, PARAMETERS)
            return critic
        return self._labelled(Critic(self._trained(CRITIC, has_head=False)), CRITIC)

    def frozen(self, owner: str) -> Decoder:
        """Make a frozen decoder with its head: a reference, or a rollout engine's copy."""
        return self._labelled(self._frozen(owner), owner)

    def scorer(self, owner: str) -> Critic:
        """Make a frozen decoder without a head, with a row that reads a reward."""
        return self._labelled(Critic(self._frozen(owner, has_head=False)).requires_grad_(False), owner)

    def base_of(self, policy: Decoder, owner: str) -> Decoder:
        """Make a decoder of an adapted policy's own weights, without its adapters."""
        return unadapted(policy, self._base(owner, Decoder, has_head=True))

    def _trained(self, owner: str, *, has_head: bool = True) -> Decoder:
        plan, (dtype, computed) = self._plan, DTYPES[self._plan.precision]
        kind = AutocastDecoder if dtype != computed else Decoder
        if plan.lora_rank is None:
            return self._decoder(owner, kind, dtype, has_head=has_head)
        decoder = self._base(owner, kind, has_head=has_head)
        with attribute_to(owner, OTHER):
            adapt(decoder, plan.lora_rank, dtype=dtype)
        return decoder

    def _base(self, owner: str, kind: type[Decoder], *, has_head: bool) -> Decoder:
        """Make a decoder of weights that adapters are laid on; `kind` where they are in what is computed with."""
        computed = DTYPES[self._plan.precision][1]
        if self._plan.casts_frozen and computed != torch.float32:
            return self._decoder(owner, AutocastDecoder, torch.float32, has_head=has_head)
        return self._decoder(owner, kind, computed, has_head=has_head)

    def _frozen(self, owner: str, *, has_head: bool = True) -> Decoder:
        dtype = DTYPES[self._plan.precision][1]
        return self._decoder(owner, Decoder, dtype, has_head=has_head).requires_grad_(False)

    def _decoder(self, owner: str, kind: type[Decoder], dtype: torch.dtype, *, has_head: bool) -> Decoder:
        plan, made = self._plan, FactoryKwargs(dtype=dtype, device=torch.device("cpu"), generator=self._generator)
        with attribute_to(owner, OTHER):  # its tables of angles; what its parameters are is said behind it
            shape = plan.shape if has_head else replace(plan.shape, ties_embeddings=True)
            decoder = kind(shape, self._attention, positions=plan.seq_len, made=made)
        decoder.checkpointing = plan.checkpointing
        return decoder

    def _labelled(self, model: Model, owner: str) -> Model:
        self._holdings.label(model.parameters(), owner, PARAMETERS)
        return model
