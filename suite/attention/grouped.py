"""Multi-head, grouped-query and multi-query attention: one class, three numbers of key-value heads.

Sources: Vaswani et al. (arXiv 1706.03762), Shazeer (arXiv 1911.02150), Ainslie et al. (arXiv 2305.13245). Query head h
uses key-value head h // (H / G).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.attention.cache import Cache
from suite.attention.layer import AttentionLayer
from suite.attention.problem import ValueLies
from suite.attention.rotary import angles, rotate_halves
from suite.theory.shapes import GroupedShape


class GroupedAttention(AttentionLayer):
    shape: GroupedShape
    value_lies = ValueLies.APART

    def __init__(
        self,
        shape: GroupedShape,
        *,
        positions: int,
        dtype: torch.dtype,
        device: torch.device,
        generator: torch.Generator,
    ) -> None:
        super().__init__(dtype=dtype, device=device, generator=generator)
        self.shape = shape
        self.scale = shape.head_dim**-0.5 * shape.rope.score_factor
        queries, keys = shape.num_heads * shape.head_dim, shape.kv_heads * shape.head_dim
        self.w_q = self.drawn(queries, shape.hidden_size)
        self.w_k = self.drawn(keys, shape.hidden_size)
        self.w_v = self.drawn(keys, shape.hidden_size)
        self.w_o = self.drawn(shape.hidden_size, queries)
        self.cos_Sr, self.sin_Sr = angles(positions, shape.head_dim, shape.rope, dtype=dtype, device=device)

    @property
    def kv_heads(self) -> int:
        return self.shape.kv_heads

    @property
    def cache_widths(self) -> tuple[int, ...]:
        return (self.shape.head_dim, self.shape.head_dim)

    def project(
        self, x_BSD: Tensor, cache: Cache | None, start: int, positions_S: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        cos_Sr, sin_Sr = self.angles_at(x_BSD, start, positions_S)
        q_BHSd = rotate_halves(self._heads(F.linear(x_BSD, self.w_q)), cos_Sr, sin_Sr)
        k_BGSd = rotate_halves(self._heads(F.linear(x_BSD, self.w_k)), cos_Sr, sin_Sr)
        v_BGSd = self._heads(F.linear(x_BSD, self.w_v))
        if cache is None:
            return q_BHSd, k_BGSd, v_BGSd
        new = slice(start, start + x_BSD.shape[1])
        keys, values = cache.tensors
        keys[:, :, new], values[:, :, new] = k_BGSd, v_BGSd
        k_BGTd, v_BGTd = cache.views()
        return q_BHSd, k_BGTd, v_BGTd

    def output(self, o_BHSv: Tensor) -> Tensor:
        return F.linear(o_BHSv.transpose(1, 2).flatten(2), self.w_o)

    def _heads(self, x_BSE: Tensor) -> Tensor:
        return x_BSE.view(*x_BSE.shape[:2], -1, self.shape.head_dim).transpose(1, 2)
