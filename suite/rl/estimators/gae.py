"""Generalised advantage estimation (arXiv 1506.02438) with a critic, as PPO for language models has it in verl:
δ_t = r_t + γ V_{t+1} − V_t and A_t = δ_t + γλ A_{t+1}, the returns A + V for the critic, and A whitened for the policy.

Two lambdas (VC-PPO, arXiv 2503.01491): `critic_lam` is that of the returns, 1 for a critic without bias, and `lam` that
of the policy. Or the policy's is each completion's own, λ = 1 − 1 / (α l) of its l tokens (VAPO, arXiv 2504.05118), so
that Σ λ^t, the tokens over which an error at the end is felt, is α l whatever the length; 0 where α l is below 1, as
the paper's α of 0.05 has it for completions of up to 20 tokens. A length is an outcome, so that this λ knows of what is
yet to come, and the gradient has a bias even with a perfect critic: tests/rl/conformance enumerates it.
"""

import torch
from torch import Tensor

from suite.rl.advantages import Estimated, Scored, token_rewards, whiten
from suite.rl.objective import Objective


def advantages(scored: Scored, objective: Objective) -> Estimated:
    """Whitened advantages A_t = δ_t + γλ A_{t+1}, and the critic's returns A + V, unwhitened; padding gets 0 in both.
    Returns use `critic_lam` where it is set, else the policy's λ."""
    assert scored.values_NT is not None
    mask_NT = scored.mask_NT
    values_NT = torch.where(mask_NT > 0, scored.values_NT, 0)
    raw_NT = _discounted_errors(scored, values_NT, objective.gamma, _policy_lam(mask_NT, objective))
    of_critic_NT = raw_NT
    if objective.critic_lam is not None:
        of_critic_NT = _discounted_errors(scored, values_NT, objective.gamma, objective.critic_lam)
    return Estimated(advantages_NT=whiten(raw_NT, mask_NT), returns_NT=of_critic_NT + values_NT)


def _policy_lam(mask_NT: Tensor, objective: Objective) -> Tensor | float:
    """The policy's λ: one number, or 1 − 1 / (α l) of each completion of l tokens, not below 0."""
    if objective.lam_alpha is not None:
        return (1 - 1 / (objective.lam_alpha * mask_NT.sum(dim=1))).clamp(min=0)
    assert objective.lam is not None
    return objective.lam


def _discounted_errors(scored: Scored, values_NT: Tensor, gamma: float, lam: Tensor | float) -> Tensor:
    """Sums A_t = δ_t + γλ A_{t+1} with δ_t = r_t + γ V_{t+1} − V_t, [N, T]; 0 on padding.

    After the last token there is nothing: a completion that was cut at the limit is not bootstrapped either, as its
    reward is already final. Padding is stepped over, whatever values stand there.
    """
    mask_NT, rewards_NT = scored.mask_NT, token_rewards(scored)
    later_N = next_value_N = torch.zeros_like(scored.rewards_N)
    columns = []
    for t in reversed(range(mask_NT.shape[1])):
        here_N = mask_NT[:, t] > 0
        delta_N = rewards_NT[:, t] + gamma * next_value_N - values_NT[:, t]
        later_N = torch.where(here_N, delta_N + gamma * lam * later_N, later_N)
        next_value_N = torch.where(here_N, values_NT[:, t], next_value_N)
        columns.append(later_N)
    return torch.stack(columns[::-1], dim=1) * mask_NT
