"""Tiers of information: what its tokens say, read slowly, and how often each tier is asked."""

import numpy as np
import pytest

from suite.measure.rng import numpy_rng
from suite.quality.tasks.tiers import HELD_OUT_CONTEXTS, Tiers
from tests.quality.cases import task_settings

TINY = {"entities": 2, "attributes_per_tier": 1, "values": 2, "questions": 3}
# Ids of the tiny one by hand: two values of each of three attributes, two names, and so on.
VALUES = {1: (0, 0), 2: (0, 1), 3: (1, 0), 4: (1, 1), 5: (2, 0), 6: (2, 1)}
NAMES, ASKED_ATTRIBUTES, ASKED_NAMES, ANSWERS = {7: 0, 8: 1}, {9: 0, 10: 1, 11: 2}, {12: 0, 13: 1}, {14: 0, 15: 1}


def tiers(**changes):
    return Tiers(task_settings("tiers", **changes))


def read(tokens, answers):
    """Each question of a sequence: its context, who and what it asks for, and the value that must follow."""
    context = {}
    for token in tokens[:2]:
        (name,) = [NAMES[one] for one in token if one in NAMES]
        for attribute, value in (VALUES[one] for one in token if one in VALUES):
            context[name, attribute] = value
    assert len(context) == 6
    for token, answer in zip(tokens[2:], answers, strict=True):
        attribute, name, *rest = token
        assert not any(rest)
        yield tuple(sorted(context.items())), ASKED_NAMES[name], ASKED_ATTRIBUTES[attribute], ANSWERS[answer]


def all_read(questions):
    rows = zip(questions.tokens_BSK.tolist(), questions.answers_BQ.tolist(), strict=True)
    return [read(tokens, answers) for tokens, answers in rows]


def test_the_answer_is_the_entitys_value_in_the_context():
    task = tiers(**TINY)
    questions = task.training(200, numpy_rng(0), 0.0)
    orders = set()
    for place, asked in enumerate(all_read(questions)):
        for number, (context, name, attribute, value) in enumerate(asked):
            assert dict(context)[name, attribute] == value
            assert questions.kinds_BQ[place, number] == attribute
        orders.add(tuple(questions.tokens_BSK[place, :2, 3]))
    assert orders == {(7, 8), (8, 7)}
    assert task.vocab_size == 16


def test_the_held_out_set_asks_every_attribute_once():
    asked = all_read(tiers(**TINY).held_out())
    assert len(asked) == 2 * HELD_OUT_CONTEXTS
    for first, second in zip(asked[::2], asked[1::2], strict=True):
        both = [*first, *second]
        assert len({context for context, *_ in both}) == 1
        assert {(name, attribute) for _, name, attribute, _ in both} == {(e, a) for e in range(2) for a in range(3)}


@pytest.mark.parametrize(
    ("asked", "progress", "shares"),
    [
        ("skewed", 0.9, (0.85, 0.12, 0.03)),
        ("uniform", 0.0, (1 / 3, 1 / 3, 1 / 3)),
        ("uniform_weighted", 0.0, (1 / 3, 1 / 3, 1 / 3)),
        ("reversed", 0.0, (0.03, 0.12, 0.85)),
        ("shifted", 0.49, (0.85, 0.12, 0.03)),
        ("shifted", 0.5, (0.03, 0.12, 0.85)),
    ],
)
def test_each_tier_is_asked_as_often_as_the_setting_says(asked, progress, shares):
    task = tiers(query_frequency=asked)
    kinds = task.training(1000, numpy_rng(0), progress).kinds_BQ
    for tier, share in zip(("often", "sometimes", "rarely"), shares, strict=True):
        standard_error = (share * (1 - share) / kinds.size) ** 0.5
        assert np.isin(kinds, task.groups[tier]).mean() == pytest.approx(share, abs=4 * standard_error)


def test_weights_give_tiers_their_loss_shares_and_have_mean_one():
    task = tiers(query_frequency="uniform_weighted")
    questions = task.training(1000, numpy_rng(0), 0.0)
    assert questions.weights_BQ.mean() == pytest.approx(1, abs=0.03)
    for tier, share in (("often", 0.85), ("sometimes", 0.12), ("rarely", 0.03)):
        of_tier = questions.weights_BQ[np.isin(questions.kinds_BQ, task.groups[tier])]
        assert of_tier.sum() / questions.weights_BQ.sum() == pytest.approx(share, abs=0.02)
    assert tiers(query_frequency="skewed").training(1, numpy_rng(0), 0.0).weights_BQ is None


def test_a_bundle_is_the_token_of_the_details_beside_it():
    tokens, details = tiers(**TINY).bundles(50, numpy_rng(0))
    for token, values in zip(tokens.tolist(), details.tolist(), strict=True):
        assert [VALUES[one] for one in token[:3]] == list(enumerate(values))
        assert token[3] in NAMES
    assert len({tuple(values) for values in details.tolist()}) == 8


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"query_frequency": "never"}, "task.query_frequency must be one of skewed, uniform"),
        ({"questions": 5}, "task.questions must divide the entities times the attributes"),
        ({"values": 1}, "task.values must be a whole number of at least 2; got 1"),
        ({"entities": 0}, "task.entities must be a whole number of at least 1; got 0"),
    ],
)
def test_what_is_wrong_in_itself_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        tiers(**changes)
