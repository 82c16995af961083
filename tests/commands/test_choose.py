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
    assert said.startswith(
        "On 4 x h100-sxm5-80gb (tp), llama-3.1-70b with 32,768 tokens a sequence fits with MQA up to"
    )
    assert "as it is (GQA-8) up to batch 13" in said
    assert header.split()[-2:] == ["cost/M", "tokens"]
    assert [row.split()[0] for row in rows[:4]] == ["MQA", "as", "MLA", "MHA"]
    assert rows[-1] == "tokens/s as expected of good kernels; at 700 W a device"


def test_nothing_that_fits_ends_with_3_and_says_why(capsys):
    assert chosen(model="405b", gpus="4x80") == 3
    out = capsys.readouterr().out
    assert "llama-3.1-405b with 32,768 tokens a sequence does not fit." in out
    assert "do not fit into 90% of a device's 74.5 GiB" in out


def test_json_holds_the_question_and_every_answer(capsys):
    assert chosen(as_json=True, sort="cheapest", batch=8) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["question"]["context"] == 32_768
    assert found["by"] == "expected"
    costs = [answer["cost_per_million"] for answer in found["answers"] if answer["fits"]]
    assert costs == sorted(costs)
    assert [answer["variant"] for answer in found["answers"] if not answer["fits"]] == ["mha"]


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match=r"^sort must be one of fits, fastest, cheapest; got 'best'"):
        chosen(sort="best")


def test_a_step_that_fits_says_what_holds_it(capsys):
    assert fit(RL, as_json=False) == 0
    out = capsys.readouterr().out
    assert out.startswith("PPO of llama-3.1-8b fits on 4 x 80 GB: 32.2 GiB on each in its update, 40.9 GiB to spare.")
    assert "Smallest: 1 x 141 GB, or 2 x 80 GB." in out
    assert "policy optimiser" in out


def test_a_step_that_does_not_fit_ends_with_3(capsys):
    assert fit(RL | {"gpus": "1x24"}, as_json=True) == 3
    asked, *beside = json.loads(capsys.readouterr().out)["answers"]
    assert (asked["algorithm"], asked["fits"]) == ("ppo", False)
    assert [one["algorithm"] for one in beside] == ["vapo", "grpo", "dr_grpo"]
