"""REINFORCE++ (arXiv 2501.03262): discounted returns of rewards that the KL shapes token by token, whitened over all
tokens of the batch. No critic and no group."""

import torch

from suite.rl.advantages import Estimated, Scored, token_rewards, whiten
from suite.rl.objective import Objective


def advantages(scored: Scored, objective: Objective) -> Estimated:
    """Discounted rewards from each token on, less the KL's price, whitened over the batch; 0 on padding."""
    mask_NT = scored.mask_NT
    rewards_NT = token_rewards(scored)
    return_N = torch.zeros_like(scored.rewards_N)
    columns = []
    for t in reversed(range(mask_NT.shape[1])):
        return_N = torch.where(mask_NT[:, t] > 0, rewards_NT[:, t] + objective.gamma * return_N, return_N)
        columns.append(return_N)
    return Estimated(advantages_NT=whiten(torch.stack(columns[::-1], dim=1), mask_NT))
