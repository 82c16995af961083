"""MaxRL (arXiv 2602.02710): the reward less its group's mean, over that mean, so that a prompt weighs more the more
rarely it is solved: the gradient of maximum likelihood in place of that of the expected reward.

With rewards of 0 and 1, p the chance of a 1 and G completions a prompt its expectation is the reward's gradient times
(1 − (1 − p)^(G−1)) / p, which becomes 1/p, and so the gradient of log p, as G grows. tests/rl/conformance has it.
"""

import torch

from suite.rl.advantages import Estimated, Scored, centred, members
from suite.rl.objective import Objective


def advantages(scored: Scored, objective: Objective) -> Estimated:
    """Reward minus its group's mean, divided by that mean; 0 on padding and in a group without reward."""
    same_NN = members(scored.groups_N)
    means_N = torch.where(same_NN, scored.rewards_N, 0).sum(dim=1) / same_NN.sum(dim=1)
    solved_N = means_N > 0
    relative_N = torch.where(solved_N, centred(scored.rewards_N, scored.groups_N) / means_N.where(solved_N, 1), 0)
    return Estimated(advantages_NT=torch.where(scored.mask_NT > 0, relative_N[:, None], 0))
