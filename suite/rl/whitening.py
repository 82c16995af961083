"""Mean 0 and standard deviation 1 over the tokens of a batch, padding apart."""

import torch
from torch import Tensor

EPSILON = 1e-8
"""Added to the variance, as in verl."""


def whiten(values_NT: Tensor, mask_NT: Tensor) -> Tensor:
    """Values less their mean over their standard deviation, both over the mask, with the unbiased variance; 0 on
    padding. Exactly 0 where all values are equal, which rounding of their mean would otherwise blow up, and so where
    there is one value only."""
    seen_NT = mask_NT > 0
    values_NT = torch.where(seen_NT, values_NT, 0)
    count = mask_NT.sum()
    centred_NT = torch.where(seen_NT, values_NT - values_NT.sum() / count.clamp(min=1), 0)
    variance = (centred_NT**2).sum() / (count - 1).clamp(min=1)
    highest = values_NT.masked_fill(~seen_NT, -torch.inf).amax()
    lowest = values_NT.masked_fill(~seen_NT, torch.inf).amin()
    return torch.where(highest > lowest, centred_NT * torch.rsqrt(variance + EPSILON), 0)
