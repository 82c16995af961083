"""Weights of tokens that another policy sampled than the one that learns: an older one, or one of fewer bits.

With w = π_start / π_sampled, where π_start is the policy at the start of the step's updates, the loss is that of
π / π_start, times a weight that no gradient goes through:

| correction | weight of a token |
|---|---|
| none | no weight, and the loss is that of π / π_sampled, which its clip bounds |
| recomputed | 1: the difference is ignored, as trainers do that compute log-probabilities anew |
| token_tis | min(w, cap): truncated importance sampling |
| token_mis | w where lowest <= w <= highest, else 0: masked importance sampling (IcePop) |
| sequence_tis, sequence_mis | the same with the product of w over the completion, for all its tokens |
| decoupled | w as it is (AReaL, arXiv 2505.24298 eq. 5) |

Masked tokens stay in the divisors of the loss: what is left out does not make the rest weigh more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from suite.configuration.values import one_of, positive_number

if TYPE_CHECKING:
    from torch import Tensor

NONE, RECOMPUTED, DECOUPLED = "none", "recomputed", "decoupled"
TRUNCATED, MASKED = ("token_tis", "sequence_tis"), ("token_mis", "sequence_mis")
CORRECTIONS = (NONE, RECOMPUTED, *TRUNCATED, *MASKED, DECOUPLED)
BOUNDS = {"cap": TRUNCATED, "lowest": MASKED, "highest": MASKED}  # the corrections that have each bound of a weight
LARGEST_LOG_WEIGHT = 20.0  # of a weight without a bound: a product over a long completion would overflow


@dataclass(frozen=True, kw_only=True)
class Correction:
    kind: str
    cap: float | None  # the largest weight of a truncating one; None for another
    lowest: float | None  # bounds of a masking one; None for another
    highest: float | None

    @property
    def is_of_completions(self) -> bool:
        """True if all tokens of a completion weigh the same, by the product of their ratios."""
        return self.kind.startswith("sequence")


def correction_from(settings: Mapping[str, Any]) -> Correction | None:
    """Read the correction; None for `none`. Raises ValueError."""
    kind: str = one_of(settings, "rollout_correction", CORRECTIONS)
    bounds = {end: settings[f"rollout_weight_{end}"] for end in BOUNDS}
    for end, kinds in BOUNDS.items():
        bounds[end] = positive_number(settings, f"rollout_weight_{end}") if kind in kinds else None
    correction = Correction(kind=kind, **bounds)
    if correction.lowest is not None and correction.highest is not None and correction.lowest >= correction.highest:
        raise ValueError(
            f"rollout_weight_lowest must be below rollout_weight_highest, {correction.highest:g}; "
            f"got {correction.lowest:g}"
        )
    return None if kind == NONE else correction


def token_weights(log_w_NT: "Tensor", mask_NT: "Tensor", correction: Correction) -> "Tensor":
    """The weight of each token, [N, T], from log w; 0 on padding."""
    log_w_NT = (log_w_NT * mask_NT).double() if correction.is_of_completions else log_w_NT * mask_NT
    if correction.is_of_completions:
        log_w_NT = log_w_NT.sum(dim=1, keepdim=True).expand_as(mask_NT)
    w_NT = log_w_NT.clamp(-LARGEST_LOG_WEIGHT, LARGEST_LOG_WEIGHT).exp().to(mask_NT.dtype)
    if correction.kind == RECOMPUTED:
        w_NT = w_NT.new_ones(()).expand_as(mask_NT)
    if correction.cap is not None:
        w_NT = w_NT.clamp(max=correction.cap)
    if correction.lowest is not None and correction.highest is not None:
        w_NT = w_NT.where((w_NT >= correction.lowest) & (w_NT <= correction.highest), 0)
    return w_NT * mask_NT


def mismatch_readings(
    log_w_NT: "Tensor",
    mask_NT: "Tensor",
    correction: Correction | None = None,
    weights_NT: "Tensor | None" = None,
) -> dict[str, float]:
    """How far π_sampled is from π_start, over the tokens of a step, and what the weights leave of them.

    `rollout_kl`: KL(π_sampled ‖ π_start) in nats a token, by k3. `rollout_chi2` and `rollout_sequence_chi2`: the mean
    of w² less 1, over tokens and, of the products, over completions. `rollout_masked`: the share of tokens of weight 0
    or at the cap. `rollout_effective_samples`: (Σ weight)² / (n Σ weight²), 1 where all weigh the same.
    """
    tokens = mask_NT.sum()
    log_w_NT = (log_w_NT * mask_NT).double()
    sequence_N = log_w_NT.sum(dim=1).clamp(max=LARGEST_LOG_WEIGHT)
    readings = {
        "rollout_kl": ((log_w_NT.exp() - log_w_NT - 1) * mask_NT).sum() / tokens,
        "rollout_chi2": ((2 * log_w_NT).exp() * mask_NT).sum() / tokens - 1,
        "rollout_sequence_chi2": (2 * sequence_N).exp().mean() - 1,
    }
    if weights_NT is not None and correction is not None:
        w_NT = weights_NT.double()
        squares = (w_NT**2).sum()
        readings["rollout_effective_samples"] = w_NT.sum() ** 2 / (tokens * squares) if squares > 0 else squares
        if correction.kind in (*TRUNCATED, *MASKED):
            bound = 0.0 if correction.cap is None else correction.cap
            readings["rollout_masked"] = ((w_NT == bound) & (mask_NT > 0)).sum() / tokens
    return {name: float(value) for name, value in readings.items()}
