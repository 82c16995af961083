import itertools
import string

import pytest

from suite.commands.explain import CLAIMS, DEFAULT_GEOMETRY, explain
from suite.configuration.files import languages, read_choice, read_text, read_yaml
from suite.theory.answers.step_memory import StepSizes, held_in, model_sizes
from suite.theory.layers.geometry import geometry_names

FORMULAS = ("1 − ε", "1 + ε", "e^d − 1 − d", "t+1", "1/")
"""Parts of the texts' formulas with a digit that is no measured number."""


def placeholders(text):
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


def texts_of(entry):
    """A text, a list or a mapping of texts, by place."""
    listed = dict(enumerate(entry)) if isinstance(entry, list) else entry
    return listed if isinstance(listed, dict) else {0: listed}


def row(text, name):
    """The table's line of a variant, as words."""
    return next(line.split() for line in text.splitlines() if line.startswith(" ") and line.split()[0] == name)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_mla_is_explained_with_the_closed_forms_numbers(lang):
    text = explain("mla", lang=lang)
    assert row(text, "MHA")[1:4] == ["65,536", "524.0", "1.0"]
    assert row(text, "GQA-8")[1:4] == ["4,096", "32.7", "16.0"]
    assert row(text, "MQA")[1:4] == ["512", "4.1", "128.0"]
    assert row(text, "MLA")[1:4] == ["1,152", "9.2", "241.8"]
    for part in ("H100 (295)", "H200 (206)", "H20 (37)", "H20 0.54×", "deepseek-v4-pro 81", "nemotron-3-super 85"):
        assert part in text
    assert "suite run -m attention=mha,gqa,mqa,mla geometry=deepseek-v3 " in text


def test_sizes_that_nobody_measured_are_said_to_be_unknown():
    text = explain("mla", geometry="qwen2.5-0.5b")
    assert "unknown at these sizes" in text
    assert "none at these sizes" in text


def test_gqa_is_explained_at_llamas_own_groups():
    assert row(explain("gqa"), "GQA-8")[1:4] == ["4,096", "17.2", "4.0"]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_grpo_is_explained_with_what_an_update_holds(lang):
    text, model = explain("grpo", lang=lang), model_sizes(read_choice("geometry", "llama-3.1-8b"))
    sizes = {"precision": "bf16", "lora_rank": None, "seq_len": 2048, "prompt_len": 256, "completions": 128}
    grpo, ppo = (
        sum(
            held_in(
                "update",
                StepSizes(model=model, has_critic=with_critic, has_reference=True, kl_in_loss=not with_critic, **sizes),
            ).values()
        )
        for with_critic in (False, True)
    )
    assert f"{grpo / 1e9:.1f}" in text
    assert f"{ppo / 1e9:.1f}" in text
    assert f" {100 * (1 - grpo / ppo):.0f}%" in text
    assert "8 / 4 / 2 / 1  4 / 2 / 1 / 1  8 / 4 / 2 / 1" in text


@pytest.mark.parametrize("topic", ["grpo", "ppo"])
def test_both_sides_of_the_literature_are_quoted(topic):
    claims = {claim["id"]: claim for claim in read_yaml("claims.yaml")["claims"]}
    said = " ".join(explain(topic).split())
    for work in claims[CLAIMS[topic]]["literature"]:
        assert f"{work['what']} ({work['source']})" in said


def test_a_mixture_of_experts_is_refused_where_rl_is_explained():
    with pytest.raises(ValueError, match="must be dense"):
        explain("ppo", geometry="deepseek-v3")


@pytest.mark.parametrize("topic", DEFAULT_GEOMETRY)
def test_a_narrow_terminal_folds_sentences_and_no_command(topic):
    lines = explain(topic, width=60).splitlines()
    assert all(len(line) <= 60 for line in lines if "  " not in line.strip())
    command = f"suite run -m {'workload' if topic in CLAIMS else 'att'}"
    assert any(command in line and line.endswith((DEFAULT_GEOMETRY[topic], "seq_len=4096")) for line in lines)


def test_every_geometry_can_be_explained():
    kinds = itertools.cycle(itertools.product(languages("explain"), ("mla", "gqa")))
    for name, (lang, topic) in zip(geometry_names(), kinds, strict=False):
        text = explain(topic, geometry=name, lang=lang)
        assert name in text
        assert "{" not in text


def test_all_languages_have_the_same_texts_and_placeholders():
    english = read_text("explain", "en")
    for lang in languages("explain"):
        other = read_text("explain", lang)
        assert other.keys() == english.keys()
        for key, text in english.items():
            ours, theirs = texts_of(text), texts_of(other[key])
            assert ours.keys() == theirs.keys()
            for place, one in ours.items():
                assert placeholders(theirs[place]) == placeholders(one), (lang, key)


def test_no_text_states_a_number_of_its_own():
    for lang in languages("explain"):
        words = read_text("explain", lang)
        for topic in DEFAULT_GEOMETRY:
            first, *rest = words[topic].splitlines()
            assert any(year in first for year in ("2017", "2023", "2024"))
            bare = "".join(part for part, *_ in string.Formatter().parse("\n".join(rest)))
            for known in ("seq_len=4096", "deepseek-v2-lite", "bfloat16", *FORMULAS):
                bare = bare.replace(known, "")
            assert not any(character.isdigit() for character in bare)
