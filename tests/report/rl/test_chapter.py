"""All sections of reinforcement learning together: beside attention_runs, and over odd and hostile records."""

import re
from dataclasses import replace

import plotly.graph_objects
import pytest

from suite.configuration.files import languages
from suite.records.record import Reading
from suite.report.command import render_sections
from suite.report.page.texts import load_texts
from suite.report.plot.plots import HOVER, VALUES
from suite.report.rl import cost, efficiency, stability, stages
from tests.records.factory import build
from tests.report.quality_records import in_memory
from tests.report.reading import said
from tests.report.rl.runs import arms, failed, named, run, thinking
from tests.report.test_hostile import EVIL, texts

SECTIONS = (efficiency, cost, stability, stages)


def sections(*records, lang="en"):
    results = in_memory(*records)
    return [said(section, lang) for module in SECTIONS if (section := module.build(results))]


def ids(*records):
    return [section.id for section in sections(*records)]


def figures(built):
    return [view.figure for section in built for figure in section.figures for view in figure.views]


def accepted(built):
    for figure in figures(built):
        plotly.graph_objects.Figure(figure)


def test_a_section_stands_where_its_records_are():
    assert ids(build()) == []
    without_recipes = run([0.1, 0.2]), named(run([0.1, 0.2], seed=2), recipe="r1_zero")
    assert ids(*without_recipes) == ["rl_efficiency", "rl_cost", "rl_stability"]


def test_training_runs_change_no_other_section():
    attention_runs = [build(attention=name, seq_len=tokens) for name in ("mha", "mla") for tokens in (1024, 4096)]
    finals = {"grpo": (0.6, 0.7, 0.6, 0.7, 0.6), "ppo": (0.5,) * 5}
    by_task = [
        run([0.1, 0.2, final], task=task, algorithm=name, seed=seed)
        for task in ("addition", "postfix", "sort")
        for name, values in finals.items()
        for seed, final in enumerate(values)
    ]
    training = [*by_task, failed(seed=9)]
    mixed, alone = (
        {section.id: section for section in render_sections(in_memory(*records), load_texts("en"))}
        for records in ([*attention_runs, *training], attention_runs)
    )
    ours = {"claims", "rl_efficiency", "rl_cost", "rl_stability", "trust"}
    assert {name: section for name, section in mixed.items() if name not in ours} == {
        name: section for name, section in alone.items() if name not in ours
    }


def only(*metrics):
    record = run([0.1, 0.2])
    return replace(record, readings=[reading for reading in record.readings if reading.metric in metrics])


def evaluated_at(step):
    reading = Reading(step=step, span="evaluate", metric="heldout_accuracy", value=0.1)
    return replace(run([0.1, 0.5]), readings=[reading])


@pytest.mark.parametrize(
    "record",
    [
        only("heldout_accuracy"),
        only("completions", "latency_s"),
        run([0.1]),
        run([float("nan"), 2.0, -1.0]),
        run([0.1, 0.5], each=0),
        run([0.1, 0.5], cpu_s=(0.0, 0.0, 0.0), energy_j=-1.0),
        run([0.1, 0.5], cpu_s=(float("nan"), float("inf"), -1.0), more={"entropy": float("nan"), "format": 7.0}),
        run([0.1, 0.5], algorithm=None, task=None, attention=None, policy=None, seed=None, device=None),
        run([0.1, 0.5], algorithm=3, seed="x", steps="many", prompts_per_step=10**400, num_generations=True),
        evaluated_at(-1),
        evaluated_at(10**12),
    ],
    ids=range(11),
)
def test_an_odd_training_record_breaks_nothing(record):
    built = sections(record)
    assert [section.id for section in built if section.headlines and section.id != "rl_stability"] == []
    accepted(built)


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


@pytest.mark.parametrize("lang", languages("report"))
def test_odd_records_of_recipes_break_nothing(lang):
    records = [
        *(
            named(run([0.1, 0.2, 0.3], seed=seed), stages=odd, teacher=odd, recipe="r1", reward_source="majority")
            for seed, odd in enumerate(ODD_STAGES)
        ),
        named(run([0.1, 0.2, 0.3], seed="odd"), recipe=3, supervision=[1], reward_source=None),
        named(run([0.1]), recipe="base", stages=[], teacher={"process_cpu_s": "long"}),
        named(run([0.1, float("nan"), 7.0], cpu_s=(float("nan"), -1.0, 0.0)), recipe="sft"),
        thinking([float("nan"), -3.0, 1e300], [0.1, 0.5, 0.9], [2.0, -1.0, float("inf")], sampled=-1.0, seed=5),
        thinking([1.0], [0.9], seed=6),
    ]
    accepted(sections(*records, lang=lang))


def test_hostile_names_are_shown_as_text():
    names = ("algorithm", "task", "policy", "attention")
    evil, more = dict.fromkeys(names, EVIL), dict.fromkeys(("dtype", "lr"), EVIL)
    extras = {EVIL: EVIL, "task.digits": EVIL}
    records = [
        run([0.1, 0.2], **evil, **more, seed=EVIL, forms=[1.0, 1.0], extras=extras),
        run([0.1, 0.2], **evil, **more, seed=1, extras=extras),
        run([0.1, 0.2], **evil | more | {"attention": "mha"}, seed=1, extras=extras),
    ]
    records += [
        named(thinking([1.0, 2.0, 3.0], [0.1, 0.3, 0.6], seed=seed, **evil), **extras, stages=kinds)
        for seed in (0, 1)
        for extras, kinds in (
            ({"recipe": EVIL, EVIL: EVIL}, [{"kind": EVIL, "steps": 1}, {"kind": EVIL, "steps": 1}]),
            ({"supervision": EVIL}, None),
            ({"reward_source": EVIL}, None),
            ({}, None),
        )
    ]
    built = sections(*records)
    assert len(built) == len(SECTIONS)
    traces = [trace for figure in figures(built) for trace in figure["data"]]
    visible = [{name: value for name, value in trace.items() if name != "meta"} for trace in traces]
    assert not any(re.search(r"[<>$]|%\{", text) for text in set(texts(visible)) - {HOVER, VALUES})


@pytest.mark.parametrize("lang", languages("report"))
def test_plotly_accepts_the_figures_of_a_whole_study(lang):
    learnt = arms({"grpo": (0.6, 0.7), "ppo": (0.5, 0.6)}, ppo={"critic_lr": 1e-3, "more": {"explained_variance": 0.7}})
    built = sections(*learnt, run([0.1, 0.7, 0.02], seed=7, forms=[0.1, 0.9, 1.0]), failed(seed=8), lang=lang)
    assert [section.id for section in built] == ["rl_efficiency", "rl_cost", "rl_stability"]
    accepted(built)
