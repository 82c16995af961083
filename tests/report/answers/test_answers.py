"""Answers of a page: which machine's verdict stands first, what stands beside it, and that no claim lacks a part."""

from dataclasses import replace

import pytest

from suite.configuration.files import choices, languages, locate, read_yaml
from suite.records.record import Reading
from suite.report.answers.answers import QUESTIONS, build_answers
from suite.report.answers.answers import build as build_section
from suite.report.answers.claims import Standing, claims
from suite.report.blocks import Badge
from suite.report.page.texts import load_texts
from tests.records.factory import build
from tests.report.quality_records import in_memory
from tests.report.reading import rows_of, said
from tests.report.rl.runs import run
from tests.report.rl_memory_records import memory_record

EN = load_texts("en")
CLAIMS = claims()
HERE, COUNTED = "a1b2c3d4", "cache_bytes_counted"
OTHER = {"machine_id": "ffff0000", "cpu": "Another processor"}


def speeds(mla_s, mha_s, machine=HERE, cpu="A processor"):
    environment = {"machine_id": machine, "cpu": cpu}
    times = (("mla", mla_s), ("mha", mha_s))
    return [build(attention=name, latencies_s=(s,) * 7, environment=environment) for name, s in times]


def elsewhere(mla_s, mha_s):
    return speeds(mla_s, mha_s, machine="ffff0000", cpu="Another processor")


def answered(*records, here=HERE):
    found = build_answers(in_memory(*records), here)
    return found, {ruling.id: ruling for ruling in found.rulings}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim["id"])
def test_each_claim_has_a_rule_texts_a_section_and_commands(claim):
    assert callable(locate(claim["decided_by"]))
    assert {*claim.get("sweeps", ())} <= {*choices("sweep")}
    assert claim.get("sweeps") or claim.get("overrides") or claim["evidence"] == "definition"
    keys = {f"claim.{part}{claim['id']}" for part in ("", "needs.", "compares.")}
    for lang in languages("report"):
        sentences = load_texts(lang).sentences.keys()
        assert {*keys, f"claim.evidence.{claim['evidence']}", f"{claim['section']}.title"} <= sentences
    for work in claim.get("literature", ()):
        assert work["says"] in ("for", "against", "qualifies")
        assert work["what"]
        assert work["source"]


def test_there_are_twenty_seven_claims_and_six_questions():
    names = [claim["id"] for claim in CLAIMS]
    assert len(names) == len({*names}) == 27
    assert len(QUESTIONS) == len({*QUESTIONS} & {*names}) == 6
    for lang in languages("report"):
        keys = {f"answer.question.{name}" for name in QUESTIONS} | {f"claim.outcome.{one}" for one in Standing}
        assert keys <= load_texts(lang).sentences.keys()


def test_a_claims_section_is_one_that_the_report_builds():
    views = read_yaml("report.yaml")["views"].values()
    modules = {dotted.split(".")[-2] for view in views for dotted in view}
    names = {"quality": "tasks", "quality_tiers": "tiers"}
    for claim in CLAIMS:
        assert names.get(claim["section"], claim["section"].removeprefix("rl_")) in modules, claim["id"]


def test_this_machines_verdict_stands_first_and_others_beside_it():
    """The share of MHA's kernel is the same on both, and their second verdict in common."""
    found, rulings = answered(*speeds(1e-3, 3e-3), *elsewhere(3e-3, 1e-3))
    ruling = rulings["mla-faster-inference"]
    assert (ruling.outcome, ruling.badge, ruling.machine) == (Standing.SUPPORTED, Badge.HERE, "A processor")
    assert (ruling.elsewhere.outcome, ruling.elsewhere.machine) == ("contradicted", "Another processor")
    assert EN.render(found.reproduced[0]) == "1 of 2 claims reproduced on this machine."
    agreed, _ = answered(*speeds(1e-3, 3e-3), *elsewhere(1e-3, 2e-3))
    assert [EN.render(text) for text in agreed.reproduced] == ["2 of 2 claims reproduced on this machine."]


def test_too_few_records_here_leave_the_verdict_to_others():
    single = [replace(record, readings=record.readings[:-12]) for record in speeds(1e-3, 3e-3)]
    found, rulings = answered(*single, *elsewhere(3e-3, 1e-3))
    ruling = rulings["mla-faster-inference"]
    assert (ruling.badge, ruling.machine, ruling.elsewhere) == (Badge.ELSEWHERE, "Another processor", None)
    assert found.reproduced == []


def test_without_records_closed_forms_and_definitions_rule():
    found, rulings = answered()
    badges = {name: ruling.badge for name, ruling in rulings.items() if ruling.outcome != Standing.UNMEASURED}
    assert badges == {
        "mla-less-kv-memory": Badge.PROJECTED,
        "mla-lowers-compute": Badge.PROJECTED,
        "grpo-compares-samples": None,
    }
    assert rulings["grpo-compares-samples"].outcome == Standing.DEFINED
    missing = rulings["grpo-stable"]
    assert (missing.badge, EN.render(missing.evidence[0])) == (None, "No records of GRPO beside PPO at equal settings.")
    assert found.reproduced == []


def test_a_card_is_the_ruling_of_its_claim():
    found, rulings = answered(*speeds(1e-3, 3e-3))
    questions = [EN.render(card.question) for card in found.cards]
    assert questions[0] == "Is MLA faster at decoding?"
    answered_ones = [name for name in QUESTIONS if rulings[name].outcome != Standing.UNMEASURED]
    assert [card.ruling for card in found.cards] == [rulings[name] for name in answered_ones]


def test_a_ruling_says_its_rule_its_literature_and_its_commands():
    _, rulings = answered(*speeds(1e-3, 3e-3))
    ruling = rulings["mla-lower-ceiling"]
    assert any("downstream 59.1 (MLA) against 60.1 (MHA) at 1.47B" in EN.render(work) for work in ruling.supporting)
    assert any("DeepSeek-V2 report, table 9" in EN.render(work) for work in ruling.opposing)
    assert ruling.commands == ["suite run -m sweep=quality", "suite run -m sweep=quality_full"]
    assert "ratio of rank to width" in EN.render(ruling.rule)
    assert "Student’s 95 % interval" in EN.render(ruling.rule)


@pytest.mark.parametrize("lang", languages("report"))
def test_the_table_has_a_row_for_each_claim_in_each_language(lang):
    section = said(build_section(in_memory(*speeds(1e-3, 3e-3))), lang)
    rows = rows_of(section.tables[0])
    texts = load_texts(lang)
    assert [row[texts("claim.claim")] for row in rows] == [texts(f"claim.{claim['id']}") for claim in CLAIMS]
    (row,) = [row for row in rows if row[texts("claim.claim")] == texts("claim.mla-faster-inference")]
    assert row[texts("claim.verdict")] == texts("claim.outcome.supported")
    assert "0.333×" in row[texts("claim.number")]
    assert row[texts("claim.machine")].startswith(texts("claim.badge.elsewhere"))
    assert row[texts("claim.machine")].endswith("A processor")


def test_results_narrow_to_records_and_their_labels():
    results = in_memory(ours=speeds(1e-3, 3e-3), theirs=elsewhere(1e-3, 2e-3))
    narrowed = results.narrowed(lambda _, record: record.environment["machine_id"] == HERE)
    assert (narrowed.labels, len(narrowed.records), len(narrowed.every)) == (["ours"], 2, 2)
    assert results.narrowed(lambda *_: True) is results


def test_what_was_measured_elsewhere_goes_before_closed_forms():
    counted = [build(attention=name, environment={"machine_id": "ffff0000"}) for name in ("mla", "mha")]
    cached = [
        replace(record, readings=[*record.readings, Reading(step=0, span="case", metric=COUNTED, value=size)])
        for record, size in zip(counted, (576.0, 4096.0), strict=True)
    ]
    _, rulings = answered(build(attention="mqa"), *cached)
    ruling = rulings["mla-less-kv-memory"]
    assert (ruling.badge, ruling.lead.value) == (Badge.ELSEWHERE, 576 / 4096)


def test_what_is_projected_on_one_machine_holds_on_every():
    parts = [{("policy", "parameters"): size << 30} for size in (6, 10)]
    names = zip(("grpo", "ppo"), parts, strict=True)
    projected = [memory_record({"update": part}, algorithm=name, geometry="llama-3.1-8b") for name, part in names]
    ours = [replace(record, environment={"machine_id": HERE}) for record in projected]
    theirs = [
        replace(
            run([0.1, 0.2, 0.9], algorithm=name, seed=seed, cpu_s=(0.25, 0.25, cost + seed / 100)), environment=OTHER
        )
        for name, cost in (("grpo", 0.25), ("ppo", 0.5))
        for seed in range(5)
    ]
    _, rulings = answered(*ours, *theirs)
    ruling = rulings["grpo-cheaper"]
    assert (ruling.badge, ruling.machine, ruling.lead.value) == (Badge.PROJECTED, "", 0.6)
    assert "GRPO minus PPO" in " ".join(map(EN.render, ruling.evidence))
