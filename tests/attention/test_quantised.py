"""Caches in eight bits: their bytes, their error, and a kernel that is exact on what they stand for."""

from dataclasses import replace

import pytest
import torch

from suite.attention.backends import dequantising
from suite.attention.backends.dequantising import Dequantising
from suite.attention.cache import DTYPES, quantised, restored
from suite.attention.check import reference_rows
from suite.attention.latent import AbsorbedLatentAttention
from suite.attention.problem import ValueLayout, operands, visible_keys
from suite.attention.steps import LARGEST_ROW_ERROR
from suite.measure.workload import IncorrectError, UnsupportedError
from suite.theory.layers.geometry import load_geometry
from suite.theory.layers.latent_shapes import absorbed_shape
from suite.theory.layers.shapes import cache_bytes
from tests.attention.test_backends import inputs
from tests.attention.test_check import prepared, with_sizes
from tests.attention.test_layers import BOUNDS, CPU, a_pass, by_definition, error, hidden_states, layer_of, made

KEPT = ("mha", "gqa", "mqa", "mla", "mla_q_lora", "mla_without_rotary", "mla_yarn")
OUTPUT_ERROR = {"int8": 0.02, "fp8": 0.07}

every_dtype = pytest.mark.parametrize("cache_dtype", DTYPES)


def quantised_pass(cache_dtype, query_len, seq_len, batch=2):
    return replace(a_pass(query_len, seq_len, batch), cache_dtype=cache_dtype)


def rows_of(layer, k, v):
    return (k,) if layer.value_layout is ValueLayout.PREFIX_OF_KEY else (k, v)


@every_dtype
@pytest.mark.parametrize("variant", KEPT)
def test_counted_bytes_are_the_closed_forms(variant, cache_dtype):
    layer, forward = layer_of(variant, torch.float32), quantised_pass(cache_dtype, 1, 33)
    cache = layer.new_cache(forward)
    assert cache.counted_bytes() == cache_bytes(layer.shape, forward)
    assert cache.tensors[0].dtype is DTYPES[cache_dtype]


@every_dtype
def test_deepseek_v3s_latent_takes_656_bytes(cache_dtype):
    shape = absorbed_shape(replace(load_geometry("deepseek-v3"), hidden_size=16, num_heads=1))
    layer = made(AbsorbedLatentAttention, shape, torch.float32)
    assert layer.new_cache(quantised_pass(cache_dtype, 1, 10, batch=1)).counted_bytes() == 10 * 656


@every_dtype
@pytest.mark.parametrize("width", [16, 128, 200, 512])
def test_a_row_is_restored_within_its_scale(cache_dtype, width):
    rows = torch.randn(3, 5, width) * torch.tensor([1e-3, 1.0, 1e3])[:, None, None]
    rows[0, 0] = 0
    elements, scales = quantised(rows, DTYPES[cache_dtype])
    back = restored(elements, scales, torch.float64)
    assert torch.equal(back[0, 0], torch.zeros(width, dtype=torch.float64))
    assert scales.shape == (3, 5, -(-width // 128))
    assert elements[1].float().abs().max() == {"int8": 127, "fp8": 448}[cache_dtype]  # all that the dtype has
    assert float((back - rows).norm() / rows.norm()) < LARGEST_ROW_ERROR[DTYPES[cache_dtype]]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_every_float8_is_widened_exactly(dtype):
    numbers = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn)
    numbers = numbers[~numbers.float().isnan()].view(1, 1, 2, 127)
    problem = prepared(attention="gqa").work.problem
    backend = Dequantising(
        replace(problem, qk_dim=127, v_dim=127, dtype=dtype, cache_dtype=torch.float8_e4m3fn, kv_heads=1, batch=1)
    )
    wide, _ = backend._widened(numbers, torch.ones(1, 1, 2, 1))
    assert torch.equal(wide[0, 0], numbers[0, 0].to(dtype))


@every_dtype
@pytest.mark.parametrize("new_tokens", [1, 3])
@pytest.mark.parametrize("variant", KEPT)
def test_decoding_step_by_step_is_attention_to_what_is_kept(variant, new_tokens, cache_dtype):
    layer = layer_of(variant)
    x_BSD = hidden_states(13)
    cache, outs = layer.new_cache(quantised_pass(cache_dtype, 1, 13)), []
    for start in range(0, 13, new_tokens):
        end = min(13, start + new_tokens)
        cache.length = end
        q, *new = layer.project(x_BSD[:, start:end], None, start)
        cache.write(start, *rows_of(layer, *new))
        given = (q, *cache.kernel_inputs())
        problem = layer.problem(quantised_pass(cache_dtype, end - start, end))
        out = Dequantising(problem)(*given)
        _, k_BGTd, v_BGTv, _ = operands(given, problem)
        exact = reference_rows(q, k_BGTd, v_BGTv, visible_keys(end - start, end, CPU), problem.scale)
        assert error(out, exact) < 1e-13
        outs.append(layer.output(out))
    assert 0 < error(torch.cat(outs, dim=1), by_definition(layer, x_BSD)) < OUTPUT_ERROR[cache_dtype]


@every_dtype
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize(("kv_heads", "layout"), [(1, ValueLayout.PREFIX_OF_KEY), (2, ValueLayout.SEPARATE)])
def test_blocks_of_keys_attend_as_all_at_once(monkeypatch, kv_heads, layout, dtype, cache_dtype):
    problem = replace(prepared(query_len=3).work.problem, batch=2, kv_heads=kv_heads, value_layout=layout, dtype=dtype)
    problem = replace(problem, qk_dim=200, v_dim=200 if kv_heads > 1 else 150)
    q, k, v = inputs(problem)
    problem = replace(problem, cache_dtype=DTYPES[cache_dtype])
    if kv_heads > 1:
        kept = [quantised(rows, problem.cache_dtype) for rows in (k, v)]
        given = (q, *(elements for elements, _ in kept), *(scales for _, scales in kept))
    else:
        elements, scales = quantised(v, problem.cache_dtype)
        given = (q, elements, elements, scales, scales, k[..., 150:].bfloat16())
    whole = Dequantising(problem)(*given)
    monkeypatch.setattr(dequantising, "BLOCK_ELEMENTS", 1)
    monkeypatch.setattr(dequantising, "LEAST_KEYS", 7)
    assert error(Dequantising(problem)(*given), whole.double()) < BOUNDS[dtype]


@every_dtype
@pytest.mark.parametrize("attention", ["mha", "gqa", "mqa", "mla", "mla_absorbed"])
@pytest.mark.parametrize("query_len", [1, 3])
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_a_quantised_cache_passes_its_check(attention, query_len, dtype, cache_dtype):
    workload = prepared(attention=attention, query_len=query_len, dtype=dtype, cache_dtype=cache_dtype, batch=2)
    values = {reading.metric: reading.value for reading in workload.check()}
    assert workload.work.backend.name == "dequantising"
    assert 1e-3 < values["cache_error"] < OUTPUT_ERROR[cache_dtype]
    assert values["relative_error_rows"] <= values["allowed_error_rows"]


def test_an_unquantised_context_that_differs_is_incorrect():
    workload = prepared(cache_dtype="int8")
    draw = workload.work.draw

    def drawn():
        draw()
        workload.work.cache.tensors[1][:, :, :20] *= 1.5

    workload.work.draw = drawn
    with pytest.raises(IncorrectError, match="against float64 with an unquantised cache"):
        workload.check()


@pytest.mark.parametrize("attention", ["mla_expanded", "mla_latent", "mla_dsa", "gla", "gta", "window"])
def test_other_caches_are_not_quantised(attention):
    with pytest.raises(UnsupportedError, match="supports grouped attention and absorbed MLA"):
        prepared(attention=attention, cache_dtype="int8")


@pytest.mark.parametrize("phase", ["prefill", "train"])
def test_a_quantised_cache_is_read_in_decoding_alone(phase):
    with pytest.raises(UnsupportedError, match="cache_dtype=fp8 needs phase=decode"):
        prepared(phase=phase, cache_dtype="fp8")


def test_other_backends_read_no_quantised_cache():
    with pytest.raises(UnsupportedError, match="eager does not support a cache in int8"):
        prepared(backend="eager", cache_dtype="int8")


def test_odd_widths_are_quantised_too():
    assert with_sizes("mla", sizes={"kv_lora_rank": 200}, cache_dtype="fp8").check()
