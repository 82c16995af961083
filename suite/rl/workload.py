"""Reinforcement learning as a course: each step is a rollout, its scores and the updates that they give."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from suite.lm.sampling import prompts_from, sample
from suite.lm.training import NotFiniteError
from suite.measure.course import CourseFailedError
from suite.measure.meter import Meter
from suite.measure.workload import IncorrectError
from suite.records.record import STEP, Reading, constant_readings
from suite.records.rl_metrics import BASE, EVALUATE
from suite.rl.base import base_model, new_decoder
from suite.rl.critic import Critic
from suite.rl.experience import Experience, gather, groups_with_signal, scores_of
from suite.rl.learner import Learner, mean_kl
from suite.rl.plan import RlPlan
from suite.rl.streams import python_stream
from suite.rl.tasks.task import draw

LARGEST_SAMPLING_ERROR = {"float32": 1e-4, "float64": 1e-9}
"""In nats. Seen: 2e-6 in float32, where a cache and a whole pass add up in other orders."""
LARGER_FOR_CHECKPOINTS = 10
"""Times as much: a published model's logits are tens, after 30 layers in float32. Seen: 6e-5 with SmolLM2."""
LAST_LOSSES = 20
"""Of the base model's training: its noise is larger than what one update changes."""


class RlWorkload:
    """See suite.measure.course.Course. Constructing it allocates nothing."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.plan = RlPlan(settings)
        self.steps, self.checkpoint_seconds = self.plan.steps, self.plan.checkpoint_seconds
        self._settings = settings

    def prepare(self, shared: Path) -> None:
        plan, attention = self.plan, self._settings["attention"]
        self._base = base_model(plan, self._settings, shared)
        begins = [new_decoder(plan, attention) for _ in range(3 if plan.objective.has_critic else 2)]
        for decoder in begins:
            decoder.load_state_dict(self._base.weights)
        self._base = replace(self._base, weights={})  # three copies are enough
        policy, reference = begins[:2]
        reference.requires_grad_(False)
        critic = Critic(begins[2]) if plan.objective.has_critic else None
        self._learner = Learner(plan, policy, reference, critic)
        # The same for every case of a task, whatever its seed.
        chance = python_stream("held out")
        self._held_out = [draw(plan.task, chance, held_out=True) for _ in range(plan.eval_prompts)]
        prompts = [plan.vocabulary.prompt(plan.task, item) for item in self._held_out]
        self._held_out_prompts = prompts_from(prompts, policy.made.device)

    def constants(self) -> Iterable[Reading]:
        last = self._base.losses[-LAST_LOSSES:]
        of_base = {BASE: {"base_loss": sum(last) / len(last)}} if last else {}
        yield from constant_readings({**self.plan.constants(), **of_base})

    def facts(self) -> Mapping[str, Any]:
        modes = self._learner.policy.modes()
        return {
            "base": {"key": self._base.key[:16], "process_cpu_s": self._base.process_cpu_s},
            "attention_modes": modes,
        }

    def step(self, meter: Meter) -> None:
        plan, learner = self.plan, self._learner
        looks = meter.step % plan.eval_every == 0
        if looks:
            self._evaluate(meter)
        gathered = gather(plan, learner.policy, meter)
        meter.note(STEP, **_of_rollouts(gathered.sampled))
        if looks:
            self._check(meter, gathered.sampled[0])
        seen = {"updates": 0.0}
        if gathered.kept is not None:
            with meter.span("score"):
                learnable, of_scores = learner.scored(gathered.kept)
            try:
                with meter.span("update"):
                    seen = learner.update(learnable, plan.seed, meter.step)
            except NotFiniteError as error:
                raise CourseFailedError(f"step {meter.step}: {error}") from error
            seen |= of_scores
        if looks and "kl_reference" not in seen:
            with meter.span(EVALUATE):
                one = gathered.sampled[0]
                seen["kl_reference"] = mean_kl(one, learner.reference_log_probs(one))
        meter.note(STEP, **seen)
        if meter.step + 1 == plan.steps:
            meter.step += 1
            self._evaluate(meter)
            meter.step -= 1

    def state(self) -> dict[str, Any]:
        return self._learner.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self._learner.restore(state)

    def _check(self, meter: Meter, experience: Experience) -> None:
        """Sampling and scoring must agree on what a token's probability is, or every ratio is wrong."""
        with meter.span(EVALUATE):
            scored_NT = self._learner.policy_log_probs(experience)
            error = float(((scored_NT - experience.log_probs_NT) * experience.mask_NT).abs().max())
        meter.note(STEP, sampling_error=error)
        allowed = LARGEST_SAMPLING_ERROR[self.plan.dtype]
        allowed *= 1 if self.plan.policy.checkpoint is None else LARGER_FOR_CHECKPOINTS
        if not error <= allowed:
            raise IncorrectError(
                f"step {meter.step}: log-probabilities at sampling and at scoring differ by up to {error:.2g}, "
                f"more than the {allowed:g} of {self.plan.dtype}'s rounding"
            )

    def _evaluate(self, meter: Meter) -> None:
        """Greedily, on the held-out prompts; no part of an algorithm's cost."""
        with meter.span(EVALUATE):
            samples = sample(
                self._learner.policy,
                self._held_out_prompts,
                longest=self.plan.longest_completion,
                end=self.plan.vocabulary.end,
                generator=None,
            )
            scores = scores_of(self.plan, self._held_out, samples)
        meter.note(
            EVALUATE,
            heldout_accuracy=_mean([score.accuracy for score in scores]),
            heldout_format=_mean([score.format for score in scores]),
            heldout_length=float(samples.lengths.mean()),
        )


def _of_rollouts(sampled: Sequence[Experience]) -> dict[str, float]:
    """What a step's rollouts cost and were worth, those that taught nothing included."""
    scores = [score for one in sampled for score in one.scores]
    steps = [step.reward for score in scores for step in score.steps]
    tokens = sum(float(one.mask_NT.sum()) for one in sampled)
    silent = [1 - len(groups_with_signal(one.rewards_N, one.groups_N)) / len(one.groups_N.unique()) for one in sampled]
    return {
        "completions": float(len(scores)),
        "sampled_tokens": tokens,
        "reward": _over(sampled, [one.rewards_N for one in sampled]),
        "accuracy": _mean([score.accuracy for score in scores]),
        "format": _mean([score.format for score in scores]),
        **({"step_reward": _mean(steps)} if steps else {}),
        **{part: _mean([score.parts[part] for score in scores]) for part in scores[0].parts},
        "entropy": sum(float(one.entropy_NT.sum()) for one in sampled) / tokens,
        "groups_without_signal": _mean(silent),
        "completion_length": tokens / len(scores),
        "truncated": _over(sampled, [one.is_truncated_N for one in sampled]),
    }


def _over(sampled: Sequence[Experience], values: Sequence[Tensor]) -> float:
    """Mean over all completions of all rounds."""
    return sum(float(one.sum()) for one in values) / sum(len(one.scores) for one in sampled)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
