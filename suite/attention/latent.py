"""Multi-head latent attention in its modes: one set of weights, several ways to use them.

DeepSeek-V2 report (arXiv 2405.04434), section 2.1 and appendix C.

- Absorbed: the latent is cached and attended to directly. W_UK is folded into the query and W_UV into the output at run
  time, so the kernel sees one key-value head of width c + d_r whose first c columns are also the value.
- Expanded: every head's key and value are written out once, and cached side by side as [k without rotary | rotary | v].
- Expanded once: keys and values of a whole prompt are made for one pass, and the latent is what is cached. This is the
  prefill of what one deploys, whose decode is absorbed.
- Re-expanding: the latent is cached, and all of it is expanded again at every step. The value is then a window of the
  up-projection's own output, and only the keys are put together.

Grouped latent attention (GLA, arXiv 2505.21487; Dao-AILab/grouped-latent-attention) has several latents in
the place of one, each normed by itself and of an equal share of the heads. Absorbed, each is a key-value head, which
lies beside the rotary key that all share. Two latents lie on either side of one rotary key, [latent | rotary | latent]:
keys and values are strided views of that buffer, and the second latent's queries have their rotary part first. More
latents have a rotary key each. Everything else is MLA's, which is GLA with one latent.

Departures, for asking what a part is good for: without a rotary part (d_r = 0) queries and keys have one part, without
its norm the latent is cached as it is projected, and a latent that is not trained (LATENTS) is a projection that stays
as it was drawn, or a slice of the hidden state.

In training there is no cache: keys and values are made once and not written anywhere, which makes the last three one.

W_kvb is kept as [H, d_n + d_v, c]: per head the key's rows, then the value's. The softmax scale is that of the
unabsorbed head, (d_n + d_r)^-0.5, in every mode, times YaRN's factor where the geometry has one.
"""

import copy
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.attention.cache import Cache
from suite.attention.definition import AbsorbedDefinition, ExpandedDefinition
from suite.attention.layer import AttentionLayer
from suite.attention.linear import linear
from suite.attention.problem import ValueLayout
from suite.attention.rotary import angles, rotate_neighbours
from suite.theory.layers.latent_shapes import FROZEN, TRAINED, LatentShape

# Epsilon of the two norms inside the layer, whatever a model's configuration says of its outer ones.
INNER_NORM_EPS = 1e-6


class LatentAttention(AttentionLayer):
    """Weights and projections that all modes share."""

    shape: LatentShape
    w_latent: Tensor
    """The projection to a frozen latent, [c, D]; `w_kva` then has the rotary key's rows alone, as of a slice."""

    def __init__(self, shape: LatentShape, *, positions: int, **making: Any) -> None:
        super().__init__(**making)
        self.shape = shape
        self.scale = shape.qk_head_dim**-0.5 * shape.rope.score_factor
        heads, wide = shape.num_heads, shape.num_heads * shape.qk_head_dim
        if shape.q_lora_rank is not None:
            self.w_qa = self.init_weight(shape.q_lora_rank, shape.hidden_size)
            self.q_norm = self.ones(shape.q_lora_rank)
        self.w_q = self.init_weight(wide, shape.q_lora_rank or shape.hidden_size)
        w_kva = self.init_weight(shape.kv_lora_rank + shape.qk_rope_head_dim, shape.hidden_size)
        if shape.latent != TRAINED:  # drawn whole all the same: every other weight is then as where it is trained
            w_latent, w_kr = w_kva.data.split((shape.kv_lora_rank, shape.qk_rope_head_dim))
            # Without a rotary part there is no row left that could have a gradient.
            w_kva = torch.nn.Parameter(w_kr.clone(), requires_grad=False) if len(w_kr) else w_kr
            if shape.latent == FROZEN:  # a buffer, which no optimiser and no adapter sees
                self.register_buffer("w_latent", w_latent.clone())
        self.w_kva = w_kva
        if shape.latent_norm:
            self.kv_norm = self.ones(shape.kv_lora_rank)
        self.w_kvb = self.init_weight(heads, shape.qk_nope_head_dim + shape.v_head_dim, shape.latent_dim)
        self.w_o = self.init_weight(shape.hidden_size, heads * shape.v_head_dim)
        self.cos_Sr, self.sin_Sr = angles(
            positions, shape.qk_rope_head_dim, shape.rope, dtype=self.dtype, device=self.device
        )

    @abstractmethod
    def cached_keys_and_values(
        self, latent_BSc: Tensor, k_r_BSr: Tensor, cache: Cache, new: slice
    ) -> tuple[Tensor, Tensor]:
        """Cache the new tokens' latent and rotary key in the slots `new`. Returns keys and values of all tokens."""

    @abstractmethod
    def keys_and_values(self, latent_BSc: Tensor, k_r_BSr: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the given tokens, without a cache."""

    def project(
        self, x_BSD: Tensor, cache: Cache | None, start: int, positions_S: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """(queries of the new tokens, keys and values of all, what `project_beside` adds), after writing the cache."""
        shape = self.shape
        cos_Sr, sin_Sr = self.angles_at(x_BSD, start, positions_S)
        latent_BSc, k_r = self._latent_and_rotary_key(x_BSD)
        if shape.latent_norm:
            latent_BSc = self._normed(latent_BSc)
        k_r_BSr = rotate_neighbours(k_r, cos_Sr, sin_Sr)
        if cache is None:
            k_BGTd, v_BGTv = self.keys_and_values(latent_BSc, k_r_BSr)
        else:
            new = slice(start, start + x_BSD.shape[1])
            k_BGTd, v_BGTv = self.cached_keys_and_values(latent_BSc, k_r_BSr, cache, new)

        query_in = self._query_input(x_BSD)
        q_BSE = linear(query_in, self.w_q)
        q_BHSe = q_BSE.view(*q_BSE.shape[:2], shape.num_heads, -1).transpose(1, 2)
        q_n, q_r = q_BHSe.split((shape.qk_nope_head_dim, shape.qk_rope_head_dim), dim=-1)
        further = self.project_beside(x_BSD, query_in, cache, start, (cos_Sr, sin_Sr))
        return self.query(q_n, rotate_neighbours(q_r, cos_Sr, sin_Sr)), k_BGTd, v_BGTv, *further

    def _latent_and_rotary_key(self, x_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """The latent before its norm, and the rotary key before it is turned."""
        rank, down = self.shape.kv_lora_rank, linear(x_BSD, self.w_kva)
        if self.shape.latent == TRAINED:
            return down[..., :rank], down[..., rank:]
        return linear(x_BSD, self.w_latent) if self.shape.latent == FROZEN else x_BSD[..., :rank], down

    def project_beside(
        self, x_BSD: Tensor, query_in: Tensor, cache: Cache | None, start: int, angles: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, ...]:
        """What a variant projects, and may cache, beside queries, keys and values. `query_in`: W_q's input."""
        return ()

    def query(self, q_n: Tensor, q_r: Tensor) -> Tensor:
        """The kernel's query from its part without rotary embedding and its rotated part: the two side by side."""
        return with_rotary(q_n, q_r)

    def split_latents(self, kept_BGTe: Tensor) -> tuple[Tensor, Tensor]:
        """Absorbed attention's keys and values, as views of the rows that `write_latents` wrote."""
        c, d_r = self.shape.latent_dim, self.shape.qk_rope_head_dim
        if self.shape.latent_heads != 2:
            return kept_BGTe, kept_BGTe[..., :c]
        kept_BTe = kept_BGTe[:, 0]
        k_BTGd, v_BTGc = kept_BTe.unfold(-1, c + d_r, c), kept_BTe.unfold(-1, c, c + d_r)
        return k_BTGd.transpose(1, 2), v_BTGc.transpose(1, 2)

    def write_latents(self, latent_BSc: Tensor, k_r_BSr: Tensor, into_BGSe: Tensor) -> None:
        """Write each token's latents and rotary key into `into_BGSe`: one row, or beyond two latents a row for each."""
        c, d_r, latents = self.shape.latent_dim, self.shape.qk_rope_head_dim, self.shape.latent_heads
        if latents > 2:
            into_BGSe[..., :c] = latent_BSc.unflatten(-1, (latents, c)).transpose(1, 2)
            into_BGSe[..., c:] = k_r_BSr[:, None]
            return
        into_BGSe[:, 0, :, :c] = latent_BSc[..., :c]
        into_BGSe[:, 0, :, c : c + d_r] = k_r_BSr
        if latents == 2:
            into_BGSe[:, 0, :, c + d_r :] = latent_BSc[..., c:]

    def write_expanded(self, latent_BTc: Tensor, k_r_BTr: Tensor, into_BHTe: Tensor) -> None:
        """Expand latents to every head's key and value, and write them as [k without rotary | rotary | v]."""
        d_n, d_r = self.shape.qk_nope_head_dim, self.shape.qk_rope_head_dim
        up_BHTe = self._expand(latent_BTc)
        into_BHTe[..., :d_n] = up_BHTe[..., :d_n]
        into_BHTe[..., d_n : d_n + d_r] = k_r_BTr[:, None]
        into_BHTe[..., d_n + d_r :] = up_BHTe[..., d_n:]

    def split_expanded(self, expanded_BHTe: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values as two views of the rows that `write_expanded` wrote."""
        return expanded_BHTe[..., : self.shape.qk_head_dim], expanded_BHTe[..., self.shape.qk_head_dim :]

    def _expand(self, latent_BTc: Tensor) -> Tensor:
        """Every head's [key without rotary part | value] from latents. One product for all heads of a latent: one for
        each took nearly twice as long in bfloat16."""
        latents = self.shape.latent_heads
        parts = zip(latent_BTc.chunk(latents, dim=-1), self.w_kvb.chunk(latents), strict=True)
        products = [F.linear(part_BTc, weight_Hoc.flatten(0, 1)) for part_BTc, weight_Hoc in parts]
        up_BTE = products[0] if latents == 1 else torch.cat(products, dim=-1)
        return up_BTE.view(*up_BTE.shape[:2], self.shape.num_heads, -1).transpose(1, 2)

    def _normed(self, latent_BSc: Tensor) -> Tensor:
        """RMSNorm of each latent by itself: a rank that has some of them must not need the others."""
        latents, c = self.shape.latent_heads, self.shape.latent_dim
        if latents == 1:
            return F.rms_norm(latent_BSc, (c,), self.kv_norm, INNER_NORM_EPS)
        normed_BSGc = F.rms_norm(latent_BSc.unflatten(-1, (latents, c)), (c,), eps=INNER_NORM_EPS)
        return (normed_BSGc * self.kv_norm.view(latents, c)).flatten(-2)

    def _query_input(self, x_BSD: Tensor) -> Tensor:
        """Input of the query projection: the hidden states, or where the query has a low rank its normed latent."""
        rank = self.shape.q_lora_rank
        if rank is None:
            return x_BSD
        return F.rms_norm(linear(x_BSD, self.w_qa), (rank,), self.q_norm, INNER_NORM_EPS)

    @staticmethod
    def _per_head(x_BHSi: Tensor, weight_Hio: Tensor) -> Tensor:
        batch, heads, tokens, _ = x_BHSi.shape
        rows_HTi = x_BHSi.transpose(0, 1).reshape(heads, batch * tokens, -1)
        return torch.bmm(rows_HTi, weight_Hio).view(heads, batch, tokens, -1).transpose(0, 1)


class AbsorbedLatentAttention(LatentAttention):
    definition = AbsorbedDefinition

    @property
    def value_layout(self) -> ValueLayout:
        is_between = self.shape.latent_heads == 2 and self.shape.qk_rope_head_dim > 0
        return ValueLayout.ENDS_OF_KEY if is_between else ValueLayout.PREFIX_OF_KEY

    def for_training(self) -> "ExpandedLatentAttention":
        """The same weights in expanded mode: without a cache to keep small, narrower heads are cheaper."""
        expanded = copy.copy(self)  # a module's shallow copy shares its dictionary of parameters
        expanded.__class__ = ExpandedLatentAttention  # type: ignore[assignment]
        return expanded  # type: ignore[return-value]

    @property
    def kv_heads(self) -> int:
        return self.shape.latent_heads

    @property
    def cache_heads(self) -> int:
        return self.shape.rotary_copies

    @property
    def cache_widths(self) -> tuple[int, ...]:
        return (self.shape.latent_elements // self.cache_heads,)

    def cached_keys_and_values(
        self, latent_BSc: Tensor, k_r_BSr: Tensor, cache: Cache, new: slice
    ) -> tuple[Tensor, Tensor]:
        self.write_latents(latent_BSc, k_r_BSr, cache.tensors[0][:, :, new])
        cache.written(new)
        return self.split_latents(cache.views()[0])

    def keys_and_values(self, latent_BSc: Tensor, k_r_BSr: Tensor) -> tuple[Tensor, Tensor]:
        if self.shape.latent_heads == 1:
            return self.split_latents(with_rotary(latent_BSc, k_r_BSr)[:, None])
        batch, tokens, _ = latent_BSc.shape
        rows_BGSe = latent_BSc.new_empty(batch, self.cache_heads, tokens, *self.cache_widths)
        self.write_latents(latent_BSc, k_r_BSr, rows_BGSe)
        return self.split_latents(rows_BGSe)

    def query(self, q_n: Tensor, q_r: Tensor) -> Tensor:
        """The kernel's query, with W_UK multiplied into it; of two latents, the second's has its rotary part first."""
        q_BHSd = super().query(self._per_head(q_n, self.w_kvb[:, : self.shape.qk_nope_head_dim]), q_r)
        if self.value_layout is not ValueLayout.ENDS_OF_KEY:
            return q_BHSd
        first, second = q_BHSd.chunk(2, dim=1)
        return torch.cat((first, second.roll(q_r.shape[-1], dims=-1)), dim=1)

    def output(self, o_BHSc: Tensor) -> Tensor:
        return super().output(self._per_head(o_BHSc, self.w_kvb[:, self.shape.qk_nope_head_dim :].mT))


class ExpandedLatentAttention(LatentAttention):
    value_layout = ValueLayout.SUFFIX_OF_BUFFER
    definition = ExpandedDefinition

    @property
    def kv_heads(self) -> int:
        return self.shape.num_heads

    @property
    def cache_widths(self) -> tuple[int, ...]:
        return (self.shape.qk_head_dim + self.shape.v_head_dim,)

    def cached_keys_and_values(
        self, latent_BSc: Tensor, k_r_BSr: Tensor, cache: Cache, new: slice
    ) -> tuple[Tensor, Tensor]:
        """Cache expanded keys and values; those of all tokens are views of the cache."""
        self.write_expanded(latent_BSc, k_r_BSr, cache.tensors[0][:, :, new])
        return self.split_expanded(cache.views()[0])

    def keys_and_values(self, latent_BSc: Tensor, k_r_BSr: Tensor) -> tuple[Tensor, Tensor]:
        k_n, v_BHSv = self._expand(latent_BSc).split((self.shape.qk_nope_head_dim, self.shape.v_head_dim), dim=-1)
        k_r = k_r_BSr[:, None].expand(-1, self.shape.num_heads, -1, -1)
        if self.shape.qk_rope_head_dim > self.shape.v_head_dim:  # too few columns stand before the value
            return self.split_expanded(torch.cat((k_n, k_r, v_BHSv), dim=-1))
        return with_rotary(k_n, k_r), v_BHSv


class ExpandedOnceLatentAttention(ExpandedLatentAttention):
    definition = ExpandedDefinition
    cache_heads, cache_widths = AbsorbedLatentAttention.cache_heads, AbsorbedLatentAttention.cache_widths

    def cached_keys_and_values(
        self, latent_BSc: Tensor, k_r_BSr: Tensor, cache: Cache, new: slice
    ) -> tuple[Tensor, Tensor]:
        """Cache latents of a whole prompt, and expand keys and values from it without caching them."""
        assert new.start == 0, "what came before would have to be expanded again"
        self.write_latents(latent_BSc, k_r_BSr, cache.tensors[0][:, :, new])
        return self.keys_and_values(latent_BSc, k_r_BSr)


class ReexpandingLatentAttention(ExpandedOnceLatentAttention):
    definition = ExpandedDefinition

    def cached_keys_and_values(
        self, latent_BSc: Tensor, k_r_BSr: Tensor, cache: Cache, new: slice
    ) -> tuple[Tensor, Tensor]:
        """Cache latents, and expand keys and values of all cached tokens anew."""
        self.write_latents(latent_BSc, k_r_BSr, cache.tensors[0][:, :, new])
        c, d_r = self.shape.kv_lora_rank, self.shape.qk_rope_head_dim
        return self.keys_and_values(*cache.views()[0][:, 0].split((c, d_r), dim=-1))


def with_rotary(plain: Tensor, rotary: Tensor) -> Tensor:
    """The two parts of a query or key in one tensor; `plain` itself, uncopied, if `rotary` has no columns."""
    return torch.cat((plain, rotary), dim=-1) if rotary.shape[-1] else plain
