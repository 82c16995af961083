"""A decoder trained from nothing on a task's questions: a step is the updates between two evaluations.

The last step looks into it in two ways: by a linear probe of its cache, and by an ablation of each of its heads. A
decoder may fail to answer since the detail is not in the cache any more, or since it is never looked for: the linear
probe tells the two apart. It is ridge regression from the cached numbers of the first layer to each detail's values,
one against all, fitted on other tokens than it is tried on. Tokens are the first of a sequence, whose rotary angles
are 0. Without a head, the questions that go unanswered are those that this head alone had found.

Shapes: as in suite/quality/tasks/task.py; N tokens, K ids of each, A details, E cached numbers, C classes of a detail,
D hidden width, V vocabulary.
"""

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
from suite.quality.plan import QualityPlan
from suite.quality.tasks.task import NO_ID, HasDetails, Questions
from suite.records.metrics import CACHED, DECODE, EVALUATE, HEAD_ABLATION, TRAIN, within
from suite.records.record import STEP, Reading, constant_readings

TOKENS_AT_ONCE = 16_384  # tokens that an evaluation computes at once, so that it holds little more than training does


@dataclass(frozen=True, kw_only=True)
class QuestionBatch:
    """A batch of questions as tensors on a device."""

    tokens_BSK: Tensor
    answers_BQ: Tensor
    kinds_BQ: Tensor
    weights_BQ: Tensor | None = None
    mask_11SS: Tensor | None = None

    @classmethod
    def from_questions(cls, questions: Questions, device: torch.device) -> "QuestionBatch":
        """The arrays as tensors of the device; on a CPU they share their memory. The mask is one for all sequences, and
        None where each token sees itself and those before it."""
        arrays = {name: array for name, array in vars(questions).items() if array is not None}
        tensors = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
        visible_SS = tensors.pop("visible_SS", None)
        return cls(mask_11SS=None if visible_SS is None else visible_SS[None, None], **tensors)

    def parts(self) -> Sequence["QuestionBatch"]:
        """Split into parts of at most TOKENS_AT_ONCE tokens, one sequence at least, without the weights."""
        rows = max(1, TOKENS_AT_ONCE // self.tokens_BSK.shape[1])
        split = (self.tokens_BSK.split(rows), self.answers_BQ.split(rows), self.kinds_BQ.split(rows))
        return [
            QuestionBatch(tokens_BSK=tokens, answers_BQ=answers, kinds_BQ=kinds, mask_11SS=self.mask_11SS)
            for tokens, answers, kinds in zip(*split, strict=True)
        ]


def embed(model: Decoder, tokens_BSK: Tensor) -> Tensor:
    """x_BSD: for each token the sum of its ids' embeddings; NO_ID adds nothing."""
    batch, length, ids = tokens_BSK.shape
    if ids == 1:
        return F.embedding(tokens_BSK[..., 0], model.embedding)
    x_ND = F.embedding_bag(tokens_BSK.view(-1, ids), model.embedding, mode="sum", padding_idx=NO_ID)
    return x_ND.view(batch, length, -1)


def answer_logits(model: Decoder, questions: QuestionBatch) -> Tensor:
    """logits_BQV of the tokens that ask, which are the last Q of each sequence."""
    h_BSD = model.through(embed(model, questions.tokens_BSK), questions.mask_11SS)
    return model.logits(h_BSD[:, -questions.answers_BQ.shape[1] :])


def answer_losses(logits_BQV: Tensor, answers_BQ: Tensor) -> Tensor:
    """Cross-entropy of each answer in nats, [B, Q]."""
    losses_N = F.cross_entropy(logits_BQV.flatten(0, 1), answers_BQ.flatten(), reduction="none")
    return losses_N.view_as(answers_BQ)


def training_loss(model: Decoder, questions: QuestionBatch) -> Tensor:
    """Mean loss of all answers in nats, weighted where the questions have weights."""
    losses_BQ = answer_losses(answer_logits(model, questions), questions.answers_BQ)
    return (losses_BQ if questions.weights_BQ is None else losses_BQ * questions.weights_BQ).mean()


@dataclass(frozen=True, kw_only=True)
class AnswerTotals:
    """Sums over an evaluation, one entry for each kind of question. N: kinds."""

    asked_N: Tensor
    right_N: Tensor
    loss_N: Tensor

    def accuracy(self, kinds: Sequence[int]) -> float:
        """Share of right answers among all questions of these kinds together."""
        return float(self.right_N[list(kinds)].sum() / self.asked_N[list(kinds)].sum())

    def mean_loss(self, kinds: Sequence[int]) -> float:
        """Mean loss in nats of all questions of these kinds together."""
        return float(self.loss_N[list(kinds)].sum() / self.asked_N[list(kinds)].sum())


@torch.no_grad()
def answers_to(model: Decoder, questions: QuestionBatch, kinds: int) -> AnswerTotals:
    """Answer all questions; by kind, how many were asked, how many were right, and the sum of losses. Sums are in
    float64, so that the order of the parts does not matter. `kinds`: how many there are."""
    sums_3N = torch.zeros(3, kinds, dtype=torch.float64, device=questions.kinds_BQ.device)
    for part in questions.parts():
        logits_BQV = answer_logits(model, part)
        losses_BQ = answer_losses(logits_BQV, part.answers_BQ)
        right_BQ = logits_BQV.argmax(dim=-1) == part.answers_BQ
        counts_3M = torch.stack((torch.ones_like(losses_BQ), right_BQ, losses_BQ)).flatten(1).double()
        sums_3N.index_add_(1, part.kinds_BQ.flatten(), counts_3M)
    return AnswerTotals(asked_N=sums_3N[0], right_N=sums_3N[1], loss_N=sums_3N[2])


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
        self.model = Decoder(plan.shape, self._settings["attention"], positions=plan.positions, factory=factory)
        self.model.embedding.requires_grad_(not plan.freezes_embeddings)
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
        loss = training_loss(self.model, QuestionBatch.from_questions(questions, self.model.factory.device))
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
        """Note held-out accuracy without each head, if asked to, and what a linear probe reads from the cache."""
        shape = self.model.shape
        all_heads = itertools.product(range(shape.num_layers), range(shape.layer.num_heads))
        for layer, head in all_heads if self.plan.ablates_heads else ():
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
        length, device = self.plan.decode_len, self.model.factory.device
        generator, caches = torch_rng(device, "decode"), self.model.new_caches(1, length + 1)
        for cache in caches:
            cache.fill(generator)
        token_B1 = torch.zeros(1, 1, dtype=torch.long, device=device)
        decode = functools.partial(self.model.decode, token_B1, caches, length, None)
        time_repeats(meter, DECODE, decode, warm=WARM_DECODES, timed=TIMED_DECODES)

    def _held_out_answers(self) -> AnswerTotals:
        return answers_to(self.model, self._held_out, len(self.plan.task.kinds))

    def _reported_kinds(self) -> list[tuple[str, list[int]]]:
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
    tokens_NK, details_NA = (torch.from_numpy(array).to(model.factory.device) for array in bundles)
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
