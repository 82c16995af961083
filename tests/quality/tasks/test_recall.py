import pytest

from suite.measure.rng import numpy_rng
from suite.quality.tasks.recall import Recall
from tests.quality.cases import task_settings


def recall(**changes):
    return Recall(task_settings("recall", **changes))


def test_the_answer_is_the_value_behind_the_key():
    questions = recall(pairs=3, keys=4, values=5, distance=2).training(100, numpy_rng(0), 0.0)
    fillers = set()
    for tokens, answers, kinds in zip(
        questions.tokens_BSK[..., 0].tolist(), questions.answers_BQ.tolist(), questions.kinds_BQ.tolist(), strict=True
    ):
        pairs = dict(zip(tokens[0:6:2], tokens[1:6:2], strict=True))
        fillers |= set(tokens[6:8])
        asked = tokens[8:]
        assert sorted(asked) == sorted(pairs)
        assert answers == [pairs[key] for key in asked]
        assert kinds == [list(pairs).index(key) for key in asked]
        assert max(pairs) <= 4 < min(pairs.values()) <= max(pairs.values()) <= 9 < min(fillers)
    assert fillers == set(range(10, 18))


def test_more_pairs_than_keys_are_refused():
    with pytest.raises(ValueError, match=r"task\.pairs must be a whole number from 1 to 4; got 5"):
        recall(pairs=5, keys=4)
