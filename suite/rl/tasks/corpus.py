"""The writer of a base model's corpus: it uses the tags, and mostly not where they belong.

A policy learns from rewards only what it does now and then. A base model whose corpus never shows a tag explores none
and learns nothing; one that has seen tags lost, doubled and misplaced, and a few right, has something to strengthen. So
every task hands its thought and its answer to this writer, and knows from `is_tidy` whether the tags will be right.

A base model that is to correct itself must have seen that, too: some documents may hold two attempts in their thought.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from suite.rl.tasks.task import (
    ANSWER,
    CORRECTION,
    END_ANSWER,
    END_THINK,
    TAGS,
    THINK,
    Item,
    Score,
    StepReward,
    parse,
    tokens,
)

TIDY_SHARE = 0.04
"""Share of documents in the asked form."""
UNFINISHED_SHARE = 0.7
"""Share of the others that never close their answer: so a base model's likeliest text is not in the asked form."""
SECOND_RIGHT_SHARE = 0.3
"""Share of second attempts in a thought that are right on purpose, and more by chance: they are right more often than
the first."""


def correction_share(settings: Mapping[str, Any]) -> float:
    """Return the share of documents whose thought corrects itself, from the settings of a task; 0 where they do not
    say, as records from before there was one. Raise ValueError for what is no share."""
    value = settings.get("corrections", 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"task.corrections must be a share from 0 to 1; got {value!r}")
    return float(value)


def is_corrected(share: float, generator: random.Random) -> bool:
    """True if the next document shall correct itself. Draw nothing where none does."""
    return share > 0 and generator.random() < share


def is_tidy(generator: random.Random) -> bool:
    """True if the next document shall be in the asked form."""
    return generator.random() < TIDY_SHARE


def well_formed(thought: str, answer: str) -> str:
    return f"{THINK}{thought}{END_THINK}{ANSWER}{answer}{END_ANSWER}"


def attempted(guess: Callable[[], str], generator: random.Random, *, same_share: float, longest: int) -> str:
    """Write a guess as the thought and, in so large a share, the same as the answer, else another; now and then
    tidy."""
    tidy = is_tidy(generator)
    thought = guess()
    answer = thought if generator.random() < same_share else guess()
    return well_formed(thought, answer) if tidy else untidy(thought, answer, generator, longest=longest)


def untidy(thought: str, answer: str, generator: random.Random, *, longest: int) -> str:
    """Write thought and answer with the tags lost, doubled or misplaced, cut to `longest` tokens; never in the asked
    form."""
    while True:
        text_tokens = tokens(well_formed(thought, answer))
        if generator.random() < UNFINISHED_SHARE:
            text_tokens.pop()
        for _ in range(generator.randint(0, 3)):
            _slip(text_tokens, generator)
        if not parse(text_tokens[:longest]).is_well_formed:
            return "".join(text_tokens[:longest])


def _slip(text_tokens: list[str], generator: random.Random) -> None:
    """Lose a tag, double it, put it where another belongs, or misplace it."""
    kind = generator.choice(("lose", "double", "mistake", "misplace"))
    places = [index for index, token in enumerate(text_tokens) if token in TAGS]
    if kind == "double":
        text_tokens.insert(generator.randint(0, len(text_tokens)), generator.choice(TAGS))
    elif places and kind == "mistake":
        tag = generator.choice(TAGS)
        text_tokens[generator.choice(places)] = tag
    elif places:
        tag = text_tokens.pop(generator.choice(places))
        if kind == "misplace":
            text_tokens.insert(generator.randint(0, len(text_tokens)), tag)


class SteppedTask(ABC):
    """The part that tasks share whose steps are checked, whose thoughts may be corrected and whose answers are right to
    the character."""

    def __init__(self, settings: Mapping[str, Any], *, thought: int, answer: int) -> None:
        """`thought` and `answer`: tokens of a right one."""
        self._corrections = correction_share(settings)
        # A step after a correction is the first of another attempt: nothing says what it is worth beside the others.
        self.has_steps = self._corrections == 0
        # Thought, answer, four tags, the end, and two for what a policy writes too much.
        self.longest_completion = thought + answer + 4 + 1 + 2
        if self._corrections > 0:
            self.longest_completion += len(CORRECTION) + thought

    @abstractmethod
    def _steps(self, item: Item, completion: Sequence[str], thought: slice) -> list[StepReward]:
        """Reward the steps of a thought."""

    def score(self, item: Item, completion: Sequence[str]) -> Score:
        parsed = parse(completion)
        is_right = parsed.answer is not None and "".join(completion[parsed.answer]) == item.answer
        steps = []
        if self.has_steps and parsed.thought is not None:
            steps = self._steps(item, completion, parsed.thought)
        return Score(accuracy=float(is_right), format=float(parsed.is_well_formed), steps=steps)
