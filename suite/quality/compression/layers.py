"""A published model's grouped attention with a cache that keeps less than keys and values as they are.

These are real layers: later tokens have no more of a token than its part of the cache, whether a window is read at once
or token by token. Shapes as in suite/attention/problem.py; r: the latent's elements.
"""

import torch
from torch import Tensor

from suite.attention.cache import Cache, quantised
from suite.attention.cache import restored as dequantised
from suite.attention.grouped import GroupedAttention
from suite.attention.linear import linear
from suite.quality.compression.low_rank import Factors
from suite.theory.layers.algebra import SCALE_BYTES, SCALED_ELEMENTS


class CompressedAttention(GroupedAttention):
    """Attention with the queries, biases and output of another layer; subclasses cache keys and values."""

    def __init__(self, layer: GroupedAttention) -> None:
        # Not GroupedAttention's own, which would draw weights.
        super(GroupedAttention, self).__init__(dtype=layer.dtype, device=layer.device, generator=layer._generator)
        for name in ("shape", "scale", "cos_Sr", "sin_Sr", "w_q", "w_o", "b_q", "b_k", "b_v"):
            setattr(self, name, getattr(layer, name))


class LowRankAttention(CompressedAttention):
    """Caches one latent of r elements a token, for all heads, and expands and rotates it when it is read."""

    def __init__(self, layer: GroupedAttention, factors: Factors) -> None:
        super().__init__(layer)
        self.w_down, self.w_up_k, self.w_up_v = (
            torch.nn.Parameter(weight.to(layer.dtype), requires_grad=False)
            for weight in (factors.down_rD, *factors.up_Er.chunk(2))
        )

    @property
    def cache_heads(self) -> int:
        """1, since all heads share the latent."""
        return 1

    @property
    def cache_widths(self) -> tuple[int, ...]:
        """Elements of each cached tensor a token: the latent's rank."""
        return (len(self.w_down),)

    def project(
        self, x_BSD: Tensor, cache: Cache | None, start: int, positions_S: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cache the new latents; new queries, and the keys and values of all cached tokens, expanded."""
        assert cache is None or positions_S is None, "cached keys are rotated by where they stand in the cache"
        angles = self.angles_at(x_BSD, start, positions_S)
        (latent_B1Tr,) = self.append_to_cache(cache, start, linear(x_BSD, self.w_down)[:, None])
        latent_BTr = latent_B1Tr[:, 0]
        key_angles = angles if cache is None else self.angles_at(latent_BTr, 0, None)
        k_BGTd = self.apply_rope(self.heads(latent_BTr, self.w_up_k, self.b_k), key_angles)
        q_BHSd = self.apply_rope(self.heads(x_BSD, self.w_q, self.b_q), angles)
        return q_BHSd, k_BGTd, self.heads(latent_BTr, self.w_up_v, self.b_v)


class Int8Attention(CompressedAttention):
    """Caches keys, as they are scored, and values in eight bits, with a float32 scale for every 128 elements of a row:
    CacheRows in suite.theory.layers.algebra has that rule, FlashMLA's. The scale's bytes stand behind the row's."""

    def __init__(self, layer: GroupedAttention) -> None:
        super().__init__(layer)
        self.w_k, self.w_v = layer.w_k, layer.w_v

    @property
    def cache_dtype(self) -> torch.dtype:
        return torch.int8

    @property
    def cache_widths(self) -> tuple[int, ...]:
        """Bytes of a key row and of a value row, each with its scales."""
        width = self.shape.head_dim
        row = width + SCALE_BYTES * -(-width // SCALED_ELEMENTS)
        return (row, row)

    def project(
        self, x_BSD: Tensor, cache: Cache | None, start: int, positions_S: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cache the new keys and values as int8; new queries, and the keys and values of all cached tokens."""
        angles = self.angles_at(x_BSD, start, positions_S)
        new = (rounded(row_BGSd) for row_BGSd in self.new_rows(x_BSD, angles))
        k_BGTd, v_BGTd = (restored(rows, self.dtype) for rows in self.append_to_cache(cache, start, *new))
        return self.apply_rope(self.heads(x_BSD, self.w_q, self.b_q), angles), k_BGTd, v_BGTd


def rounded(rows: Tensor) -> Tensor:
    """Quantise each row to int8, with the bytes of its float32 scales behind the elements."""
    elements, scales = quantised(rows, torch.int8)
    return torch.cat((elements, scales.view(torch.int8)), dim=-1)


def restored(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """Undo `rounded`: rows of numbers in this dtype."""
    count = -(-rows.shape[-1] // (SCALED_ELEMENTS + SCALE_BYTES))
    whole, scale_bytes = rows.split((rows.shape[-1] - SCALE_BYTES * count, SCALE_BYTES * count), dim=-1)
    return dequantised(whole, scale_bytes.contiguous().view(torch.float32), dtype)
