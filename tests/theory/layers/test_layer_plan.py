"""Layer plans against counting, against the shapes of single layers, and against published caches."""

import itertools
from dataclasses import replace

import pytest

from suite.configuration.files import read_choice
from suite.theory.layers.algebra import Indexer, Pass, Work
from suite.theory.layers.geometry import geometry_from, geometry_names
from suite.theory.layers.latent_shapes import AbsorbedShape, absorbed_shape, expanded_once_shape
from suite.theory.layers.layer_plan import load_plan, plan_from
from suite.theory.layers.model_layers import CompressedLayer
from suite.theory.layers.shapes import cache_bytes, grouped_shape, kernel_work, layer_work

KIB, MIB = 1024, 1024**2
STEP = Pass(batch=2, query_len=1, seq_len=4096, element_bytes=2)
PROMPT = Pass(batch=2, query_len=4096, seq_len=4096, element_bytes=2)
UNIFORM = [name for name in geometry_names() if "layers" not in read_choice("geometry", name)]
LISTED = [name for name in geometry_names() if "layers" in read_choice("geometry", name)]
PASSES = list(itertools.product((1, 2, 5), (0, 1, 3, 8, 17)))


def small(query_len, context):
    return Pass(batch=1, query_len=query_len, seq_len=query_len + context, element_bytes=2)


def positions(forward):
    """Places of the queries, counted from 1: as many tokens as each sees without a bound."""
    return range(forward.seq_len - forward.query_len + 1, forward.seq_len + 1)


@pytest.mark.parametrize("name", UNIFORM)
def test_a_plan_of_equal_layers_is_that_many_layers(name):
    geometry, plan = geometry_from(read_choice("geometry", name)), load_plan(name)
    count = geometry.num_layers
    for forward in (STEP, PROMPT):
        if not geometry.is_latent:
            shape = grouped_shape(geometry, kv_heads=geometry.num_kv_heads)
        else:
            shape = absorbed_shape(geometry) if forward is STEP else expanded_once_shape(geometry)
        assert plan.growth_bytes == count * shape.cache_bytes_per_token(forward)
        assert 2 * plan.cache_bytes(4096) == count * cache_bytes(shape, forward)
        assert (plan.fixed_bytes, plan.state_bytes) == (0, 0)
        latents = 0
        if geometry.is_latent:  # a prompt's latents, which the shape counts in its layer
            latents = shape.moved_bytes(forward) - shape.attended_bytes(forward)
        assert plan.kernel(forward) == (kernel_work(shape, forward) + Work(flops=0, traffic_bytes=latents)) * count
        extras = sum(layer.vector_parameters for layer in plan.layers) - (
            shape.parameter_count - shape.projection_flops(forward) // 2 // forward.tokens
        )
        assert plan.attention(forward) == (layer_work(shape, forward) + Work(flops=0, traffic_bytes=2 * extras)) * count


@pytest.mark.parametrize(("query_len", "context"), PASSES)
def test_bounded_pairs_are_those_that_counting_finds(query_len, context):
    forward = small(query_len, context)
    for bound in (1, 2, 4, 7, 30):
        assert forward.pairs_in_chunks(bound) == sum((place - 1) % bound + 1 for place in positions(forward))
        for cap in (None, 1, 2, 3):
            counted = sum(min(place // bound, cap or place) for place in positions(forward))
            assert forward.pairs_seen(bound, cap) == counted


@pytest.mark.parametrize(("query_len", "context"), PASSES)
def test_work_of_a_compressed_layer_is_that_of_each_query(query_len, context):
    forward = small(query_len, context)
    indexer = Indexer(heads=3, head_dim=5, top_k=2, every=2)
    layer = CompressedLayer(
        count=1, hidden_size=8, num_heads=4, head_dim=6, window=3, every=2, q_lora_rank=4, o_groups=2, o_lora_rank=2,
        indexer=indexer,
    )  # fmt: skip
    core = sum(4 * (6 + 6) * (min(place, 3) + min(place // 2, 2)) for place in positions(forward))
    scores = sum(3 * 5 * (place // 2) for place in positions(forward))
    assert layer.kernel(forward).flops == 2 * (core + scores)


def test_sparse_attention_scores_all_and_attends_to_few():
    (layer,) = load_plan("deepseek-v3.2").layers
    assert isinstance(layer, AbsorbedShape)
    step = replace(STEP, batch=1, seq_len=131_072)
    core, scores = 2 * 128 * 2048 * (576 + 512), 2 * 64 * 128 * 131_072
    assert layer.kernel(step).flops == core + scores
    read = 2048 * 576 + 131_072 * 128
    assert layer.kernel(step).traffic_bytes == 2 * (read + 128 * (576 + 512) + 64 * 128)
    assert load_plan("deepseek-v3").layers[0].kernel(step).flops == 2 * 128 * 131_072 * (576 + 512)
    # Below its top-k it attends to everything, and only adds the indexer.
    short = replace(STEP, batch=1, seq_len=1024)
    dense = load_plan("deepseek-v3").layers[0].kernel(short).flops
    assert layer.kernel(short).flops == dense + 2 * 64 * 128 * 1024


def test_a_shared_indexer_has_no_weights_keys_or_work():
    own, shared = load_plan("glm-5.2").layers
    assert shared.token_bytes() == 2 * 576 == own.token_bytes() - 2 * 128
    assert own.matrix_parameters - shared.matrix_parameters == 2048 * 32 * 128 + 6144 * (128 + 32)
    assert own.kernel(STEP).flops - shared.kernel(STEP).flops == 2 * 2 * 32 * 128 * 4096


def test_layers_that_share_a_cache_add_none():
    sizes = {**read_choice("geometry", "llama-3.2-1b"), "layers": [{"kind": "full", "count": 10}]}
    sizes["layers"].append({"kind": "shared", "count": 6})
    plan, own = plan_from(sizes), load_plan("llama-3.2-1b")
    assert plan.growth_bytes == own.growth_bytes * 10 / 16
    assert plan.kernel(STEP) == own.kernel(STEP)
    full, shared = plan.layers
    assert full.matrix_parameters - shared.matrix_parameters == 2048 * 2 * 8 * 64


def test_a_state_is_read_and_written_whatever_the_context():
    state = load_plan("qwen3.5-397b-a17b").layers[1]
    assert state.state_bytes == 64 * 128 * 128 * 4
    short, long = (state.kernel(replace(STEP, seq_len=tokens)) for tokens in (4096, 1 << 20))
    assert short == long
    assert short.traffic_bytes > 2 * 2 * state.state_bytes
    assert short.flops == 2 * 7 * 64 * 128 * 128
    assert state.cache_bytes(1) == state.cache_bytes(1 << 20) - 2 * 2 * (2 * 16 + 64) * 128


@pytest.mark.parametrize(
    ("name", "kib"),
    [
        ("deepseek-v3", 68.625),
        ("deepseek-v3.2", 83.875),  # the indexers' keys included, in 16 bits as all else
        ("glm-5", 107.25),
        ("glm-5.2", 93.0),
        ("kimi-k3", 27.0),
        ("mistral-small-4", 22.5),
        ("gpt-oss-120b", 36.0),
        ("qwen3-235b-a22b", 188.0),
        ("qwen3.5-397b-a17b", 30.0),
        ("minimax-m2.5", 248.0),
        ("minimax-m3", 120.0 + 57 * 128 * 2 / 1024),  # keys and values as published, and the indexers' keys
        ("gemma-4-31b", 40.0),
        ("nemotron-3-super", 8.0),
        ("deepseek-v4-pro", 9.6171875),
        ("deepseek-v4-flash", 6.71875),
    ],
)
def test_growth_of_a_published_cache_is_the_known_one(name, kib):
    assert load_plan(name).growth_bytes == kib * KIB


@pytest.mark.parametrize(("name", "mib"), [("kimi-k3", 414), ("qwen3.5-397b-a17b", 180), ("nemotron-3-super", 160)])
def test_states_of_a_published_hybrid_are_the_known_ones(name, mib):
    plan = load_plan(name)
    assert plan.state_bytes == mib * MIB
    # Beside the states only the convolutions' last tokens.
    assert 0 < plan.fixed_bytes - plan.state_bytes < 0.04 * plan.state_bytes


@pytest.mark.parametrize("name", geometry_names())
def test_a_long_cache_is_its_constant_and_its_slope(name):
    plan = load_plan(name)
    for tokens in (1 << 17, 1 << 20):
        assert plan.cache_bytes(tokens) == plan.fixed_bytes + plan.growth_bytes * tokens
    assert plan.cache_bytes(1) < plan.cache_bytes(1 << 17)
    assert plan.kernel(STEP).flops > 0
    assert plan.attention(PROMPT).flops > plan.kernel(PROMPT).flops


def test_the_tokens_that_fit_are_the_last_ones_that_do():
    plan = load_plan("gemma-3-27b")
    for size in (1e6, 3e8, 24e9):
        tokens = plan.longest_context(size)
        assert plan.cache_bytes(tokens) <= size < plan.cache_bytes(tokens + 1)
    assert load_plan("mistral-7b-v0.1").longest_context(1e9) is None
    assert load_plan("mistral-7b-v0.1").longest_context(1e6) == 7


def test_only_plans_of_equal_plain_layers_are_uniform():
    uniform = {name for name in geometry_names() if load_plan(name).is_uniform}
    assert set(UNIFORM) - uniform == set()
    assert {name for name in LISTED if name in uniform} >= {"gemma-2-9b", "gpt-oss-20b", "llama-4-scout"}
    assert not uniform & {"deepseek-v3.2", "gemma-4-31b", "qwen3.5-27b", "deepseek-v4-pro", "muse-glimmer-30b"}


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([{"kind": "full", "count": 3}], r"layers must add up to the 2 of num_layers; got 3"),
        ([{"kind": "wide", "count": 2}], r"layers\[0\]\.kind must be one of full, window, .*; got 'wide'"),
        ([{"kind": "window", "count": 2}], r"layers\[0\] does not fit a layer of kind window \(.*'window'\)"),
        ([{"kind": "full", "count": 2, "widow": 3}], r"layers\[0\] does not fit a layer of kind full \(.*'widow'\)"),
        ([{"kind": "state", "count": 2, "cell": "rnn"}], r"a state layer's cell must be one of .*; got 'rnn'"),
        ([{"kind": "full", "count": 0}], r"layers\[0\]\.count must be a whole number of at least 1; got 0"),
    ],
)
def test_a_wrong_plan_is_refused_in_one_sentence(layers, said):
    with pytest.raises(ValueError, match=said):
        plan_from({**read_choice("geometry", "probe"), "layers": layers})
