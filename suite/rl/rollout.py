"""What a rollout is once it is scored: everything that an advantage estimator may look at.

Legend of the shapes in this package: N completions, T tokens of the longest completion (end token included), V
vocabulary. Completions lie on the left, padding on the right; `mask_NT` is 1 on a completion's own tokens.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Scored:
    mask_NT: Tensor
    """1.0 on a completion's tokens, the end token included; 0.0 on padding."""
    rewards_N: Tensor
    """The outcome's reward of each completion."""
    groups_N: Tensor
    """Which group, that is prompt, a completion belongs to: whole numbers from 0, in any order."""
    kl_NT: Tensor | None = None
    """What is taken off the reward of each token, kl_coef included; None where nothing is."""
    values_NT: Tensor | None = None
    """The critic's value before each token; None where there is no critic."""
    step_rewards_NT: Tensor | None = None
    """Reward of the checked step that ends at this token; None where steps are not checked."""
    step_ends_NT: Tensor | None = None
    """1.0 where a checked step ends."""


@dataclass(frozen=True, kw_only=True)
class Estimated:
    advantages_NT: Tensor
    """0 on padding."""
    returns_NT: Tensor | None = None
    """What the critic learns; None where there is none."""
