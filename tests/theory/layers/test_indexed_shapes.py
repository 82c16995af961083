"""DSA's closed forms against counting, and what it saves at DeepSeek-V3.2's sizes."""

import itertools
import math
from dataclasses import replace

import pytest

from suite.configuration.files import read_choice
from suite.theory.layers.algebra import Pass
from suite.theory.layers.decoder_shape import decoder_shape
from suite.theory.layers.geometry import load_geometry
from suite.theory.layers.indexed_shapes import INDEXER, indexed_shape
from suite.theory.layers.latent_shapes import absorbed_shape
from suite.theory.layers.shapes import cache_bytes, kernel_work, layer_work
from tests.theory.layers.test_attention_plan import plan_of

TINY = load_geometry("tiny")
PASSES = list(itertools.product((1, 2), (1, 2, 5), (0, 3, 11), (3, 8, 40), (None, "int8")))


def shape_of(top_k, **sizes):
    return indexed_shape(TINY, top_k=top_k, index_heads=3, index_head_dim=10, **sizes)


def count(shape, forward):
    """Return FLOPs and bytes by loops over pairs: each new token's choice is `top_k` of what it sees, as far apart from
    the others' as they can be."""
    past, element = forward.seq_len - forward.query_len, forward.element_bytes
    core = scored = chosen = 0
    rows = set()
    for batch, query in itertools.product(range(forward.batch), range(forward.query_len)):
        seen = range(query + past + 1)
        scored += len(seen) * shape.indexer.heads * (shape.indexer.head_dim + 1)
        own = sorted(seen, key=lambda key: ((batch, key) in rows, key))[: shape.indexer.top_k]
        chosen += len(own)
        rows |= {(batch, key) for key in own}
        core += len(own) * shape.num_heads * (2 * shape.kv_lora_rank + shape.qk_rope_head_dim)
    tokens, heads = forward.batch * forward.query_len, shape.indexer.heads
    if forward.cache_dtype:
        latent = shape.kv_lora_rank + 4 * math.ceil(shape.kv_lora_rank / 128) + 2 * shape.qk_rope_head_dim
        index = shape.indexer.head_dim + 4 * math.ceil(shape.indexer.head_dim / 128)
    else:
        latent, index = shape.latent_elements * element, shape.indexer.head_dim * element
    keys = forward.batch * forward.seq_len * index
    return {
        "kernel_flops": 2 * core,
        "indexer_flops": 2 * scored,
        "attended_bytes": len(rows) * latent + 4 * chosen,
        "indexer_bytes": keys + tokens * heads * (shape.indexer.head_dim + 1) * element + 4 * chosen,
        "cache_bytes": forward.batch * forward.seq_len * (latent + index),
    }


def test_dsa_costs_what_counting_gives():
    for batch, query_len, context, top_k, cache_dtype in PASSES:
        forward = Pass(
            batch=batch, query_len=query_len, seq_len=query_len + context, element_bytes=4, cache_dtype=cache_dtype
        )
        shape = shape_of(top_k)
        work, counted = shape.before_kernel(forward)[INDEXER], count(shape, forward)
        assert {
            "kernel_flops": kernel_work(shape, forward).flops,
            "indexer_flops": work.flops,
            "attended_bytes": shape.attended_bytes(forward),
            "indexer_bytes": work.traffic_bytes,
            "cache_bytes": cache_bytes(shape, forward),
        } == counted, (forward, top_k)
        queries_and_outputs = forward.tokens * shape.num_heads * (shape.qk_dim + shape.v_dim) * 4
        assert kernel_work(shape, forward).traffic_bytes == counted["attended_bytes"] + queries_and_outputs
        parameters = 4 * shape.parameter_count
        around = layer_work(shape, forward) - kernel_work(shape, forward)
        assert around.traffic_bytes == counted["indexer_bytes"] + parameters


@pytest.mark.parametrize("rank", [0, 24])
def test_the_indexers_weights_are_beside_mlas(rank):
    shape, mla = shape_of(8, q_lora_rank=rank), absorbed_shape(TINY, q_lora_rank=rank)
    matrices = 3 * 10 * (rank or 64) + 3 * 64 + 10 * 64
    assert shape.parameter_count - mla.parameter_count == matrices + 2 * 10
    forward = Pass(batch=2, query_len=1, seq_len=9, element_bytes=4)
    around = [(layer_work(layer, forward) - kernel_work(layer, forward)).flops for layer in (shape, mla)]
    assert around[0] - around[1] == 2 * 2 * matrices + shape.before_kernel(forward)[INDEXER].flops


def test_at_deepseek_v3s_sizes_the_published_cache_and_saving():
    shape = indexed_shape(load_geometry("deepseek-v3"))
    forward = Pass(batch=1, query_len=1, seq_len=131_072, element_bytes=2)
    assert cache_bytes(shape, replace(forward, seq_len=1)) == 2 * (576 + 128)
    assert cache_bytes(shape, replace(forward, seq_len=1, cache_dtype="fp8")) == 656 + 132
    core = absorbed_shape(load_geometry("deepseek-v3")).core_flops(forward)
    assert core / shape.core_flops(forward) == 131_072 / 2_048
    assert core / shape.before_kernel(forward)[INDEXER].flops == pytest.approx(16.9, abs=0.1)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"phase": "prefill"}, "decodes only"),
        ({"phase": "train"}, "decodes only"),
        ({"query_len": 3, "seq_len": 40}, "must see attention.top_k=2048 tokens at least; it sees 38"),
        ({"seq_len": 40}, None),
        ({"query_len": 3, "seq_len": 2050}, None),
    ],
)
def test_what_dsa_does_not_run_is_refused(settings, reason):
    refusal = plan_of("mla_dsa", "tiny", **settings).refusal
    assert refusal is None if reason is None else reason in refusal


def test_a_language_model_refuses_what_it_cannot_train():
    sizes = read_choice("geometry", "tiny")
    with pytest.raises(ValueError, match="a language model trains its attention: the indexer"):
        decoder_shape(sizes, read_choice("attention", "mla_dsa"), vocab_size=8, where="policy.")


def test_dsa_names_its_spans_and_sizes_that_are_wrong():
    assert plan_of("mla_dsa", "tiny").spans == ("layer", "indexer", "kernel")
    assert plan_of("mla", "tiny").spans == ("layer", "kernel")
    with pytest.raises(ValueError, match="index_head_dim must be at least qk_rope_head_dim"):
        indexed_shape(TINY, top_k=8, index_heads=3, index_head_dim=6)
    with pytest.raises(ValueError, match=r"attention\.top_k"):
        shape_of(0)


def test_an_indexer_has_the_geometrys_sizes_and_what_is_set():
    def sizes(geometry, **settings):
        shape = indexed_shape(load_geometry(geometry), **settings)
        return shape.indexer.heads, shape.indexer.head_dim, shape.indexer.top_k

    assert sizes("deepseek-v2-lite") == sizes("deepseek-v3.2") == (64, 128, 2048)
    assert sizes("glm-5") == (32, 128, 2048)
    assert sizes("glm-5", index_heads=8, top_k=512) == (8, 128, 512)
