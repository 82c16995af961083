"""Multi-head latent attention, absorbed: the latent is cached and attended to directly.

DeepSeek-V2 report (arXiv 2405.04434), section 2.1 and appendix C. W_UK is folded into the query and W_UV into the
output at run time, so the kernel sees one key-value head of width c + d_r whose first c columns are also the value.
W_kvb is kept as [H, d_n + d_v, c]: per head the key's rows, then the value's. The softmax scale is that of the
unabsorbed head, (d_n + d_r)^-0.5. YaRN's factor on it is not applied (see rotary.py).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.attention.cache import Cache
from suite.attention.layer import AttentionLayer
from suite.attention.rotary import angles, rotate_neighbours
from suite.theory.shapes import LatentShape

INNER_NORM_EPS = 1e-6
"""Of the two norms inside the layer, whatever a model's configuration says of its outer ones."""


class AbsorbedLatentAttention(AttentionLayer):
    value_in_key = True

    def __init__(
        self,
        shape: LatentShape,
        *,
        positions: int,
        dtype: torch.dtype,
        device: torch.device,
        generator: torch.Generator,
    ) -> None:
        super().__init__(dtype=dtype, device=device, generator=generator)
        self.shape: LatentShape = shape
        self.kv_heads, self.cache_widths = 1, (shape.cache_elements_per_token,)
        self.scale = shape.qk_head_dim**-0.5
        heads, wide = shape.num_heads, shape.num_heads * shape.qk_head_dim
        if shape.q_lora_rank is not None:
            self.w_qa = self.drawn(shape.q_lora_rank, shape.hidden_size)
            self.q_norm = self.ones(shape.q_lora_rank)
        self.w_q = self.drawn(wide, shape.q_lora_rank or shape.hidden_size)
        self.w_kva = self.drawn(shape.kv_lora_rank + shape.qk_rope_head_dim, shape.hidden_size)
        self.kv_norm = self.ones(shape.kv_lora_rank)
        self.w_kvb = self.drawn(heads, shape.qk_nope_head_dim + shape.v_head_dim, shape.kv_lora_rank)
        self.w_o = self.drawn(shape.hidden_size, heads * shape.v_head_dim)
        self.cos_Sr, self.sin_Sr = angles(
            positions, shape.qk_rope_head_dim, shape.rope_theta, dtype=dtype, device=device
        )

    def project(self, x_BSD: Tensor, cache: Cache, start: int) -> tuple[Tensor, Tensor, Tensor]:
        shape, c = self.shape, self.shape.kv_lora_rank
        new = slice(start, start + x_BSD.shape[1])
        cos_Sr, sin_Sr = self.cos_Sr[new], self.sin_Sr[new]

        latent, k_r = F.linear(x_BSD, self.w_kva).split((c, shape.qk_rope_head_dim), dim=-1)
        (cached,) = cache.tensors
        cached[:, 0, new, :c] = F.rms_norm(latent, (c,), self.kv_norm, INNER_NORM_EPS)
        cached[:, 0, new, c:] = rotate_neighbours(k_r, cos_Sr, sin_Sr)

        q_BSE = F.linear(self._query_input(x_BSD), self.w_q)
        q_BHSe = q_BSE.view(*q_BSE.shape[:2], shape.num_heads, -1).transpose(1, 2)
        q_n, q_r = q_BHSe.split((shape.qk_nope_head_dim, shape.qk_rope_head_dim), dim=-1)
        absorbed_BHSc = self._per_head(q_n, self.w_kvb[:, : shape.qk_nope_head_dim])
        q_BHSd = torch.cat((absorbed_BHSc, rotate_neighbours(q_r, cos_Sr, sin_Sr)), dim=-1)
        (k_BGTd,) = cache.views()
        return q_BHSd, k_BGTd, k_BGTd[..., :c]

    def output(self, o_BHSc: Tensor) -> Tensor:
        o_BHSv = self._per_head(o_BHSc, self.w_kvb[:, self.shape.qk_nope_head_dim :].mT)
        return F.linear(o_BHSv.transpose(1, 2).flatten(2), self.w_o)

    def _query_input(self, x_BSD: Tensor) -> Tensor:
        rank = self.shape.q_lora_rank
        if rank is None:
            return x_BSD
        return F.rms_norm(F.linear(x_BSD, self.w_qa), (rank,), self.q_norm, INNER_NORM_EPS)

    @staticmethod
    def _per_head(x_BHSi: Tensor, weight_Hio: Tensor) -> Tensor:
        """Multiply every head by a matrix of its own, as one batched product over heads."""
        batch, heads, tokens, _ = x_BHSi.shape
        rows_HTi = x_BHSi.transpose(0, 1).reshape(heads, batch * tokens, -1)
        return torch.bmm(rows_HTi, weight_Hio).view(heads, batch, tokens, -1).transpose(0, 1)
