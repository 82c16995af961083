"""How a policy writes the texts of tasks: as ids, and back as the tasks' own tokens. No torch."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from suite.lm.tokenizer import END, Tokenizer
from suite.rl.tasks.task import CHARACTERS, TAGS, tokens


class Vocabulary(Protocol):
    vocab_size: int
    end: int
    """Id of the token that ends a completion."""
    is_of_tasks: bool
    """An id is a token of the tasks: a character or a tag. Else it may be several, or a part of a tag."""

    def encode(self, text: str) -> list[int]: ...

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

    def decode(self, ids: Iterable[int]) -> list[str]:
        return self._tokenizer.decode(ids)
