import pytest

from suite.measure.rng import numpy_rng
from suite.quality.tasks.two_hop import TwoHop
from tests.quality.cases import task_settings


def two_hop(**changes):
    return TwoHop(task_settings("two_hop", **changes))


def test_an_answer_is_as_many_facts_away_as_its_question_says():
    # Of seven names: 1-7 of facts, 8-14 what they lead to, 15-21 asked, then 22 and 23 for the hops, 24-30 answers.
    questions = two_hop(chains=2, names=7).training(100, numpy_rng(0), 0.0)
    orders = set()
    for tokens, answers, kinds in zip(
        questions.tokens_BSK.tolist(), questions.answers_BQ.tolist(), questions.kinds_BQ.tolist(), strict=True
    ):
        facts = {of - 1: to - 8 for of, to in tokens[:4]}
        asked = [(name - 15, hops - 21) for name, hops in tokens[4:]]
        two_away = [facts[to] for to in facts.values() if to in facts]
        assert len(facts) == 4
        assert len({*facts, *facts.values()}) == 6
        assert sorted(name for name, hops in asked if hops == 1) == sorted(facts)
        assert sorted(answer - 24 for answer, (_, hops) in zip(answers, asked, strict=True) if hops == 2) == sorted(
            two_away
        )
        for (name, hops), answer, kind in zip(asked, answers, kinds, strict=True):
            assert answer - 24 == (facts[name] if hops == 1 else facts[facts[name]])
            assert kind == hops - 1
        orders.add(tuple(to in facts for to in facts.values()))
    assert len(orders) == 6


def test_chains_that_share_a_name_are_refused():
    with pytest.raises(ValueError, match=r"task\.names must be a whole number of at least 6; got 5"):
        two_hop(chains=2, names=5)
