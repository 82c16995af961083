"""Adding: its split, its columns by hand, and its settings."""

import random

import pytest

from suite.rl.tasks.adding import Adding
from suite.rl.tasks.task import Item, tokens

ADDING = Adding({"digits": 2})
ITEM = Item(prompt="37+85=", content="37+85", answer="122")


def step_rewards(completion):
    return [(step.end, step.reward) for step in ADDING.score(ITEM, tokens(completion)).steps]


@pytest.mark.parametrize("digits", range(1, 7))
def test_both_orders_of_a_sum_are_one_content(digits):
    task, generator = Adding({"digits": digits}), random.Random(0)
    for _ in range(200):
        item = task.item(generator)
        a, b = (int(number) for number in item.prompt[:-1].split("+"))
        assert len(item.prompt) == 2 * digits + 2
        assert item.answer == str(a + b)
        assert item.content == f"{min(a, b)}+{max(a, b)}"


def test_a_solution_adds_by_column_from_the_right():
    generator = random.Random(0)
    assert ADDING.solution(ITEM, generator) == "<think>21;21</think><answer>122</answer>"
    without = Item(prompt="31+42=", content="31+42", answer="73")
    assert ADDING.solution(without, generator) == "<think>30;70</think><answer>73</answer>"
    long = Item(prompt="9999+1001=", content="1001+9999", answer="11000")
    assert Adding({"digits": 4}).solution(long, generator) == "<think>01;01;01;11</think><answer>11000</answer>"


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("<think>21;21</think><answer>122</answer>", [(3, 1), (5, 1)]),
        ("<think>20;21</think><answer>122</answer>", [(3, 0), (5, 0)]),
        ("<think>21;11</think>", [(3, 1), (5, 0)]),
        ("<think>21;21;</think>", [(3, 1), (6, 1)]),
        ("<think>21;21;21</think>", [(3, 1), (6, 1), (8, 0)]),
        ("<think>21;;21</think>", [(3, 1), (4, 0), (6, 0)]),
        ("<think>2121</think>", [(4, 0)]),
        ("<think>21</think><answer>122</answer>", [(2, 1)]),
        ("<think></think><answer>122</answer>", []),
        ("<think>21;21", []),
    ],
)
def test_a_column_is_right_until_a_digit_or_carry_is_wrong(completion, expected):
    assert step_rewards(completion) == expected
