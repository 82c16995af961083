"""What published models keep, how much context a device's memory holds, and how many sequences."""

import pytest

from suite.console.attention import capacity
from suite.records.case import Case
from suite.records.record import Evidence, Record, Status, constant_readings
from suite.report.attention import cache
from suite.report.model.results import read_results
from suite.theory.answers.published import CACHE_FAMILIES, published_cache, published_caches
from tests.records.factory import ENVIRONMENT, PROVENANCE
from tests.report.reading import built, rows_of, said
from tests.theory.answers.test_capacity import plan


def fits(tmp_path):
    (table,) = said(cache.build(read_results([tmp_path]))).tables
    assert table.folded
    assert "with batch 1 and nothing else" in table.note
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


@pytest.mark.parametrize(
    ("model", "kib_per_token"),
    # 61 and 27 layers of a latent of 512 + 64; 32 layers of 32 heads, and 8 groups, of width 128: all at 2 bytes.
    [("deepseek-v3", 68.625), ("deepseek-v2-lite", 30.375), ("llama-2-7b", 512), ("llama-3-8b", 128)],
)
def test_the_cache_of_a_published_model_is_the_known_one(model, kib_per_token):
    assert published_cache(model).plan.growth_bytes == kib_per_token * 1024


def test_a_model_belongs_to_what_bounds_its_cache_most():
    families = {"deepseek-v4-pro": "compressed", "nemotron-3-super": "states", "glm-5": "latent"}
    families |= {"gemma-2-2b": "windows", "dots3-note": "windows", "minimax-m3": "grouped"}
    assert {model: published_cache(model).family for model in families} == families


def test_a_row_has_the_constant_beside_the_slope(tmp_path):
    rows = fits(tmp_path)
    hybrid = rows["qwen3.5-397b-a17b"]
    assert (hybrid["Layers"], hybrid["Per token"]) == ("15 with full attention, 45 with a recurrent state", "30.0 KiB")
    assert (hybrid["Constant"], hybrid["GiB at 131,072 tokens"]) == ("183 MiB", "3.93")
    compressed = "21 with one row for 4 tokens, 20 with one row for 128 tokens, 2 with a window of 128"
    assert rows["deepseek-v4-flash"]["Layers"] == compressed
    assert rows["llama-3-8b"]["Constant"] == "–"


def test_the_headline_has_the_three_slopes_and_where_two_meet(tmp_path):
    (headline,) = said(cache.build(read_results([tmp_path]))).headlines
    assert headline.text == "DeepSeek-V3 keeps 68.6 KiB per token, a GQA hybrid 30.0 KiB and DeepSeek-V4-Pro 9.62 KiB"
    latent, hybrid = (published_cache(name).plan for name in ("deepseek-v3", "qwen3.5-397b-a17b"))
    assert "From 4,856 tokens on, it takes less than DeepSeek-V3, which keeps 68.6 KiB per token" in headline.detail
    assert latent.cache_bytes(4855) < hybrid.cache_bytes(4855)
    assert latent.cache_bytes(4857) > hybrid.cache_bytes(4857)


def test_figures_draw_the_best_known_of_every_family(tmp_path):
    bars, *variants = cache.build(read_results([tmp_path])).figures
    for view in bars.views:
        assert {name for trace in view.figure["data"] for name in trace["y"]} == set(cache.BEST_KNOWN)
    assert [figure.facets["geometry"] for figure in variants] == list(cache.MODELS_WITH_VARIANTS)
    assert {published_cache(name).family for name in cache.BEST_KNOWN} == set(CACHE_FAMILIES)


def test_figures_say_who_keeps_least(tmp_path):
    growth, deepseek, lite, *_ = said(cache.build(read_results([tmp_path]))).figures
    assert growth.finding.endswith("the least with deepseek-v4-flash (871 MiB) and the most with llama-2-7b (64.0 GiB)")
    # 16 groups of 2 x 128 elements beside 512 + 64; 128 heads of as many.
    assert (
        deepseek.finding
        == "At deepseek-v3’s sizes, MLA’s cache is 1.8% of MHA’s and 0.141× GQA’s; MQA has the smallest"
    )
    # Two groups of a small model are less than its latent.
    assert "1.12× GQA’s" in lite.finding


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
    return Record(
        case=Case(workload="capacity", axes={"geometry": geometry, **sizes, "hardware": hardware}, extras={}),
        run_key="0123456789abcdef" * 4,
        status=Status.OK if found.refusal is None else Status.UNSUPPORTED,
        reason=found.refusal,
        evidence=Evidence.PROJECTED,
        settings={},
        environment=ENVIRONMENT,
        provenance=PROVENANCE,
        readings=[] if found.refusal else list(constant_readings(found.constants())),
    )


def test_the_fastest_model_is_first_and_in_the_headline(tmp_path):
    models = [("deepseek-v3", "tp"), ("deepseek-v3", "dp"), ("qwen3.5-397b-a17b", "dp")]
    section = built(cache.build, tmp_path, *(capacity_record(name, parallel=way) for name, way in models))
    fastest, *others = rows_of(section.tables[1])
    assert (fastest["Model"], fastest["Tokens/s expected"]) == ("qwen3.5-397b-a17b", "–")
    assert [row["Device"] for row in others] == [f"8 × h200-sxm-141gb, {way}" for way in ("dp", "tp")]
    assert others[0]["Batch"] == "104"
    expected, most = (float(others[0][f"Tokens/s {kind}"].replace(",", "")) for kind in ("expected", "at most"))
    assert expected < most
    assert section.headlines[-1].text.startswith("qwen3.5-397b-a17b on 8 × h200-sxm-141gb, dp holds a batch of ")


def test_what_does_not_fit_says_how_large_it_is(tmp_path):
    section = built(cache.build, tmp_path, capacity_record("deepseek-v3", tp=1))
    (row,) = rows_of(section.tables[1])
    assert row["Reason"].startswith("on each device the weights take 625 GiB, more than")
    assert len(section.headlines) == 1


def test_a_terminal_says_what_fits_and_what_it_serves():
    lines = dict(capacity(capacity_record("deepseek-v3")).lines)
    assert lines["batch"] == "104 sequences at most, over all devices"
    assert "tokens per second" in lines["step"]
