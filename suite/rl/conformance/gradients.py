"""Expected gradients by enumeration, of estimators, aggregations, policy losses and divergences: every draw of a group
with its probability, the code's slopes for it, and the policy's own derivative in closed form.

The expectation over all draws is exact, so an unbiased estimator has no bias here, not a small one.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from suite.rl.advantages import Estimated, Estimator, Scored
from suite.rl.conformance import problems
from suite.rl.conformance.cases import Ledger, objective
from suite.rl.conformance.problems import EnumeratedProblem, Table, another_policy, one_choice, short_sequences
from suite.rl.conformance.production import Completion, batch_of, differentiate_draws
from suite.rl.losses import kl_estimates
from suite.rl.objective import AGGREGATIONS, KL_TYPES, Objective
from suite.rl.registry import ESTIMATORS, POLICY_LOSSES

Row = NDArray[np.float64]
GROUP_SIZE = 4
KL_COEF = 0.1
OPEN_GATE = {"sapo_tau_pos": 1e-7, "sapo_tau_neg": 1e-7}
"""SAPO's gate so wide that its slope is the ratio's: it has no clip to be without."""
UNBIASED = {"k1": "on policy", "k3": "on policy", "k3_unbiased": "always"}
"""Estimates whose values have no bias there."""
EXACT_IN_THE_LOSS = {"k2": "on policy", "k3_unbiased": "always"}


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Every group that can be drawn, without regard to order, and its probability under the policy that sampled."""

    problem: EnumeratedProblem
    groups: Sequence[tuple[int, ...]]
    """Indices of paths."""
    weights: Sequence[float]
    scores: Sequence[Sequence[Table]]
    """The derivative of each token's log π, path by path."""

    @classmethod
    def of(cls, problem: EnumeratedProblem, size: int) -> "Draws":
        groups = list(itertools.combinations_with_replacement(range(len(problem.paths)), size))
        chances = [problems.probability(path, problem.sampled_SK) for path in problem.paths]
        return cls(
            problem=problem,
            groups=groups,
            weights=[_orders(group) * math.prod(chances[path] for path in group) for group in groups],
            scores=[[problems.score(s, k, problem.policy_SK) for s, k in path] for path in problem.paths],
        )

    def completions(self, group: Sequence[int], values: Sequence[float]) -> list[Completion]:
        return [completion_of(self.problem, path, values) for path in group]

    def gradient(self, group: Sequence[int], slopes: Sequence[Sequence[float]]) -> Table:
        """Return the direction in which a group's loss falls, over the policy's logits."""
        total = np.zeros_like(self.problem.policy_SK)
        for path, row in zip(group, slopes, strict=True):
            for slope, score in zip(row, self.scores[path], strict=False):  # padding lies on the right
                total -= slope * score
        return total


@dataclass(frozen=True, kw_only=True)
class Moments:
    """The first two moments of a gradient."""

    mean: Row
    variance: float
    """Summed over the parameters."""


def check_gradients(ledger: Ledger, seed: int, device: torch.device) -> None:
    problem = short_sequences(seed)
    draws = Draws.of(problem, GROUP_SIZE)
    _check_estimators(ledger, draws, device)
    # An unbiased estimator: what remains is what a mode's divisor does to completions of other lengths.
    exact = {"seq-mean-token-sum": 1.0, "seq-mean-token-sum-norm": 1 / draws.problem.longest}
    for mode in AGGREGATIONS:
        wanted = _priced(draws.problem, adv_estimator="rloo", loss_agg_mode=mode)
        _check(ledger, f"aggregation {mode}", draws, wanted, device, factor=exact.get(mode))
    _check_policy_losses(ledger, seed, device)


def _check_estimators(ledger: Ledger, draws: Draws, device: torch.device) -> None:
    """Compare with the gradient of the reward less the KL's price. The sum over a completion's tokens is what the
    policy-gradient theorem asks for, so only the estimator is judged here."""
    problem, share = draws.problem, (GROUP_SIZE - 1) / GROUP_SIZE
    perfect = problems.exact_values(problem, KL_COEF)
    of_grpo = {"adv_estimator": "grpo"}
    for name, settings, factor in (
        ("rloo", {"adv_estimator": "rloo"}, 1.0),
        ("grpo scale_rewards=none", of_grpo | {"scale_rewards": "none"}, share),
        ("grpo scale_rewards=group", of_grpo, None),
        ("reinforce_plus_plus", {"adv_estimator": "reinforce_plus_plus"}, None),
        ("reinforce_plus_plus_baseline", {"adv_estimator": "reinforce_plus_plus_baseline"}, None),
        ("gae lam=1", {"adv_estimator": "gae", "lam": 1.0}, None),
        ("gae lam=0.95", {"adv_estimator": "gae", "lam": 0.95}, None),
        ("gae lam=0.95 critic_lam=1", {"adv_estimator": "gae", "lam": 0.95, "critic_lam": 1.0}, None),
        ("gae lam_alpha=0.4", {"adv_estimator": "gae", "lam_alpha": 0.4}, None),
    ):
        _check(ledger, f"estimator {name}", draws, _priced(problem, **settings), device, factor=factor)
    _check_gdpo(ledger, draws, device)
    _check_maxrl(ledger, draws, device)
    for name, lam, values, factor in (
        ("lam=1", {"lam": 1.0}, problem.values_S, 1.0),
        ("lam=0.95", {"lam": 0.95}, problem.values_S, None),
        ("lam=0.95 with a perfect critic", {"lam": 0.95}, perfect, 1.0),
        ("lam_alpha=0.4 with a perfect critic", {"lam_alpha": 0.4}, perfect, None),  # a length is known too late
    ):
        _check(
            ledger,
            f"estimator gae {name}, before whitening",
            draws,
            _priced(problem, adv_estimator="gae", **lam),
            device,
            factor=factor,
            values=values,
            estimate=_gae_before_whitening,
        )


def _check_gdpo(ledger: Ledger, draws: Draws, device: torch.device) -> None:
    """Compare with the gradient of the sum of the weighed parts, which GDPO does not follow."""
    wanted = objective(
        draws.problem.longest, adv_estimator="gdpo", format_weight=0.5, loss_agg_mode="seq-mean-token-sum"
    )
    rewarded = draws.problem.rewarded(draws.problem.parts, wanted.reward_weights)
    _check(ledger, "estimator gdpo", dataclasses.replace(draws, problem=rewarded), wanted, device)


def _check_maxrl(ledger: Ledger, draws: Draws, device: torch.device) -> None:
    """Check rewards of 0 and 1, of which the expectation is known in closed form: it is the true gradient, longer the
    smaller the chance of a 1 is."""
    problem = dataclasses.replace(draws.problem, rewards=[0.0, 1.0, 0.0, 1.0])
    success = sum(problems.probability(problem.paths[path], problem.policy_SK) for path in (1, 3))
    wanted = objective(problem.longest, adv_estimator="maxrl", loss_agg_mode="seq-mean-token-sum")
    factor = likelihood_factor(success, GROUP_SIZE)
    _check(ledger, "estimator maxrl", dataclasses.replace(draws, problem=problem), wanted, device, factor=factor)


def likelihood_factor(success: float, draws: int) -> float:
    """How much longer MaxRL's expected gradient is than that of a chance of success, which it has the direction of:
    the series of log's derivative, 1/p = Σ (1 − p)^k, as far as a group of so many draws goes."""
    return sum((1 - success) ** k for k in range(draws - 1))


def _check_policy_losses(ledger: Ledger, seed: int, device: torch.device) -> None:
    """Check a loss whose rollouts another policy sampled: with one token and no clip the ratio makes up for it,
    exactly. With more tokens, and with a clip, it does not."""
    choice, sequences = one_choice(seed), short_sequences(seed)
    single = Draws.of(choice.off_policy(another_policy(choice, seed)), 2)
    several = Draws.of(sequences.off_policy(another_policy(sequences, seed)), GROUP_SIZE)
    for name in POLICY_LOSSES.names:
        wide = {"policy_loss": name, "clip_ratio_low": 1.0, "clip_ratio_high": 1e6, **OPEN_GATE}
        clipped = {"policy_loss": name, "clip_ratio_low": 0.2, "clip_ratio_high": 0.3}
        loss = {"adv_estimator": "rloo", "loss_agg_mode": "seq-mean-token-sum"}
        span = f"policy_loss {name}"
        _check(ledger, f"{span}, one token, no clip", single, objective(1, **loss, **wide), device, factor=1.0)
        _check(ledger, f"{span}, one token", single, objective(1, **loss, **clipped), device)
        _check(ledger, f"{span}, three tokens", several, objective(sequences.longest, **loss, **clipped), device)


def _priced(problem: EnumeratedProblem, **changes: object) -> Objective:
    price = {"kl_type": "k1", "kl_coef": KL_COEF, "use_kl_in_reward": True}
    return objective(problem.longest, **{"loss_agg_mode": "seq-mean-token-sum", **price, **changes})


def _check(
    ledger: Ledger,
    span: str,
    draws: Draws,
    objective: Objective,
    device: torch.device,
    *,
    factor: float | None = None,
    values: Sequence[float] | None = None,
    estimate: Estimator | None = None,
) -> None:
    """Note a comparison of the code's expected gradient with the true one, which it must be, times the factor if there
    is one."""
    values = draws.problem.values_S if values is None else values
    moments, clipped = enumerated(
        draws, objective, values, device, estimate or ESTIMATORS.load(objective.adv_estimator)
    )
    price = objective.kl_coef if objective.use_kl_in_reward else 0.0
    true = problems.reward_gradient(draws.problem, price).ravel()
    ledger.note(span, **against(moments, true))
    if clipped:
        ledger.note(span, clip_fraction_low=clipped[0], clip_fraction_high=clipped[1])
    if factor is not None:
        unbiased = float(np.abs(moments.mean - factor * true).max()) / float(np.abs(true).max())
        ledger.expect(span, f"{factor:.3g} times the true gradient", unbiased)


def enumerated(
    draws: Draws, objective: Objective, values: Sequence[float], device: torch.device, estimate: Estimator
) -> tuple[Moments, tuple[float, float] | None]:
    """Return the moments of the code's gradient over all draws, and the expected share of clipped tokens where any is
    clipped."""
    size, weights = len(draws.groups[0]), np.array(draws.weights)
    completions = [completion for group in draws.groups for completion in draws.completions(group, values)]
    slopes_NT, clipped = differentiate_draws(batch_of(completions, objective, device), objective, size, estimate)
    rows = slopes_NT.tolist()
    gradients = [
        draws.gradient(group, rows[start : start + size]).ravel()
        for group, start in zip(draws.groups, range(0, len(rows), size), strict=True)
    ]
    low, high = (float(weights @ np.array(shares)) for shares in clipped)
    return moments_of(np.array(gradients), weights), (low, high) if low or high else None


def completion_of(problem: EnumeratedProblem, path: int, values: Sequence[float]) -> Completion:
    """A path of a problem, in group 0."""
    tokens = problem.paths[path]
    old, reference = ([table[s][k] for s, k in tokens] for table in (problem.sampled_SK, problem.reference_SK))
    return Completion(
        reward=problem.rewards[path],
        parts=problem.parts[path] if problem.parts else (),
        group=0,
        log_p=[problem.policy_SK[s][k] for s, k in tokens],
        log_old=old,
        log_reference=reference,
        values=[values[s] for s, _ in tokens],
    )


def moments_of(gradients_DP: NDArray[np.float64], weights_D: Row) -> Moments:
    mean: Row = weights_D @ gradients_DP
    return Moments(mean=mean, variance=float(weights_D @ ((gradients_DP - mean) ** 2).sum(axis=1)))


def against(moments: Moments, true: Row) -> dict[str, float]:
    """Compare an expected gradient with the true one. Without a gradient there is no cosine."""
    size, got = float(np.linalg.norm(true)), float(np.linalg.norm(moments.mean))
    numbers = {
        "gradient_norm_ratio": got / size,
        "gradient_bias": float(np.linalg.norm(moments.mean - true)) / size,
        "gradient_variance": moments.variance / size**2,
    }
    return numbers if got < 1e-12 * size else {**numbers, "gradient_cosine": float(moments.mean @ true) / got / size}


def _gae_before_whitening(scored: Scored, objective: Objective) -> Estimated:
    """Estimate as the returns say: A + V less V."""
    estimated = ESTIMATORS.load("gae")(scored, objective)
    assert estimated.returns_NT is not None
    assert scored.values_NT is not None
    raw_NT = estimated.returns_NT - torch.where(scored.mask_NT > 0, scored.values_NT, 0)
    return Estimated(advantages_NT=raw_NT, returns_NT=estimated.returns_NT)


def _orders(group: Sequence[int]) -> int:
    """Count the orders in which a group can be drawn."""
    return math.factorial(len(group)) // math.prod(math.factorial(group.count(path)) for path in set(group))


def check_divergences(ledger: Ledger, seed: int, device: torch.device) -> None:
    problem = one_choice(seed)
    other = problem.off_policy(another_policy(problem, seed))
    true = problems.divergence(problem.policy_SK[0].tolist(), problem.reference_SK[0].tolist())
    ledger.note("kl", true_value=true)
    for kl_type in KL_TYPES:
        _check_in_the_loss(ledger, problem, kl_type, device, where="on policy")
        _check_in_the_loss(ledger, other, kl_type, device, where="off policy")
        if kl_type != "k3_unbiased":  # which is a loss
            _check_in_the_reward(ledger, problem, kl_type, device)


def _check_in_the_loss(
    ledger: Ledger, problem: EnumeratedProblem, kl_type: str, device: torch.device, *, where: str
) -> None:
    p, q, old = (table[0].tolist() for table in (problem.policy_SK, problem.reference_SK, problem.sampled_SK))
    log_p, log_reference, log_old = (
        torch.tensor(row, dtype=torch.float64, device=device)[:, None] for row in (p, q, old)
    )
    log_p.requires_grad_()
    values_NT = kl_estimates(log_p, log_reference, kl_type, log_old)
    (slopes_NT,) = torch.autograd.grad(values_NT.sum(), log_p)
    values, slopes = (np.array(part[:, 0].tolist()) for part in (values_NT, slopes_NT))
    weights = np.exp(problem.sampled_SK[0])
    scores_KK = np.array([problems.score(0, choice, problem.policy_SK)[0] for choice in range(len(p))])
    span = f"kl {kl_type} in the loss, {where}"
    true, gradient = problems.divergence(p, q), np.array(problems.divergence_gradient(p, q))
    mean = float(weights @ values)
    moments = moments_of(slopes[:, None] * scores_KK, weights)
    ledger.note(span, value_bias=mean - true, value_variance=float(weights @ (values - mean) ** 2))
    ledger.note(span, **against(moments, gradient))

    size = float(np.abs(gradient).max())
    if UNBIASED.get(kl_type) in (where, "always"):
        ledger.expect(span, "the mean of the estimates", abs(mean - true))
    if EXACT_IN_THE_LOSS.get(kl_type) in (where, "always"):
        ledger.expect(span, "the divergence's gradient", float(np.abs(moments.mean - gradient).max()) / size)
    if where == "on policy" and kl_type == "k1":
        ledger.expect(span, "no gradient at all", float(np.abs(moments.mean).max()) / size)
    if where == "on policy" and kl_type == "k3":
        reverse = np.array(problems.reverse_divergence_gradient(p, q))
        ledger.expect(span, "the reverse divergence's gradient", float(np.abs(moments.mean - reverse).max()) / size)


def _check_in_the_reward(ledger: Ledger, problem: EnumeratedProblem, kl_type: str, device: torch.device) -> None:
    """Check the divergence as the only reward, by pairs that leave one out: an unbiased estimator of whatever the
    reward's gradient is."""
    p, q = (table[0].tolist() for table in (problem.policy_SK, problem.reference_SK))
    without = dataclasses.replace(problem, rewards=[0.0] * len(p))
    settings = {"adv_estimator": "rloo", "kl_type": kl_type, "kl_coef": 1.0, "use_kl_in_reward": True}
    wanted = objective(1, loss_agg_mode="seq-mean-token-sum", **settings)
    moments, _ = enumerated(Draws.of(without, 2), wanted, problem.values_S, device, ESTIMATORS.load("rloo"))
    gradient = -np.array(problems.divergence_gradient(p, q))
    span, size = f"kl {kl_type} in the reward", float(np.abs(gradient).max())
    ledger.note(span, **against(moments, gradient))
    if kl_type == "k1":
        ledger.expect(span, "the divergence's gradient", float(np.abs(moments.mean - gradient).max()) / size)
