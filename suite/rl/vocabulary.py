"""How a policy writes the texts of tasks: as ids, and back as the tasks' own tokens. No torch."""

import random
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Protocol

from suite.lm.checkpoint.locate import locate_checkpoint
from suite.lm.tokenizer import END, Tokenizer
from suite.rl.tasks.task import CHARACTERS, TAGS, Item, Task, draw, tokens

FORM = (
    "Think first, then answer, and write nothing else than this form: "
    "<think>your reasoning</think><answer>your answer</answer>"
)
"""Asked of a policy that reads English; what DeepSeek-R1 asks for (arXiv 2501.12948, Table 1), in fewer words. A small
model does not follow it unless it sees it followed: of SmolLM2-135M's completions none had the form, and half of them
after one worked example."""


LONGEST_PROMPT = 512
"""Of one in words, in tokens: a decoder's positions have room for it beside the completion."""


class Vocabulary(Protocol):
    vocab_size: int
    is_of_tasks: bool
    """An id is a token of the tasks: a character or a tag. Else it may be several, or a part of a tag."""

    @property
    def end(self) -> int:
        """Id of the token that ends a completion."""
        ...

    def encode(self, text: str) -> list[int]: ...

    def prompt(self, task: Task, item: Item) -> list[int]:
        """What a completion of this item goes on from."""
        ...

    def decode(self, ids: Iterable[int]) -> Sequence[str]:
        """Tokens of the tasks, as a scorer reads them."""
        ...


class TaskVocabulary:
    """The one vocabulary of all tasks, for policies that learn to write from nothing: so none depends on its task."""

    end, is_of_tasks = END, True

    def __init__(self) -> None:
        self._tokenizer = Tokenizer((*TAGS, *CHARACTERS))
        self.vocab_size = self._tokenizer.vocab_size

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(tokens(text))

    def prompt(self, task: Task, item: Item) -> list[int]:
        return self.encode(item.prompt)

    def decode(self, ids: Iterable[int]) -> list[str]:
        return self._tokenizer.decode(ids)


class CheckpointVocabulary:
    """A published model's. Its tokenizer is read when it is first needed, so that a plan reads nothing."""

    is_of_tasks = False

    def __init__(self, checkpoint: str, vocab_size: int) -> None:
        self._checkpoint, self.vocab_size = checkpoint, vocab_size

    @cached_property
    def _words(self) -> Any:
        from suite.lm.checkpoint.tokenizer import tokenizer_of  # with torch, which no plan may bring

        return tokenizer_of(locate_checkpoint(self._checkpoint), vocab_size=self.vocab_size)

    @property
    def end(self) -> int:
        return int(self._words.end)

    def encode(self, text: str) -> list[int]:
        return list(self._words.encode(text))

    def prompt(self, task: Task, item: Item) -> list[int]:
        """The question, behind one of the task's own with its solution, the same for all. Raises ValueError for a
        prompt that the positions have no room for."""
        chance = random.Random(0)
        example = draw(task, chance, held_out=False)
        asked = (task.question(example), task.solution(example, chance), task.question(item))
        ids = list(self._words.asked(FORM, asked))
        if len(ids) > LONGEST_PROMPT:
            raise ValueError(f"a prompt in words must have at most {LONGEST_PROMPT} tokens; this task's has {len(ids)}")
        return ids

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Nothing is cleaned: what is no part of the asked form stays, and counts."""
        return tokens(self._words.decode(ids))
