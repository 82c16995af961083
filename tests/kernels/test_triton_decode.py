"""The Triton decode kernel under Triton's interpreter, against float64: the same bound as every run's check.

`make test-kernels` sets TRITON_INTERPRET=1, which Triton reads when the kernel is imported.
"""

import os
from dataclasses import replace

import pytest
import torch

from suite.attention import triton_launch
from suite.attention.backends import triton as backend_module
from suite.attention.backends.triton import Triton
from suite.attention.check import compare, reference_rows, relative_error
from suite.attention.problem import visible_keys
from suite.attention.triton_launch import Chip
from tests.kernels import shapes
from tests.kernels.shapes import GQA_8, drawn

pytestmark = pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") != "1", reason="TRITON_INTERPRET is not 1")

# The interpreter takes 2 ms of CPU for each row and 128 columns that are joined: of the rows that fill no further block
# of rows only a few are left.
FEWER = {
    "GQA-8": {"batch": 1},
    "MLA absorbed": {"heads": 6},
    "two latents around a rotary key": {"heads": 6},
    "MQA in three blocks of 64 rows, the last not full": {"heads": 130},
    "MLA absorbed in a block of 64 rows": {"heads": 34},
    "MLA absorbed in two, with a cut": {"heads": 22},
    "keys of 256 in a block of 64 rows": {"heads": 34},
}
SHAPES, LARGE_BLOCKS = (
    {name: replace(shape, **FEWER.get(name, {})) for name, shape in table.items()}
    for table in (shapes.SHAPES, shapes.LARGE_BLOCKS)
)

every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


@pytest.fixture(autouse=True)
def short_splits(monkeypatch):
    """Several splits in a short context, each of several blocks in float32."""
    monkeypatch.setattr(triton_launch, "LEAST_KEYS", 40)
    monkeypatch.setattr(
        backend_module, "INTERPRETED_CHIP", Chip(generation=9, multiprocessors=64, shared_bytes=227 << 10)
    )


def agrees(problem, inputs=None):
    inputs = drawn(problem) if inputs is None else inputs
    output = Triton(problem)(*inputs)
    assert output.dtype == problem.dtype
    comparison = compare(output, inputs, problem, torch.Generator().manual_seed(0))
    # The interpreter cuts bfloat16 off where a device rounds.
    assert comparison.error <= comparison.allowed * (3 if problem.dtype is torch.bfloat16 else 1), comparison


@every_shape
@pytest.mark.parametrize("query_len", [1, 2, 3, 4])
def test_every_shape_and_count_of_new_tokens_agrees_with_float64(shape, query_len):
    problem = replace(shape, query_len=query_len)
    assert Triton(problem).launch.splits > 1
    agrees(problem)


@every_shape
@pytest.mark.parametrize(("dtype", "query_len"), [(torch.bfloat16, 1), (torch.float16, 3)], ids=str)
def test_every_shape_agrees_in_16_bits(shape, dtype, query_len):
    agrees(replace(shape, dtype=dtype, query_len=query_len))


@pytest.mark.parametrize("shape", LARGE_BLOCKS.values(), ids=LARGE_BLOCKS)
def test_many_rows_of_16_bits_share_large_blocks(shape):
    problem = replace(shape, dtype=torch.float16)
    assert Triton(problem).launch.row_block == 64
    assert Triton(problem).launch.splits > 1
    agrees(problem)


@pytest.mark.parametrize(
    "shape",
    [replace(GQA_8, heads=8, kv_heads=1), SHAPES["odd sizes in the key"]],
    ids=["GQA-8", "odd sizes in the key"],
)
@pytest.mark.parametrize("query_len", [1, 4])
@pytest.mark.parametrize("seq_len", [4, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 129])
def test_a_context_may_end_anywhere_in_a_block_or_a_split(shape, query_len, seq_len):
    # With 65 and 129 keys the last split holds one key, which the first three of four new tokens do not see.
    agrees(replace(shape, batch=1, query_len=query_len, seq_len=seq_len))


def test_one_token_of_context_is_enough():
    agrees(replace(GQA_8, seq_len=1))


def test_one_split_needs_no_joining(monkeypatch):
    monkeypatch.setattr(triton_launch, "LEAST_KEYS", 1 << 20)
    for query_len in (1, 3):
        problem = replace(GQA_8, batch=1, query_len=query_len, dtype=torch.bfloat16)
        assert Triton(problem).launch.splits == 1
        agrees(problem)


@pytest.mark.parametrize("query_len", [1, 2])
def test_64_rows_of_absorbed_mla_go_through_blocks(monkeypatch, query_len):
    monkeypatch.setattr(triton_launch, "LEAST_KEYS", 1 << 20)
    problem = replace(SHAPES["MLA absorbed"], heads=64 // query_len, query_len=query_len, dtype=torch.float16)
    launch = Triton(problem).launch
    assert launch.branches
    assert launch.splits == 1
    assert launch.key_block < problem.seq_len < 2 * launch.key_block
    agrees(problem)


def test_new_tokens_see_the_context_and_those_before_them():
    problem = replace(GQA_8, query_len=3, seq_len=40)
    q, k, v = drawn(problem)
    visible = visible_keys(3, 40, problem.device)
    assert visible.sum(dim=1).tolist() == [38, 39, 40]
    expected = reference_rows(q, k, v, visible, problem.scale)
    assert relative_error(Triton(problem)(q, k, v), expected) < 1e-6


@pytest.mark.parametrize("lay_out", ["tokens before heads", "room for more tokens", "columns apart"])
def test_inputs_may_lie_in_any_order(lay_out):
    problem = replace(GQA_8, heads=4, query_len=2, dtype=torch.bfloat16)
    q, k, v = (x.contiguous() for x in drawn(problem))
    if lay_out == "tokens before heads":
        q, k, v = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v))
    elif lay_out == "room for more tokens":
        k, v = (torch.cat((x, torch.full_like(x, float("nan"))), dim=2)[:, :, : problem.seq_len] for x in (k, v))
    else:
        q, k, v = (x.mT.contiguous().mT for x in (q, k, v))
    agrees(problem, (q, k, v))


def test_a_value_in_the_key_is_read_from_the_key():
    problem = replace(SHAPES["odd sizes in the key"], query_len=2)
    q, k, v = drawn(problem)
    output = Triton(problem)(q, k, torch.full_like(v, float("nan")))
    assert torch.equal(output, Triton(problem)(q, k, v))


def test_a_large_score_does_not_overflow():
    problem = replace(GQA_8, scale=30.0, dtype=torch.float16)
    agrees(problem)


def test_the_record_will_say_that_it_was_interpreted():
    assert Triton(GQA_8).form.endswith("; interpreted")


def test_the_same_inputs_give_the_same_bits():
    problem = replace(GQA_8, heads=4, query_len=3)
    inputs, backend = drawn(problem), Triton(problem)
    first = backend(*inputs)
    assert torch.equal(first, backend(*inputs))
    assert first.data_ptr() != backend(*inputs).data_ptr()
