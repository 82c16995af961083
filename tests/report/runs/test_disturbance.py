"""Which runs were disturbed: the worst first, and a sentence either way."""

import plotly.graph_objects

from suite.report.runs.disturbance import build
from tests.records.factory import build as record_of
from tests.report.reading import results_of, results_with_series, rows_of, said, samples, telemetry
from tests.report.rl_records import rl_record


def section_of(tmp_path, *records):
    return said(build(results_of(tmp_path, *records)))


def throttled(share, **axes):
    reasons = {"gpu0": {"sw_power_cap": share, "sw_thermal_slowdown": share / 2}}
    watched = telemetry(
        marked_share={"gpu0": {"throttled": share}}, event_reasons_share=reasons, sampler_cpu_share=0.002
    )
    return record_of(device="cuda", provenance=watched, **axes)


def test_records_without_telemetry_make_no_section(tmp_path):
    assert section_of(tmp_path, record_of()) is None


def test_runs_that_nothing_disturbed_are_one_sentence(tmp_path):
    section = section_of(tmp_path, *[record_of(seq_len=1024 * n, provenance=telemetry()) for n in (1, 2)])
    assert "Nothing was marked: 114 samples were taken in 2 runs." in section.explanation
    assert (section.figures, section.tables) == ([], [])


def test_the_worst_run_comes_first_and_the_page_warns(tmp_path):
    runs = [throttled(0.02, seq_len=1024), throttled(0.3, seq_len=2048), throttled(0.13, seq_len=4096)]
    section = section_of(tmp_path, *runs, record_of(provenance=telemetry(), attention="mha"))
    assert "2 of 4 runs had over 5.0 % marked samples or stolen time: compare them with care." in section.explanation
    assert "Sampling itself took 0.20 % of one CPU (median)." in section.explanation
    rows = rows_of(section.tables[0])
    assert [row["Throttled"] for row in rows] == ["30 %", "13 %", "2.0 %"]
    assert rows[0]["Reasons by the driver"] == "sw_power_cap 30 %, sw_thermal_slowdown 15 %"
    plotly.graph_objects.Figure(section.figures[0].views[0].figure)
    (bars,) = section.figures[0].views[0].figure["data"]
    assert (bars["x"], bars["y"]) == ([30.0, 13.0, 2.0], [0, 1, 2])
    assert [len(keys) for keys in bars["customdata"]] == [1, 1, 1]
    assert section.figures[0].finding.startswith("2 of 4 runs")


def test_what_an_unused_gpu_does_disturbs_no_case(tmp_path):
    unused = telemetry(
        devices={"gpu0": {"used": False, "other_processes": 3}}, marked_share={"gpu0": {"throttled": 0.5}}
    )
    assert "Nothing was marked" in section_of(tmp_path, record_of(provenance=unused)).explanation


def test_others_on_the_gpu_are_listed(tmp_path):
    section = section_of(
        tmp_path, record_of(device="cuda", provenance=telemetry(devices={"gpu0": {"other_processes": 2}}))
    )
    (row,) = rows_of(section.tables[0])
    assert (row["Device"], row["Others on the GPU"]) == ("gpu0", "2")
    assert section.figures == []


def test_stolen_time_and_marks_of_the_series_count_too(tmp_path):
    series = samples("cpu", "steal_share", [0.1, 0.3], marks={1: "pressured"})
    record = record_of(provenance=telemetry(devices={}))
    (row,) = rows_of(said(build(results_with_series(tmp_path, (record, series)))).tables[0])
    assert (row["Pressured"], row["Stolen time"]) == ("50 %", "20 %")


def test_of_many_disturbed_runs_the_worst_are_drawn(tmp_path):
    section = section_of(tmp_path, *[throttled(n / 100, seq_len=1024 * n) for n in range(1, 25)])
    assert len(section.tables[0].rows) == 24
    assert len(section.figures[0].views[0].figure["data"][0]["x"]) == 20
    assert "4 more are in the table only." in section.figures[0].caption


def test_each_workload_has_its_worst_the_timed_first(tmp_path):
    watched = telemetry(marked_share={"gpu0": {"throttled": 0.9}})
    figures = section_of(tmp_path, rl_record(provenance=watched), throttled(0.3), throttled(0.01, seq_len=64)).figures
    assert [figure.facets["workload"] for figure in figures] == ["attention", "rl"]
    assert [figure.finding.split(" had")[0] for figure in figures] == ["1 of 2 runs", "1 of 1 runs"]
