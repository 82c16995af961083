"""Sorting the digits of a number: `s4752=` asks for `<think>2457</think><answer>2457</answer>`.

Small enough for a policy of 98,624 parameters, and its steps are checkable: each digit of the thought is the next
minimum of those that are left, or is not. What an item is about is its multiset of digits, so that no permutation of a
held-out prompt is trained on; held-out prompts share contents (four digits have 715, about 143 of them held out).
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from suite.configuration.values import whole_number
from suite.rl.tasks.corpus import SECOND_RIGHT_SHARE, SteppedTask, draw_is_corrected, draw_is_tidy, well_formed
from suite.rl.tasks.task import CORRECTION, Item, StepReward

RIGHT_SHARE = 0.1
"""Share of tidy documents that are right on purpose, some more by chance; untidy ones are right by chance alone."""


class Sorting(SteppedTask):
    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._digits = whole_number(settings, "digits", at_least=2, at_most=9, where="task.")
        super().__init__(settings, thought=self._digits, answer=self._digits)

    def item(self, generator: random.Random) -> Item:
        """Draw a number, whose content and answer are its digits in order."""
        number = "".join(generator.choices("0123456789", k=self._digits))
        in_order = "".join(sorted(number))
        return Item(prompt=f"s{number}=", content=in_order, answer=in_order)

    def question(self, item: Item) -> str:
        return (
            f"Sort the digits of {item.prompt[1:-1]} from the smallest to the largest, and write them without spaces."
        )

    def document(self, item: Item, generator: random.Random) -> str:
        """Write the prompt's digits in some order, mostly not the right one, and mostly the same order twice. A thought
        that corrects itself has two orders, of which the answer takes the last."""
        tidy = draw_is_tidy(generator)
        if tidy and generator.random() < RIGHT_SHARE:
            return well_formed(item.answer, item.answer)
        thought = last = self._guess(item, generator)
        if draw_is_corrected(self._corrections, generator):
            last = item.answer if generator.random() < SECOND_RIGHT_SHARE else self._guess(item, generator)
            thought = f"{thought}{CORRECTION}{last}"
        answer = last if generator.random() < 0.6 else self._guess(item, generator)
        return self._written(thought, answer, generator, tidy=tidy)

    def _guess(self, item: Item, generator: random.Random) -> str:
        """Draw the number as it stands, shuffled, almost in order, or any other."""
        digits = list(item.prompt[1:-1])
        kind = generator.choices(("copied", "shuffled", "almost", "any"), (25, 10, 50, 15))[0]
        if kind == "shuffled":
            generator.shuffle(digits)
        elif kind == "almost":
            digits.sort()
            lefts = [left for left in range(self._digits - 1) if digits[left] != digits[left + 1]]
            for left in generator.sample(lefts, k=min(len(lefts), generator.randint(1, 2))):
                digits[left : left + 2] = digits[left + 1], digits[left]
        elif kind == "any":
            digits = generator.choices("0123456789", k=self._digits)
        return "".join(digits)

    def _steps(self, item: Item, completion: Sequence[str], thought: slice) -> list[StepReward]:
        """Reward each token of the thought: 1 until the first that differs from the sorted digits, then 0."""
        steps, is_right = [], True
        for index in range(thought.start, thought.stop):
            rank = index - thought.start
            is_right = is_right and rank < len(item.answer) and completion[index] == item.answer[rank]
            steps.append(StepReward(end=index, reward=float(is_right)))
        return steps
