"""Attention layers that cache less than a grouped layer's keys and values, made from its weights.

They are real layers: later tokens have no more of a token than its part of the cache, whether a window is read at once
or token by token. Shapes as in suite/attention/problem.py; r: the latent's elements; p: rotary pairs of a head.
"""

import torch
from torch import Tensor

from suite.attention.cache import Cache
from suite.attention.grouped import GroupedAttention
from suite.attention.latent import AbsorbedLatentAttention
from suite.attention.linear import linear
from suite.quality.compression.low_rank import Factors
from suite.quality.compression.plan import absorbed_form


class LowRankAttention(GroupedAttention):
    """Attention with the queries, biases and output of another layer, which caches one latent of r elements a token for
    all heads, and expands and rotates it when it is read."""

    compressed = ("w_down", "w_up_k", "w_up_v")

    def __init__(self, layer: GroupedAttention, factors: Factors) -> None:
        # Not GroupedAttention's own, which would draw weights.
        super(GroupedAttention, self).__init__(dtype=layer.dtype, device=layer.device, generator=layer._generator)
        for name in ("shape", "scale", "cos_Sr", "sin_Sr", "w_q", "w_o", "b_q", "b_k", "b_v"):
            setattr(self, name, getattr(layer, name))
        self.w_down, self.w_up_k, self.w_up_v = (
            torch.nn.Parameter(weight.to(layer.dtype), requires_grad=False)
            for weight in (factors.down_rD, *factors.up_Er.chunk(2))
        )

    @property
    def cache_heads(self) -> int:
        return 1

    @property
    def cache_widths(self) -> tuple[int, ...]:
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


class PartialRopeAttention(AbsorbedLatentAttention):
    """A grouped layer as the suite's own MLA: what MLA's absorbed kernel reads, and nothing else, is cached.

    Of each key-value head the rotary pairs `pairs_Gp` stay as they are, side by side as MLA's one rotary key: a query
    head has zeros in the places of other groups. All other columns of keys lose their rotation and are, with the
    values, in the latent. The score's scale stays the grouped layer's.
    """

    compressed = ("w_kva", "w_kvb")

    def __init__(self, layer: GroupedAttention, pairs_Gp: Tensor, factors: Factors) -> None:
        source, (groups, count) = layer.shape, pairs_Gp.shape
        shape = absorbed_form(source, rank=len(factors.down_rD), rope_width=2 * count)
        super().__init__(shape, positions=1, dtype=layer.dtype, device=layer.device, generator=layer._generator)
        self.scale, self.w_o = layer.scale, layer.w_o
        self.cos_Sr, self.sin_Sr = layer.cos_Sr[:, pairs_Gp.flatten()], layer.sin_Sr[:, pairs_Gp.flatten()]
        turned_Gr, plain_Gn = split_columns(pairs_Gp, source.head_dim)
        every_G1 = torch.arange(groups, device=layer.device)[:, None]
        w_q_GdHD = layer.w_q.data.view(groups, -1, source.head_dim, source.hidden_size).transpose(1, 2)
        w_k_GdD = layer.w_k.data.view(groups, source.head_dim, source.hidden_size)
        turned_GGrHD = w_q_GdHD.new_zeros(groups, groups, 2 * count, *w_q_GdHD.shape[2:])
        turned_GGrHD[range(groups), range(groups)] = w_q_GdHD[every_G1, turned_Gr]
        w_q_GeHD = torch.cat((w_q_GdHD[every_G1, plain_Gn], turned_GGrHD.flatten(1, 2)), dim=1)
        self.w_q.data = w_q_GeHD.transpose(1, 2).reshape(-1, source.hidden_size)
        self.w_kva.data = torch.cat((factors.down_rD.to(layer.dtype), w_k_GdD[every_G1, turned_Gr].flatten(0, 1)))
        up_k, up_v = factors.up_Er.split((plain_Gn.numel(), groups * source.head_dim))
        up_Goc = torch.cat([up.view(groups, -1, shape.kv_lora_rank) for up in (up_k, up_v)], dim=1)
        self.w_kvb.data = up_Goc.repeat_interleave(source.num_heads // groups, dim=0).to(layer.dtype)


def split_columns(pairs_Gp: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """Columns of each key head that keep their rotation, as MLA's neighbours, and all others: [G, 2p], [G, d - 2p]."""
    turned_Gr = torch.stack((pairs_Gp, pairs_Gp + head_dim // 2), dim=-1).flatten(1)
    is_plain_Gd = torch.ones(len(pairs_Gp), head_dim, dtype=torch.bool, device=pairs_Gp.device)
    is_plain_Gd.scatter_(1, turned_Gr, False)
    return turned_Gr, is_plain_Gd.nonzero()[:, 1].view(len(pairs_Gp), -1)


def latent_rows(layer: GroupedAttention, pairs_Gp: Tensor | None) -> Tensor:
    """The rows of W_k and W_v that a latent has to keep, [E, D]: all, or the keys' without these rotary pairs."""
    if pairs_Gp is None:
        return torch.cat((layer.w_k, layer.w_v))
    _, plain_Gn = split_columns(pairs_Gp, layer.shape.head_dim)
    heads_GdD = layer.w_k.view(len(pairs_Gp), layer.shape.head_dim, -1)
    every_G1 = torch.arange(len(pairs_Gp), device=layer.device)[:, None]
    return torch.cat((heads_GdD[every_G1, plain_Gn].flatten(0, 1), layer.w_v))
