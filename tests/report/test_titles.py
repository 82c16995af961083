"""Titles and headlines of the page over committed records: short in both languages, and no chains of settings."""

import re
from pathlib import Path

import pytest

from suite.report.blocks import LONGEST_TITLE
from suite.report.claims import claims_of
from suite.report.command import build_sections
from suite.report.model.results import read_results
from suite.report.page.texts import load_texts
from tests.report.reading import rows_of

REFERENCE = Path(__file__).parents[2] / "results/reference"
FOLDERS = [*(f"cpu/{name}" for name in ("train", "rl_attention", "evolution", "compress")), "cpu_rl_feedback"]
SETTING = re.compile(r"\w=\S")


@pytest.fixture(scope="module")
def built():
    return build_sections(read_results([REFERENCE / name for name in FOLDERS]))


def test_committed_records_rule_on_claims_by_their_numbers(built):
    texts = load_texts("en")
    (section,) = [texts.section(section) for section in built if section.id == "rl_claims"]
    verdicts = {row["Claim"]: (row["Here"], row["What the records say"]) for row in rows_of(section.tables[0])}
    ruled = {claim["id"]: verdicts[texts(f"claim.{claim['id']}")] for claim in claims_of("rl")}
    assert {claim: verdict for claim, (verdict, _) in ruled.items() if verdict != "not measured here"} == {
        "grpo-step-feedback": "contradicted",
        "grpo-no-labels": "supported",
        "grpo-compares-samples": "contradicted by the definition",
        "accuracy-and-format-rewards": "supported",
        "cold-start-helps": "not told apart",
        "cost-decides": "not told apart",
        "self-evolution": "contradicted",
        "grpo-shorter-solutions": "supported",
    }
    assert (
        "supervision=process less supervision=outcome -72.7 (-109.8 to -35.6), n = 5" in ruled["grpo-step-feedback"][1]
    )


def test_titles_and_headlines_are_short_and_in_words(built):
    assert {"latency", "compress", "rl_efficiency", "rl_stages"} <= {section.id for section in built}
    for section in [load_texts(lang).section(section) for lang in ("en", "zh") for section in built]:
        titled = [section, *section.figures, *section.tables, *(view for one in section.figures for view in one.views)]
        said = [*(part.title for part in titled), *(headline.text for headline in section.headlines)]
        assert [text for text in said if len(text) >= LONGEST_TITLE or SETTING.search(text)] == [], section.id
