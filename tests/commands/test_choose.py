import json

import pytest

from suite.commands.choose import choose
from suite.commands.fit import fit

ASKED = {"model": "70b", "gpus": "4xh100", "context": "32k", "parallel": "tp4", "price": 2.5}
RL = {"algorithm": "ppo", "model": "8b", "gpus": "4x80", "seq_len": "2k"}


def chosen(sort="fits", as_json=False, **changes):
    return choose(ASKED | changes, sort=sort, as_json=as_json)


def test_the_answer_is_a_sentence_a_table_and_its_conditions(capsys):
    assert chosen() == 0
    said, _, header, *rows = capsys.readouterr().out.splitlines()
    assert said == "On 4 x h100-sxm5-80gb, llama-3.1-70b with 32,768 tokens per sequence fits up to batch 13."
    assert header.split()[-2:] == ["cost/M", "tokens"]
    assert [row.split()[0] for row in rows[:4]] == ["as", "MQA", "MLA", "MHA"]
    assert "24.9 ms" in rows[0]
    assert "21.6–30.0 ms" in rows[0]


def test_layouts_have_a_table_and_an_impossible_one_has_none(capsys):
    assert chosen(model="8b", gpus="8xh100", parallel=None) == 0
    assert "\n2 replicas of tp4 " in capsys.readouterr().out
    assert chosen(model="qwen2.5-7b", gpus="8xh100", parallel="tp8") == 3
    (said,) = capsys.readouterr().out.splitlines()
    assert "cannot use this layout: tp8 is impossible: " in said


def test_a_model_that_does_not_fit_ends_with_3_and_says_why(capsys):
    assert chosen(model="405b", gpus="4x80") == 3
    assert "does not fit: on each device the weights take 189 GiB" in capsys.readouterr().out


def test_json_holds_the_question_and_every_answer(capsys):
    assert chosen(as_json=True, sort="cheapest", batch=8) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["question"]["context"] == 32_768
    assert found["by"] == "expected"
    assert found["answers"][0]["variant"] == "own"
    costs = [answer["cost_per_million"] for answer in found["answers"][1:] if answer["fits"]]
    assert costs == sorted(costs)
    assert [answer["variant"] for answer in found["answers"] if not answer["fits"]] == ["mha"]


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match=r"^sort must be one of fits, fastest, cheapest; got 'best'"):
        chosen(sort="best")


def test_a_step_that_fits_says_what_holds_it(capsys):
    assert fit(RL, as_json=False) == 0
    out = capsys.readouterr().out
    assert "fits on 4 x 80 GB: its update needs 32.2 GiB on each and leaves 40.9 GiB." in out
    assert "With --precision mixed the smallest set is 2 x 141 GB, or 4 x 80 GB." in out


def test_a_step_that_does_not_fit_ends_with_3(capsys):
    assert fit(RL | {"gpus": "1x24"}, as_json=True) == 3
    asked, *beside = json.loads(capsys.readouterr().out)["answers"]
    assert (asked["algorithm"], asked["fits"]) == ("ppo", False)
    assert [one["algorithm"] for one in beside] == ["vapo", "grpo", "dr_grpo"]
