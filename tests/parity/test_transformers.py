"""Our layers against transformers' with the same weights: whole passes, decoding step by step, and far positions.

transformers computes norms, softmax and rotary angles in float32 whatever the dtype is. Those islands are lifted where
the last digits count. As it ships, an angle of a position of some thousands is off by about 1e-4, here as everywhere;
what is compared then is short, or coarse.

Positions have gaps: wrong frequencies hide among the first tokens and show among far ones.
"""

import types

import pytest
import torch
from transformers import DynamicCache, modeling_rope_utils

from suite.attention.backends.eager import Eager
from suite.attention.grouped import GroupedAttention
from suite.attention.latent import AbsorbedLatentAttention, ExpandedLatentAttention, ReexpandingLatentAttention
from suite.attention.window import WindowAttention
from suite.configuration.files import read_choice
from suite.theory.layers.algebra import Pass
from suite.theory.layers.geometry import geometry_from
from suite.theory.layers.latent_shapes import absorbed_shape, expanded_shape, reexpanded_shape
from suite.theory.layers.shapes import cache_bytes, grouped_shape, window_shape
from tests.parity import their_layers
from tests.parity.their_layers import (
    deepseek_v2_layer,
    deepseek_v3_layer,
    evens_then_odds,
    glm_layer,
    gpt_oss_layer,
    granite_layer,
    llama_layer,
    mistral_layer,
)

MODES = {
    "absorbed": (AbsorbedLatentAttention, absorbed_shape),
    "expanded": (ExpandedLatentAttention, expanded_shape),
    "re-expanding": (ReexpandingLatentAttention, reexpanded_shape),
}
BATCH, TOKENS, CONTEXT, WINDOW = 2, 19, 7, 5
CONTIGUOUS = torch.arange(TOKENS)
GAPPED = torch.tensor([0, 1, 2, 700, 701, 5000, 5001, 5002, 5003, 5600, 5601, *range(5700, 5707), 6000])
CUTS = {"a whole pass": 0, "one by one": 1, "two by two": 2, "three by three": 3}
# A float64 angle of 6,000 is itself rounded by 5e-13.
BOUNDS = {torch.float64: 1e-12, torch.float32: 3e-6, torch.bfloat16: 3e-2}
BOUNDS_AS_IT_SHIPS = {**BOUNDS, torch.float64: 1e-6}

every_dtype = pytest.mark.parametrize("dtype", BOUNDS, ids=str)
every_cut = pytest.mark.parametrize("new_tokens", CUTS.values(), ids=CUTS)
every_mode = pytest.mark.parametrize("mode", MODES)


class TorchInFloat64(types.ModuleType):
    """torch, except that what is made float32 by name becomes float64."""

    float32 = float = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


@pytest.fixture
def islands_lifted(monkeypatch):
    modules = [getattr(their_layers, name) for name in ("llama", "mistral", "gpt_oss", "granite", "glm", "v2", "v3")]
    for module in (*modules, modeling_rope_utils):
        monkeypatch.setattr(module, "torch", TorchInFloat64("torch"))


def geometry_of(rope, **sizes):
    """The smallest geometry with a published model's rotary embedding, over as many pairs as DeepSeek turns."""
    scaled = {key: read_choice("geometry", rope or "tiny").get(key) for key in ("rope_theta", "rope_scaling")}
    max_position = read_choice("geometry", rope or "tiny")["max_position"]
    return {**read_choice("geometry", "tiny"), "qk_rope_head_dim": 64, **scaled, "max_position": max_position, **sizes}


def latent(mode, geometry, dtype=torch.float64, q_lora_rank=None):
    layer_class, shape_of = MODES[mode]
    layer = built(layer_class, shape_of(geometry_from(geometry), q_lora_rank=q_lora_rank), dtype)
    for name, gain in layer.named_parameters():
        if name.endswith("norm"):
            gain.uniform_(
                0.5, 1.5, generator=torch.Generator().manual_seed(8)
            )  # drawn as ones, they would hide a norm in the wrong place
    return layer


def grouped(kv_heads, geometry, dtype=torch.float64):
    return built(GroupedAttention, grouped_shape(geometry_from(geometry), kv_heads=kv_heads), dtype)


def windowed(geometry, dtype=torch.float64, sinks=True):
    return built(WindowAttention, window_shape(geometry_from(geometry), kv_heads=2, window=WINDOW, sinks=sinks), dtype)


def built(layer_class, shape, dtype):
    generator = torch.Generator().manual_seed(7)
    positions = int(GAPPED.max()) + 1
    return layer_class(shape, positions=positions, dtype=dtype, device=torch.device("cpu"), generator=generator)


def a_pass(query_len, seq_len):
    return Pass(batch=BATCH, query_len=query_len, seq_len=seq_len, element_bytes=8)


def parts(new_tokens):
    """First and last token of each call: all at once, or a context and then so many at a time."""
    if not new_tokens:
        return [(0, TOKENS)]
    starts = range(CONTEXT, TOKENS, new_tokens)
    return [(0, CONTEXT), *((start, start + new_tokens) for start in starts)]


def added_mask(query_len, seq_len, dtype, window=TOKENS):
    lowest = torch.full((query_len, seq_len), torch.finfo(dtype).min, dtype=dtype)
    own = seq_len - query_len
    return (lowest.triu(own + 1) + lowest.tril(own - window))[None, None]


def window_mask(query_len, seq_len, dtype):
    """Their cache keeps what the next token sees beside itself."""
    older = min(seq_len - query_len, WINDOW - 1)
    return added_mask(query_len, older + query_len, dtype, WINDOW)


def error(ours, theirs, *, positions=GAPPED, new_tokens=0, mask_of=added_mask):
    """Relative Frobenius error of our layer against theirs, over every token."""
    x_BSD = torch.randn(BATCH, TOKENS, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x_BSD = x_BSD.to(ours.dtype)
    our_cache, their_cache = ours.new_cache(a_pass(new_tokens or TOKENS, TOKENS)), DynamicCache(config=theirs.config)
    got, wanted = [], []
    for start, end in parts(new_tokens):
        x, at = x_BSD[:, start:end], positions[start:end]
        our_cache.length = min(end, our_cache.room)
        backend = Eager(ours.problem(a_pass(end - start, end)))
        got.append(ours.output(backend(*ours.project(x, our_cache, start, at))))
        wanted.append(theirs(x, at, their_cache, mask_of(end - start, end, ours.dtype)))
    wanted = torch.cat(wanted, dim=1).double()
    return float((torch.cat(got, dim=1).double() - wanted).norm() / wanted.norm())


@every_mode
@pytest.mark.parametrize("q_lora_rank", [None, 24])
@pytest.mark.parametrize("rope", [None, "deepseek-v3", "deepseek-v2"])
@every_cut
@every_dtype
@pytest.mark.usefixtures("islands_lifted")
def test_every_mode_of_mla_equals_deepseek_v3(mode, q_lora_rank, rope, new_tokens, dtype):
    geometry = geometry_of(rope)
    ours = latent(mode, geometry, dtype, q_lora_rank)
    assert error(ours, deepseek_v3_layer(ours, geometry, "eager"), new_tokens=new_tokens) < BOUNDS[dtype]


@every_mode
@every_cut
@every_dtype
@pytest.mark.usefixtures("islands_lifted")
def test_every_mode_of_mla_equals_glm_with_wide_values(mode, new_tokens, dtype):
    geometry = geometry_of("glm-4.7-flash", v_head_dim=48)
    ours = latent(mode, geometry, dtype, q_lora_rank=24)
    assert error(ours, glm_layer(ours, geometry, "eager"), new_tokens=new_tokens) < BOUNDS[dtype]


@every_mode
@pytest.mark.parametrize("q_lora_rank", [None, 24])
@pytest.mark.parametrize("rope", [None, "deepseek-v2"])
@every_cut
@pytest.mark.usefixtures("islands_lifted")
def test_every_mode_of_mla_equals_deepseek_v2_in_float32_pairs(mode, q_lora_rank, rope, new_tokens):
    geometry = geometry_of(rope)
    ours = latent(mode, geometry, q_lora_rank=q_lora_rank)
    assert error(ours, deepseek_v2_layer(ours, geometry, "eager"), new_tokens=new_tokens) < 3e-7


@pytest.mark.parametrize("kv_heads", ["all", 2, 1])
@pytest.mark.parametrize("rope", [None, "llama-3.2-1b", "llama-3.1-8b"])
@every_cut
@every_dtype
@pytest.mark.usefixtures("islands_lifted")
def test_grouped_attention_equals_llama(kv_heads, rope, new_tokens, dtype):
    geometry = geometry_of(rope, attention="mha", head_dim=64)
    ours = grouped(kv_heads, geometry, dtype)
    assert error(ours, llama_layer(ours, geometry, "eager"), new_tokens=new_tokens) < BOUNDS[dtype]


@every_cut
@every_dtype
@pytest.mark.usefixtures("islands_lifted")
def test_grouped_attention_equals_granite_with_its_own_scale(new_tokens, dtype):
    geometry = geometry_of(None, attention="mha", head_dim=64)
    ours = grouped(2, geometry, dtype)
    ours.scale = 1 / 64  # Granite's own, where the square root of 64 is usual
    assert error(ours, granite_layer(ours, geometry, "eager"), new_tokens=new_tokens) < BOUNDS[dtype]


@pytest.mark.parametrize(("layer_of", "sinks"), [(mistral_layer, False), (gpt_oss_layer, True)])
@every_cut
@every_dtype
@pytest.mark.usefixtures("islands_lifted")
def test_a_window_equals_mistrals_and_with_sinks_gpt_oss(layer_of, sinks, new_tokens, dtype):
    geometry = geometry_of("llama-3.1-8b", attention="mha", head_dim=64)
    ours = windowed(geometry, dtype, sinks=sinks)
    theirs = layer_of(ours, geometry, "eager")
    assert error(ours, theirs, new_tokens=new_tokens, mask_of=window_mask) < BOUNDS[dtype]


@every_cut
@pytest.mark.usefixtures("islands_lifted")
def test_their_sdpa_gives_the_same(new_tokens):
    geometry = geometry_of("deepseek-v3")
    ours = latent("absorbed", geometry)
    assert error(ours, deepseek_v3_layer(ours, geometry, "sdpa"), new_tokens=new_tokens) < BOUNDS[torch.float64]
    geometry = geometry_of("llama-3.2-1b", attention="mha", head_dim=64)
    ours = grouped(2, geometry)
    assert error(ours, llama_layer(ours, geometry, "sdpa"), new_tokens=new_tokens) < BOUNDS[torch.float64]


@pytest.mark.parametrize("layer_of", [deepseek_v3_layer, deepseek_v2_layer])
@every_dtype
def test_mla_equals_theirs_as_it_ships(layer_of, dtype):
    geometry = geometry_of("deepseek-v3")
    ours = latent("absorbed", geometry, dtype, q_lora_rank=24)
    theirs = layer_of(ours, geometry, "eager")
    assert error(ours, theirs, positions=CONTIGUOUS, new_tokens=1) < BOUNDS_AS_IT_SHIPS[dtype]
    # A float32 angle of 6,000 is off by up to 2.4e-4.
    assert error(ours, theirs, new_tokens=1) < max(1e-4, BOUNDS[dtype])


@pytest.mark.usefixtures("islands_lifted")
def test_they_cache_the_latent_and_the_rotary_key_as_we_do():
    geometry = geometry_of("deepseek-v3")
    ours = latent("re-expanding", geometry)
    theirs, their_cache = deepseek_v3_layer(ours, geometry, "eager"), DynamicCache()
    our_cache = ours.new_cache(a_pass(TOKENS, TOKENS))
    x_BSD = torch.randn(BATCH, TOKENS, 64, dtype=torch.float64)
    ours.project(x_BSD, our_cache, 0, GAPPED)
    theirs(x_BSD, GAPPED, their_cache, added_mask(TOKENS, TOKENS, torch.float64))
    kept = their_cache.layers[0]
    latent_BGTc, k_r_BGTr = our_cache.views()[0].split((32, 64), dim=-1)
    torch.testing.assert_close(kept.keys, latent_BGTc, rtol=0, atol=1e-11)
    torch.testing.assert_close(kept.values, evens_then_odds(k_r_BGTr), rtol=0, atol=1e-11)
    assert kept.keys.nbytes + kept.values.nbytes == cache_bytes(ours.shape, a_pass(TOKENS, TOKENS))


# --- that the comparison can fail


def test_wrong_frequencies_show_among_far_tokens_alone():
    ours = latent("absorbed", geometry_of(None))
    theirs = deepseek_v3_layer(ours, geometry_of("deepseek-v3"), "eager")
    ours.scale = theirs.attention.scaling  # the factor on the scores would show everywhere
    assert error(ours, theirs, positions=CONTIGUOUS) < 3e-2
    assert error(ours, theirs) > 3e-1
