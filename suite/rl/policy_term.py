"""What a policy loss gives: a loss a token, and where its clip held."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class PolicyTerm:
    """0 on padding, all three."""

    loss_NT: Tensor
    clipped_low_NT: Tensor
    """1.0 where the ratio lies below its bound and the bound was taken in its place."""
    clipped_high_NT: Tensor
    """1.0 where the ratio lies above its bound and the bound was taken in its place, the dual clip's included."""
