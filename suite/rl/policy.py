"""A policy: how it writes the texts of tasks, and what it begins as. No torch.

It is a decoder that is trained here from nothing and writes the tasks' own tokens, or a published checkpoint, which
writes its own: ids are read back as the tasks' tokens, as scorers want them.
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from suite.lm.checkpoint.locate import PACKAGES, locate_checkpoint, missing
from suite.lm.checkpoint.sizes import read_sizes
from suite.lm.tokenizer import END, Tokenizer
from suite.rl.tasks.task import CHARACTERS, TAGS, Item, Task, draw, tokens
from suite.theory.layers.decoder_shape import DecoderShape, decoder_shape
from suite.theory.layers.shapes import GroupedShape

FORM = (
    "Think first, then answer, and write nothing else than this form: "
    "<think>your reasoning</think><answer>your answer</answer>"
)
"""The form asked of a policy that reads English: what DeepSeek-R1 asks for (arXiv 2501.12948, Table 1), in fewer words.
A small model does not follow it unless it sees it followed: of SmolLM2-135M's completions none had the form, and half
of them after one worked example."""
LONGEST_PROMPT = 512  # most tokens of a prompt in words: a decoder's positions have room for it beside the completion
POSITIONS = 512  # longest prompt and completion together


class TaskVocabulary:
    """The one vocabulary of all tasks, for policies that learn to write from nothing: so none depends on its task.
    `is_of_tasks`: an id is a token of the tasks, a character or a tag; else it may be several, or a part of a tag."""

    end, is_of_tasks = END, True

    def __init__(self) -> None:
        self._tokenizer = Tokenizer((*TAGS, *CHARACTERS))
        self.vocab_size = self._tokenizer.vocab_size

    def encode(self, text: str) -> list[int]:
        """Ids of a text, one for each tag and each other character."""
        return self._tokenizer.encode(tokens(text))

    def prompt(self, task: Task, item: Item) -> list[int]:
        return self.encode(item.prompt)

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Text of each id, as the task's scorers read it."""
        return self._tokenizer.decode(ids)


class CheckpointVocabulary:
    """A published model's vocabulary. Its tokenizer is read when it is first needed, so that a plan reads nothing."""

    is_of_tasks = False

    def __init__(self, checkpoint: str, vocab_size: int) -> None:
        self._checkpoint, self.vocab_size = checkpoint, vocab_size

    @cached_property
    def _checkpoint_tokenizer(self) -> Any:
        from suite.lm.checkpoint.tokenizer import load_tokenizer  # with torch, which no plan may bring

        return load_tokenizer(locate_checkpoint(self._checkpoint), vocab_size=self.vocab_size)

    @property
    def end(self) -> int:
        return int(self._checkpoint_tokenizer.end)

    def encode(self, text: str) -> list[int]:
        return list(self._checkpoint_tokenizer.encode(text))

    def prompt(self, task: Task, item: Item) -> list[int]:
        """Ids of the item's question in words, behind the asked form and one worked example, the same for all items.
        Raises ValueError for a prompt of more than LONGEST_PROMPT tokens."""
        generator = random.Random(0)
        example = draw(task, generator, held_out=False)
        solution = getattr(task, "solution_in_words", task.solution)(example, generator)
        turns = (task.question(example), solution, task.question(item))
        ids = list(self._checkpoint_tokenizer.encode_chat(FORM, turns))
        if len(ids) > LONGEST_PROMPT:
            raise ValueError(f"a prompt in words must have at most {LONGEST_PROMPT} tokens; this task's has {len(ids)}")
        return ids

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Text of the ids as the tasks' tokens. What is no part of the asked form stays, and counts."""
        return tokens(self._checkpoint_tokenizer.decode(ids))


@dataclass(frozen=True, kw_only=True)
class Policy:
    vocabulary: TaskVocabulary | CheckpointVocabulary
    shape: DecoderShape
    checkpoint: str | None = None
    """The weights that it begins as, as suite.lm.checkpoint has them; None for a base model that is trained here."""
    max_position: int = POSITIONS
    refusal: str | None = None  # the sentence that says what a checkpoint needs and this environment lacks

    def positions(self, longest_completion: int) -> int:
        """Tokens of prompt and completion together that the decoder must have room for."""
        return POSITIONS if self.checkpoint is None else LONGEST_PROMPT + longest_completion

    def check(self, settings: Mapping[str, Any], task: Task, longest_completion: int) -> None:
        """Raise ValueError if a checkpoint cannot run with these settings and task; other policies pass."""
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
            raise ValueError("supervision must be outcome for a checkpoint, which does not write the task's own tokens")
        if not hasattr(task, "question"):
            raise ValueError(
                "task must have its question in words for a checkpoint, such as task=sort; this one has none"
            )


def policy_from(settings: Mapping[str, Any]) -> Policy:
    """Read the policy, a checkpoint or sizes to train here, from settings. Raises ValueError."""
    sizes, attention = settings["policy"], settings["attention"]
    if "checkpoint" not in sizes:
        vocabulary = TaskVocabulary()
        shape = decoder_shape(sizes, attention, vocab_size=vocabulary.vocab_size, where="policy.")
        return Policy(vocabulary=vocabulary, shape=shape)
    checkpoint = str(sizes["checkpoint"])
    if checkpoint not in PACKAGES:
        sizes = {**sizes, **read_sizes(checkpoint, "policy.checkpoint")}
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
