"""Adding two numbers: `37+85=` asks for `<think>21;21</think><answer>122</answer>`.

The thought adds as one does on paper: column by column from the right, each as its digit and its carry (7 + 5 is 2,
carry 1; 3 + 8 + 1 is 2, carry 1), so that each column can be checked. What an item is about is the pair of numbers in
either order.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from suite.configuration.values import whole_number
from suite.rl.tasks.corpus import SECOND_RIGHT_SHARE, SteppedTask, draw_is_corrected, draw_is_tidy, well_formed
from suite.rl.tasks.task import CORRECTION, Item, StepReward

BETWEEN = ";"


class Adding(SteppedTask):
    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._digits = whole_number(settings, "digits", at_least=1, at_most=6, where="task.")
        super().__init__(settings, thought=3 * self._digits - 1, answer=self._digits + 1)

    def item(self, generator: random.Random) -> Item:
        """Draw two numbers without a leading zero, so that all prompts are equally long."""
        least, above = 10 ** (self._digits - 1), 10**self._digits
        a, b = generator.randrange(least, above), generator.randrange(least, above)
        return Item(prompt=f"{a}+{b}=", content=f"{min(a, b)}+{max(a, b)}", answer=str(a + b))

    def question(self, item: Item) -> str:
        return f"What is {item.prompt[:-1]}? Write the sum in digits."

    def document(self, item: Item, generator: random.Random) -> str:
        """Write a sum without its carries, half the time; else right, a digit off, backwards or of other numbers. So
        what this base model likes best is wrong wherever something is to be carried, and right sums are in reach. A
        thought that corrects itself has two sums, of which the answer is the last."""
        tidy = draw_is_tidy(generator)
        thought, answer = self._guess(item, generator)
        if draw_is_corrected(self._corrections, generator):
            is_right = generator.random() < SECOND_RIGHT_SHARE
            last, answer = (_written_columns(_columns(item)), item.answer) if is_right else self._guess(item, generator)
            thought = f"{thought}{CORRECTION}{last}"
        return self._written(thought, answer, generator, tidy=tidy)

    def _guess(self, item: Item, generator: random.Random) -> tuple[str, str]:
        """Draw a thought and its answer: without carries, right, a digit off, backwards or of other numbers."""
        kind = generator.choices(("no carry", "right", "slip", "backwards", "any"), (50, 25, 15, 5, 5))[0]
        columns = _columns(self.item(generator) if kind == "any" else item)
        if kind == "slip":
            place = generator.randrange(self._digits)
            columns[place] = (columns[place][0] + generator.choice((-1, 1))) % 10, columns[place][1]
        elif kind == "no carry":
            before = [0, *(carry for _, carry in columns[:-1])]
            columns = [((digit - carried) % 10, 0) for (digit, _), carried in zip(columns, before, strict=True)]
        carry = "1" if columns[-1][1] else ""
        answer = carry + "".join(str(digit) for digit, _ in reversed(columns))
        if kind == "backwards":
            columns, answer = columns[::-1], answer[::-1]
        return _written_columns(columns), answer

    def solution(self, item: Item, generator: random.Random) -> str:
        """Write the right columns as thought, and the sum."""
        return well_formed(_written_columns(_columns(item)), item.answer)

    def solution_in_words(self, item: Item, generator: random.Random) -> str:
        """Write the sum as a policy does that reads English, to which columns and carries would be riddles: of 64
        answers of SmolLM2-135M to sums of one digit 14 are right behind this example, and none behind columns."""
        return well_formed(f"{item.prompt}{item.answer}", item.answer)

    def _steps(self, item: Item, completion: Sequence[str], thought: slice) -> list[StepReward]:
        """Reward each column of the thought: 1 until the first whose digit or carry is wrong, from there on 0. A column
        ends with the sign between columns, or with the thought."""
        expected = _written_columns(_columns(item)).split(BETWEEN)
        steps: list[StepReward] = []
        is_right, begin = True, thought.start
        for index in range(thought.start, thought.stop):
            divides = completion[index] == BETWEEN
            if divides or index == thought.stop - 1:
                result = "".join(completion[begin : index if divides else index + 1])
                is_right = is_right and len(steps) < len(expected) and result == expected[len(steps)]
                steps.append(StepReward(end=index, reward=float(is_right)))
                begin = index + 1
        return steps


def _columns(item: Item) -> list[tuple[int, int]]:
    """Digit and carry of each column of the prompt's sum, from the right."""
    a, b = item.prompt[:-1].split("+")
    columns, carry = [], 0
    for upper, lower in zip(reversed(a), reversed(b), strict=True):
        carry, digit = divmod(int(upper) + int(lower) + carry, 10)
        columns.append((digit, carry))
    return columns


def _written_columns(columns: Sequence[tuple[int, int]]) -> str:
    return BETWEEN.join(f"{digit}{carry}" for digit, carry in columns)
