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
from suite.attention.backends.flash_attn import FlashAttn
from suite.attention.backends.flash_mla import FlashMla
from suite.attention.backends.flashinfer import FlashInfer
from suite.attention.check import reference_rows
from suite.attention.problem import ValueLayout, visible_keys
from tests.attention.test_refusals import ABSORBED, CPU, GQA

SMALL = replace(GQA, batch=2, heads=4, kv_heads=2, seq_len=64, device=CPU)
LATENT = replace(ABSORBED, batch=2, heads=3, seq_len=128, device=CPU)


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

    def table(self, indptr, indices):
        return indices.view(len(indptr) - 1, -1)


class BatchDecodeWithPagedKVCacheWrapper(Wrapper):
    def plan(self, indptr, indices, last_page_len, heads, kv_heads, width, page, *, sm_scale, **dtypes):
        assert indptr.diff().tolist() == [len(indices) // (len(indptr) - 1)] * (len(indptr) - 1)
        assert set(last_page_len.tolist()) == {page}
        self.planned = (self.table(indptr, indices), sm_scale)

    def run(self, q, pages):
        table, scale = self.planned
        return attended(q[:, None], *(from_pages(one, table) for one in pages), scale, False)[:, 0]


class BatchPrefillWithPagedKVCacheWrapper(Wrapper):
    def plan(self, qo_indptr, indptr, indices, last_page_len, heads, kv_heads, width, page, *, causal, sm_scale, **_):
        assert causal
        self.planned = (int(qo_indptr[1]), self.table(indptr, indices), sm_scale)

    def run(self, q, pages):
        queries, table, scale = self.planned
        q = q.unflatten(0, (-1, queries))
        return attended(q, *(from_pages(one, table) for one in pages), scale, True).flatten(0, 1)


class BatchMLAPagedAttentionWrapper(Wrapper):
    def plan(self, qo_indptr, indptr, indices, lengths, heads, latent, rotary, page, causal, scale, q_dtype, k_dtype):
        assert set(lengths.tolist()) == {self.table(indptr, indices).shape[1] * page}
        self.planned = (int(qo_indptr[1]), self.table(indptr, indices), causal, scale)

    def run(self, q_nope, q_pe, ckv, kpe):
        queries, table, causal, scale = self.planned
        q = torch.cat((q_nope, q_pe), dim=-1).unflatten(0, (-1, queries))
        latent, rotary = (from_pages(one[:, None], table) for one in (ckv, kpe))
        return attended(q, torch.cat((latent, rotary), dim=-1), latent, scale, causal).flatten(0, 1)


STAND_INS = types.SimpleNamespace(
    **{name: value for name, value in globals().items() if "_with_" in name or "With" in name}
)
STAND_INS.flash_attn_func, STAND_INS.get_mla_metadata = flash_attn_func, get_mla_metadata
STAND_INS.mla = types.SimpleNamespace(BatchMLAPagedAttentionWrapper=BatchMLAPagedAttentionWrapper)


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    for name in ("flash_attn", "flash_mla", "flashinfer"):
        monkeypatch.setitem(sys.modules, name, STAND_INS)
    monkeypatch.setattr(needs, "package", lambda *arguments: None)
    monkeypatch.setattr(needs, "cuda", lambda *arguments, **settings: None)


def drawn(problem):
    """Lay tensors out as in a cache with room for 16 more tokens."""
    torch.manual_seed(0)
    q = torch.randn(problem.batch, problem.query_len, problem.heads, problem.qk_dim).to(problem.dtype).transpose(1, 2)
    size = (problem.batch, problem.kv_heads, problem.seq_len + 16, problem.qk_dim)
    k, v = (torch.randn(size).to(problem.dtype)[:, :, : problem.seq_len] for _ in range(2))
    return (q, k, k[..., : problem.v_dim]) if problem.value_layout is ValueLayout.PREFIX_OF_KEY else (q, k, v)


@pytest.mark.parametrize(
    ("backend", "problem", "form"),
    [
        (FlashAttn, SMALL, "flash_attn_with_kvcache"),
        (FlashAttn, replace(SMALL, query_len=3), "flash_attn_with_kvcache"),
        (FlashAttn, replace(SMALL, query_len=64), "flash_attn_func"),
        (FlashAttn, replace(SMALL, query_len=64, needs_gradient=True), "flash_attn_func"),
        (FlashMla, LATENT, None),
        (FlashMla, replace(LATENT, query_len=2), None),
        (FlashMla, replace(LATENT, batch=1), None),
        (FlashInfer, SMALL, "BatchDecodeWithPagedKVCacheWrapper"),
        (FlashInfer, replace(SMALL, query_len=3), "BatchPrefillWithPagedKVCacheWrapper"),
        (FlashInfer, replace(SMALL, query_len=64), "BatchPrefillWithPagedKVCacheWrapper"),
        (FlashInfer, LATENT, "BatchMLAPagedAttentionWrapper"),
        (FlashInfer, replace(LATENT, query_len=2), "BatchMLAPagedAttentionWrapper"),
    ],
)
def test_a_kernel_of_another_package_gets_what_it_documents(backend, problem, form):
    inputs, kernel = drawn(problem), backend(problem)
    assert kernel.form == form
    for _ in range(2):  # the first call looks at how the cache lies
        output = kernel(*inputs)
        assert output.shape == (problem.batch, problem.heads, problem.query_len, problem.v_dim)
        torch.testing.assert_close(output, Eager(problem)(*inputs), rtol=0.02, atol=0.02)
