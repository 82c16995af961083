import pytest

from suite.measure.rng import numpy_rng
from suite.quality.tasks.copying import Copying
from tests.quality.cases import task_settings


def copying(**changes):
    return Copying(task_settings("copying", **changes))


def test_the_string_among_the_fillers_is_asked():
    questions = copying(length=5, characters=4, fillers=2).training(100, numpy_rng(0), 0.0)
    begins = set()
    for tokens, answers in zip(questions.tokens_BSK[..., 0].tolist(), questions.answers_BQ.tolist(), strict=True):
        separator = tokens.index(1)
        string = [token for token in tokens[:separator] if token != 2]
        assert (separator, len(string)) == (7, 5)
        begin = tokens.index(string[0])
        assert tokens[begin : begin + 5] == string == answers
        assert tokens[separator + 1 :] == string[:-1]
        assert set(string) <= {3, 4, 5, 6}
        begins.add(begin)
    assert begins == {0, 1, 2}
    assert questions.kinds_BQ[0].tolist() == [0, 0, 0, 1, 1]


def test_without_fillers_one_layer_is_enough():
    assert [copying(fillers=fillers).least_layers for fillers in (0, 1)] == [1, 2]


def test_a_string_of_one_character_is_refused():
    with pytest.raises(ValueError, match=r"task\.length must be a whole number of at least 2; got 1"):
        copying(length=1)
