"""The one vocabulary of all tasks, so that a policy does not depend on its task. No torch."""

from suite.lm.tokenizer import Tokenizer
from suite.rl.tasks.task import CHARACTERS, TAGS, tokens

TOKENIZER = Tokenizer((*TAGS, *CHARACTERS))


def encoded(text: str) -> list[int]:
    return TOKENIZER.encode(tokens(text))
