"""Group-relative advantages (DeepSeekMath, arXiv 2402.03300): how much better than the other completions of its prompt.

Outcome supervision (4.1.2) gives every token of a completion the same advantage. Process supervision (4.1.3) rewards
steps: those of a whole group are normalised together, and a token is credited with the steps that end at it or later.
"""

import torch
from torch import Tensor

from suite.rl.advantages import DEVIATION_EPSILON, Estimated, Scored, centred, deviations, members, sequence_rewards
from suite.rl.objective import Objective


def advantages(scored: Scored, objective: Objective) -> Estimated:
    """Reward minus its group's mean, divided as `scale_rewards` says; the same for all tokens of a completion, 0 on
    padding.

    The divisor is an unbiased standard deviation plus DEVIATION_EPSILON, that of the group (the paper) or of the batch
    (TRL's "batch"), or there is none (Dr. GRPO, arXiv 2503.20783). With process supervision steps have rewards.
    """
    estimate = _process if objective.supervision == "process" else _outcome
    return Estimated(advantages_NT=estimate(scored, objective) * scored.mask_NT)


def _outcome(scored: Scored, objective: Objective) -> Tensor:
    """Normalised reward of each completion, [N, 1]."""
    rewards_N = sequence_rewards(scored)
    centred_N = centred(rewards_N, scored.groups_N)
    if objective.scale_rewards == "group":
        centred_N = centred_N / (deviations(centred_N, scored.groups_N) + DEVIATION_EPSILON)
    elif objective.scale_rewards == "batch":
        centred_N = centred_N / (_deviation(rewards_N, torch.ones_like(rewards_N)) + DEVIATION_EPSILON)
    return centred_N[:, None]


def _process(scored: Scored, objective: Objective) -> Tensor:
    """Sum of the normalised rewards of the steps that end at each token or later, [N, T]. A completion without steps,
    and a group with one step or with equal ones, get 0. The outcome's reward is not looked at, as in the paper."""
    assert scored.step_rewards_NT is not None
    assert scored.step_ends_NT is not None
    ends_NT = torch.where(scored.mask_NT > 0, scored.step_ends_NT, 0)
    rewards_NT = torch.where(ends_NT > 0, scored.step_rewards_NT, 0)
    same_NN = members(scored.groups_N)
    steps_N = _over_group(ends_NT, same_NN)
    means_N = _over_group(rewards_NT, same_NN) / steps_N.clamp(min=1)
    centred_NT = torch.where(ends_NT > 0, rewards_NT - means_N[:, None], 0)
    highest_N = rewards_NT.masked_fill(ends_NT == 0, -torch.inf).amax(dim=1)
    lowest_N = rewards_NT.masked_fill(ends_NT == 0, torch.inf).amin(dim=1)
    highest_N = torch.where(same_NN, highest_N, -torch.inf).amax(dim=1)
    steps_differ_N = highest_N > torch.where(same_NN, lowest_N, torch.inf).amin(dim=1)
    centred_NT = torch.where(steps_differ_N[:, None], centred_NT, 0)
    if objective.scale_rewards == "group":
        variances_N = _over_group(centred_NT**2, same_NN) / (steps_N - 1).clamp(min=1)
        centred_NT = centred_NT / (variances_N.sqrt()[:, None] + DEVIATION_EPSILON)
    elif objective.scale_rewards == "batch":
        centred_NT = centred_NT / (_deviation(rewards_NT, ends_NT) + DEVIATION_EPSILON)
    return centred_NT.flip(1).cumsum(dim=1).flip(1)


def _deviation(values: Tensor, counted: Tensor) -> Tensor:
    count = counted.sum()
    squares = counted * (values - (values * counted).sum() / count.clamp(min=1)) ** 2
    return (squares.sum() / (count - 1).clamp(min=1)).sqrt()


def _over_group(values_NT: Tensor, same_NN: Tensor) -> Tensor:
    return torch.where(same_NN, values_NT.sum(dim=1), 0).sum(dim=1)
