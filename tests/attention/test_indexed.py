"""MLA over chosen tokens: plain MLA where it chooses all, masked dense attention where it does not."""

from dataclasses import replace

import pytest
import torch

from suite.attention.backends.eager import Eager
from suite.attention.indexed import IndexedLatentAttention, index_scores
from suite.attention.latent import AbsorbedLatentAttention
from suite.attention.selected_step import compare_choice, compare_over_chosen
from suite.measure.meter import Meter
from suite.measure.workload import IncorrectError
from suite.theory.layers.algebra import Pass
from suite.theory.layers.indexed_shapes import indexed_shape
from suite.theory.layers.latent_shapes import absorbed_shape
from suite.theory.layers.shapes import cache_bytes
from tests.attention.test_check import with_sizes
from tests.attention.test_layers import BOUNDS, SCALED, TINY, error, hidden_states, made

SIZES = {"top_k": 6, "index_heads": 8, "index_head_dim": 12}
"""With few heads many tokens score 0 alike."""


def layer_of(dtype=torch.float64, geometry=TINY, **sizes):
    layer = made(IndexedLatentAttention, indexed_shape(geometry, **SIZES | sizes), dtype)
    for gain in (layer.index_norm, layer.index_norm_bias):  # ones and zeros would hide the norm
        gain.uniform_(0.5, 1.5, generator=layer._generator)
    return layer


def plain_mla(layer):
    """Plain absorbed MLA with the very same weights."""
    sizes = {"q_lora_rank": layer.shape.q_lora_rank or 0}
    shape = replace(absorbed_shape(TINY, **sizes), rope=layer.shape.rope)
    mla = made(AbsorbedLatentAttention, shape, layer.dtype)
    mla.load_state_dict(layer.state_dict(), strict=False)
    return mla


def a_pass(query_len, seq_len):
    return Pass(batch=2, query_len=query_len, seq_len=seq_len, element_bytes=8)


def step(layer, x_BSD, cache, start):
    cache.length = start + x_BSD.shape[1]
    q, k, _, *scored = layer.project(x_BSD, cache, start)
    chosen = layer.select(*scored)
    backend = Eager(layer.problem(a_pass(x_BSD.shape[1], cache.length)))
    return layer.output(layer.unfold(backend(*layer.gather(q, k, chosen)), x_BSD.shape[1])), chosen


def dense(layer, x_BSD, length):
    """The last token's output by definition: every score, every mask, in float64."""
    q, k, v, iq, iw, ik = layer.definition.projected(layer, x_BSD[:, :length].double(), torch.arange(length))
    scores_BT = (iw[:, :, -1:] * (iq[:, :, -1:] @ ik.mT).relu()).sum(1)[:, 0]
    chosen = scores_BT.topk(min(length, layer.shape.indexer.top_k)).indices
    hidden = torch.ones_like(scores_BT, dtype=torch.bool).scatter(1, chosen, value=False)
    weights = (q[:, :, -1:] @ k.mT * layer.definition.scale(layer)).masked_fill(hidden[:, None, None], float("-inf"))
    return layer.definition.output(layer, weights.softmax(-1) @ v), chosen.sort().values


@pytest.mark.parametrize("geometry", [TINY, SCALED], ids=["plain", "yarn"])
@pytest.mark.parametrize("rank", [0, 24])
def test_decoding_step_by_step_is_masked_dense_attention(geometry, rank):
    layer, x_BSD = layer_of(geometry=geometry, q_lora_rank=rank), hidden_states(19)
    cache = layer.new_cache(a_pass(1, 19))
    for start in range(19):
        out, chosen = step(layer, x_BSD[:, start : start + 1], cache, start)
        expected, best = dense(layer, x_BSD, start + 1)
        assert torch.equal(chosen[:, 0].sort().values, best)
        assert error(out, expected) < 1e-13


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("new", [1, 2, 3])
def test_new_tokens_together_are_those_one_by_one(dtype, new):
    layer, x_BSD = layer_of(dtype), hidden_states(19, dtype)
    apart, together = layer.new_cache(a_pass(1, 19)), layer.new_cache(a_pass(1, 19))
    for start in range(7):
        step(layer, x_BSD[:, start : start + 1], apart, start)
        step(layer, x_BSD[:, start : start + 1], together, start)
    for start in range(7, 19, new):
        one_by_one = [step(layer, x_BSD[:, at : at + 1], apart, at)[0] for at in range(start, start + new)]
        out, _ = step(layer, x_BSD[:, start : start + new], together, start)
        assert error(out, torch.cat(one_by_one, dim=1).double()) < BOUNDS[dtype]


@pytest.mark.parametrize("dtype", BOUNDS)
def test_where_all_tokens_are_chosen_it_is_plain_mla(dtype):
    layer, x_BSD = layer_of(dtype, top_k=19), hidden_states(19, dtype)
    mla, cache = plain_mla(layer), layer.new_cache(a_pass(1, 19))
    kept = mla.new_cache(a_pass(1, 19))
    for start in range(19):
        out, _ = step(layer, x_BSD[:, start : start + 1], cache, start)
        kept.length = start + 1
        plain = Eager(mla.problem(a_pass(1, start + 1)))(*mla.project(x_BSD[:, start : start + 1], kept, start))
        assert error(out, mla.output(plain).double()) < BOUNDS[dtype]


def test_parameters_and_cache_of_dsa_are_the_closed_forms():
    layer, forward = layer_of(q_lora_rank=24), a_pass(1, 33)
    assert sum(parameter.numel() for parameter in layer.parameters()) == layer.shape.parameter_count
    assert layer.new_cache(forward).counted_bytes() == cache_bytes(layer.shape, forward)


def workload_of(**changes):
    return with_sizes("mla_dsa", sizes=SIZES, **changes)


@pytest.mark.parametrize("query_len", [1, 3])
@pytest.mark.parametrize("backend", ["auto", "eager", "sdpa_folded"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_dsa_passes_its_check_in_every_dtype(query_len, backend, dtype):
    readings = workload_of(query_len=query_len, backend=backend, dtype=dtype, batch=2).check()
    checked = {(reading.span, reading.metric) for reading in readings if reading.metric.startswith("relative_error")}
    of_layer = {f"relative_error_{part}" for part in ("q", "k", "v", "iq", "iw", "ik", "y", "scale")}
    assert checked == {("kernel", "relative_error"), ("indexer", "relative_error"), *(("layer", m) for m in of_layer)}


def test_each_span_of_dsa_is_timed():
    workload, meter = workload_of(), Meter(lambda span: lambda: [{"metric": "latency_s", "value": 1.0}])
    workload.step(meter)
    assert tuple(reading.span for reading in meter.readings) == workload.plan.spans == tuple(workload.parts())
    for work in workload.parts().values():
        work()


def test_the_indexer_rotates_over_copies_and_the_kernel_does_not():
    workload = workload_of()
    indexer, kernel = (workload.rotated_runs(span, 1 << 16, 1 << 30) for span in ("indexer", "kernel"))
    assert indexer.copies > 1
    assert torch.equal(indexer.runs[0](), indexer.runs[1]())
    assert (kernel.copies, len(kernel.runs)) == (1, 1)


def test_a_choice_of_other_tokens_is_incorrect():
    workload = workload_of()
    select = workload.work.layer.select
    workload.work.layer.select = lambda *scored: select(*scored).clamp(max=30)
    with pytest.raises(IncorrectError, match="relative error"):
        workload.check()


def test_a_token_chosen_twice_does_not_pass():
    work = workload_of().work
    twice = work.chosen_BSK.clone()
    twice[..., 0] = twice[..., 1]
    assert compare_choice(work.chosen_BSK, *work.projected[3:], dtype=torch.float32).passed
    assert not compare_choice(twice, *work.projected[3:], dtype=torch.float32).passed
    out = work._kernel(*work.projected[:2], twice)
    assert not compare_over_chosen(out, *work.projected[:3], twice, work.problem).passed


def test_blocks_of_keys_score_as_all_at_once(monkeypatch):
    iq, iw, ik = torch.randn(2, 3, 2, 12), torch.randn(2, 3, 2, 1), torch.randn(2, 1, 40, 12)
    whole = index_scores(iq, iw, ik)
    monkeypatch.setattr("suite.attention.indexed.KEY_BLOCK", 7)
    torch.testing.assert_close(index_scores(iq, iw, ik), whole)
    plainly = (iw[..., None, :] * (iq[:, :, :, None] * ik[:, :, None]).sum(-1, keepdim=True).relu()).sum(1)[..., 0]
    torch.testing.assert_close(whole, plainly)
