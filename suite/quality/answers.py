"""A decoder's answers: the loss that it is trained by, and the shares of held-out questions that it gets right.

Shapes: as in suite/quality/tasks/task.py, D hidden width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.lm.decoder import Decoder
from suite.quality.tasks.task import NO_ID, Questions

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
