"""A decoder trained from nothing on a task's questions, as a course: a step is the updates between two evaluations."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from suite.lm.decoder import Decoder, Made
from suite.lm.training import Limits, NotFiniteError, Optimiser
from suite.measure.course import CourseFailedError
from suite.measure.meter import Meter
from suite.measure.streams import numpy_stream, torch_stream
from suite.quality.answers import Answers, Asked, answers_to, training_loss
from suite.quality.cached import linear_probe_accuracy
from suite.quality.heads import heads_of, without_head
from suite.quality.plan import QualityPlan
from suite.quality.tasks.task import HasDetails
from suite.records.metrics import CACHED, DECODE, EVALUATE, HEAD_ABLATION, TRAIN, within
from suite.records.record import STEP, Reading, constant_readings

WARM_DECODES, TIMED_DECODES = 3, 30


class QualityWorkload:
    """See suite.measure.course.Course. Constructing it allocates nothing."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.plan = QualityPlan(settings)
        self.checkpoint_seconds = self.plan.checkpoint_seconds
        self._settings = settings

    @property
    def steps(self) -> int:
        return self.plan.steps

    def prepare(self, shared: Path) -> None:
        plan, device = self.plan, torch.device(self.plan.device)
        made = Made(
            dtype=getattr(torch, plan.dtype), device=device, generator=torch_stream(device, plan.seed, "weights")
        )
        self.model = Decoder(plan.shape, self._settings["attention"], positions=plan.positions, made=made)
        limits = Limits(
            warmup_updates=plan.warmup_updates, max_grad_norm=plan.max_grad_norm, decay_updates=plan.updates
        )
        self._optimiser = Optimiser(self.model, lr=plan.lr, limits=limits)
        self._held_out = Asked.of(plan.task.held_out(), device)

    def constants(self) -> Iterable[Reading]:
        of_kind = torch.bincount(self._held_out.kinds_BQ.flatten(), minlength=len(self.plan.task.kinds)).tolist()
        asked = {within(EVALUATE, name): sum(of_kind[kind] for kind in kinds) for name, kinds in self._told()}
        counts = {span: {"questions_asked": count} for span, count in {EVALUATE: sum(of_kind), **asked}.items()}
        return [*constant_readings(self.plan.constants()), *constant_readings(counts)]

    def facts(self) -> Mapping[str, Any]:
        return {"attention_modes": self.model.modes()}

    def step(self, meter: Meter) -> None:
        self._evaluate(meter)
        first = meter.step * self.plan.eval_every
        try:
            with meter.span(TRAIN):
                loss = sum(self._update(number) for number in range(first, first + self.plan.eval_every))
        except NotFiniteError as error:
            raise CourseFailedError(f"step {meter.step}: {error}") from error
        meter.note(
            STEP,
            updates=self.plan.eval_every,
            questions=self.plan.eval_every * self.plan.batch * self._held_out.answers_BQ.shape[1],
            training_loss=loss / self.plan.eval_every,
        )
        if meter.step + 1 == self.steps:
            meter.step += 1
            self._evaluate(meter)
            self._look_inside(meter)
            self._time_decode(meter)
            meter.step -= 1

    def state(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "optimiser": self._optimiser.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self._optimiser.restore(state["optimiser"])

    def _update(self, number: int) -> float:
        plan = self.plan
        generator = numpy_stream(plan.seed, "questions", number)
        questions = plan.task.training(plan.batch, generator, number / plan.updates)
        loss = training_loss(self.model, Asked.of(questions, self.model.made.device))
        loss.backward()
        self._optimiser.update("the model")
        return float(loss.detach())

    def _evaluate(self, meter: Meter) -> None:
        with meter.span(EVALUATE):
            answers = self._answers()
        everything = range(len(self.plan.task.kinds))
        meter.note(EVALUATE, answer_accuracy=answers.share(everything), answer_loss=answers.mean_loss(everything))
        for name, kinds in self._told():
            meter.note(
                within(EVALUATE, name), answer_accuracy=answers.share(kinds), answer_loss=answers.mean_loss(kinds)
            )

    def _look_inside(self, meter: Meter) -> None:
        """Without each head, and into the cache: of the trained decoder only."""
        for layer, head in heads_of(self.model):
            with without_head(self.model, layer, head):
                answers = self._answers()
            for name, kinds in self._told():
                meter.note(
                    within(HEAD_ABLATION, f"layer {layer} head {head}", name), answer_accuracy=answers.share(kinds)
                )
        task = self.plan.task
        if isinstance(task, HasDetails):
            found = linear_probe_accuracy(self.model, task)
            for name, kinds in self._told():
                meter.note(within(CACHED, name), linear_probe_accuracy=sum(found[kind] for kind in kinds) / len(kinds))

    @torch.no_grad()
    def _time_decode(self, meter: Meter) -> None:
        """One new token of one sequence, behind decode_len others, whose contents do not matter for its time."""
        length, device = self.plan.decode_len, self.model.made.device
        generator = torch_stream(device, "decode")
        caches = self.model.new_caches(1, length + 1)
        for cache in caches:
            cache.fill(generator)
        token_B1 = torch.zeros(1, 1, dtype=torch.long, device=device)
        for number in range(WARM_DECODES + TIMED_DECODES):
            if number < WARM_DECODES:
                self.model.decode(token_B1, caches, length, None)
                continue
            with meter.span(DECODE):
                self.model.decode(token_B1, caches, length, None)

    def _answers(self) -> Answers:
        return answers_to(self.model, self._held_out, len(self.plan.task.kinds))

    def _told(self) -> list[tuple[str, list[int]]]:
        """Names of what is told apart, and the kinds that each is of: groups, then single kinds where several."""
        task = self.plan.task
        single = [(kind, [place]) for place, kind in enumerate(task.kinds)] if len(task.kinds) > 1 else []
        return [*((name, list(kinds)) for name, kinds in task.groups.items()), *single]
