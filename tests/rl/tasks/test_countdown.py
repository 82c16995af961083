"""Countdown: every item can be solved, and an answer is judged by what it makes of its numbers."""

import itertools
import random

import pytest

from suite.rl.tasks.countdown import Countdown, evaluate
from suite.rl.tasks.task import Item, tokens

COUNTDOWN = Countdown({"numbers": 3})
ITEM = Item(prompt="c3,7,5:22=", content="3,5,7:22", answer="3*5+7")


def accuracy(answer, item=ITEM):
    return COUNTDOWN.score(item, tokens(f"<think></think><answer>{answer}</answer>")).accuracy


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("3*5+7", True),
        ("7+5*3", True),
        ("(5*3)+7", True),
        ("((3*5)+7)", True),
        ("3+5+7", False),
        ("7+7+3+5", False),
        ("3*5+7+0", False),
        ("3*5+7=22", False),
        ("22", False),
        ("(3*5+7", False),
        ("3*5+7)", False),
        ("357", False),
        ("3+7*5-(3+7*5)+22", False),
        ("", False),
    ],
)
def test_a_right_answer_takes_each_number_once(answer, is_right):
    assert accuracy(answer) == float(is_right)


def test_a_number_that_is_given_twice_is_taken_twice():
    item = Item(prompt="c4,4,2:18=", content="2,4,4:18", answer="4*4+2")
    assert accuracy("4*4+2", item) == 1.0
    assert accuracy("4*4+2+2-2", item) == 0.0
    assert accuracy("4*2+2*5", item) == 0.0


def reachable(numbers):
    """Every value of an expression of some values, by combining any two until one is left."""
    if len(numbers) == 1:
        return set(numbers)
    found = set()
    for i, j in itertools.permutations(range(len(numbers)), 2):
        rest = [number for k, number in enumerate(numbers) if k not in (i, j)]
        for value in (numbers[i] + numbers[j], numbers[i] - numbers[j], numbers[i] * numbers[j]):
            found |= reachable([*rest, value])
    return found


@pytest.mark.parametrize("numbers", [2, 3, 4])
def test_every_item_is_solvable_by_brute_force_too(numbers):
    task, generator = Countdown({"numbers": numbers}), random.Random(0)
    for _ in range(20):
        item = task.item(generator)
        given, target = item.prompt[1:-1].split(":")
        assert int(target) in reachable([int(number) for number in given.split(",")])
        assert 10 <= int(target) <= 99
        assert item.content == ",".join(sorted(given.split(","))) + f":{target}"
        solution = tokens(task.solution(item, generator))
        assert task.score(item, solution).accuracy == 1.0
        assert len(solution) < task.longest_completion


def test_what_brute_force_reaches_an_expression_is_drawn_for():
    task, generator = Countdown({"numbers": 2}), random.Random(0)
    drawn = {item.content for item in (task.item(generator) for _ in range(5000))}
    pairs = itertools.combinations_with_replacement(range(1, 10), 2)
    assert drawn == {f"{a},{b}:{target}" for a, b in pairs for target in reachable([a, b]) if target >= 10}


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


@pytest.mark.parametrize("tokens", [["12"], [""], ["\u00b2"], ["3", "+", "<think>"], ["3", "+-", "4"]])
def test_tokens_of_several_characters_or_none_are_no_digits(tokens):
    assert evaluate(tokens, longest=20) is None


def test_neither_depth_nor_length_beyond_the_bound_is_read():
    assert evaluate("(" * 100_000 + "1" + ")" * 100_000, longest=20) is None
    assert evaluate("9*" * 100_000 + "9", longest=20) is None
    assert evaluate("1+1", longest=3) == 2
    assert evaluate("1+1", longest=2) is None
