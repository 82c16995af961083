"""The protocol of tasks of workload=quality: sequences, and questions at their last tokens with one right answer each.

No torch here. Questions come as numpy arrays from streams that are named by the seed and the update, so every variant
of one seed is trained on the same ones, and all are evaluated on one held-out set, whatever the seed.

Shapes: B sequences, S tokens of each, K ids that are summed to a token's embedding, Q questions of a sequence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from suite.measure.rng import numpy_rng
from suite.measure.task_loader import load_task

NO_ID = 0  # the id that adds nothing to a token's embedding

Ids = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Questions:
    tokens_BSK: Ids
    answers_BQ: Ids  # ids that must follow the last Q tokens
    kinds_BQ: Ids  # indices of the task's kinds, one for each question
    weights_BQ: NDArray[np.float32] | None = None
    """Weights of the loss, with mean 1 over many questions; None: all alike."""
    visible_SS: NDArray[np.bool_] | None = None  # True where the token of a row sees that of a column; None: causal


class QualityTask(Protocol):
    """Constructed with the settings under `task`; raises ValueError or NeedsPackageError, as `make` says."""

    vocab_size: int
    longest: int  # tokens of a sequence, at most
    kinds: Sequence[str]  # kinds of questions, in words for a reader
    groups: Mapping[str, Sequence[int]]  # kinds that are also reported together, as indices
    chance: float  # share of questions, of all kinds together, that one answer to all of them is expected to get right
    least_layers: int  # layers with which a decoder can answer at all

    def training(self, sequences: int, generator: np.random.Generator, progress: float) -> Questions:
        """The questions of one update. `progress`: the share of all updates that came before, from 0 to 1."""

    def held_out(self) -> Questions:
        """The questions of every evaluation, the same for every seed and variant."""

    def facts(self) -> Mapping[str, Any]:
        """What a reader should know of the questions, such as their sizes, as plain data."""


class OneDistribution:
    """A task that draws its training and its held-out questions from one distribution."""

    name: ClassVar[str]
    held_out_sequences: ClassVar[int]
    groups: ClassVar[Mapping[str, Sequence[int]]] = {}

    def sample(self, sequences: int, generator: np.random.Generator) -> Questions:
        """Draw questions for so many sequences; a subclass must override this."""
        raise AssertionError(f"{type(self).__name__} does not say how it draws questions")

    def training(self, sequences: int, generator: np.random.Generator, progress: float) -> Questions:
        """Draw questions as `sample` does; `progress` does not matter."""
        return self.sample(sequences, generator)

    def held_out(self) -> Questions:
        """Draw `held_out_sequences` sequences from a fixed stream: the same in every call."""
        return self.sample(self.held_out_sequences, numpy_rng(self.name, "held out"))


@runtime_checkable
class HasDetails(Protocol):
    """A task whose tokens bundle details, so that a probe can ask which of them a cache still holds."""

    def bundles(self, count: int, generator: np.random.Generator) -> tuple[Ids, Ids]:
        """Draw ids of first tokens of sequences, [N, K], and the value of each detail they bundle, [N, A]."""


def make(settings: Mapping[str, Any]) -> QualityTask:
    """Construct the task that the settings name. Raises ValueError for wrong settings, or NeedsPackageError."""
    task: QualityTask = load_task(settings, workload="quality", example="tiers", method="held_out")
    return task


def single(tokens_BS: Ids) -> Ids:
    """Add the axis of ids to tokens of one id each: [B, S] becomes [B, S, 1]."""
    return tokens_BS[..., None]


def in_any_order(count: int, sequences: int, generator: np.random.Generator) -> Ids:
    """Draw a random order of the numbers below `count` for each sequence: [sequences, count]."""
    return generator.permuted(np.tile(np.arange(count), (sequences, 1)), axis=1)


def questions_apart(context: int, questions: int) -> NDArray[np.bool_]:
    """Mask visible_SS: the context is causal, and a question sees the context and itself, but no other question."""
    visible_SS = np.eye(context + questions, dtype=np.bool_)
    visible_SS[:, :context] |= np.tri(context + questions, context, dtype=np.bool_)
    return visible_SS
