"""What a policy is and begins as: a decoder that is trained here from nothing, or a published checkpoint. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suite.lm.checkpoint.locate import is_package, missing
from suite.lm.checkpoint.sizes import sizes_of
from suite.rl.tasks.task import Task
from suite.rl.vocabulary import LONGEST_PROMPT, CheckpointVocabulary, TaskVocabulary, Vocabulary
from suite.theory.decoder_shape import DecoderShape, decoder_shape
from suite.theory.shapes import GroupedShape

POSITIONS = 512
"""Longest prompt and completion together."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    vocabulary: Vocabulary
    shape: DecoderShape
    checkpoint: str | None = None
    """What it begins as, as suite.lm.checkpoint has it; None for a base model that is trained here."""
    max_position: int = POSITIONS
    refusal: str | None = None
    """What a checkpoint needs and this environment lacks."""

    def positions(self, longest_completion: int) -> int:
        return POSITIONS if self.checkpoint is None else LONGEST_PROMPT + longest_completion

    def check(self, settings: Mapping[str, Any], task: Task, longest_completion: int) -> None:
        """That a checkpoint can be asked this. Raises ValueError, in one sentence."""
        if self.checkpoint is None:
            return
        if settings["max_completion_length"] is None:
            raise ValueError(
                "max_completion_length must be set for a checkpoint, whose tokens are not the task's; got null"
            )
        if self.positions(longest_completion) > self.max_position:
            raise ValueError(
                f"max_completion_length must be at most {self.max_position - LONGEST_PROMPT} for a checkpoint whose "
                f"{self.max_position} positions hold a prompt of {LONGEST_PROMPT} tokens too; got {longest_completion}"
            )
        if settings["supervision"] == "process":
            raise ValueError("supervision=process rewards the task's own tokens, and a checkpoint has others")
        if not hasattr(task, "question"):
            raise ValueError("a checkpoint needs a task that has its question in words, and this one has none")


def policy_from(settings: Mapping[str, Any]) -> Policy:
    """Raises ValueError, in one sentence, for what is wrong in itself."""
    sizes, attention = settings["policy"], settings["attention"]
    if "checkpoint" not in sizes:
        own = TaskVocabulary()
        return Policy(vocabulary=own, shape=decoder_shape(sizes, attention, vocab_size=own.vocab_size, where="policy."))
    checkpoint = str(sizes["checkpoint"])
    if not is_package(checkpoint):
        sizes = {**sizes, **sizes_of(checkpoint, "policy.checkpoint")}
    shape = decoder_shape(sizes, attention, vocab_size=sizes["vocab_size"], where="policy.")
    if not isinstance(shape.layer, GroupedShape) or shape.layer.kv_heads != sizes["num_kv_heads"]:
        raise ValueError(
            f"attention must be gqa for policy={sizes['name']}, whose weights are of {sizes['num_kv_heads']} key-value "
            f"heads; this one is {shape.layer.describe()}"
        )
    return Policy(
        vocabulary=CheckpointVocabulary(checkpoint, sizes["vocab_size"]),
        shape=shape,
        checkpoint=checkpoint,
        max_position=sizes["max_position"],
        refusal=missing(checkpoint),
    )
