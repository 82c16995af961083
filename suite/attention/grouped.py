"""Multi-head, grouped-query and multi-query attention: one class, three numbers of key-value heads.

Sources: Vaswani et al. (arXiv 1706.03762), Shazeer (arXiv 1911.02150), Ainslie et al. (arXiv 2305.13245). Query head h
uses key-value head h // (H / G).
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from suite.attention.cache import Cache
from suite.attention.definition import GroupedDefinition
from suite.attention.layer import AttentionLayer
from suite.attention.linear import linear
from suite.attention.problem import ValueLayout
from suite.attention.rotary import angles, rotate_halves
from suite.theory.layers.shapes import GroupedShape


class GroupedAttention(AttentionLayer):
    shape: GroupedShape
    value_layout = ValueLayout.SEPARATE
    definition = GroupedDefinition

    def __init__(self, shape: GroupedShape, *, positions: int, **making: Any) -> None:
        super().__init__(**making)
        self.shape = shape
        self.scale = shape.head_dim**-0.5 * shape.rope.score_factor
        queries, keys = shape.num_heads * shape.head_dim, shape.kv_heads * shape.head_dim
        self.w_q = self.init_weight(queries, shape.hidden_size)
        self.w_k = self.init_weight(keys, shape.hidden_size)
        self.w_v = self.init_weight(keys, shape.hidden_size)
        self.w_o = self.init_weight(shape.hidden_size, queries)
        self.b_q: Tensor | None = None
        self.b_k: Tensor | None = None
        self.b_v: Tensor | None = None
        self.cos_Sr, self.sin_Sr = angles(positions, shape.head_dim, shape.rope, dtype=self.dtype, device=self.device)

    def add_biases(self) -> None:
        """Add a bias of zeros to queries, keys and values, as Qwen2's have one: its weights come from a checkpoint."""
        self.b_q, self.b_k, self.b_v = (self.zeros(len(weight)) for weight in (self.w_q, self.w_k, self.w_v))

    @property
    def kv_heads(self) -> int:
        return self.shape.kv_heads

    @property
    def cache_widths(self) -> tuple[int, ...]:
        return (self.shape.head_dim, self.shape.head_dim)

    def project(
        self, x_BSD: Tensor, cache: Cache | None, start: int, positions_S: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        angles = self.angles_at(x_BSD, start, positions_S)
        q_BHSd = self.apply_rope(self.heads(x_BSD, self.w_q, self.b_q), angles)
        cached = self.append_to_cache(cache, start, *self.new_rows(x_BSD, angles))
        return q_BHSd, cached[0], cached[-1]

    def new_rows(self, x_BSD: Tensor, angles: tuple[Tensor, Tensor]) -> Sequence[Tensor]:
        """New tokens' rows in each cached tensor: keys first, values last; a single tensor is attended to as both."""
        keys_BGSd = self.apply_rope(self.heads(x_BSD, self.w_k, self.b_k), angles)
        return keys_BGSd, self.heads(x_BSD, self.w_v, self.b_v)

    def apply_rope(self, x_BHSd: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
        """Rotate queries or keys by their positions, in pairs (i, i + d/2)."""
        return rotate_halves(x_BHSd, *angles)

    def heads(self, x_BSD: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Project x by `weight` and split the result into heads: [batch, heads, tokens, head_dim]."""
        x_BSE = linear(x_BSD, weight, bias)
        return x_BSE.view(*x_BSE.shape[:2], -1, self.shape.head_dim).transpose(1, 2)
