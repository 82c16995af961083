"""Every claim's verdict over parts of the committed records: what the page says of them cannot change unseen."""

from pathlib import Path

import pytest

from suite.report.answers.answers import build_answers
from suite.report.blocks import Badge
from suite.report.command import _garbage_collector_off
from suite.report.model.results import read_results
from suite.report.page.texts import load_texts

REFERENCE = Path(__file__).parents[3] / "results/reference"
FOLDERS = [
    *(f"cpu/{name}" for name in ("train", "call_form", "quality", "quality_full", "recipes", "evolution")),
    *("cpu/rl_memory_8b", "cpu_rl_feedback", "cpu_rl_tuned/fresh"),
]
EN = load_texts("en")
VERDICTS = {
    "mla-less-kv-memory": "supported",
    "mla-faster-inference": "depends on what MLA is compared with",
    "mla-cheaper-training": "depends on what MLA is compared with",
    "mla-lowers-compute": "depends on the context length and the phase",
    "mha-heavy": "no clear difference",  # one launch each
    "mla-hard-to-implement": "supported",
    "mla-lower-ceiling": "no clear difference",
    "gqa-between": "supported",
    "heads-specialise": "depends on the attention variant",
    "information-tiers": "partly supported",
    "grading-automatic": "partly supported",
    "full-context-tasks": "cannot be decided from these runs",
    "grpo-cheaper": "supported",
    "grpo-sample-efficient": "no clear difference",
    "grpo-stable": "no relevant difference",
    "accuracy-and-format-rewards": "supported",
    "grpo-step-feedback": "contradicted",
    "grpo-no-labels": "no clear difference",
    "grpo-compares-samples": "contradicted by the definition",
    "grpo-shorter-solutions": "supported",
    "cost-decides": "undecided",
    "r1-zero-without-sft": "supported",
    "cold-start-helps": "supported",
    "stages-add": "supported",
    "filtering-and-preference": "depends on the task",
    "distillation-lifts-small-models": "supported",
    "self-evolution": "contradicted",
}
"""Of these parts: all committed records together may say another."""


@pytest.fixture(scope="module")
@_garbage_collector_off()
def rulings():
    return build_answers(read_results([REFERENCE / name for name in FOLDERS]), "").rulings


def test_every_claim_has_a_verdict(rulings):
    assert {ruling.id: EN.render(ruling.word) for ruling in rulings} == VERDICTS


def test_what_was_measured_names_its_machine(rulings):
    for ruling in rulings:
        if ruling.id != "grpo-compares-samples":  # by its definition
            assert bool(ruling.machine) is (ruling.badge is not Badge.PROJECTED), ruling.id
