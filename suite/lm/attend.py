"""The attention of a small decoder: torch's fused kernel for the result of a layer's `project`.

The backends of suite/attention are built for one problem each, and a rollout meets another at every token; so there is
one function here instead. Shapes are those of suite/attention/problem.py.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.attention.problem import ValueLayout

FLASH_WIDEST, FLASH_BYTES = 256, 2
"""The widest head that torch's FlashAttention takes on a GPU, and the bytes of its elements."""


def attend(
    q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor, *, scale: float, value_layout: ValueLayout, mask_B1ST: Tensor | None
) -> Tensor:
    """Attention o_BHSv: causal without a mask, with the last query seeing every key. A mask is True where a query sees
    a key.

    A single new token's heads are folded into the query rows of the key-value head that they share, so that the cache
    is read once. The fused CPU kernel wants values as wide as keys: absorbed MLA and GLA pass the key for both,
    expanded MLA a value that zeros make as wide. Where no fused kernel knows groups, each becomes a sequence of its
    own: else torch would hold all scores.
    """
    batch, heads, tokens, _ = q_BHSd.shape
    kv_heads, v_dim = k_BGTd.shape[1], v_BGTv.shape[-1]
    if value_layout in (ValueLayout.PREFIX_OF_KEY, ValueLayout.ENDS_OF_KEY):
        v_BGTv = k_BGTd
    elif v_dim < k_BGTd.shape[-1]:
        v_BGTv = F.pad(v_BGTv, (0, k_BGTd.shape[-1] - v_dim))
    has_groups = kv_heads < heads
    if has_groups and tokens > 1 and not knows_groups(q_BHSd, has_mask=mask_B1ST is not None):
        o = _attend_by_group(q_BHSd, k_BGTd, v_BGTv, scale=scale, mask_B1ST=mask_B1ST)
        return _values_columns(o, v_dim, value_layout)
    folds = has_groups and tokens == 1
    if folds:
        q_BHSd = q_BHSd.reshape(batch, kv_heads, heads // kv_heads, -1)
    o = F.scaled_dot_product_attention(
        q_BHSd,
        k_BGTd,
        v_BGTv,
        attn_mask=mask_B1ST,
        is_causal=mask_B1ST is None and tokens > 1,
        scale=scale,
        enable_gqa=has_groups and not folds,
    )
    if folds:
        o = o.reshape(batch, heads, 1, -1)
    return _values_columns(o, v_dim, value_layout)


def _values_columns(o_BHSd: Tensor, v_dim: int, value_layout: ValueLayout) -> Tensor:
    """The value's own v_dim columns of an output that is as wide as the key."""
    if value_layout is ValueLayout.ENDS_OF_KEY:
        first, second = o_BHSd.chunk(2, dim=1)
        return torch.cat((first[..., :v_dim], second[..., -v_dim:]), dim=1)
    return o_BHSd[..., :v_dim]


def knows_groups(q_BHSd: Tensor, *, has_mask: bool) -> bool:
    """True if a fused kernel of torch's takes fewer key-value heads than query heads as they are.

    The CPU's does, and takes up to a third less time than over folded groups. On a GPU only FlashAttention does, which
    has 16 bits, widths up to FLASH_WIDEST and no mask; the memory-efficient kernel, which takes the rest, does not.
    """
    device = q_BHSd.device.type
    if device == "cpu":
        return True
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else q_BHSd.dtype
    return not has_mask and dtype.itemsize == FLASH_BYTES and q_BHSd.shape[-1] <= FLASH_WIDEST


def _attend_by_group(
    q_BHSd: Tensor, k_BGTd: Tensor, v_BGTd: Tensor, *, scale: float, mask_B1ST: Tensor | None
) -> Tensor:
    """Attention o_BHSd with each group as a sequence of its own, N = B × G, its head repeated without a copy."""
    batch, heads, tokens, width = q_BHSd.shape
    groups = k_BGTd.shape[1]
    k_NRTd, v_NRTd = (x.flatten(0, 1).unsqueeze(1).expand(-1, heads // groups, -1, -1) for x in (k_BGTd, v_BGTd))
    o_NRSd = F.scaled_dot_product_attention(
        q_BHSd.reshape(batch * groups, heads // groups, tokens, width),
        k_NRTd,
        v_NRTd,
        attn_mask=None if mask_B1ST is None else mask_B1ST.repeat_interleave(groups, dim=0),
        is_causal=mask_B1ST is None,
        scale=scale,
    )
    return o_NRSd.reshape(batch, heads, tokens, width)


def prompt_mask(valid_BS: Tensor, length: int) -> Tensor:
    """Mask [B, 1, length, length], True where a token sees another: causal, and no token sees a prompt's left padding.

    `valid_BS`: True on a prompt's own tokens. A pad sees itself, since a row that sees nothing has no softmax.
    """
    seen_BT = F.pad(valid_BS, (0, length - valid_BS.shape[1]), value=True)
    causal_TT = torch.ones(length, length, dtype=torch.bool, device=valid_BS.device).tril()
    itself_TT = torch.eye(length, dtype=torch.bool, device=valid_BS.device)
    return ((causal_TT & seen_BT[:, None]) | itself_TT)[:, None]
