"""The settings of a case of reinforcement learning, checked before anything is allocated. No torch."""

from collections.abc import Mapping
from typing import Any

from suite.configuration.values import not_negative, one_of, positive_number, whole_number
from suite.measure.task_loader import NeedsPackageError
from suite.rl.objective import LearningPlan
from suite.rl.policy import policy_from
from suite.rl.recipe import recipe_from, teacher_settings
from suite.rl.tasks.task import WritesAnything, make

FLOAT_BYTES = {"float64": 8, "float32": 4}
FILTERED = ("own", "distill")
"""Kinds of stage that keep what the key says is right."""
FORMAT_REWARDS = ("added", "gate")
REWARD_SOURCES = ("ground_truth", "majority")
ADAMW_TENSORS = 4
"""Tensors of each trained parameter: itself, its gradient and AdamW's two moments."""


class RlPlan(LearningPlan):
    """Settings of one case, checked. Raises ValueError for what is wrong in itself."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.device: str = one_of(settings, "device", ("cpu", "cuda"))
        self.dtype: str = one_of(settings, "dtype", FLOAT_BYTES)
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
        super().__init__(settings, longest_completion=self.longest_completion)

        self.steps = whole_number(settings, "steps", at_least=1)
        self.minibatch = _at_most(settings, "minibatch", self.completions, "prompts_per_step x num_generations")
        self.micro_batch = self.minibatch
        if settings["micro_batch"] is not None:
            self.micro_batch = _at_most(settings, "micro_batch", self.minibatch, "minibatch")
        self.recipe = recipe_from(settings, self.steps)
        self.inner_epochs = whole_number(settings, "inner_epochs", at_least=1)

        self.lr = positive_number(settings, "lr")
        self.critic_lr = positive_number(settings, "critic_lr") if self.objective.has_critic else None
        self.warmup_updates = whole_number(settings, "warmup_updates", at_least=0)
        self.max_grad_norm = positive_number(settings, "max_grad_norm")
        self.format_reward: str = one_of(settings, "format_reward", FORMAT_REWARDS)
        self.format_weight = not_negative(settings, "format_weight") if self.format_reward == "added" else None
        self.overlong_buffer = _at_most(
            settings, "overlong_buffer", self.longest_completion - 1, "the longest completion but one", at_least=0
        )
        self.reward_source: str = one_of(settings, "reward_source", REWARD_SOURCES)
        self.filter_groups: bool = one_of(settings, "filter_groups", (True, False))
        self.filter_rounds = whole_number(settings, "filter_groups_max_rounds", at_least=1)
        self.track_memory: bool = one_of(settings, "track_memory", (True, False))
        self.eval_every = whole_number(settings, "eval_every", at_least=1)
        self.eval_prompts = whole_number(settings, "eval_prompts", at_least=1)
        base = settings["base"]
        self.base_updates = whole_number(base, "updates", at_least=1, where="base.")
        self.base_batch = whole_number(base, "batch", at_least=1, where="base.")
        self.base_lr = positive_number(base, "lr", where="base.")
        self.checkpoint_seconds = positive_number(settings, "checkpoint_seconds")
        self._check_together()
        if self.recipe.teacher is not None:
            RlPlan(teacher_settings(settings))

    def facts(self) -> dict[str, Any]:
        return {"policy": self.shape.layer.describe(), "stages": self.recipe.facts()}

    def constants(self) -> dict[str, dict[str, float]]:
        policy = self.shape.parameter_count
        trunk = 0 if self.shares_trunk else self.shape.trunk_parameter_count
        critic = trunk + self.shape.hidden_size if self.objective.has_critic else 0
        return {"case": {"policy_parameter_count": policy, "critic_parameter_count": critic}}

    def least_bytes(self) -> float:
        """Count policy and critic with gradients and AdamW's moments, and the base model that both begin as."""
        counts = self.constants()["case"]
        trained = counts["policy_parameter_count"] + counts["critic_parameter_count"]
        return FLOAT_BYTES[self.dtype] * (ADAMW_TENSORS * trained + self.shape.parameter_count)

    def _check_together(self) -> None:
        if self.vocabulary.is_of_tasks and isinstance(self.task, WritesAnything):
            self.task.check_characters()
        if self.objective.supervision == "process" and not self.task.has_steps:
            raise ValueError(
                "supervision=process needs a task whose steps are checkable, such as task=sort without "
                "task.corrections; this task's are not"
            )
        if self.reward_source == "majority" and self.num_generations < 2:
            raise ValueError(
                "num_generations must be at least 2 for reward_source=majority, a vote of the completions of one "
                f"prompt; got {self.num_generations}"
            )
        if self.reward_source == "majority" and self.objective.supervision == "process":
            raise ValueError(
                "supervision=process checks steps by the key and needs reward_source=ground_truth; got 'majority'"
            )
        for stage in self.recipe.stages:
            if self.reward_source == "majority" and stage.kind in FILTERED:
                raise ValueError(
                    f"a stage of kind {stage.kind} filters by the key and needs reward_source=ground_truth"
                )
        if not self.recipe.is_rl_alone and not self.vocabulary.is_of_tasks:
            kinds = ", ".join(stage.kind for stage in self.recipe.stages)
            raise ValueError(f"a policy from a checkpoint learns by recipe=r1_zero alone; got stages {kinds}")
        if self.filter_groups and not self.objective.compares_group:
            raise ValueError(
                f"filter_groups=true drops groups of equal rewards and needs an adv_estimator that compares a group; "
                f"got {self.objective.adv_estimator!r}"
            )


def _at_most(settings: Mapping[str, Any], name: str, most: int, what: str, *, at_least: int = 1) -> int:
    value = whole_number(settings, name, at_least=at_least)
    if value > most:
        raise ValueError(f"{name} must be at most {what}, which is {most}; got {value}")
    return value
