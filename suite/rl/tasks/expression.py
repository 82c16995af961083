"""Whole numbers of one digit, + - * and parentheses: reading what a policy wrote, without ever running it.

The grammar, as tokens of one character:
    expression = term (("+" | "-") term)*
    term       = factor ("*" factor)*
    factor     = digit | "(" expression ")"
There is no sign and no number of two digits: `-3`, `12` and `3 +4` are no expressions.
"""

from collections.abc import Sequence

DIGITS = frozenset("0123456789")
_OPERATIONS = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}


class _NoExpressionError(Exception):
    """What was read is no expression."""


def evaluate(tokens: Sequence[str], *, longest: int) -> int | None:
    """Value of an expression; None for what is none, or is longer than `longest` tokens.

    The bound holds recursion and value: n tokens nest at most n deep and are less than 10^n.
    """
    if len(tokens) > longest:
        return None
    try:
        value, after = _chain(tokens, 0, ("+", "-"))
    except _NoExpressionError:
        return None
    return value if after == len(tokens) else None


def _chain(tokens: Sequence[str], start: int, operators: tuple[str, ...]) -> tuple[int, int]:
    """Value of an expression, or of a term where operators are ("*",), and the place after it."""
    read = _factor if operators == ("*",) else _term
    value, at = read(tokens, start)
    while at < len(tokens) and tokens[at] in operators:
        right, after = read(tokens, at + 1)
        value, at = _OPERATIONS[tokens[at]](value, right), after
    return value, at


def _term(tokens: Sequence[str], start: int) -> tuple[int, int]:
    return _chain(tokens, start, ("*",))


def _factor(tokens: Sequence[str], start: int) -> tuple[int, int]:
    token = tokens[start] if start < len(tokens) else None
    if token in DIGITS:
        return int(token), start + 1
    if token != "(":
        raise _NoExpressionError
    value, at = _chain(tokens, start + 1, ("+", "-"))
    if at >= len(tokens) or tokens[at] != ")":
        raise _NoExpressionError
    return value, at + 1
