"""What published models keep, and how much context a device's memory holds."""

import pytest

from suite.report.attention import cache
from suite.report.model.results import read_results
from suite.theory.published import published_caches
from tests.report.reading import said


def fits(tmp_path):
    table = said(cache.build(read_results([tmp_path]))).tables[1]
    assert table.folded
    assert "weights" in table.note
    return {row[0]: dict(zip([column.title for column in table.columns], row, strict=True)) for row in table.rows}


def test_the_tokens_that_fit_are_whole_and_the_memory_is_decimal(tmp_path):
    # DeepSeek-V3: 61 layers of 576 elements at 2 bytes are 70,272 bytes a token. Llama 3 8B: 131,072.
    assert fits(tmp_path)["deepseek-v3"]["80 GB"] == f"{80_000_000_000 // 70_272:,}"
    assert fits(tmp_path)["llama-3-8b"]["24 GB"] == "183,105"


def test_every_published_model_is_listed_with_every_memory(tmp_path):
    rows = fits(tmp_path)
    assert len(rows) == len(published_caches())
    assert all(row[f"{size} GB"] != "0" for row in rows.values() for size in (24, 40, 80, 141))


@pytest.mark.parametrize(
    ("model", "kib_per_token"),
    # 61 and 27 layers of a latent of 512 + 64; 32 layers of 32 heads, and 8 groups, of width 128: all at 2 bytes.
    [("deepseek-v3", 68.625), ("deepseek-v2-lite", 30.375), ("llama-2-7b", 512), ("llama-3-8b", 128)],
)
def test_the_cache_of_a_published_model_is_the_known_one(model, kib_per_token):
    (found,) = [one for one in published_caches() if one.name == model]
    assert found.bytes_per_token == kib_per_token * 1024


def test_sliding_windows_are_marked_and_synthetic_left_out():
    marked = {model.name for model in published_caches() if cache.marked_name(model).endswith("†")}
    assert {"gemma-2-2b", "mistral-7b-v0.1"} <= marked
    assert "mistral-7b-v0.3" not in marked
    assert "tiny" not in {model.name for model in published_caches()}
