"""Countdown: `c3,7,5:22=` asks for an expression such as 3*5+7, which takes each number once and makes the target.

There are several right answers, so an answer is evaluated, exactly. The thought may hold anything; solutions write the
expression there too. What an item is about is its numbers, in any order, and its target.

An answer is read without ever being run. The grammar, as tokens of one character:
    expression = term (("+" | "-") term)*
    term       = factor ("*" factor)*
    factor     = digit | "(" expression ")"
There is no sign and no number of two digits: `-3`, `12` and `3 +4` are no expressions.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.configuration.values import whole_number
from suite.rl.tasks.corpus import WrittenTask
from suite.rl.tasks.task import Item, Score, parse

TARGETS = range(10, 100)
DIGITS = frozenset("0123456789")
_OPERATIONS = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}


@dataclass(frozen=True, kw_only=True)
class _Expression:
    text: str
    value: int
    is_sum: bool  # True if its last operation is + or -: within a product it needs parentheses


class Countdown(WrittenTask):
    """Documents hold an expression: now and then the right one, mostly one of the right numbers."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._numbers = whole_number(settings, "numbers", at_least=2, at_most=4, where="task.")
        # Numbers, the operations between them, and a pair of parentheses for all but the outermost and innermost.
        self._longest_expression = self._numbers + (self._numbers - 1) + 2 * (self._numbers - 2)
        super().__init__(thought=self._longest_expression, answer=self._longest_expression)

    def item(self, generator: random.Random) -> Item:
        """Draw an item that some expression solves: its target is the value of a random expression of its numbers."""
        while True:
            numbers = generator.choices(range(1, 10), k=self._numbers)
            expression = _expression(numbers, generator)
            if expression.value in TARGETS:
                in_order = ",".join(map(str, sorted(numbers)))
                prompt = f"c{','.join(map(str, numbers))}:{expression.value}="
                return Item(prompt=prompt, content=f"{in_order}:{expression.value}", answer=expression.text)

    def question(self, item: Item) -> str:
        numbers, target = _numbers_and_target(item)
        return (
            f"Write an expression that equals {target} and uses each of the numbers {', '.join(map(str, numbers))} "
            "exactly once, with +, -, * and parentheses, and without spaces."
        )

    def _guess(self, item: Item, generator: random.Random) -> str:
        """Draw an expression: right, of another value, or with another number among its own."""
        # Searching is harder to find by chance than an order is: this base model knows more of it than sorting's.
        kind = generator.choices(("right", "other value", "other number"), (25, 65, 10))[0]
        if kind == "right":
            return item.answer
        numbers, _ = _numbers_and_target(item)
        if kind == "other number":
            numbers[generator.randrange(self._numbers)] = generator.randint(1, 9)
        return _expression(numbers, generator).text

    def score(self, item: Item, completion: Sequence[str]) -> Score:
        """Right if the answer takes each number once and its value, computed exactly, is the target."""
        parsed = parse(completion)
        answer = [] if parsed.answer is None else completion[parsed.answer]
        numbers, target = _numbers_and_target(item)
        digits = [token for token in answer if token in DIGITS]
        takes_each_number = sorted(digits) == sorted(map(str, numbers))
        is_right = takes_each_number and evaluate(answer, longest=self._longest_expression + 2) == target
        return Score(accuracy=float(is_right), format=float(parsed.is_well_formed))


def _numbers_and_target(item: Item) -> tuple[list[int], int]:
    numbers, target = item.prompt[1:-1].split(":")
    return [int(number) for number in numbers.split(",")], int(target)


def _expression(numbers: Sequence[int], generator: random.Random) -> _Expression:
    shuffled = generator.sample(numbers, k=len(numbers))
    return _join_parts([_Expression(text=str(number), value=number, is_sum=False) for number in shuffled], generator)


def _join_parts(parts: Sequence[_Expression], generator: random.Random) -> _Expression:
    """Join expressions into one, in their order, with random operators and parentheses where they are needed."""
    if len(parts) == 1:
        return parts[0]
    cut = generator.randrange(1, len(parts))
    left, right = _join_parts(parts[:cut], generator), _join_parts(parts[cut:], generator)
    operator = generator.choice("+-*")
    if operator == "*":
        text = f"{_bracketed(left)}*{_bracketed(right)}"
        return _Expression(text=text, value=left.value * right.value, is_sum=False)
    if operator == "+":
        return _Expression(text=f"{left.text}+{right.text}", value=left.value + right.value, is_sum=True)
    return _Expression(text=f"{left.text}-{_bracketed(right)}", value=left.value - right.value, is_sum=True)


def _bracketed(part: _Expression) -> str:
    return f"({part.text})" if part.is_sum else part.text


class _NoExpressionError(Exception):
    """A text that is no expression."""


def evaluate(tokens: Sequence[str], *, longest: int) -> int | None:
    """Value of an arithmetic expression of digits, + - * and parentheses; None for any other text, or one of more than
    `longest` tokens. The bound holds recursion and value: n tokens nest at most n deep and are less than 10^n."""
    if len(tokens) > longest:
        return None
    try:
        value, after = _read_chain(tokens, 0, ("+", "-"))
    except _NoExpressionError:
        return None
    return value if after == len(tokens) else None


def _read_chain(tokens: Sequence[str], start: int, operators: tuple[str, ...]) -> tuple[int, int]:
    """Read operands joined by these operators, from `start` on: the value, and the place after it. With ("*",) it reads
    a term, otherwise an expression. Raises _NoExpressionError."""

    def operand(start: int) -> tuple[int, int]:
        return _read_factor(tokens, start) if operators == ("*",) else _read_chain(tokens, start, ("*",))

    value, at = operand(start)
    while at < len(tokens) and tokens[at] in operators:
        right, after = operand(at + 1)
        value, at = _OPERATIONS[tokens[at]](value, right), after
    return value, at


def _read_factor(tokens: Sequence[str], start: int) -> tuple[int, int]:
    """Read a digit or an expression in parentheses: its value, and the place after it. Raises _NoExpressionError."""
    token = tokens[start] if start < len(tokens) else None
    if token in DIGITS:
        return int(token), start + 1
    if token != "(":
        raise _NoExpressionError
    value, at = _read_chain(tokens, start + 1, ("+", "-"))
    if at >= len(tokens) or tokens[at] != ")":
        raise _NoExpressionError
    return value, at + 1
