"""Each matching rule against a published table, or against the count that it is meant to match."""

from dataclasses import replace

import pytest

from suite.theory.layers.attention_plan import LARGEST_RESIDUAL, UnmatchedError, match_shape
from suite.theory.layers.geometry import Geometry, load_geometry
from suite.theory.layers.latent_shapes import absorbed_shape, expanded_once_shape, expanded_shape
from suite.theory.layers.rope import Rope
from suite.theory.layers.shapes import grouped_shape, tied_shape


def match(rule, build, geometry, cache_size=None, tp=1, **sizes):
    return match_shape(rule, build, geometry, tp=tp, cache_size=cache_size, sizes=sizes)


def dense(hidden_size, num_heads):
    """A geometry of the TPA paper: heads of width 64."""
    return Geometry(
        name="tpa",
        attention="mha",
        hidden_size=hidden_size,
        num_layers=12,
        num_heads=num_heads,
        num_kv_heads=num_heads,
        head_dim=64,
        rope=Rope(theta=10_000.0),
    )


@pytest.mark.parametrize(
    ("hidden_size", "mha", "mqa", "gqa"),
    [(768, 12, 23, 22), (1024, 16, 31, 30), (1280, 20, 39, 38), (1600, 25, 49, 48)],
)
def test_heads_matched_by_parameters_are_those_of_the_tpa_paper(hidden_size, mha, mqa, gqa):
    geometry = dense(hidden_size, mha)
    heads = {groups: match("params", grouped_shape, geometry, kv_heads=groups) for groups in ("all", 1, 2)}
    assert [heads[groups].shape.num_heads for groups in ("all", 1, 2)] == [mha, mqa, gqa]
    assert all(abs(one.residual) < 0.01 for one in heads.values())


def test_mla_matched_by_parameters_says_by_how_much_it_misses():
    geometry = load_geometry("llama-3.1-8b")
    found = match("params", absorbed_shape, geometry)
    target = grouped_shape(geometry, kv_heads="all").parameter_count
    assert found.residual == found.shape.parameter_count / target - 1
    assert f"{found.residual:+.1%}" in found.described
    assert abs(found.residual) < abs(match("heads", absorbed_shape, geometry).shape.parameter_count / target - 1)


@pytest.mark.parametrize("rule", ["params", "cache"])
@pytest.mark.parametrize("geometry", ["llama-3.1-8b", "deepseek-v3"])
def test_what_is_deployed_is_matched_alike_in_every_phase(rule, geometry):
    decode, prompt = (
        match(rule, build, load_geometry(geometry), "kv_lora_rank") for build in (absorbed_shape, expanded_once_shape)
    )
    assert vars(prompt.shape) == vars(decode.shape)
    assert (prompt.residual, prompt.described) == (decode.residual, decode.described)


def test_latents_without_a_whole_share_of_the_heads_are_left_out():
    geometry = replace(load_geometry("deepseek-v2-lite"), num_heads=18)
    found = match("params", absorbed_shape, geometry, latent_heads=6, kv_lora_rank=516)
    assert found.shape.num_heads % 6 == 0
    rank = match("params", absorbed_shape, geometry, latent_heads=6, kv_lora_rank=516, tp=2).shape
    assert (rank.latent_heads, rank.kv_lora_rank, rank.num_heads) == (3, 258, found.shape.num_heads // 2)


@pytest.mark.parametrize(
    ("build", "geometry", "size", "sizes", "value", "residual"),
    [
        (absorbed_shape, "llama-3.1-8b", "kv_lora_rank", {}, 2 * 8 * 128 - 64, 0),
        (absorbed_shape, "llama-3.1-8b", "kv_lora_rank", {"qk_rope_head_dim": 0}, 2 * 8 * 128, 0),
        (absorbed_shape, "deepseek-v3", "kv_lora_rank", {"qk_rope_head_dim": 0}, 512 + 64, 0),
        (absorbed_shape, "llama-3.1-8b", "kv_lora_rank", {"latent_heads": 4}, 1792, 0),
        (tied_shape, "deepseek-v2-lite", "kv_heads", {}, 4, 0),
        (grouped_shape, "deepseek-v3", "kv_heads", {"kv_heads": None}, 2, -0.111),
    ],
)
def test_a_caches_size_moves_to_the_models_own_elements(build, geometry, size, sizes, value, residual):
    found = match("cache", build, load_geometry(geometry), size, **sizes)
    assert getattr(found.shape, size) == value
    assert found.residual == pytest.approx(residual, abs=5e-4)


def test_a_variant_without_a_free_or_near_size_has_no_match():
    with pytest.raises(UnmatchedError, match="has none"):
        match("cache", expanded_shape, load_geometry("deepseek-v3"))
    # One group of width 192 keeps a third less than the latent of 576, two keep a third more.
    with pytest.raises(UnmatchedError, match=f"more than {LARGEST_RESIDUAL:.0%}"):
        match("cache", grouped_shape, replace(load_geometry("deepseek-v3"), v_head_dim=192), "kv_heads")


def test_a_size_that_the_match_sets_may_not_be_given_too():
    with pytest.raises(ValueError, match=r"match=cache sets attention\.kv_lora_rank itself; got 256"):
        match("cache", absorbed_shape, load_geometry("llama-3.1-8b"), "kv_lora_rank", kv_lora_rank=256)


@pytest.mark.parametrize("rule", ["params", "cache"])
def test_a_rank_has_its_share_of_the_matched_layer(rule):
    geometry = load_geometry("llama-3.1-8b")
    whole, rank = (match(rule, absorbed_shape, geometry, "kv_lora_rank", tp=tp) for tp in (1, 4))
    assert rank.shape.num_heads * 4 == pytest.approx(whole.shape.num_heads, abs=4)
    assert rank.shape.kv_lora_rank == whole.shape.kv_lora_rank
