import pytest

from suite.console.rl_memory import fitting, summary
from suite.console.summary import Summary
from suite.measure.meter import Meter
from suite.records.case import Case
from suite.records.metrics import METRICS
from suite.records.record import Evidence, Record, Status
from suite.rl.memory.workload import Projection, RlMemoryWorkload, devices_needed, highest_peak, kind_shares, per_device
from suite.run.compose.composer import compose
from suite.run.job import job_of
from tests.rl.memory.cases import plan, settings


@pytest.fixture(scope="module")
def readings():
    workload, meter = RlMemoryWorkload(settings("grpo", shards=2, micro_batch=2, precision="float32")), Meter()
    workload.step(meter)
    return [*workload.constants(), *meter.readings]


@pytest.fixture(scope="module")
def seen(readings):
    return {(reading.span, reading.metric): reading.value for reading in readings}


def test_every_reading_is_a_known_metric(readings):
    assert {reading.metric for reading in readings} <= METRICS.keys()


def test_the_parts_of_a_phase_add_up_to_its_peak(seen):
    for phase in ("rollout", "score", "update"):
        parts = [value for (span, metric), value in seen.items() if metric == "held_bytes" and span.startswith(phase)]
        assert sum(parts) == seen[phase, "held_peak_bytes"]


def test_the_peak_of_a_device_is_told_for_every_number_of_them(seen):
    peaks = [seen[f"shards_{count}", "peak_bytes_per_device"] for count in (1, 2, 4, 8)]
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[1] == max(seen[phase, "held_peak_bytes"] for phase in ("rollout", "score", "update"))
    assert [seen[f"gpu_{size}", "devices_needed"] for size in (24, 40, 80, 141)] == [1, 1, 1, 1]


def record(readings, gpus=None):
    case = Case(workload="rl_memory", axes={"shards": 2})
    return Record(
        case=case,
        run_key="0",
        status=Status.OK,
        reason=None,
        evidence=Evidence.PROJECTED,
        settings={"gpus": gpus},
        environment={},
        readings=readings,
    )


def test_the_summary_names_peak_parts_and_smallest_set(readings):
    lines = summary(record(readings)).lines
    assert [name for name, _ in lines if name] == ["peak", "of it", "rollout", "fits"]
    assert " on each of 2 devices; " in lines[0][1]
    assert lines[-2][1] == "7 completions at once on a device, 1.50 KiB of cache each"
    assert lines[-1][1] == "1 x 24 GB, or 1 x 40 GB, 1 x 80 GB, 1 x 141 GB"
    assert "fits 1 x 24 GB" in summary(record(readings)).brief
    assert summary(record([])) == Summary()


def test_the_smallest_set_has_the_least_memory(readings):
    changed = [reading for reading in readings if reading.metric != "devices_needed"]
    meter = Meter()
    for size, count in ((24, 8), (40, 4), (80, 2), (141, 2)):
        meter.note(f"gpu_{size}", devices_needed=count)
    assert list(fitting(record([*changed, *meter.readings]))) == [80, 40, 24, 141]
    assert summary(record(changed)).lines[-1][1] == "no set of up to 8 GPUs"


def asked(gpus, **changes):
    """Return the readings of a PPO on these GPUs, and the lines of its summary."""
    workload, meter = RlMemoryWorkload(settings("ppo", gpus=gpus, reserve_bytes_per_device=0, **changes)), Meter()
    workload.step(meter)
    found = {(reading.span, reading.metric): reading.value for reading in meter.readings}
    return found, summary(record([*workload.constants(), *meter.readings], gpus)).lines


LONG = {"seq_len": 64, "prompts_per_step": 16, "micro_batch": 1}


@pytest.fixture(scope="module")
def projection():
    return Projection(plan("ppo", **LONG), settings("ppo")["attention"])


def test_the_batch_is_the_largest_that_fits(projection):
    room = sum(projection.phases(2, 5)["rollout"].values())
    assert [projection.largest_batch(2, most) for most in (1, room - 1, room, 1 << 40)] == [1, 4, 5, 32]


def test_a_batch_that_fits_adds_nothing_to_the_peak(projection):
    batch = projection.frugal_batch(2)
    assert highest_peak(projection.phases(2, batch)) == projection.smallest_peak(2)
    assert batch == 32 or highest_peak(projection.phases(2, batch + 1)) > projection.smallest_peak(2)


def test_gpus_of_a_known_device_have_a_least_time():
    found, lines = asked("2xh100-sxm5-80gb", **LONG)
    assert found["gpus", "step_fits"] == 1
    peak = found["shards_2", "peak_bytes_per_device"]
    assert found["gpus", "spare_bytes"] == 80e9 - peak
    assert found["gpus", "rollout_batch"] == 32
    assert all(found[f"gpus/{phase}", "bound_s"] > 0 for phase in ("rollout", "score", "update"))
    assert lines[-2][1].startswith(
        "2xh100-sxm5-80gb hold the step: 74.5 GiB to spare on each, room to sample 32 completions"
    )
    assert lines[-1][0] == "time"


def test_gpus_of_a_size_alone_have_no_time():
    found, lines = asked("1x0.0001")
    assert found["gpus", "step_fits"] == 0
    assert found["gpus", "spare_bytes"] < 0
    assert not any(metric == "bound_s" for _, metric in found)
    assert lines[-1][1].startswith("1x0.0001 cannot hold the step: ")


def test_hydra_takes_as_many_shards_as_there_are_gpus():
    points = [compose(["workload=rl_memory", *typed])[0] for typed in ([], ["gpus=4x80"])]
    assert [job_of(point).case.axes["shards"] for point in points] == [1, 4]


def test_hydra_composes_the_settings_two_workloads_share():
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


HELD = {
    ("policy", "parameters"): 801,
    ("policy", "gradients"): 400,
    ("policy", "optimiser"): 1600,
    ("policy", "optimiser_temporaries"): 240,
    ("policy", "gathered"): 50,
    ("policy", "activations"): 90,
    ("shared", "experience"): 160,
}


def on(shards, gathered_bytes=70):
    return per_device(HELD, kind_shares(shards=shards, rows=16 // shards, completions=16), gathered_bytes)


def test_one_device_holds_what_it_held():
    assert on(1) == HELD


def test_several_devices_divide_and_gather_one_unit():
    assert on(8) == {
        ("policy", "parameters"): 101,
        ("policy", "gradients"): 50,
        ("policy", "optimiser"): 200,
        ("policy", "optimiser_temporaries"): 30,
        ("policy", "activations"): 90,
        ("shared", "experience"): 20,
        ("shared", "gathered"): 70,
    }


def test_where_another_engine_computes_no_unit_is_gathered():
    assert ("shared", "gathered") not in on(2, gathered_bytes=0)


def test_the_least_number_of_devices_leaves_the_reserve_free():
    peaks = {1: 60e9, 2: 23e9, 4: 22e9}
    assert devices_needed(peaks, 80, reserve_bytes=1e9) == 1
    assert devices_needed(peaks, 24, reserve_bytes=1e9) == 2
    assert devices_needed(peaks, 24, reserve_bytes=1.5e9) == 4


@pytest.mark.parametrize("gigabytes", [24, 40])
def test_what_fits_on_no_number_of_devices_is_absent(gigabytes):
    assert devices_needed({1: 90e9, 8: 41e9}, gigabytes, reserve_bytes=0) is None
