"""REINFORCE leave-one-out (arXiv 2402.14740): the reward less the mean of the others' of its group, the KL taken off
the reward."""

import torch

from suite.rl.advantages import Estimated, Scored, centred, members, sequence_rewards
from suite.rl.objective import Objective


def advantages(scored: Scored, objective: Objective) -> Estimated:
    """Reward minus the mean of the group's other completions; 0 on padding and in a group of one."""
    rewards_N = sequence_rewards(scored)
    sizes_N = members(scored.groups_N).sum(dim=1)
    # r_i − mean of the others = G / (G − 1) · (r_i − mean of all), which is exactly 0 where all are equal.
    left_out_N = centred(rewards_N, scored.groups_N) * sizes_N / (sizes_N - 1).clamp(min=1)
    return Estimated(advantages_NT=torch.where(scored.mask_NT > 0, left_out_N[:, None], 0))
