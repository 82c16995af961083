"""A stack machine small enough to check by hand: what a policy writes is compiled and run here and nowhere else.

A program is postfix, each token one character: an input's name or a digit pushes its value; + - * take two values and
push one (`xy-` is x - y); d doubles the top, w swaps the two on top, p drops the top. There is no loop and no jump, so
that whether a program compiles, that is never takes from an empty stack and ends with one value, is known before it
runs, and so is how long.
"""

from collections.abc import Callable, Mapping, Sequence

DIGITS = frozenset("0123456789")
LONGEST_PROGRAM = 32
LARGEST_VALUE = 10**6
"""Of any value on the way, in size; a program that goes beyond makes nothing."""

_BINARY: Mapping[str, Callable[[int, int], int]] = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}
_TAKES_AND_GIVES = {"d": (1, 2), "w": (2, 2), "p": (1, 0), **dict.fromkeys(_BINARY, (2, 1))}


def compiles(program: Sequence[str], inputs: Sequence[str]) -> bool:
    """Whether a program of these inputs is one: known tokens, never too few values, and one value at the end."""
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
