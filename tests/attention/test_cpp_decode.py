"""The C++ decode kernel against float64: the same bound as every run's check."""

import shutil
import sys
from dataclasses import replace
from itertools import product

import pytest
import torch

from suite.attention.backends.cpp import Cpp
from suite.attention.check import compare, reference_rows, relative_error
from suite.attention.cpp_decode import kernel
from suite.attention.problem import visible_keys
from suite.machine.user_cache import KERNELS
from suite.measure.workload import UnsupportedError
from tests.kernels.shapes import GQA_8, LARGE_BLOCKS, SHAPES, drawn

every_shape = pytest.mark.parametrize("shape", [*SHAPES.values(), *LARGE_BLOCKS.values()], ids=[*SHAPES, *LARGE_BLOCKS])


def kinds_of_products():
    """The numbers of those that this CPU has. It loads the kernel, which collecting the tests need not."""
    return range(kernel.products_for(torch.bfloat16, rows=16, d=128, v=128) + 1)


def ready(problem, inputs):
    return Cpp(problem).autotuned(*inputs)


def decoded(problem, inputs, **settings):
    return kernel.decode(*inputs, scale=problem.scale, **settings)


def agrees(problem, inputs=None, **settings):
    inputs = drawn(problem) if inputs is None else inputs
    output = decoded(problem, inputs, **settings) if settings else ready(problem, inputs)(*inputs)
    assert output.dtype == problem.dtype
    comparison = compare(output, inputs, problem, torch.Generator().manual_seed(0))
    assert comparison.passed, comparison


@every_shape
@pytest.mark.parametrize("query_len", [1, 2, 3, 4])
def test_every_shape_and_count_of_new_tokens_agrees_with_float64(shape, query_len):
    problem = replace(shape, query_len=query_len)
    agrees(problem)
    agrees(problem, splits=3)


@every_shape
@pytest.mark.parametrize("query_len", [1, 3])
def test_every_shape_agrees_in_bfloat16_with_all_products(shape, query_len):
    problem = replace(shape, dtype=torch.bfloat16, query_len=query_len)
    rows = problem.heads_per_group * query_len
    for most in kinds_of_products():
        products = kernel.products_for(problem.dtype, rows, problem.qk_dim, problem.v_dim, most)
        agrees(problem, products=products, splits=2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [GQA_8, SHAPES["odd sizes in the key"]], ids=["GQA-8", "odd sizes in the key"])
@pytest.mark.parametrize("seq_len", [4, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129])
def test_a_context_may_end_anywhere_in_a_block_or_a_part(shape, seq_len, dtype):
    for query_len in (1, 4):
        problem = replace(shape, batch=1, query_len=query_len, seq_len=seq_len, dtype=dtype)
        agrees(problem)
        agrees(problem, splits=4)


def test_one_token_of_context_is_enough():
    agrees(replace(GQA_8, seq_len=1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sequences_may_end_before_their_slots(dtype):
    problem = replace(GQA_8, batch=4, query_len=2, seq_len=90, dtype=dtype)
    q, k, v = drawn(problem)
    lengths = torch.tensor([90, 2, 33, 64])
    for b, length in enumerate(lengths):
        k[b, :, length:] = v[b, :, length:] = float("nan")
    for splits in (1, 3):
        outputs = decoded(problem, (q, k, v), lengths_B=lengths, splits=splits)
        for b, length in enumerate(lengths.tolist()):
            one = replace(problem, batch=1, seq_len=length)
            inputs = (q[b : b + 1], k[b : b + 1, :, :length], v[b : b + 1, :, :length])
            assert compare(outputs[b : b + 1], inputs, one, torch.Generator().manual_seed(0)).passed


def test_new_tokens_see_the_context_and_those_before_them():
    problem = replace(GQA_8, query_len=3, seq_len=40)
    q, k, v = drawn(problem)
    expected = reference_rows(q, k, v, visible_keys(3, 40, problem.device), problem.scale)
    assert relative_error(ready(problem, (q, k, v))(q, k, v), expected) < 1e-6


def test_a_large_score_does_not_overflow():
    agrees(replace(GQA_8, scale=30.0))


def test_threads_share_heads_and_then_the_context(monkeypatch):
    assert [kernel.splits_for(pairs, 4096, threads) for pairs, threads in ((1, 1), (1, 8), (8, 8), (2, 8), (3, 2))] == [
        *(1, 8, 1, 4),
        2,
    ]
    assert kernel.splits_for(1, 600, 8) == 2
    problem = replace(SHAPES["MLA absorbed"], seq_len=1000)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    inputs = drawn(problem)
    assert ready(problem, inputs).form == "products of vectors, the context in 3 parts"
    agrees(problem, inputs)
    assert torch.equal(ready(problem, inputs)(*inputs), ready(problem, inputs)(*inputs))


def test_the_same_inputs_give_the_same_bits():
    problem = replace(GQA_8, query_len=3)
    inputs = drawn(problem)
    backend = ready(problem, inputs)
    first = backend(*inputs)
    assert torch.equal(first, backend(*inputs))
    assert first.data_ptr() != backend(*inputs).data_ptr()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_columns_that_lie_apart_are_refused(place):
    problem = replace(GQA_8, query_len=2)
    inputs = list(drawn(problem))
    inputs[place] = inputs[place].mT.contiguous().mT
    with pytest.raises(UnsupportedError, match="columns of queries, keys and values to be adjacent"):
        ready(problem, inputs)


def test_a_record_will_say_how_it_was_built():
    problem = replace(GQA_8, dtype=torch.bfloat16)
    backend = ready(problem, drawn(problem))
    assert backend.form == f"products of {kernel.PRODUCTS[kinds_of_products()[-1]]}"
    assert "-O3" in backend.built.split()


@pytest.fixture
def unbuilt(monkeypatch, tmp_path):
    """A folder of kernels that is empty."""
    monkeypatch.setenv(KERNELS, str(tmp_path / "kernels"))
    kernel.library.cache_clear()
    yield tmp_path / "kernels"
    kernel.library.cache_clear()


def test_whether_it_would_run_is_known_without_building(monkeypatch, unbuilt):
    monkeypatch.setattr(kernel, "_build", lambda *_: pytest.fail("it was built"))
    Cpp(GQA_8)


def test_it_says_that_there_is_no_compiler(unbuilt, no_compiler):
    with pytest.raises(UnsupportedError, match=r"^cpp needs a C\+\+ compiler"):
        Cpp(GQA_8)


@pytest.mark.skipif(sys.platform == "win32", reason="a compiler there is found by other means")
@pytest.mark.parametrize("compiler", ["/nope", "/"])
def test_a_compiler_that_cannot_run_is_none(unbuilt, compiler):
    from torch._inductor import config  # takes seconds to import

    says = pytest.raises(UnsupportedError, match=r"^cpp needs a C\+\+ compiler, but torch finds none \(")
    with config.patch({"cpp.cxx": (None, compiler)}), says:
        Cpp(GQA_8)


def test_it_says_why_it_cannot_be_built(monkeypatch, unbuilt):
    monkeypatch.setattr(kernel, "_source_text", lambda: "#error of the source")
    with pytest.raises(UnsupportedError, match=r"^cpp cannot be built or loaded here \(.* error: .*of the source\)$"):
        ready(GQA_8, drawn(GQA_8))


def test_what_is_built_is_kept_for_its_cpu(monkeypatch, tmp_path):
    kernel.library()
    built = kernel.kept_at()
    monkeypatch.setenv(KERNELS, str(tmp_path))
    for suffix in (".so", ".txt"):
        shutil.copy(built.with_suffix(suffix), tmp_path)
    monkeypatch.setattr(kernel, "_build", lambda *_: pytest.fail("it was built again"))
    kernel.library.cache_clear()
    agrees(GQA_8)
    for name, other in (("_instructions", lambda: "flags: sse2"), ("_source_text", lambda: "// another source")):
        with monkeypatch.context() as changed:
            changed.setattr(kernel, name, other)
            assert not kernel.kept_at().exists()


@pytest.mark.parametrize("seq_len", [40, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_no_number_stays_so(dtype, seq_len):
    problem = replace(GQA_8, dtype=dtype, seq_len=seq_len)
    for most, place, key in product(kinds_of_products(), (1, 2), (0, 17, seq_len - 1)):
        products = kernel.products_for(dtype, problem.heads_per_group, problem.qk_dim, problem.v_dim, most)
        inputs = drawn(problem)
        inputs[place][0, 0, key] = float("nan")
        for splits in (1, 3):
            output = decoded(problem, inputs, products=products, splits=splits)
            assert output[0, : problem.heads_per_group].isnan().all()
            assert output[0, problem.heads_per_group :].isfinite().all()


def test_every_line_that_is_to_be_wrong_is_there():
    from tests.kernels import decode_cases  # with torch's compilers, which take seconds to import

    right = decode_cases.sources(decode_cases.CHANGES[0])
    for change in (*decode_cases.CHANGES[1:], *decode_cases.IN_TILES):
        assert decode_cases.sources(change) != right
