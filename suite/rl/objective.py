"""The objective, as settings under the field's option names: a named algorithm is a setting of these.

No torch here: the parent checks the settings before a worker starts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.configuration.values import (
    not_negative,
    number_between,
    one_of,
    optional_whole_number,
    positive_number,
    whole_number,
)
from suite.rl.registry import ESTIMATORS, POLICY_LOSSES
from suite.rl.rollout_correction import Correction

AGGREGATIONS = ("token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm")
KL_TYPES = ("k1", "k2", "k3", "k3_unbiased")
ONE_AFTER_OTHER, TOGETHER = UPDATE_ORDERS = "one_after_other", "together"
"""Orders of policy and critic: the policy's gradients are gone before the critic's are computed, or both are there."""
OWN, SHARED_TRUNK = CRITICS = "own", "shared_trunk"
OPTIMISERS = ("fused", "foreach", "for_loop")  # the keys of suite.lm.training.FORMS
GROUP_RELATIVE = ("grpo", "rloo", "reinforce_plus_plus_baseline", "gdpo", "maxrl")
"""Estimators that compare a completion with the others of its group."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The settings of estimator and loss; conf/settings/learning.yaml says what each is."""

    adv_estimator: str
    supervision: str
    outcome_as_step: bool = False
    scale_rewards: str | None  # None for an estimator that does not have it
    gamma: float
    lam: float | None  # the policy's; None where lam_alpha gives it, or for an estimator that does not have it
    critic_lam: float | None = None  # that of the critic's returns; None: the policy's
    lam_alpha: float | None = None  # the policy's lambda is 1 - 1 / (lam_alpha x length); None: lam
    policy_loss: str
    loss_agg_mode: str
    clip_ratio_low: float
    clip_ratio_high: float
    clip_ratio_c: float | None
    entropy_coef: float
    kl_type: str
    kl_coef: float
    use_kl_in_reward: bool
    cliprange_value: float | None
    longest_completion: int  # tokens; the constant of seq-mean-token-sum-norm
    sapo_tau_pos: float | None = None  # None for a policy loss that does not have it, as the other
    sapo_tau_neg: float | None = None
    reward_weights: Sequence[float] = ()
    """The weight of each of the reward's parts; none where a workload has no reward."""

    @property
    def has_critic(self) -> bool:
        return self.adv_estimator == "gae"

    @property
    def compares_group(self) -> bool:
        return self.adv_estimator in GROUP_RELATIVE

    @property
    def normalises_parts(self) -> bool:
        """True if the estimator reads the parts of the reward one by one, and not their sum."""
        return self.adv_estimator == "gdpo"

    @property
    def has_reference(self) -> bool:
        """True if a KL from a reference policy is paid for, in the loss or in the reward."""
        return self.kl_coef > 0

    @property
    def kl_in_loss(self) -> bool:
        return self.has_reference and not self.use_kl_in_reward


def objective_from(
    settings: Mapping[str, Any], *, longest_completion: int, reward_weights: Sequence[float] = ()
) -> Objective:
    """Read and check the objective, but for the names of estimator and policy loss. Raises ValueError."""
    objective = Objective(
        adv_estimator=settings["adv_estimator"],
        supervision=one_of(settings, "supervision", ("outcome", "process")),
        outcome_as_step=one_of(settings, "outcome_as_step", (True, False, None)) is True,
        scale_rewards=one_of(settings, "scale_rewards", ("group", "batch", "none", None)),
        gamma=number_between(settings, "gamma", 0, 1),
        lam=_optional_share(settings, "lam") if settings["lam_alpha"] is None else None,
        critic_lam=_optional_share(settings, "critic_lam"),
        lam_alpha=_optional_above(settings, "lam_alpha", above=0.0),
        policy_loss=settings["policy_loss"],
        loss_agg_mode=one_of(settings, "loss_agg_mode", AGGREGATIONS),
        clip_ratio_low=not_negative(settings, "clip_ratio_low"),
        clip_ratio_high=not_negative(settings, "clip_ratio_high"),
        clip_ratio_c=_optional_above(settings, "clip_ratio_c", above=1.0),
        entropy_coef=not_negative(settings, "entropy_coef"),
        kl_type=one_of(settings, "kl_type", KL_TYPES),
        kl_coef=not_negative(settings, "kl_coef"),
        use_kl_in_reward=one_of(settings, "use_kl_in_reward", (True, False)),
        cliprange_value=_optional_above(settings, "cliprange_value", above=0.0),
        longest_completion=longest_completion,
        sapo_tau_pos=_optional_above(settings, "sapo_tau_pos", above=0.0),
        sapo_tau_neg=_optional_above(settings, "sapo_tau_neg", above=0.0),
        reward_weights=reward_weights,
    )
    _check_together(objective, settings)
    return objective


class LearningPlan:
    """The settings of a learner, checked: what training and a projection of its memory read alike.
    conf/settings/learning.yaml and rl.yaml say what each is. Raises ValueError for what is wrong in itself."""

    inner_epochs: int
    lr: float
    critic_lr: float | None
    warmup_updates: int
    max_grad_norm: float
    correction: Correction | None = None
    """The weights of tokens that another policy sampled; None where the loss is that of the ratio to it."""

    def __init__(
        self, settings: Mapping[str, Any], *, longest_completion: int, reward_weights: Sequence[float] = ()
    ) -> None:
        ESTIMATORS.check(settings["adv_estimator"])
        POLICY_LOSSES.check(settings["policy_loss"])
        self.objective = objective_from(settings, longest_completion=longest_completion, reward_weights=reward_weights)
        self.prompts_per_step = whole_number(settings, "prompts_per_step", at_least=1)
        self.num_generations = whole_number(settings, "num_generations", at_least=1)
        self.completions = self.prompts_per_step * self.num_generations  # completions of one rollout
        self.minibatch = self.micro_batch = self.completions
        if settings["minibatch"] is not None:
            self.minibatch = at_most(settings, "minibatch", self.completions, "prompts_per_step x num_generations")
            self.micro_batch = self.minibatch
        if settings["micro_batch"] is not None:
            self.micro_batch = at_most(settings, "micro_batch", self.minibatch, "minibatch")
        self.logits_chunk = optional_whole_number(settings, "logits_chunk")
        if self.logits_chunk is not None and self.objective.entropy_coef > 0:
            raise ValueError(
                "logits_chunk must be null where entropy_coef is above 0, since an entropy is of a whole "
                f"distribution; got {self.logits_chunk}"
            )
        self.temperature = positive_number(settings, "temperature")
        self.lora_rank = optional_whole_number(settings, "lora_rank")
        self.optimiser: str = one_of(settings, "optimiser", OPTIMISERS)
        self.value_coef = not_negative(settings, "value_coef")
        self.update_order, self.shares_trunk = ONE_AFTER_OTHER, False
        self.critic_sizes: Mapping[str, Any] | None = None
        """Those of `critic_model`; None where the critic has the policy's, or there is none of its own."""
        if self.objective.has_critic:
            self.update_order = one_of(settings, "update_order", UPDATE_ORDERS)
            self.shares_trunk = one_of(settings, "critic", CRITICS) == SHARED_TRUNK
            name, sizes = settings["critic_model"], settings["critic_sizes"]
            if name != (sizes["name"] if isinstance(sizes, Mapping) and "name" in sizes else sizes):
                raise ValueError(f"critic_sizes follow from critic_model={name} and must not be set; got {sizes!r}")
            if name is not None and settings["critic"] != OWN:
                raise ValueError(f"critic_model needs critic={OWN}, a decoder that is not the policy; got {name!r}")
            self.critic_sizes = sizes


def at_most(settings: Mapping[str, Any], name: str, most: int, bound: str, *, at_least: int = 1) -> int:
    """Read a whole number from `at_least` to `most`. Raises ValueError; `bound` says in words what `most` is."""
    value = whole_number(settings, name, at_least=at_least)
    if value > most:
        raise ValueError(f"{name} must be at most {bound}, which is {most}; got {value}")
    return value


def _check_together(objective: Objective, settings: Mapping[str, Any]) -> None:
    """Raise ValueError for settings that are right by themselves and do not go together."""
    generations = whole_number(settings, "num_generations", at_least=1)
    if objective.compares_group and generations < 2:
        raise ValueError(
            f"num_generations must be at least 2 for adv_estimator={objective.adv_estimator}, which compares the "
            f"completions of a group; got {generations}"
        )
    if objective.supervision == "process" and objective.adv_estimator != "grpo":
        raise ValueError(
            f"supervision=process is that of adv_estimator=grpo (DeepSeekMath 4.1.3); got {objective.adv_estimator!r}"
        )
    if objective.supervision == "process" and objective.has_reference and objective.use_kl_in_reward:
        raise ValueError("supervision=process rewards steps only and needs use_kl_in_reward=false; got true")
    if objective.adv_estimator in ("gdpo", "maxrl") and objective.has_reference and objective.use_kl_in_reward:
        why = {"gdpo": "normalises each part of the reward by itself", "maxrl": "divides by rewards of at least 0"}
        raise ValueError(
            f"adv_estimator={objective.adv_estimator} {why[objective.adv_estimator]} and needs "
            "use_kl_in_reward=false; got true"
        )
    if objective.policy_loss == "sapo" and None in (objective.sapo_tau_pos, objective.sapo_tau_neg):
        raise ValueError("sapo_tau_pos and sapo_tau_neg must be numbers above 0 for policy_loss=sapo; got null")
    if objective.has_critic and objective.lam is None and objective.lam_alpha is None:
        raise ValueError("lam must be a number from 0 to 1 for adv_estimator=gae without lam_alpha; got null")
    if objective.kl_type == "k3_unbiased" and objective.use_kl_in_reward:
        raise ValueError("kl_type=k3_unbiased is a loss and needs use_kl_in_reward=false; got true")


def _optional_share(settings: Mapping[str, Any], name: str) -> float | None:
    return None if settings[name] is None else number_between(settings, name, 0, 1)


def _optional_above(settings: Mapping[str, Any], name: str, *, above: float) -> float | None:
    """Read None or a number greater than `above`. Raises ValueError."""
    value = settings[name]
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > above:
        raise ValueError(f"{name} must be null or a number above {above:g}; got {value!r}")
    return float(value)
