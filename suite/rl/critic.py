"""PPO's critic: a decoder with one more row that reads a value, its loss, and how much of the returns it explains.

The decoder is one of its own, which begins as the base model, or the policy itself, whose trunk then serves both.
"""

import torch
from torch import Tensor

from suite.lm.decoder import Decoder, scored_in
from suite.lm.sampling import Prompts
from suite.lm.scoring import hidden_states


class Critic(torch.nn.Module):
    """A decoder and the row that reads its values. The row begins at 0, so every first value is 0."""

    def __init__(self, decoder: Decoder, *, shares_trunk: bool = False) -> None:
        """`decoder`: the policy itself with `shares_trunk`, else the critic's own, which loses its head."""
        super().__init__()
        self.decoder, self.shares_trunk = decoder, shares_trunk
        if not shares_trunk:
            decoder.head = None
        factory, width = decoder.factory, decoder.shape.hidden_size
        self.value_D = torch.nn.Parameter(torch.zeros(width, dtype=factory.dtype, device=factory.device))

    def rotary_tables(self) -> list[Tensor]:
        return self.decoder.rotary_tables()

    def forward(self, prompts: Prompts, tokens_NT: Tensor) -> Tensor:
        """values_NT: the value that is still to come before each token of a completion is written."""
        return self.values(hidden_states(self.decoder, prompts, tokens_NT))

    def values(self, h_NTD: Tensor) -> Tensor:
        """Values [N, T] read from hidden states, in float32 at least."""
        values_NT = h_NTD @ self.value_D
        return values_NT.to(scored_in(values_NT.dtype))


def value_loss(
    values_NT: Tensor,
    old_values_NT: Tensor,
    returns_NT: Tensor,
    mask_NT: Tensor,
    cliprange_value: float | None,
    *,
    tokens: int,
) -> Tensor:
    """Critic's loss ½ mean max((V − R)², (clip(V, V_old ± c) − R)²), as verl's compute_value_loss; padding counts
    nothing.

    V: `values_NT`, R: `returns_NT`, c: `cliprange_value`, without which there is no clip. The mean is over `tokens`,
    those of the whole minibatch, so that its micro-batches add up to it.
    """
    seen_NT = mask_NT > 0
    values_NT, old_values_NT, returns_NT = (
        torch.where(seen_NT, part, 0) for part in (values_NT, old_values_NT, returns_NT)
    )
    losses_NT = (values_NT - returns_NT) ** 2
    if cliprange_value is not None:
        near_NT = values_NT.clamp(old_values_NT - cliprange_value, old_values_NT + cliprange_value)
        losses_NT = torch.max(losses_NT, (near_NT - returns_NT) ** 2)
    return 0.5 * losses_NT.sum() / max(tokens, 1)


ROUNDING = 1e-5
"""The spread of equal returns, which are sums of advantages and values in float32, beside the largest value."""


def explained_variance(values_NT: Tensor, returns_NT: Tensor, mask_NT: Tensor) -> float | None:
    """1 − Var(R − V) / Var(R) over the mask, R being returns and V values. None where the returns vary by no more than
    their rounding, since there is nothing to explain."""
    returns, values = returns_NT[mask_NT > 0], values_NT[mask_NT > 0]
    if len(returns) < 2 or float(returns.max() - returns.min()) <= ROUNDING * max(1.0, float(values.abs().max())):
        return None
    return float(1 - (returns - values).var() / returns.var())
