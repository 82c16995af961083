"""Which runs were disturbed, the worst first; what their devices drew; and by name what gave nothing."""

from dataclasses import replace

import pandas as pd
import pytest

from suite.commands.results import pack
from suite.records.record import Evidence
from suite.report.model.results import read_results
from suite.report.page.texts import load_texts
from suite.report.runs import devices
from tests.records.factory import build as record_of
from tests.report.reading import results_of, results_with_series, rows_of, samples, telemetry
from tests.report.rl_records import rl_record

THROTTLED = {"sw_power_cap": 0.3, "sw_thermal_slowdown": 0.15}


def rows_in(table):
    return rows_of(load_texts("en").render_block(table))


def devices_of(tmp_path, *runs):
    """The rows about records, or about records with their series."""
    with_series = [run if isinstance(run, tuple) else (run, ()) for run in runs]
    return rows_in(devices.device_table(results_with_series(tmp_path, *with_series)))


def missing_of(results):
    return [(*row.values(),) for row in rows_in(devices.missing_table(results))]


def headline_of(tmp_path, *records):
    headline = devices.disturbance(results_of(tmp_path, *records))
    return headline and load_texts("en").render_block(headline)


def throttled(share, **axes):
    watched = telemetry(
        marked_share={"gpu0": {"throttled": share}}, event_reasons_share={"gpu0": THROTTLED}, sampler_cpu_share=0.002
    )
    return record_of(device="cuda", provenance=watched, **axes)


def on_gpu(**axes):
    return record_of(device="cuda", provenance=telemetry(), **axes)


def test_records_without_telemetry_say_nothing_of_devices(tmp_path):
    results = results_of(tmp_path, record_of(), record_of(attention="mha"))
    assert devices.disturbance(results) is None
    assert (rows_in(devices.device_table(results)), missing_of(results)) == ([], [])


def test_the_worst_run_comes_first_and_the_page_warns(tmp_path):
    runs = [throttled(0.02, seq_len=1024), throttled(0.3, seq_len=2048), throttled(0.13, seq_len=4096)]
    runs.append(record_of(provenance=telemetry(), attention="mha"))
    headline = headline_of(tmp_path, *runs)
    assert headline.text == "2 of 4 monitored runs were disturbed in over 5.0% of their samples"
    assert "Monitoring itself took 0.20% of one CPU" in headline.detail
    rows = devices_of(tmp_path, *runs)
    assert [row["Throttled"] for row in rows] == ["30%", "13%", "2.0%"]
    assert rows[0]["Reasons for reduced clocks"] == "sw_power_cap 30%, sw_thermal_slowdown 15%"


def test_runs_whose_result_is_a_time_come_first(tmp_path):
    scored = rl_record(provenance=telemetry(marked_share={"gpu0": {"throttled": 0.9}}))
    assert [row["Throttled"] for row in devices_of(tmp_path, scored, throttled(0.3))] == ["30%", "90%"]


def test_a_headline_says_what_a_disturbance_moves(tmp_path):
    scored = rl_record(provenance=telemetry(marked_share={"cpu": {"pressured": 0.9}}))
    projected = replace(record_of(seq_len=8192), evidence=Evidence.PROJECTED)
    headline = headline_of(tmp_path, throttled(0.3), scored, projected, record_of(seq_len=512), record_of(seq_len=256))
    assert "the medians of 1 timings" in headline.detail
    assert "the seconds of 1 trainings, but not changed their scores" in headline.detail
    assert "1 computed ones and 2 that were not monitored" in headline.detail


def test_what_an_unused_gpu_does_disturbs_no_case(tmp_path):
    gpu = {"used": False, "other_processes": 3}
    unused = record_of(provenance=telemetry(devices={"gpu0": gpu}, marked_share={"gpu0": {"throttled": 0.5}}))
    assert "Nothing disturbed" in headline_of(tmp_path, unused).text
    assert devices_of(tmp_path, (unused, samples("gpu0", "power_instant_w", [60.0] * 3))) == []


def test_others_on_the_gpu_are_listed(tmp_path):
    (row,) = devices_of(
        tmp_path, record_of(device="cuda", provenance=telemetry(devices={"gpu0": {"other_processes": 2}}))
    )
    assert (row["Device"], row["Other processes on the GPU"]) == ("gpu0", "2")


def test_stolen_time_and_marks_of_the_series_count_too(tmp_path):
    series = samples("cpu", "steal_share", [0.1, 0.3], marks={1: "pressured"})
    (row,) = devices_of(tmp_path, (record_of(provenance=telemetry(devices={})), series))
    assert (row["Pressured"], row["Stolen time"]) == ("50%", "20%")


def test_a_row_has_power_joules_and_the_share_of_marked_samples(tmp_path):
    watts = [100.0, 300.0, 300.0, 300.0, 100.0]
    series = samples("gpu0", "power_instant_w", watts, marks={2: "throttled"})
    series += samples("gpu0", "energy_j", [1000.0, 1020.0, 1050.0, 1080.0, 1099.0])
    (row,) = devices_of(tmp_path, (on_gpu(), series))
    # Between samples power is a straight line: 100 joules in 0.4 s.
    assert (row["Mean power"], row["Peak power"], row["Energy"]) == ("250 W", "300 W", "99.0 J")
    assert (row["Throttled"], row["Source of power"]) == ("20%", "Instant power")


@pytest.mark.parametrize(
    ("device", "series", "power"),
    [
        ("gpu0", {"power_average_w": [90.0, 110.0]}, ("100 W", "110 W", None, "Average power (over 1 s)")),
        ("cpu", {"energy_j": [50.0, 53.0, 59.0]}, ("45.0 W", "60.0 W", "9.00 J", "Power by counter")),
        # A counter that ran backwards gives no joules.
        (
            "gpu0",
            {"power_instant_w": [90.0, 110.0], "energy_j": [10.0, 4.0]},
            ("100 W", "110 W", None, "Instant power"),
        ),
    ],
)
def test_power_is_of_the_best_source_that_gave_any(tmp_path, device, series, power):
    taken = [sample for quantity, values in series.items() for sample in samples(device, quantity, values)]
    (row,) = devices_of(tmp_path, (on_gpu(), taken))
    assert (row["Mean power"], row["Peak power"], row.get("Energy"), row["Source of power"]) == power


def test_telemetry_summed_up_says_the_same_of_its_devices(tmp_path):
    series = samples("gpu0", "power_average_w", [120.0, 140.0, 100.0, 120.0])
    series += samples("gpu0", "energy_j", [10.0, 22.0, 35.0, 46.0]) + samples("cpu", "steal_share", [0.1, 0.3])
    run = (on_gpu(), series)
    before = devices_of(tmp_path, run)
    assert pack([tmp_path / "results"], remove=True, compact=True) == 0
    results = read_results([tmp_path / "results"])
    assert rows_in(devices.device_table(results)) == before
    assert len(pd.read_parquet(tmp_path / "results" / "telemetry.parquet")) == 3


def test_where_nothing_gave_power_each_state_is_a_row(tmp_path):
    why = {"state": "no_driver", "why": "libnvidia-ml.so.1 is not here"}
    sources = telemetry(sources={"nvml": why, "rapl": {"state": "not_here"}}, devices={})
    records = [record_of(seq_len=1024 * n, provenance=sources) for n in range(1, 6)]
    assert missing_of(results_of(tmp_path, *records)) == [
        ("GPU power (NVML)", "no NVIDIA driver", "libnvidia-ml.so.1 is not here", "5"),
        ("CPU energy (RAPL)", "this system has no such counter", "–", "5"),
    ]


def test_a_series_that_is_not_its_record_s_is_not_shown(tmp_path):
    results = results_with_series(tmp_path, (on_gpu(), samples("gpu0", "power_instant_w", [1.0, 2.0])))
    (results.records[0].folder / "telemetry.parquet").write_bytes(b"else")
    assert rows_in(devices.device_table(results)) == []
    assert ("Telemetry file", "not readable", "–", "1") in missing_of(results)


def test_what_failed_has_its_state_and_its_reason(tmp_path):
    gpu = {"name": "Test GPU", "used": True, "state": "lost", "missing": {"power_instant_w": "failed: Unknown Error"}}
    coarse = {"energy": {"state": "too_coarse", "why": "the counter moves every 100 ms"}}
    record = record_of(provenance=telemetry(devices={"gpu0": gpu}, failure="ValueError: no") | coarse)
    assert {
        ("gpu0 · Test GPU", "the connection to the device was lost", "–", "1"),
        ("gpu0 · Test GPU · Instant power", "the driver failed", "Unknown Error", "1"),
        ("Sampling", "stopped early", "ValueError: no", "1"),
        ("Energy per step", "the counter is too coarse", "the counter moves every 100 ms", "1"),
    } <= set(missing_of(results_of(tmp_path, record)))
