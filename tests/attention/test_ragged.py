"""Batches whose sequences differ in length, and caches in pages."""

import re
from dataclasses import asdict

import pytest
import torch

from suite.attention.cache import Cache
from suite.attention.cpp_decode.kernel import parts_for
from suite.attention.ragged_cache import PagedCache, from_pages
from suite.attention.workload import AttentionWorkload
from suite.measure.workload import UnsupportedError
from suite.theory.layers import shapes
from suite.theory.layers.algebra import Pass
from suite.theory.layers.attention_plan import AttentionPlan
from suite.theory.layers.batch_spec import Sequences, drawn_lengths, of_seqs, read_seqs
from tests.attention.test_check import settings as settings_of

LEGS = [(1, 40), (1, 9), (1, 9), (3, 21)]
SPEC = "q1s40_2q1s9_q3s21"


def settings(seqs=None, **changes):
    follows = {
        name: of_seqs(seqs, name, default) for name, default in (("batch", 1), ("seq_len", 40), ("query_len", 1))
    }
    return settings_of(**{"seqs": seqs, **follows, "attention": "gqa", "backend": "eager", **changes})


def prepared(seqs=SPEC, **changes):
    workload = AttentionWorkload(settings(seqs, **changes))
    workload.prepare()
    return workload


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("q2k", [(1, 2048, 2048)]),
        ("8q1s1k", [(8, 1, 1024)]),
        ("2q2k_32q1s1k", [(2, 2048, 2048), (32, 1, 1024)]),
        ("32q1s8k_4q4s2k", [(32, 1, 8192), (4, 4, 2048)]),
        ("q4s1000", [(1, 4, 1000)]),
    ],
)
def test_a_specification_reads_as_vllm_reads_it(text, groups):
    assert read_seqs(text) == [Sequences(count=count, query_len=new, seq_len=all_) for count, new, all_ in groups]


@pytest.mark.parametrize(
    "text", ["", "8", "q0s4", "8q1s1m", "q1s8k_", "8q1s1k,q1", "q1s9999999999", "-1q1s4", "q1.5s4"]
)
def test_what_is_no_specification_is_named(text):
    with pytest.raises(ValueError, match=f"seqs must be groups of .*; got .* in {re.escape(repr(text))}"):
        read_seqs(text)


def test_a_sequence_has_at_least_its_new_tokens():
    with pytest.raises(ValueError, match="counts all tokens, so at least those of its q; got q4s3"):
        read_seqs("q1s8_q4s3")


@pytest.mark.parametrize(
    ("seqs", "changes", "words"),
    [
        (SPEC, {"batch": 7}, "batch follows from seqs=.*, which makes it 4; got 7"),
        (SPEC, {"seq_len": 99}, "seq_len follows"),
        (SPEC, {"lengths": "zipf"}, "lengths must be null beside seqs"),
        (SPEC, {"phase": "prefill"}, "phase must be decode beside seqs"),
        (SPEC, {"cache_dtype": "int8"}, "cache_dtype must be null beside seqs"),
        (None, {"lengths": "normal"}, "lengths must be one of .*; got 'normal'"),
        (None, {"page_size": 0}, "page_size must be .*; got 0"),
        (None, {"page_size": 16, "phase": "prefill"}, "phase must be decode beside"),
    ],
)
def test_settings_that_do_not_go_together_are_named(seqs, changes, words):
    with pytest.raises(ValueError, match=words):
        AttentionPlan(settings(seqs, **changes))


@pytest.mark.parametrize("distribution", ["uniform", "lognormal", "zipf"])
def test_drawn_lengths_have_as_many_tokens_as_equal_ones(distribution):
    whole = Pass(batch=32, query_len=2, seq_len=512, element_bytes=4)
    lengths = drawn_lengths(distribution, whole, 0)
    assert sum(lengths) == 32 * 512
    assert 2 <= min(lengths) < 400 < 600 < max(lengths)
    assert (lengths == drawn_lengths(distribution, whole, 1)) == (distribution == "zipf")


@pytest.mark.parametrize("variant", ["mha", "gqa", "mqa", "mla"])
def test_closed_forms_are_those_of_the_sequences(variant):
    plan = AttentionPlan(settings(SPEC, attention=variant))
    alone = [AttentionPlan(settings(None, attention=variant, query_len=new, seq_len=all_)) for new, all_ in LEGS]
    ragged, parts = plan.constants(), [each.constants() for each in alone]
    parameter_bytes = plan.shape.parameter_count * 4
    for name in ("flops", "traffic_bytes"):
        assert ragged["kernel"][name] == sum(part["kernel"][name] for part in parts)
        read_once = (len(LEGS) - 1) * parameter_bytes if name == "traffic_bytes" else 0
        assert ragged["layer"][name] == sum(part["layer"][name] for part in parts) - read_once
    assert ragged["case"]["cache_bytes"] == sum(part["case"]["cache_bytes"] for part in parts)
    assert ragged["case"]["tokens"] == 6


def test_a_batch_of_equal_sequences_is_the_usual_case():
    usual, spelled = AttentionPlan(settings(None, batch=3, seq_len=64)), AttentionPlan(settings("2q1s64_q1s64"))
    assert not spelled.is_ragged
    assert spelled.forward == usual.forward
    assert spelled.constants() == usual.constants()
    assert asdict(shapes.kernel_work(usual.shape, usual.forward)) == usual.constants()["kernel"]


@pytest.mark.parametrize("variant", ["mha", "gqa", "mqa", "mla"])
@pytest.mark.parametrize("backend", ["eager", "sdpa", "sdpa_folded", "cpp", "auto"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_variant_and_backend_agrees_with_float64(variant, backend, dtype):
    workload = prepared(attention=variant, backend=backend, dtype=dtype)
    metrics = {reading.metric for reading in workload.check()}
    assert {"relative_error", "relative_error_q", "relative_error_y"} <= metrics
    counted = {reading.metric: reading.value for reading in workload.constants()}
    assert counted["cache_bytes_counted"] == counted["cache_bytes"]


@pytest.mark.parametrize("seqs", [SPEC, None])
def test_constants_belong_to_the_first_step(seqs):
    constants = {reading.metric: reading.step for reading in prepared(seqs, attention="mla").constants()}
    assert constants["cache_bytes_counted"] == 0
    assert {*constants.values()} == {0}


@pytest.mark.parametrize("variant", ["gqa", "mla"])
@pytest.mark.parametrize("page_size", [1, 16, 64])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_cache_in_pages_agrees_with_float64(variant, page_size, dtype):
    for seqs in (SPEC, None):
        prepared(seqs, attention=variant, backend="cpp", dtype=dtype, page_size=page_size).check()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attention": "window"}, "supports grouped attention and absorbed MLA"),
        ({"attention": "mla_latent"}, "supports grouped attention and absorbed MLA"),
        ({"backend": "flex"}, "flex does not support sequences of different lengths"),
        ({"backend": "sdpa", "page_size": 16}, "sdpa does not support .*a cache in pages of 16 tokens"),
    ],
)
def test_what_cannot_run_such_a_batch_says_so(changes, words):
    with pytest.raises(UnsupportedError, match=words):
        prepared(**changes)


def test_pages_of_a_cache_are_its_tokens_in_a_drawn_order():
    lengths, generator = [9, 3, 1], torch.Generator().manual_seed(0)
    sizes = {"kv_heads": 2, "widths": (3,), "dtype": torch.float32, "device": torch.device("cpu")}
    cache = PagedCache(lengths, page_size=4, generator=generator, **sizes)
    tables = zip(cache.page_table, lengths, strict=True)
    used = [page for table, length in tables for page in table[: -(-length // 4)].tolist()]
    assert sorted(used) != used
    assert len({*used}) == len(used) == 5
    rows = torch.randn(3, 9, 2, 3)
    cache.tensors[0][cache.places(torch.arange(9).expand(3, -1))] = rows
    (whole,) = cache.in_one_piece()
    torch.testing.assert_close(whole[0, :, :9], rows[0].transpose(0, 1))
    assert torch.equal(whole, from_pages(cache.tensors[0], cache.page_table))
    cache.fill(generator)
    assert [float(whole.abs().max()) > 100 for whole in _behind(cache)] == [True] * 3
    assert max(float(x[:, :length].abs().max()) for x, length in zip(*_rows(cache), strict=True)) < 10
    assert cache.counted_bytes() == Cache(batch=1, length=13, spare_slots=0, **sizes).counted_bytes()


def _rows(cache):
    return list(cache.in_one_piece()[0]), cache.lengths


def _behind(cache):
    return [rows[:, length : -(-length // 4) * 4] for rows, length in zip(*_rows(cache), strict=True)]


def test_threads_share_a_long_sequence_among_short_ones():
    lengths = [65536, *[1024] * 31]
    splits, part = parts_for(lengths, 1, 2)
    assert splits * part >= 65536 > (splits - 1) * part
    assert part % 128 == 0
    assert part <= sum(lengths) / 2 / 4 + 128
    assert parts_for(lengths, 1, 1) == (1, 65536)
    assert parts_for([300, 20], 8, 64) == (2, 256)
