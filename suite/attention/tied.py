"""Grouped tied attention: one state a group, which is its value and, in its first half, its key.

GTA, arXiv 2505.21487; Dao-AILab/grouped-latent-attention, modeling_llama_GTA.py. A query's first half is scored against
the first half of its group's state, neither of them rotated, its second half against a rotary key that all groups
share; pairs are turned as Llama turns them. The cache keeps states and rotary key, and a decode step's kernel is given
both as they lie there. Where all tokens are new ones, whole keys are made for the pass.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from suite.attention.cache import Cache
from suite.attention.definition import TiedDefinition
from suite.attention.layer import AttentionLayer
from suite.attention.linear import linear
from suite.attention.problem import Problem, ValueLayout, joined_key
from suite.attention.rotary import angles, rotate_halves
from suite.theory.layers.algebra import Pass
from suite.theory.layers.shapes import TiedShape


class TiedAttention(AttentionLayer):
    shape: TiedShape
    value_layout = ValueLayout.SEPARATE
    definition = TiedDefinition

    def __init__(self, shape: TiedShape, *, positions: int, **making: Any) -> None:
        super().__init__(**making)
        self.shape = shape
        self.scale = shape.head_dim**-0.5 * shape.rope.score_factor
        queries = shape.num_heads * shape.head_dim
        self.w_q = self.init_weight(queries, shape.hidden_size)
        self.w_kv = self.init_weight(shape.kv_heads * shape.head_dim, shape.hidden_size)
        self.w_kr = self.init_weight(shape.rotary_dim, shape.hidden_size)
        self.w_o = self.init_weight(shape.hidden_size, queries)
        rotary = (positions, shape.rotary_dim, shape.rope)
        self.cos_Sr, self.sin_Sr = angles(*rotary, dtype=self.dtype, device=self.device)

    @property
    def kv_heads(self) -> int:
        return self.shape.kv_heads

    @property
    def cache_heads(self) -> Sequence[int]:
        return (self.shape.kv_heads, 1)

    @property
    def cache_widths(self) -> Sequence[int]:
        return (self.shape.head_dim, self.shape.rotary_dim)

    def problem(self, forward: Pass) -> Problem:
        shared_key_dim = 0 if forward.is_whole else self.shape.rotary_dim
        return replace(super().problem(forward), shared_key_dim=shared_key_dim)

    def project(
        self, x_BSD: Tensor, cache: Cache | None, start: int, positions_S: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Cache new states and rotary key. Returns queries, half states, states, shared rotary key; at `start` 0
        queries, whole keys, states."""
        angles = self.angles_at(x_BSD, start, positions_S)
        plain = self.shape.head_dim - self.shape.rotary_dim
        q_BHSd = self._project_heads(x_BSD, self.w_q)
        q_BHSd = torch.cat((q_BHSd[..., :plain], rotate_halves(q_BHSd[..., plain:], *angles)), dim=-1)
        new = self._project_heads(x_BSD, self.w_kv), rotate_halves(linear(x_BSD, self.w_kr), *angles)[:, None]
        state_BGTd, k_B1Tr = self.append_to_cache(cache, start, *new)
        if start == 0:
            state_BGSd, k_B1Sr = new
            return q_BHSd, joined_key(state_BGSd[..., :plain], k_B1Sr), state_BGSd
        return q_BHSd, state_BGTd[..., :plain], state_BGTd, k_B1Tr

    def _project_heads(self, x_BSD: Tensor, weight: Tensor) -> Tensor:
        x_BSE = linear(x_BSD, weight)
        return x_BSE.view(*x_BSE.shape[:2], -1, self.shape.head_dim).transpose(1, 2)
