"""A decoder of the suite's own attention layers, which RL trains and quality asks questions.

Llama's block: RMSNorm, attention, RMSNorm, SwiGLU, both added to the residual stream; the head is the embeddings unless
its shape says otherwise. Any variant of suite/attention is its attention, so `attention=` is an axis of everything that
is built on it.

Shapes: B sequences, S tokens, D hidden width, V vocabulary; those of attention stand in suite/attention/problem.py.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from suite.attention.cache import Cache, RoundedCache
from suite.attention.grouped import GroupedAttention
from suite.attention.layer import AttentionLayer
from suite.attention.linear import linear, linear_in_parts
from suite.attention.problem import joined_key
from suite.configuration.files import locate
from suite.lm.attend import attend
from suite.theory.layers.decoder_shape import DecoderShape


@dataclass(frozen=True, kw_only=True)
class FactoryKwargs:
    """The dtype, device and generator of new weights."""

    dtype: torch.dtype
    device: torch.device
    generator: torch.Generator


def scored_in(dtype: torch.dtype) -> torch.dtype:
    """Dtype of log-probabilities and values: float32 at least, since ratios and advantages are differences."""
    return torch.promote_types(dtype, torch.float32)


GROWTH_SLOTS = 16
"""Tokens that a new cache can take beyond its length, before it has to be copied to a larger one."""


class Block(torch.nn.Module):
    def __init__(self, attention: AttentionLayer, shape: DecoderShape, factory: FactoryKwargs) -> None:
        super().__init__()
        hidden, inner = shape.hidden_size, shape.intermediate_size
        self.attention, self._norm_eps = attention, shape.norm_eps
        self.attention_norm = attention.ones(hidden)
        self.mlp_norm = attention.ones(hidden)
        self.w_gate_up = attention.init_weight(2 * inner, hidden)
        self.w_down = attention.init_weight(hidden, inner)
        # As in GPT-2: the residual stream's variance does not grow with depth.
        share = 1 / math.sqrt(2 * shape.num_layers)
        with torch.no_grad():
            self.w_down.mul_(share)
            attention.w_o.mul_(share)
        # In a tuple, so that torch does not register it: it has the very same weights.
        self._trained = (attention.for_training(),)

    def replace_attention(self, layer: AttentionLayer) -> None:
        """Put another attention layer, of equal sizes, in the place of this block's."""
        self.attention, self._trained = layer, (layer.for_training(),)

    def attention_input(self, x_BSD: Tensor) -> Tensor:
        """The attention layer's input: the residual stream x_BSD after its norm."""
        return rms_norm(x_BSD, self.attention_norm, self._norm_eps)

    def forward(self, x_BSD: Tensor, mask_B1ST: Tensor | None, first: int = 0) -> Tensor:
        """The residual stream behind this block, without a cache, of the tokens from `first` on."""
        return self._forward(x_BSD, self._trained[0], None, 0, mask_B1ST, first)

    def decode(self, x_BSD: Tensor, cache: Cache, start: int, mask_B1ST: Tensor | None) -> Tensor:
        """The residual stream of new tokens behind this block; writes their rows to the cache from `start` on."""
        return self._forward(x_BSD, self.attention, cache, start, mask_B1ST)

    def _forward(
        self,
        x_BSD: Tensor,
        layer: AttentionLayer,
        cache: Cache | None,
        start: int,
        mask_B1ST: Tensor | None,
        first: int = 0,
    ) -> Tensor:
        """Attention by `layer` and MLP, both added to the residual stream, for the tokens from `first` on."""
        q, k, v, *shared = layer.project(self.attention_input(x_BSD), cache, start)
        k = joined_key(k, *shared) if shared else k  # torch's fused kernel takes whole keys alone
        o_BHSv = attend(q, k, v, scale=layer.scale, value_layout=layer.value_layout, mask_B1ST=mask_B1ST)
        if first:
            x_BSD, o_BHSv = x_BSD[:, first:], o_BHSv[:, :, first:]
        x_BSD = x_BSD + layer.output(o_BHSv)
        return x_BSD + self.mlp(x_BSD)

    def mlp(self, x_BSD: Tensor) -> Tensor:
        """What the MLP adds to the residual stream x_BSD, which it norms first."""
        h_BSD = rms_norm(x_BSD, self.mlp_norm, self._norm_eps)
        gate, up = linear_in_parts(h_BSD, self.w_gate_up, 2)
        return linear(F.silu(gate) * up, self.w_down)


class Decoder(torch.nn.Module):
    """Constructed from its shape and the settings under `attention`, whose `_target_` is the layers' class.

    `checkpointing` may be set: a training pass then keeps each block's input only, and computes the rest again on its
    way back. `cache_rounding` may be set, for grouped attention and absorbed MLA: rows of the cache are rounded to what
    this dtype of eight bits holds of them.
    """

    cache_rounding: torch.dtype | None = None

    def __init__(
        self, shape: DecoderShape, attention: Mapping[str, Any], *, positions: int, factory: FactoryKwargs
    ) -> None:
        super().__init__()
        self.shape, self.factory = shape, factory
        layer_class = locate(attention["_target_"])
        layers: list[AttentionLayer] = [
            layer_class(
                shape.layer,
                positions=positions,
                dtype=factory.dtype,
                device=factory.device,
                generator=factory.generator,
            )
            for _ in range(shape.num_layers)
        ]
        if shape.qkv_bias:
            for layer in layers:
                assert isinstance(layer, GroupedAttention), "grouped heads alone have biases"
                layer.add_biases()
        for layer in layers[1:]:  # one table for all: at long contexts one a layer would be gigabytes
            layer.cos_Sr, layer.sin_Sr = layers[0].cos_Sr, layers[0].sin_Sr
        self.checkpointing = False
        self._blocks = [Block(layer, shape, factory) for layer in layers]
        self.blocks = torch.nn.ModuleList(self._blocks)
        self.norm = layers[0].ones(shape.hidden_size)
        self.embedding = layers[0].init_weight(shape.vocab_size, shape.hidden_size)
        self.head = None if shape.ties_embeddings else layers[0].init_weight(shape.vocab_size, shape.hidden_size)
        self.requires_grad_(True)

    def forward(self, tokens_BS: Tensor, mask_B1ST: Tensor | None = None, *, first: int = 0) -> Tensor:
        """Hidden states h_BSD after the last norm, of tokens from `first` on. No mask: causal; see suite.lm.attend."""
        return self.through(F.embedding(tokens_BS, self.embedding), mask_B1ST, first=first)

    def through(self, x_BSD: Tensor, mask_B1ST: Tensor | None, *, first: int = 0) -> Tensor:
        """Hidden states after the last norm of tokens given as embeddings x_BSD, from `first` on.

        The last block needs no more of earlier tokens than their keys and values.
        """
        for block in self._blocks:
            arguments = x_BSD, mask_B1ST, first if block is self._blocks[-1] else 0
            if self.checkpointing and torch.is_grad_enabled():
                x_BSD = checkpoint(block, *arguments, use_reentrant=False, preserve_rng_state=False)
            else:
                x_BSD = block(*arguments)
        return rms_norm(x_BSD, self.norm, self.shape.norm_eps)

    def decode(self, tokens_BS: Tensor, caches: Sequence[Cache], start: int, mask_B1ST: Tensor | None) -> Tensor:
        """Hidden states of new tokens, which are written to the caches, one for each layer, from `start` on."""
        return self.decode_through(F.embedding(tokens_BS, self.embedding), caches, start, mask_B1ST)

    def decode_through(self, x_BSD: Tensor, caches: Sequence[Cache], start: int, mask_B1ST: Tensor | None) -> Tensor:
        """Hidden states of new tokens given as embeddings; writes them to the caches from `start` on."""
        for block, cache in zip(self._blocks, caches, strict=True):
            cache.length = start + x_BSD.shape[1]
            x_BSD = block.decode(x_BSD, cache, start, mask_B1ST)
        return rms_norm(x_BSD, self.norm, self.shape.norm_eps)

    def attention_layer(self, layer: int) -> AttentionLayer:
        return self._blocks[layer].attention

    def replace_attention(self, layer: int, attention: AttentionLayer) -> None:
        self._blocks[layer].replace_attention(attention)

    def logits(self, h_BSD: Tensor) -> Tensor:
        """Scores over the vocabulary, [B, S, V], from hidden states."""
        return F.linear(h_BSD, self.embedding if self.head is None else self.head)

    def cached_in(self, layer: AttentionLayer) -> torch.dtype:
        """Dtype of the layer's cache."""
        return layer.cache_dtype

    def new_caches(self, batch: int, length: int) -> list[Cache]:
        """Allocate a cache for each layer, with room for `length` tokens of each of `batch` sequences."""
        size: dict[str, Any] = {"batch": batch, "length": length, "device": self.factory.device}
        size["spare_slots"] = GROWTH_SLOTS
        caches = []
        for block in self._blocks:
            layer = block.attention
            size |= {"kv_heads": layer.cache_heads, "widths": layer.cache_widths, "dtype": self.cached_in(layer)}
            if self.cache_rounding is None:
                caches.append(Cache(**size))
            else:
                rotary = sum(rows.elements for rows in layer.shape.cache_rows if rows.is_wide)
                caches.append(RoundedCache(rounded_to=self.cache_rounding, rotary=rotary, **size))
        return caches

    def modes(self) -> dict[str, str]:
        """Class names of the attention layers that train and score (`trained`) and that decode (`decoded`)."""
        block = self._blocks[0]
        return {"trained": type(block._trained[0]).__name__, "decoded": type(block.attention).__name__}

    def rotary_tables(self) -> list[Tensor]:
        """The cosines and sines of each layer's rotary embedding, which are no parameters."""
        return [table for block in self._blocks for table in (block.attention.cos_Sr, block.attention.sin_Sr)]

    def parameter_count(self) -> int:
        """All weights, with those that are frozen; every buffer is one."""
        return sum(weight.numel() for weight in (*self.parameters(), *self.buffers()))


class AutocastDecoder(Decoder):
    """A decoder whose float32 weights compute in bfloat16, as torch.autocast has it: the mixed recipe on one device.

    Each pass makes a bfloat16 copy of every weight that is multiplied, which autograd keeps until the way back unless
    blocks are recomputed. The residual stream, norms, moments and log-probabilities are float32.
    """

    def cached_in(self, layer: AttentionLayer) -> torch.dtype:
        return torch.bfloat16

    def forward(self, tokens_BS: Tensor, mask_B1ST: Tensor | None = None, *, first: int = 0) -> Tensor:
        with self._autocast():
            return super().forward(tokens_BS, mask_B1ST, first=first)

    def decode(self, tokens_BS: Tensor, caches: Sequence[Cache], start: int, mask_B1ST: Tensor | None) -> Tensor:
        with self._autocast():
            return super().decode(tokens_BS, caches, start, mask_B1ST)

    def logits(self, h_BSD: Tensor) -> Tensor:
        with self._autocast():
            logits_BSV = super().logits(h_BSD)
        return logits_BSV.float()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.factory.device.type, dtype=torch.bfloat16)


def rms_norm(x: Tensor, gain_D: Tensor, eps: float) -> Tensor:
    """RMSNorm, x / sqrt(mean(x²) + eps) · gain: by _RmsNorm where that pays, else torch's own, as good there."""
    is_plain = x.device.type == "cpu" and x.dtype == gain_D.dtype and x.dtype.itemsize >= 4
    if is_plain and torch.is_grad_enabled():
        y: Tensor = _RmsNorm.apply(x, gain_D, eps)
        return y
    return F.rms_norm(x, gain_D.shape, gain_D, eps)


class _RmsNorm(torch.autograd.Function):
    """RMSNorm with its derivative written down, of x of any shape with D as its last dimension.

    On a CPU torch has RMSNorm in pieces and goes back through each: in a small model's training more than the products
    of a layer take. This one does the same sums in half as many passes, and keeps for the way back what it was given
    and one number a token.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain_D: Tensor, eps: float) -> Tensor:
        """The normed x; keeps x, the gain and one rate for each token for the backward pass."""
        rate = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().mul_(1 / x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, gain_D, rate)
        y: Tensor = (x * rate).mul_(gain_D)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        """Gradients: rate · (g·gain − n · mean(g·gain·n)) of x, Σ g·n of gain; g: the output's, n = x·rate."""
        x, gain_D, rate = ctx.saved_tensors
        normed = x * rate
        gain_terms = gradient * normed
        slope = (gain_terms @ gain_D).unsqueeze(-1).mul_(1 / x.shape[-1])
        x_gradient = (gradient * gain_D).addcmul_(normed, slope, value=-1).mul_(rate)
        return x_gradient, gain_terms.flatten(0, -2).sum(dim=0) if ctx.needs_input_grad[1] else None, None
