"""Properties of every task that has a file in conf/task: its sizes, its held-out set, and who sees whom."""

import numpy as np
import pytest

from suite.configuration.files import choices, read_choice
from suite.measure.rng import numpy_rng
from suite.quality.tasks.task import make, questions_apart
from tests.quality.cases import settings

OF_OTHERS = {"plays"}  # whose texts are a package's
TASKS = sorted({name for name in choices("task") if "task" in read_choice("task", name)} - OF_OTHERS)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_keeps_to_what_it_says_of_itself(name):
    task = make(settings(name))
    for questions in (task.training(16, numpy_rng(0), 0.0), task.held_out()):
        _, length, _ = questions.tokens_BSK.shape
        assert length == task.longest >= questions.answers_BQ.shape[1]
        ids = np.concatenate((questions.tokens_BSK.ravel(), questions.answers_BQ.ravel()))
        assert 0 <= ids.min() <= ids.max() < task.vocab_size
        assert set(np.unique(questions.kinds_BQ)) <= set(range(len(task.kinds)))
        assert questions.visible_SS is None or not np.triu(questions.visible_SS, 1).any()
    assert set(np.unique(questions.kinds_BQ)) == set(range(len(task.kinds)))


@pytest.mark.parametrize("name", TASKS)
def test_a_seed_sets_the_questions_but_never_the_held_out_set(name):
    one, another = make(settings(name, seed=0)), make(settings(name, seed=1))
    assert np.array_equal(one.held_out().tokens_BSK, another.held_out().tokens_BSK)
    asked = [task.training(4, numpy_rng(seed), 0.0).tokens_BSK for task, seed in ((one, 0), (another, 0), (one, 1))]
    assert np.array_equal(asked[0], asked[1])
    assert not np.array_equal(asked[0], asked[2])


@pytest.mark.parametrize("name", TASKS)
def test_no_answer_to_all_questions_does_better_than_chance(name):
    task = make(settings(name))
    answers = task.held_out().answers_BQ
    assert np.bincount(answers.ravel()).max() / answers.size == pytest.approx(task.chance, abs=0.01)


def test_questions_see_the_context_and_themselves_alone():
    expected = ["1...", "11..", "111.", "11.1"]
    assert ["".join("1" if sees else "." for sees in row) for row in questions_apart(2, 2)] == expected
