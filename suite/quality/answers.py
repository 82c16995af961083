"""A decoder's answers: the loss that it is trained by, and the shares of held-out questions that it gets right.

Shapes: as in suite/quality/tasks/task.py, D hidden width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from suite.lm.decoder import Decoder
from suite.quality.tasks.task import NO_ID, Questions

TOKENS_AT_ONCE = 16_384
"""Tokens that an evaluation computes at once, so that it holds little more than training does."""


@dataclass(frozen=True, kw_only=True)
class QuestionBatch:
    """Questions as tensors of a device."""

    tokens_BSK: Tensor
    answers_BQ: Tensor
    kinds_BQ: Tensor
    weights_BQ: Tensor | None
    mask_11SS: Tensor | None

    @classmethod
    def from_questions(cls, questions: Questions, device: torch.device) -> "QuestionBatch":
        def tensor(array: NDArray[Any]) -> Tensor:
            return torch.from_numpy(array).to(device)

        weights_BQ, visible_SS = questions.weights_BQ, questions.visible_SS
        return cls(
            tokens_BSK=tensor(questions.tokens_BSK),
            answers_BQ=tensor(questions.answers_BQ),
            kinds_BQ=tensor(questions.kinds_BQ),
            weights_BQ=None if weights_BQ is None else tensor(weights_BQ),
            mask_11SS=None if visible_SS is None else tensor(visible_SS)[None, None],
        )

    def parts(self) -> Sequence["QuestionBatch"]:
        """Split into parts of few enough sequences to be computed at once."""
        rows = max(1, TOKENS_AT_ONCE // self.tokens_BSK.shape[1])
        return [
            QuestionBatch(
                tokens_BSK=tokens, answers_BQ=answers, kinds_BQ=kinds, weights_BQ=None, mask_11SS=self.mask_11SS
            )
            for tokens, answers, kinds in zip(
                self.tokens_BSK.split(rows), self.answers_BQ.split(rows), self.kinds_BQ.split(rows), strict=True
            )
        ]


def embed(model: Decoder, tokens_BSK: Tensor) -> Tensor:
    """Return x_BSD: for each token the sum over its ids, of which NO_ID adds nothing."""
    batch, length, ids = tokens_BSK.shape
    if ids == 1:
        return F.embedding(tokens_BSK[..., 0], model.embedding)
    x_ND = F.embedding_bag(tokens_BSK.view(-1, ids), model.embedding, mode="sum", padding_idx=NO_ID)
    return x_ND.view(batch, length, -1)


def answer_logits(model: Decoder, asked: QuestionBatch) -> Tensor:
    """Return logits_BQV of the asked tokens, which are the last of each sequence."""
    h_BSD = model.through(embed(model, asked.tokens_BSK), asked.mask_11SS)
    return model.logits(h_BSD[:, -asked.answers_BQ.shape[1] :])


def answer_losses(logits_BQV: Tensor, answers_BQ: Tensor) -> Tensor:
    """Return the loss of each answer, in nats, [B, Q]."""
    losses_N = F.cross_entropy(logits_BQV.flatten(0, 1), answers_BQ.flatten(), reduction="none")
    return losses_N.view_as(answers_BQ)


def training_loss(model: Decoder, asked: QuestionBatch) -> Tensor:
    losses_BQ = answer_losses(answer_logits(model, asked), asked.answers_BQ)
    return (losses_BQ if asked.weights_BQ is None else losses_BQ * asked.weights_BQ).mean()


@dataclass(frozen=True, kw_only=True)
class AnswerTotals:
    """Sums over an evaluation, one entry for each kind of question. N: kinds."""

    asked_N: Tensor
    right_N: Tensor
    loss_N: Tensor

    def accuracy(self, kinds: Sequence[int]) -> float:
        """Return the accuracy on the questions of these kinds together."""
        chosen = list(kinds)
        return float(self.right_N[chosen].sum() / self.asked_N[chosen].sum())

    def mean_loss(self, kinds: Sequence[int]) -> float:
        chosen = list(kinds)
        return float(self.loss_N[chosen].sum() / self.asked_N[chosen].sum())


@torch.no_grad()
def answers_to(model: Decoder, asked: QuestionBatch, kinds: int) -> AnswerTotals:
    """Sum up the answers to all questions, of so many kinds, in float64: the order of the parts is then of no
    matter."""
    sums_3N = torch.zeros(3, kinds, dtype=torch.float64, device=asked.kinds_BQ.device)
    for part in asked.parts():
        logits_BQV = answer_logits(model, part)
        losses_BQ = answer_losses(logits_BQV, part.answers_BQ)
        right_BQ = logits_BQV.argmax(dim=-1) == part.answers_BQ
        of_question_3M = torch.stack((torch.ones_like(losses_BQ), right_BQ, losses_BQ)).flatten(1).double()
        sums_3N.index_add_(1, part.kinds_BQ.flatten(), of_question_3M)
    return AnswerTotals(asked_N=sums_3N[0], right_N=sums_3N[1], loss_N=sums_3N[2])
