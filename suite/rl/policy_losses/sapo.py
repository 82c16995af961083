"""SAPO (arXiv 2511.20347): a gate in place of a clip, −A · σ(τ(ρ − 1)) · 4/τ, with a τ of its own where A > 0.

Its slope by log π is −A · ρ · 4σ(1 − σ): that of REINFORCE on policy, and fading as ρ leaves 1 without ever being cut.
The larger τ of bad tokens lets theirs fade faster. Nothing is clipped, so that nothing is counted as clipped.
"""

import torch
from torch import Tensor

from suite.rl.losses import PolicyTerm
from suite.rl.objective import Objective


def token_losses(
    log_p_NT: Tensor, log_p_old_NT: Tensor, advantages_NT: Tensor, mask_NT: Tensor, objective: Objective
) -> PolicyTerm:
    """SAPO's loss a token, −A · σ(τ(ρ − 1)) · 4/τ with ρ = π / π_old; 0 on padding. τ is sapo_tau_pos where A > 0."""
    assert objective.sapo_tau_pos is not None
    assert objective.sapo_tau_neg is not None
    seen_NT = mask_NT > 0
    advantages_NT = torch.where(seen_NT, advantages_NT, 0)
    ratio_NT = torch.where(seen_NT, log_p_NT - log_p_old_NT, 0).exp()
    tau_NT = torch.full_like(advantages_NT, objective.sapo_tau_neg).masked_fill(
        advantages_NT > 0, objective.sapo_tau_pos
    )
    gate_NT = torch.sigmoid(tau_NT * (ratio_NT - 1)) * 4 / tau_NT
    nowhere_NT = torch.zeros_like(advantages_NT)
    return PolicyTerm(loss_NT=-advantages_NT * gate_NT, clipped_low_NT=nowhere_NT, clipped_high_NT=nowhere_NT)
