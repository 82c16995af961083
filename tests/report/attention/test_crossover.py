"""The crossover on the page: predicted for known devices, measured where records hold both modes."""

import json
from functools import partial

import plotly.graph_objects
import pytest

from suite.configuration.files import read_choice
from suite.report.attention import crossover
from suite.theory.answers.crossover import Bracket, bracket, roofline_crossover
from suite.theory.layers.geometry import load_geometry
from suite.theory.layers.roofline import Ceilings
from tests.records.factory import build, with_readings
from tests.report.reading import built, rows_of

section_of = partial(built, crossover.build)
SETTINGS = {"geometry": read_choice("geometry", "deepseek-v2-lite"), "attention": {"q_lora_rank": None}}


def both_modes(ratios, **facts):
    """Records of both modes, with re-expanding's time over absorbing's by the number of new tokens."""
    facts = {"settings": SETTINGS} | facts
    for count, ratio in ratios.items():
        yield build(attention="mla", query_len=count, latencies_s=(1e-3,) * 7, **facts)
        yield build(attention="mla_latent", query_len=count, latencies_s=(1e-3 * ratio,) * 7, **facts)


def test_a_measured_crossover_lies_between_its_neighbours(tmp_path):
    section = section_of(tmp_path, *both_modes({32: 4.0, 64: 2.0, 256: 0.5}))
    (row,) = rows_of(section.tables[0])
    assert (row["Measured"], row["Between"], row["New tokens tried"]) == ("128", "64–256", "32, 64, 256")
    assert (row["Context (tokens)"], row["By FLOPs"]) == ("4,096", "168")
    # At the factory's ceilings, ridge 5 FLOP/B, arithmetic limits both modes.
    assert row["By measured peaks"] == "168"
    (points,) = [trace for trace in section.figures[0].views[0].figure["data"] if trace["mode"] == "markers"]
    assert points["y"] == [pytest.approx(128)]
    assert points["error_y"]["array"] == [pytest.approx(128)]
    assert points["error_y"]["arrayminus"] == [pytest.approx(64)]


@pytest.mark.parametrize(
    ("ratios", "words"),
    [({32: 3.0, 256: 1.2}, "more than 256"), ({32: 0.9, 256: 0.2}, "less than 32"), ({32: 0.9, 256: 1.1}, "–")],
)
def test_no_crossover_within_what_was_tried_is_said(tmp_path, ratios, words):
    section = section_of(tmp_path, *both_modes(ratios))
    (row,) = rows_of(section.tables[0])
    assert (row["Measured"], row["Between"]) == (words, "–")
    assert all(trace["mode"] != "markers" for trace in section.figures[0].views[0].figure["data"])


def test_a_noisy_ratio_has_a_wide_bracket():
    found = bracket([(8, 2.0), (16, 0.9), (32, 1.1), (64, 0.5)])
    assert (found.low, found.high) == (8, 64)
    assert 16 < found.at < 32
    assert bracket([(8, 2.0)]) == Bracket(low=8, at=None, high=None)


def test_equal_times_are_not_yet_cheaper():
    assert bracket([(8, 1.0), (16, 0.5)]) == Bracket(low=8, at=pytest.approx(8), high=16)
    assert bracket([(8, 2.0), (16, 1.0)]) == Bracket(low=16, at=None, high=None)


def test_peaks_of_one_odd_run_move_no_prediction(tmp_path):
    """Memory limits the others, at a hundredth of the factory's bandwidth."""
    records = [with_readings(each, "layer", ceiling_bytes_per_s=2e8) for each in both_modes({64: 2.0, 256: 0.5})]
    expected = roofline_crossover(
        load_geometry("deepseek-v2-lite"),
        Ceilings(flops_per_s=1e11, bytes_per_s=2e8),
        seq_len=4096,
        element_bytes=2,
    )
    for bytes_per_s in (2e8, 1e15, 1e3):
        odd = with_readings(records[-1], "layer", ceiling_bytes_per_s=bytes_per_s)
        (row,) = rows_of(section_of(tmp_path / str(bytes_per_s), *records[:-1], odd).tables[0])
        assert row["By measured peaks"] == str(expected) != "168"


def test_series_stay_apart_and_only_what_differs_names_them(tmp_path):
    falling = {64: 2.0, 256: 0.5}
    records = [*both_modes(falling), *both_modes(falling, dtype="float32"), *both_modes(falling, tp=2)]
    section = section_of(tmp_path, *records)
    names = [trace["name"] for trace in section.figures[0].views[0].figure["data"] if trace["mode"] == "markers"]
    assert sorted(names) == [
        f"measured · {series}" for series in ("bfloat16 · tp=1", "bfloat16 · tp=2", "float32 · tp=1")
    ]


def test_one_mode_alone_or_a_prefill_measures_no_crossover(tmp_path):
    prefill = both_modes({64: 2.0}, phase="prefill")
    assert section_of(tmp_path, build(query_len=64), build(attention="mha"), *prefill).tables == []


@pytest.mark.parametrize(
    "facts",
    [
        {"settings": {}},
        {"settings": {"geometry": {"attention": "mla"}, "attention": 3}},
        {"settings": SETTINGS, "tp": 0},
        {"settings": SETTINGS, "tp": 3},
        {"settings": SETTINGS, "batch": 10**19},
        {"settings": SETTINGS, "dtype": "</script>%{x}"},
        {"settings": SETTINGS, "match": "cache"},
        {"settings": SETTINGS, "cache_dtype": "fp8"},
        {"settings": SETTINGS, "seq_len": (1 << 53) - 1},
    ],
    ids=range(9),
)
def test_an_odd_record_keeps_its_measured_crossover(tmp_path, facts):
    section = section_of(tmp_path, *both_modes({64: 2.0, 256: 0.5}, **facts))
    (row,) = section.tables[0].rows
    assert "128" in row
    for view in section.figures[0].views:
        plotly.graph_objects.Figure(view.figure)
        json.dumps(view.figure, allow_nan=False)
