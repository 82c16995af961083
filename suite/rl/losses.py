"""The policy's loss, from tokens to one number: its term a token, the divergence from the reference, the aggregation.

Divergence: estimates of KL(π ‖ π_ref) at a token that π itself sampled, after Schulman's "Approximating KL divergence"
(2020), with d = log π_ref − log π. An estimate whose value is unbiased need not have an unbiased gradient: the
expectation is over π's own samples, and its derivative has a term for their probabilities that an estimate in the loss
leaves out. So in the loss k1 pulls nowhere (its expected gradient is 0), k3 has the gradient of the other divergence,
KL(π_ref ‖ π), k2 has KL's own, and so has k3_unbiased, which brings the missing term as the ratio's gradient.
tests/rl/conformance enumerates it all.

Aggregation, under verl's names: the divisors are those of the whole minibatch and are handed in, so that its
micro-batches add up to it. Dividing by a micro-batch's own tokens would weigh a token by the company it keeps.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from suite.rl.objective import AGGREGATIONS, KL_TYPES, Objective


@dataclass(frozen=True, kw_only=True)
class PolicyTerm:
    """Result of a policy loss: the loss of each token and where its clip was active; all three are 0 on padding."""

    loss_NT: Tensor
    clipped_low_NT: Tensor  # 1.0 where the ratio lies below its bound and the bound was taken in its place
    clipped_high_NT: Tensor
    """1.0 where the ratio lies above its bound and the bound was taken in its place, the dual clip's included."""


# The function `token_losses` of a file in suite/rl/policy_losses: of log_p_NT, log_p_old_NT, advantages_NT, mask_NT.
PolicyLoss = Callable[[Tensor, Tensor, Tensor, Tensor, Objective], PolicyTerm]


def kl_estimates(
    log_p_NT: Tensor, log_reference_NT: Tensor, kl_type: str, log_p_old_NT: Tensor | None = None
) -> Tensor:
    """One estimate of KL(π ‖ π_ref) a token, in nats; padding is computed too and must be finite.

    `log_p_old_NT` is that of the policy that sampled, for k3_unbiased alone; without it the sampling policy is taken to
    be this one. k3_unbiased is k3·ρ, ρ = π / π_old, with the gradient through ρ and without a clip: DeepSeek-V3.2
    (arXiv 2512.02556) eq. 7, and TRL 1.16 with use_bias_correction_kl, its default. Raises ValueError for another
    `kl_type`.
    """
    d_NT = log_reference_NT - log_p_NT
    if kl_type == "k1":
        return -d_NT
    if kl_type == "k2":
        return 0.5 * d_NT**2
    k3_NT = d_NT.exp() - d_NT - 1
    if kl_type == "k3":
        return k3_NT
    if kl_type == "k3_unbiased":
        sampled_NT = log_p_NT.detach() if log_p_old_NT is None else log_p_old_NT
        return k3_NT * torch.exp(log_p_NT - sampled_NT)
    raise ValueError(f"kl_type must be one of {', '.join(KL_TYPES)}; got {kl_type!r}")


@dataclass(frozen=True, kw_only=True)
class Divisors:
    """Counts over a whole minibatch, by which the sums of each of its micro-batches are divided."""

    tokens: int
    sequences: int
    """Completions, the empty ones included: they were sampled, and TRL counts them. verl does not, which would make the
    others weigh more because of them."""
    longest: int
    """Tokens that a completion may have at most: a constant of the run, as TRL's max_completion_length. verl's default,
    the padded width of the batch, would make the loss depend on padding."""

    @classmethod
    def from_mask(cls, mask_NT: Tensor, *, longest: int) -> "Divisors":
        """Count the tokens and completions of a whole minibatch."""
        return cls(tokens=int(mask_NT.sum()), sequences=mask_NT.shape[0], longest=longest)


def aggregate(loss_NT: Tensor, mask_NT: Tensor, mode: str, divisors: Divisors) -> Tensor:
    """Sum a micro-batch's token losses with the weights of `mode`: its share of the minibatch's loss. Padding and empty
    completions add 0. Raises ValueError for an unknown mode."""
    masked_NT = torch.where(mask_NT > 0, loss_NT, 0)
    if mode == "token-mean":
        return masked_NT.sum() / max(divisors.tokens, 1)
    sums_N = masked_NT.sum(dim=1)
    if mode == "seq-mean-token-mean":
        return (sums_N / mask_NT.sum(dim=1).clamp(min=1)).sum() / divisors.sequences
    if mode == "seq-mean-token-sum":
        return sums_N.sum() / divisors.sequences
    if mode == "seq-mean-token-sum-norm":
        return masked_NT.sum() / (divisors.sequences * divisors.longest)
    raise ValueError(f"loss_agg_mode must be one of {', '.join(AGGREGATIONS)}; got {mode!r}")
