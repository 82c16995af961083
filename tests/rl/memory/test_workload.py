import pytest

from suite.compose.compose import compose
from suite.console.rl_memory import fitting, summary
from suite.console.summary import Summary
from suite.measure.meter import Meter
from suite.records.case import Case
from suite.records.metrics import METRICS
from suite.records.record import Evidence, Record, Status
from suite.rl.memory.workload import RlMemoryWorkload
from suite.run.job import job_of
from tests.rl.memory.cases import settings


@pytest.fixture(scope="module")
def readings():
    workload, meter = RlMemoryWorkload(settings("grpo", shards=2, micro_batch=2, precision="float32")), Meter()
    workload.step(meter)
    return [*workload.constants(), *meter.readings]


@pytest.fixture(scope="module")
def seen(readings):
    return {(one.span, one.metric): one.value for one in readings}


def test_every_reading_is_a_known_metric(readings):
    assert {one.metric for one in readings} <= METRICS.keys()


def test_the_parts_of_a_phase_add_up_to_its_peak(seen):
    for phase in ("rollout", "score", "update"):
        parts = [value for (span, metric), value in seen.items() if metric == "held_bytes" and span.startswith(phase)]
        assert sum(parts) == seen[phase, "held_peak_bytes"]


def test_the_peak_of_a_device_is_told_for_every_number_of_them(seen):
    peaks = [seen[f"shards_{count}", "peak_bytes_per_device"] for count in (1, 2, 4, 8)]
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[1] == max(seen[phase, "held_peak_bytes"] for phase in ("rollout", "score", "update"))
    assert [seen[f"gpu_{size}", "devices_needed"] for size in (24, 40, 80, 141)] == [1, 1, 1, 1]


def record(readings):
    case = Case(workload="rl_memory", axes={"shards": 2})
    return Record(
        case=case,
        run_key="0",
        status=Status.OK,
        reason=None,
        evidence=Evidence.PROJECTED,
        settings={},
        environment={},
        readings=readings,
    )


def test_the_answer_names_the_peak_its_parts_and_the_smallest_set(readings):
    lines = summary(record(readings)).lines
    assert [name for name, _ in lines if name] == ["peak", "of it", "fits"]
    assert " on each of 2 devices; " in lines[0][1]
    assert lines[-1][1] == "1 x 24 GB, or 1 x 40 GB, 1 x 80 GB, 1 x 141 GB"
    assert "fits 1 x 24 GB" in summary(record(readings)).brief
    assert summary(record([])) == Summary()


def test_the_smallest_set_has_the_least_memory_and_of_equals_the_fewest_devices(readings):
    changed = [one for one in readings if one.metric != "devices_needed"]
    meter = Meter()
    for size, count in ((24, 8), (40, 4), (80, 2), (141, 2)):
        meter.note(f"gpu_{size}", devices_needed=count)
    assert list(fitting(record([*changed, *meter.readings]))) == [80, 40, 24, 141]
    assert summary(record(changed)).lines[-1][1] == "on no 8 or fewer GPUs"


def test_hydra_composes_a_case_with_the_settings_that_two_workloads_share():
    (one,) = compose(["workload=rl_memory", "algorithm=dapo", "geometry=llama-3.1-8b", "logits_chunk=512"])
    job = job_of(one)
    assert job.projects
    assert job.is_course
    assert not job.is_projection
    assert (job.case.axes["algorithm"], job.case.axes["critic"], job.case.extras) == (
        "dapo",
        None,
        {"logits_chunk": 512},
    )
    assert (job.settings["clip_ratio_high"], job.settings["filter_groups"]) == (0.28, None)
