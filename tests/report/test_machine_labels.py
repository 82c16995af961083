"""A label is one machine: what is timed on several stands apart, what is learnt on several does not."""

from dataclasses import replace

import pytest

from suite.report.attention.latency import build as build_latency
from suite.report.model.results import read_results
from suite.report.quality_runs import studies
from suite.report.rl_runs import comparisons
from tests.records.factory import build, store
from tests.report.quality_records import quality_record
from tests.report.reading import said
from tests.report.rl_records import rl_record

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
    lines = {trace["name"] for trace in latency.figures[0].views[0].figure["data"]}
    assert all(any(name in line for name in names) for line in lines)


def test_one_case_on_two_machines_is_two_results(read):
    results = read(build(environment=EPYC), build(environment=XEON))
    assert [(one.label, one.superseded) for one in results.records] == [
        ("reference (AMD EPYC)", 0),
        ("reference (Intel Xeon Processor)", 0),
    ]


def test_seeds_spread_over_machines_stay_one_arm_without_times(read):
    places = [(EPYC, 1), (EPYC, 2), (XEON, 3)]
    algorithms = ("grpo", "rloo")
    results = read(*(on(place, rl_record(seed=seed, algorithm=one)) for one in algorithms for place, seed in places))
    (found,) = comparisons(results)
    assert [len(arm.runs) for arm in found.arms] == [3, 3]
    assert found.budgets == ["completions", "tokens", "updates"]
    assert not any(run.cpu_s or run.wall_s for arm in found.arms for run in arm.runs)


def test_an_arm_that_one_machine_has_whole_keeps_its_times(read):
    both = [on(machine, rl_record(seed=seed)) for machine, seed in ((EPYC, 1), (EPYC, 2), (XEON, 1))]
    other = [on(EPYC, rl_record(seed=seed, algorithm="rloo")) for seed in (1, 2)]
    found = comparisons(read(*both, *other))
    assert [(one.title, len(one.arms)) for one in found] == [
        ("sort · small · MHA · reference (AMD EPYC)", 2),
        ("sort · small · MHA · reference (Intel Xeon Processor)", 1),
    ]
    assert all(one.has("cpu") for one in found)


def test_seeds_of_a_trained_decoder_are_one_arm_without_its_decode_time(read):
    results = read(on(EPYC, quality_record(seed=0)), on(XEON, quality_record(seed=1)))
    (study,) = studies(results)
    assert [len(arm.runs) for arm in study.arms] == [2]
    assert study.arms[0].decode_s is None


def test_a_record_that_names_no_machine_stands_under_the_folder(read):
    results = read(build(environment=EPYC), build(environment={"machine_id": None, "cpu": None}))
    assert sorted(results.labels) == ["reference", "reference (AMD EPYC)"]
