"""Sorting: its split, its steps by hand, and its settings."""

import random

import pytest

from suite.rl.tasks.sorting import Sorting
from suite.rl.tasks.task import Item, tokens

ITEM = Item(prompt="s4752=", content="2457", answer="2457")
SORTING = Sorting({"digits": 4})


def step_rewards(completion):
    return [(step.end, step.reward) for step in SORTING.score(ITEM, tokens(completion)).steps]


def test_permutations_of_the_digits_are_one_content():
    generator = random.Random(0)
    contents = {}
    for _ in range(5000):
        item = SORTING.item(generator)
        assert item.prompt == f"s{item.prompt[1:5]}="
        assert item.answer == "".join(sorted(item.prompt[1:5]))
        contents.setdefault(item.answer, set()).add(item.content)
    assert all(len(several) == 1 for several in contents.values())


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("<think>2457</think><answer>2457</answer>", [(1, 1), (2, 1), (3, 1), (4, 1)]),
        ("<think>2547</think><answer>2457</answer>", [(1, 1), (2, 0), (3, 0), (4, 0)]),
        ("<think>24577</think>", [(1, 1), (2, 1), (3, 1), (4, 1), (5, 0)]),
        ("<think>24</think><answer>2457</answer>", [(1, 1), (2, 1)]),
        ("7<think>2a45</think>", [(2, 1), (3, 0), (4, 0), (5, 0)]),
        ("<think></think><answer>2457</answer>", []),
        ("<think>2457", []),
        ("<think>2</think><think>2</think>", []),
    ],
)
def test_a_step_is_right_until_a_minimum_is_missed(completion, expected):
    assert step_rewards(completion) == expected


def test_second_attempts_are_right_more_often_than_first():
    task, generator = Sorting({"digits": 4, "corrections": 1.0}), random.Random(0)
    attempts = []
    for _ in range(2000):
        item = task.item(generator)
        thought = "".join(tokens(task.document(item, generator))).partition("</think>")[0].removeprefix("<think>")
        written = thought.split("!")
        if [len(attempt) for attempt in written] == [4, 4]:
            attempts.append([attempt == item.answer for attempt in written])
    first, second = (sum(of_one) / len(attempts) for of_one in zip(*attempts, strict=True))
    assert first < 0.1
    assert 0.25 < second < 0.45


def test_equal_digits_are_each_written():
    item = Item(prompt="s7277=", content="2777", answer="2777")
    assert [step.reward for step in SORTING.score(item, tokens("<think>2777</think>")).steps] == [1, 1, 1, 1]
    assert SORTING.score(item, tokens("<answer>27</answer>")).accuracy == 0
