"""Expressions: their values against Python's own, and what is none."""

import itertools
import random

import pytest

from suite.rl.tasks.countdown import evaluate

ALPHABET = "0123456789+-*()"


def as_python_has_it(text):
    """Value where the text is of our grammar; Python's has signs and longer numbers too, which are ruled out before."""
    padded = f"({text})"
    for before, after in itertools.pairwise(padded):
        if (before.isdigit() and after.isdigit()) or (before in "+-*(" and after in "+-*"):
            return None
        if ((before.isdigit() or before == ")") and after == "(") or before + after == "()":
            return None
    try:
        return eval(text)
    except SyntaxError:
        return None


def test_values_are_python_s_and_so_is_what_has_none():
    generator, valued = random.Random(0), 0
    for _ in range(20_000):
        text = "".join(generator.choices(ALPHABET, k=generator.randint(1, 7)))
        expected = as_python_has_it(text)
        assert evaluate(text, longest=20) == expected, text
        valued += expected is not None
    assert valued > 500


def test_products_come_before_sums_and_differences_are_taken_from_the_left():
    assert evaluate("2+3*4", longest=20) == 14
    assert evaluate("(2+3)*4", longest=20) == 20
    assert evaluate("9-3-2", longest=20) == 4
    assert evaluate("9-(3-2)", longest=20) == 8
    assert evaluate("((7))", longest=20) == 7


@pytest.mark.parametrize("text", ["", "(", ")", "()", "-3", "3+", "12", "3 ", "3(4)", "(3", "3)", "3**4", "3/1", "x"])
def test_what_is_no_expression_has_no_value(text):
    assert evaluate(text, longest=20) is None


@pytest.mark.parametrize("tokens", [["12"], [""], ["\u00b2"], ["3", "+", "<think>"], ["3", "+-", "4"]])
def test_tokens_of_several_characters_or_none_are_no_digits(tokens):
    assert evaluate(tokens, longest=20) is None


def test_neither_depth_nor_length_beyond_the_bound_is_read():
    assert evaluate("(" * 100_000 + "1" + ")" * 100_000, longest=20) is None
    assert evaluate("9*" * 100_000 + "9", longest=20) is None
    assert evaluate("1+1", longest=3) == 2
    assert evaluate("1+1", longest=2) is None
