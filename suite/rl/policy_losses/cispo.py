"""CISPO (MiniMax-M1, arXiv 2506.13585 eq. 4-5): REINFORCE with a clipped importance weight, −sg(clip(ρ)) · A · log π.

The weight is clipped and not the update: no token loses its gradient. MiniMax-M1 sets no lower bound, which is
clip_ratio_low=1 here; TRL's epsilon_high is the bound itself, 1 + clip_ratio_high here.
"""

import torch
from torch import Tensor

from suite.rl.losses import PolicyTerm
from suite.rl.objective import Objective


def token_losses(
    log_p_NT: Tensor, log_p_old_NT: Tensor, advantages_NT: Tensor, mask_NT: Tensor, objective: Objective
) -> PolicyTerm:
    """CISPO's loss a token, −clip(ρ) · A · log π, ρ = π / π_old held constant; 0 on padding."""
    seen_NT = mask_NT > 0
    lowest, highest = 1 - objective.clip_ratio_low, 1 + objective.clip_ratio_high
    log_p_NT = torch.where(seen_NT, log_p_NT, 0)
    advantages_NT = torch.where(seen_NT, advantages_NT, 0)
    ratio_NT = torch.where(seen_NT, log_p_NT - log_p_old_NT, 0).exp().detach()
    loss_NT = -ratio_NT.clamp(lowest, highest) * advantages_NT * log_p_NT
    return PolicyTerm(
        loss_NT=loss_NT,
        clipped_low_NT=(ratio_NT < lowest).to(loss_NT.dtype),
        clipped_high_NT=(ratio_NT > highest).to(loss_NT.dtype),
    )
