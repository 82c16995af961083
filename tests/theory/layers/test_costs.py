"""Closed forms against counting, and against figures that others published."""

from dataclasses import replace

import pytest

from suite.theory.layers.algebra import Pass
from suite.theory.layers.geometry import load_geometry
from suite.theory.layers.latent_shapes import absorbed_shape, expanded_shape, reexpanded_shape
from suite.theory.layers.roofline import Ceilings, MeasuredCeilings
from suite.theory.layers.shapes import cache_bytes, grouped_shape, kernel_work, layer_work, tied_shape, window_shape

V3 = load_geometry("deepseek-v3")


def test_the_modes_differ_in_cache_and_traffic_not_in_weights():
    absorbed, reexpanded, expanded = absorbed_shape(V3), reexpanded_shape(V3), expanded_shape(V3)
    assert absorbed.parameter_count == reexpanded.parameter_count == expanded.parameter_count
    assert [one.cache_elements_per_token for one in (absorbed, reexpanded, expanded)] == [576, 576, 40_960]
    forward = Pass(batch=1, query_len=1, seq_len=8, element_bytes=2)
    assert [one.attended_bytes(forward) // 8 for one in (absorbed, reexpanded, expanded)] == [1152, 81_920, 81_920]
    assert reexpanded.moved_bytes(forward) == 8 * 2 * (576 + 2 * 128 * (128 + 128))


def test_an_unset_size_is_the_geometrys_own_and_zero_is_none():
    own = absorbed_shape(V3, q_lora_rank=None, qk_rope_head_dim=None)
    assert (own.q_lora_rank, own.qk_rope_head_dim, own.latent_norm) == (1536, 64, True)
    none = absorbed_shape(V3, q_lora_rank=0, qk_rope_head_dim=0)
    assert (none.q_lora_rank, none.qk_rope_head_dim) == (None, 0)
    with pytest.raises(ValueError, match=r"attention\.kv_lora_rank must be a whole number of at least 1; got 0"):
        absorbed_shape(V3, kv_lora_rank=0)
    with pytest.raises(ValueError, match=r"attention\.latent_norm must be one of True, False; got None"):
        absorbed_shape(V3, latent_norm=None)
    with pytest.raises(ValueError, match=r"attention\.latent must be one of trained, frozen, slice; got 'random'"):
        absorbed_shape(V3, latent="random")
    with pytest.raises(ValueError, match=r"kv_lora_rank must be at most geometry\.hidden_size; got 7169 and 7168"):
        absorbed_shape(V3, latent="slice", kv_lora_rank=7169)


@pytest.mark.parametrize("shape_of", [absorbed_shape, reexpanded_shape, expanded_shape])
def test_a_latents_source_changes_weights_and_no_cache(shape_of):
    trained, frozen, sliced = (shape_of(V3, latent=latent) for latent in ("trained", "frozen", "slice"))
    assert trained.parameter_count == frozen.parameter_count == sliced.parameter_count + 7168 * 512
    assert [one.frozen_parameters for one in (trained, frozen, sliced)] == [0, 7168 * 512, 0]
    assert {one.cache_elements_per_token for one in (frozen, sliced)} == {trained.cache_elements_per_token}
    assert [one.describe().split(",")[1].split(" + ")[0] for one in (trained, frozen, sliced)] == [
        " latent 512",
        " frozen latent 512",
        " sliced latent 512",
    ]


def test_published_sizes_of_deepseek_v3():
    mla = absorbed_shape(V3)
    assert mla.parameter_count == 187_107_328
    assert mla.cache_elements_per_token == 576
    assert grouped_shape(V3, kv_heads="all").cache_elements_per_token == 32_768
    assert grouped_shape(V3, kv_heads=8).cache_elements_per_token == 2_048
    assert grouped_shape(V3, kv_heads=1).cache_elements_per_token == 256


def test_mla_on_a_grouped_geometry_takes_deepseeks_ratios():
    shape = absorbed_shape(load_geometry("llama-3.2-1b"))
    assert (shape.kv_lora_rank, shape.qk_nope_head_dim, shape.qk_rope_head_dim, shape.v_head_dim) == (256, 64, 32, 64)


def test_groups_are_the_geometrys_own_or_an_eighth_of_the_heads():
    assert grouped_shape(load_geometry("llama-3.1-8b")).kv_heads == 8
    assert grouped_shape(load_geometry("glm-4-9b")).kv_heads == 2
    assert grouped_shape(load_geometry("llama-2-7b")).kv_heads == 4
    assert grouped_shape(V3).kv_heads == 16


def test_the_slower_of_two_ceilings_bounds_the_time():
    ceilings = Ceilings(flops_per_s=100.0, bytes_per_s=10.0)
    assert ceilings.ridge_flops_per_byte == 10.0
    for flops, bound_s, regime in ((50, 1.0, "memory"), (500, 5.0, "compute")):
        work = {"flops": flops, "traffic_bytes": 10}
        assert (ceilings.bound_s(**work), ceilings.regime(**work)) == (bound_s, regime)


def test_a_working_set_is_compared_with_the_level_that_holds_it():
    measured = MeasuredCeilings(flops_per_s=1.0, bytes_per_s_by_size={100: 9.0, 1000: 4.0, 10000: 5.0})
    assert [measured.at(size).bytes_per_s for size in (50, 150)] == [9.0, 9.0]
    # A larger set was read faster than one of 1,000, so its rate can be reached.
    assert [measured.at(size).bytes_per_s for size in (1000, 2000, 99_999)] == [5.0, 5.0, 5.0]


def test_elements_a_token_are_those_of_deepseek_v2s_table_9():
    lite, large = load_geometry("deepseek-v2-lite"), load_geometry("deepseek-v2")
    assert absorbed_shape(lite).cache_elements_per_token * lite.num_layers == 15_552
    assert grouped_shape(lite, kv_heads="all").cache_elements_per_token * lite.num_layers == 110_592
    assert absorbed_shape(large).cache_elements_per_token * large.num_layers == 34_560


@pytest.mark.parametrize(
    ("tp", "mha", "gqa_4", "gta_4", "gla_2", "mla"),
    [(1, 8192, 2048, 1152, 1152, 1152), (2, 4096, 1024, 640, 640, 1152)],
)
def test_bytes_a_token_and_layer_are_those_of_glas_table_5(tp, mha, gqa_4, gta_4, gla_2, mla):
    # arXiv 2505.21487, the 1,471M models: 16 heads of width 128 in bfloat16, MLA with a latent of 512 + 64.
    lite, forward = load_geometry("deepseek-v2-lite"), Pass(batch=1, query_len=1, seq_len=1, element_bytes=2)
    grouped = [grouped_shape(lite, tp=tp, kv_heads=kv_heads) for kv_heads in ("all", 4)]
    latent = [absorbed_shape(lite, tp=tp, latent_heads=latent_heads) for latent_heads in (2, 1)]
    shapes = (*grouped, tied_shape(lite, tp=tp, kv_heads=4), *latent)
    assert [cache_bytes(shape, forward) for shape in shapes] == [mha, gqa_4, gta_4, gla_2, mla]


def test_an_fp8_latent_is_as_large_as_flashmla_lays_it():
    forward = Pass(batch=1, query_len=1, seq_len=1, element_bytes=2, cache_dtype="fp8")
    assert cache_bytes(absorbed_shape(V3), forward) == 656


def test_a_windows_cache_and_step_do_not_grow_with_the_context():
    shape = window_shape(load_geometry("llama-3.1-8b"), window=128)
    steps = [Pass(batch=2, query_len=1, seq_len=tokens, element_bytes=2) for tokens in (64, 128, 4096, 65_536)]
    assert [cache_bytes(shape, step) for step in steps] == [2 * kept * 2 * 8 * 128 * 2 for kept in (64, 128, 128, 128)]
    assert len({(kernel_work(shape, step).traffic_bytes, layer_work(shape, step).flops) for step in steps[1:]}) == 1
    assert cache_bytes(shape, replace(steps[-1], query_len=3)) == cache_bytes(shape, steps[-1]) // 128 * 130


@pytest.mark.parametrize(("name", "value"), [("window", 0), ("window", None), ("sinks", "yes")])
def test_a_windows_wrong_sizes_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"attention\.{name} must be .*; got {value!r}"):
        window_shape(load_geometry("tiny"), **{name: value})


def test_ranks_share_latents_and_heads_the_up_projection():
    whole = {latents: absorbed_shape(V3, latent_heads=latents) for latents in (1, 2, 4)}
    assert whole[1] == absorbed_shape(V3)
    assert whole[1].parameter_count - whole[2].parameter_count == 256 * 128 * (128 + 128)
    assert [shape.cache_elements_per_token for shape in whole.values()] == [576, 576, 512 + 4 * 64]
    assert (whole[2].qk_dim, whole[2].v_dim) == (320, 256)
    assert "128 heads, 2 latents of 256 + rotary 64" in whole[2].describe()
    ranks = [absorbed_shape(V3, latent_heads=2, tp=tp) for tp in (2, 4, 8)]
    assert [(rank.latent_heads, rank.kv_lora_rank, rank.qk_dim) for rank in ranks] == [(1, 256, 320)] * 3
    assert [rank.num_heads for rank in ranks] == [64, 32, 16]


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"latent_heads": 4, "tp": 3}, r"tp must divide attention\.latent_heads or be a multiple of it; got 3 and 4"),
        ({"latent_heads": 0}, r"attention\.latent_heads must be a whole number of at least 1; got 0"),
        ({"latent_heads": 3}, r"geometry\.num_heads must be a multiple of attention\.latent_heads; got 128 and 3"),
        ({"latent_heads": 2, "kv_lora_rank": 511}, r"attention\.kv_lora_rank must be a multiple .*; got 511 and 2"),
    ],
)
def test_latents_that_do_not_divide_are_refused(sizes, words):
    with pytest.raises(ValueError, match=words):
        absorbed_shape(V3, **sizes)


@pytest.mark.parametrize("shape_of", [reexpanded_shape, expanded_shape])
def test_modes_that_nobody_serves_have_one_latent(shape_of):
    with pytest.raises(ValueError, match=r"attention\.latent_heads is no size of MLA"):
        shape_of(V3, latent_heads=2)


def test_a_cached_tied_state_is_read_once_a_new_one_twice():
    shape, step = tied_shape(load_geometry("llama-3.1-8b")), Pass(batch=1, query_len=1, seq_len=9, element_bytes=2)
    assert shape.attended_bytes(step) == 9 * 2 * (8 * 128 + 64)
    prompt = replace(step, query_len=9)
    assert shape.attended_bytes(prompt) == 9 * 2 * (2 * 8 * 128)
    assert shape.moved_bytes(prompt) == 9 * 2 * (2 * 8 * 128 + 8 * 128 + 64)
    assert shape.moved_bytes(replace(prompt, is_training=True)) == 9 * 2 * (2 * 8 * 128)
    assert [shape.describe_mode(one)[:10] for one in (step, prompt)] == ["attention ", "whole keys"]


def test_half_a_head_of_odd_pairs_is_refused():
    with pytest.raises(ValueError, match=r"geometry\.head_dim must be a multiple of 4, .*; got 14"):
        tied_shape(replace(load_geometry("tiny"), v_head_dim=14))
