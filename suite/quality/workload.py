"""A decoder trained from nothing on a task's questions: a step is the updates between two evaluations.

The last step looks into it in two ways: by a linear probe of its cache, and by an ablation of each of its heads. A
decoder may fail to answer since the detail is not in the cache any more, or since it is never looked for: the linear
probe tells the two apart. It is ridge regression from the cached numbers of the first layer to each detail's values,
one against all, fitted on other tokens than it is tried on. Tokens are the first of a sequence, whose rotary angles
are 0. Without a head, the questions that go unanswered are those that this head alone had found.

Shapes: N tokens, K ids of each, A details, E cached numbers, C classes of a detail.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.lm.decoder import Decoder, FactoryKwargs
from suite.lm.training import Limits, NotFiniteError, Optimiser
from suite.measure.meter import Meter
from suite.measure.rng import numpy_rng, torch_rng
from suite.measure.stateful import WorkloadFailedError, time_repeats
from suite.quality.answers import AnswerTotals, QuestionBatch, answers_to, embed, training_loss
from suite.quality.plan import QualityPlan
from suite.quality.tasks.task import HasDetails
from suite.records.metrics import CACHED, DECODE, EVALUATE, HEAD_ABLATION, TRAIN, within
from suite.records.record import STEP, Reading, constant_readings

WARM_DECODES, TIMED_DECODES = 3, 30


class QualityWorkload:
    """See suite.measure.stateful.StatefulWorkload. Constructing it allocates nothing."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.plan = QualityPlan(settings)
        self.checkpoint_seconds = self.plan.checkpoint_seconds
        self._settings = settings

    @property
    def steps(self) -> int:
        return self.plan.steps

    def prepare(self, shared: Path) -> None:
        """Make the decoder and its optimiser, and put the held-out questions on the device."""
        plan, device = self.plan, torch.device(self.plan.device)
        generator = torch_rng(device, plan.seed, "weights")
        factory = FactoryKwargs(dtype=getattr(torch, plan.dtype), device=device, generator=generator)
        self.model = Decoder(plan.shape, self._settings["attention"], positions=plan.positions, made=factory)
        limits = Limits(
            warmup_updates=plan.warmup_updates, max_grad_norm=plan.max_grad_norm, decay_updates=plan.updates
        )
        self._optimiser = Optimiser(self.model, lr=plan.lr, limits=limits)
        self._held_out = QuestionBatch.from_questions(plan.task.held_out(), device)

    def constants(self) -> Iterable[Reading]:
        """Readings of the plan's constants, and of the number of held-out questions of each kind."""
        counts = torch.bincount(self._held_out.kinds_BQ.flatten(), minlength=len(self.plan.task.kinds)).tolist()
        questions = {EVALUATE: {"questions_asked": sum(counts)}}
        for name, kinds in self._reported_kinds():
            questions[within(EVALUATE, name)] = {"questions_asked": sum(counts[kind] for kind in kinds)}
        return [*constant_readings(self.plan.constants()), *constant_readings(questions)]

    def facts(self) -> Mapping[str, Any]:
        return {"attention_modes": self.model.modes()}

    def step(self, meter: Meter) -> None:
        """Evaluate, then train for `eval_every` updates. The last step evaluates once more, probes heads and cache, and
        times decoding. Raises WorkloadFailedError where a loss or gradient is not finite."""
        self._evaluate(meter)
        first = meter.step * self.plan.eval_every
        try:
            with meter.span(TRAIN):
                loss = sum(self._update(number) for number in range(first, first + self.plan.eval_every))
        except NotFiniteError as error:
            raise WorkloadFailedError(f"step {meter.step}: {error}") from error
        meter.note(
            STEP,
            updates=self.plan.eval_every,
            questions=self.plan.eval_every * self.plan.batch * self._held_out.answers_BQ.shape[1],
            training_loss=loss / self.plan.eval_every,
        )
        if meter.step + 1 == self.steps:
            meter.step += 1
            self._evaluate(meter)
            self._probe(meter)
            self._time_decode(meter)
            meter.step -= 1

    def state(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "optimiser": self._optimiser.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self._optimiser.restore(state["optimiser"])

    def _update(self, number: int) -> float:
        """Train on the questions of this update, counted from 0; the loss in nats."""
        plan = self.plan
        generator = numpy_rng(plan.seed, "questions", number)
        questions = plan.task.training(plan.batch, generator, number / plan.updates)
        loss = training_loss(self.model, QuestionBatch.from_questions(questions, self.model.made.device))
        loss.backward()
        self._optimiser.update("the model")
        return float(loss.detach())

    def _evaluate(self, meter: Meter) -> None:
        """Note accuracy and loss on the held-out questions, of all together and by kind."""
        with meter.span(EVALUATE):
            answers = self._held_out_answers()
        spans = [(within(EVALUATE, name), kinds) for name, kinds in self._reported_kinds()]
        for span, kinds in [(EVALUATE, list(range(len(self.plan.task.kinds)))), *spans]:
            meter.note(span, answer_accuracy=answers.accuracy(kinds), answer_loss=answers.mean_loss(kinds))

    def _probe(self, meter: Meter) -> None:
        """Note held-out accuracy without each head, and what a linear probe reads from the cache."""
        for layer, head in all_heads(self.model):
            with ablated_head(self.model, layer, head):
                answers = self._held_out_answers()
            for name, kinds in self._reported_kinds():
                span = within(HEAD_ABLATION, f"layer {layer} head {head}", name)
                meter.note(span, answer_accuracy=answers.accuracy(kinds))
        task = self.plan.task
        if isinstance(task, HasDetails):
            accuracies = linear_probe_accuracies(self.model, task)
            for name, kinds in self._reported_kinds():
                accuracy = sum(accuracies[kind] for kind in kinds) / len(kinds)
                meter.note(within(CACHED, name), linear_probe_accuracy=accuracy)

    @torch.no_grad()
    def _time_decode(self, meter: Meter) -> None:
        """Time one new token of one sequence, behind decode_len others, whose contents do not matter for its time."""
        length, device = self.plan.decode_len, self.model.made.device
        generator, caches = torch_rng(device, "decode"), self.model.new_caches(1, length + 1)
        for cache in caches:
            cache.fill(generator)
        token_B1 = torch.zeros(1, 1, dtype=torch.long, device=device)
        decode = functools.partial(self.model.decode, token_B1, caches, length, None)
        time_repeats(meter, DECODE, decode, warm=WARM_DECODES, timed=TIMED_DECODES)

    def _held_out_answers(self) -> AnswerTotals:
        return answers_to(self.model, self._held_out, len(self.plan.task.kinds))

    def _reported_kinds(self) -> list[tuple[str, list[int]]]:
        """Name and kinds of each span of readings: the task's groups, then single kinds where there are several."""
        task = self.plan.task
        single = [(kind, [place]) for place, kind in enumerate(task.kinds)] if len(task.kinds) > 1 else []
        return [*((name, list(kinds)) for name, kinds in task.groups.items()), *single]


FITTED_ON, TRIED_ON = 4096, 2048
RIDGE = 1e-3
"""Penalty as a share of the cached numbers' mean square: small beside them, and enough where they are fewer than their
width."""


@torch.no_grad()
def linear_probe_accuracies(model: Decoder, task: HasDetails) -> list[float]:
    """For each detail, the share of tokens whose value a linear probe reads rightly from the first layer's cache. The
    probe is fitted on FITTED_ON tokens and tried on TRIED_ON others."""
    bundles = task.bundles(FITTED_ON + TRIED_ON, numpy_rng("cached", "bundles"))
    tokens_NK, details_NA = (torch.from_numpy(array).to(model.made.device) for array in bundles)
    caches = model.new_caches(len(tokens_NK), 1)
    model.decode_through(embed(model, tokens_NK[:, None]), caches, 0, None)
    cached_NE = torch.cat([view.flatten(1) for view in caches[0].views()], dim=1).double()
    return [_probe_accuracy(cached_NE, classes_N) for classes_N in details_NA.unbind(dim=1)]


def _probe_accuracy(cached_NE: Tensor, classes_N: Tensor) -> float:
    """Fit ridge regression to the first FITTED_ON tokens, one class against all; its accuracy on the other tokens."""
    biased_NE = F.pad(cached_NE, (0, 1), value=1.0)  # a constant column, whose weights are the intercepts
    fitted_NE, tried_NE = biased_NE[:FITTED_ON], biased_NE[FITTED_ON:]
    wanted_NC = F.one_hot(classes_N[:FITTED_ON]).double()
    gram_EE = fitted_NE.T @ fitted_NE
    gram_EE += RIDGE * gram_EE.diagonal().mean() * torch.eye(len(gram_EE), dtype=gram_EE.dtype, device=gram_EE.device)
    weights_EC = torch.linalg.solve(gram_EE, fitted_NE.T @ wanted_NC)
    return float(((tried_NE @ weights_EC).argmax(dim=1) == classes_N[FITTED_ON:]).double().mean())


def all_heads(model: Decoder) -> list[tuple[int, int]]:
    """All heads of the decoder as (layer, head)."""
    return [(layer, head) for layer in range(model.shape.num_layers) for head in range(model.shape.layer.num_heads)]


@contextmanager
def ablated_head(model: Decoder, layer: int, head: int) -> Iterator[None]:
    """Silence a head within the context: its columns of the output projection are 0, and are put back at the end."""
    weight_DE = model.attention_layer(layer).w_o
    assert isinstance(weight_DE, torch.nn.Parameter)
    width = weight_DE.shape[1] // model.shape.layer.num_heads
    columns = slice(head * width, (head + 1) * width)
    with torch.no_grad():
        original_DE = weight_DE[:, columns].clone()
        weight_DE[:, columns] = 0
        try:
            yield
        finally:
            weight_DE[:, columns] = original_DE
