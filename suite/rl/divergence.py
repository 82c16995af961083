"""Estimates of the divergence KL(π ‖ π_ref) at a token that π itself sampled, after Schulman's "Approximating KL
divergence" (2020), with d = log π_ref − log π.

An estimate whose value is unbiased need not have an unbiased gradient: the expectation is over π's own samples, and
its derivative has a term for their probabilities that an estimate in the loss leaves out. So in the loss k1 pulls
nowhere (its expected gradient is 0), k3 has the gradient of the other divergence, KL(π_ref ‖ π), k2 has KL's own, and
so has k3_unbiased, which brings the missing term as the ratio's gradient. `workload=rl_conformance` enumerates it all.
"""

import torch
from torch import Tensor

from suite.rl.objective import KL_TYPES


def kl_estimates(
    log_p_NT: Tensor, log_reference_NT: Tensor, kl_type: str, log_p_old_NT: Tensor | None = None
) -> Tensor:
    """One estimate a token, in nats. `log_p_old_NT` is that of the policy that sampled, for k3_unbiased alone; without
    it the sampling policy is taken to be this one. Padding is not looked at: its log-probabilities need only be finite.

    k3_unbiased is k3·ρ, ρ = π / π_old, with the gradient through ρ and without a clip: DeepSeek-V3.2 (arXiv
    2512.02556) eq. 7, and TRL 1.16 with use_bias_correction_kl, its default."""
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
