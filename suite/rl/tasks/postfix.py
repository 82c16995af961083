"""Writing a program for a stack machine: `p38:11;25:07;94:13=` shows cases of a hidden function and asks for `xy+`.

A completion is compiled and run on the cases that the prompt shows and on all others there are: each input is a digit,
so that every case can be tried, and a program that only fits what is shown is not right. No other function of the task
makes what is shown, so that it can be found. What is held out is a setting: functions, so that a held-out program was
never right in training whatever its cases, or only sets of cases, which ask a policy to know again what it has learnt.
The thought may hold anything; solutions write the program there too.

The stack machine is small enough to check by hand; programs run here and nowhere else. A program is postfix, each token
one character: an input's name or a digit pushes its value; + - * take two values and push one (`xy-` is x - y); d
doubles the top, w swaps the two on top, p drops the top. There is no loop and no jump, so that it is known before a
program runs whether it compiles, that is never takes from an empty stack and ends with one value, and how long it runs.
"""

import functools
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.configuration.values import one_of, whole_number
from suite.rl.tasks.corpus import WrittenTask
from suite.rl.tasks.task import Item, Score, parse

HELD_OUT = ("cases", "functions")
OUTPUTS = range(100)  # outputs of shown cases, in two digits
DIGITS = frozenset("0123456789")
LONGEST_PROGRAM = 32
LARGEST_VALUE = 10**6  # largest size of any value on the way; a program that goes beyond makes nothing

_BINARY: Mapping[str, Callable[[int, int], int]] = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}
_TAKES_AND_GIVES = {"d": (1, 2), "w": (2, 2), "p": (1, 0), **dict.fromkeys(_BINARY, (2, 1))}


@dataclass(frozen=True, kw_only=True)
class _Function:
    """A function of the inputs, by its outputs."""

    program: str  # the first of those that compute it
    outputs: Sequence[int | None]  # the output of every case there is
    showable: Sequence[int]  # the cases whose outputs can be shown


class Postfix(WrittenTask):
    """Documents hold a program: seldom the right one, often of another function, or none at all."""

    same_share = 0.8

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._inputs = "xy"[: whole_number(settings, "inputs", at_least=1, at_most=2, where="task.")]
        self._operations = whole_number(settings, "operations", at_least=1, at_most=2, where="task.")
        self._shown = whole_number(settings, "cases", at_least=2, at_most=6, where="task.")
        largest = whole_number(settings, "largest_constant", at_least=3, at_most=5, where="task.")
        self._leaves = self._inputs + "12345"[:largest]
        self._held_out = one_of(settings, "held_out", HELD_OUT, where="task.")
        self._longest_program = 2 * self._operations + 1
        # Four to spare for a program that takes a longer way: `xd*` for `xx*`.
        super().__init__(thought=self._longest_program, answer=self._longest_program, spare=4)

    def item(self, generator: random.Random) -> Item:
        """Draw a function, and cases that no other function of this task fits."""
        while True:
            function = generator.choice(self._functions.hidden)
            examples = generator.sample(function.showable, k=self._shown)
            if self._functions.is_unique(examples, function.outputs):
                cases = [f"{_digits(case, self._inputs)}:{function.outputs[case]:02d}" for case in examples]
                about = [function.program] if self._held_out == "functions" else [function.program, *sorted(cases)]
                return Item(prompt=f"p{';'.join(cases)}=", content=" ".join(about), answer=function.program)

    def question(self, item: Item) -> str:
        names = " and ".join(self._inputs)
        examples = (case.split(":") for case in item.prompt[1:-1].split(";"))
        cases = "; ".join(f"{', '.join(values)} gives {int(output)}" for values, output in examples)
        return (
            f"A function of {names}, each a digit, is shown by cases: {cases}. Write it as a postfix program for a "
            f"stack, of {names}, digits and + - *, without spaces, as xy+ adds y to x."
        )

    def _guess(self, item: Item, generator: random.Random) -> str:
        """Draw a program: the right one, another function's, the right one shuffled, or any tokens."""
        # Programs are harder to find by chance than an order is: this base model knows more of them than sorting's.
        kind = generator.choices(("right", "other", "shuffled", "any"), (35, 35, 10, 20))[0]
        if kind == "right":
            return item.answer
        if kind == "other":
            return generator.choice(self._functions.hidden).program
        if kind == "shuffled":
            return "".join(generator.sample(item.answer, k=len(item.answer)))
        tokens = self._inputs + self._leaves + "+-*" * 2 + "dwp"
        return "".join(generator.choices(tokens, k=generator.randint(1, self._longest_program)))

    def score(self, item: Item, completion: Sequence[str]) -> Score:
        """Right if the program compiles and agrees with the item's on every input there is, not only on those shown.
        Parts: whether it compiles, and the share of shown cases that it passes."""
        parsed = parse(completion)
        program = [] if parsed.answer is None else completion[parsed.answer]
        does_compile, is_right, passed = compiles(program, self._inputs), False, 0.0
        if does_compile:
            outputs = _outputs("".join(program), self._inputs)
            is_right = outputs == _outputs(item.answer, self._inputs)
            examples = [case.split(":") for case in item.prompt[1:-1].split(";")]
            passed = sum(outputs[int(values)] == int(output) for values, output in examples) / len(examples)
        return Score(
            accuracy=float(is_right),
            format=float(parsed.is_well_formed),
            parts={"compiles": float(does_compile), "cases_passed": passed},
        )

    @functools.cached_property
    def _functions(self) -> "_Functions":
        return _Functions(self._inputs, _programs(self._leaves, self._operations), self._shown)


class _Functions:
    """The functions that may be hidden; made in 0.02 s as the task stands, and in 3 s at its largest."""

    def __init__(self, inputs: str, programs: Iterable[str], shown: int) -> None:
        first: dict[tuple[int | None, ...], str] = {}
        for program in programs:
            first.setdefault(_outputs(program, inputs), program)
        # For each case, who makes an output of it: a bit for each function.
        self._makers: list[dict[int | None, int]] = [{} for _ in range(10 ** len(inputs))]
        for index, outputs in enumerate(first):
            for makers, output in zip(self._makers, outputs, strict=True):
                makers[output] = makers.get(output, 0) | 1 << index
        # A constant, and an input as it stands, are no functions to look for.
        self.hidden: list[_Function] = []
        for outputs, program in first.items():
            showable = [case for case, output in enumerate(outputs) if output in OUTPUTS]
            if len(program) > 1 and len(set(outputs)) > 1 and len(showable) >= shown:
                self.hidden.append(_Function(program=program, outputs=outputs, showable=showable))

    def is_unique(self, shown: Sequence[int], outputs: Sequence[int | None]) -> bool:
        """True if only one function, constants and inputs included, gives these outputs in the shown cases."""
        fitting = functools.reduce(int.__and__, (self._makers[case][outputs[case]] for case in shown))
        return fitting.bit_count() == 1


def _programs(leaves: str, operations: int) -> Iterator[str]:
    """Yield all programs of up to so many operations, shorter ones first."""
    yield from leaves
    once = ["".join(parts) for parts in itertools.product(leaves, leaves, "+-*")]
    yield from once
    if operations == 2:
        for inner, leaf, operation in itertools.product(once, leaves, "+-*"):
            yield inner + leaf + operation
            yield leaf + inner + operation


@functools.lru_cache(maxsize=8192)
def _outputs(program: str, inputs: str) -> tuple[int | None, ...]:
    return tuple(run(program, case) for case in _cases(inputs))


@functools.cache
def _cases(inputs: str) -> list[dict[str, int]]:
    inputs_in_order = range(10 ** len(inputs))
    return [dict(zip(inputs, map(int, _digits(case, inputs)), strict=True)) for case in inputs_in_order]


def _digits(case: int, inputs: str) -> str:
    return str(case).zfill(len(inputs))


def compiles(program: Sequence[str], inputs: Sequence[str]) -> bool:
    """True if these tokens are a program of these inputs: all known, never too few values, and one value at the end. A
    program of more than LONGEST_PROGRAM tokens is none."""
    if len(program) > LONGEST_PROGRAM:
        return False
    height, pushing = 0, DIGITS.union(inputs)  # a set: within a text, "" and "xy" would be found too
    for token in program:
        if token in pushing:
            takes, gives = 0, 1
        elif token in _TAKES_AND_GIVES:
            takes, gives = _TAKES_AND_GIVES[token]
        else:
            return False
        if height < takes:
            return False
        height += gives - takes
    return height == 1


def run(program: Sequence[str], inputs: Mapping[str, int]) -> int | None:
    """What a program that compiles makes of its inputs; None where a value grows beyond LARGEST_VALUE."""
    stack: list[int] = []
    for token in program:
        if token in _BINARY:
            top = stack.pop()
            stack.append(_BINARY[token](stack.pop(), top))
        elif token == "d":
            stack.append(stack[-1])
        elif token == "w":
            stack[-2:] = reversed(stack[-2:])
        elif token == "p":
            stack.pop()
        else:
            stack.append(inputs[token] if token in inputs else int(token))
        if stack and abs(stack[-1]) > LARGEST_VALUE:
            return None
    return stack[0]
