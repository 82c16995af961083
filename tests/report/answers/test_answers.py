"""Answers of a page: which machine's verdict stands first, what stands beside it, and that no claim lacks a part."""

from dataclasses import replace

import pytest

from suite.configuration.files import choices, languages, locate, read_yaml
from suite.report.answers.answers import QUESTIONS, build, build_answers
from suite.report.answers.claims import Standing, claims
from suite.report.blocks import Badge
from suite.report.page.texts import load_texts
from tests.records.factory import build as record
from tests.records.factory import with_readings
from tests.report.quality_records import in_memory
from tests.report.reading import rows_of, said
from tests.report.rl.runs import named, run
from tests.report.rl_memory_records import memory_record

EN = load_texts("en")
CLAIMS = claims()
HERE = "a1b2c3d4"
ELSEWHERE = {"machine_id": "ffff0000", "cpu": "Another processor"}


def speeds(mla_s, mha_s, environment=None):
    environment = environment or {"machine_id": HERE, "cpu": "A processor"}
    times = (("mla", mla_s), ("mha", mha_s))
    return [record(attention=name, latencies_s=(s,) * 7, environment=environment) for name, s in times]


def answered(*records, here=HERE):
    answers = build_answers(in_memory(*records), here)
    return answers, {ruling.id: ruling for ruling in answers.rulings}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim["id"])
def test_each_claim_has_a_rule_texts_a_section_and_commands(claim):
    assert callable(locate(claim["decided_by"]))
    assert {*claim.get("sweeps", ())} <= {*choices("sweep")}
    assert claim.get("sweeps") or claim.get("overrides") or claim["evidence"] == "definition"
    modules = {dotted.split(".")[-2] for view in read_yaml("report.yaml")["views"].values() for dotted in view}
    names = {"quality": "tasks", "quality_tiers": "tiers"}
    assert names.get(claim["section"], claim["section"].removeprefix("rl_")) in modules
    keys = {f"claim.{part}{claim['id']}" for part in ("", "needs.", "compares.")}
    keys |= {f"claim.evidence.{claim['evidence']}", f"{claim['section']}.title"}
    questions = [*claim.get("trial", {}).get("decides", ()), *claim.get("trial", {}).get("beside", ())]
    measured = [question for question in questions if "measure" in question]
    keys |= {f"claim.about.{question.get('says', question['measure'])}" for question in measured}
    for lang in languages("report"):
        assert keys <= load_texts(lang).sentences.keys()
    for work in claim.get("literature", ()):
        assert work["says"] in ("for", "against", "qualifies")
        assert work["what"]
        assert work["source"]


def test_this_machines_verdict_stands_first_and_others_beside_it():
    """Both timed MLA and MHA in equal cases, and a single launch of MHA tells no share of its kernel."""
    answers, rulings = answered(*speeds(1e-3, 3e-3), *speeds(3e-3, 1e-3, ELSEWHERE))
    ruling = rulings["mla-faster-inference"]
    assert (ruling.outcome, ruling.badge, ruling.machine) == (Standing.SUPPORTED, Badge.HERE, "A processor")
    assert (ruling.beside.outcome, ruling.beside.machine) == (Standing.CONTRADICTED, "Another processor")
    assert EN.render(answers.reproduced[0]) == EN("answer.reproduced", total=1, agrees=0, differs=1, untold=0)
    assert [card.ruling for card in answers.cards] == [rulings[name] for name in QUESTIONS[:2]]
    agreed, _ = answered(*speeds(1e-3, 3e-3), *speeds(1e-3, 2e-3, ELSEWHERE))
    counted = EN("answer.reproduced", total=1, agrees=1, differs=0, untold=0)
    assert [EN.render(text) for text in agreed.reproduced] == [counted]


def test_too_few_records_here_leave_the_verdict_to_others():
    single = [replace(each, readings=each.readings[:-12]) for each in speeds(1e-3, 3e-3)]
    answers, rulings = answered(*single, *speeds(3e-3, 1e-3, ELSEWHERE))
    ruling = rulings["mla-faster-inference"]
    assert (ruling.badge, ruling.machine) == (Badge.ELSEWHERE, "Another processor")
    assert (ruling.beside.badge, ruling.beside.outcome) == (Badge.HERE, Standing.OPEN)
    assert EN.render(answers.reproduced[0]) == EN("answer.reproduced", total=1, agrees=0, differs=0, untold=1)


def trained(last, seeds, environment, **axes):
    """Runs of GRPO with a format reward that end at an accuracy, from 10%."""
    records = [run([0.1, 0.2, last + seed / 100], seed=seed, **axes) for seed in range(seeds)]
    return [replace(named(record, format_weight=0.1), environment=environment) for record in records]


@pytest.mark.parametrize(
    ("here", "elsewhere", "badge"), [(5, 10, Badge.ELSEWHERE), (10, 10, Badge.HERE), (10, 5, Badge.HERE)]
)
def test_the_side_with_more_pairs_of_runs_decides(here, elsewhere, badge):
    own = trained(0.8, here, {"machine_id": HERE, "cpu": "A processor"})
    _, rulings = answered(*own, *trained(0.0, elsewhere, ELSEWHERE))
    ruling = rulings["accuracy-and-format-rewards"]
    sides = {each.badge: each for each in (ruling, ruling.beside)}
    assert ruling.badge is badge
    assert (sides[Badge.HERE].outcome, sides[Badge.ELSEWHERE].outcome) == (Standing.SUPPORTED, Standing.CONTRADICTED)
    counts = [EN.render(sides[each].lead.count) for each in (Badge.HERE, Badge.ELSEWHERE)]
    assert counts == [f"{here} seeds", f"{elsewhere} seeds"]


def test_pairs_of_all_tasks_count():
    tasks = [each for task in ("sort", "addition") for each in trained(0.0, 5, ELSEWHERE, task=task)]
    _, rulings = answered(*trained(0.8, 6, {"machine_id": HERE, "cpu": "A processor"}), *tasks)
    assert rulings["accuracy-and-format-rewards"].badge is Badge.ELSEWHERE


def test_without_records_closed_forms_and_definitions_rule():
    answers, rulings = answered()
    badges = {name: ruling.badge for name, ruling in rulings.items() if ruling.outcome != Standing.UNMEASURED}
    projected = dict.fromkeys(["mla-less-kv-memory", "mla-lowers-compute"], Badge.PROJECTED)
    assert badges == {**projected, "grpo-compares-samples": None}
    assert rulings["grpo-compares-samples"].outcome == Standing.DEFINED
    assert (answers.reproduced, [card.ruling.id for card in answers.cards]) == ([], ["mla-less-kv-memory"])


@pytest.mark.parametrize("lang", languages("report"))
def test_the_table_has_a_row_for_each_claim_in_each_language(lang):
    texts = load_texts(lang)
    rows = rows_of(said(build(in_memory(*speeds(1e-3, 3e-3))), lang).tables[0])
    assert [row[texts("claim.claim")] for row in rows] == [texts(f"claim.{claim['id']}") for claim in CLAIMS]
    (row,) = [row for row in rows if row[texts("claim.claim")] == texts("claim.mla-faster-inference")]
    assert row[texts("claim.verdict")] == texts("claim.outcome.supported")
    assert "0.333×" in row[texts("claim.number")]
    assert row[texts("claim.machine")].startswith(texts("claim.badge.elsewhere"))
    assert row[texts("claim.machine")].endswith("A processor")


def test_what_was_measured_elsewhere_goes_before_closed_forms():
    cached = [
        with_readings(record(attention=name, environment=ELSEWHERE), "case", cache_bytes_counted=size)
        for name, size in (("mla", 576), ("mha", 4096))
    ]
    _, rulings = answered(record(attention="mqa"), *cached)
    ruling = rulings["mla-less-kv-memory"]
    assert (ruling.badge, ruling.lead.value) == (Badge.ELSEWHERE, 576 / 4096)


def test_what_is_projected_on_one_machine_holds_on_every():
    records = []
    for name, size, cost in (("grpo", 6, 0.25), ("ppo", 10, 0.5)):
        parts = {("policy", "parameters"): size << 30}
        projected = memory_record({"update": parts}, algorithm=name, geometry="llama-3.1-8b")
        records.append(replace(projected, environment={"machine_id": HERE}))
        for seed in range(5):
            cpu_s = (0.25, 0.25, cost + seed / 100)
            records.append(replace(run([0.1, 0.2, 0.9], algorithm=name, seed=seed, cpu_s=cpu_s), environment=ELSEWHERE))
    _, rulings = answered(*records)
    ruling = rulings["grpo-cheaper"]
    assert (ruling.badge, ruling.machine, ruling.lead.value) == (Badge.PROJECTED, "", 0.6)
