"""A stage that trains on given texts, in as many updates of as many texts as reinforcement learning makes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from suite.lm.training import Example, Limits, Optimiser, batch_of, token_loss
from suite.measure.memory_tracker import OwnedTensors, attribute_to
from suite.measure.meter import Meter
from suite.records.holdings import ACTIVATIONS, OPTIMISER, OTHER, PARAMETERS, POLICY
from suite.records.record import STEP
from suite.rl.lessons import Lessons
from suite.rl.rollout_readings import mean
from suite.rl.stage import StageBegin


class Taught:
    def __init__(self, at: StageBegin, lessons: Lessons, *, lr: float) -> None:
        self._plan, self._policy, self._lessons = at.plan, at.policy, lessons
        limits = Limits(warmup_updates=at.plan.warmup_updates, max_grad_norm=at.plan.max_grad_norm)
        self._optimiser = Optimiser(at.policy, lr=lr, limits=limits)

    def step(self, meter: Meter, *, looks: bool) -> None:
        meter.note(STEP, **self._lessons.gather(meter))
        with meter.span("update"):
            examples = self._lessons.of_step(meter.step, self._plan.completions * self._plan.inner_epochs)
            seen = self._update(examples)
        meter.note(STEP, examples=float(len(examples)), **seen)

    def owned_tensors(self) -> Iterator[OwnedTensors]:
        yield list(self._policy.parameters()), POLICY, PARAMETERS
        yield self._policy.rotary_tables(), POLICY, OTHER
        yield self._optimiser.state_tensors(), POLICY, OPTIMISER

    def state(self) -> dict[str, Any]:
        policy, optimiser = self._policy.state_dict(), self._optimiser.state()
        return {"policy": policy, "optimiser": optimiser, "lessons": self._lessons.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._policy.load_state_dict(state["policy"])
        self._optimiser.restore(state["optimiser"])
        self._lessons.restore(state["lessons"])

    def _update(self, examples: Sequence[Example]) -> dict[str, float]:
        """Every minibatch in its turn; what is to be noted is the mean over the updates."""
        losses, norms = [], []
        for start in range(0, len(examples), self._plan.minibatch):
            minibatch = examples[start : start + self._plan.minibatch]
            with attribute_to(POLICY, ACTIVATIONS):
                losses.append(self._gradient(minibatch))
            norms.append(self._optimiser.update("the policy"))
        of_updates = {"example_loss": mean(losses), "gradient_norm": mean(norms)} if losses else {}
        return {"updates": float(len(losses)), **of_updates}

    def _gradient(self, minibatch: Sequence[Example]) -> float:
        """Leaves the gradient of the minibatch's loss in the parameters; the loss, a mean over its learnt tokens."""
        tokens_BS, learnt_BS = batch_of(minibatch, self._policy.made.device, end=self._plan.vocabulary.end)
        learnt = learnt_BS[:, 1:].sum()
        total: Tensor | float = 0.0
        for tokens_MS, learnt_MS in _parts(tokens_BS, learnt_BS, self._plan.micro_batch):
            loss = token_loss(self._policy, tokens_MS, learnt_MS) * (learnt_MS[:, 1:].sum() / learnt)
            loss.backward()
            total += loss.detach()
        return float(total)


def _parts(tokens_BS: Tensor, learnt_BS: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    for rows in torch.arange(len(tokens_BS), device=tokens_BS.device).split(size):
        yield tokens_BS[rows], learnt_BS[rows]
