"""The calls of other packages' kernels: each stand-in computes what its documentation says, from what it is given.

Whether the packages do, tests/kernels/test_on_device.py tries on a CUDA device.
"""

import sys
import types
from dataclasses import replace

import pytest
import torch

from suite.attention.backends import needs
from suite.attention.backends.eager import Eager
from suite.attention.backends.fa3 import Fa3
from suite.attention.backends.flash_attn import FlashAttn
from suite.attention.backends.flash_mla import FlashMla
from suite.attention.backends.flashinfer import FlashInfer
from suite.attention.cache import SPARE_SLOTS
from suite.attention.check import reference_rows
from suite.attention.pages import paged
from suite.attention.problem import ValueLayout, visible_keys
from suite.measure.workload import UnsupportedError
from tests.attention.test_refusals import ABSORBED, CPU, GQA

SMALL = replace(GQA, batch=2, heads=4, kv_heads=2, seq_len=64, device=CPU)
LATENT = replace(ABSORBED, batch=2, heads=3, seq_len=128, device=CPU)
EXPANDED = replace(SMALL, kv_heads=4, query_len=50, seq_len=50, qk_dim=192, value_layout=ValueLayout.SUFFIX_OF_BUFFER)


def attended(q_BSHd, k_BTGd, v_BTGv, scale, causal):
    """Tokens before heads, and the last query sees every key."""
    q, k, v = (x.transpose(1, 2) for x in (q_BSHd, k_BTGd, v_BTGv))
    queries, keys = q.shape[2], k.shape[2]
    visible = visible_keys(queries, keys, CPU) if causal else torch.ones(queries, keys, dtype=torch.bool)
    return reference_rows(q, k, v, visible, scale).transpose(1, 2).to(q_BSHd.dtype)


def from_pages(pages, table_BP):
    """Tokens before heads, of pages in which heads come first: [batch, token, group, width]."""
    return pages[table_BP.long()].transpose(2, 3).flatten(1, 2)


def flash_attn_with_kvcache(q, k_cache, v_cache, *, softmax_scale, causal):
    return attended(q, k_cache, v_cache, softmax_scale, causal)


def flash_attn_func(q, k, v, *, softmax_scale, causal):
    assert q.shape[1] == k.shape[1]
    return attended(q, k, v, softmax_scale, causal)


class FlashAttention3:
    """Its functions have the same names, and take a query in two parts where a value lies in the key."""

    @staticmethod
    def flash_attn_with_kvcache(q, k_cache, v_cache, *, softmax_scale, causal, qv=None):
        if qv is not None:
            q, k_cache = torch.cat((q, qv), dim=-1), torch.cat((k_cache, v_cache), dim=-1)
        return attended(q, k_cache, v_cache, softmax_scale, causal)

    @classmethod
    def flash_attn_func(cls, q, k, v, **settings):
        return cls.flash_attn_with_kvcache(q, k, v, **settings)


class OlderFlashAttention3(FlashAttention3):
    @classmethod
    def flash_attn_func(cls, q, k, v, **settings):
        return cls.flash_attn_with_kvcache(q, k, v, **settings), "sums"


def get_mla_metadata(cache_seqlens, queries_per_head, key_value_heads):
    return ("a schedule", queries_per_head), None


def flash_mla_with_kvcache(q, cache, block_table, lengths, v_dim, schedule, splits, *, softmax_scale, causal):
    assert schedule == ("a schedule", q.shape[1] * q.shape[2])
    assert splits is None
    assert cache.shape[1:] == (64, 1, 576)
    k = from_pages(cache.transpose(1, 2), block_table)
    assert lengths.tolist() == [k.shape[1]] * len(q)
    return attended(q, k, k[..., :v_dim], softmax_scale, causal), None


class Wrapper:
    def __init__(self, workspace, layout=None, **settings):
        assert layout in (None, "HND")
        assert not workspace.any()
        self.settings = settings

    def table(self, indptr, indices):
        return indices.view(len(indptr) - 1, -1)


class OldDecode(Wrapper):
    """Up to some version, one new token a sequence."""

    def plan(self, indptr, indices, last_page_len, heads, kv_heads, width, page, *, sm_scale, **dtypes):
        assert dtypes.keys() == {"q_data_type", "kv_data_type"}
        assert indptr.diff().tolist() == [len(indices) // (len(indptr) - 1)] * (len(indptr) - 1)
        assert set(last_page_len.tolist()) == {page}
        self.planned = (1, self.table(indptr, indices), sm_scale)

    def run(self, q, pages):
        queries, table, scale = self.planned
        q = q.unflatten(0, (-1, queries))
        return attended(q, *(from_pages(one, table) for one in pages), scale, queries > 1).flatten(0, 1)


class BatchDecodeWithPagedKVCacheWrapper(OldDecode):
    """Like the real one it takes any name, and hands it on."""

    def plan(self, *tables, **settings):
        self._plan_impl(*tables, **settings)

    def _plan_impl(self, *tables, q_len_per_req=1, **settings):
        super().plan(*tables, **settings)
        assert q_len_per_req == 1 or self.settings["use_tensor_cores"]
        self.planned = (q_len_per_req, *self.planned[1:])


class BatchPrefillWithPagedKVCacheWrapper(Wrapper):
    def plan(self, qo_indptr, indptr, indices, last_page_len, heads, kv_heads, width, page, *, causal, sm_scale, **_):
        assert causal
        self.planned = (int(qo_indptr[1]), self.table(indptr, indices), sm_scale)

    def run(self, q, pages):
        queries, table, scale = self.planned
        q = q.unflatten(0, (-1, queries))
        return attended(q, *(from_pages(one, table) for one in pages), scale, True).flatten(0, 1)


class BatchPrefillWithRaggedKVCacheWrapper(Wrapper):
    def plan(self, qo_indptr, kv_indptr, heads, kv_heads, width, *, head_dim_vo, causal, sm_scale, **dtypes):
        assert torch.equal(qo_indptr, kv_indptr)
        assert causal
        self.planned = (int(kv_indptr[1]), head_dim_vo, sm_scale)

    def run(self, q, k, v):
        tokens, value_width, scale = self.planned
        assert v.shape[-1] == value_width
        return attended(*(x.unflatten(0, (-1, tokens)) for x in (q, k, v)), scale, True).flatten(0, 1)


class OldLatent(Wrapper):
    """Up to some version, tables and the two parts of queries and keys are arguments of their own."""

    def plan(self, *, qo_indptr, kv_indptr, kv_indices, kv_len_arr, page_size, causal, sm_scale, **sizes):
        table = self.table(kv_indptr, kv_indices)
        assert set(kv_len_arr.tolist()) == {table.shape[1] * page_size}
        assert sizes.pop("q_data_type") is sizes.pop("kv_data_type") is torch.bfloat16
        assert sizes == {"num_heads": 3, "head_dim_ckv": 512, "head_dim_kpe": 64}
        self.planned = (int(qo_indptr[1]), page_size, table, causal, sm_scale)

    def run(self, *, q_nope, q_pe, ckv_cache, kpe_cache):
        return self.attend(torch.cat((q_nope, q_pe), dim=-1), torch.cat((ckv_cache, kpe_cache), dim=-1))

    def attend(self, q, keys):
        queries, page_size, table, causal, scale = self.planned
        assert keys.shape[1:] == (page_size, 576)
        k = from_pages(keys[:, None], table)
        return attended(q.unflatten(0, (-1, queries)), k, k[..., :512], scale, causal).flatten(0, 1)


class MLAPlanMetadata:
    @staticmethod
    def dual(*, cum_seq_lens_q, block_tables, seq_lens, max_q_len, **tables):
        assert torch.equal(block_tables, tables["kv_indices"].view(len(seq_lens), -1))
        assert cum_seq_lens_q is tables["qo_indptr"]
        assert cum_seq_lens_q.diff().tolist() == [max_q_len] * len(seq_lens)
        assert seq_lens is tables["kv_len_arr"]
        return tables


class BatchMLAPagedAttentionWrapper(OldLatent):
    _backend = "auto"

    def __init__(self, workspace, *, use_cuda_graph, **tables):
        super().__init__(workspace)
        assert use_cuda_graph
        self.tables = tables

    def plan(self, *, metadata, **settings):
        super().plan(**metadata, **settings)
        assert metadata == self.tables
        self._backend = "trtllm-gen" if settings["page_size"] == 64 else "cute-dsl-monolithic"

    def run(self, *, query, kv_cache):
        assert kv_cache.is_contiguous() or self._backend == "trtllm-gen"
        return self.attend(query, kv_cache)


STAND_INS = types.SimpleNamespace(
    **{name: value for name, value in globals().items() if "_with_" in name or "With" in name}
)
STAND_INS.flash_attn_func, STAND_INS.get_mla_metadata = flash_attn_func, get_mla_metadata
STAND_INS.mla = types.SimpleNamespace(
    BatchMLAPagedAttentionWrapper=BatchMLAPagedAttentionWrapper, MLAPlanMetadata=MLAPlanMetadata
)


def on_hopper(monkeypatch):
    """Every package and a device seem to be there."""
    monkeypatch.setattr(needs, "package", lambda *arguments: None)
    monkeypatch.setattr(needs, "cuda", lambda *arguments, **settings: None)


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    for name in ("flash_attn", "flash_mla", "flashinfer"):
        monkeypatch.setitem(sys.modules, name, STAND_INS)
    monkeypatch.setitem(sys.modules, "flash_attn_interface", FlashAttention3)
    on_hopper(monkeypatch)


def drawn(problem):
    """Lay tensors out as in a cache with spare slots; an expanded prefill's, one sequence after another."""
    torch.manual_seed(0)
    q = torch.randn(problem.batch, problem.query_len, problem.heads, problem.qk_dim).to(problem.dtype).transpose(1, 2)
    if problem.qk_dim != problem.v_dim and problem.value_layout is not ValueLayout.PREFIX_OF_KEY:
        size = (problem.batch, problem.seq_len, problem.kv_heads, problem.qk_dim + problem.v_dim)
        both = torch.randn(size).to(problem.dtype).transpose(1, 2)
        return (q, *both.split((problem.qk_dim, problem.v_dim), dim=-1))
    size = (problem.batch, problem.kv_heads, problem.seq_len + SPARE_SLOTS, problem.qk_dim)
    k, v = (torch.randn(size).to(problem.dtype)[:, :, : problem.seq_len] for _ in range(2))
    return (q, k, k[..., : problem.v_dim]) if problem.value_layout is ValueLayout.PREFIX_OF_KEY else (q, k, v)


CASES = (
    (FlashAttn, SMALL, "flash_attn_with_kvcache"),
    (FlashAttn, replace(SMALL, query_len=3), "flash_attn_with_kvcache"),
    (FlashAttn, replace(SMALL, query_len=64), "flash_attn_func"),
    (FlashAttn, replace(SMALL, query_len=64, needs_gradient=True), "flash_attn_func"),
    (Fa3, SMALL, "flash_attn_with_kvcache"),
    (Fa3, replace(SMALL, query_len=3), "flash_attn_with_kvcache"),
    (Fa3, replace(SMALL, query_len=64), "flash_attn_func"),
    (Fa3, EXPANDED, "flash_attn_func"),
    (Fa3, replace(EXPANDED, query_len=1), "flash_attn_with_kvcache"),
    (Fa3, LATENT, "flash_attn_with_kvcache with qv"),
    (Fa3, replace(LATENT, query_len=2), "flash_attn_with_kvcache with qv"),
    (Fa3, replace(LATENT, query_len=128), "flash_attn_func with qv"),
    (Fa3, replace(LATENT, qk_dim=40, v_dim=32), "flash_attn_with_kvcache"),
    (FlashMla, LATENT, None),
    (FlashMla, replace(LATENT, query_len=2), None),
    (FlashMla, replace(LATENT, batch=1), None),
    (FlashInfer, SMALL, "BatchDecodeWithPagedKVCacheWrapper"),
    (FlashInfer, replace(SMALL, query_len=3), "BatchDecodeWithPagedKVCacheWrapper"),
    (FlashInfer, replace(SMALL, kv_heads=4, query_len=2), "BatchDecodeWithPagedKVCacheWrapper"),
    (FlashInfer, replace(SMALL, query_len=5), "BatchPrefillWithPagedKVCacheWrapper"),
    (FlashInfer, replace(SMALL, query_len=64), "BatchPrefillWithPagedKVCacheWrapper"),
    (FlashInfer, EXPANDED, "BatchPrefillWithRaggedKVCacheWrapper"),
    (FlashInfer, LATENT, "BatchMLAPagedAttentionWrapper, kernel trtllm-gen"),
    (FlashInfer, replace(LATENT, query_len=2), "BatchMLAPagedAttentionWrapper, kernel trtllm-gen"),
    (FlashInfer, replace(LATENT, seq_len=144), "BatchMLAPagedAttentionWrapper, kernel cute-dsl-monolithic"),
)
"""An adapter, a problem, and what its form then is."""


@pytest.mark.parametrize(("backend", "problem", "form"), CASES)
def test_a_kernel_of_another_package_gets_what_it_documents(backend, problem, form):
    inputs = drawn(problem)
    kernel = backend(problem).autotuned(*inputs)
    assert kernel.form == form
    for _ in range(2):
        output = kernel(*inputs)
        assert output.shape == (problem.batch, problem.heads, problem.query_len, problem.v_dim)
        torch.testing.assert_close(output, Eager(problem)(*inputs), rtol=0.02, atol=0.02)


def test_an_older_flash_attention_3_returns_its_sums_too(monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_attn_interface", OlderFlashAttention3)
    inputs = drawn(EXPANDED)
    kernel = Fa3(EXPANDED).autotuned(*inputs)
    torch.testing.assert_close(kernel(*inputs), Eager(EXPANDED)(*inputs), rtol=0.02, atol=0.02)


def test_an_older_flashinfer_decodes_several_tokens_by_fa2(monkeypatch):
    problem = replace(SMALL, query_len=3)
    inputs = drawn(problem)
    monkeypatch.setattr(STAND_INS, "BatchDecodeWithPagedKVCacheWrapper", OldDecode)
    kernel = FlashInfer(problem).autotuned(*inputs)
    assert kernel.form == "BatchPrefillWithPagedKVCacheWrapper"
    assert kernel._kernel.settings == {"backend": "fa2"}
    torch.testing.assert_close(kernel(*inputs), Eager(problem)(*inputs), rtol=0.02, atol=0.02)
    assert FlashInfer(SMALL).autotuned(*drawn(SMALL)).form == "OldDecode"
    assert not FlashInfer(replace(SMALL, query_len=5))._kernel.settings


@pytest.mark.parametrize("seq_len", [128, 144])
def test_an_older_flashinfer_takes_latents_in_two_parts(monkeypatch, seq_len):
    problem = replace(LATENT, seq_len=seq_len)
    inputs = drawn(problem)
    monkeypatch.setattr(STAND_INS, "mla", types.SimpleNamespace(BatchMLAPagedAttentionWrapper=OldLatent))
    kernel = FlashInfer(problem).autotuned(*inputs)
    torch.testing.assert_close(kernel(*inputs), Eager(problem)(*inputs), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("seq_len", [128, 144])
def test_pages_of_a_latent_cache_have_no_gaps(seq_len):
    """Some of FlashInfer's kernels for Blackwell take a contiguous cache only."""
    problem = replace(LATENT, seq_len=seq_len)
    _, k, _ = drawn(problem)
    assert paged(k, 64 if seq_len == 128 else 16).view(k).is_contiguous()


def test_flashinfer_plans_before_any_call_and_once(monkeypatch):
    planned, plan = [], BatchDecodeWithPagedKVCacheWrapper.plan
    monkeypatch.setattr(
        BatchDecodeWithPagedKVCacheWrapper, "plan", lambda self, *a, **k: planned.append(self) or plan(self, *a, **k)
    )
    inputs = drawn(SMALL)
    kernel = FlashInfer(SMALL).autotuned(*inputs)
    assert len(planned) == 1
    kernel(*inputs)
    assert len(planned) == 1


def test_flashinfer_copies_no_keys_of_an_expanded_prefill():
    roomy = replace(EXPANDED, seq_len=40, query_len=40)
    q, k, v = (x[:, :, :40] for x in drawn(EXPANDED))
    with pytest.raises(UnsupportedError, match="the 2 sequences here have gaps between them"):
        FlashInfer(roomy).autotuned(q, k, v)
    one = [x[:1] for x in (q, k, v)]
    assert FlashInfer(replace(roomy, batch=1)).autotuned(*one)(*one).shape == (1, 4, 40, 128)


@pytest.mark.parametrize("error", [RuntimeError("no such tile\nand more"), AssertionError(), AttributeError("run")])
def test_whatever_a_package_raises_is_a_reason(monkeypatch, error):
    def broken(*arguments, **settings):
        raise error

    monkeypatch.setattr(BatchDecodeWithPagedKVCacheWrapper, "_plan_impl", broken)
    with pytest.raises(UnsupportedError) as refusal:
        FlashInfer(SMALL).autotuned(*drawn(SMALL))
    said = ": ".join(filter(None, [type(error).__name__, str(error).partition("\n")[0]]))
    assert str(refusal.value) == f"flashinfer: the package flashinfer-python fails on this problem ({said})"


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("2 GB"), torch.AcceleratorError("illegal access"), MemoryError()]
)
def test_exhausted_memory_and_a_lost_device_are_no_refusal(monkeypatch, error):
    def broken(*arguments, **settings):
        raise error

    monkeypatch.setattr(BatchDecodeWithPagedKVCacheWrapper, "run", broken)
    with pytest.raises(type(error)):
        FlashInfer(SMALL).autotuned(*drawn(SMALL))


def test_a_package_without_its_functions_is_a_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_attn", types.ModuleType("flash_attn"))  # as FlashAttention-4 alone has it
    with pytest.raises(needs.AbsentError) as refusal:
        FlashAttn(SMALL)
    assert str(refusal.value).startswith(
        "flash_attn cannot use the package flash-attn (AttributeError: module 'flash_attn'"
    )
