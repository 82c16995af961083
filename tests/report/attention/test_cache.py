"""What published models keep, how much context a device's memory holds, and how many sequences."""

from dataclasses import replace

import pytest

from suite.console.attention import capacity
from suite.records.record import Evidence, Status, constant_readings
from suite.report.attention import cache
from suite.report.model.results import read_results
from suite.theory.answers.published import published_cache, published_caches
from tests.report.quality_records import finished
from tests.report.reading import built, rows_of, said
from tests.theory.answers.test_capacity import plan


def fits(tmp_path):
    (table,) = said(cache.build(read_results([tmp_path]))).tables
    return {row["Model"]: row for row in rows_of(table)}


def test_the_tokens_that_fit_are_whole_and_the_memory_is_decimal(tmp_path):
    # DeepSeek-V3: 61 layers of 576 elements at 2 bytes are 70,272 bytes a token. Llama 3 8B: 131,072.
    assert fits(tmp_path)["deepseek-v3"]["80 GB"] == f"{80_000_000_000 // 70_272:,}"
    assert fits(tmp_path)["llama-3-8b"]["24 GB"] == "183,105"


def test_every_published_model_is_listed_with_every_memory(tmp_path):
    rows = fits(tmp_path)
    assert len(rows) == len(published_caches()) > 85
    assert all(row[f"{size} GB"] != "0" for row in rows.values() for size in (24, 40, 80, 141))
    assert {name for name, row in rows.items() if row["24 GB"] == "any"} == {"mistral-7b-v0.1"}
    assert "tiny" not in rows


def test_a_model_belongs_to_what_bounds_its_cache_most():
    families = {"deepseek-v4-pro": "compressed", "nemotron-3-super": "states", "glm-5": "latent"}
    families |= {"gemma-2-2b": "windows", "dots3-note": "windows", "minimax-m3": "grouped"}
    assert {model: published_cache(model).family for model in families} == families


def test_the_headline_says_where_the_hybrid_keeps_less(tmp_path):
    (headline,) = said(cache.build(read_results([tmp_path]))).headlines
    assert "From 4,856 tokens on" in headline.detail
    latent, hybrid = (published_cache(name).plan for name in ("deepseek-v3", "qwen3.5-397b-a17b"))
    for tokens, is_less in ((4855, True), (4857, False)):
        assert (latent.cache_bytes(tokens) < hybrid.cache_bytes(tokens)) is is_less
    row = fits(tmp_path)["qwen3.5-397b-a17b"]
    assert row["Layers"] == "15 with full attention, 45 with a recurrent state"
    assert (row["Per token"], row["Constant"]) == ("30.0 KiB", "183 MiB")


def test_a_bar_is_what_a_long_context_keeps(tmp_path):
    figure, *_ = said(cache.build(read_results([tmp_path]))).figures
    for trace in figure.views[0].figure["data"]:
        for name, size, hover in zip(trace["y"], trace["x"], trace["hovertext"], strict=True):
            plan = published_cache(name).plan
            assert size * 1024**3 == pytest.approx(plan.cache_bytes(cache.LONG_CONTEXT_TOKENS), rel=1e-3)
            assert (" + " in hover) == (plan.fixed_bytes > 0)


def capacity_record(geometry, hardware="h200-sxm-141gb", **changes):
    sizes = {"seq_len": 32_768, "query_len": 1, "tp": 8, "parallel": "dp", "weights": "fp8", **changes}
    found = plan(geometry, hardware, **sizes)
    status = Status.OK if found.refusal is None else Status.UNSUPPORTED
    axes = {"geometry": geometry, **sizes, "hardware": hardware}
    readings = [] if found.refusal else list(constant_readings(found.constants()))
    record = finished("capacity", axes, readings, status=status, evidence=Evidence.PROJECTED)
    return replace(record, reason=found.refusal)


def test_the_fastest_model_is_first_and_in_the_headline(tmp_path):
    models = [("deepseek-v3", "tp"), ("deepseek-v3", "dp"), ("qwen3.5-397b-a17b", "dp")]
    section = built(cache.build, tmp_path, *(capacity_record(name, parallel=way) for name, way in models))
    fastest, *others = rows_of(section.tables[1])
    assert (fastest["Model"], fastest["Tokens/s expected"]) == ("qwen3.5-397b-a17b", "–")
    assert others[0]["Batch"] == "104"
    expected, most = (float(others[0][f"Tokens/s {kind}"].replace(",", "")) for kind in ("expected", "at most"))
    assert expected < most
    assert section.headlines[-1].text.startswith("qwen3.5-397b-a17b on 8 × h200")


def test_what_does_not_fit_says_how_large_it_is(tmp_path):
    section = built(cache.build, tmp_path, capacity_record("deepseek-v3", tp=1))
    (row,) = rows_of(section.tables[1])
    assert row["Reason"].startswith("on each device the weights take 625 GiB, more than")
    assert len(section.headlines) == 1


def test_a_terminal_says_what_fits_and_what_it_serves():
    lines = dict(capacity(capacity_record("deepseek-v3")).lines)
    assert lines["batch"] == "104 sequences at most, over all devices"
    assert "tokens per second" in lines["step"]
