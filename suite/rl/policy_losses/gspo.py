"""GSPO (arXiv 2507.18071): one ratio a completion, s = exp(mean_t log ρ_t), clipped as PPO clips its tokens'.

Every token carries its completion's s, so that loss_agg_mode=seq-mean-token-mean is the paper's mean over completions.
s is differentiable through all tokens (eq. 7). Where advantages differ within a completion each weighs the same s; the
paper's GSPO-token, whose gradient is the same where they do not differ, is another loss.
"""

import torch
from torch import Tensor

from suite.rl.losses import PolicyTerm
from suite.rl.objective import Objective


def token_losses(
    log_p_NT: Tensor, log_p_old_NT: Tensor, advantages_NT: Tensor, mask_NT: Tensor, objective: Objective
) -> PolicyTerm:
    """GSPO's loss a token, −min(sA, clip(s)A), s the completion's geometric mean of π / π_old; 0 on padding."""
    seen_NT = mask_NT > 0
    lowest, highest = 1 - objective.clip_ratio_low, 1 + objective.clip_ratio_high
    advantages_NT = torch.where(seen_NT, advantages_NT, 0)
    log_ratio_NT = torch.where(seen_NT, log_p_NT - log_p_old_NT, 0)
    ratio_N1 = (log_ratio_NT.sum(dim=1, keepdim=True) / mask_NT.sum(dim=1, keepdim=True).clamp(min=1)).exp()
    loss_NT = -torch.min(ratio_N1 * advantages_NT, ratio_N1.clamp(lowest, highest) * advantages_NT)
    low_NT = (ratio_N1 < lowest) & (advantages_NT < 0)
    high_NT = (ratio_N1 > highest) & (advantages_NT > 0)
    return PolicyTerm(
        loss_NT=loss_NT, clipped_low_NT=low_NT.to(loss_NT.dtype), clipped_high_NT=high_NT.to(loss_NT.dtype)
    )
