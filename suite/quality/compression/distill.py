"""A short distillation: the compressed projections learn to say what the model as it is says.

The divergence needs no right answer, so that the model learns the text no better than the original knows it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.lm.decoder import Decoder
from suite.lm.training import Limits, Optimiser


def distil(student: Decoder, teacher: Decoder, windows: Sequence[Sequence[int]], *, learning_rate: float) -> None:
    """Train the student's parameters that have gradients: one AdamW update for each window, by their divergence."""
    limits = Limits(warmup_updates=len(windows) // 10, max_grad_norm=1.0, decay_updates=len(windows))
    optimiser = Optimiser(student, lr=learning_rate, limits=limits)
    with torch.enable_grad():
        for window in windows:
            divergence(student, teacher, window).backward()
            optimiser.update("the compressed model")


def divergence(student: Decoder, teacher: Decoder, window: Sequence[int]) -> Tensor:
    """The Kullback-Leibler divergence of the student's next token from the teacher's, in nats, mean over a window."""
    tokens_BS = torch.tensor([window], device=student.factory.device)
    with torch.no_grad():
        wanted_SV = F.log_softmax(teacher.logits(teacher(tokens_BS))[0], dim=-1)
    said_SV = F.log_softmax(student.logits(student(tokens_BS))[0], dim=-1)
    return F.kl_div(said_SV, wanted_SV, reduction="batchmean", log_target=True)
