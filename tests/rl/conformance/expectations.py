"""Are the estimators what they say? Expected gradients by enumeration in place of a training run, in a second or two.

Every draw of a group is taken with its probability, the code's slopes for it, and the policy's own derivative in closed
form. The expectation over all draws is exact, so an unbiased estimator has no bias here, not a small one.

Everything is computed by the functions that training calls. Known biases are numbers to read, such as k3's in the loss;
an unbiased estimator that has one breaks an expectation. checks.py holds each formula, token by token, to plain Python,
and tests that padding, micro-batches and order do not matter.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from suite.rl.advantages import Estimated, Estimator, Scored
from suite.rl.losses import kl_estimates
from suite.rl.objective import AGGREGATIONS, KL_TYPES, Objective
from suite.rl.registry import ESTIMATORS, POLICY_LOSSES
from tests.rl.conformance import problems
from tests.rl.conformance.checks import batch_of, differentiate, objective
from tests.rl.conformance.oracle import Completion
from tests.rl.conformance.problems import EnumeratedProblem, another_policy, one_choice, short_sequences

Row = NDArray[np.float64]
ALLOWED = 1e-12  # float64 sums of some hundred terms differ by 1e-15; a wrong formula differs by 1e-8 at the least
GROUP_SIZE = 4
KL_COEF = 0.1
OPEN_GATE = {"sapo_tau_pos": 1e-7, "sapo_tau_neg": 1e-7}
"""SAPO's gate so wide that its slope is the ratio's: it has no clip to be without."""
UNBIASED = {"k1": "on policy", "k3": "on policy", "k3_unbiased": "always"}  # estimates whose values have no bias there
EXACT_IN_THE_LOSS = {"k2": "on policy", "k3_unbiased": "always"}


class Expectations:
    """Numbers by span and quantity, and a sentence for each expectation that they break."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[str, str], float] = {}
        self.broken: list[str] = []

    def note(self, span: str, **numbers: float) -> None:
        self.numbers |= {(span, quantity): number for quantity, number in numbers.items()}

    def expect(self, span: str, quantity: str, difference: float) -> None:
        if not difference <= ALLOWED:  # NaN is broken too
            self.broken.append(f"{span}: {quantity} is off by {difference:.3g}")


def enumerate_expectations(seed: int) -> Expectations:
    """Enumerate all divergences and gradients of the problems that are drawn from a seed."""
    expectations = Expectations()
    check_divergences(expectations, seed)
    check_gradients(expectations, seed)
    return expectations


class Draws:
    """Every group that can be drawn, without regard to order, and its probability under the policy that sampled."""

    def __init__(self, problem: EnumeratedProblem, size: int) -> None:
        def count_orders(group: Sequence[int]) -> int:
            """Number of orders in which this group can be drawn."""
            return math.factorial(size) // math.prod(math.factorial(group.count(path)) for path in set(group))

        self.problem = problem
        self.groups = list(itertools.combinations_with_replacement(range(len(problem.paths)), size))
        chances = [problems.probability(path, problem.sampled_SK) for path in problem.paths]
        self.weights_D = np.array(
            [count_orders(group) * math.prod(chances[path] for path in group) for group in self.groups]
        )


def check_gradients(expectations: Expectations, seed: int) -> None:
    """Note expected gradients of estimators, aggregations and policy losses; those with a factor must equal the true
    gradient times it."""
    problem = short_sequences(seed)
    draws, check = Draws(problem, GROUP_SIZE), functools.partial(_check_gradient, expectations)
    _check_estimators(check, draws)
    # An unbiased estimator: what remains is what a mode's divisor does to completions of other lengths.
    exact = {"seq-mean-token-sum": 1.0, "seq-mean-token-sum-norm": 1 / problem.longest}
    for mode in AGGREGATIONS:
        priced = _objective_with_kl_price(problem, adv_estimator="rloo", loss_agg_mode=mode)
        check(f"aggregation {mode}", draws, priced, factor=exact.get(mode))
    _check_policy_losses(check, seed)


def _check_estimators(check: Any, draws: Draws) -> None:
    """Check each estimator against the gradient of the reward less the KL's price. The sum over a completion's tokens
    is what the policy-gradient theorem asks for, so only the estimator is judged here."""
    problem = draws.problem
    for name, settings, factor in (
        ("rloo", {}, 1.0),
        ("grpo scale_rewards=none", {"scale_rewards": "none"}, (GROUP_SIZE - 1) / GROUP_SIZE),
        ("grpo scale_rewards=group", {}, None),
        ("reinforce_plus_plus", {}, None),
        ("reinforce_plus_plus_baseline", {}, None),
        ("gae lam=1", {"lam": 1.0}, None),
        ("gae lam=0.95", {"lam": 0.95}, None),
        ("gae lam=0.95 critic_lam=1", {"lam": 0.95, "critic_lam": 1.0}, None),
        ("gae lam_alpha=0.4", {"lam_alpha": 0.4}, None),
    ):
        priced = _objective_with_kl_price(problem, adv_estimator=name.split()[0], **settings)
        check(f"estimator {name}", draws, priced, factor=factor)

    # GDPO does not follow the gradient of the sum of the weighed parts, which it is compared with.
    gdpo = objective(problem.longest, adv_estimator="gdpo", format_weight=0.5, loss_agg_mode="seq-mean-token-sum")
    rewards = [sum(w * part for w, part in zip(gdpo.reward_weights, parts, strict=True)) for parts in problem.parts]
    check("estimator gdpo", Draws(replace(problem, rewards=rewards), GROUP_SIZE), gdpo)

    # With rewards of 0 and 1 MaxRL's expectation has a closed form: the true gradient, longer the rarer a 1 is.
    binary = replace(problem, rewards=[0.0, 1.0, 0.0, 1.0])
    success = sum(problems.probability(problem.paths[path], problem.policy_SK) for path in (1, 3))
    maxrl = objective(problem.longest, adv_estimator="maxrl", loss_agg_mode="seq-mean-token-sum")
    check("estimator maxrl", Draws(binary, GROUP_SIZE), maxrl, factor=likelihood_factor(success, GROUP_SIZE))

    perfect = problems.exact_values(problem, KL_COEF)
    for name, lam, values, factor in (
        ("lam=1", {"lam": 1.0}, None, 1.0),
        ("lam=0.95", {"lam": 0.95}, None, None),
        ("lam=0.95 with a perfect critic", {"lam": 0.95}, perfect, 1.0),
        ("lam_alpha=0.4 with a perfect critic", {"lam_alpha": 0.4}, perfect, None),  # a length is known too late
    ):
        gae = _objective_with_kl_price(problem, adv_estimator="gae", **lam)
        span = f"estimator gae {name}, before whitening"
        check(span, draws, gae, factor=factor, values_S=values, estimate=_gae_before_whitening)


def likelihood_factor(success: float, group_size: int) -> float:
    """Length of MaxRL's expected gradient, as a multiple of the gradient of the chance of success: Σ (1 − p)^k for k <
    G − 1. This is the series of 1/p, log's derivative, as far as a group of G completions goes."""
    return sum((1 - success) ** k for k in range(group_size - 1))


def _check_policy_losses(check: Any, seed: int) -> None:
    """Check the losses of completions that another policy sampled. With one token and no clip the ratio makes up for
    that exactly."""
    choice = one_choice(seed)
    single = Draws(replace(choice, sampled_SK=another_policy(choice, seed)), 2)
    for name in POLICY_LOSSES.names:
        loss = {"policy_loss": name, "adv_estimator": "rloo", "loss_agg_mode": "seq-mean-token-sum"}
        wide = {**loss, "clip_ratio_low": 1.0, "clip_ratio_high": 1e6, **OPEN_GATE}
        check(f"policy_loss {name}, one token, no clip", single, objective(1, **wide), factor=1.0)


def _objective_with_kl_price(problem: EnumeratedProblem, **changes: object) -> Objective:
    """The objective with k1 as a price in the reward, summed over a completion's tokens, and these changes."""
    price = {"kl_type": "k1", "kl_coef": KL_COEF, "use_kl_in_reward": True}
    return objective(problem.longest, **{"loss_agg_mode": "seq-mean-token-sum", **price, **changes})


def _check_gradient(
    expectations: Expectations,
    span: str,
    draws: Draws,
    objective: Objective,
    *,
    factor: float | None = None,
    values_S: Sequence[float] | None = None,
    estimate: Estimator | None = None,
) -> None:
    """Note the code's expected gradient beside the true one, which it must equal `factor` times if given."""
    mean = expected_gradient(draws, objective, values_S=values_S, estimate=estimate)
    price = objective.kl_coef if objective.use_kl_in_reward else 0.0
    true = problems.reward_gradient(draws.problem, price).ravel()
    expectations.note(span, **_gradient_readings(mean, true))
    if factor is not None:
        bias = float(np.abs(mean - factor * true).max()) / float(np.abs(true).max())
        expectations.expect(span, f"{factor:.3g} times the true gradient", bias)


def expected_gradient(
    draws: Draws,
    objective: Objective,
    *,
    values_S: Sequence[float] | None = None,
    estimate: Estimator | None = None,
) -> Row:
    """Mean of the code's gradient over all draws.

    Every draw is a minibatch by itself, in estimator and divisors. `values_S` and `estimate` replace the problem's
    critic and the objective's estimator.
    """
    problem = draws.problem
    values_S = problem.values_S if values_S is None else values_S
    completions = [
        Completion(
            reward=problem.rewards[number],
            group=0,
            log_p=[problem.policy_SK[s][k] for s, k in path],
            log_old=[problem.sampled_SK[s][k] for s, k in path],
            log_reference=[problem.reference_SK[s][k] for s, k in path],
            values=[values_S[s] for s, _ in path],
            price=[],
            parts=problem.parts[number] if problem.parts else [],
        )
        for number, path in enumerate(problem.paths)
    ]
    # The chain rule from each token's log π to the policy's logits; a loss falls against its gradient.
    scores = [[problems.score(s, k, problem.policy_SK) for s, k in path] for path in problem.paths]
    gradients_DSK = np.zeros((len(draws.groups), *problem.policy_SK.shape))
    for gradient_SK, group in zip(gradients_DSK, draws.groups, strict=True):
        batch = batch_of([completions[path] for path in group], objective)
        slopes_GT = differentiate(batch, objective, estimate=estimate)["slopes"]
        for path, slopes_T in zip(group, slopes_GT.tolist(), strict=True):
            for slope, score_SK in zip(slopes_T, scores[path], strict=False):  # padding lies on the right
                gradient_SK -= slope * score_SK
    mean: Row = draws.weights_D @ gradients_DSK.reshape(len(draws.groups), -1)
    return mean


def _gradient_readings(mean: Row, true: Row) -> dict[str, float]:
    """Length and bias of a mean gradient relative to the true one, which must not be 0.

    Their cosine too, unless the mean is 0.
    """
    size, mean_size = float(np.linalg.norm(true)), float(np.linalg.norm(mean))
    numbers = {
        "gradient_norm_ratio": mean_size / size,
        "gradient_bias": float(np.linalg.norm(mean - true)) / size,
    }
    if mean_size >= 1e-12 * size:  # without a gradient there is no direction
        numbers["gradient_cosine"] = float(mean @ true) / mean_size / size
    return numbers


def _gae_before_whitening(scored: Scored, objective: Objective) -> Estimated:
    """GAE's advantages without whitening, taken from the returns: (A + V) − V."""
    estimated = ESTIMATORS.load("gae")(scored, objective)
    assert estimated.returns_NT is not None
    assert scored.values_NT is not None
    raw_NT = estimated.returns_NT - torch.where(scored.mask_NT > 0, scored.values_NT, 0)
    return Estimated(advantages_NT=raw_NT, returns_NT=estimated.returns_NT)


def check_divergences(expectations: Expectations, seed: int) -> None:
    """Check all estimates of KL, in the loss on and off policy and in the reward, against enumerated divergences."""
    problem = one_choice(seed)
    off_policy = replace(problem, sampled_SK=another_policy(problem, seed))
    expectations.note(
        "kl", true_value=problems.divergence(problem.policy_SK[0].tolist(), problem.reference_SK[0].tolist())
    )
    for kl_type in KL_TYPES:
        _check_in_the_loss(expectations, problem, kl_type, where="on policy")
        _check_in_the_loss(expectations, off_policy, kl_type, where="off policy")
        if kl_type != "k3_unbiased":  # which is a loss
            _check_in_the_reward(expectations, problem, kl_type)


def _check_in_the_loss(expectations: Expectations, problem: EnumeratedProblem, kl_type: str, *, where: str) -> None:
    """Check an estimate's value and its gradient as a term of the loss. `where`: "on policy" or "off policy"."""
    p, q, old = (table[0].tolist() for table in (problem.policy_SK, problem.reference_SK, problem.sampled_SK))
    log_p, log_reference, log_old = (torch.tensor(row, dtype=torch.float64)[:, None] for row in (p, q, old))
    log_p.requires_grad_()
    values_NT = kl_estimates(log_p, log_reference, kl_type, log_old)
    (slopes_NT,) = torch.autograd.grad(values_NT.sum(), log_p)
    values, slopes = (np.array(part[:, 0].tolist()) for part in (values_NT, slopes_NT))
    weights = np.exp(problem.sampled_SK[0])
    scores_KK = np.array([problems.score(0, choice, problem.policy_SK)[0] for choice in range(len(p))])
    true, true_gradient = problems.divergence(p, q), np.array(problems.divergence_gradient(p, q))
    mean_value = float(weights @ values)
    mean = weights @ (slopes[:, None] * scores_KK)
    span = f"kl {kl_type} in the loss, {where}"
    expectations.note(span, **_gradient_readings(mean, true_gradient))

    size = float(np.abs(true_gradient).max())
    if UNBIASED.get(kl_type) in (where, "always"):
        expectations.expect(span, "the mean of the estimates", abs(mean_value - true))
    if EXACT_IN_THE_LOSS.get(kl_type) in (where, "always"):
        expectations.expect(span, "the divergence's gradient", float(np.abs(mean - true_gradient).max()) / size)
    if where == "on policy" and kl_type == "k1":
        expectations.expect(span, "no gradient at all", float(np.abs(mean).max()) / size)
    if where == "on policy" and kl_type == "k3":
        reverse = np.array(problems.reverse_divergence_gradient(p, q))
        expectations.expect(span, "the reverse divergence's gradient", float(np.abs(mean - reverse).max()) / size)


def _check_in_the_reward(expectations: Expectations, problem: EnumeratedProblem, kl_type: str) -> None:
    """Check the gradient of an estimate that is the only reward, by leave-one-out pairs, which add no bias."""
    p, q = (table[0].tolist() for table in (problem.policy_SK, problem.reference_SK))
    settings = {"adv_estimator": "rloo", "kl_type": kl_type, "kl_coef": 1.0, "use_kl_in_reward": True}
    price_alone = objective(1, loss_agg_mode="seq-mean-token-sum", **settings)
    mean = expected_gradient(Draws(replace(problem, rewards=[0.0] * len(p)), 2), price_alone)
    true_gradient = -np.array(problems.divergence_gradient(p, q))
    span, size = f"kl {kl_type} in the reward", float(np.abs(true_gradient).max())
    expectations.note(span, **_gradient_readings(mean, true_gradient))
    if kl_type == "k1":
        expectations.expect(span, "the divergence's gradient", float(np.abs(mean - true_gradient).max()) / size)
