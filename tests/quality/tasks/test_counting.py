import pytest

from suite.measure.rng import numpy_rng
from suite.quality.tasks.counting import Counting
from tests.quality.cases import task_settings

OF_KIND = {"none": range(1), "1-2": range(1, 3), "3-4": range(3, 5), "5-8": range(5, 9), "9 or more": range(9, 100)}


def counting(**changes):
    return Counting(task_settings("counting", **changes))


def test_the_answer_is_how_often_the_sort_stands_in_the_context():
    # Of three sorts: 1-3 in the context, 4-6 asked, then 7 for none, 8 for one and so on.
    task = counting(length=12, sorts=3)
    questions = task.training(300, numpy_rng(0), 0.0)
    seen = set()
    for tokens, answers, kinds in zip(
        questions.tokens_BSK[..., 0].tolist(), questions.answers_BQ.tolist(), questions.kinds_BQ.tolist(), strict=True
    ):
        context, asked = tokens[:12], tokens[12:]
        assert sorted(asked) == [4, 5, 6]
        assert set(context) <= {1, 2, 3}
        counts = [context.count(sort - 3) for sort in asked]
        assert [answer - 7 for answer in answers] == counts
        assert all(count in OF_KIND[task.kinds[kind]] for count, kind in zip(counts, kinds, strict=True))
        seen |= set(counts)
    assert seen == set(range(13))


def test_a_context_too_short_for_its_kinds_is_refused():
    with pytest.raises(ValueError, match=r"task\.length must be a whole number of at least 9; got 8"):
        counting(length=8)
