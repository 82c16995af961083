"""A copy of a large decoder's weights, laid out for sampling on a CPU: the rollout engine's own.

A step of a few completions multiplies few rows by every weight once, and torch's linear layer hands each weight to the
BLAS as it lies, which packs it anew in every call. oneDNN multiplies by weights that were packed once: 2.4 times as
fast for 8 rows of SmolLM2's, and 2.3 times for the 256 of a prompt (AMD EPYC of family 26, one thread, torch 2.13).
Packing takes as long as ten such steps. What reads the same rows is one product: queries, keys and values; gate and up.

The policy changes with every update, so a copy lives as long as one rollout. It holds the weights once more. Only where
they are so many that no cache keeps them is it worth that: smaller decoders sample by themselves, and their bits are
those of training's code.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.attention.cache import Cache
from suite.attention.grouped import GroupedAttention
from suite.attention.linear import merged
from suite.attention.rotary import rotate_halves
from suite.lm.attend import attend
from suite.lm.decoder import Block, Decoder
from suite.measure.memory_tracker import attribute_to
from suite.records.holdings import ENGINE, PARAMETERS

PACKED_FROM_BYTES = 64 << 20  # bytes of weights from which packing pays: more than the last cache has for one core


def rollout_engine(decoder: Decoder) -> "Decoder | PackedDecoder":
    """The decoder that samples a rollout: a packed copy if that is faster, else the decoder itself."""
    return PackedDecoder(decoder) if packs(decoder) else decoder


def packs(decoder: Decoder) -> bool:
    """True if packing pays: PACKED_FROM_BYTES of float32 weights or more on a CPU, in grouped layers alone."""
    factory = decoder.factory
    return (
        factory.device.type == "cpu"
        and factory.dtype == torch.float32
        and decoder.parameter_count() * factory.dtype.itemsize >= PACKED_FROM_BYTES
        and torch.backends.mkldnn.is_available()
        and all(type(block.attention) is GroupedAttention for block in decoder.blocks)
    )


class PackedLinear:
    """x_…D @ weight_ED.T + bias_E, for several weights, with their adapters, joined to one that is packed once."""

    def __init__(self, weights_ED: Sequence[Tensor], biases_E: Sequence[Tensor | None]) -> None:
        weights = [merged(weight_ED) for weight_ED in weights_ED]
        weight_ED = torch.cat(weights) if len(weights) > 1 else weights[0]
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight_ED)
        given = [bias.detach() for bias in biases_E if bias is not None]
        self._bias = torch.cat(given) if given else None

    def __call__(self, x_BSD: Tensor) -> Tensor:
        y_BSE: Tensor = torch.ops.mkldnn._linear_pointwise(x_BSD, self._weight, self._bias, "none", [], "")
        return y_BSE


class PackedBlock:
    def __init__(self, block: Block, norm_eps: float) -> None:
        layer = block.attention
        assert isinstance(layer, GroupedAttention)
        self._layer, self._norm_eps = layer, norm_eps
        self._attention_norm, self._mlp_norm = block.attention_norm.detach(), block.mlp_norm.detach()
        self._qkv = PackedLinear((layer.w_q, layer.w_k, layer.w_v), (layer.b_q, layer.b_k, layer.b_v))
        self._o = PackedLinear((layer.w_o,), ())
        self._gate_up = PackedLinear((block.w_gate_up,), ())
        self._down = PackedLinear((block.w_down,), ())

    def decode(self, x_BSD: Tensor, cache: Cache, start: int, mask_B1ST: Tensor | None) -> Tensor:
        """The residual stream of new tokens behind this block; writes their rows to the cache from `start` on."""
        layer, shape = self._layer, self._layer.shape
        h_BSD = F.rms_norm(x_BSD, self._attention_norm.shape, self._attention_norm, self._norm_eps)
        heads, rotated = shape.num_heads, shape.num_heads + shape.kv_heads
        all_BHSd = self._qkv(h_BSD).unflatten(-1, (-1, shape.head_dim)).transpose(1, 2)
        qk_BHSd = rotate_halves(all_BHSd[:, :rotated], *layer.angles_at(x_BSD, start, None))
        k_BGTd, v_BGTd = layer.append_to_cache(cache, start, qk_BHSd[:, heads:], all_BHSd[:, rotated:])
        o_BHSd = attend(
            qk_BHSd[:, :heads], k_BGTd, v_BGTd, scale=layer.scale, value_layout=layer.value_layout, mask_B1ST=mask_B1ST
        )
        x_BSD = x_BSD + self._o(o_BHSd.transpose(1, 2).flatten(2))
        h_BSD = F.rms_norm(x_BSD, self._mlp_norm.shape, self._mlp_norm, self._norm_eps)
        gate, up = self._gate_up(h_BSD).chunk(2, dim=-1)
        return x_BSD + self._down(F.silu(gate) * up)


class PackedDecoder:
    """A copy of the part of a decoder that sampling uses, with packed weights."""

    def __init__(self, decoder: Decoder) -> None:
        self.shape, self.factory, self.new_caches = decoder.shape, decoder.factory, decoder.new_caches
        self._embedding, self._norm = decoder.embedding.detach(), decoder.norm.detach()
        with attribute_to(ENGINE, PARAMETERS):
            self._blocks = [PackedBlock(block, decoder.shape.norm_eps) for block in decoder._blocks]
            self._head = PackedLinear((decoder.embedding if decoder.head is None else decoder.head,), ())

    def decode(self, tokens_BS: Tensor, caches: Sequence[Cache], start: int, mask_B1ST: Tensor | None) -> Tensor:
        """Hidden states of new tokens, which are written to the caches, one for each layer, from `start` on."""
        x_BSD = F.embedding(tokens_BS, self._embedding)
        for block, cache in zip(self._blocks, caches, strict=True):
            cache.length = start + tokens_BS.shape[1]
            x_BSD = block.decode(x_BSD, cache, start, mask_B1ST)
        return F.rms_norm(x_BSD, self._norm.shape, self._norm, self.shape.norm_eps)

    def logits(self, h_BSD: Tensor) -> Tensor:
        return self._head(h_BSD)
