"""Fine-tuning on given texts, in as many updates of as many texts as reinforcement learning makes.

As a stage of its own, on a limited pool of right solutions: a cold start, which is dear since people write it. Other
stages bring other texts.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from suite.lm.training import Example, pad_examples, token_loss
from suite.measure.memory_tracker import OwnedTensors, attribute_to
from suite.measure.meter import Meter
from suite.records.holdings import ACTIVATIONS, POLICY
from suite.records.record import STEP
from suite.rl.rollout import mean
from suite.rl.sft_data import SftData, TextPool, solutions
from suite.rl.stage import StageBegin, policy_tensors


def begin(at: StageBegin) -> "SftStage":
    """A stage that fine-tunes on `recipe.examples` right solutions of newly drawn training prompts."""
    examples = solutions(at.plan, at.plan.recipe.options["examples"])
    return SftStage(at, TextPool(at.plan, examples, first=at.planned.first))


class SftStage:
    """A stage that fine-tunes the policy on the texts of an SftData."""

    def __init__(self, at: StageBegin, data: SftData, *, lr: float | None = None) -> None:
        self._plan, self._policy, self._data = at.plan, at.policy, data
        self._optimiser = at.new_optimiser(lr)

    def step(self, meter: Meter, *, looks: bool) -> None:
        """Prepare the data, train on the step's texts and note the readings."""
        meter.note(STEP, **self._data.prepare(meter))
        with meter.span("update"):
            examples = self._data.step_examples(meter.step, self._plan.completions * self._plan.inner_epochs)
            readings = self._update(examples)
        meter.note(STEP, examples=float(len(examples)), **readings)

    def owned_tensors(self) -> Iterator[OwnedTensors]:
        return policy_tensors(self._policy, self._optimiser)

    def state(self) -> dict[str, Any]:
        policy, optimiser = self._policy.state_dict(), self._optimiser.state()
        return {"policy": policy, "optimiser": optimiser, "lessons": self._data.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._policy.load_state_dict(state["policy"])
        self._optimiser.restore(state["optimiser"])
        self._data.restore(state["lessons"])

    def _update(self, examples: Sequence[Example]) -> dict[str, float]:
        """Train on the texts, a minibatch an update; readings are means over the updates."""
        losses, norms = [], []
        for start in range(0, len(examples), self._plan.minibatch):
            minibatch = examples[start : start + self._plan.minibatch]
            with attribute_to(POLICY, ACTIVATIONS):
                losses.append(self._gradient(minibatch))
            norms.append(self._optimiser.update("the policy"))
        means = {"example_loss": mean(losses), "gradient_norm": mean(norms)} if losses else {}
        return {"updates": float(len(losses)), **means}

    def _gradient(self, minibatch: Sequence[Example]) -> float:
        """Leave the gradient of the minibatch's loss in the parameters; the loss, in nats a learnt token."""
        tokens_BS, learnt_BS = pad_examples(minibatch, self._policy.factory.device, end=self._plan.vocabulary.end)
        learnt = learnt_BS[:, 1:].sum()
        total: Tensor | float = 0.0
        for rows in torch.arange(len(tokens_BS), device=tokens_BS.device).split(self._plan.micro_batch):
            tokens_MS, learnt_MS = tokens_BS[rows], learnt_BS[rows]
            loss = token_loss(self._policy, tokens_MS, learnt_MS) * (learnt_MS[:, 1:].sum() / learnt)
            loss.backward()
            total += loss.detach()
        return float(total)
