"""The sign map on the page: what is computed, what is measured, and that both are told apart."""

import json
from dataclasses import asdict, replace
from functools import partial

import plotly.graph_objects
import pytest

from suite.configuration.files import read_choice
from suite.records.record import Evidence
from suite.report.attention import signmap
from suite.theory.answers.sign_map import deepseek_sizes, rivals
from suite.theory.layers.algebra import Pass
from suite.theory.layers.shapes import cache_bytes, grouped_shape, kernel_work
from tests.records.factory import build, with_readings
from tests.report.reading import built, rows_of

section_of = partial(built, signmap.build)
CALIBRATED = {"h100-sxm5-80gb", "h200-sxm-141gb"}
LLAMA = {"geometry": read_choice("geometry", "llama-3.1-8b")}


def pair(gqa_s=3e-3, mla_s=1e-3, **facts):
    """A GQA and an MLA case alike in all else; the kernel takes 0.4 of these times."""
    gqa = build(attention="gqa", latencies_s=(gqa_s,) * 7, **facts)
    return [gqa, build(attention="mla", latencies_s=(mla_s,) * 7, **facts)]


def map_of(section, tp, heads):
    (figure,) = [one for one in section.figures if one.facets == {"heads": str(heads), "tp": str(tp)}]
    return figure


def maps(section):
    return [figure for figure in section.figures if "heads" in figure.facets]


def cells(section, tp, heads):
    """Text by device and new tokens."""
    (texts,) = [trace for trace in map_of(section, tp, heads).views[0].figure["data"] if trace["type"] == "scatter"]
    devices = [row.split(" (")[0] for row in texts["y"]]
    return dict(zip(zip(devices, map(int, texts["x"]), strict=True), texts["text"], strict=True))


def test_the_map_needs_no_records_and_shows_the_claimed_ratios(tmp_path):
    section = section_of(tmp_path)
    alone, ranked = cells(section, tp=1, heads=128), cells(section, tp=8, heads=128)
    assert (alone["h100-sxm5-80gb", 1], alone["h100-sxm5-80gb", 4]) == ("2.4×", "0.77×")
    assert (alone["a100-80gb-sxm4", 1], alone["h20-96gb", 1]) == ("2.3×", "0.54×")
    of_bounds = {text for (name, count), text in ranked.items() if count == 1 and name not in CALIBRATED}
    assert of_bounds == {"0.44×"}


def test_a_map_finds_on_how_many_devices_mla_is_faster(tmp_path):
    devices, ridges = zip(
        *((name, ceilings.ridge_flops_per_byte) for name, ceilings in signmap.known_devices()), strict=True
    )
    assert (devices[0], list(ridges)) == ("h20-96gb", sorted(ridges))
    assert "v100-sxm2-32gb" not in devices  # which has no bfloat16
    section = section_of(tmp_path, *on_the_map())
    counts = f"faster on {len(devices) - 1} of {len(devices)} devices with one new token, and on 0 with 16"
    assert counts in map_of(section, tp=1, heads=128).finding
    assert "measured" not in map_of(section, tp=1, heads=64).finding


def test_a_measured_pair_stands_beside_its_prediction(tmp_path):
    gqa, mla = pair(settings=LLAMA, tp=2)
    # 2e9 B/s: 8 ms of memory traffic against 1 ms; 1.1e8 FLOP at 1e11 FLOP/s, 1.1 ms, is what limits MLA.
    gqa = with_readings(gqa, "kernel", flops=1e6, traffic_bytes=1.6e7, ceiling_bytes_per_s=2e9)
    mla = with_readings(mla, "kernel", traffic_bytes=2e6, ceiling_bytes_per_s=2e9)
    section = section_of(tmp_path, gqa, mla)
    (row,) = rows_of(section.tables[0])
    assert row["Predicted"] == "7.27×"
    assert (row["Measured"], row["Measured range"]) == ("3.00×", "2.65–3.39×")
    # 32 heads on two ranks.
    assert (row["Heads"], row["tp"]) == ("16", "2")
    figure = section.figures[-1].views[0].figure
    predicted, measured = figure["data"]
    assert predicted["x"] == [pytest.approx(8 / 1.1, rel=1e-4)]
    assert measured["x"] == [pytest.approx(3, rel=1e-4)]


def on_the_map(query_len=1, dtype="bfloat16", heads=128, tp=1, seq_len=16384, **facts):
    """A pair whose exact quantities are those of the map's own shapes."""
    forward = Pass(batch=1, query_len=query_len, seq_len=seq_len, element_bytes=2 if dtype == "bfloat16" else 4)
    settings = {"geometry": {"num_heads": heads}}
    records = pair(query_len=query_len, dtype=dtype, tp=tp, seq_len=seq_len, settings=settings, **facts)
    return [
        with_readings(
            with_readings(record, "kernel", **asdict(kernel_work(shape, forward))),
            "case",
            cache_bytes=cache_bytes(shape, forward),
            cache_bytes_mha=cache_bytes(grouped_shape(deepseek_sizes(heads), tp=tp, kv_heads="all"), forward),
        )
        for record, shape in zip(records, rivals(heads, tp), strict=True)
    ]


def test_a_machine_on_the_map_has_a_row(tmp_path):
    section = section_of(tmp_path, *on_the_map(), *on_the_map(query_len=4), *on_the_map(heads=32, tp=2))
    alone = cells(section, tp=1, heads=128)
    assert [alone["results: MEASURED", count] for count in signmap.QUERY_LENS] == ["3.0×", "", "3.0×", "", ""]
    assert ("results: MEASURED", 1) in cells(section, tp=2, heads=32)
    assert ("results: MEASURED", 1) not in cells(section, tp=1, heads=64)
    computed, heat, _ = map_of(section, tp=1, heads=128).views[0].figure["data"]
    assert heat["y"] == computed["y"]
    assert heat["y"][-1] == "results: MEASURED"
    assert computed["z"][-1] == [None] * 5
    assert [value is None for value in heat["z"][-1]] == [False, True, False, True, True]
    # A click on a measured cell names the runs of both variants.
    assert [len(runs) for runs in heat["customdata"]] == [2, 0, 2, 0, 0]
    # Drawn on the map, so not once more below it; the table has all.
    assert maps(section) == section.figures
    # 1e11 FLOP/s and 5e10 B/s: both limited by arithmetic, so the ratio is that of their FLOPs, 256 over 1,088.
    assert [row["Predicted"] for row in rows_of(section.tables[0])] == ["0.235×"] * 3


def test_another_dtype_has_rows_of_its_own(tmp_path):
    section = section_of(tmp_path, *on_the_map(), *on_the_map(dtype="float32"))
    names = {name for name, _ in cells(section, tp=1, heads=128)}
    assert {"results: MEASURED", "results, float32: MEASURED"} <= names


@pytest.mark.parametrize(("side", "quantity"), [(0, "flops"), (1, "flops"), (0, "cache_bytes"), (1, "cache_bytes")])
def test_a_pair_of_other_sizes_is_not_on_the_map(tmp_path, side, quantity):
    records = on_the_map()
    span = "case" if quantity == "cache_bytes" else "kernel"
    value = next(one.value for one in records[side].readings if (one.span, one.metric) == (span, quantity))
    records[side] = with_readings(records[side], span, **{quantity: value + 2})
    section = section_of(tmp_path, *records)
    assert not any("MEASURED" in name for name, _ in cells(section, tp=1, heads=128))
    assert len(section.figures) == len(maps(section)) + 1


def test_a_pair_without_ceilings_is_shown_without_a_prediction(tmp_path):
    bare = [replace(one, readings=[r for r in one.readings if "ceiling" not in r.metric]) for one in pair()]
    section = section_of(tmp_path, *bare)
    (row,) = rows_of(section.tables[0])
    assert (row["Predicted"], row["Measured"], row["Heads"]) == ("–", "3.00×", "–")
    assert [trace["type"] for trace in section.figures[-1].views[0].figure["data"]] == ["scatter"]


def without_pairs(section):
    return maps(section) == section.figures and not any("Measured" in table.title for table in section.tables)


@pytest.mark.parametrize(
    "other", [{"batch": 2}, {"threads": 2}, {"extras": {"seed": 1}}, {"phase": "prefill"}, {"match": "cache"}]
)
def test_cases_that_differ_otherwise_are_no_pair(tmp_path, other):
    both_differ = {"phase", "match"} & set(other)
    gqa = build(attention="gqa", **(other if both_differ else {}))
    assert without_pairs(section_of(tmp_path, gqa, build(**other)))


def test_projected_records_and_other_variants_are_no_points(tmp_path):
    gqa, mla = pair()
    projected = replace(gqa, evidence=Evidence.PROJECTED)
    assert without_pairs(section_of(tmp_path, projected, mla, build(attention="mha"), build(attention="mqa")))


def test_impossible_quantities_break_no_figure(tmp_path):
    odd = pair(settings={"geometry": {"num_heads": 10**400}}, tp="two")
    odd[0] = with_readings(odd[0], "kernel", flops=1e308, ceiling_flops_per_s=1e-300, traffic_bytes=float("nan"))
    for figure in section_of(tmp_path, *odd).figures:
        plotly.graph_objects.Figure(figure.views[0].figure)
        json.dumps(figure.views[0].figure, allow_nan=False)
