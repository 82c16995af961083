"""Reinforcement learning as a course, alone or among the other stages of a recipe; each is a few of its steps."""

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from suite.lm.sampling import prompts_from, sample
from suite.lm.training import NotFiniteError
from suite.measure.devices import device_for
from suite.measure.heap import keep_freed_memory
from suite.measure.meter import Meter
from suite.measure.rng import python_rng
from suite.measure.stateful import WorkloadFailedError
from suite.measure.telemetry.counters import gpu_memory
from suite.records.metrics import BASE, EVALUATE, PASS_AT_K, TRIVIAL_ACCURACY, within
from suite.records.record import Reading, constant_readings
from suite.rl.base import Base, base_model, decoder_with_weights, load_teacher
from suite.rl.plan import RlPlan, critic_settings
from suite.rl.recipe import RL
from suite.rl.registry import STAGES
from suite.rl.rollout import decode_completions, mean, pass_at_k_shares, score_samples, trace_readings
from suite.rl.stage import BeginStage, Stage, StageBegin
from suite.rl.step_memory import TrackedMemory, device_peaks
from suite.rl.tasks.task import draw, trivial_accuracy

LAST_LOSSES = 20
"""Updates of the base model that its loss is the mean of: its noise is larger than what one update changes."""


class RlWorkload:
    """A suite.measure.stateful.StatefulWorkload. Constructing it allocates nothing."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.plan = RlPlan(settings)
        self.steps, self.checkpoint_seconds = self.plan.steps, self.plan.checkpoint_seconds
        self._settings = settings

    def prepare(self, shared: Path) -> None:
        """Make or load base model, teacher and critic's base, begin the first stage, and draw the held-out prompts.
        Held-out prompts are the same for every case of a task, whatever its seed."""
        plan = self.plan
        keep_freed_memory()
        self._base = base_model(plan, self._settings, shared)
        self._teacher, self._teacher_facts = None, None
        if plan.recipe.teacher:
            self._teacher, self._teacher_facts = load_teacher(self._settings, shared, type(self))
        self._critic_base = None
        if plan.critic_base is not None and any(stage.kind == RL for stage in plan.recipe.stages):
            self._critic_base = base_model(plan.critic_base, critic_settings(self._settings), shared)
        self.policy = decoder_with_weights(plan, self._settings["attention"], self._base.weights)
        self._base = replace(self._base, weights={})  # the policy has them, and its stages copies of their own
        self._begin(0)
        self._device = device_for(self._settings["device"], plan.threads)
        self._used_bytes = gpu_memory(self._device.identity())
        self._memory = TrackedMemory(lambda: self._stage.owned_tensors()) if plan.track_memory else None
        generator = python_rng("held out")
        self._held_out = [draw(plan.task, generator, held_out=True) for _ in range(plan.eval_prompts)]
        prompts = [plan.vocabulary.prompt(plan.task, item) for item in self._held_out]
        self._held_out_prompts = prompts_from(prompts, self.policy.factory.device)

    def constants(self) -> Iterable[Reading]:
        """Readings of the plan's constants, the accuracy of guessing without skill, and the base model's loss."""
        constants = {
            **self.plan.constants(),
            EVALUATE: {TRIVIAL_ACCURACY: trivial_accuracy(self.plan.task, self._held_out)},
        }
        if losses := self._base.losses[-LAST_LOSSES:]:
            constants[BASE] = {"base_loss": mean(losses)}
        yield from constant_readings(constants)

    def facts(self) -> Mapping[str, Any]:
        """What base model and teacher took, how attention runs, and whether memory was tracked."""
        return {
            "base": _training_facts(self._base),
            **({"critic_base": _training_facts(self._critic_base)} if self._critic_base else {}),
            **({"teacher": self._teacher_facts} if self._teacher_facts else {}),
            "attention_modes": self.policy.modes(),
            **(self._memory.facts() if self._memory else {}),
        }

    def step(self, meter: Meter) -> None:
        """Take one step of the stage that is due, after an evaluation where one is due; the last step also ends with
        one. Raises WorkloadFailedError where a loss or gradient is not finite."""
        begins = any(stage.first == meter.step for stage in self.plan.recipe.stages)
        if begins and meter.step > 0:
            self._begin(self._number + 1)
        looks = begins or self.plan.evaluates_before(meter.step)
        tracking = self._memory.track_step(meter) if self._memory else nullcontext()
        with device_peaks(self._device, self._used_bytes, meter), tracking:
            if looks:
                self._evaluate(meter)
            try:
                self._stage.step(meter, looks=looks)
            except NotFiniteError as error:
                raise WorkloadFailedError(f"step {meter.step}: {error}") from error
            if meter.step + 1 == self.plan.steps:
                meter.step += 1
                self._evaluate(meter)
                meter.step -= 1

    def state(self) -> dict[str, Any]:
        """The stage's number, the policy as that stage began, and the stage's own state: what `restore` takes."""
        return {"number": self._number, "began": self._began, "stage": self._stage.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Begin the saved stage again, from the policy that it began with, and let the stage restore the rest."""
        self.policy.load_state_dict(state["began"])
        self._begin(state["number"])
        self._stage.restore(state["stage"])

    def _begin(self, number: int) -> None:
        """Begin the stage of this number, from the policy as it is now."""
        planned = self.plan.recipe.stages[number]
        self._number, self._began = number, {name: weight.clone() for name, weight in self.policy.state_dict().items()}
        begin: BeginStage = STAGES.load(planned.kind)
        self._stage: Stage = begin(
            StageBegin(
                plan=self.plan,
                planned=planned,
                attention=self._settings["attention"],
                policy=self.policy,
                teacher=self._teacher,
                critic_base=self._critic_base.weights if self._critic_base else None,
            )
        )

    def _evaluate(self, meter: Meter) -> None:
        """Answer the held-out prompts greedily; note accuracy, format and lengths, and pass@k at first and at last. No
        algorithm pays for it."""
        with meter.span(EVALUATE):
            samples = sample(
                self.policy,
                self._held_out_prompts,
                longest=self.plan.longest_completion,
                end=self.plan.vocabulary.end,
                generator=None,
            )
            scores = score_samples(self.plan, self._held_out, samples)
            if self.plan.pass_at_k is not None and meter.step in (0, self.plan.steps):
                shares = pass_at_k_shares(self.plan, self.policy, self._held_out, self._held_out_prompts)
                for k, share in shares.items():
                    meter.note(within(EVALUATE, f"k={k}"), **{PASS_AT_K: share})
        meter.note(
            EVALUATE,
            heldout_accuracy=mean([score.accuracy for score in scores]),
            heldout_format=mean([score.format for score in scores]),
            heldout_length=float(samples.lengths.mean()),
            **trace_readings(decode_completions(self.plan, samples), "heldout_"),
        )


def _training_facts(base: Base) -> dict[str, Any]:
    return {"key": base.key[:16], "process_cpu_s": base.process_cpu_s}
