"""What needs no skill, for any task by its prompts and scorer alone."""

import random

import pytest

from suite.configuration.files import locate, read_yaml
from suite.measure.rng import python_rng
from suite.rl.tasks.task import Item, Score, draw, parse, tokens, trivial_accuracy
from tests.rl.tasks.test_task import EVERY_TASK, items, task_named

TABLE = read_yaml("trivial_accuracy.yaml")


def held_out(task):
    generator = python_rng("held out")
    return [draw(task, generator, held_out=True) for _ in range(TABLE["eval_prompts"])]


@pytest.mark.parametrize("row", TABLE["tasks"], ids=lambda row: row["of"]["_target_"].rpartition(".")[2])
def test_the_table_for_older_records_holds_what_is_counted(row):
    task = locate(row["of"]["_target_"])(row["of"])
    asked = held_out(task)
    assert trivial_accuracy(task, asked) == row["right"] / len(asked)


@EVERY_TASK
def test_no_single_answer_to_all_prompts_does_better(name):
    task = task_named(name)
    asked = items(task, count=60)
    solutions = [tokens(task.solution(item, random.Random(0))) for item in asked]
    most = max(sum(task.score(item, solution).accuracy for item in asked) for solution in solutions)
    assert most / len(asked) <= trivial_accuracy(task, asked) < 0.5


class SecondWord:
    """A task that asks for a word of its prompt."""

    longest_completion = 20

    def score(self, item, completion):
        answer = parse(completion).answer
        return Score(accuracy=float("".join(completion[answer]) == item.answer), format=1.0)


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        (["which apple 7", "of 8 pear"], 1.0),
        (["which apple " + "and so on " * 5, "of pear " + "and so on " * 5], 0.5),  # a text, of which nothing is copied
        (["which apple 7", "of " + "x" * 21], 0.5),  # longer than a completion may be
    ],
)
def test_a_task_knows_it_by_its_prompts_and_its_scorer_alone(prompts, expected):
    asked = [Item(prompt=prompt, content=prompt, answer=prompt.split()[1]) for prompt in prompts]
    assert trivial_accuracy(SecondWord(), asked) == expected


class AtLeast:
    """A task that takes any number that is large enough."""

    longest_completion = 20

    def score(self, item, completion):
        answer = "".join(completion[parse(completion).answer])
        return Score(accuracy=float(answer.isdecimal() and int(answer) >= int(item.answer)), format=1.0)


def test_the_most_frequent_key_need_not_be_the_best_answer():
    asked = [Item(prompt="more", content="", answer=least) for least in ("1", "1", "1", "5", "5", "9")]
    assert trivial_accuracy(AtLeast(), asked) == 5 / 6
