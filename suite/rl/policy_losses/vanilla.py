"""PPO's clipped surrogate (arXiv 1707.06347 eq. 7): −min(ρA, clip(ρ, 1 − ε_low, 1 + ε_high)A), with ρ = π / π_old.

The minimum lets a ratio of a bad token grow without end; the dual clip (arXiv 1912.09729) stops it at c, for A < 0.
"""

import torch
from torch import Tensor

from suite.rl.losses import PolicyTerm
from suite.rl.objective import Objective


def token_losses(
    log_p_NT: Tensor, log_p_old_NT: Tensor, advantages_NT: Tensor, mask_NT: Tensor, objective: Objective
) -> PolicyTerm:
    """PPO's loss a token, −min(ρA, clip(ρ)A), ρ = π / π_old; 0 on padding. For A < 0 the dual clip bounds ρ."""
    seen_NT = mask_NT > 0
    lowest, highest = 1 - objective.clip_ratio_low, 1 + objective.clip_ratio_high
    advantages_NT = torch.where(seen_NT, advantages_NT, 0)
    ratio_NT = torch.where(seen_NT, log_p_NT - log_p_old_NT, 0).exp()
    loss_NT = -torch.min(ratio_NT * advantages_NT, ratio_NT.clamp(lowest, highest) * advantages_NT)
    low_NT = (ratio_NT < lowest) & (advantages_NT < 0)
    high_NT = (ratio_NT > highest) & (advantages_NT > 0)
    if objective.clip_ratio_c is not None:
        bound_NT = (ratio_NT > objective.clip_ratio_c) & (advantages_NT < 0)
        loss_NT = torch.where(bound_NT, -objective.clip_ratio_c * advantages_NT, loss_NT)
        high_NT = high_NT | bound_NT
    return PolicyTerm(
        loss_NT=loss_NT, clipped_low_NT=low_NT.to(loss_NT.dtype), clipped_high_NT=high_NT.to(loss_NT.dtype)
    )
