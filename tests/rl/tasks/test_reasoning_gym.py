"""The adapter to reasoning-gym without the package, for which a few lines stand in. The real one: tests/parity."""

import random
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from suite.commands.run import main
from suite.configuration.files import read_choice
from suite.measure.task_loader import NeedsPackageError
from suite.records.record import Status
from suite.records.stores.store import read_contents
from suite.rl.tasks import reasoning_gym
from suite.rl.tasks.task import make, tokens
from tests.rl.cases import TINY_RL, plan

EIGHTH = SimpleNamespace(randrange=lambda count: 8)
"""Chance that draws the question whose answer is 16."""


@dataclass
class _Configuration:
    wrapper: str = "What is {} = ?"
    seed: int = 0
    size: int = 500


class _Dataset:
    """Twice a number. Its scorer raises on what is no number and gives marks for a contained answer."""

    def __init__(self, configuration, leaks=False):
        assert "{}" in configuration.wrapper, "a wrapper wraps"
        self._wrapper, self._leaks = configuration.wrapper, leaks

    def __getitem__(self, index):
        answer = str(2 * (index % 60))
        expression = answer if self._leaks else f"2 * {index % 60}"
        question = self._wrapper.format(f"2 * {index % 60}")
        return {"question": question, "answer": answer, "metadata": {"expression": expression}}

    def score_answer(self, answer, entry):
        return 1.0 if int(answer) == int(entry["answer"]) else 0.5


@pytest.fixture(autouse=True)
def package(monkeypatch):
    """The stand-in, with a dataset under a name of its own and one under a real one, whose expression is the answer."""
    kinds = {"twice": _Dataset, "countdown": lambda configuration: _Dataset(configuration, leaks=True)}
    module = SimpleNamespace(
        factory=SimpleNamespace(DATASETS={name: (kind, _Configuration) for name, kind in kinds.items()}),
        create_dataset=lambda name, **settings: kinds[name](_Configuration(**settings)),
    )
    monkeypatch.setitem(sys.modules, "reasoning_gym", module)
    yield
    reasoning_gym._questions.cache_clear()


def settings(**changed):
    return {**read_choice("task", "reasoning_gym"), "dataset": "twice", **changed}


def task(**changed):
    return make({"task": settings(**changed)})


def answered(one, item, answer):
    return one.score(item, ["<think>", "</think>", "<answer>", *answer, "</answer>"])


def test_without_the_package_a_sentence_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(NeedsPackageError, match=r"pip install -e '\.\[reasoning-gym\]'$"):
        task()


def test_without_the_package_a_run_is_unsupported(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    arguments = [argument for argument in TINY_RL if not argument.startswith("task.")]
    assert main([*arguments, "task=reasoning_gym", f"hydra.run.dir={tmp_path}"]) == 3
    (stored,) = read_contents([tmp_path]).stored
    assert stored.record.status is Status.UNSUPPORTED
    assert stored.record.reason.startswith("task=reasoning_gym needs the package reasoning-gym")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"dataset": "nope"}, "task.dataset must be one of countdown, twice; got 'nope'"),
        ({"parameters": {"seed": 3}}, "task.parameters must be one of wrapper; got 'seed'"),
        ({"parameters": {"wrapper": ""}}, "task.parameters must suit twice; it says: a wrapper wraps"),
        ({"right": "nearly"}, "task.right must be one of exact, scorer; got 'nearly'"),
        ({"questions": 1}, "task.questions must be a whole number of at least 10; got 1"),
        ({"dataset": "countdown"}, "task.right must be scorer for countdown, which has several right answers"),
        ({"dataset": "n_queens", "right": "scorer"}, "task.right must not be scorer for n_queens, whose scorer runs"),
        ({"dataset": "word_ladder"}, "task.dataset must ask the same in every process; word_ladder does not"),
    ],
)
def test_what_is_wrong_is_one_sentence(changed, sentence):
    with pytest.raises(ValueError, match=sentence):
        task(**changed)


def test_questions_follow_the_generator_and_are_made_once():
    first, again = (task() for _ in range(2))
    drawn, repeated = ([task.item(random.Random(seed)) for seed in range(20)] for task in (first, again))
    assert drawn == repeated
    assert all(one is other for one, other in zip(drawn, repeated, strict=True))
    assert len({item.prompt for item in drawn}) > 10


def test_longer_answers_are_passed_over():
    one, generator = task(longest_answer=1), random.Random(0)
    assert {len(one.item(generator).answer) for _ in range(50)} == {1}
    always_long = SimpleNamespace(randrange=lambda count: 59)
    with pytest.raises(ValueError, match=r"none of 1000 questions of twice has one of at most 1 characters"):
        one.item(always_long)


def test_the_prompt_is_the_expression_of_the_question():
    one = task()
    item = one.item(EIGHTH)
    assert (item.prompt, one.question(item)) == ("2 * 8 =", "What is 2 * 8 = ?")
    assert item.content == "* 2 8 ="


def test_an_expression_outside_the_question_is_not_shown():
    one = task(dataset="countdown", right="scorer")
    item = one.item(EIGHTH)
    assert item.prompt == one.question(item) == "What is 2 * 8 = ?"


def test_exactly_the_answer_is_right_and_the_scorer_is_not_asked():
    one = task()
    item = one.item(EIGHTH)
    assert answered(one, item, "16").accuracy == 1.0
    for wrong in ("016", "16 ", "the answer is 16", "", "17"):
        assert answered(one, item, wrong).accuracy == 0.0
    assert one.score(item, tokens("16")).accuracy == 0.0


def test_full_marks_alone_are_right():
    one = task(right="scorer")
    item = one.item(EIGHTH)
    for answer, accuracy, unscorable in (("16", 1, 0), ("+16", 1, 0), ("17", 0, 0), ("16x", 0, 1), ("", 0, 1)):
        score = answered(one, item, answer)
        assert (score.accuracy, score.parts) == (accuracy, {"unscorable": unscorable})
    assert one.score(item, tokens("16")).parts == {"unscorable": 0}


def test_a_scorer_that_runs_answers_gets_plain_arithmetic():
    one = task(dataset="countdown", right="scorer")
    item = one.item(EIGHTH)
    one._questions.dataset.score_answer = lambda answer, entry: eval(answer) == 16
    for answer, accuracy, unscorable in (("(3+5)*2", 1, 0), ("3+5", 0, 0), ("exit()", 0, 1), ("2**4", 0, 1)):
        score = answered(one, item, answer)
        assert (score.accuracy, score.parts) == (accuracy, {"unscorable": unscorable})


def test_a_policy_without_weights_refuses_what_it_cannot_write():
    assert plan(task=settings()).refusal is None
    capital = settings(dataset="countdown", right="scorer", parameters={"wrapper": "Make {}"})
    with pytest.raises(ValueError, match=r"such as chain_sum; countdown has 'M', which is none of its tokens"):
        plan(task=capital)
