"""The truth, in plain Python: every formula once more, token by token, with nothing of the code under test.

Slow and literal on purpose.
"""

import math
import statistics
from dataclasses import dataclass, replace

DEVIATION_EPSILON, VARIANCE_EPSILON = 1e-6, 1e-8


@dataclass(frozen=True, kw_only=True)
class Completion:
    """A completion as lists over its own tokens; there is no padding here."""

    reward: float
    group: int
    log_p: list
    log_old: list
    log_reference: list
    values: list
    price: list
    """What the KL takes off each token's reward."""
    steps: list = ()
    """Token at which a step ends, and its reward."""
    parts: list = ()
    """The parts of the reward, before they are weighed."""

    @property
    def length(self):
        return len(self.log_p)

    @property
    def token_rewards(self):
        rewards = [-price for price in self.price]
        if rewards:
            rewards[-1] += self.reward
        return rewards

    @property
    def total_reward(self):
        return self.reward - sum(self.price)


def kl_estimate(kl_type, log_p, log_reference, log_old):
    """Schulman's estimates, whose r is π_ref / π."""
    ratio = math.exp(log_reference) / math.exp(log_p)
    k3 = (ratio - 1) - math.log(ratio)
    weight = math.exp(log_p) / math.exp(log_old)
    return {"k1": -math.log(ratio), "k2": math.log(ratio) ** 2 / 2, "k3": k3, "k3_unbiased": weight * k3}[kl_type]


def kl_slope(kl_type, log_p, log_reference, log_old):
    """Derivative of the estimate by log π."""
    ratio = math.exp(log_reference) / math.exp(log_p)
    k3, weight = (ratio - 1) - math.log(ratio), math.exp(log_p) / math.exp(log_old)
    slopes = {"k1": 1.0, "k2": -math.log(ratio), "k3": 1 - ratio, "k3_unbiased": weight * (1 - ratio) + weight * k3}
    return slopes[kl_type]


def advantages(completions, objective):
    name = "grpo_process" if objective.supervision == "process" else objective.adv_estimator
    return ESTIMATORS[name](completions, objective)


def whitened(rows):
    values = [value for row in rows for value in row]
    if len(set(values)) < 2:
        return [[0.0] * len(row) for row in rows]
    mean, scale = statistics.fmean(values), math.sqrt(statistics.variance(values) + VARIANCE_EPSILON)
    return [[(value - mean) / scale for value in row] for row in rows]


def discounted(rewards, decay):
    return [sum(decay ** (u - t) * rewards[u] for u in range(t, len(rewards))) for t in range(len(rewards))]


def policy_lam(length, objective):
    if objective.lam_alpha is None:
        return objective.lam
    return max(0.0, 1 - 1 / (objective.lam_alpha * length)) if length else 0.0


def gae_before_whitening(completions, objective):
    rows = []
    for completion in completions:
        after = [*completion.values[1:], 0.0][: completion.length]
        errors = [
            reward + objective.gamma * next_value - value
            for reward, next_value, value in zip(completion.token_rewards, after, completion.values, strict=True)
        ]
        rows.append(discounted(errors, objective.gamma * policy_lam(completion.length, objective)))
    return rows


def gae_returns(completions, objective):
    """What the critic learns, with its own lambda where it has one."""
    if objective.critic_lam is not None:
        objective = replace(objective, lam=objective.critic_lam, lam_alpha=None)
    return [
        [advantage + value for advantage, value in zip(row, completion.values, strict=True)]
        for row, completion in zip(gae_before_whitening(completions, objective), completions, strict=True)
    ]


def gae(completions, objective):
    return whitened(gae_before_whitening(completions, objective))


def reinforce_plus_plus(completions, objective):
    return whitened([discounted(completion.token_rewards, objective.gamma) for completion in completions])


def scale_of(objective, of_group, of_batch):
    if objective.scale_rewards not in ("group", "batch"):
        return 1.0
    compared = of_group if objective.scale_rewards == "group" else of_batch
    return (statistics.stdev(compared) if len(compared) > 1 else 0.0) + DEVIATION_EPSILON


def by_group(completions, advantage):
    """Rows of `advantage(completion, members of its group)`, the same for each token."""
    groups = [[member for member in completions if member.group == one.group] for one in completions]
    return [[advantage(*pair)] * pair[0].length for pair in zip(completions, groups, strict=True)]


def grpo(completions, objective):
    def advantage(completion, group):
        rewards, batch = ([member.total_reward for member in members] for members in (group, completions))
        centred = completion.total_reward - statistics.fmean(rewards) if len(set(rewards)) > 1 else 0.0
        return centred / scale_of(objective, rewards, batch)

    return by_group(completions, advantage)


def grpo_process(completions, objective):
    rows = []
    batch = [reward for completion in completions for _, reward in completion.steps]
    for completion in completions:
        group = [reward for member in completions if member.group == completion.group for _, reward in member.steps]
        row = []
        for t in range(completion.length):
            later = [reward for end, reward in completion.steps if end >= t] if len(set(group)) > 1 else []
            mean = statistics.fmean(group) if group else 0.0
            row.append(sum((reward - mean) / scale_of(objective, group, batch) for reward in later) or 0.0)
        rows.append(row)
    return rows


def rloo(completions, objective):
    def advantage(completion, group):
        others = [member.total_reward for member in group if member is not completion]
        return completion.total_reward - statistics.fmean(others) if others else 0.0

    return by_group(completions, advantage)


def reinforce_plus_plus_baseline(completions, objective):
    return whitened(grpo(completions, replace(objective, scale_rewards="none")))


def gdpo(completions, objective):
    def advantage(completion, group):
        total = 0.0
        for part, weight in enumerate(objective.reward_weights):
            values = [member.parts[part] for member in group]
            if len(set(values)) > 1:
                centred = completion.parts[part] - statistics.fmean(values)
                total += weight * centred / (statistics.stdev(values) + DEVIATION_EPSILON)
        return total

    return whitened(by_group(completions, advantage))


def maxrl(completions, objective):
    def advantage(completion, group):
        rewards = [member.reward for member in group]
        mean = sum(rewards) / len(rewards)
        return completion.reward / mean - 1 if len(set(rewards)) > 1 and mean > 0 else 0.0

    return by_group(completions, advantage)


ESTIMATORS = {
    estimator.__name__: estimator
    for estimator in (*(gae, grpo, grpo_process, rloo, reinforce_plus_plus, reinforce_plus_plus_baseline, gdpo, maxrl),)
}


@dataclass(frozen=True, kw_only=True)
class Term:
    """The policy loss of a token."""

    loss: float
    slope: float
    """By log π; for GSPO by the mean of all tokens' log ratios."""
    is_clipped_low: bool = False
    is_clipped_high: bool = False


def policy_terms(completion, advantages, objective):
    log_ratios = [new - old for new, old in zip(completion.log_p, completion.log_old, strict=True)]
    if objective.policy_loss == "gspo" and log_ratios:
        log_ratios = [statistics.fmean(log_ratios)] * completion.length
    return [_policy_term(objective, *token) for token in zip(completion.log_p, log_ratios, advantages, strict=True)]


def _policy_term(objective, log_p, log_ratio, advantage):
    ratio, lowest, highest = math.exp(log_ratio), 1 - objective.clip_ratio_low, 1 + objective.clip_ratio_high
    if objective.policy_loss == "sapo":
        tau = objective.sapo_tau_pos if advantage > 0 else objective.sapo_tau_neg
        loss = -advantage * 4 / tau / (1 + math.exp(-tau * (ratio - 1)))
        # 4σ(1 − σ) comes to 1 / cosh².
        return Term(loss=loss, slope=-advantage * ratio / math.cosh(tau * (ratio - 1) / 2) ** 2)
    bounded = min(max(ratio, lowest), highest)
    if objective.policy_loss == "cispo":
        clips = {"is_clipped_low": ratio < lowest, "is_clipped_high": ratio > highest}
        return Term(loss=-bounded * advantage * log_p, slope=-bounded * advantage, **clips)
    is_low, is_high = ratio < lowest and advantage < 0, ratio > highest and advantage > 0
    loss = -min(ratio * advantage, bounded * advantage)
    if objective.policy_loss == "vanilla" and objective.clip_ratio_c is not None and advantage < 0:
        is_high = ratio > objective.clip_ratio_c
        loss = min(loss, -objective.clip_ratio_c * advantage)
    slope = 0.0 if is_low or is_high else -ratio * advantage
    return Term(loss=loss, slope=slope, is_clipped_low=is_low, is_clipped_high=is_high)


def token_weights(completions, objective):
    """The weight of each token's loss in the whole loss."""
    tokens, sequences = sum(completion.length for completion in completions), len(completions)
    weights = {
        "token-mean": lambda length: 1 / tokens,
        "seq-mean-token-mean": lambda length: 1 / length / sequences,
        "seq-mean-token-sum": lambda length: 1 / sequences,
        "seq-mean-token-sum-norm": lambda length: 1 / (sequences * objective.longest_completion),
    }[objective.loss_agg_mode]
    return [[weights(completion.length)] * completion.length if completion.length else [] for completion in completions]


def loss_and_slopes(completions, objective, advantages):
    """The whole loss, KL included, and its slopes by each token's log π."""
    loss, rows = 0.0, []
    weights = token_weights(completions, objective)
    for completion, advantages_T, weights_T in zip(completions, advantages, weights, strict=True):
        terms = policy_terms(completion, advantages_T, objective)
        loss += sum(weight * term.loss for weight, term in zip(weights_T, terms, strict=True))
        slopes = [weight * term.slope for weight, term in zip(weights_T, terms, strict=True)]
        if objective.policy_loss == "gspo" and slopes:
            slopes = [statistics.fmean(slopes)] * completion.length
        for t in range(completion.length if objective.kl_in_loss else 0):
            logs = completion.log_p[t], completion.log_reference[t], completion.log_old[t]
            loss += weights_T[t] * objective.kl_coef * kl_estimate(objective.kl_type, *logs)
            slopes[t] += weights_T[t] * objective.kl_coef * kl_slope(objective.kl_type, *logs)
        rows.append(slopes)
    return loss, rows


def value_loss_and_slopes(completions, returns, new_values, clip):
    """The critic's loss and its slopes by its new values; the old ones are those of the completions."""
    tokens, loss, rows = sum(completion.length for completion in completions), 0.0, []
    for completion, returns_T, values_T in zip(completions, returns, new_values, strict=True):
        row = []
        for new, old, wanted in zip(values_T, completion.values, returns_T, strict=True):
            near = new if clip is None else min(max(new, old - clip), old + clip)
            stopped = near != new and (near - wanted) ** 2 > (new - wanted) ** 2
            loss += max((near - wanted) ** 2, (new - wanted) ** 2) / 2 / tokens
            row.append(0.0 if stopped else (new - wanted) / tokens)
        rows.append(row)
    return loss, rows


def reward(format_reward, format_weight, buffer, longest, *, accuracy, form, length):
    paid = accuracy + format_weight * form if format_reward == "added" else accuracy if form == 1 else 0.0
    late = length - (longest - buffer)
    return paid - late / buffer if buffer and late > 0 else paid
