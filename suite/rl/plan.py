"""The settings of a case of reinforcement learning, checked before anything is allocated. No torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suite.configuration.devices import device_kind
from suite.configuration.values import clipped, given, one_of, positive_number, whole_number
from suite.measure.task_loader import NeedsPackageError
from suite.rl.objective import SHARED_TRUNK, LearningPlan, at_most
from suite.rl.policy import policy_from
from suite.rl.recipe import RL, recipe_from, teacher_settings
from suite.rl.reward import reward_from
from suite.rl.rollout_correction import correction_from
from suite.rl.tasks.task import WritesAnything, make

FLOAT_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2}
CACHE_DTYPES = (None, "int8", "fp8")
KINDS_THAT_FILTER = ("own", "distill", "preference")  # stages that choose completions with the right answer
ADAMW_TENSORS = 4  # tensors of each trained parameter: itself, its gradient and AdamW's two moments


@dataclass(frozen=True, kw_only=True)
class RolloutPlan:
    """How the policy that samples differs from the one that learns; conf/settings/rl.yaml says what each is."""

    lag: int  # steps
    dtype: str | None
    cache_dtype: str | None

    @property
    def differ(self) -> bool:
        return self.lag > 0 or self.dtype is not None or self.cache_dtype is not None


class RlPlan(LearningPlan):
    """Settings of one case, checked. Raises ValueError for what is wrong in itself."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.device: str = device_kind(settings)
        self.dtype: str = one_of(settings, "dtype", FLOAT_BYTES)
        self.autocasts: bool = one_of(settings, "autocast", (True, False))
        if self.autocasts and self.dtype != "float32":
            raise ValueError(f"autocast=true keeps weights in float32 and needs dtype=float32; got {self.dtype!r}")
        self.threads = whole_number(settings, "threads", at_least=1)
        self.seed = whole_number(settings, "seed", at_least=0)
        try:
            self.task = make(settings)
        except NeedsPackageError as error:
            self.refusal: str | None = str(error)
            return
        self.policy = policy_from(settings)
        self.vocabulary, self.shape, self.refusal = self.policy.vocabulary, self.policy.shape, self.policy.refusal
        self.longest_completion = self.task.longest_completion
        if settings["max_completion_length"] is not None:
            self.longest_completion = whole_number(settings, "max_completion_length", at_least=2)
        self.policy.check(settings, self.task, self.longest_completion)
        self.reward = reward_from(settings, longest_completion=self.longest_completion)
        super().__init__(settings, longest_completion=self.longest_completion, reward_weights=self.reward.weights)

        self.steps = whole_number(settings, "steps", at_least=1)
        self.recipe = recipe_from(settings, self.steps)
        self.critic_warmup_steps, self.critic_base = self._critic_start(settings)
        self.inner_epochs = whole_number(settings, "inner_epochs", at_least=1)

        self.lr = positive_number(settings, "lr")
        self.critic_lr = positive_number(settings, "critic_lr") if self.objective.has_critic else None
        self.warmup_updates = whole_number(settings, "warmup_updates", at_least=0)
        self.max_grad_norm = positive_number(settings, "max_grad_norm")
        at_most(settings, "overlong_buffer", self.longest_completion - 1, "the longest completion but one", at_least=0)
        self.rollouts = RolloutPlan(
            lag=whole_number(settings, "rollout_lag", at_least=0),
            dtype=one_of(settings, "rollout_dtype", (None, "bfloat16")),
            cache_dtype=one_of(settings, "rollout_cache_dtype", CACHE_DTYPES),
        )
        self.correction = correction_from(settings)
        self.reward_source: str = one_of(settings, "reward_source", ("ground_truth", "majority"))
        self.filter_groups: bool = one_of(settings, "filter_groups", (True, False))
        self.filter_rounds = whole_number(settings, "filter_groups_max_rounds", at_least=1)
        self.track_memory: bool = one_of(settings, "track_memory", (True, False))
        self.checkpointing: bool = one_of(settings, "checkpointing", (True, False))
        self._eval_every: int | None = None
        if settings["eval_every"] != "log":
            self._eval_every = whole_number(settings, "eval_every", at_least=1)
        self.eval_prompts = whole_number(settings, "eval_prompts", at_least=1)
        self.pass_at_k: int | None = given(settings, "pass_at_k")
        if (many := self.pass_at_k) is not None and (not isinstance(many, int) or many < 2 or many.bit_count() != 1):
            raise ValueError(
                f"pass_at_k must be null or a power of two of at least 2, such as 256; got {clipped(many)}"
            )
        base = settings["base"]
        self.base_updates = whole_number(base, "updates", at_least=1, where="base.")
        self.base_batch = whole_number(base, "batch", at_least=1, where="base.")
        self.base_lr = positive_number(base, "lr", where="base.")
        self.checkpoint_seconds = positive_number(settings, "checkpoint_seconds")
        self._check_together()
        if self.recipe.teacher is not None:
            RlPlan(teacher_settings(settings))

    def _critic_start(self, settings: Mapping[str, Any]) -> "tuple[int, RlPlan | None]":
        """Steps in which the critic alone learns, and the plan of its base model if it has other sizes."""
        if not self.objective.has_critic:
            return 0, None
        warmup = whole_number(settings, "critic_warmup_steps", at_least=0)
        if warmup and self.shares_trunk:
            raise ValueError(
                f"critic_warmup_steps must be 0 for critic={SHARED_TRUNK}, which has no critic of its own to warm; "
                f"got {warmup}"
            )
        for stage in self.recipe.stages:
            if stage.kind == RL and warmup >= stage.steps:
                raise ValueError(
                    f"critic_warmup_steps must be less than the {stage.steps} steps of the stage of kind {RL}, or the "
                    f"policy would never learn; got {warmup}"
                )
        if self.critic_sizes is None:
            return warmup, None
        if not self.vocabulary.is_of_tasks or "checkpoint" in self.critic_sizes:
            name = self.critic_sizes["name"] if self.vocabulary.is_of_tasks else settings["policy"]["name"]
            raise ValueError(
                "critic_model needs a policy and a critic that are trained here and write the tasks' own tokens; "
                f"{name} is a checkpoint"
            )
        return warmup, RlPlan(critic_settings(settings))

    def evaluates_before(self, step: int) -> bool:
        """Whether the policy is evaluated before this step; eval_every=log evaluates at the steps nearest to √2^k."""
        if self._eval_every is not None:
            return step % self._eval_every == 0
        return step == 0 or step == round(2 ** (round(2 * math.log2(step)) / 2))

    def facts(self) -> dict[str, Any]:
        """The policy's layer and the recipe's stages."""
        return {"policy": self.shape.layer.describe(), "stages": self.recipe.facts()}

    def constants(self) -> dict[str, dict[str, float]]:
        """Parameter counts of policy and critic; a shared trunk counts as the policy's."""
        policy = self.shape.parameter_count
        shape = self.critic_base.shape if self.critic_base else self.shape
        trunk = 0 if self.shares_trunk else shape.trunk_parameter_count
        critic = trunk + shape.hidden_size if self.objective.has_critic else 0
        return {"case": {"policy_parameter_count": policy, "critic_parameter_count": critic}}

    def least_bytes(self) -> float:
        """Bytes of policy and critic with gradients and AdamW's moments, and of the base model that both begin as;
        under LoRA, whose adapters are small, of the weights alone."""
        counts = self.constants()["case"]
        both = counts["policy_parameter_count"] + counts["critic_parameter_count"]
        copies = ADAMW_TENSORS if self.lora_rank is None else 1
        return FLOAT_BYTES[self.dtype] * (copies * both + self.shape.parameter_count)

    def _check_together(self) -> None:
        """Raise ValueError for settings that are right by themselves and do not go together."""
        if self.vocabulary.is_of_tasks and isinstance(self.task, WritesAnything):
            self.task.check_characters()
        if self.objective.supervision == "process" and not self.task.has_steps:
            raise ValueError(
                "supervision=process needs a task whose steps are checkable, such as task=sort without "
                "task.corrections; this task's are not"
            )
        if self.objective.adv_estimator == "maxrl" and self.reward.overlong_buffer > 0:
            raise ValueError(
                "adv_estimator=maxrl divides by rewards of at least 0 and needs overlong_buffer=0; "
                f"got {self.reward.overlong_buffer}"
            )
        if self.reward_source == "majority" and self.num_generations < 2:
            raise ValueError(
                "num_generations must be at least 2 for reward_source=majority, a vote of the completions of one "
                f"prompt; got {self.num_generations}"
            )
        if self.reward_source == "majority" and self.objective.supervision == "process":
            raise ValueError(
                "reward_source must be ground_truth for supervision=process, which checks steps by the right answer; "
                "got 'majority'"
            )
        for stage in self.recipe.stages:
            if self.reward_source == "majority" and stage.kind in KINDS_THAT_FILTER:
                raise ValueError(
                    f"reward_source must be ground_truth for a stage of kind {stage.kind}, which keeps right "
                    "completions; got 'majority'"
                )
            if stage.kind == "preference":
                self._check_pairs()
        if any(stage.kind != RL for stage in self.recipe.stages) and not self.vocabulary.is_of_tasks:
            kinds = ", ".join(stage.kind for stage in self.recipe.stages)
            raise ValueError(f"recipe must be r1_zero for a policy from a checkpoint; got stages of kind {kinds}")
        if self.filter_groups and not self.objective.compares_group:
            raise ValueError(
                f"filter_groups=true drops groups of equal rewards and needs an adv_estimator that compares a group; "
                f"got {self.objective.adv_estimator!r}"
            )

    def _check_pairs(self) -> None:
        """Raise ValueError unless completions, minibatch and micro-batch can be divided into pairs."""
        if self.num_generations < 2:
            raise ValueError(
                "num_generations must be at least 2 for a stage of kind preference, which compares the completions of "
                f"one prompt; got {self.num_generations}"
            )
        counts = {"minibatch": self.minibatch, "micro_batch": self.micro_batch}
        counts["prompts_per_step x num_generations"] = self.completions
        for name, count in counts.items():
            if count % 2:
                raise ValueError(
                    f"{name} must be even for a stage of kind preference, which trains on pairs of completions; "
                    f"got {count}"
                )


def critic_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the run whose base model a critic of other sizes begins as: the critic in the policy's place."""
    recipe = {"stages": [{"kind": RL, "share": 1.0}]}
    sizes = {"policy": settings["critic_sizes"], "critic_model": None, "critic_sizes": None}
    return {**settings, **sizes, "recipe": recipe}
