"""Training a decoder on given tokens: base models, and all learning from examples."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.lm.decoder import Decoder
from suite.lm.tokenizer import END, PAD
from suite.measure.memory_tracker import attribute_to
from suite.records.holdings import OPTIMISER_TEMPORARIES

BETAS, WEIGHT_DECAY = (0.9, 0.95), 0.0
LAST_RATE = 0.05  # the last learning rate as a share of the highest, where it decays
FORMS: dict[str, dict[str, bool]] = {
    "fused": {"fused": True},
    "foreach": {"foreach": True},
    "for_loop": {"foreach": False},
}
"""Forms of AdamW's step in torch: in one kernel; all tensors at once, with temporaries as large as they are together;
or one tensor after the other."""


class NotFiniteError(Exception):
    """A loss or a gradient that is no finite number: nothing that follows would mean anything."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits that keep the first updates, and any single one, small."""

    warmup_updates: int  # updates over which the rate grows from 0
    max_grad_norm: float
    decay_updates: int | None = None
    """Updates, from the first on, over which the rate falls along half a cosine to LAST_RATE of itself; None: it
    stays."""

    def rate(self, done: int) -> float:
        """Learning rate of the update after `done` others, as a share of the highest: warm-up, then decay if asked."""
        warm = min(1.0, (done + 1) / max(self.warmup_updates, 1))
        if self.decay_updates is None:
            return warm
        turn = math.cos(math.pi * min(1.0, done / self.decay_updates))
        return warm * (LAST_RATE + (1 - LAST_RATE) * (1 + turn) / 2)


class Optimiser:
    """AdamW of the parameters that are trained, with a linear warm-up, clipped gradients and, where asked, a decay."""

    def __init__(self, model: torch.nn.Module, *, lr: float, limits: Limits, form: str = "fused") -> None:
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._lr, self._limits = lr, limits
        self._adamw = torch.optim.AdamW(self._parameters, lr=lr, betas=BETAS, weight_decay=WEIGHT_DECAY, **FORMS[form])
        self._done = 0

    def update(self, model_name: str) -> float:
        """Do one update from the parameters' gradients, and drop these. Returns their norm before clipping.

        Raises NotFiniteError, which names the model, if the norm is not finite.
        """
        rate = self._lr * self._limits.rate(self._done)
        self._done += 1
        for group in self._adamw.param_groups:
            group["lr"] = rate
        with attribute_to(kind=OPTIMISER_TEMPORARIES):
            norm = float(torch.nn.utils.clip_grad_norm_(self._parameters, self._limits.max_grad_norm, foreach=True))
            if not math.isfinite(norm):
                raise NotFiniteError(f"the gradient of {model_name} is {norm} at its update {self._done}")
            self._adamw.step()
        self._adamw.zero_grad(set_to_none=True)
        return norm

    def state_tensors(self) -> list[Tensor]:
        """The tensors that AdamW keeps from one update to the next."""
        tensors = [value for state in self._adamw.state.values() for value in state.values()]
        return [value for value in tensors if isinstance(value, Tensor)]

    def state(self) -> dict[str, object]:
        """AdamW's state and the number of updates done, for `restore`."""
        return {"done": self._done, "adamw": self._adamw.state_dict()}

    def restore(self, state: dict[str, object]) -> None:
        self._done = state["done"]  # type: ignore[assignment]
        self._adamw.load_state_dict(state["adamw"])  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Example:
    """A text as token ids, of which the first `given` are not learnt."""

    ids: Sequence[int]
    given: int = 0


def pad_examples(examples: Sequence[Example], device: torch.device, *, end: int = END) -> tuple[Tensor, Tensor]:
    """(tokens_BS: each text with its end token, padded on the right; learnt_BS: 1.0 on the tokens to learn, else 0)."""
    longest = max(len(example.ids) for example in examples) + 1
    tokens_BS = torch.full((len(examples), longest), PAD)
    learnt_BS = torch.zeros(len(examples), longest)
    for row, example in enumerate(examples):
        whole = [*example.ids, end]
        tokens_BS[row, : len(whole)] = torch.tensor(whole)
        learnt_BS[row, example.given : len(whole)] = 1.0
    return tokens_BS.to(device), learnt_BS.to(device)


def token_loss(model: Decoder, tokens_BS: Tensor, learnt_BS: Tensor) -> Tensor:
    """The mean cross-entropy of the learnt tokens, in nats. The first token of a text is never learnt."""
    logits_BSV = model.logits(model(tokens_BS[:, :-1]))
    losses = F.cross_entropy(logits_BSV.flatten(0, 1), tokens_BS[:, 1:].flatten(), reduction="none")
    weights = learnt_BS[:, 1:].flatten().to(losses.dtype)
    return (losses * weights).sum() / weights.sum()


def train_on(model: Decoder, batches: Iterable[tuple[Tensor, Tensor]], *, lr: float, limits: Limits) -> list[float]:
    """Do one update for each batch, as `pad_examples` makes them. Returns the losses. Raises NotFiniteError."""
    optimiser = Optimiser(model, lr=lr, limits=limits)
    losses = []
    for tokens_BS, learnt_BS in batches:
        loss = token_loss(model, tokens_BS, learnt_BS)
        loss.backward()
        optimiser.update("the model")
        losses.append(float(loss.detach()))
    return losses
