"""Titles and headlines of the page over committed records: short in both languages, and no chains of settings."""

import re
from itertools import chain
from pathlib import Path

import pytest

from suite.report.answers.answers import build as build_claims
from suite.report.blocks import LONGEST_TITLE
from suite.report.command import _garbage_collector_off, build_views
from suite.report.model.results import read_results
from suite.report.page.texts import load_texts

REFERENCE = Path(__file__).parents[2] / "results/reference"
FOLDERS = [*(f"cpu/{name}" for name in ("train", "rl_attention", "evolution", "compress")), "cpu_rl_feedback"]
SETTING = re.compile(r"\w=\S")


@pytest.fixture(scope="module")
@_garbage_collector_off()
def built():
    results = read_results([REFERENCE / name for name in FOLDERS])
    return [build_claims(results), *chain.from_iterable(build_views(results).values())]


def test_titles_and_headlines_are_short_and_in_words(built):
    assert {"claims", "latency", "compress", "rl_efficiency", "rl_stages"} <= {section.id for section in built}
    for section in [load_texts(lang).section(section) for lang in ("en", "zh") for section in built]:
        titled = [section, *section.figures, *section.tables, *(view for one in section.figures for view in one.views)]
        said = [*(part.title for part in titled), *(headline.text for headline in section.headlines)]
        assert [text for text in said if len(text) >= LONGEST_TITLE or SETTING.search(text)] == [], section.id
