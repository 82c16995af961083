"""The objectives that are looked at, and the ledger of what was found and expected of them.

The objectives are every named algorithm as it is set, and what none of them combines.
"""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from suite.configuration.files import choices, read_choice, read_settings
from suite.measure.meter import Meter
from suite.measure.workload import IncorrectError
from suite.rl.conformance.oracle import FormulaSettings
from suite.rl.objective import Objective, objective_from
from suite.rl.reward import reward_from

ALLOWED = 1e-12
"""Float64 sums of some hundred terms differ by 1e-15; a wrong formula differs by 1e-8 at the least."""
UNNAMED: Mapping[str, Mapping[str, Any]] = {
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
    for name, settings in _algorithms().items():
        yield name, objective(longest, **settings)
    for name, changes in UNNAMED.items():
        yield name, objective(longest, **changes)


def objective(longest: int, **changes: Any) -> Objective:
    """Read the settings of workload=rl with these changes."""
    settings = {**_settings(), **changes}
    weights = reward_from(settings, longest_completion=longest).weights
    return objective_from(settings, longest_completion=longest, reward_weights=weights)


@functools.cache
def _algorithms() -> Mapping[str, Mapping[str, Any]]:
    return {name: read_choice("algorithm", name) for name in choices("algorithm")}


@functools.cache
def _settings() -> Mapping[str, Any]:
    return read_settings("rl")


def formula_settings(objective: Objective) -> FormulaSettings:
    """Return the same settings as the oracle reads them."""
    return FormulaSettings(
        gamma=objective.gamma,
        lam=objective.lam,
        critic_lam=objective.critic_lam,
        lam_alpha=objective.lam_alpha,
        scale_rewards=objective.scale_rewards,
        clip_ratio_low=objective.clip_ratio_low,
        clip_ratio_high=objective.clip_ratio_high,
        clip_ratio_c=objective.clip_ratio_c,
        sapo_tau_pos=objective.sapo_tau_pos,
        sapo_tau_neg=objective.sapo_tau_neg,
        reward_weights=objective.reward_weights,
    )


def formula(objective: Objective) -> str:
    """Return the oracle's name of the objective's estimator."""
    return "grpo process" if objective.supervision == "process" else objective.adv_estimator


class Ledger:
    """A record of the expectations: a broken one is kept until what belongs to it was looked at too."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._broken: list[str] = []

    def note(self, span: str, **values: float) -> None:
        self._meter.note(span, **values)

    def expect(self, span: str, what: str, difference: float, allowed: float = ALLOWED) -> None:
        """Keep a sentence where a difference from what must be is too large, or no number."""
        if not difference <= allowed:
            self._broken.append(f"{span}: {what} is off by {difference:.3g}")

    def settle(self) -> None:
        """Raise IncorrectError with the first broken expectation and how many there were."""
        if self._broken:
            more = len(self._broken) - 1
            raise IncorrectError(self._broken[0] + (f", and {more} more" if more else ""))
