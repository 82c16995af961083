"""Generalised advantage estimation (arXiv 1506.02438) with a critic, as PPO for language models has it in verl:
δ_t = r_t + γ V_{t+1} − V_t and A_t = δ_t + γλ A_{t+1}, the returns A + V for the critic, and A whitened for the policy.
"""

import torch

from suite.rl.advantages import Estimated, Scored, token_rewards, whiten
from suite.rl.objective import Objective


def advantages(scored: Scored, objective: Objective) -> Estimated:
    """Estimate from the last token back, after which there is nothing: a completion that was cut at the limit is not
    bootstrapped either, as its reward is already final. Padding is stepped over, whatever values stand there."""
    assert scored.values_NT is not None
    assert objective.lam is not None
    mask_NT = scored.mask_NT
    values_NT = torch.where(mask_NT > 0, scored.values_NT, 0)
    rewards_NT = token_rewards(scored)
    later_N = next_value_N = torch.zeros_like(scored.rewards_N)
    columns = []
    for t in reversed(range(mask_NT.shape[1])):
        here_N = mask_NT[:, t] > 0
        delta_N = rewards_NT[:, t] + objective.gamma * next_value_N - values_NT[:, t]
        later_N = torch.where(here_N, delta_N + objective.gamma * objective.lam * later_N, later_N)
        next_value_N = torch.where(here_N, values_NT[:, t], next_value_N)
        columns.append(later_N)
    raw_NT = torch.stack(columns[::-1], dim=1) * mask_NT
    return Estimated(advantages_NT=whiten(raw_NT, mask_NT), returns_NT=raw_NT + values_NT)
