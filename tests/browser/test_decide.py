"""The view that decides: what it says, what it hands to the address, and whether it fits a phone."""

from urllib.parse import parse_qsl, quote, urlencode

import pytest

MOST_HIGH, MOST_NODES = 6000, 10_000


@pytest.fixture
def decide(open_page, ordinary):
    def open_view(width=1440, **state):
        page = open_page(ordinary, address=f"#/decide?{urlencode(state, quote_via=quote)}", width=width)
        page.locator(".decide-answer").first.wait_for()
        return page

    return open_view


def told(page):
    """The parameters in the address."""
    return dict(parse_qsl(page.evaluate("location.hash").partition("?")[2]))


def answers(page):
    return page.locator(".decide-answer").all_text_contents()


def test_it_answers_in_a_sentence_and_six_columns(decide):
    page = decide()
    serving, training = answers(page)
    assert serving == (
        "On 4 × h100-sxm5-80gb, llama-3.1-70b as it is (GQA-8) fits with a batch of up to 13. The layout is tp4. "
        "If the model had been trained with another variant, the result would be: "
        "MQA up to 27, MLA up to 18, MHA up to 1."
    )
    assert training.startswith("PPO of llama-3.1-8b in bf16 (weights, gradients and AdamW’s state in bfloat16")
    assert "fits on 4 × h100-sxm5-80gb: it needs 32.2 GiB on each and leaves 40.9 GiB." in training
    table = page.locator("table").first
    assert table.locator("th[scope=col]:visible").count() == 6
    page.get_by_role("button", name="Show all columns").click()
    assert table.locator("th[scope=col]:visible").count() == 11
    assert page.evaluate("document.documentElement.scrollHeight") < MOST_HIGH
    assert page.locator("*").count() < MOST_NODES


def test_what_is_changed_is_told_without_defaults(decide):
    page = decide(context="8k", order="fastest")
    page.get_by_label("Price per device and hour").fill("2")
    assert told(page) == {"context": "8k", "order": "fastest", "price": "2"}
    page.get_by_label("Tokens per sequence").fill("32k")
    page.get_by_role("button", name="Cost").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Algorithm").select_option("grpo")
    assert told(page) == {"order": "cheapest", "price": "2", "algorithm": "grpo"}
    assert "as it is (GQA-8) costs 4.26 per million tokens at batch 13." in answers(page)[0]
    assert answers(page)[1].startswith("GRPO of llama-3.1-8b in bf16")


def test_sizes_of_ones_own_and_refusals_answer_as_they_are_typed(decide):
    page = decide(
        sizes="hidden_size=8192,num_layers=80,num_heads=64,num_kv_heads=8,head_dim=128,intermediate_size=28672"
    )
    assert answers(page)[0] == "sizes.vocab_size must be a whole number of at least 1"
    page.get_by_label("Vocabulary size").fill("128256")
    assert "a model of these sizes as it is (GQA-8) fits with a batch of up to 13" in answers(page)[0]
    page = decide(model="qwen2.5", rl_model="deepseek-v3", context="x", rl_count="3")
    assert answers(page)[0].startswith("model must be a geometry; got qwen2.5; did you mean qwen2.5-0.5b, ")
    assert answers(page)[1] == "gpus must be 1, 2, 4, 8 in number; got 3"
    page.get_by_label("Model").first.fill("8b")
    assert answers(page)[0] == "context must be a whole number of at least 2"
    page = decide(
        model="constructor", rl_model="__proto__", weights="none", device="toString", precision="x", order="x"
    )
    assert [answer.split(";")[0] for answer in answers(page)] == ["model must be a geometry"] * 2
    page = decide(price="free", lora="1.5")
    assert answers(page) == [
        "price must be a number of at least 0; got NaN",
        "lora_rank must be a whole number of at least 1; got 1.5",
    ]


def test_text_of_the_address_stays_text(decide):
    page = decide(model='<img src=x onerror="window.pwned=1">', rl_model="<b>8b</b>")
    assert answers(page)[0].startswith("model must be a geometry; got <img src=x")
    assert page.locator(".decide img, .decide b").count() == 0


def test_a_deadline_limits_the_batch_and_says_who_misses_it(decide):
    page = decide(tpot="22", ttft="1600", parallel="tp4")
    sentence = answers(page)[0]
    assert "With a token in at most 22 ms, the batch is at most" in sentence
    command = page.locator(".decide-command code").first.inner_text()
    assert "--tpot 22ms --ttft 1600ms" in command
    assert "MHA: misses a deadline: a prompt takes at least 1,662 ms, and ttft allows 1,600 ms" in page.content()


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_phone_shows_it_without_scrolling_sideways(decide, lang):
    page = decide(lang=lang, width=390, more="all", price="2", model="deepseek-v3", device="h200-sxm-141gb", count="8")
    page.locator(".decide summary").last.click()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    widest = (
        "Math.max(...[...document.querySelectorAll('.decide-box')].map((box) => box.scrollWidth - box.clientWidth))"
    )
    assert page.evaluate(widest) <= 0
