"""From losses of tokens to one loss, under verl's names.

The divisors are those of the whole minibatch and are handed in, so that its micro-batches add up to it: dividing by a
micro-batch's own tokens would weigh a token by the company it keeps.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from suite.rl.objective import AGGREGATIONS


@dataclass(frozen=True, kw_only=True)
class Divisors:
    """Of a whole minibatch; `aggregate(loss_NT, mask_NT, mode, **divisors.named())` for each of its micro-batches."""

    tokens: int
    sequences: int
    """Completions, the empty ones included: they were sampled, and TRL counts them. verl does not, which would make the
    others weigh more because of them."""
    longest: int
    """Tokens that a completion may have at most: a constant of the run, as TRL's max_completion_length. verl's default,
    the padded width of the batch, would make the loss depend on padding."""

    def named(self) -> dict[str, int]:
        return {"tokens": self.tokens, "sequences": self.sequences, "longest": self.longest}


def divisors_of(mask_NT: Tensor, *, longest: int) -> Divisors:
    """Those of a minibatch, given its whole mask."""
    return Divisors(tokens=int(mask_NT.sum()), sequences=mask_NT.shape[0], longest=longest)


def aggregate(loss_NT: Tensor, mask_NT: Tensor, mode: str, *, tokens: int, sequences: int, longest: int) -> Tensor:
    """A micro-batch's share of the minibatch's loss. An empty completion adds 0."""
    masked_NT = torch.where(mask_NT > 0, loss_NT, 0)
    if mode == "token-mean":
        return masked_NT.sum() / max(tokens, 1)
    sums_N = masked_NT.sum(dim=1)
    if mode == "seq-mean-token-mean":
        return (sums_N / mask_NT.sum(dim=1).clamp(min=1)).sum() / sequences
    if mode == "seq-mean-token-sum":
        return sums_N.sum() / sequences
    if mode == "seq-mean-token-sum-norm":
        return masked_NT.sum() / (sequences * longest)
    raise ValueError(f"loss_agg_mode must be one of {', '.join(AGGREGATIONS)}; got {mode!r}")
