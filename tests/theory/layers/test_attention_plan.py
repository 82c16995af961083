"""Every size of a geometry can be set, and reaches the layer."""

from dataclasses import replace

import pytest

from suite.configuration.files import read_choice, read_yaml
from suite.records.derived import cost_per_million_tokens, joules_per_token
from suite.records.record import constant_readings
from suite.theory.layers.attention_plan import AttentionPlan
from tests.records.factory import build

GROUPED = {"hidden_size": 1024, "num_heads": 16, "num_kv_heads": 16, "head_dim": 32, "rope_theta": 7}
LATENT = {
    "hidden_size": 1024,
    "num_heads": 8,
    "q_lora_rank": 96,
    "kv_lora_rank": 64,
    "qk_nope_head_dim": 48,
    "qk_rope_head_dim": 16,
    "v_head_dim": 48,
    "rope_theta": 7,
    "rope_scaling": None,
}


def plan_of(variant, model, **settings):
    run = {key: value for key, value in read_yaml("run.yaml").items() if key not in ("defaults", "hydra")}
    chosen = {"attention": read_choice("attention", variant), "geometry": read_choice("geometry", model)}
    return AttentionPlan(run | {"dtype": "float32"} | chosen | settings)


def shape_of(attention, geometry, **sizes):
    return plan_of(attention, geometry, geometry=read_choice("geometry", geometry) | sizes).shape


@pytest.mark.parametrize(("phase", "tokens"), [("decode", 3 * 2), ("prefill", 3 * 40), ("train", 3 * 40)])
def test_joules_and_cost_are_those_of_a_steps_new_tokens(phase, tokens):
    plan = plan_of("mla", "tiny", phase=phase, batch=3, query_len=2, seq_len=40)
    record = build(settings={"price_per_device_hour": 3.6})
    quantities = {**plan.constants(), "layer": {"energy_j": 12.0}}
    record = replace(record, readings=constant_readings(quantities))
    assert joules_per_token(record, "layer") == 12.0 / tokens
    assert cost_per_million_tokens(record, 0.5) == pytest.approx(1e6 * 0.001 * 0.5 / tokens)


@pytest.mark.parametrize(
    ("attention", "geometry", "size", "value"),
    [("gqa", "llama-3.2-1b", *pair) for pair in GROUPED.items()]
    + [("mla", "deepseek-v2-lite", *pair) for pair in LATENT.items()],
)
def test_a_geometrys_field_that_is_set_reaches_the_layer(attention, geometry, size, value):
    assert shape_of(attention, geometry, **{size: value}) != shape_of(attention, geometry)


def test_a_wrong_number_of_heads_is_refused_by_its_own_name():
    with pytest.raises(ValueError, match=r"^attention\.kv_heads must be a whole number of at least 1; got 0"):
        plan_of("gqa", "tiny", attention=read_choice("attention", "gqa") | {"kv_heads": 0})


@pytest.mark.parametrize(("attention", "geometry"), [("mha", "llama-2-7b"), ("mla", "deepseek-v3")])
def test_where_every_head_has_its_own_keys_they_follow_it(attention, geometry):
    assert shape_of(attention, geometry, num_heads=24).num_heads == 24


@pytest.mark.parametrize("field", ["factor", "mscale_all_dim", "original_max_position", "beta_fast", "beta_slow"])
def test_yarns_fields_too(field):
    scaling = read_choice("geometry", "deepseek-v2-lite")["rope_scaling"]
    changed = shape_of("mla", "deepseek-v2-lite", rope_scaling=scaling | {field: scaling[field] * 2})
    assert changed.rope != shape_of("mla", "deepseek-v2-lite").rope


KEEPS_LATENT, KEEPS_ALL = "; the cache keeps the latent", "; the cache keeps them"
EXPANDED, AGAIN = "expanded keys and values", "keys and values expanded again at every step"
ABSORBED = "absorbed into the query and the output, attention on the latent itself"


@pytest.mark.parametrize(
    ("attention", "decode", "prefill", "train"),
    [
        ("mla", ABSORBED + KEEPS_LATENT, EXPANDED + KEEPS_LATENT, EXPANDED),
        ("mla_absorbed", ABSORBED + KEEPS_LATENT, ABSORBED + KEEPS_LATENT, ABSORBED),
        ("mla_latent", AGAIN + KEEPS_LATENT, AGAIN + KEEPS_LATENT, EXPANDED),
        ("mla_expanded", EXPANDED + KEEPS_ALL, EXPANDED + KEEPS_ALL, EXPANDED),
        ("gqa", None, None, None),
    ],
)
def test_a_plan_says_how_mla_computes_in_its_phase(attention, decode, prefill, train):
    for phase, told in (("decode", decode), ("prefill", prefill), ("train", train)):
        plan = plan_of(attention, "tiny", phase=phase)
        assert plan.facts().get("mode") == told
        assert plan.attention.get("mode") == plan.shape.mode


def test_a_mode_that_is_not_the_variants_own_is_refused():
    false = read_choice("attention", "mla_latent") | {"mode": "absorbed"}
    with pytest.raises(ValueError, match=r"attention\.mode must be latent, .*; got 'absorbed'"):
        plan_of("mla_latent", "tiny", attention=false)
