"""Means and deviations within a group: the completions of one prompt, compared with each other.

Membership is an N by N table in place of a loop over groups: no more memory than a head's scores, the same bits on
every run, and no index that an accelerator would add up in any order.
"""

import torch
from torch import Tensor

EPSILON = 1e-6
"""Added to a standard deviation, as in verl (TRL adds 1e-4, DeepSeekMath nothing)."""


def sequence_rewards(rewards_N: Tensor, kl_NT: Tensor | None, mask_NT: Tensor) -> Tensor:
    """The outcome's reward, less what the KL takes off along the completion."""
    return rewards_N if kl_NT is None else rewards_N - torch.where(mask_NT > 0, kl_NT, 0).sum(dim=1)


def members(groups_N: Tensor) -> Tensor:
    """1.0 where two completions belong to one group."""
    return groups_N[:, None] == groups_N[None, :]


def centred(rewards_N: Tensor, groups_N: Tensor) -> Tensor:
    """Rewards less their group's mean; exactly 0 where a group's are all equal, whatever their mean is rounded to."""
    same_NN = members(groups_N)
    means_N = torch.where(same_NN, rewards_N, 0).sum(dim=1) / same_NN.sum(dim=1)
    return torch.where(differ(rewards_N, same_NN), rewards_N - means_N, 0)


def differ(rewards_N: Tensor, same_NN: Tensor) -> Tensor:
    """Whether the rewards of a completion's group are not all equal."""
    highest_N = torch.where(same_NN, rewards_N, -torch.inf).amax(dim=1)
    lowest_N = torch.where(same_NN, rewards_N, torch.inf).amin(dim=1)
    return highest_N > lowest_N


def deviations(centred_N: Tensor, groups_N: Tensor) -> Tensor:
    """Unbiased standard deviation of each completion's group; 0 for a group of one."""
    same_NN = members(groups_N)
    squares_N = torch.where(same_NN, centred_N**2, 0).sum(dim=1)
    return (squares_N / (same_NN.sum(dim=1) - 1).clamp(min=1)).sqrt()
