"""The writer of a base model's corpus: it uses the tags, and mostly not where they belong.

A policy learns from rewards only what it does now and then. A base model whose corpus never shows a tag explores none
and learns nothing; one that has seen tags lost, doubled and misplaced, and a few right, has something to strengthen. So
every task hands its thought and its answer to this writer, and `draw_is_tidy` decides whether the tags will be right.

A base model that is to correct itself must have seen that, too: some documents may hold two attempts in their thought.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
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

TIDY_SHARE = 0.04  # share of documents in the asked form
UNFINISHED_SHARE = 0.7
"""Share of the others that never close their answer: so a base model's likeliest text is not in the asked form."""
SECOND_RIGHT_SHARE = 0.3
"""Share of second attempts in a thought that are right on purpose, and more by chance: they are right more often than
the first."""


def draw_is_corrected(share: float, generator: random.Random) -> bool:
    """Draw whether the next document corrects itself, with probability `share`; a share of 0 draws no number."""
    return share > 0 and generator.random() < share


def draw_is_tidy(generator: random.Random) -> bool:
    """Draw whether the next document is in the asked form, with probability TIDY_SHARE."""
    return generator.random() < TIDY_SHARE


def well_formed(thought: str, answer: str) -> str:
    """Thought and answer in the asked form: `<think>…</think><answer>…</answer>`."""
    return f"{THINK}{thought}{END_THINK}{ANSWER}{answer}{END_ANSWER}"


def untidy(thought: str, answer: str, generator: random.Random, *, longest: int) -> str:
    """Write thought and answer with tags in disorder, cut to `longest` tokens; never in the asked form."""
    while True:
        text_tokens = tokens(well_formed(thought, answer))
        if generator.random() < UNFINISHED_SHARE:
            text_tokens.pop()
        for _ in range(generator.randint(0, 3)):
            _slip(text_tokens, generator)
        if not parse(text_tokens[:longest]).is_well_formed:
            return "".join(text_tokens[:longest])


def _slip(text_tokens: list[str], generator: random.Random) -> None:
    """Change the tokens in place: lose a tag, double it, put it where another belongs, or misplace it."""
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


class WrittenTask(ABC):
    """A task whose documents guess its answer, mostly as thought and answer alike; few are in the asked form."""

    has_steps = False
    same_share = 0.9  # share of the documents whose answer is their thought

    def __init__(self, *, thought: int, answer: int, spare: int = 2) -> None:
        """`thought` and `answer`: tokens of a right one; `spare`: those that a policy may write too much."""
        self.longest_completion = thought + answer + len(TAGS) + 1 + spare  # and the end

    @abstractmethod
    def _guess(self, item: Item, generator: random.Random) -> Any:
        """Draw a text that a base model might write as thought or answer."""

    def document(self, item: Item, generator: random.Random) -> str:
        """Write a guess as thought and mostly as answer too; now and then in the asked form."""
        tidy, thought = draw_is_tidy(generator), self._guess(item, generator)
        answer = thought if generator.random() < self.same_share else self._guess(item, generator)
        return self._written(thought, answer, generator, tidy=tidy)

    def solution(self, item: Item, generator: random.Random) -> str:
        """The right answer as thought and as answer, in the asked form."""
        return well_formed(item.answer, item.answer)

    def _written(self, thought: str, answer: str, generator: random.Random, *, tidy: bool) -> str:
        if tidy:
            return well_formed(thought, answer)
        return untidy(thought, answer, generator, longest=self.longest_completion - 1)


class SteppedTask(WrittenTask):
    """Tasks with checkable steps, thoughts that may be corrected, and answers that are right to the character."""

    def __init__(self, settings: Mapping[str, Any], *, thought: int, answer: int) -> None:
        """Raises ValueError where `corrections`, which older records do not have, is no share."""
        corrections = settings.get("corrections", 0.0)
        if isinstance(corrections, bool) or not isinstance(corrections, int | float) or not 0 <= corrections <= 1:
            raise ValueError(f"task.corrections must be a share from 0 to 1; got {corrections!r}")
        self._corrections = float(corrections)
        # A step after a correction is the first of another attempt: nothing says what it is worth beside the others.
        self.has_steps = self._corrections == 0
        first_attempt = 0 if self.has_steps else thought + len(CORRECTION)
        super().__init__(thought=first_attempt + thought, answer=answer)

    @abstractmethod
    def _steps(self, item: Item, completion: Sequence[str], thought: slice) -> list[StepReward]:
        """Reward each step of the completion's thought, which is the slice `thought`."""

    def score(self, item: Item, completion: Sequence[str]) -> Score:
        """Score by the exact answer; the steps of the thought are rewarded if the task has checkable ones."""
        parsed, steps = parse(completion), []
        is_right = parsed.answer is not None and "".join(completion[parsed.answer]) == item.answer
        if self.has_steps and parsed.thought is not None:
            steps = self._steps(item, completion, parsed.thought)
        return Score(accuracy=float(is_right), format=float(parsed.is_well_formed), steps=steps)
