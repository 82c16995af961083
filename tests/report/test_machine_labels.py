"""A label is one machine: what is timed on several stands apart, what is learnt on several does not."""

from dataclasses import replace

import pytest

import suite
from suite.report.attention.latency import build as build_latency
from suite.report.model.results import read_results
from suite.report.quality.design import decode_s, quality_experiments
from tests.records.factory import build, store
from tests.report.quality_records import quality_record
from tests.report.reading import said

EPYC = {"machine_id": "be23c3d5", "cpu": "AMD EPYC"}
XEON = {"machine_id": "1e99252b", "cpu": "Intel(R) Xeon(R) Processor"}
OTHER_XEON = {"machine_id": "f033eb38", "cpu": "Intel(R) Xeon(R) Processor"}


@pytest.fixture
def read(tmp_path):
    def of(*records):
        for number, record in enumerate(records):
            store(tmp_path / "results" / str(number), record)
        return read_results([tmp_path / "results"], ["reference"])

    return of


def on(machine, record):
    return replace(record, environment={**record.environment, **machine})


def test_a_folder_of_one_machine_keeps_its_label(read):
    results = read(build(environment=EPYC), build(environment=EPYC, attention="mha"))
    assert list(results.labels) == ["reference"]


def test_several_machines_stand_apart_and_by_name(read):
    latencies = {"seq_len": 4096}, {"seq_len": 8192}
    results = read(*(build(environment=machine, **one) for machine in (EPYC, XEON, OTHER_XEON) for one in latencies))
    names = ["reference (AMD EPYC)", "reference (Intel Xeon Processor, 1e99)", "reference (Intel Xeon Processor, f033)"]
    assert sorted(results.labels) == names
    assert sorted(one.label for one in results.records) == sorted(names * 2)
    latency = said(build_latency(results))
    assert sorted(figure.facets["label"] for figure in latency.figures) == names


def test_one_case_on_two_machines_is_two_results(read):
    results = read(build(environment=EPYC), build(environment=XEON))
    assert [(one.label, one.superseded) for one in results.records] == [
        ("reference (AMD EPYC)", 0),
        ("reference (Intel Xeon Processor)", 0),
    ]


def test_a_decoders_seeds_are_one_arm_without_its_decode_time(read):
    results = read(on(EPYC, quality_record(seed=0)), on(XEON, quality_record(seed=1)))
    (study,) = quality_experiments(results)
    assert [len(arm.runs) for arm in study.arms] == [2]
    assert decode_s(study.arms[0]) is None


def test_twins_whose_ids_begin_alike_get_more_digits(read):
    twin = {**XEON, "machine_id": "1e99cafe"}
    results = read(build(environment=XEON), build(environment=twin))
    names = ["reference (Intel Xeon Processor, 1e992)", "reference (Intel Xeon Processor, 1e99c)"]
    assert sorted(results.labels) == names


def test_a_spread_workloads_times_are_no_comparison_in_python(tmp_path):
    spread = (on(EPYC, quality_record(seed=0)), on(XEON, quality_record(seed=1)))
    for number, record in enumerate(spread):
        store(tmp_path / str(number), record)
    runs = suite.load(tmp_path)
    with pytest.raises(ValueError, match="by must be a setting in which otherwise equal runs differ"):
        runs.compare(by="attention", span="decode", metric="latency_s")


def test_a_record_that_names_no_machine_stands_under_the_folder(read):
    results = read(build(environment=EPYC), build(environment={"machine_id": None, "cpu": None}))
    assert sorted(results.labels) == ["reference", "reference (AMD EPYC)"]
