"""Rotary position embedding in the two layouts that published weights use.

Llama turns the pairs (i, i + d/2), DeepSeek the neighbours (2i, 2i + 1). The frequencies, scaled for long contexts or
not, come from suite/theory/layers/rope.py.

Shapes: x_BHSd; cos_Sr and sin_Sr with r = d / 2.
"""

import torch
from torch import Tensor

from suite.theory.layers.rope import Rope


def angles(length: int, width: int, rope: Rope, *, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotation at each position, [length, width / 2], computed in float64 and rounded once."""
    frequencies = torch.tensor(rope.frequencies(width), dtype=torch.float64, device=device)
    phases = torch.outer(torch.arange(length, dtype=torch.float64, device=device), frequencies)
    cos_Sr, sin_Sr = (turn * rope.rotation_factor for turn in (phases.cos(), phases.sin()))
    return cos_Sr.to(dtype), sin_Sr.to(dtype)


def rotate_halves(x_BHSd: Tensor, cos_Sr: Tensor, sin_Sr: Tensor) -> Tensor:
    """Rotate x in pairs of columns (i, i + d/2), as Llama does.

    Whole rows at once and not half by half: a small model's training pays for every tensor, there and on the way back.
    """
    cos_Sd, sin_Sd = torch.cat((cos_Sr, cos_Sr), dim=-1), torch.cat((-sin_Sr, sin_Sr), dim=-1)
    return torch.addcmul(x_BHSd * cos_Sd, x_BHSd.roll(cos_Sr.shape[-1], dims=-1), sin_Sd)


def rotate_neighbours(x_BHSd: Tensor, cos_Sr: Tensor, sin_Sr: Tensor) -> Tensor:
    """Rotate x in pairs of columns (2i, 2i + 1), as DeepSeek's weights expect; x itself if it has no columns."""
    if not x_BHSd.shape[-1]:  # MLA without a rotary part should not pay for turning nothing
        return x_BHSd
    even, odd = x_BHSd[..., 0::2], x_BHSd[..., 1::2]
    return torch.stack((even * cos_Sr - odd * sin_Sr, odd * cos_Sr + even * sin_Sr), dim=-1).flatten(-2)
