"""The models of a step as their settings want them, each labelled with whose it is."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import torch

from suite.lm.autocast import AutocastDecoder
from suite.lm.decoder import Decoder, FactoryKwargs
from suite.lm.lora import adapt, unadapted
from suite.measure.memory_tracker import MemoryTracker, attribute_to
from suite.records.holdings import CRITIC, OTHER, PARAMETERS, POLICY
from suite.rl.critic import Critic
from suite.rl.memory.plan import RlMemoryPlan
from suite.theory.answers.step_memory import BF16, FLOAT32, MIXED
from suite.theory.layers.decoder_shape import DecoderShape

Model = TypeVar("Model", bound=torch.nn.Module)
DTYPES = {BF16: (torch.bfloat16, torch.bfloat16), MIXED: (torch.float32, torch.bfloat16), FLOAT32: (torch.float32,) * 2}
"""The dtypes of trained and of frozen parameters."""


class Models:
    """A maker of the models. It makes each anew whenever it is asked for; what is held is what the asker keeps."""

    def __init__(self, plan: RlMemoryPlan, attention: Mapping[str, Any], holdings: MemoryTracker) -> None:
        self._plan, self._attention, self._holdings = plan, attention, holdings
        self._generator = torch.Generator()

    def policy(self) -> Decoder:
        return self._labelled(self._trained(POLICY, self._plan.shape), POLICY)

    def critic(self, policy: Decoder) -> Critic | None:
        if not self._plan.objective.has_critic:
            return None
        if self._plan.shares_trunk:
            critic = Critic(policy, shares_trunk=True)
            self._holdings.label([critic.value_D], CRITIC, PARAMETERS)
            return critic
        return self._labelled(Critic(self._trained(CRITIC, _headless(self._plan.critic_shape))), CRITIC)

    def frozen(self, owner: str) -> Decoder:
        """Make a frozen decoder with its head: a reference, or a rollout engine's copy."""
        return self._labelled(self._frozen(owner, self._plan.shape), owner)

    def scorer(self, owner: str) -> Critic:
        """Make a frozen decoder without a head, with a row that reads a reward."""
        headless = self._frozen(owner, _headless(self._plan.shape))
        return self._labelled(Critic(headless).requires_grad_(False), owner)

    def unadapted_base(self, policy: Decoder, owner: str) -> Decoder:
        """Make a decoder of an adapted policy's own weights, without its adapters."""
        return unadapted(policy, self._base(owner, Decoder, self._plan.shape))

    def _trained(self, owner: str, shape: DecoderShape) -> Decoder:
        plan, (dtype, computed) = self._plan, DTYPES[self._plan.precision]
        kind = AutocastDecoder if dtype != computed else Decoder
        if plan.lora_rank is None:
            return self._decoder(owner, kind, dtype, shape)
        decoder = self._base(owner, kind, shape)
        with attribute_to(owner, OTHER):
            adapt(decoder, plan.lora_rank, dtype=dtype)
        return decoder

    def _base(self, owner: str, kind: type[Decoder], shape: DecoderShape) -> Decoder:
        """Make a decoder of weights that adapters are laid on; `kind` where they are in what is computed with."""
        computed = DTYPES[self._plan.precision][1]
        if self._plan.casts_frozen and computed != torch.float32:
            return self._decoder(owner, AutocastDecoder, torch.float32, shape)
        return self._decoder(owner, kind, computed, shape)

    def _frozen(self, owner: str, shape: DecoderShape) -> Decoder:
        dtype = DTYPES[self._plan.precision][1]
        return self._decoder(owner, Decoder, dtype, shape).requires_grad_(False)

    def _decoder(self, owner: str, kind: type[Decoder], dtype: torch.dtype, shape: DecoderShape) -> Decoder:
        plan, factory = self._plan, FactoryKwargs(dtype=dtype, device=torch.device("cpu"), generator=self._generator)
        with attribute_to(owner, OTHER):  # its tables of angles; what its parameters are is said behind it
            decoder = kind(shape, self._attention, positions=plan.seq_len, made=factory)
        decoder.checkpointing = plan.checkpointing
        return decoder

    def _labelled(self, model: Model, owner: str) -> Model:
        self._holdings.label(model.parameters(), owner, PARAMETERS)
        return model


def _headless(shape: DecoderShape) -> DecoderShape:
    """A shape without a head of its own, which a critic and a reward model would lose."""
    return replace(shape, ties_embeddings=True)
