"""All sections of reinforcement learning together: beside others, and over odd and hostile records."""

import re
from dataclasses import replace

import plotly.graph_objects
import pytest

from suite.configuration.files import languages
from suite.records.record import Reading
from suite.report.command import render_sections
from suite.report.page.texts import load_texts
from suite.report.plot.marks import HOVER, VALUES
from suite.report.rl import attention, conformance, cost, efficiency, evolution, feedback, stability, stages
from tests.records.factory import build
from tests.report.reading import results_of, results_with_series, rows_of, said, samples, sections_of, telemetry
from tests.report.rl.runs import CONFORMANCE, arms, conformance_record, failed, named, run, thinking
from tests.report.rl_records import only, study
from tests.report.test_hostile import EVIL, page_of, parsed, texts

SECTIONS = (efficiency, cost, stability, attention, stages, evolution, feedback, conformance)
EN = load_texts("en")


def found_in(results, lang="en"):
    return [said(section, lang) for module in SECTIONS if (section := module.build(results))]


def accepted(sections):
    for view in (view for section in sections for figure in section.figures for view in figure.views):
        plotly.graph_objects.Figure(view.figure)


def by_id(results):
    return {section.id: section for section in render_sections(results, EN)}


def test_without_such_records_there_are_no_such_sections(tmp_path):
    assert found_in(results_of(tmp_path, build())) == []


def test_without_recipes_or_thoughts_there_are_no_sections(tmp_path):
    results = results_of(tmp_path, run([0.1, 0.2]), named(run([0.1, 0.2], seed=2), recipe="r1_zero"))
    assert [section.id for section in found_in(results)] == ["rl_efficiency", "rl_cost", "rl_stability"]


def test_training_runs_change_no_other_section(tmp_path):
    others = [build(attention=name, seq_len=tokens) for name in ("mha", "mla") for tokens in (1024, 4096)]
    training = [*arms({"grpo": (0.6, 0.7), "ppo": (0.5, 0.6)}), failed(seed=9), conformance_record(CONFORMANCE)]
    mixed = by_id(results_of(tmp_path / "mixed", *others, *training))
    alone = by_id(results_of(tmp_path / "alone", *others))
    ours = {"claims", "rl_efficiency", "rl_cost", "rl_stability", "rl_conformance", "trust"}
    assert {name: one for name, one in mixed.items() if name not in ours} == {
        name: one for name, one in alone.items() if name not in ours
    }
    cases = rows_of(mixed["trust"].tables[0])
    assert [row["results"] for row in cases[:3]] == ["10", "9", "1"]
    assert "algorithm=grpo" in rows_of(mixed["trust"].tables[1])[0]["Case"]
    traces = mixed["rl_efficiency"].figures[0].views[0].figure["data"]
    assert {trace["meta"]["algorithm"] for trace in traces} == {"GRPO", "PPO"}


def test_a_disturbed_run_is_named_by_algorithm_and_seed(tmp_path):
    marks = [(place, "pressured") for place in range(5)]
    record = replace(run([0.1, 0.2], seed=3), provenance=telemetry())
    results = results_with_series(tmp_path, (record, samples("cpu", "steal_share", [0.0] * 10, marks=marks)))
    (table,) = [table for table in by_id(results)["trust"].tables if table.title.startswith("Devices")]
    (row,) = rows_of(table)
    assert "algorithm=grpo" in row["Settings"]
    assert (row["Variant"], row["Case"]) == ("MHA", "sort · GRPO · seed 3")


def at(step):
    return Reading(step=step, span="evaluate", metric="heldout_accuracy", value=0.1)


@pytest.mark.parametrize(
    "record",
    [
        only(run([0.1, 0.2]), "heldout_accuracy"),
        only(run([0.1, 0.2]), "completions", "latency_s"),
        run([0.1]),
        run([float("nan"), 2.0, -1.0]),
        run([0.1, 0.5], each=0),
        run([0.1, 0.5], cpu_s=(0.0, 0.0, 0.0), energy_j=-1.0),
        run([0.1, 0.5], cpu_s=(float("nan"), float("inf"), -1.0), more={"entropy": float("nan"), "format": 7.0}),
        run([0.1, 0.5], algorithm=None, task=None, attention=None, policy=None, seed=None, device=None),
        run([0.1, 0.5], algorithm=3, seed="x", steps="many", prompts_per_step=10**400, num_generations=True),
        replace(run([0.1, 0.5]), readings=[at(-1)]),
        replace(run([0.1, 0.5]), readings=[at(10**12)]),
        conformance_record({"": {"": float("nan")}, "kl": {"value_bias": float("inf"), "gradient_bias": float("nan")}}),
    ],
    ids=range(12),
)
def test_an_odd_training_record_breaks_nothing(tmp_path, record):
    found = found_in(results_of(tmp_path, record))
    assert [section.id for section in found if section.headlines and section.id != "rl_stability"] == []
    accepted(found)


ODD_STAGES = (
    "rl",
    [],
    [1],
    [{"kind": "rl"}],
    [{"kind": ["x"], "steps": 2}],
    [{"kind": "rl", "steps": -1}],
    [{"kind": "rl", "steps": 10**400}],
    [{"kind": "rl", "steps": 1}] * 100,
    [{"kind": "rl", "steps": 1}],
    [{"kind": "rl", "steps": 50}],
)


def test_odd_records_of_recipes_break_nothing(tmp_path):
    records = [
        *(
            named(run([0.1, 0.2, 0.3], seed=seed), stages=said, teacher=said, recipe="r1", reward_source="majority")
            for seed, said in enumerate(ODD_STAGES)
        ),
        named(run([0.1, 0.2, 0.3], seed="odd"), recipe=3, supervision=[1], reward_source=None),
        named(run([0.1]), recipe="base", stages=[], teacher={"process_cpu_s": "long"}),
        named(run([0.1, float("nan"), 7.0], cpu_s=(float("nan"), -1.0, 0.0)), recipe="sft"),
        thinking([float("nan"), -3.0, 1e300], [0.1, 0.5, 0.9], [2.0, -1.0, float("inf")], sampled=-1.0, seed=5),
        thinking([1.0], [0.9], seed=6),
    ]
    results = results_of(tmp_path, *records)
    for lang in languages("report"):
        accepted(found_in(results, lang))


def test_hostile_names_of_training_runs_are_shown_as_text(tmp_path):
    evil = dict.fromkeys(("algorithm", "task", "policy", "attention", "dtype", "lr"), EVIL)
    records = [
        run([0.1, 0.2], **evil, seed=EVIL, forms=[1.0, 1.0]),
        run([0.1, 0.2], **evil, seed=1),
        run([0.1, 0.2], **evil | {"attention": "mha"}, seed=1),
        conformance_record({EVIL: {EVIL: 1.0, "gradient_bias": 1.0}}, dtype=EVIL),
    ]
    records = [replace(one, case=replace(one.case, extras={EVIL: EVIL, "task.digits": EVIL})) for one in records]
    page = page_of(tmp_path, *records, labels=[EVIL])
    elements = parsed(page)
    assert "b" not in elements.tags
    ours = {"rl_efficiency", "rl_cost", "rl_stability", "rl_attention", "rl_conformance"}
    assert ours <= sections_of(page)
    templates = {HOVER, VALUES, "%{y}: %{text}<extra>%{fullData.name}</extra>"}
    for text in set(texts([data for data in elements.data if "data" in data])) - templates:
        assert not re.search(r"[<>$]|%\{", text)


def test_hostile_names_of_recipes_are_shown_as_text(tmp_path):
    evil = dict.fromkeys(("algorithm", "task", "policy", "attention"), EVIL)
    records = [
        named(thinking([1.0, 2.0, 3.0], [0.1, 0.3, 0.6], seed=seed, **evil), **extras, stages=said)
        for seed in (0, 1)
        for extras, said in (
            ({"recipe": EVIL, EVIL: EVIL}, [{"kind": EVIL, "steps": 1}, {"kind": EVIL, "steps": 1}]),
            ({"supervision": EVIL}, None),
            ({"reward_source": EVIL}, None),
            ({}, None),
        )
    ]
    found = found_in(results_of(tmp_path, *records))
    assert {"rl_stages", "rl_evolution", "rl_feedback"} <= {section.id for section in found}
    traces = [
        trace for one in found for figure in one.figures for view in figure.views for trace in view.figure["data"]
    ]
    drawn = [{name: value for name, value in trace.items() if name != "meta"} for trace in traces]
    for text in set(texts(drawn)) - {HOVER, VALUES}:
        assert not re.search(r"[<>$]|%\{", text)


def test_plotly_accepts_the_figures_of_a_whole_study(tmp_path):
    results = results_of(tmp_path, *study(seeds=2, steps=8))
    for lang in languages("report"):
        found = found_in(results, lang)
        assert [section.id for section in found] == ["rl_efficiency", "rl_cost", "rl_stability"]
        assert len(found[2].figures[0].views) == 7
        assert all(figure.caption for section in found for figure in section.figures)
        accepted(found)
