"""What the page says of decoders trained on questions, whatever the section."""

import re
from dataclasses import replace

import plotly.graph_objects
import pytest

from suite.configuration.files import languages
from suite.quality.tasks.tiers import SHARES as ASKED_SHARES
from suite.quality.tasks.tiers import TIERS as ASKED_TIERS
from suite.records.case import Case
from suite.records.record import Reading, Status
from suite.report.page.texts import load_texts
from suite.report.quality import tasks
from suite.report.quality import tiers as tiers_section
from suite.report.quality.contrasts import at_nearest_cache
from suite.report.quality.design import TIERS, has_default_rank, latent_rank, quality_experiments
from suite.report.quality.families import SHARES, families, form_contrasts, tier_gradings
from suite.report.quality.tiers import cache_against_answers
from suite.statistics.holm import holm
from tests.records.factory import build
from tests.report.quality_records import (
    ALL_HEADS_ALIKE,
    asked,
    details,
    in_memory,
    mla,
    mqa,
    quality_record,
    recall,
    section_of,
    study,
    thirds,
    tiers,
)
from tests.report.test_hostile import EVIL, texts

SECTIONS = (tiers_section, tasks)


def only_arms(*records):
    (experiment,) = quality_experiments(in_memory(*records))
    return experiment.arms


def figures(*records, lang="en"):
    sections = [section_of(module, *records, lang=lang) for module in SECTIONS]
    return [view.figure for section in sections for figure in section.figures for view in figure.views]


def test_without_such_records_there_are_no_such_sections():
    failed = quality_record(status=Status.FAILED)
    results = in_memory(build(), failed, quality_record(status=Status.INTERRUPTED, seed=1))
    assert [module.build(results) for module in SECTIONS] == [None, None]


def test_the_tiers_of_the_page_are_those_that_the_task_asks():
    assert (TIERS, SHARES) == (ASKED_TIERS, ASKED_SHARES)


def test_runs_of_an_arm_differ_in_their_seed():
    said_default = quality_record(0.5, seed=1, extras={"task.query_frequency": "skewed"})
    older = quality_record(0.1, seed=1, started_at="2026-01-01T10:00:00+00:00")
    broken = quality_record(seed=2, status=Status.FAILED)
    again = quality_record(seed=1, status=Status.FAILED, extras={"task.query_frequency": "skewed"})
    (arm,) = only_arms(quality_record(0.3), said_default, older, broken, again)
    assert arm.by_seed(lambda run: run.final()) == {"0": pytest.approx(0.3), "1": pytest.approx(0.5)}
    assert arm.failed == 1, "a seed that ended once has not failed"


def test_an_arm_that_never_ended_is_none():
    failed = [quality_record(seed=seed, lr=0.1, status=Status.FAILED) for seed in (0, 1)]
    assert len(only_arms(quality_record(0.5), *failed)) == 1


def test_an_arm_without_a_rank_has_that_of_deepseek_s_ratio():
    wide, narrow = only_arms(quality_record(**mla(None)), quality_record(**mla(32), seed=1))
    assert (latent_rank(wide), has_default_rank(wide)) == (64, True)
    assert (latent_rank(narrow), has_default_rank(narrow)) == (32, False)


def test_all_that_an_experiment_compares_is_judged_together():
    often, seldom, wide = (0.9, 0.8, 0.95, 0.7, 0.85), (0.2, 0.3, 0.25, 0.4, 0.1), (0.5, 0.3, 0.45, 0.35, 0.6)
    (family,) = families(
        in_memory(
            *thirds(seldom, wide, **mla(16)),
            *thirds(wide, often, **mla(24)),
            *thirds(often, **mqa(12)),
            *thirds((0.6, 0.7, 0.4, 0.5, 0.9), **mqa(16)),
            *thirds(wide, **asked("uniform", **mla(16))),
            *thirds(often, **asked("reversed", **mla(16))),
        )
    )
    cached = cache_against_answers(family)
    for comparisons in (
        [pair.comparison for pair in at_nearest_cache(family.main, TIERS)],
        [pair.comparison for pair in form_contrasts(family).values()],
        # What is answered is not asked of the cache.
        [less for (_, tier), less in cached.items() if tier == TIERS[-1]],
        tier_gradings(family.main).values(),
    ):
        tested = [comparison for comparison in comparisons if comparison.is_tested]
        assert len(tested) > 1
        p = [comparison.p for comparison in tested]
        assert [comparison.adjusted_p for comparison in tested] == holm(p) != p


def build_all(*records):
    for module in SECTIONS:
        module.build(in_memory(*records))
    details(in_memory(*records))


def test_every_record_can_be_missing():
    records = study()
    for part in [records[:1], records[2:4], records[6:8], records[10:12], records[-2:], records[::7]]:
        build_all(*part)


def test_metrics_can_be_missing_or_senseless():
    record = quality_record((1.0, 1.0, 0.2), cached=(1.0, 1.0, 0.2), falls=ALL_HEADS_ALIKE)
    senseless = [float("nan"), float("inf"), -1.0, 1e300]
    wild = [replace(reading, value=value) for reading in record.readings for value in senseless if reading.step]
    build_all(replace(record, readings=[r for r in record.readings if r.metric == "answer_accuracy"]))
    build_all(replace(record, readings=[*record.readings, *wild]))
    build_all(replace(record, readings=[Reading(step=1 << 40, span="x", metric="y", value=1)]))


def test_a_foreign_axis_or_seed_breaks_nothing():
    odd = replace(quality_record(), case=Case(workload="quality", axes={"task": None, "seed": "x"}, extras={}))
    assert section_of(tasks, odd, quality_record(seed=10**400)) is not None


@pytest.mark.parametrize("lang", languages("report"))
def test_every_figure_is_one_that_plotly_accepts(lang):
    plots = figures(*study(), lang=lang)
    assert len(plots) == 7
    for figure in plots:
        plotly.graph_objects.Figure(figure)


def test_hostile_names_are_shown_as_text():
    evil = quality_record((1.0, 1.0, 0.2), attention=EVIL, geometry=EVIL, extras={"attention.x": EVIL, "task.y": EVIL})
    foreign = quality_record(0.5, task=EVIL, extras={"task.y": EVIL}, settings={"attention": EVIL, "geometry": [EVIL]})
    kind = Reading(step=1, span=f"evaluate/{EVIL}", metric="answer_accuracy", value=0.5)
    plots = figures(replace(evil, readings=[*evil.readings, kind]), foreign, *study())
    templates = {"%{hovertext}<extra>%{fullData.name}</extra>"}
    assert not any(re.search(r"[<>$]|%\{", text) for text in set(texts(plots)) - templates)


def test_a_larger_decoder_has_a_baseline_of_its_own():
    larger = {"geometry.hidden_size": 256, "geometry.head_dim": 32}
    records = [*recall([0.8] * 5, attention="mha"), *recall([0.8] * 5, **mla(16))]
    records += [*recall([0.9] * 5, attention="mha", extras=larger), *recall([0.9] * 5, **mla(16, **larger))]
    first, second = quality_experiments(in_memory(*records))
    for experiment in (first, second):
        assert [load_texts("en").render(arm.name) for arm in experiment.arms] == ["MHA", "MLA rank 16"]
        assert experiment.baseline is experiment.arms[0]


def test_the_point_of_a_headline_needs_evidence():
    def point(module, records):
        return section_of(module, *records).headlines[0].text

    latents = tiers(0.2, **mla(16)) + tiers(0.98, **asked("uniform", **mla(16)))
    share = "MLA rank 16 answers 100% of what is asked often and 20% of what is asked rarely"
    fewer = "MLA rank 16 keeps fewer rare details than MQA with heads of 12 with an equal cache"
    assert point(tiers_section, latents) == share
    assert point(tiers_section, latents + tiers(0.5, **mqa(12))) == fewer
    assert point(tiers_section, latents + tiers(0.5, seeds=4, **mqa(12))) == share
