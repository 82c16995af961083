"""What the page rules of each claim on attention, from made-up timings and from closed forms."""

import math
from dataclasses import replace

import pytest

from suite.records.record import Reading
from suite.report.answers import attention_code, attention_sizes, attention_time
from suite.report.answers.claims import CONTRADICTED, DEPENDS, LEFT_OPEN, MIXED, SUPPORTED
from suite.report.page.texts import load_texts
from tests.records.factory import build
from tests.report.quality_records import in_memory

EN = load_texts("en")
ELEMENTS = {"mha": 4096, "gqa": 512, "mla": 576, "mla_expanded": 5120}
"""Kept of a token by DeepSeek-V2-Lite's 16 heads."""
HEADS = {"geometry": {"name": "deepseek-v2-lite", "attention": "mla", "num_heads": 16}}


def timed(variant, seconds, **facts):
    return build(attention=variant, latencies_s=(seconds,) * 7, settings=HEADS, **facts)


def with_sizes(record, span="case", **sizes):
    kept = [one for one in record.readings if (one.span, one.metric) not in {(span, name) for name in sizes}]
    new = [Reading(step=0, span=span, metric=name, value=value) for name, value in sizes.items()]
    return replace(record, readings=kept + new)


def cached(variant, **facts):
    tokens = 4096 * 2
    return with_sizes(timed(variant, 1e-3, **facts), cache_bytes_counted=tokens * ELEMENTS[variant])


def kernel_share(tokens, share, **facts):
    """A decode step of MHA whose kernel takes this share."""
    record = timed("mha", 1e-3, seq_len=tokens, **facts)
    readings = [
        replace(one, value=share * 1e-3) if (one.span, one.metric) == ("kernel", "latency_s") else one
        for one in record.readings
    ]
    sizes = {"cache_bytes_counted": tokens * 8192, "parameter_count": 1 << 24}
    return with_sizes(replace(record, readings=readings), **sizes)


@pytest.mark.parametrize(
    ("rivals", "outcome", "answer"),
    [
        ({"mha": 3e-3, "gqa": 2e-3}, SUPPORTED, "faster than MHA, faster than GQA"),
        ({"mha": 0.5e-3, "gqa": 0.4e-3}, CONTRADICTED, "slower than MHA, slower than GQA"),
        (
            {"mha": 1.01e-3, "gqa": 0.99e-3},
            LEFT_OPEN,
            "no clear difference from MHA, no clear difference from GQA",
        ),
        ({"mha": 3e-3, "gqa": 0.4e-3}, DEPENDS, "faster than MHA, slower than GQA"),
    ],
)
def test_mla_is_faster_than_both_rivals_or_it_depends(rivals, outcome, answer):
    records = [timed("mla", 1e-3), *(timed(name, seconds) for name, seconds in rivals.items())]
    found = attention_time.faster_inference(in_memory(*records))
    assert (found.outcome, EN.render(found.answer)) == (outcome, answer)
    assert found.machine == "A processor"


def test_the_lead_of_speed_is_a_decode_against_gqa():
    records = [timed(name, seconds) for name, seconds in (("mla", 1e-3), ("mha", 3e-3), ("gqa", 0.5e-3))]
    found = attention_time.faster_inference(in_memory(*records))
    assert (found.lead.value, found.lead.neutral) == (2.0, 1.0)
    assert 1 < found.lead.ends[0] < 2.0 < found.lead.ends[1]
    assert EN.render(found.lead.about).startswith("MLA’s time over GQA’s: decode of a layer, 4,096 tokens")
    flips = EN.render(found.flips)
    assert "faster than MHA in 1 of 1 decode cases and slower in 0" in flips
    assert "faster than GQA in 0 of 1 decode cases and slower in 1" in flips


def test_where_mla_changes_sides_is_told_with_all_else_the_same():
    records = [timed("mla", 1e-3, query_len=count) for count in (1, 2, 4)]
    records += [timed("gqa", seconds, query_len=count) for count, seconds in ((1, 2e-3), (2, 1e-3), (4, 0.5e-3))]
    found = attention_time.faster_inference(in_memory(*records))
    assert found.outcome == SUPPORTED  # with one new token, which is what the claim is about
    assert "against GQA faster at 1 new tokens, slower at 4 new tokens" in " ".join(map(EN.render, found.evidence))


def test_a_prefill_counts_as_it_is_deployed():
    prompt = {"phase": "prefill", "query_len": None}
    records = [timed("mha", 2e-3, **prompt), timed("mla_absorbed", 4e-3, **prompt)]
    assert attention_time.faster_inference(in_memory(*records)) is None
    decodes = [timed("mha", 2e-3), timed("mla", 1e-3)]
    found = attention_time.faster_inference(in_memory(*records, *decodes, timed("mla_expanded", 1e-3, **prompt)))
    assert found.outcome == SUPPORTED
    assert (
        "Absorbed in a prefill, which nobody deploys: faster than MHA in 0 of 1 prefill cases and slower in 1"
        in " ".join(map(EN.render, found.evidence))
    )


def test_without_auto_each_variant_has_its_fastest_backend():
    records = [timed("mla", 1e-3, backend="flash_mla"), timed("mla", 9e-3, backend="eager")]
    records += [timed("gqa", 4e-3, backend="eager"), timed("gqa", 2e-3, backend="fa3")]
    found = attention_time.faster_inference(in_memory(*records))
    assert (found.outcome, found.lead.value) == (SUPPORTED, 0.5)


def test_a_single_reading_suffices_for_no_verdict_on_speed():
    records = [build(attention=name, latencies_s=(s,), settings=HEADS) for name, s in (("mla", 1e-3), ("mha", 9e-3))]
    found = attention_time.faster_inference(in_memory(*records))
    assert (found.outcome, found.suffices) == (LEFT_OPEN, False)


@pytest.mark.parametrize(
    ("seconds", "peak", "outcome"),
    [(2e-3, 2.0, SUPPORTED), (0.5e-3, 0.5, CONTRADICTED), (2e-3, 0.5, SUPPORTED), (1e-3, 1.0, LEFT_OPEN)],
)
def test_training_is_ruled_on_by_its_time_alone(seconds, peak, outcome):
    def trained(variant, seconds, peak):
        return with_sizes(timed(variant, seconds, phase="train", query_len=None), span="layer", peak_bytes=peak)

    found = attention_time.cheaper_training(in_memory(trained("mla", 1e-3, 1e6), trained("mha", seconds, peak * 1e6)))
    assert found.outcome == outcome


def test_training_with_equal_heads_decides():
    records = [
        timed(variant, seconds, phase="train", query_len=None, match=match)
        for match, mha_s in (("heads", 2e-3), ("params", 0.5e-3))
        for variant, seconds in (("mla", 1e-3), ("mha", mha_s))
    ]
    found = attention_time.cheaper_training(in_memory(*records))
    assert found.outcome == SUPPORTED
    assert "faster than MHA in 1 of 2 training cases and slower in 1" in EN.render(found.flips)


def test_a_cache_is_smaller_than_mhas_and_larger_than_others():
    counted = attention_sizes.less_kv_memory(in_memory(*map(cached, ELEMENTS)))
    assert counted.outcome == SUPPORTED
    assert (counted.lead.value, counted.is_projected, counted.machine) == (576 / 4096, False, "A processor")
    flips = EN.render(counted.flips)
    assert "1.12× the cache of GQA-2 (deepseek-v2-lite)" in flips
    assert "1.25× the cache of MHA where keys and values are written out" in flips


def test_closed_forms_rule_on_caches_without_records():
    found = attention_sizes.less_kv_memory(in_memory())
    assert (found.outcome, found.is_projected, found.machine) == (SUPPORTED, True, "")
    assert found.lead.value == 576 / 32768
    assert "1.12× the cache of GQA-2 (deepseek-v3)" in EN.render(found.flips)


def test_compute_depends_on_the_context_by_closed_forms():
    """A whole layer at DeepSeek-V3's sizes in a prefill of 4,096 tokens, by hand: FLOPs of weights and scores."""
    found = attention_sizes.lowers_compute(in_memory())
    assert (found.outcome, found.is_projected) == (DEPENDS, True)
    tokens, hidden, heads = 4096, 7168, 128
    shared = hidden * 1536 + 1536 * heads * 192 + hidden * 576 + 512 * heads * 256 + heads * 128 * hidden
    pairs = tokens * (tokens + 1) // 2
    mla = 2 * tokens * shared + 2 * pairs * heads * (192 + 128)
    mha = 2 * tokens * 4 * hidden * heads * 128 + 2 * pairs * heads * (128 + 128)
    assert found.lead.value == pytest.approx(mla / mha, rel=0.01)
    # A layer of MHA has 4 D H d weights; the kernels differ by 2 H (2 c + d_r - 2 d) FLOPs a token of context.
    weights = 4 * 7168 * 128 * 128
    mla = 7168 * 1536 + 1536 * 128 * 192 + 7168 * 576 + 512 * 128 * 256 + 128 * 128 * 7168
    tokens = math.ceil((weights - mla) / (128 * (2 * 512 + 64 - 2 * 128)))
    assert f"more than MHA from {tokens:,} tokens on" in EN.render(found.flips)


def test_mha_is_heavy_where_its_cache_takes_most_of_a_step():
    short, long = kernel_share(1024, 0.2), kernel_share(16384, 0.8)
    found = attention_time.heavy(in_memory(short, long))
    assert (found.outcome, found.lead.value, found.lead.neutral) == (SUPPORTED, pytest.approx(0.8), 0.5)
    assert EN.render(found.flips) == "Less than half up to 1,024 tokens, more from 16,384 on."
    assert "16,384 tokens 80 % and 80 %" in " ".join(map(EN.render, found.evidence))
    assert attention_time.heavy(in_memory(short)).outcome == CONTRADICTED
    for share in (0.48, 0.5, 0.52):  # an interval of some percent on both sides holds a half
        assert attention_time.heavy(in_memory(kernel_share(1024, share))).outcome == LEFT_OPEN
    assert attention_time.heavy(in_memory(timed("mla", 1e-3))) is None


@pytest.mark.parametrize(
    ("slowest", "lines", "outcome"),
    [
        (50e-3, 200, SUPPORTED),
        (50e-3, 150, MIXED),
        (5e-3, 200, MIXED),
        (1.5e-3, 150, LEFT_OPEN),
        (1.5e-3, 90, CONTRADICTED),
    ],
)
def test_mla_is_hard_by_its_lines_and_by_its_spread(slowest, lines, outcome, monkeypatch):
    codes = {
        "latent.py": attention_code.Code(lines=lines, matrices=5),
        "grouped.py": attention_code.Code(lines=100, matrices=4),
    }
    monkeypatch.setattr(attention_code, "code_of", codes.get)
    records = [
        timed(variant, seconds, backend=backend, provenance={"backend": backend})
        for variant, times in (("mla", (1e-3, slowest)), ("mha", (1e-3, 5e-3)))
        for backend, seconds in zip(("sdpa_folded", "sdpa"), times, strict=True)
    ]
    found = attention_code.hard_to_implement(in_memory(*records))
    assert found.outcome == outcome
    assert found.lead.value == pytest.approx(slowest / 1e-3)
    assert EN.render(found.evidence[-1]) == "Beside the widest: MHA 5.00×."


def test_code_counts_lines_without_words_about_them():
    mla, grouped = attention_code.code_of("latent.py"), attention_code.code_of("grouped.py")
    assert (mla.matrices, grouped.matrices) == (5, 4)
    assert grouped.lines < mla.lines < 300
