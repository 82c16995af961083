"""The plan of a case of quality: its refusals before anything is allocated, and its quantities."""

import re

import pytest

from suite.quality.plan import QualityPlan
from suite.theory.layers.decoder_shape import decoder_shape
from tests.quality.cases import plan, settings

SORTING = {"_target_": "suite.rl.tasks.sorting.Sorting", "digits": 2}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"updates": 5}, "updates must be a multiple of eval_every; got 5 and 2"),
        ({"updates": 0}, "updates must be a whole number of at least 1; got 0"),
        ({"batch": 0}, "batch must be a whole number of at least 1; got 0"),
        ({"lr": 0}, "lr must be a number above 0; got 0"),
        ({"dtype": "bfloat16"}, "dtype must be one of float64, float32; got 'bfloat16'"),
        ({"embeddings": "random"}, "embeddings must be one of trained, frozen; got 'random'"),
        ({"match": "speed"}, "match must be one of heads, params, cache; got 'speed'"),
        ({"sizes": {"num_heads": 0}}, "geometry.num_heads must be"),
        ({"task": "recall", "sizes": {"num_layers": 1}}, "geometry.num_layers must be at least 2, or no decoder can"),
        (
            {"task_changes": SORTING},
            "workload=quality needs one of its own tasks, such as task=tiers; got Sorting, a task of another workload",
        ),
    ],
)
def test_what_is_wrong_in_itself_is_refused_in_a_sentence(changes, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        plan(**changes)


def test_without_a_task_the_sentence_names_one():
    with pytest.raises(ValueError, match="workload=quality needs one of its own tasks, such as task=tiers; got none"):
        QualityPlan({**settings(), "task": None})


def test_what_cannot_be_matched_is_a_refusal_and_no_error():
    assert "has none" in plan(match="cache").refusal


def test_a_plan_has_cache_bytes_beside_mha_and_chance():
    constants = plan("two_hop", "mqa", dtype="float64").constants()
    # Three layers, a key and a value of 8 numbers of 8 bytes; MHA has two of each.
    assert constants["case"]["cache_bytes_per_token"] == 3 * 2 * 8 * 8
    assert constants["case"]["cache_bytes_per_token_mha"] == 2 * constants["case"]["cache_bytes_per_token"]
    asked = ("evaluate", "evaluate/one hop", "evaluate/two hops")
    assert constants == {"case": constants["case"]} | {span: {"chance": 1 / 32} for span in asked}
    assert set(plan("tiers").constants()) == {
        *("case", "evaluate", "evaluate/often", "evaluate/sometimes", "evaluate/rarely"),
        *(f"evaluate/attribute {number}" for number in range(1, 7)),
    }
    assert plan("tiers").facts()["task"]["groups"] == ["often", "sometimes", "rarely"]


def test_the_vocabulary_has_room_for_every_id_of_the_task():
    made = plan("tiers")
    assert made.task.vocab_size <= made.shape.vocab_size < made.task.vocab_size + 64
    whole = decoder_shape(settings()["geometry"], settings()["attention"], vocab_size=128, where="geometry.")
    assert made.shape.parameter_count == whole.parameter_count
