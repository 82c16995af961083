"""The chooser's answers against counts by hand and against workload=capacity, which computes the same for one model."""

import pytest

from suite.configuration.files import choices, read_choice, read_settings
from suite.theory.answers.asked import model_named, own_model, short_names, sizes_from, tokens_from
from suite.theory.answers.capacity import CapacityPlan
from suite.theory.answers.choose import EXPECTED, ORDERS, answers_to, question_from, variants_of
from suite.theory.layers.layer_plan import load_plan, plan_from

ASKED = {"model": "llama-3.1-70b", "gpus": "4xh100", "context": 32_768, "parallel": "tp4"}


def answers(order="fits", **changes):
    return answers_to(question_from(ASKED | changes), order)


def by_variant(**changes):
    return {answer.variant: answer for answer in answers(**changes).answers}


def test_the_model_as_it_is_has_the_capacity_of_its_workload():
    settings = {key: value for key, value in read_settings("capacity").items() if key != "defaults"}
    groups = {
        "geometry": read_choice("geometry", "llama-3.1-70b"),
        "hardware": read_choice("hardware", "h100-sxm5-80gb"),
    }
    plan = CapacityPlan({**settings, **groups, "seq_len": 32_768, "query_len": 1, "tp": 4})
    costs, own = plan.constants(), by_variant()["own"]
    assert (own.largest_batch, own.sequence_bytes) == (costs["case"]["largest_batch"], costs["case"]["sequence_bytes"])
    assert (own.bound_s, own.expected_s) == (costs["step"]["bound_s"], costs["step"]["expected_s"])
    assert own.tokens_per_s == costs["step"]["expected_tokens_per_s"]


def test_a_variant_is_laid_over_all_layers_that_mix_tokens():
    found = by_variant()
    assert set(found) == {"own", "mha", "mqa", "mla"}  # the model is GQA itself
    assert found["own"].like == "gqa"
    a_token = 80 * 128 * 2
    assert [found[name].token_bytes for name in ("mha", "own", "mqa", "mla")] == [
        a_token * elements for elements in (2 * 64, 2 * 8, 2, 4.5)
    ]
    hybrid = read_choice("geometry", "nemotron-3-nano")
    blocks = sum(layer.count for layer in plan_from(hybrid).layers if layer.kind == "mlp")
    for laid in variants_of(hybrid)[1:]:
        first, second = plan_from(laid.settings).layers
        assert (first.count + blocks, second.kind) == (hybrid["num_layers"], "mlp")


def test_an_eight_bit_cache_has_a_byte_an_element_and_its_scales():
    full, narrow = (by_variant(cache_dtype=dtype, batch=1) for dtype in ("bfloat16", "fp8"))
    assert narrow["own"].token_bytes == full["own"].token_bytes / 2 * (1 + 4 / 128)
    assert narrow["mla"].token_bytes == 80 * (512 + 4 * 4 + 2 * 64)
    assert narrow["own"].bound_s < full["own"].bound_s
    assert narrow["own"].expected_s is None
    assert narrow["own"].expected_why == "its calibration covers only bfloat16, for the cache too"
    # 128 + 4 bytes of an indexer's key, as engines keep it, beside FlashMLA's 656 of a latent.
    assert load_plan("deepseek-v3.2").token_bytes("fp8") == 61 * (656 + 132)


def test_all_variants_compare_by_one_clock():
    assert answers().by == EXPECTED
    latent = answers(model="deepseek-v3", gpus="8xb200", weights="fp8", parallel=None)
    fitting = [answer for answer in latent.answers if answer.fits]
    assert len({answer.expected_s is None for answer in fitting}) == 2  # a B200's calibration has no GQA kernels
    assert latent.by == "bound"
    assert all(answer.tokens_per_s == answer.batch / answer.bound_s for answer in fitting)
    assert answers(context=400).by == "bound"  # no calibration begins below 512 tokens
    assert answers(gpus="4x80").by is None


def test_energy_and_cost_are_those_of_all_devices():
    own = by_variant(price=2.5, watts=100)["own"]
    assert own.joules_per_million == pytest.approx(4 * 100 * 1e6 / own.tokens_per_s)
    assert own.cost_per_million == pytest.approx(4 * 2.5 / 3600 * 1e6 / own.tokens_per_s)
    assert by_variant()["own"].joules_per_million == pytest.approx(7 * own.joules_per_million)  # an H100's 700 W


@pytest.mark.parametrize("order", ORDERS)
def test_the_best_comes_first_and_refusals_last(order):
    found = answers(order, batch=11, price=1).answers
    assert [answer.fits for answer in found] == [True, True, True, False]
    fitting = [answer for answer in found if answer.fits]
    assert fitting[0].variant == "own"
    fitting = fitting[1:]
    best = {"fits": "largest_batch", "fastest": "tokens_per_s", "cheapest": "cost_per_million"}[order]
    numbers = [getattr(answer, best) for answer in fitting]
    assert numbers == sorted(numbers, reverse=order != "cheapest")
    assert found[-1].why == "at most 1 sequences fit; got 11"


def test_what_cannot_be_shared_so_says_why():
    hybrid = by_variant(model="qwen3.5-397b-a17b", gpus="8xh200", parallel="dcp", weights="int4")
    assert (
        hybrid["own"].why
        == "dcp8 is impossible: parallel must be tp or dp for layers of kind state, or with an indexer; got 'dcp'"
    )
    assert hybrid["mla"].fits
    why = "tp8 is impossible: num_heads must be a multiple of tp; got 28 and 8; possible: tp4, tp2, tp1"
    assert {answer.why for answer in by_variant(model="qwen2.5-7b", gpus="8x80", parallel="tp").values()} == {why}
    sizes = {"hidden_size": 5120, "num_layers": 40, "num_heads": 40, "num_kv_heads": 10, "head_dim": 128}
    sizes |= {"intermediate_size": 17_920, "vocab_size": 100_352}
    own = by_variant(model=None, sizes=sizes, gpus="8x80", parallel="tp8")["own"]
    assert own.why == "tp8 is impossible: num_kv_heads must be a multiple of tp; got 10 and 8; possible: tp2, tp1"


def test_sizes_of_ones_own_are_those_of_a_model():
    text = "hidden_size=8192,num_layers=80,num_heads=64,num_kv_heads=8,head_dim=128"
    text += ", intermediate_size=28672, vocab_size=128256"
    own = by_variant(model=None, sizes=sizes_from(text))
    assert own == by_variant()
    assert own_model(sizes_from(text))["attention"] == "gqa"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "lama-3.1-70b"}, "model must be a geometry, .*; got 'lama-3.1-70b'; did you mean llama-3.1-70b or"),
        ({"model": "qwen3"}, "model must be a geometry, .*; got 'qwen3'; did you mean qwen3-0.6b or"),
        ({"gpus": "4xh1000"}, "gpus must name the decimal GB of one GPU, or one of .*; got 'h1000'"),
        ({"gpus": "h100"}, r"gpus must be how many \(at least 1\), an x, .*; got 'h100'"),
        (
            {"parallel": "tp3"},
            r"parallel must be tp, dp \(followed by 1\|2\|4, the size on 4 devices\) or dcp; got 'tp3'",
        ),
        ({"gpus": "99999999999999x80"}, "gpus must be at most 1024 in number; got 99999999999999"),
        ({"parallel": "dcp2"}, "parallel must be tp, dp .* or dcp; got 'dcp2'"),
        (
            {"parallel": "dcp", "context": 8, "new_tokens": 2},
            "context / devices must be above new_tokens under dcp; got",
        ),
        ({"new_tokens": 32_768}, "new_tokens must be a whole number from 1 to 32767; got 32768"),
        ({"cache_dtype": "int4"}, "cache_dtype must be one of bfloat16, fp8, int8; got 'int4'"),
        ({"watts": 0}, "watts must be a number above 0; got 0"),
        ({"sizes": {}}, "a question needs either model or sizes; got both"),
        ({"model": None, "sizes": {"hidden_size": 64}}, "sizes.num_layers must have a value; got none"),
    ],
)
def test_wrong_questions_are_refused_in_a_sentence(changes, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        question_from(ASKED | changes)


def test_short_names_are_those_of_one_option_alone():
    assert [model_named(name) for name in ("8b", "70b", "405b", "671b", "maverick", "qwen2.5-72b")] == [
        *("llama-3.1-8b", "llama-3.1-70b", "llama-3.1-405b", "deepseek-v3", "llama-4-maverick", "qwen2.5-72b")
    ]
    for group in ("geometry", "hardware"):
        assert set(short_names(group).values()) == set(choices(group))


def test_tokens_are_read_in_thousands_of_1024():
    assert [tokens_from(text, "context") for text in ("512", "32k", "1M", "131,072")] == [512, 32_768, 1 << 20, 131_072]
    with pytest.raises(ValueError, match=r"^context must be a whole number of tokens, as 32768 or 32k; got '32kb'"):
        tokens_from("32kb", "context")
