"""Every layer against its definition in float64 and the plainest attention between: a loop over queries."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from suite.attention.backends.eager import Eager
from suite.attention.backends.sdpa import Sdpa
from suite.attention.backends.sdpa_folded import SdpaFolded
from suite.attention.definition import ExpandedDefinition, apply_rope
from suite.attention.grouped import GroupedAttention
from suite.attention.latent import (
    AbsorbedLatentAttention,
    ExpandedLatentAttention,
    ExpandedOnceLatentAttention,
    ReexpandingLatentAttention,
)
from suite.attention.problem import ValueLayout
from suite.attention.tied import TiedAttention
from suite.attention.window import WindowAttention
from suite.theory.layers.algebra import Pass
from suite.theory.layers.geometry import load_geometry
from suite.theory.layers.latent_shapes import (
    AbsorbedShape,
    ExpandedOnceShape,
    ExpandedShape,
    ReexpandedShape,
    absorbed_shape,
    expanded_once_shape,
    expanded_shape,
    reexpanded_shape,
)
from suite.theory.layers.rope import Rope, Yarn
from suite.theory.layers.shapes import GroupedShape, TiedShape, cache_bytes, grouped_shape, tied_shape, window_shape

TINY = load_geometry("tiny")
YARN = Yarn(factor=4.0, original_max_position=16.0, mscale=1.0, mscale_all_dim=0.7)
SCALED = replace(TINY, rope=Rope(theta=10_000.0, scaling=YARN))
SHAPES = {
    "mha": grouped_shape(TINY, kv_heads="all"),
    "gqa": grouped_shape(TINY, kv_heads=2),
    "mqa": grouped_shape(TINY, kv_heads=1),
    "mla": absorbed_shape(TINY),
    "mla_q_lora": absorbed_shape(TINY, q_lora_rank=24),
    "mla_latent": reexpanded_shape(TINY),
    "mla_expanded": expanded_shape(TINY),
    "mla_without_rotary": absorbed_shape(TINY, qk_rope_head_dim=0),
    "mla_latent_without_both": reexpanded_shape(TINY, qk_rope_head_dim=0, latent_norm=False),
    "mla_expanded_without_norm": expanded_shape(TINY, latent_norm=False),
    "mla_frozen": absorbed_shape(SCALED, latent="frozen"),
    "mla_latent_frozen_without_rotary": reexpanded_shape(TINY, latent="frozen", qk_rope_head_dim=0),
    "mla_expanded_sliced": expanded_shape(TINY, latent="slice", kv_lora_rank=9, latent_norm=False),
    "gla_sliced": absorbed_shape(TINY, latent="slice", latent_heads=2),
    "gqa_yarn": grouped_shape(SCALED, kv_heads=2),
    "mla_yarn": absorbed_shape(SCALED),
    "mla_latent_yarn": reexpanded_shape(SCALED),
    "mla_expanded_yarn": expanded_shape(SCALED),
    "gla": absorbed_shape(TINY, latent_heads=2),
    "gla_of_four": absorbed_shape(SCALED, latent_heads=4, q_lora_rank=24),
    "gla_without_both": absorbed_shape(TINY, latent_heads=2, qk_rope_head_dim=0, latent_norm=False),
    "gta": tied_shape(TINY, kv_heads=2),
    "gta_of_one": tied_shape(SCALED, kv_heads=1),
    "window": window_shape(TINY, kv_heads=2, window=5),
    "window_with_sinks": window_shape(SCALED, kv_heads=2, window=5, sinks=True),
    "window_beyond_the_context": window_shape(TINY, kv_heads=2, window=99, sinks=True),
}
OF_WHOLE_PROMPTS = {
    "mla_deployed": expanded_once_shape(TINY),
    "mla_yarn_deployed": expanded_once_shape(SCALED),
    "gla_deployed": expanded_once_shape(TINY, latent_heads=2),
    "gla_of_four_deployed": expanded_once_shape(SCALED, latent_heads=4, q_lora_rank=24),
}
ALL_SHAPES = SHAPES | OF_WHOLE_PROMPTS
CLASSES = {
    AbsorbedShape: AbsorbedLatentAttention,
    ReexpandedShape: ReexpandingLatentAttention,
    ExpandedShape: ExpandedLatentAttention,
    ExpandedOnceShape: ExpandedOnceLatentAttention,
    GroupedShape: GroupedAttention,
    TiedShape: TiedAttention,
}
BACKENDS = [Eager, Sdpa, SdpaFolded]
BOUNDS = {torch.float64: 1e-13, torch.float32: 3e-6, torch.bfloat16: 3e-2}
CPU = torch.device("cpu")


def made(kind, shape, dtype=torch.float64, positions=64):
    return kind(shape, positions=positions, dtype=dtype, device=CPU, generator=torch.Generator().manual_seed(7))


def layer_of(variant, dtype=torch.float64, positions=64):
    shape = ALL_SHAPES[variant]
    kind = CLASSES[type(shape)] if shape.window is None else WindowAttention
    return made(kind, shape, dtype, positions)


def hidden_states(tokens, dtype=torch.float64, batch=2):
    generator = torch.Generator().manual_seed(2)
    return torch.randn(batch, tokens, 64, generator=generator, dtype=torch.float64).to(dtype)


def a_pass(query_len, seq_len, batch=2, dtype=torch.float64):
    return Pass(batch=batch, query_len=query_len, seq_len=seq_len, element_bytes=dtype.itemsize)


def forward(layer, backend, x_BSD, cache, start, seq_len):
    """One pass over new tokens, with the cache cut to what is there so far."""
    cache.length = min(seq_len, cache.room)
    problem = layer.problem(a_pass(x_BSD.shape[1], seq_len, batch=x_BSD.shape[0]))
    return layer.output(backend(problem)(*layer.project(x_BSD, cache, start)))


def attention(q, k, v, scale, window=None, sinks=None):
    """[batch, head, token, width] each, causal from the first token, with an explicit loop over queries."""
    out = torch.zeros(*q.shape[:3], v.shape[-1], dtype=torch.float64)
    for query in range(q.shape[2]):
        seen = slice(max(0, query + 1 - (window or query + 1)), query + 1)
        shares = ((k[:, :, seen] @ q[:, :, query, :, None])[..., 0] * scale).exp()
        shares /= shares.sum(-1, keepdim=True) + (0 if sinks is None else sinks.double().exp()[:, None])
        out[:, :, query] = (shares[:, :, None] @ v[:, :, seen])[:, :, 0]
    return out


def by_definition(layer, x_BSD, positions=None):
    """The whole layer in float64: MLA of every mode expanded to full keys and values, GQA's heads repeated."""
    shape, positions = layer.shape, torch.arange(x_BSD.shape[1]) if positions is None else positions
    definition, width = ExpandedDefinition, getattr(shape, "qk_head_dim", None)
    if width is None:
        definition, width = layer.definition, shape.head_dim
    q, k, v = definition.projected(layer, x_BSD.double(), positions)
    share = shape.num_heads // k.shape[1]
    k, v = (torch.stack([part[:, h // share] for h in range(shape.num_heads)], dim=1) for part in (k, v))
    beside = getattr(shape, "window", None), getattr(layer, "sink_H", None)
    return definition.output(layer, attention(q, k, v, shape.rope.score_factor / math.sqrt(width), *beside))


def error(candidate, reference):
    return float((candidate.double() - reference).norm() / reference.norm())


def backends_of(variant):
    """Those that compute it."""
    passes = [a_pass(*sizes) for sizes in ((17, 17), (1, 17), (3, 17))]
    beyond = {name for one in passes for name in layer_of(variant).problem(one).beyond_plain}
    return [backend for backend in BACKENDS if backend.computes >= beyond]


@pytest.mark.parametrize("variant", ALL_SHAPES)
@pytest.mark.parametrize("dtype", BOUNDS)
def test_a_prefill_equals_the_definition(variant, dtype):
    layer, x_BSD = layer_of(variant, dtype), hidden_states(17, dtype)
    expected = by_definition(layer, x_BSD)
    for backend in backends_of(variant):
        out = forward(layer, backend, x_BSD, layer.new_cache(a_pass(17, 17)), 0, 17)
        assert error(out, expected) < BOUNDS[dtype], backend


@pytest.mark.parametrize("variant", SHAPES)
@pytest.mark.parametrize("dtype", BOUNDS)
def test_decoding_step_by_step_equals_one_pass(variant, dtype):
    layer, x_BSD = layer_of(variant, dtype), hidden_states(19, dtype)
    expected = by_definition(layer, x_BSD)
    for backend, new_tokens in itertools.product(backends_of(variant), (1, 2, 3)):
        cache = layer.new_cache(a_pass(new_tokens, 19))
        parts = [forward(layer, backend, x_BSD[:, :7], cache, 0, 7)]
        for start in range(7, 19, new_tokens):
            end = start + new_tokens
            parts.append(forward(layer, backend, x_BSD[:, start:end], cache, start, end))
        assert error(torch.cat(parts, dim=1), expected) < BOUNDS[dtype], (backend, new_tokens)


@pytest.mark.parametrize("variant", ["mla", "mla_yarn", "gla", "gla_of_four"])
@pytest.mark.parametrize("dtype", BOUNDS)
def test_absorbed_decoding_goes_on_from_a_deployed_prefill(variant, dtype):
    prefill, decode = layer_of(f"{variant}_deployed", dtype), layer_of(variant, dtype)
    x_BSD = hidden_states(9, dtype)
    cache = prefill.new_cache(a_pass(9, 9))
    parts = [forward(prefill, SdpaFolded, x_BSD[:, :7], cache, 0, 7)]
    parts += [forward(decode, SdpaFolded, x_BSD[:, at : at + 1], cache, at, at + 1) for at in (7, 8)]
    assert error(torch.cat(parts, dim=1), by_definition(decode, x_BSD)) < BOUNDS[dtype]
    with pytest.raises(AssertionError, match="expanded again"):
        prefill.project(x_BSD[:, 7:], cache, 7)


def test_gla_is_mla_whose_heads_read_a_part_of_the_latent():
    own = {"qk_rope_head_dim": 8, "latent_norm": False}
    gla = made(AbsorbedLatentAttention, absorbed_shape(TINY, latent_heads=2, **own))
    mla = made(AbsorbedLatentAttention, absorbed_shape(TINY, **own))
    for name in ("w_q", "w_kva", "w_o"):
        setattr(mla, name, getattr(gla, name))
    mla.w_kvb.data.zero_()
    for latent, heads in enumerate((slice(2), slice(2, 4))):
        mla.w_kvb.data[heads, :, 16 * latent : 16 * (latent + 1)] = gla.w_kvb.data[heads]
    x_BSD = hidden_states(9)
    outs = [forward(layer, Eager, x_BSD, layer.new_cache(a_pass(9, 9)), 0, 9) for layer in (gla, mla)]
    assert error(*outs) < 1e-13


def test_values_lie_apart_around_a_rotary_key():
    layouts = {name: layer_of(name).value_layout for name in ("mla", "gla", "gla_without_both")}
    assert [name for name, layout in layouts.items() if layout is ValueLayout.ENDS_OF_KEY] == ["gla"]


def test_two_latents_are_read_where_they_are_cached():
    layer = layer_of("gla")
    cache = layer.new_cache(a_pass(1, 9))
    _, k_BGTd, v_BGTv = layer.project(hidden_states(1), cache, 8)
    assert (k_BGTd.shape, v_BGTv.shape) == ((2, 2, 9, 24), (2, 2, 9, 16))
    storages = {x.untyped_storage().data_ptr() for x in (*cache.tensors, k_BGTd, v_BGTv)}
    assert len(storages) == 1


@pytest.mark.parametrize("backend", [Sdpa, SdpaFolded])
def test_whole_keys_of_tied_states_are_for_every_backend(backend):
    layer = layer_of("gta")
    x_BSD = hidden_states(9)
    for cache in (None, layer.new_cache(a_pass(9, 9))):
        out = layer.output(backend(layer.problem(a_pass(9, 9)))(*layer.project(x_BSD, cache, 0)))
        assert error(out, by_definition(layer, x_BSD)) < 1e-13


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("dtype", BOUNDS)
def test_a_tied_state_is_read_where_it_is_cached(batch, dtype):
    layer = layer_of("gta", dtype)
    cache = layer.new_cache(a_pass(1, 9, batch=batch))
    x_BSD = hidden_states(1, dtype, batch)
    _, k_BGTd, v_BGTv, k_B1Tr = layer.project(x_BSD, cache, 8)
    states, rotary = cache.tensors
    assert {k_BGTd.data_ptr(), v_BGTv.data_ptr()} == {states.data_ptr()}
    assert k_B1Tr.data_ptr() == rotary.data_ptr()
    assert (k_BGTd.shape, v_BGTv.shape, k_B1Tr.shape) == ((batch, 2, 9, 8), (batch, 2, 9, 16), (batch, 1, 9, 8))


@pytest.mark.parametrize("variant", ALL_SHAPES)
def test_positions_may_have_gaps_with_a_cache_and_without(variant):
    layer, positions = layer_of(variant, positions=2000), torch.tensor([0, 1, 2, 700, 701, 1999])
    x_BSD = hidden_states(6)
    backend = Eager(layer.problem(a_pass(6, 6)))
    for cache in (None, layer.new_cache(a_pass(6, 6))):
        out = layer.output(backend(*layer.project(x_BSD, cache, 0, positions)))
        assert error(out, by_definition(layer, x_BSD, positions)) < 1e-13


def test_without_norm_and_rotary_part_the_projection_is_cached():
    layer, x_BSD = layer_of("mla_latent_without_both"), hidden_states(5)
    cache = layer.new_cache(a_pass(5, 5))
    layer.project(x_BSD, cache, 0)
    torch.testing.assert_close(cache.views()[0][:, 0], x_BSD @ layer.w_kva.mT, rtol=0, atol=1e-13)
    assert not hasattr(layer, "kv_norm")


@pytest.mark.parametrize("variant", ALL_SHAPES)
def test_parameters_and_cache_are_those_of_the_closed_forms(variant):
    layer = layer_of(variant)
    weights = sum(weight.numel() for weight in layer.state_dict().values())
    trained = sum(parameter.numel() for parameter in layer.parameters())
    assert weights == layer.shape.parameter_count == trained + layer.shape.frozen_parameters
    for forward_pass in (a_pass(1, 33), a_pass(3, 33), a_pass(33, 33)):
        assert layer.new_cache(forward_pass).counted_bytes() == cache_bytes(layer.shape, forward_pass)


def test_a_single_token_attends_to_itself():
    layer = layer_of("gqa")
    x_BSD = hidden_states(1)
    for backend in BACKENDS:
        out = forward(layer, backend, x_BSD, layer.new_cache(a_pass(1, 1)), 0, 1)
        assert error(out, by_definition(layer, x_BSD)) < 1e-13


def test_a_key_behind_a_latent_of_odd_width_is_rotated():
    latent_and_key_BHNd = torch.randn(1, 1, 1, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    key_BHNd = latent_and_key_BHNd[..., 3:]
    first, second = (
        apply_rope(key, torch.tensor([7]), Rope(theta=1e4), neighbours=True) for key in (key_BHNd, key_BHNd.clone())
    )
    assert torch.equal(first, second)
