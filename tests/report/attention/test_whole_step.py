"""The section on attention's share of a whole model's step, measured and computed."""

from dataclasses import replace
from functools import partial

import pytest

from suite.configuration.files import read_choice
from suite.report.attention import whole_step
from suite.report.attention.whole_step import projected_shares
from suite.theory.layers.layer_plan import plan_from
from tests.records.factory import build, with_readings
from tests.report.reading import built, rows_of

section_of = partial(built, whole_step.build)
TIMES_S = {"step": 1e-2, "attention": 4e-3, "mlp": 5e-3, "head": 8e-4, "kernel": 1e-3}


def step_of(variant, tokens, **times_s):
    record = build(attention=variant, seq_len=tokens, batch=8, geometry="tiny", latencies_s=(1e-3,) * 3)
    record = replace(
        record,
        case=replace(record.case, workload="decode"),
        run_key=f"{len(variant):x}{tokens:x}{ord(variant[0]):x}".rjust(64, "a"),
    )
    for span, time_s in {**TIMES_S, **times_s}.items():
        record = with_readings(record, span, latency_s=[time_s] * 7)
    return with_readings(record, "case", tokens=8.0)


def test_shares_rates_and_their_range_are_of_the_medians(tmp_path):
    records = [step_of("gqa", 256), step_of("gqa", 1024), step_of("mha", 1024, attention=6e-3, step=2e-2)]
    section = section_of(tmp_path, *records)
    (figure,) = section.figures
    lines = {trace["name"]: dict(zip(trace["x"], trace["y"], strict=True)) for trace in figure.views[0].figure["data"]}
    assert lines == {"GQA": {256: 0.4, 1024: 0.4}, "MHA": {1024: 0.3}}
    rows = rows_of(section.tables[0])
    assert [row["Tokens/s"] for row in rows] == ["800", "800", "400"]
    assert [row["Parts together"] for row in rows] == ["98%", "98%", "59%"]
    assert [row["Kernels alone"] for row in rows] == ["10%", "10%", "5.0%"]


def test_a_step_without_a_part_is_left_out(tmp_path):
    whole = step_of("gqa", 256)
    partial_step = replace(whole, readings=[reading for reading in whole.readings if reading.span != "head"])
    assert section_of(tmp_path, partial_step).figures == []


def test_computed_shares_are_weights_and_cache_over_all_bytes():
    rows = {(model, batch): shares for model, batch, shares in projected_shares()}
    plan = plan_from(read_choice("geometry", "llama-3.1-8b"))
    tokens, batch = 8192, 32
    mlps = 32 * 3 * 4096 * 14_336
    attention = 2 * plan.parameter_count + batch * tokens * plan.growth_bytes
    expected = attention / (attention + 2 * (mlps + 128_256 * 4096))
    assert rows["llama-3.1-8b", batch][tokens] == pytest.approx(expected, rel=2e-3)
    for by_context in rows.values():
        shares = [by_context[tokens] for tokens in sorted(by_context)]
        assert shares == sorted(shares)
        assert 0 < shares[0] < shares[-1] < 1
