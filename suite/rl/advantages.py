"""Advantages: what an estimator reads and gives, and the sums over tokens and groups that several of them share.

Legend of the shapes in this package: N completions, T tokens of the longest completion (end token included), V
vocabulary. Completions lie on the left, padding on the right; `mask_NT` is 1 on a completion's own tokens.

Membership of a group is an N by N table in place of a loop over groups: no more memory than a head's scores, the same
bits on every run, and no index that an accelerator would add up in any order.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from suite.rl.objective import Objective

DEVIATION_EPSILON = 1e-6  # added to a standard deviation, as in verl (TRL adds 1e-4, DeepSeekMath nothing)
VARIANCE_EPSILON = 1e-8  # added to a variance, as in verl


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A scored rollout: everything that an estimator may read."""

    mask_NT: Tensor  # 1.0 on a completion's tokens, the end token included; 0.0 on padding
    rewards_N: Tensor  # the outcome's reward of each completion
    parts_NK: Tensor | None = None
    """The parts of that reward, before they are weighed; None for an estimator that does not look at them."""
    groups_N: Tensor  # the group, that is the prompt, of each completion: whole numbers from 0, in any order
    kl_NT: Tensor | None = None
    """The price of the KL at each token, kl_coef included, which its reward loses; None where there is no price."""
    values_NT: Tensor | None = None  # the critic's value before each token; None where there is no critic
    step_rewards_NT: Tensor | None = None
    """Reward of the checked step that ends at this token; None where steps are not checked."""
    step_ends_NT: Tensor | None = None  # 1.0 where a checked step ends


@dataclass(frozen=True, kw_only=True)
class Estimated:
    """The advantages that an estimator gives, with the critic's returns where there is a critic."""

    advantages_NT: Tensor  # 0 on padding
    returns_NT: Tensor | None = None


Estimator = Callable[[Scored, Objective], Estimated]  # the function `advantages` of a file in suite/rl/estimators


def token_rewards(scored: Scored) -> Tensor:
    """Reward of each token, [N, T]: the outcome's reward at the last token, less the KL's price at each; 0 on padding.
    So have InstructGPT, verl, and TRL to 1.12. An empty completion has no last token: its outcome's reward is lost."""
    mask_NT = scored.mask_NT
    left_NT = mask_NT.flip(1).cumsum(dim=1).flip(1)
    rewards_NT = torch.where((mask_NT > 0) & (left_NT == 1), scored.rewards_N[:, None], 0)
    return rewards_NT if scored.kl_NT is None else rewards_NT - torch.where(mask_NT > 0, scored.kl_NT, 0)


def sequence_rewards(scored: Scored) -> Tensor:
    """The outcome's reward of each completion, less the KL's price summed over its tokens, [N]."""
    if scored.kl_NT is None:
        return scored.rewards_N
    return scored.rewards_N - torch.where(scored.mask_NT > 0, scored.kl_NT, 0).sum(dim=1)


def members(groups_N: Tensor) -> Tensor:
    """Table [N, N] that is True where two completions belong to one group."""
    return groups_N[:, None] == groups_N[None, :]


def centred(rewards_N: Tensor, groups_N: Tensor) -> Tensor:
    """Rewards less their group's mean, [N]: exactly 0 where a group's rewards are equal, despite rounding."""
    same_NN = members(groups_N)
    means_N = torch.where(same_NN, rewards_N, 0).sum(dim=1) / same_NN.sum(dim=1)
    return torch.where(differ(rewards_N, same_NN), rewards_N - means_N, 0)


def differ(rewards_N: Tensor, same_NN: Tensor) -> Tensor:
    """True for each completion whose group's rewards are not all equal."""
    highest_N = torch.where(same_NN, rewards_N, -torch.inf).amax(dim=1)
    lowest_N = torch.where(same_NN, rewards_N, torch.inf).amin(dim=1)
    return highest_N > lowest_N


def deviations(centred_N: Tensor, groups_N: Tensor) -> Tensor:
    """Unbiased standard deviation of each completion's group, [N], from centred rewards; 0 for a group of one."""
    same_NN = members(groups_N)
    squares_N = torch.where(same_NN, centred_N**2, 0).sum(dim=1)
    return (squares_N / (same_NN.sum(dim=1) - 1).clamp(min=1)).sqrt()


def whiten(values_NT: Tensor, mask_NT: Tensor) -> Tensor:
    """Values less their mean over their standard deviation, both over the mask, with the unbiased variance; 0 on
    padding. Exactly 0 where all values are equal, or only one: rounding of their mean would otherwise be blown up."""
    seen_NT = mask_NT > 0
    values_NT = torch.where(seen_NT, values_NT, 0)
    count = mask_NT.sum()
    centred_NT = torch.where(seen_NT, values_NT - values_NT.sum() / count.clamp(min=1), 0)
    variance = (centred_NT**2).sum() / (count - 1).clamp(min=1)
    highest = values_NT.masked_fill(~seen_NT, -torch.inf).amax()
    lowest = values_NT.masked_fill(~seen_NT, torch.inf).amin()
    return torch.where(highest > lowest, centred_NT * torch.rsqrt(variance + VARIANCE_EPSILON), 0)
