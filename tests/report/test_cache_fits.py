"""How much context a device's memory holds."""

from suite.report.words import load_words

from suite.report.model.results import read_results
from suite.report.sections import cache


def fits(tmp_path):
    table = cache.build(read_results([tmp_path]), load_words("en")).tables[1]
    assert table.folded
    assert "weights" in table.note
    return {row[0]: dict(zip([column.title for column in table.columns], row, strict=True)) for row in table.rows}


def test_the_tokens_that_fit_are_whole_and_the_memory_is_decimal(tmp_path):
    # DeepSeek-V3: 61 layers of 576 elements at 2 bytes are 70,272 bytes a token. Llama 3 8B: 131,072.
    assert fits(tmp_path)["deepseek-v3"]["80 GB"] == f"{80_000_000_000 // 70_272:,}"
    assert fits(tmp_path)["llama-3-8b"]["24 GB"] == "183,105"


def test_every_published_model_is_listed_with_every_memory(tmp_path):
    rows = fits(tmp_path)
    assert len(rows) == len(cache.published_caches())
    assert all(row[f"{size} GB"] != "0" for row in rows.values() for size in (24, 40, 80, 141))
