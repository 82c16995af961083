"""The attention of a small decoder: torch's fused kernel for the result of a layer's `project`.

The backends of suite/attention are built for one problem each, and a rollout meets another at every token; so there is
one function here instead. Shapes are those of suite/attention/problem.py.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.attention.problem import ValueLayout


def attend(
    q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor, *, scale: float, value_layout: ValueLayout, mask_B1ST: Tensor | None
) -> Tensor:
    """Return o_BHSv, causal where no mask is given, with the last query seeing every key. A mask is True where a key is
    seen.

    A single new token's heads are folded into the query rows of the key-value head that they share, so that the cache
    is read once. The fused CPU kernel wants values as wide as keys: absorbed MLA passes the key for both, expanded MLA
    a value that zeros make as wide.
    """
    batch, heads, tokens, _ = q_BHSd.shape
    kv_heads, v_dim = k_BGTd.shape[1], v_BGTv.shape[-1]
    if value_layout is ValueLayout.PREFIX_OF_KEY:
        v_BGTv = k_BGTd
    elif v_dim < k_BGTd.shape[-1]:
        v_BGTv = F.pad(v_BGTv, (0, k_BGTd.shape[-1] - v_dim))
    folds = tokens == 1 and kv_heads < heads
    if folds:
        q_BHSd = q_BHSd.reshape(batch, kv_heads, heads // kv_heads, -1)
    o = F.scaled_dot_product_attention(
        q_BHSd,
        k_BGTd,
        v_BGTv,
        attn_mask=mask_B1ST,
        is_causal=mask_B1ST is None and tokens > 1,
        scale=scale,
        enable_gqa=kv_heads < heads and not folds,
    )
    if folds:
        o = o.reshape(batch, heads, 1, -1)
    return o[..., :v_dim]


def prompt_mask(valid_BS: Tensor, length: int) -> Tensor:
    """Return the visibility [B, 1, length, length] where the first columns are prompts padded on the left.

    `valid_BS`: True on a prompt's own tokens. A pad sees itself, since a row that sees nothing has no softmax.
    """
    seen_BT = F.pad(valid_BS, (0, length - valid_BS.shape[1]), value=True)
    causal_TT = torch.ones(length, length, dtype=torch.bool, device=valid_BS.device).tril()
    itself_TT = torch.eye(length, dtype=torch.bool, device=valid_BS.device)
    return ((causal_TT & seen_BT[:, None]) | itself_TT)[:, None]
