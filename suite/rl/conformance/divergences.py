"""The estimates of the divergence, over one choice of seven: bias and variance of their values, and the gradient that
they give in the loss and in the reward, on the policy that sampled and on another."""

import dataclasses

import numpy as np
import torch

from suite.rl.conformance import oracle
from suite.rl.conformance.cases import objective
from suite.rl.conformance.gradients import Draws, against, enumerated, moments_of
from suite.rl.conformance.ledger import Ledger
from suite.rl.conformance.problems import Problem, another_policy, one_choice
from suite.rl.divergence import kl_estimates
from suite.rl.named import estimator
from suite.rl.objective import KL_TYPES

UNBIASED = {"k1": "on policy", "k3": "on policy", "k3_unbiased": "always"}
"""Where an estimate's value has no bias."""
EXACT_IN_THE_LOSS = {"k2": "on policy", "k3_unbiased": "always"}


def check_divergences(ledger: Ledger, seed: int, device: torch.device) -> None:
    problem = one_choice(seed)
    other = problem.off_policy(another_policy(problem, seed))
    true = oracle.divergence(problem.policy_SK[0].tolist(), problem.reference_SK[0].tolist())
    ledger.note("kl", true_value=true)
    for kl_type in KL_TYPES:
        _check_in_the_loss(ledger, problem, kl_type, device, where="on policy")
        _check_in_the_loss(ledger, other, kl_type, device, where="off policy")
        if kl_type != "k3_unbiased":  # which is a loss
            _check_in_the_reward(ledger, problem, kl_type, device)


def _check_in_the_loss(ledger: Ledger, problem: Problem, kl_type: str, device: torch.device, *, where: str) -> None:
    p, q, old = (table[0].tolist() for table in (problem.policy_SK, problem.reference_SK, problem.sampled_SK))
    log_p, log_reference, log_old = (
        torch.tensor(row, dtype=torch.float64, device=device)[:, None] for row in (p, q, old)
    )
    log_p.requires_grad_()
    values_NT = kl_estimates(log_p, log_reference, kl_type, log_old)
    (slopes_NT,) = torch.autograd.grad(values_NT.sum(), log_p)
    values, slopes = (np.array(part[:, 0].tolist()) for part in (values_NT, slopes_NT))
    weights = np.exp(problem.sampled_SK[0])
    scores_KK = np.array([oracle.score(0, choice, problem.policy_SK)[0] for choice in range(len(p))])
    span = f"kl {kl_type} in the loss, {where}"
    true, gradient = oracle.divergence(p, q), np.array(oracle.divergence_gradient(p, q))
    mean = float(weights @ values)
    moments = moments_of(slopes[:, None] * scores_KK, weights)
    ledger.note(span, value_bias=mean - true, value_variance=float(weights @ (values - mean) ** 2))
    ledger.note(span, **against(moments, gradient))

    size = float(np.abs(gradient).max())
    by_formula = [oracle.kl_estimate(kl_type, *row) for row in zip(p, q, old, strict=True)]
    ledger.expect(span, "an estimate", float(np.abs(values - by_formula).max()))
    by_slope = weights @ (
        np.array([oracle.kl_slope(kl_type, *row) for row in zip(p, q, old, strict=True)])[:, None] * scores_KK
    )
    ledger.expect(span, "the expected gradient", float(np.abs(moments.mean - by_slope).max()) / size)
    if UNBIASED.get(kl_type) in (where, "always"):
        ledger.expect(span, "the mean of the estimates", abs(mean - true))
    if EXACT_IN_THE_LOSS.get(kl_type) in (where, "always"):
        ledger.expect(span, "the divergence's gradient", float(np.abs(moments.mean - gradient).max()) / size)
    if where == "on policy" and kl_type == "k1":
        ledger.expect(span, "no gradient at all", float(np.abs(moments.mean).max()) / size)
    if where == "on policy" and kl_type == "k3":
        reverse = np.array(oracle.reverse_divergence_gradient(p, q))
        ledger.expect(span, "the reverse divergence's gradient", float(np.abs(moments.mean - reverse).max()) / size)


def _check_in_the_reward(ledger: Ledger, problem: Problem, kl_type: str, device: torch.device) -> None:
    """As the only reward, by pairs that leave one out: an unbiased estimator of whatever the reward's gradient is."""
    p, q = (table[0].tolist() for table in (problem.policy_SK, problem.reference_SK))
    without = dataclasses.replace(problem, rewards=[0.0] * len(p))
    settings = {"adv_estimator": "rloo", "kl_type": kl_type, "kl_coef": 1.0, "use_kl_in_reward": True}
    wanted = objective(1, loss_agg_mode="seq-mean-token-sum", **settings)
    moments, _ = enumerated(Draws.of(without, 2), wanted, problem.values_S, device, estimator("rloo"))
    gradient = -np.array(oracle.divergence_gradient(p, q))
    span, size = f"kl {kl_type} in the reward", float(np.abs(gradient).max())
    ledger.note(span, **against(moments, gradient))
    by_formula = -sum(
        np.exp(a) * oracle.kl_estimate(kl_type, a, b, a) * oracle.score(0, choice, problem.policy_SK)[0]
        for choice, (a, b) in enumerate(zip(p, q, strict=True))
    )
    ledger.expect(span, "the expected gradient", float(np.abs(moments.mean - by_formula).max()) / size)
    if kl_type == "k1":
        ledger.expect(span, "the divergence's gradient", float(np.abs(moments.mean - gradient).max()) / size)
