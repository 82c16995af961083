"""Rewards token by token: the KL's price at each, and the outcome's reward at the last (InstructGPT; verl; TRL to
1.12)."""

import torch
from torch import Tensor

from suite.rl.rollout import Scored


def token_rewards(scored: Scored) -> Tensor:
    """Reward of each token, 0 on padding. An empty completion has no last token: its outcome is given to nobody."""
    mask_NT = scored.mask_NT
    left_NT = mask_NT.flip(1).cumsum(dim=1).flip(1)
    rewards_NT = torch.where((mask_NT > 0) & (left_NT == 1), scored.rewards_N[:, None], 0)
    return rewards_NT if scored.kl_NT is None else rewards_NT - torch.where(mask_NT > 0, scored.kl_NT, 0)
