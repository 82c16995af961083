"""The loss of a minibatch as training puts it together, differentiated, in micro-batches too."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from suite.rl.advantages import Estimated, Estimator
from suite.rl.conformance.production import Batch
from suite.rl.critic import value_loss
from suite.rl.losses import Divisors, PolicyLoss, aggregate, kl_estimates
from suite.rl.objective import Objective
from suite.rl.registry import ESTIMATORS, POLICY_LOSSES


@dataclass(frozen=True, kw_only=True)
class Differentiated:
    """A loss and its slopes by each token's log π, and by each of the critic's values where there is a critic."""

    estimated: Estimated
    loss: Tensor
    slopes_NT: Tensor
    clipped_low: Tensor
    """Share of the tokens."""
    clipped_high: Tensor
    value_loss: Tensor
    value_slopes_NT: Tensor


def updated(value: Any) -> Any:
    """The critic's value after some update: some values move farther than the clip allows, some do not."""
    return 2 * value + 0.1


def differentiate(
    batch: Batch,
    objective: Objective,
    chunks: Sequence[Sequence[int]] | None = None,
) -> Differentiated:
    """Compute and differentiate the loss of a minibatch in micro-batches of these completions, all at once by
    default."""
    scored, mask_NT = batch.scored, batch.scored.mask_NT
    estimate: Estimator = ESTIMATORS.load(objective.adv_estimator)
    estimated = estimate(scored, objective)
    divisors = Divisors.of(mask_NT, longest=objective.longest_completion)
    log_p_NT = batch.log_p_NT.clone().requires_grad_()
    old_values_NT = mask_NT.new_zeros(mask_NT.shape) if scored.values_NT is None else scored.values_NT
    values_NT = updated(old_values_NT).requires_grad_()
    losses: PolicyLoss = POLICY_LOSSES.load(objective.policy_loss)
    loss, critics, low, high = (mask_NT.new_zeros(()) for _ in range(4))
    for rows in [list(part) for part in chunks] if chunks else [slice(None)]:
        old, here = batch.log_old_NT[rows], mask_NT[rows]
        term = losses(log_p_NT[rows], old, estimated.advantages_NT[rows], here, objective)
        tokens_NT = term.loss_NT
        if objective.kl_in_loss:
            kl_NT = kl_estimates(log_p_NT[rows], batch.log_reference_NT[rows], objective.kl_type, old)
            tokens_NT = tokens_NT + objective.kl_coef * kl_NT
        loss = loss + aggregate(tokens_NT, here, objective.loss_agg_mode, divisors)
        low = low + aggregate(term.clipped_low_NT, here, "token-mean", divisors)
        high = high + aggregate(term.clipped_high_NT, here, "token-mean", divisors)
        if scored.values_NT is not None and estimated.returns_NT is not None:
            critics = critics + value_loss(
                values_NT[rows],
                scored.values_NT[rows],
                estimated.returns_NT[rows],
                here,
                objective.cliprange_value,
                tokens=divisors.tokens,
            )
    slopes_NT, value_slopes_NT = torch.autograd.grad(
        loss + critics, (log_p_NT, values_NT), allow_unused=True, materialize_grads=True
    )
    return Differentiated(
        estimated=estimated,
        loss=loss.detach(),
        slopes_NT=slopes_NT,
        clipped_low=low,
        clipped_high=high,
        value_loss=critics.detach(),
        value_slopes_NT=value_slopes_NT,
    )
