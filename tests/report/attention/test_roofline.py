"""What the roofline section says of records."""

import json
import re
from dataclasses import replace
from functools import partial

import plotly.graph_objects
import pytest

from suite.report.attention.roofline import build as build_section
from tests.records.factory import build, with_readings
from tests.report.reading import built

section_of = partial(built, build_section)


def without(record, *metrics):
    return replace(record, readings=[reading for reading in record.readings if reading.metric not in metrics])


def points_of(figure, view=0):
    return [t for t in figure.views[view].figure["data"] if t["mode"] == "markers" and t["x"] != [None]]


def lines_of(figure, view=0):
    return [t for t in figure.views[view].figure["data"] if t["mode"] == "lines"]


def test_a_point_stands_at_its_intensity_and_at_what_it_achieved(tmp_path):
    section = section_of(tmp_path, build(latencies_s=(2e-3,) * 6))
    (point,) = points_of(section.figures[0])
    assert point["x"] == [pytest.approx(2e8 / 3e7, rel=1e-4)]
    assert point["y"] == [pytest.approx(100)]


def test_the_roof_rises_to_the_arithmetic_ceiling(tmp_path):
    level, rising = lines_of(section_of(tmp_path, build()).figures[0])
    assert (rising["x"][-1], rising["y"][-1]) == (level["x"][0], level["y"][0]) == (5, 100)
    assert rising["y"][0] / rising["x"][0] == pytest.approx(20)


def test_the_fastest_and_slowest_memory_ceilings_are_drawn(tmp_path):
    speeds = {1024: 9e10, 2048: 5e10, 4096: 2e10, 8192: 2.01e10}
    records = [
        with_readings(build(seq_len=tokens), "layer", ceiling_bytes_per_s=speed) for tokens, speed in speeds.items()
    ]
    _, *rising = lines_of(section_of(tmp_path, *records).figures[0])
    assert [line["name"] for line in rising] == ["Memory 90.0 GB/s", "Memory 20.0 GB/s"]


def test_machines_dtypes_and_threads_have_their_own_figures(tmp_path):
    section = section_of(
        tmp_path,
        build(),
        build(dtype="float32"),
        build(threads=2),
        build(seq_len=8192, environment={"machine_id": "another-machine"}),
    )
    assert sorted((figure.title, figure.settings) for figure in section.figures) == [
        ("A processor · bfloat16", "threads=1 · a1b2c3d4"),
        ("A processor · bfloat16", "threads=1 · another-"),
        ("A processor · bfloat16", "threads=2"),
        ("A processor · float32", "threads=1"),
    ]


def test_a_figure_finds_what_each_pass_reaches(tmp_path):
    (figure,) = section_of(tmp_path, build(latencies_s=(4e-3,) * 6), build(phase="prefill")).figures
    assert figure.finding.endswith("decode 50% (n = 1), prefill 134% (n = 1)")


def test_without_work_there_is_no_section(tmp_path):
    assert section_of(tmp_path, without(build(), "flops", "traffic_bytes")) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 0.0, 1e-320, 1e308])
@pytest.mark.parametrize("metric", ["flops", "traffic_bytes", "ceiling_flops_per_s", "ceiling_bytes_per_s"])
def test_an_impossible_quantity_is_left_out_and_breaks_nothing(tmp_path, metric, value):
    section = section_of(tmp_path, with_readings(build(), "layer", **{metric: value}))
    for view in section.figures[0].views:
        plotly.graph_objects.Figure(view.figure)
        json.dumps(view.figure, allow_nan=False)
        assert not re.search(r"\b(inf|nan)\b", str([trace.get("hovertext") for trace in view.figure["data"]]))


def test_old_records_without_ceilings_are_drawn_without_a_roof(tmp_path):
    figure = section_of(tmp_path, without(build(), "ceiling_flops_per_s", "ceiling_bytes_per_s")).figures[0]
    assert lines_of(figure) == []
    assert len(points_of(figure)) == 1
