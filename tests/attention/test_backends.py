"""Which operators really run, and what is refused."""

from dataclasses import replace

import pytest
import torch

from suite.attention.backends.auto import choose
from suite.attention.backends.sdpa import Sdpa
from suite.attention.backends.sdpa_folded import SdpaFolded
from suite.attention.problem import Problem, ValueLies
from suite.measure.allocator import AllocatorProbe
from suite.measure.meter import Meter
from suite.measure.workload import UnsupportedError

DECODE = Problem(
    batch=1,
    heads=4,
    kv_heads=1,
    query_len=1,
    seq_len=128,
    qk_dim=40,
    v_dim=32,
    value_lies=ValueLies.IN_KEY,
    scale=0.2,
    dtype=torch.float32,
    device=torch.device("cpu"),
)
FLASH, MATH = "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_attention_math"


def operators(backend, problem):
    q = torch.randn(problem.batch, problem.heads, problem.query_len, problem.qk_dim)
    buffer = torch.randn(problem.batch, problem.kv_heads, problem.seq_len, problem.qk_dim + problem.v_dim)
    k, v = buffer[..., : problem.qk_dim], buffer[..., problem.qk_dim :]
    if problem.value_lies is ValueLies.IN_KEY:
        v = k[..., : problem.v_dim]
    kernel, probe = backend(problem), AllocatorProbe()
    with torch.inference_mode(), Meter(probe).span("kernel"):
        kernel(q, k, v)
    return probe.operators[0]


@pytest.mark.parametrize("query_len", [1, 2, 128])
@pytest.mark.parametrize(
    ("kv_heads", "v_dim", "value_lies"),
    [
        (1, 32, ValueLies.IN_KEY),
        (2, 40, ValueLies.APART),
        (4, 40, ValueLies.APART),
        (4, 32, ValueLies.BEHIND_KEY),
        (4, 8, ValueLies.BEHIND_KEY),
    ],
)
def test_folded_keeps_the_fast_kernel(query_len, kv_heads, v_dim, value_lies):
    problem = replace(DECODE, query_len=query_len, kv_heads=kv_heads, v_dim=v_dim, value_lies=value_lies)
    ran = operators(SdpaFolded, problem)
    assert FLASH in ran
    assert MATH not in ran


def test_plain_sdpa_falls_to_math_where_the_value_is_narrower():
    assert MATH in operators(Sdpa, DECODE)


def test_folded_copies_neither_keys_nor_values_of_a_cache():
    assert "clone" not in operators(SdpaFolded, DECODE)
    assert "copy_" not in operators(SdpaFolded, DECODE)


def test_folded_refuses_a_narrower_value_of_its_own_with_both_widths():
    with pytest.raises(UnsupportedError, match="32 and 40"):
        SdpaFolded(replace(DECODE, value_lies=ValueLies.APART))


def test_auto_takes_folded_where_it_fits_and_eager_elsewhere():
    assert choose(DECODE).name == "sdpa_folded"
    assert choose(replace(DECODE, value_lies=ValueLies.APART)).name == "eager"


def test_folded_refuses_a_value_that_is_wider_than_the_key_it_follows():
    with pytest.raises(UnsupportedError, match="48 and 40"):
        SdpaFolded(replace(DECODE, v_dim=48, value_lies=ValueLies.BEHIND_KEY))
