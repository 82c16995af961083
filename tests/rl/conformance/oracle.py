"""The truth, in plain Python: every formula once more, token by token, with nothing of the code under test.

Slow and literal on purpose.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

from suite.rl.conformance.production import Completion
from suite.rl.objective import Objective


def kl_estimate(kl_type: str, log_p: float, log_reference: float, log_old: float) -> float:
    """Estimate as Schulman does, whose r is π_ref / π."""
    ratio = math.exp(log_reference) / math.exp(log_p)
    k3 = (ratio - 1) - math.log(ratio)
    weight = math.exp(log_p) / math.exp(log_old)
    return {"k1": -math.log(ratio), "k2": math.log(ratio) ** 2 / 2, "k3": k3, "k3_unbiased": weight * k3}[kl_type]


def kl_slope(kl_type: str, log_p: float, log_reference: float, log_old: float) -> float:
    """Return the derivative of the estimate by log π."""
    ratio = math.exp(log_reference) / math.exp(log_p)
    k3, weight = (ratio - 1) - math.log(ratio), math.exp(log_p) / math.exp(log_old)
    slopes = {"k1": 1.0, "k2": -math.log(ratio), "k3": 1 - ratio, "k3_unbiased": weight * (1 - ratio) + weight * k3}
    return slopes[kl_type]


@dataclass(frozen=True, kw_only=True)
class PricedCompletion(Completion):
    """A completion with what its divergence costs."""

    kl: Sequence[float]
    """The price that each token's reward loses."""

    @property
    def token_rewards(self) -> list[float]:
        rewards = [-price for price in self.kl]
        if rewards:
            rewards[-1] += self.reward
        return rewards

    @property
    def total_reward(self) -> float:
        return self.reward - sum(self.kl)


Rows = list[list[float]]
DEVIATION_EPSILON, VARIANCE_EPSILON = 1e-6, 1e-8


@dataclass(frozen=True, kw_only=True)
class FormulaSettings:
    """The settings that a formula reads."""

    gamma: float = 1.0
    lam: float | None = 1.0
    critic_lam: float | None = None
    lam_alpha: float | None = None
    scale_rewards: str | None = "group"
    clip_ratio_low: float = math.inf
    clip_ratio_high: float = math.inf
    clip_ratio_c: float | None = None
    sapo_tau_pos: float | None = None
    sapo_tau_neg: float | None = None
    reward_weights: Sequence[float] = ()


def formula_settings(objective: Objective) -> FormulaSettings:
    """The settings of an objective that a formula reads."""
    return FormulaSettings(**{field.name: getattr(objective, field.name) for field in fields(FormulaSettings)})


def formula(objective: Objective) -> str:
    """The name among ESTIMATORS of an objective's estimator."""
    return "grpo process" if objective.supervision == "process" else objective.adv_estimator


def whitened(rows: Rows) -> Rows:
    every = [value for row in rows for value in row]
    if len(set(every)) < 2:
        return [[0.0] * len(row) for row in rows]
    mean, scale = statistics.fmean(every), math.sqrt(statistics.variance(every) + VARIANCE_EPSILON)
    return [[(value - mean) / scale for value in row] for row in rows]


def discounted(rewards: Sequence[float], decay: float) -> list[float]:
    return [sum(decay ** (u - t) * rewards[u] for u in range(t, len(rewards))) for t in range(len(rewards))]


def gae_before_whitening(completions: Sequence[PricedCompletion], settings: FormulaSettings) -> Rows:
    rows = []
    for completion in completions:
        after = [*completion.values[1:], 0.0][: completion.length]
        errors = [
            r + settings.gamma * v1 - v
            for r, v1, v in zip(completion.token_rewards, after, completion.values, strict=True)
        ]
        rows.append(discounted(errors, settings.gamma * policy_lam(completion.length, settings)))
    return rows


def policy_lam(length: int, settings: FormulaSettings) -> float:
    """Return the lambda of the policy's advantages for a completion of so many tokens."""
    if settings.lam_alpha is None:
        assert settings.lam is not None
        return settings.lam
    enough = settings.lam_alpha * length
    return 1 - 1 / enough if enough > 1 else 0.0


def gae(completions: Sequence[PricedCompletion], settings: FormulaSettings) -> Rows:
    return whitened(gae_before_whitening(completions, settings))


def reinforce_plus_plus(completions: Sequence[PricedCompletion], settings: FormulaSettings) -> Rows:
    return whitened([discounted(completion.token_rewards, settings.gamma) for completion in completions])


def grpo(completions: Sequence[PricedCompletion], settings: FormulaSettings) -> Rows:
    rows = []
    for completion in completions:
        others = [other.total_reward for other in completions if other.group == completion.group]
        advantage = (completion.total_reward - statistics.fmean(others)) if len(set(others)) > 1 else 0.0
        everything = [other.total_reward for other in completions]
        rows.append([advantage / _scale(settings, others, everything)] * completion.length)
    return rows


def grpo_process(completions: Sequence[PricedCompletion], settings: FormulaSettings) -> Rows:
    rows = []
    for completion in completions:
        of_group = [reward for other in completions if other.group == completion.group for _, reward in other.steps]
        everything = [reward for other in completions for _, reward in other.steps]
        row = []
        for t in range(completion.length):
            later = [reward for end, reward in completion.steps if end >= t] if len(set(of_group)) > 1 else []
            row.append(
                sum((r - statistics.fmean(of_group)) / _scale(settings, of_group, everything) for r in later) or 0.0
            )
        rows.append(row)
    return rows


def _scale(settings: FormulaSettings, of_group: Sequence[float], everything: Sequence[float]) -> float:
    if settings.scale_rewards not in ("group", "batch"):
        return 1.0
    compared = of_group if settings.scale_rewards == "group" else everything
    return (statistics.stdev(compared) if len(compared) > 1 else 0.0) + DEVIATION_EPSILON


def rloo(completions: Sequence[PricedCompletion], settings: FormulaSettings) -> Rows:
    rows = []
    for completion in completions:
        others = [
            other.total_reward for other in completions if other.group == completion.group and other is not completion
        ]
        rows.append([completion.total_reward - statistics.fmean(others) if others else 0.0] * completion.length)
    return rows


def reinforce_plus_plus_baseline(completions: Sequence[PricedCompletion], settings: FormulaSettings) -> Rows:
    return whitened(grpo(completions, FormulaSettings(scale_rewards="none")))


def gdpo(completions: Sequence[PricedCompletion], settings: FormulaSettings) -> Rows:
    rows = []
    for completion in completions:
        group = [other.parts for other in completions if other.group == completion.group]
        advantage = 0.0
        for part, weight in enumerate(settings.reward_weights):
            others = [parts[part] for parts in group]
            if len(set(others)) > 1:
                own = completion.parts[part] - statistics.fmean(others)
                advantage += weight * own / (statistics.stdev(others) + DEVIATION_EPSILON)
        rows.append([advantage] * completion.length)
    return whitened(rows)


def maxrl(completions: Sequence[PricedCompletion], settings: FormulaSettings) -> Rows:
    rows = []
    for completion in completions:
        others = [other.reward for other in completions if other.group == completion.group]
        mean = sum(others) / len(others)
        advantage = completion.reward / mean - 1 if len(set(others)) > 1 else 0.0
        rows.append([advantage] * completion.length)
    return rows


ESTIMATORS: Mapping[str, Callable[[Sequence[PricedCompletion], FormulaSettings], Rows]] = {
    "gae": gae,
    "grpo": grpo,
    "grpo process": grpo_process,
    "rloo": rloo,
    "reinforce_plus_plus": reinforce_plus_plus,
    "reinforce_plus_plus_baseline": reinforce_plus_plus_baseline,
    "gdpo": gdpo,
    "maxrl": maxrl,
}


def vanilla(
    completion: Completion, advantages: Sequence[float], weights: Sequence[float], settings: FormulaSettings
) -> list[float]:
    """Return the slope of the weighed loss by each token's log π, as all policy losses here do."""
    slopes = []
    for log_p, log_old, advantage, weight in zip(
        completion.log_p, completion.log_old, advantages, weights, strict=True
    ):
        ratio = math.exp(log_p - log_old)
        stopped = ratio > 1 + settings.clip_ratio_high if advantage > 0 else ratio < 1 - settings.clip_ratio_low
        if settings.clip_ratio_c is not None and advantage < 0 and ratio > settings.clip_ratio_c:
            stopped = True
        slopes.append(0.0 if stopped else -weight * ratio * advantage)
    return slopes


def gspo(
    completion: Completion, advantages: Sequence[float], weights: Sequence[float], settings: FormulaSettings
) -> list[float]:
    if not completion.length:
        return []
    ratio = math.exp(statistics.fmean(new - old for new, old in zip(completion.log_p, completion.log_old, strict=True)))
    total = 0.0
    for advantage, weight in zip(advantages, weights, strict=True):
        stopped = ratio > 1 + settings.clip_ratio_high if advantage > 0 else ratio < 1 - settings.clip_ratio_low
        total -= 0.0 if stopped else weight * ratio * advantage
    return [total / completion.length] * completion.length


def cispo(
    completion: Completion, advantages: Sequence[float], weights: Sequence[float], settings: FormulaSettings
) -> list[float]:
    slopes = []
    for log_p, log_old, advantage, weight in zip(
        completion.log_p, completion.log_old, advantages, weights, strict=True
    ):
        ratio = min(max(math.exp(log_p - log_old), 1 - settings.clip_ratio_low), 1 + settings.clip_ratio_high)
        slopes.append(-weight * ratio * advantage)
    return slopes


def sapo(
    completion: Completion, advantages: Sequence[float], weights: Sequence[float], settings: FormulaSettings
) -> list[float]:
    """Return −A ρ / cosh²(τ(ρ − 1) / 2), which is what 4σ(1 − σ) comes to."""
    slopes = []
    for log_p, log_old, advantage, weight in zip(
        completion.log_p, completion.log_old, advantages, weights, strict=True
    ):
        ratio, tau = math.exp(log_p - log_old), _tau(advantage, settings)
        slopes.append(-weight * advantage * ratio / math.cosh(tau * (ratio - 1) / 2) ** 2)
    return slopes


def _tau(advantage: float, settings: FormulaSettings) -> float:
    tau = settings.sapo_tau_pos if advantage > 0 else settings.sapo_tau_neg
    assert tau is not None
    return tau


POLICY_LOSSES: Mapping[str, Callable[[Completion, Sequence[float], Sequence[float], FormulaSettings], list[float]]] = {
    "vanilla": vanilla,
    "gspo": gspo,
    "cispo": cispo,
    "sapo": sapo,
}


def token_weights(completions: Sequence[Completion], mode: str, longest: int) -> Rows:
    """Return the weight of each token's loss in the whole loss."""
    tokens, sequences = sum(completion.length for completion in completions), len(completions)
    weights = {
        "token-mean": lambda completion: 1 / tokens,
        "seq-mean-token-mean": lambda completion: 1 / completion.length / sequences,
        "seq-mean-token-sum": lambda completion: 1 / sequences,
        "seq-mean-token-sum-norm": lambda completion: 1 / (sequences * longest),
    }
    return [[weights[mode](completion)] * completion.length if completion.length else [] for completion in completions]


def slopes_of(completions: Sequence[Completion], objective: Objective, advantages: Rows) -> Rows:
    """The slopes of a whole loss, KL included, by each token's log π."""
    weights = token_weights(completions, objective.loss_agg_mode, objective.longest_completion)
    rows = []
    for completion, row, weight in zip(completions, advantages, weights, strict=True):
        slopes = POLICY_LOSSES[objective.policy_loss](completion, row, weight, formula_settings(objective))
        for t in range(completion.length if objective.kl_in_loss else 0):
            slope = kl_slope(objective.kl_type, completion.log_p[t], completion.log_reference[t], completion.log_old[t])
            slopes[t] += weight[t] * objective.kl_coef * slope
        rows.append(slopes)
    return rows
