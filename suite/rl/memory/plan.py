"""The settings of a projection of memory, checked before anything is simulated. No torch."""

import math
from collections.abc import Mapping
from typing import Any

from suite.configuration.files import in_phase
from suite.configuration.values import not_negative, one_of, whole_number
from suite.records.holdings import CRITIC, POLICY, REFERENCE, REWARD_MODEL
from suite.rl.objective import LearningPlan
from suite.theory.answers.step_memory import BF16, COMPUTED_BYTES, FLOAT32, MIXED, PRECISIONS
from suite.theory.devices.gpus import SHARDS, Gpus, gpus_from
from suite.theory.layers.algebra import Pass
from suite.theory.layers.decoder_shape import DecoderShape, decoder_shape
from suite.theory.layers.layer_plan import plan_from
from suite.theory.layers.shapes import cache_bytes

DEVICE, OFFLOADED, NONE = "device", "offloaded", "none"
SHARED, COPY = "shared", "copy"
FIT, ALL = "fit", "all"
COMPUTED_DTYPE = {BF16: "bfloat16", MIXED: "bfloat16", FLOAT32: "float32"}


class RlMemoryPlan(LearningPlan):
    """Settings of one case, checked. Raises ValueError for what is wrong in itself."""

    dtype = "bfloat16"
    inner_epochs, warmup_updates, lr, max_grad_norm = 1, 1, 1e-6, 1.0  # none of them holds memory

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.device: str = one_of(settings, "device", ("cpu",), where="workload=rl_memory simulates: ")
        self.threads = whole_number(settings, "threads", at_least=1)
        geometry = settings["geometry"]
        vocab_size = whole_number(geometry, "vocab_size", at_least=2, where="geometry.")
        self.shape = decoder_shape(geometry, settings["attention"], vocab_size=vocab_size, where="geometry.")
        attention = in_phase(settings["attention"], "train")
        self.training_shape: DecoderShape = decoder_shape(geometry, attention, vocab_size=vocab_size, where="geometry.")
        """The shape by which whole texts are computed: latent attention's is expanded, other attention has one way."""
        self.refusal = _refusal(geometry, "geometry", "geometry.")
        self.seq_len = whole_number(settings, "seq_len", at_least=3)
        self.prompt_len = whole_number(settings, "prompt_len", at_least=1, at_most=self.seq_len - 2)
        super().__init__(settings, longest_completion=self.completion_len)
        self.critic_shape, self.critic_training_shape = self.shape, self.training_shape
        if self.critic_sizes is not None:
            self.critic_shape, self.critic_training_shape = (
                decoder_shape(self.critic_sizes, way, vocab_size=vocab_size, where="critic_sizes.")
                for way in (settings["attention"], attention)
            )
            self.refusal = self.refusal or _refusal(self.critic_sizes, "critic's geometry", "critic_sizes.")

        batch = settings["rollout_batch"]
        if batch not in (FIT, ALL) and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
            raise ValueError(f"rollout_batch must be {FIT}, {ALL} or a whole number of at least 1; got {batch!r}")
        self.rollout_batch: int | str = batch
        self.prefill_tokens = whole_number(settings, "prefill_tokens", at_least=1)
        self.precision: str = one_of(settings, "precision", PRECISIONS)
        self.gpus = self._gpus(settings)
        self.shards: int = one_of(settings, "shards", SHARDS)
        self.reserve_bytes_per_device = not_negative(settings, "reserve_bytes_per_device")
        self.checkpointing: bool = one_of(settings, "checkpointing", (True, False))
        self.casts_frozen: bool = one_of(settings, "frozen_base", ("computed", FLOAT32)) == FLOAT32
        self.critic_lr = self.lr if self.has_own_critic else None
        reference = one_of(settings, "reference", (DEVICE, OFFLOADED))
        self.scorers_offloaded: bool = reference == OFFLOADED
        self.has_reward_model: bool = one_of(settings, "reward_model", (NONE, "own")) == "own"
        self.engine: str = one_of(settings, "engine", (SHARED, COPY, NONE))
        self.engine_sleeps: bool = one_of(settings, "engine_sleeps", (True, False))
        if not self.divides(self.shards):
            raise ValueError(
                f"shards x micro_batch must be at most the minibatch, which is {self.minibatch}; "
                f"got {self.shards} x {self.micro_batch}"
            )

    @property
    def completion_len(self) -> int:
        return self.seq_len - self.prompt_len

    @property
    def has_own_critic(self) -> bool:
        return self.objective.has_critic and not self.shares_trunk

    @property
    def has_own_reference(self) -> bool:
        """True if the reference has weights of its own: under LoRA the reference is the policy without its adapters."""
        return self.objective.has_reference and self.lora_rank is None

    def rows(self, shards: int) -> int:
        """Completions of one device's share of a step, rounded up."""
        return math.ceil(self.completions / shards)

    def rollout_rows(self, shards: int) -> int:
        """The most completions that one device may sample at once."""
        rows = self.rows(shards)
        return min(rows, self.rollout_batch) if isinstance(self.rollout_batch, int) else rows

    @property
    def completion_cache_bytes(self) -> int:
        """Bytes of the KV cache of one completion at full length, its prompt included."""
        element_bytes = COMPUTED_BYTES[self.precision]
        forward = Pass(batch=1, query_len=1, seq_len=self.seq_len, element_bytes=element_bytes)
        return self.shape.num_layers * cache_bytes(self.shape.layer, forward)

    def micro_batches(self, shards: int) -> int:
        """Micro-batches of one update to simulate, 1 or 2: from the second on gradients are added up, and further ones
        hold no more."""
        return min(2, math.ceil(self.minibatch / shards / self.micro_batch))

    def divides(self, shards: int) -> bool:
        """True if each device has a micro-batch of its own in every minibatch."""
        return self.minibatch >= shards * self.micro_batch

    @property
    def gathered_bytes(self) -> int:
        """Bytes of the largest unit that a device gathers whole: a block, the embeddings or the head."""
        shapes = (self.shape, self.critic_shape)
        matrices = [shape.vocab_size * shape.hidden_size for shape in shapes]
        return COMPUTED_BYTES[self.precision] * max(*(shape.block_parameter_count for shape in shapes), *matrices)

    def facts(self) -> dict[str, Any]:
        """The policy's layer, and how the step is simulated."""
        return {"policy": self.shape.layer.describe(), "simulated": "fake tensors under the suite's own step, on a CPU"}

    def parameter_counts(self) -> dict[str, int]:
        """Parameters by owner, without adapters; 0 for a model that is not there or has no weights."""
        headless = self.shape.trunk_parameter_count + self.shape.hidden_size
        critic = self.critic_shape.hidden_size if self.objective.has_critic else 0
        if self.has_own_critic:
            critic += self.critic_shape.trunk_parameter_count
        return {
            POLICY: self.shape.parameter_count,
            CRITIC: critic,
            REFERENCE: self.shape.parameter_count if self.has_own_reference else 0,
            REWARD_MODEL: headless if self.has_reward_model else 0,
        }

    def constants(self) -> dict[str, dict[str, float]]:
        """Parameter counts by owner, and the KV cache's bytes of a whole completion."""
        counts = {f"{owner}_parameter_count": count for owner, count in self.parameter_counts().items()}
        return {"case": {**counts, "completion_cache_bytes": self.completion_cache_bytes}}

    def least_bytes(self) -> float:
        """0 on this machine: fake tensors hold nothing."""
        return 0.0

    def _gpus(self, settings: Mapping[str, Any]) -> Gpus | None:
        """Read the GPUs to project for, or None. Raises ValueError unless they suit shards and precision."""
        if settings["gpus"] is None:
            return None
        gpus = gpus_from(settings["gpus"])
        if gpus.count not in SHARDS:
            raise ValueError(f"gpus must be {', '.join(map(str, SHARDS))} in number; got {settings['gpus']!r}")
        if gpus.count != settings["shards"]:
            raise ValueError(f"shards must be as many as gpus={settings['gpus']} has; got {settings['shards']!r}")
        dtype = COMPUTED_DTYPE[self.precision]
        if gpus.device is not None and gpus.device.ceilings(dtype) is None:
            raise ValueError(
                f"gpus must be of a device with a published peak in {dtype}, which precision={self.precision} computes "
                f"in, or of its memory alone, as {gpus.count}x{gpus.memory_bytes / 1e9:g}; got {gpus.device.name!r}"
            )
        return gpus


def _refusal(geometry: Mapping[str, Any], named: str, where: str) -> str | None:
    """Why this suite's decoder cannot have the geometry, such as experts or unlike layers; None where it can."""
    if "moe" in geometry:
        return f"the decoder of this suite is dense, and this {named} has experts"
    if "layers" in geometry and not plan_from(geometry, where).is_uniform:
        return f"the decoder of this suite has equal layers of plain attention, and this {named} has other ones"
    return None
