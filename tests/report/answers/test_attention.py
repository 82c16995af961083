"""What the page rules of each claim on attention, from made-up timings and from closed forms."""

import ast
import math
from dataclasses import replace
from pathlib import Path

import pytest

import suite
from suite.report.answers import attention
from suite.report.answers.claims import Standing, claims
from tests.records.factory import build, in_launches, with_readings
from tests.report.answers.ruled import EN, text_of, verdict_on
from tests.report.quality_records import in_memory

ELEMENTS = {"mha": 4096, "gqa": 512, "mla": 576, "mla_expanded": 5120}
"""Kept of a token by DeepSeek-V2-Lite's 16 heads."""
HEADS = {"geometry": {"name": "deepseek-v2-lite", "attention": "mla", "num_heads": 16}}
PROMPT, TRAINING = {"phase": "prefill", "query_len": None}, {"phase": "train", "query_len": None}


def speed(*records):
    return verdict_on("mla-faster-inference", *records)


def timed(variant, seconds, **facts):
    return build(attention=variant, latencies_s=(seconds,) * 7, settings=HEADS, **facts)


def kernel_share(tokens, share, **facts):
    """A decode step of MHA in three launches of unlike speed, of each of which the kernel takes about this share."""
    layer_s = (1e-3, 1.5e-3, 0.8e-3)
    kernel_s = (share * by * whole for by, whole in zip((0.99, 1.0, 1.01), layer_s, strict=True))
    record = in_launches(timed("mha", 1e-3, seq_len=tokens, **facts), *layer_s)
    kernel = in_launches(record, *kernel_s, spans=["kernel"])
    record = replace(record, readings=[*record.readings, *kernel.readings])
    return with_readings(record, "case", cache_bytes_counted=tokens * 8192, parameter_count=1 << 24)


@pytest.mark.parametrize(("claim", "phase"), [("mla-faster-inference", {}), ("mla-cheaper-training", TRAINING)])
@pytest.mark.parametrize(
    ("mha_s", "gqa_s", "outcome", "answer"),
    [
        (3e-3, 2e-3, Standing.SUPPORTED, "faster than MHA, faster than GQA"),
        (0.5e-3, 0.4e-3, Standing.CONTRADICTED, "slower than MHA, slower than GQA"),
        (1.01e-3, 0.99e-3, Standing.OPEN, "no clear difference from MHA, no clear difference from GQA"),
        (3e-3, 0.99e-3, Standing.DEPENDS, "faster than MHA, no clear difference from GQA"),
        (3e-3, 0.4e-3, Standing.DEPENDS, "faster than MHA, slower than GQA"),
    ],
)
def test_mla_is_faster_than_both_rivals_or_it_depends(claim, phase, mha_s, gqa_s, outcome, answer):
    seconds = {"mla": 1e-3, "mha": mha_s, "gqa": gqa_s}
    verdict = verdict_on(claim, *(timed(name, value, **phase) for name, value in seconds.items()))
    assert (verdict.outcome, EN.render(verdict.answer), verdict.machine) == (outcome, answer, "A processor")


@pytest.mark.parametrize(
    ("other_rival", "word"),
    [({"gqa": 0.4e-3}, "depends on what MLA is compared with"), ({}, "depends on the model’s sizes")],
)
def test_what_the_speed_depends_on_is_named(other_rival, word):
    """Slower than the other rival at one geometry; or faster than MHA at one geometry and slower at another."""
    seconds = {"mla": 1e-3, "mha": 3e-3} | other_rival
    records = [timed(name, value) for name, value in seconds.items()]
    if not other_rival:
        records += [timed(name, value, geometry="tiny") for name, value in (("mla", 1e-3), ("mha", 0.5e-3))]
    assert EN.render(speed(*records).word) == word


def test_the_lead_of_speed_is_a_decode_against_gqa():
    verdict = speed(timed("mla", 1e-3), timed("mha", 3e-3), timed("gqa", 0.5e-3))
    assert (verdict.lead.value, verdict.lead.neutral) == (2.0, 1.0)
    assert 1 < verdict.lead.ends[0] < 2.0 < verdict.lead.ends[1]


@pytest.mark.parametrize(
    ("claim", "setting", "values", "common"),
    [
        ("mla-faster-inference", "query_len", (1, 4), {}),
        ("mla-faster-inference", "seq_len", (16384, 32768), {}),
        ("mla-cheaper-training", "seq_len", (1024, 4096), TRAINING),
        ("mla-cheaper-training", "match", ("heads", "params"), TRAINING),
    ],
)
def test_the_case_that_a_claim_names_decides(claim, setting, values, common):
    """The other case says the opposite, and is counted beside it."""
    records = [
        timed(variant, seconds, **{**common, setting: value})
        for value, mha_s in zip(values, (2e-3, 0.5e-3), strict=True)
        for variant, seconds in (("mla", 1e-3), ("mha", mha_s))
    ]
    verdict = verdict_on(claim, *records)
    assert verdict.outcome == Standing.SUPPORTED
    assert "faster than MHA in 1 of 2" in EN.render(verdict.flips)


def test_the_answer_says_what_a_larger_batch_changes():
    seconds = {"mla": (1e-3, 8e-3), "mha": (2e-3, 32e-3), "gqa": (0.5e-3, 2e-3)}
    records = [
        timed(name, s, batch=batch) for name, both in seconds.items() for s, batch in zip(both, (1, 32), strict=True)
    ]
    apart = [timed(name, 1e-3, batch=32, seq_len=8192) for name in seconds]  # at one batch only
    flips = EN.render(speed(*records, *apart).flips)
    assert "from 0.500× to 0.250× MHA’s and from 2.00× to 4.00× GQA’s (4,096" in flips
    assert "batch" not in EN.render(speed(*(timed(name, both[0]) for name, both in seconds.items())).flips)


def test_a_prefill_counts_as_it_is_deployed():
    records = [timed("mha", 2e-3, **PROMPT), timed("mla_absorbed", 4e-3, **PROMPT)]
    assert speed(*records) is None
    verdict = speed(*records, timed("mha", 2e-3), timed("mla", 1e-3), timed("mla_expanded", 1e-3, **PROMPT))
    assert verdict.outcome == Standing.SUPPORTED


def test_without_auto_each_variant_has_its_fastest_backend():
    records = [timed("mla", 1e-3, backend="flash_mla"), timed("mla", 9e-3, backend="eager")]
    verdict = speed(*records, timed("gqa", 4e-3, backend="eager"), timed("gqa", 2e-3, backend="fa3"))
    assert (verdict.outcome, verdict.lead.value) == (Standing.SUPPORTED, 0.5)


def test_gqa_is_named_by_the_heads_of_one_card():
    """MHA caches 8 of 16 heads there; GQA caches one."""
    records = [
        with_readings(timed(variant, 1e-3, tp=2), "case", cache_bytes_counted=4096 * 2 * kept)
        for variant, kept in (("mla", 576), ("mha", 2048), ("gqa", 256))
    ]
    flips = EN.render(verdict_on("mla-less-kv-memory", *records).flips)
    assert "2.25× the bytes of GQA-1 (deepseek-v2-lite, tp 2)" in flips


def test_a_single_reading_suffices_for_no_verdict_on_speed():
    verdict = speed(*(build(attention=name, latencies_s=(s,)) for name, s in (("mla", 1e-3), ("mha", 9))))
    assert (verdict.outcome, verdict.suffices) == (Standing.OPEN, False)


def test_a_cache_is_smaller_than_mhas_and_larger_than_others():
    records = [
        with_readings(timed(variant, 1e-3), "case", cache_bytes_counted=4096 * 2 * kept)
        for variant, kept in ELEMENTS.items()
    ]
    quantised = [
        with_readings(timed(name, 1e-3, cache_dtype="int8"), "case", cache_bytes_counted=1) for name in ("mla", "mha")
    ]
    counted = verdict_on("mla-less-kv-memory", *quantised, *records)
    assert (counted.outcome, counted.lead.value) == (Standing.SUPPORTED, 576 / 4096)
    assert (counted.is_projected, counted.machine) == (False, "A processor")
    flips = EN.render(counted.flips)
    assert "1.12× the bytes of GQA-2 (deepseek-v2-lite)" in flips
    assert "1.25× the bytes of MHA if MLA caches expanded keys and values" in flips
    by_form = verdict_on("mla-less-kv-memory")
    assert (by_form.outcome, by_form.lead.value) == (Standing.SUPPORTED, 576 / 32768)
    assert (by_form.is_projected, by_form.machine) == (True, "")
    assert "1.12× the bytes of GQA-2 (deepseek-v3)" in EN.render(by_form.flips)


def test_compute_depends_on_the_context_by_closed_forms():
    """A whole layer at DeepSeek-V3's sizes in a prefill of 4,096 tokens, by hand: FLOPs of weights and scores."""
    verdict = verdict_on("mla-lowers-compute")
    assert (verdict.outcome, verdict.is_projected) == (Standing.DEPENDS, True)
    tokens, hidden, heads = 4096, 7168, 128
    mla_weights = hidden * 1536 + 1536 * heads * 192 + hidden * 576 + 512 * heads * 256 + heads * 128 * hidden
    mha_weights, pairs = 4 * hidden * heads * 128, tokens * (tokens + 1) // 2
    mla = 2 * tokens * mla_weights + 2 * pairs * heads * (192 + 128)
    mha = 2 * tokens * mha_weights + 2 * pairs * heads * (128 + 128)
    assert verdict.lead.value == pytest.approx(mla / mha, rel=0.01)
    # The kernels differ by 2 H (2 c + d_r - 2 d) FLOPs a token of context.
    even = math.ceil((mha_weights - mla_weights) / (heads * (2 * 512 + 64 - 2 * 128)))
    assert f"more FLOPs than MHA from {even:,} tokens on" in EN.render(verdict.flips)


def test_mha_is_heavy_where_its_cache_takes_most_of_a_step():
    short, long = kernel_share(1024, 0.2), kernel_share(16384, 0.8)
    verdict = verdict_on("mha-heavy", short, long)
    assert (verdict.outcome, verdict.lead.neutral) == (Standing.SUPPORTED, 0.5)
    assert verdict.lead.value == pytest.approx(0.8, rel=1e-3)
    assert EN.render(verdict.flips).startswith("The kernel takes less than half of the step up to 1,024 tokens")
    assert verdict_on("mha-heavy", short).outcome == Standing.CONTRADICTED
    for share in (0.49, 0.5, 0.51):  # an interval of some percent on both sides holds a half
        assert verdict_on("mha-heavy", kernel_share(1024, share)).outcome == Standing.OPEN
    assert verdict_on("mha-heavy", timed("mla", 1e-3)) is None


def test_a_share_is_paired_by_launch_and_one_decides_nothing():
    """Launches of unlike speed do not widen it: three ratios 1% apart reach 4.30 × 1% / √3 each way."""
    lead = verdict_on("mha-heavy", kernel_share(16384, 0.66)).lead
    half = 4.3027 * 0.01 / math.sqrt(3)
    assert lead.ends == (
        pytest.approx(0.66 * math.exp(-half), rel=1e-3),
        pytest.approx(0.66 * math.exp(half), rel=1e-3),
    )
    assert EN.render(lead.count) == "3 launches"
    assert verdict_on("mha-heavy", kernel_share(16384, 0.999)).lead.ends[1] == 1
    alone = with_readings(timed("mha", 1e-3, seq_len=16384), "kernel", latency_s=(0.9e-3,) * 7)
    verdict = verdict_on("mha-heavy", alone)
    assert (verdict.outcome, verdict.suffices, verdict.lead.ends) == (Standing.OPEN, False, None)
    assert EN.render(verdict.lead.count) == "7 readings of one launch"


@pytest.mark.parametrize(
    ("slowest", "lines", "outcome"),
    [
        (50e-3, 200, Standing.SUPPORTED),
        (50e-3, 150, Standing.MIXED),
        (5e-3, 200, Standing.MIXED),
        (1.5e-3, 150, Standing.OPEN),
        (1.5e-3, 90, Standing.CONTRADICTED),
    ],
)
def test_mla_is_hard_by_its_lines_and_by_its_spread(slowest, lines, outcome):
    claim = {"trial": {"at": {}, "code": {"lines": lines, "other_lines": 100, "matrices": 5, "other_matrices": 4}}}
    records = [
        timed(variant, seconds, backend=backend, provenance={"backend": backend})
        for variant, times in (("mla", (1e-3, slowest)), ("mha", (1e-3, 5e-3)))
        for backend, seconds in zip(("sdpa_folded", "sdpa"), times, strict=True)
    ]
    verdict = attention.hard_to_implement(in_memory(*records), claim)
    assert (verdict.outcome, verdict.lead.value) == (outcome, pytest.approx(slowest / 1e-3))
    assert f"In {int(slowest > 5e-3)} of 1 comparisons" in text_of(verdict)


OTHER_MODES = ("ExpandedLatentAttention", "ExpandedOnceLatentAttention", "ReexpandingLatentAttention", "for_training")
OTHER_MODES += ("write_expanded", "split_expanded", "_expand")
"""What of latent.py absorbed attention, the mode that is deployed, can do without."""


def lines_and_matrices(file):
    """Of a layer's code: without imports, docstrings, comments and OTHER_MODES."""
    definitions = (ast.ClassDef, ast.FunctionDef)
    tree = ast.parse((Path(suite.__file__).parent / "attention" / file).read_text(encoding="utf-8"))
    nodes = [node for top in tree.body if isinstance(top, definitions) for node in ast.walk(top)]
    words = [node for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    words += [node for node in nodes if isinstance(node, definitions) and node.name in OTHER_MODES]
    code = {*nodes} - {part for node in words for part in ast.walk(node)}
    matrices = sum(isinstance(node, ast.Attribute) and node.attr == "init_weight" for node in nodes)
    return len({node.lineno for node in code if isinstance(node, ast.expr | ast.stmt)}), matrices


def test_the_lines_that_a_claim_names_are_those_of_the_code():
    code = next(claim for claim in claims() if claim["id"] == "mla-hard-to-implement")["trial"]["code"]
    assert lines_and_matrices("latent.py") == (code["lines"], code["matrices"])
    assert lines_and_matrices("grouped.py") == (code["other_lines"], code["other_matrices"])
