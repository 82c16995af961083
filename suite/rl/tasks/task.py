"""A task: prompts with exact scorers, and the corpus of a base model that has not learnt it.

No torch here. Completions are tokens as text: a character or one of TAGS each, without the end token.
"""

import hashlib
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from suite.measure.task_loader import load_task

THINK, END_THINK, ANSWER, END_ANSWER = TAGS = ("<think>", "</think>", "<answer>", "</answer>")
CORRECTION = "!"  # in a thought: what came before was a first attempt, and another follows
CHARACTERS = "0123456789abcdefghijklmnopqrstuvwxyz+-*/=()[]<>,.;:!? "
"""All characters that a prompt or a completion may hold beside the tags."""
_TOKEN = re.compile("|".join((*TAGS, ".")), re.DOTALL)
HELD_OUT_OF = 5  # number of contents of which one is held out
MOST_DRAWS = 10_000
"""Most draws for one item of a split: a task whose settings leave it a handful of contents may have none on one
side."""
_PROMPT_PART = re.compile(r"\d+|[^\W\d]+")
MOST_PROMPT_PARTS = 16  # a prompt with more numbers and words is a text, of which nothing is copied


def tokens(text: str) -> list[str]:
    """Cut a text into tokens: each tag is one, and so is every other character."""
    return _TOKEN.findall(text)


def is_held_out(content: str) -> bool:
    """True if this content belongs to the held-out split, by its hash: the same on every machine and for every seed."""
    return int.from_bytes(hashlib.sha256(content.encode()).digest()[:8], "big") % HELD_OUT_OF == 0


@dataclass(frozen=True, kw_only=True)
class Item:
    """A prompt with its right answer."""

    prompt: str
    content: str
    """The matter of the item, whatever its text: two items of one content never fall on both sides of the split."""
    answer: str  # the right one, or one of them


@dataclass(frozen=True, kw_only=True)
class StepReward:
    """The reward of one checked step of a thought."""

    end: int  # index of the step's last token in the completion
    reward: float


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a task says of a completion."""

    accuracy: float  # 1 where the answer is right, else 0
    format: float  # 1 where the completion has the asked form, else 0
    steps: Sequence[StepReward] = ()
    """In the order of their ends; none where the task's steps are not checkable or the thought holds none."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """Further shares worth watching, each between 0 and 1 and in no reward, such as whether a program compiles."""


class Task(Protocol):
    """Prompts and their scorer, constructed with the settings under `task`; raises as `make` does."""

    has_steps: bool
    longest_completion: int  # tokens that a rollout may have, the end token included

    def item(self, generator: random.Random) -> Item:
        """Draw any item, of either split."""

    def question(self, item: Item) -> str:
        """The prompt in English, for a policy that reads it. The answer is the same, to the character."""

    def document(self, item: Item, generator: random.Random) -> str:
        """Write a completion as the base model's corpus has it: it knows the pieces and hardly ever puts them right. It
        has room for the end token within longest_completion."""

    def solution(self, item: Item, generator: random.Random) -> str:
        """Write a right completion in the asked form, its checkable steps included. A task whose thoughts no reader of
        English would understand has `solution_in_words` too, the example that such a policy is shown."""

    def score(self, item: Item, completion: Sequence[str]) -> Score:
        """Score any tokens at all; never raise."""


@runtime_checkable
class WritesAnything(Protocol):
    """A task whose texts come from another package, and may have characters beyond CHARACTERS."""

    def check_characters(self) -> None:
        """Raise ValueError if the texts have other characters: a vocabulary of the tasks' tokens cannot write them."""


def make(settings: Mapping[str, Any]) -> Task:
    """Construct the task that the settings name. Raises ValueError for wrong settings, or NeedsPackageError."""
    task: Task = load_task(settings, workload="rl", example="sort", method="score")
    return task


def draw(task: Task, generator: random.Random, *, held_out: bool) -> Item:
    """Draw an item of one split; several items may share a content, as sorting's 4152 and 2514 do. Raises ValueError
    where MOST_DRAWS items are all of the other split."""
    for _ in range(MOST_DRAWS):
        item = task.item(generator)
        if is_held_out(item.content) is held_out:
            return item
    split = "held-out" if held_out else "training"
    raise ValueError(
        f"the task's settings must leave it contents of both splits; none of {MOST_DRAWS} items is {split}"
    )


def trivial_accuracy(task: Task, items: Sequence[Item]) -> float:
    """Share of the items that the best strategy without skill answers rightly: up to there nothing has been learnt.

    Strategies are one answer to every prompt, for each that is the right one of several items (else for any such), and
    copying the same neighbouring numbers or words of every prompt, as they stand or with one sign between them. Of 256
    held-out prompts, 19 numbers to sort are in order as they stand, and a+b+c reaches the target of 71 countdowns.
    """
    keys = Counter(item.answer for item in items)
    constants = {keys.most_common(1)[0][0], *(key for key, count in keys.items() if count > 1)}
    right = defaultdict[object, float](float)
    for item in items:
        answers = {key: key for key in constants} | dict(_copies(item.prompt, task.longest_completion))
        for strategy, answer in answers.items():
            right[strategy] += task.score(item, tokens(f"{ANSWER}{answer}{END_ANSWER}")).accuracy
    return max(right.values()) / len(items)


def _copies(prompt: str, longest: int) -> Iterator[tuple[object, str]]:
    """Yield answers copied from neighbouring numbers or words of the prompt, each behind its (first, last, sign). None
    is longer than `longest` characters as it stands in the prompt."""
    spans = [part.span() for part in _PROMPT_PART.finditer(prompt)]
    for first, (begin, _) in enumerate(spans if len(spans) <= MOST_PROMPT_PARTS else ()):
        for last, (_, end) in enumerate(spans[first:], start=first):
            if end - begin > longest:
                break
            yield (first, last, ""), prompt[begin:end]
            for sign in "+-*" if last > first else "":
                yield (first, last, sign), sign.join(prompt[slice(*span)] for span in spans[first : last + 1])


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """Slices of a completion's thought and answer; None for one that is missing, or there several times."""

    thought: slice | None
    answer: slice | None
    is_well_formed: bool
    """True if it is `<think>…</think><answer>…</answer>` with nothing around and no tag inside; either may be empty."""


def parse(completion: Sequence[str]) -> Parsed:
    """Find the slices of thought and answer in any tokens at all, and whether the completion has the asked form."""
    places = [index for index, token in enumerate(completion) if token in TAGS]
    order = [completion[index] for index in places]
    thought = _between(places, order, THINK, END_THINK)
    answer = _between(places, order, ANSWER, END_ANSWER)
    is_tight = (
        order == list(TAGS) and places[0] == 0 and places[2] == places[1] + 1 and places[3] == len(completion) - 1
    )
    return Parsed(thought=thought, answer=answer, is_well_formed=is_tight)


def _between(places: Sequence[int], order: Sequence[str], first: str, last: str) -> slice | None:
    """Slice of the tokens between tag `first` and tag `last`; None unless each occurs once and no tag lies between.
    `places` and `order`: index and text of every tag."""
    if order.count(first) != 1 or order.count(last) != 1:
        return None
    number = order.index(first)
    return slice(places[number] + 1, places[number + 1]) if order[number + 1 : number + 2] == [last] else None
