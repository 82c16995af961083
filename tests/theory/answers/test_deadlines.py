"""Deadlines in the chooser: the largest batch whose step meets tpot, and prompts that meet ttft, beside brute force."""

import random
from dataclasses import replace

import pytest

from suite.theory.answers import choose
from suite.theory.answers.asked import seconds_from
from suite.theory.answers.capacity import SharedModel
from suite.theory.answers.choose import answers_to, question_from

PLAIN = {"model": "llama-3.1-70b", "gpus": "4xh100", "context": 32_768, "parallel": "tp"}
MODELS = ("llama-3.1-8b", "llama-3.1-70b", "qwen3-30b-a3b", "deepseek-v3", "gemma-3-27b", "deepseek-v2-lite")


def questions(count=200):
    chance = random.Random(51)
    for _ in range(count):
        yield {
            "model": chance.choice(MODELS),
            "gpus": f"{chance.choice([1, 4, 8])}x{chance.choice(['h100', 'h200', 'b200', 'a100'])}",
            "context": chance.choice([4096, 32_768, 131_072]),
            "new_tokens": chance.choice([1, 1, 4]),
            "weights": chance.choice(["bfloat16", "fp8"]),
            "parallel": chance.choice(["tp", "dp", None]),
            "tpot": chance.choice([0.005, 0.01, 0.02, 0.05]),
        }


def test_the_largest_batch_in_time_is_that_of_brute_force():
    compared = limited = 0
    for given in questions():
        question = question_from(given)
        for laid in choose.variants_of(question.settings)[:2]:
            models, _ = choose._possible_models(question, laid, question.parallel)
            for layout, model in models.items():
                answer = choose._answer_in_layout(question, laid, layout, model, 0.9)
                if not answer.largest_batch:
                    continue
                tried = range(1, min(answer.largest_batch, 150) + 1)
                met = [batch for batch in tried if choose._step_s(question, model, batch) <= question.tpot_s]
                capped = replace(question, batch=None)
                found = choose._largest_in_time(capped, model, 1, tried[-1])
                assert found == max(met, default=0), (given, layout)
                assert answer.fits == bool(choose._largest_in_time(capped, model, 1, answer.largest_batch))
                compared += 1
                limited += found < tried[-1]
    assert compared > 200
    assert limited > 50


def test_a_named_batch_meets_its_deadline_or_says_what_it_misses():
    (own, *_) = answers_to(question_from({**PLAIN, "batch": 8, "tpot": 0.03})).answers
    assert (own.fits, own.batch) == (True, 8)
    (own, *_) = answers_to(question_from({**PLAIN, "batch": 8, "tpot": 0.01})).answers
    assert not own.fits
    assert own.why == f"a step of batch 8 takes {1e3 * _step_s(8):.3g} ms, and tpot allows 10 ms"
    assert own.largest_batch == 13


def _step_s(batch):
    question = question_from(PLAIN)
    (laid, *_) = choose.variants_of(question.settings)
    ((_, model),) = choose._possible_models(question, laid, question.parallel)[0].items()
    return choose._step_s(question, model, batch)


def test_a_prompt_has_the_roofline_of_all_its_work():
    question = question_from({**PLAIN, "model": "deepseek-v2-lite", "gpus": "1xh100", "ttft": 60.0})
    (own, *_) = answers_to(question).answers
    (layout,) = choose.layouts(1, question.parallel, shares_mlps=True)
    model = SharedModel(question.settings, layout=layout, weights="bfloat16")
    work = model.step(1, question.context, question.context)
    assert own.prompt_s == max(work.flops / 989.4e12, work.traffic_bytes / 3.35e12)
    absorbed = sum(
        layer.count * layer.core_flops(model._pass(1, question.context, question.context))
        for layer in model._of_kernels.layers
        if layer.kind == "latent"
    )
    assert work.flops < absorbed
    (own, *_) = answers_to(replace(question, ttft_s=own.prompt_s * 0.99)).answers
    assert not own.fits
    assert "a prompt takes at least" in own.why


@pytest.mark.parametrize(
    ("text", "seconds"), [("30ms", 0.03), ("1s", 1.0), ("1.5 s", 1.5), ("200us", 2e-4), ("200µs", 2e-4)]
)
def test_a_time_is_read_with_its_unit(text, seconds):
    assert seconds_from(text, "tpot") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["30", "0ms", "-1s", "1m", "", "1e-3s", "9" * 12 + "s"])
def test_a_time_without_a_unit_or_a_size_is_named(text):
    with pytest.raises(ValueError, match="tpot must be a time above 0 with its unit"):
        seconds_from(text, "tpot")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gpus": "4x80", "tpot": 0.03}, "tpot needs GPUs by name"),
        ({"gpus": "4xh100", "tpot": 0}, "tpot must be a number above 0; got 0"),
        ({"gpus": "4xh100", "ttft": 1, "parallel": "dcp"}, "ttft needs tp or dp"),
    ],
)
def test_a_deadline_that_cannot_be_judged_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        question_from(PLAIN | changes)
