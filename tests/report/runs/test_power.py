"""Power over time, and by name what gave none."""

import plotly.graph_objects
import pytest

from suite.report.runs.power import MOST_POINTS, build
from tests.records.factory import build as record_of
from tests.report.reading import results_of, results_with_series, rows_of, said, samples, telemetry


def section_of(tmp_path, *runs):
    return said(build(results_with_series(tmp_path, *runs)))


def on_gpu(**axes):
    return record_of(device="cuda", provenance=telemetry(), **axes)


def traces_of(figure, view=0):
    plotly.graph_objects.Figure(figure.views[view].figure)
    return {trace["name"]: trace for trace in figure.views[view].figure["data"]}


def test_records_without_telemetry_make_no_section(tmp_path):
    assert said(build(results_of(tmp_path, record_of(), record_of(attention="mha")))) is None


def test_where_nothing_gave_power_each_state_is_a_row(tmp_path):
    why = {"state": "no_driver", "why": "libnvidia-ml.so.1 is not here"}
    sources = telemetry(sources={"nvml": why, "rapl": {"state": "not_here"}}, devices={})
    records = [record_of(seq_len=1024 * n, provenance=sources) for n in range(1, 6)]
    section = said(build(results_of(tmp_path, *records)))
    assert section.figures == []
    assert section.headlines[0].text == "No power was measured in these 5 runs"
    (table,) = section.tables
    assert table.rows == [
        ["GPU power (NVML)", "no NVIDIA driver", "libnvidia-ml.so.1 is not here", "5"],
        ["CPU energy (RAPL)", "this system has no such counter", "–", "5"],
    ]


def test_a_row_has_power_joules_and_the_share_of_marked_samples(tmp_path):
    watts = [100.0, 300.0, 300.0, 300.0, 100.0]
    series = samples("gpu0", "power_instant_w", watts, marks={2: "throttled"})
    series += samples("gpu0", "energy_j", [1000.0, 1020.0, 1050.0, 1080.0, 1099.0])
    (row,) = rows_of(section_of(tmp_path, (on_gpu(), series)).tables[0])
    # Between samples power is a straight line: 100 joules in 0.4 s.
    assert (row["Mean power"], row["Peak power"], row["Energy"]) == ("250 W", "300 W", "99.0 J")
    assert (row["Marked samples"], row["In use"], row["Power from"]) == ("20 %", "yes", "Instant power")


def test_without_instant_power_the_average_is_taken_and_said(tmp_path):
    (row,) = rows_of(section_of(tmp_path, (on_gpu(), samples("gpu0", "power_average_w", [90.0, 110.0]))).tables[0])
    assert (row["Mean power"], row["Power from"], row["Energy"]) == ("100 W", "Average power (over 1 s)", "–")


def test_a_cpu_s_power_is_the_difference_of_its_counter(tmp_path):
    record = record_of(provenance=telemetry(devices={}))
    section = section_of(tmp_path, (record, samples("cpu", "energy_j", [50.0, 53.0, 59.0])))
    (row,) = rows_of(section.tables[0])
    assert (row["Mean power"], row["Peak power"], row["Energy"]) == ("45.0 W", "60.0 W", "9.00 J")
    line = traces_of(section.figures[0])["Power by counter"]
    assert line["x"] == pytest.approx([0.05, 0.15])
    assert line["y"] == pytest.approx([30.0, 60.0])


def test_a_counter_that_ran_backwards_gives_no_joules(tmp_path):
    series = samples("gpu0", "power_instant_w", [90.0, 110.0]) + samples("gpu0", "energy_j", [10.0, 4.0])
    (row,) = rows_of(section_of(tmp_path, (on_gpu(), series)).tables[0])
    assert row["Energy"] == "–"


def test_the_figure_has_phases_joules_and_marked_samples(tmp_path):
    marked = {0: "throttled", 1: "throttled"}
    series = samples("gpu0", "power_instant_w", [100.0] * 5, phase="prepare")
    series += samples("gpu0", "power_instant_w", [300.0] * 5, start_s=0.5, marks=marked)
    series += samples("gpu0", "energy_j", [float(n) for n in range(5)], phase="prepare")
    series += samples("gpu0", "energy_j", [float(n) for n in range(5, 10)], start_s=0.5)
    (figure,) = section_of(tmp_path, (on_gpu(), series)).figures
    traces = traces_of(figure)
    assert figure.title == "gpu0 · Test GPU"
    assert list(traces) == ["Instant power", "Energy so far", "throttled", "preparing", "timing"]
    assert traces["throttled"]["x"] == pytest.approx([0.5, 0.6])
    assert traces["Energy so far"]["yaxis"] == "y2"
    layout = figure.views[0].figure["layout"]
    assert [(shape["x0"], shape["x1"]) for shape in layout["shapes"]] == [(0.0, 0.5), (0.5, 0.9)]
    assert layout["legend"]["title"]["text"] == "deepseek-v2-lite · decode · 4,096 tokens"


def test_the_longest_run_of_each_variant_is_a_view(tmp_path):
    runs = [
        (on_gpu(attention=variant, seq_len=tokens), samples("gpu0", "power_instant_w", [200.0] * count))
        for variant in ("mla", "mha")
        for tokens, count in ((1024, 4), (4096, 9))
    ]
    section = section_of(tmp_path, *runs)
    (figure,) = section.figures
    assert [view.title for view in figure.views] == ["MHA", "MLA"]
    assert [len(view.figure["data"][0]["x"]) for view in figure.views] == [9, 9]
    assert "longest run" in figure.caption
    assert len(section.tables[0].rows) == 4


def test_a_device_that_the_case_did_not_use_is_not_drawn(tmp_path):
    idle = telemetry(devices={"gpu0": {"used": False}})
    record = record_of(device="cuda", provenance=idle)
    section = section_of(tmp_path, (record, samples("gpu0", "power_instant_w", [60.0] * 3)))
    assert section.figures == []
    assert rows_of(section.tables[0])[0]["In use"] == "no"


def test_a_long_run_is_thinned_without_losing_its_peak(tmp_path):
    watts = [100.0 + (n % 7) for n in range(5000)]
    watts[3210] = 450.0
    (figure,) = section_of(tmp_path, (on_gpu(), samples("gpu0", "power_instant_w", watts))).figures
    line = traces_of(figure)["Instant power"]
    assert len(line["x"]) <= MOST_POINTS
    assert max(line["y"]) == 450.0
    assert "lowest and the highest" in figure.caption


def test_a_series_that_is_not_its_record_s_is_not_shown(tmp_path):
    results = results_with_series(tmp_path, (on_gpu(), samples("gpu0", "power_instant_w", [1.0, 2.0])))
    (results.records[0].folder / "telemetry.parquet").write_bytes(b"else")
    section = said(build(results))
    assert section.figures == []
    assert ["Telemetry file", "not readable", "–", "1"] in section.tables[0].rows


def test_energy_of_a_step_that_could_not_be_taken_says_why(tmp_path):
    coarse = {"energy": {"state": "too_coarse", "why": "the counter moves every 100 ms"}}
    section = said(build(results_of(tmp_path, record_of(provenance=telemetry() | coarse))))
    row = ["Energy of a step", "the counter is too coarse", "the counter moves every 100 ms", "1"]
    assert row in section.tables[0].rows


def test_a_driver_s_error_and_stopped_sampling_are_reasons(tmp_path):
    gpu = {"name": "Test GPU", "used": True, "state": "lost", "missing": {"power_instant_w": "failed: Unknown Error"}}
    record = record_of(provenance=telemetry(devices={"gpu0": gpu}, failure="ValueError: no"))
    rows = said(build(results_of(tmp_path, record))).tables[0].rows
    assert ["gpu0 · Test GPU", "the device was lost", "–", "1"] in rows
    assert ["gpu0 · Test GPU · Instant power", "the driver failed", "Unknown Error", "1"] in rows
    assert ["Sampling", "stopped early", "ValueError: no", "1"] in rows
