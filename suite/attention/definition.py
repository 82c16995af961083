"""Definitions of a layer's projections and output, written as plainly as its paper has them and in float64.

The kernel's check starts from the queries, keys and values that the layer itself projects, so it cannot see a layer
that turns the wrong pairs or reads a weight the wrong way round. A definition can. It is compared at a few tokens, with
a few rows of a weight at a time, since a float64 copy of all would be larger than the case.

A definition belongs to one class: a subclass that changes the layer states its own, or none.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from suite.theory.layers.rope import Rope

ROWS_AT_ONCE = 1024  # rows of a weight that are converted to float64 at a time


class Definition(ABC):
    """`layer` is of the class that states it; x_BND are hidden states of N tokens in float64."""

    parts: ClassVar[Sequence[str]] = ("q", "k", "v")
    """The tensors that it projects, by their names in check.PARTS, in the order in which the layer has them too."""

    @staticmethod
    @abstractmethod
    def scale(layer: Any) -> float:
        """Factor on the scores before the softmax."""

    @staticmethod
    @abstractmethod
    def projected(layer: Any, x_BND: Tensor, positions_N: Tensor) -> Sequence[Tensor]:
        """The kernel's inputs for N tokens, in float64: one [batch, heads, N, width] for each of `parts`."""

    @staticmethod
    def output(layer: Any, o_BHNv: Tensor) -> Tensor:
        """The layer's output, [batch, N, hidden], by the output projection of the kernel's."""
        return product(o_BHNv.transpose(1, 2).flatten(2), layer.w_o)


class GroupedDefinition(Definition):
    @staticmethod
    def scale(layer: Any) -> float:
        return _softmax_scale(layer.shape.head_dim, layer.shape.rope)

    @staticmethod
    def projected(layer: Any, x_BND: Tensor, positions_N: Tensor) -> Sequence[Tensor]:
        width, rope = layer.shape.head_dim, layer.shape.rope
        q, k, v = (_split_heads(product(x_BND, weight), width) for weight in (layer.w_q, layer.w_k, layer.w_v))
        return apply_rope(q, positions_N, rope, neighbours=False), apply_rope(k, positions_N, rope, neighbours=False), v


class TiedDefinition(GroupedDefinition):
    """A group's value is its state, its key the first half of that and a rotary key that all groups share."""

    @staticmethod
    def projected(layer: Any, x_BND: Tensor, positions_N: Tensor) -> Sequence[Tensor]:
        """Queries, keys and values: halves of keys from the states and from a rotary key that groups share."""
        width, rope = layer.shape.head_dim, layer.shape.rope
        q_n, q_r = _split_heads(product(x_BND, layer.w_q), width).chunk(2, dim=-1)
        state_BGNd = _split_heads(product(x_BND, layer.w_kv), width)
        k_r = product(x_BND, layer.w_kr)[:, None].expand(-1, state_BGNd.shape[1], -1, -1)
        q_r, k_r = (apply_rope(part, positions_N, rope, neighbours=False) for part in (q_r, k_r))
        k_n, _ = state_BGNd.chunk(2, dim=-1)
        return torch.cat((q_n, q_r), dim=-1), torch.cat((k_n, k_r), dim=-1), state_BGNd


class ExpandedDefinition(Definition):
    """MLA as DeepSeek-V2's report writes it first: full keys and values of every head, each from its own latent."""

    @staticmethod
    def scale(layer: Any) -> float:
        return _softmax_scale(layer.shape.qk_nope_head_dim + layer.shape.qk_rope_head_dim, layer.shape.rope)

    @staticmethod
    def projected(layer: Any, x_BND: Tensor, positions_N: Tensor) -> Sequence[Tensor]:
        q_n, q_r, latent_BNc, k_r_B1Nr = _latent_parts(layer, x_BND, positions_N)
        latents = layer.shape.latent_heads
        w_kvb_GPoc = layer.w_kvb.double().unflatten(0, (latents, -1))  # P heads of a latent
        by_latent = torch.einsum("bngc,gpoc->bgpno", latent_BNc.unflatten(-1, (latents, -1)), w_kvb_GPoc)
        expanded = by_latent.flatten(1, 2)
        k_n, v_BHNv = expanded.split((layer.shape.qk_nope_head_dim, layer.shape.v_head_dim), dim=-1)
        k_r = k_r_B1Nr.expand(-1, layer.shape.num_heads, -1, -1)
        return torch.cat((q_n, q_r), dim=-1), torch.cat((k_n, k_r), dim=-1), v_BHNv


class AbsorbedDefinition(ExpandedDefinition):
    """ExpandedDefinition with W_UK moved to the query and W_UV to the output: only the scale stays.

    Of two latents, the second's queries and keys have their rotary part first.
    """

    @staticmethod
    def projected(layer: Any, x_BND: Tensor, positions_N: Tensor) -> Sequence[Tensor]:
        q_n, q_r, latent_BNc, k_r_B1Nr = _latent_parts(layer, x_BND, positions_N)
        w_uk = layer.w_kvb[:, : layer.shape.qk_nope_head_dim].double()
        absorbed = torch.einsum("bhni,hic->bhnc", q_n, w_uk)
        latents = layer.shape.latent_heads
        latent_BGNc = latent_BNc.unflatten(-1, (latents, -1)).transpose(1, 2)
        queries, keys = [], []
        query_parts = zip(absorbed.chunk(latents, 1), q_r.chunk(latents, 1), strict=True)
        for latent, (q_BPNc, q_r_BPNr) in enumerate(query_parts):
            order = -1 if latents == 2 and latent == 1 else 1
            queries.append(torch.cat((q_BPNc, q_r_BPNr)[::order], dim=-1))
            keys.append(torch.cat((latent_BGNc[:, latent, None], k_r_B1Nr)[::order], dim=-1))
        return torch.cat(queries, dim=1), torch.cat(keys, dim=1), latent_BGNc

    @staticmethod
    def output(layer: Any, o_BHNc: Tensor) -> Tensor:
        w_uv = layer.w_kvb[:, layer.shape.qk_nope_head_dim :].double()
        return Definition.output(layer, torch.einsum("bhnc,hoc->bhno", o_BHNc, w_uv))


class IndexedDefinition(AbsorbedDefinition):
    """AbsorbedDefinition with an indexer's queries, head weights and key: DeepSeek-V3.2-Exp."""

    parts = (*AbsorbedDefinition.parts, "iq", "iw", "ik")

    @staticmethod
    def projected(layer: Any, x_BND: Tensor, positions_N: Tensor) -> Sequence[Tensor]:
        shape = layer.shape
        rotary, width, heads = shape.qk_rope_head_dim, shape.indexer.head_dim, shape.indexer.heads

        def rotate_first_columns(x_BHNi: Tensor) -> Tensor:
            first = apply_rope(x_BHNi[..., :rotary], positions_N, shape.rope, neighbours=False)
            return torch.cat((first, x_BHNi[..., rotary:]), dim=-1)

        queries = _split_heads(product(_query_input(layer, x_BND), layer.w_iq), width)
        weights = _split_heads(product(x_BND, layer.w_iw), 1) / math.sqrt(heads * width)
        key = product(x_BND, layer.w_ik)
        key = (key - key.mean(-1, keepdim=True)) / (key.var(-1, keepdim=True, correction=0) + 1e-6).sqrt()
        key = key * layer.index_norm.double() + layer.index_norm_bias.double()
        mla_parts = AbsorbedDefinition.projected(layer, x_BND, positions_N)
        return *mla_parts, rotate_first_columns(queries), weights, rotate_first_columns(key[:, None])


def product(x_BNi: Tensor, weight: Tensor) -> Tensor:
    """x Wᵀ in float64, a few rows of W at a time."""
    return torch.cat([x_BNi @ rows.double().mT for rows in weight.split(ROWS_AT_ONCE)], dim=-1)


def apply_rope(x_BHNd: Tensor, positions_N: Tensor, rope: Rope, *, neighbours: bool) -> Tensor:
    """Rotate queries or keys: a pair of columns, as a complex number, times e^(i angle) and the rope's factor.

    `neighbours`: pairs are (2i, 2i + 1), as in DeepSeek's weights; otherwise (i, i + d/2), as in Llama's.
    """
    frequencies = torch.tensor(rope.frequencies(x_BHNd.shape[-1]), dtype=torch.float64, device=x_BHNd.device)
    angles = positions_N.double()[:, None] * frequencies
    turns = torch.polar(torch.full_like(angles, rope.rotation_factor), angles)
    pairs = x_BHNd.unflatten(-1, (-1, 2)) if neighbours else x_BHNd.unflatten(-1, (2, -1)).mT
    # Not view_as_complex: behind a latent of odd width a key begins at an odd element, which it refuses.
    out = torch.view_as_real(torch.complex(pairs[..., 0], pairs[..., 1]) * turns)
    return (out if neighbours else out.mT).flatten(-2)


def normed(x: Tensor, gain: Tensor) -> Tensor:
    """RMSNorm over the last dimension in float64, with the epsilon 1e-6 of MLA's two inner norms."""
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * gain.double()


def _softmax_scale(width: int, rope: Rope) -> float:
    return rope.score_factor / math.sqrt(width)


def _latent_parts(layer: Any, x_BND: Tensor, positions_N: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(query without rotary part, rotated query part, latent as it is cached, rotated key part that heads share)."""
    shape = layer.shape
    q_BHNe = _split_heads(
        product(_query_input(layer, x_BND), layer.w_q), shape.qk_nope_head_dim + shape.qk_rope_head_dim
    )
    q_n, q_r = q_BHNe.split((shape.qk_nope_head_dim, shape.qk_rope_head_dim), dim=-1)
    down = product(x_BND, layer.w_kva)
    if shape.latent == "frozen":
        down = torch.cat((product(x_BND, layer.w_latent), down), dim=-1)
    elif shape.latent == "slice":
        down = torch.cat((x_BND[..., : shape.kv_lora_rank], down), dim=-1)
    latent, k_r = down.split((shape.kv_lora_rank, shape.qk_rope_head_dim), dim=-1)
    q_r, k_r = (apply_rope(part, positions_N, shape.rope, neighbours=True) for part in (q_r, k_r[:, None]))
    if shape.latent_norm:
        latents = (shape.latent_heads, -1)
        latent = normed(latent.unflatten(-1, latents), layer.kv_norm.unflatten(0, latents)).flatten(-2)
    return q_n, q_r, latent, k_r


def _query_input(layer: Any, x_BND: Tensor) -> Tensor:
    if layer.shape.q_lora_rank is None:
        return x_BND
    return normed(product(x_BND, layer.w_qa), layer.q_norm)


def _split_heads(x_BNE: Tensor, width: int) -> Tensor:
    x_BNHd: Tensor = x_BNE.unflatten(-1, (-1, width))
    return x_BNHd.transpose(1, 2)
