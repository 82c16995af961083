"""What the critic minimises, with PPO's clip of its values (verl compute_value_loss), and how much of the returns it
explains."""

import torch
from torch import Tensor


def value_loss(
    values_NT: Tensor,
    old_values_NT: Tensor,
    returns_NT: Tensor,
    mask_NT: Tensor,
    cliprange_value: float | None,
    *,
    tokens: int,
) -> Tensor:
    """½ mean max((V − R)², (clip(V, V_old ± c) − R)²) over `tokens`, those of the whole minibatch, so that its
    micro-batches add up to it. Without c there is no clip."""
    seen_NT = mask_NT > 0
    values_NT, old_values_NT, returns_NT = (
        torch.where(seen_NT, part, 0) for part in (values_NT, old_values_NT, returns_NT)
    )
    losses_NT = (values_NT - returns_NT) ** 2
    if cliprange_value is not None:
        near_NT = values_NT.clamp(old_values_NT - cliprange_value, old_values_NT + cliprange_value)
        losses_NT = torch.max(losses_NT, (near_NT - returns_NT) ** 2)
    return 0.5 * losses_NT.sum() / max(tokens, 1)


def explained_variance(values_NT: Tensor, returns_NT: Tensor, mask_NT: Tensor) -> float | None:
    """1 − Var(R − V) / Var(R) over the mask; None where the returns do not vary, since there is nothing to explain."""
    returns, errors = returns_NT[mask_NT > 0], (returns_NT - values_NT)[mask_NT > 0]
    if len(returns) < 2 or bool((returns == returns[0]).all()):
        return None
    return float(1 - errors.var() / returns.var())
