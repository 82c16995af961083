"""Whole losses and the critic's part in plain Python, from the formulas of the oracle."""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace

from suite.configuration.files import choices, read_choice
from suite.rl.conformance.cases import objective
from suite.rl.objective import Objective
from tests.rl.conformance import oracle
from tests.rl.conformance.oracle import (
    FormulaSettings,
    PricedCompletion,
    Rows,
    _tau,
    formula_settings,
    gae_before_whitening,
)

UNNAMED = {
    "grpo process supervision": {"supervision": "process"},
    "grpo process supervision, scaled by the batch": {"supervision": "process", "scale_rewards": "batch"},
    "grpo process supervision, not scaled": {"supervision": "process", "scale_rewards": "none"},
    "gdpo with a penalty for length": {"adv_estimator": "gdpo", "overlong_buffer": 2},
    "gdpo with the format as a gate": {"adv_estimator": "gdpo", "format_reward": "gate"},
    "sapo with other temperatures": {"policy_loss": "sapo", "sapo_tau_pos": 0.5, "sapo_tau_neg": 3.0},
    "grpo scaled by the batch": {"scale_rewards": "batch"},
    "grpo with the dual clip": {"clip_ratio_c": 1.1},
    "grpo with k1": {"kl_coef": 0.1, "kl_type": "k1"},
    "grpo with k3_unbiased": {"kl_coef": 0.1, "kl_type": "k3_unbiased"},
    "grpo with a sequence sum": {"loss_agg_mode": "seq-mean-token-sum", "kl_coef": 0.1},
    "grpo with the k2 price": {"kl_coef": 0.1, "kl_type": "k2", "use_kl_in_reward": True},
    "rloo with cispo": {"adv_estimator": "rloo", "policy_loss": "cispo"},
    "gae with gspo": {"adv_estimator": "gae", "policy_loss": "gspo", "gamma": 0.9, "lam": 0.8},
    "gae with two lambdas": {"adv_estimator": "gae", "gamma": 0.9, "lam": 0.8, "critic_lam": 0.95},
    "gae with a lambda by length": {"adv_estimator": "gae", "gamma": 0.9, "lam_alpha": 0.4},
    "gae with a lambda by length and a critic's": {
        "adv_estimator": "gae",
        "gamma": 0.9,
        "lam_alpha": 0.4,
        "critic_lam": 1.0,
    },
    "reinforce_plus_plus discounted": {"adv_estimator": "reinforce_plus_plus", "gamma": 0.9},
}


def cases(longest: int) -> Iterator[tuple[str, Objective]]:
    for name in choices("algorithm"):
        yield name, objective(longest, **read_choice("algorithm", name))
    for name, changes in UNNAMED.items():
        yield name, objective(longest, **changes)


def gae_returns(completions: Sequence[PricedCompletion], settings: FormulaSettings) -> Rows:
    """Return what the critic learns, with its own lambda where it has one."""
    if settings.critic_lam is not None:
        settings = replace(settings, lam=settings.critic_lam, lam_alpha=None)
    raw = gae_before_whitening(completions, settings)
    return [
        [a + v for a, v in zip(row, completion.values, strict=True)]
        for row, completion in zip(raw, completions, strict=True)
    ]


def token_losses(
    name: str, completion: PricedCompletion, advantages: Sequence[float], settings: FormulaSettings
) -> list[float]:
    """Return the losses that the slopes of a policy loss belong to."""
    losses = []
    logs = [new - old for new, old in zip(completion.log_p, completion.log_old, strict=True)]
    for log_p, log_ratio, advantage in zip(completion.log_p, logs, advantages, strict=True):
        ratio = math.exp(statistics.fmean(logs) if name == "gspo" else log_ratio)
        bounded = min(max(ratio, 1 - settings.clip_ratio_low), 1 + settings.clip_ratio_high)
        gain = bounded * advantage * log_p if name == "cispo" else min(ratio * advantage, bounded * advantage)
        if name == "vanilla" and settings.clip_ratio_c is not None and advantage < 0:
            gain = max(gain, settings.clip_ratio_c * advantage)
        if name == "sapo":
            tau = _tau(advantage, settings)
            gain = advantage * 4 / tau / (1 + math.exp(-tau * (ratio - 1)))
        losses.append(-gain)
    return losses


def clipped(
    name: str, completion: PricedCompletion, advantages: Sequence[float], settings: FormulaSettings
) -> tuple[int, int]:
    """Count the tokens whose ratio a bound replaced, at the lower and at the upper end."""
    low = high = 0
    if name == "sapo":
        return 0, 0
    logs = [new - old for new, old in zip(completion.log_p, completion.log_old, strict=True)]
    for log_ratio, advantage in zip(logs, advantages, strict=True):
        ratio = math.exp(statistics.fmean(logs) if name == "gspo" else log_ratio)
        low += ratio < 1 - settings.clip_ratio_low and (advantage < 0 or name == "cispo")
        high += ratio > 1 + settings.clip_ratio_high and (advantage > 0 or name == "cispo")
        high += (
            name == "vanilla" and settings.clip_ratio_c is not None and advantage < 0 and ratio > settings.clip_ratio_c
        )
    return low, high


def value_loss_slopes(completions: Sequence[PricedCompletion], returns: Rows, values: Rows, clip: float | None) -> Rows:
    """Return the slopes of the critic's loss by its new values; the old ones are those of the completions."""
    tokens = sum(completion.length for completion in completions)
    rows = []
    for completion, of_returns, of_values in zip(completions, returns, values, strict=True):
        row = []
        for new, old, wanted in zip(of_values, completion.values, of_returns, strict=True):
            near = new if clip is None else min(max(new, old - clip), old + clip)
            stopped = near != new and (near - wanted) ** 2 > (new - wanted) ** 2
            row.append(0.0 if stopped else (new - wanted) / tokens)
        rows.append(row)
    return rows


def loss_of(completions: Sequence[PricedCompletion], objective: Objective, advantages: oracle.Rows) -> float:
    """Return the oracle's whole loss, KL included."""
    weights = oracle.token_weights(completions, objective.loss_agg_mode, objective.longest_completion)
    total = 0.0
    for completion, row, weight in zip(completions, advantages, weights, strict=True):
        losses = token_losses(objective.policy_loss, completion, row, formula_settings(objective))
        for t in range(completion.length):
            kl = oracle.kl_estimate(
                objective.kl_type, completion.log_p[t], completion.log_reference[t], completion.log_old[t]
            )
            total += weight[t] * (losses[t] + (objective.kl_coef * kl if objective.kl_in_loss else 0.0))
    return total
