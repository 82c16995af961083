"""One case on other hardware: measured, projected and expected told apart, and nothing computed that reads as
measured."""

from dataclasses import replace
from functools import partial

import plotly.graph_objects
import pytest

from suite.records.case import Case
from suite.records.record import Evidence, Status
from suite.report.attention.hardware import build as build_section
from suite.theory.answers.published import published_figures
from suite.theory.devices.hardware import load_hardware
from tests.records.factory import build, with_readings
from tests.report.attention.test_signmap import on_the_map
from tests.report.reading import built, rows_of

AXES = ("attention", "geometry", "match", "phase", "seq_len", "query_len", "batch", "tp", "dtype", "cache_dtype")
section_of = partial(built, build_section)
H100 = {"machine_id": "h", "gpus": ["NVIDIA H100 80GB HBM3"]}


def projected(variant="mla", hardware="h20-96gb", layer_s=2e-3, kernel_s=1e-3, *, extras=None, **axes):
    """As a run of the workload leaves it; at the factory's sizes and ceilings arithmetic limits both spans."""
    record = build(attention=variant, **axes)
    case = Case(
        workload="projection",
        axes={name: record.case.axes[name] for name in AXES} | {"hardware": hardware},
        extras=extras or {},
    )
    kept = [reading for reading in record.readings if reading.metric != "latency_s"]
    bare = replace(record, case=case, evidence=Evidence.PROJECTED, provenance={}, readings=kept)
    return with_readings(with_readings(bare, "layer", bound_s=layer_s), "kernel", bound_s=kernel_s)


def tables_of(section):
    """The tables of times; two more check what is computed."""
    return section.tables[:-2]


def marks_of(figure, view=0):
    """Symbol to device to time."""
    plotly.graph_objects.Figure(figure.views[view].figure)
    return {
        trace["marker"]["symbol"]: dict(zip(trace["y"], trace["x"], strict=True))
        for trace in figure.views[view].figure["data"]
    }


def devices(figure, view=0):
    return list(figure.views[view].figure["layout"]["yaxis"]["categoryarray"])


def test_one_variant_on_one_machine_is_no_comparison(tmp_path):
    section = section_of(tmp_path, build())
    assert (section.figures, tables_of(section)) == ([], [])
    refused = replace(projected(), status=Status.UNSUPPORTED, reason="no peak", readings=[])
    claimed = replace(projected(seq_len=8192), evidence=Evidence.MEASURED)
    assert section_of(tmp_path / "without", refused, claimed) is None


def test_solid_is_measured_and_hollow_is_specified(tmp_path):
    (figure,) = section_of(tmp_path, build(latencies_s=(2e-3,) * 6), build(attention="mha")).figures
    marks = marks_of(figure)
    assert marks["triangle-up"] == {"● A processor": 2e-3}
    ceilings = load_hardware("h100-sxm5-80gb").ceilings("bfloat16")
    assert marks["triangle-up-open"]["h100-sxm5-80gb"] == pytest.approx(
        ceilings.bound_s(flops=2e8, traffic_bytes=3e7), rel=1e-4
    )
    assert devices(figure)[0] == "● A processor"
    assert "v100-sxm2-32gb" not in devices(figure)  # which has no bfloat16


def test_the_fastest_backend_of_each_machine_counts(tmp_path):
    here = [build(backend=name, latencies_s=(time,) * 6) for name, time in (("eager", 9e-3), ("sdpa", 5e-3))]
    there = [build(device="cuda", threads=None, latencies_s=(1e-4,) * 6, environment=H100)]
    (figure,) = section_of(tmp_path, here=here, there=there).figures
    assert marks_of(figure)["triangle-up"] == {"● here · A processor": 5e-3, "● there · NVIDIA H100…": 1e-4}


def test_a_row_says_device_evidence_limit_and_speed(tmp_path):
    records = [build(latencies_s=(2e-3,) * 6), build(attention="mha", latencies_s=(1e-3,) * 6)]
    layer, kernel = tables_of(section_of(tmp_path, *records))
    mha, mla = rows_of(layer)
    assert (mla["Device"], mla["Evidence"], mla["Variant"]) == ("A processor", "measured", "MLA")
    assert (mla["Median"], mla["Speed-up over MHA"], mla["Limited by"]) == ("2.00 ms", "0.500×", "arithmetic")
    assert (mha["Variant"], mha["Speed-up over MHA"]) == ("MHA", "1.00×")
    assert kernel.folded


def test_what_is_expected_has_rows_of_its_own(tmp_path):
    """128 heads and one token after 8,192: 2.8 µs of traffic and a floor on an H100, then 3e7 bytes of a layer, whose
    five products have a floor each."""
    mla = build(settings={"geometry": {"num_heads": 128}}, seq_len=8192)
    kernel = {"flops": 2176 * 128 * 8192.0, "traffic_bytes": 8192 * 1152.0}
    mla = with_readings(mla, "case", cache_bytes=8192 * 1152)
    mla = with_readings(mla, "kernel", **kernel)
    mla = with_readings(mla, "layer", flops=kernel["flops"] + 2e8, traffic_bytes=kernel["traffic_bytes"] + 3e7)
    (figure,) = section_of(tmp_path, mla, build(attention="mha", seq_len=8192)).figures
    kernel_s = 25e-6 + 8192 * 1152 / 3.35e12 / 0.8
    of_layer, of_kernel = (marks_of(figure, view)["triangle-up-open"] for view in (0, 1))
    assert of_kernel["≈ h100-sxm5-80gb"] == pytest.approx(kernel_s, rel=1e-4)
    layer_s = kernel_s + 3e7 / 3.35e12 / 0.90 + 5 * 3.2e-6
    assert of_layer["≈ h100-sxm5-80gb"] == pytest.approx(layer_s, rel=1e-4)
    assert "≈ h20-96gb" not in of_kernel
    assert "circle-open" not in marks_of(figure, 1) or "≈ h100-sxm5-80gb" not in marks_of(figure, 1)["circle-open"]
    assert devices(figure).index("≈ h100-sxm5-80gb") == devices(figure).index("h100-sxm5-80gb") + 1


def test_what_a_projection_expects_stands_beside_the_bound(tmp_path):
    known = with_readings(projected(), "layer", expected_s=3e-3)
    section = section_of(tmp_path, known, projected("gqa"))
    rows = {(row["Device"], row["Variant"]): row for row in rows_of(section.tables[0])}
    assert set(rows) == {("h20-96gb", "GQA"), ("h20-96gb", "MLA"), ("≈ h20-96gb", "MLA")}
    expected = rows["≈ h20-96gb", "MLA"]
    assert (expected["Evidence"], expected["Median"], expected["Limited by"]) == ("expected", "3.00 ms", "–")


def test_projections_stand_beside_measured_cases_or_apart(tmp_path):
    section = section_of(tmp_path / "beside", build(), projected("mla", "a device", 7e-6, 3e-6))
    (figure,) = section.figures
    assert marks_of(figure)["triangle-up-open"]["a device"] == 7e-6
    section = section_of(tmp_path / "apart", build(), build(attention="mha"), projected(seq_len=131072))
    assert len(section.figures) == 2


def test_a_projected_row_has_cache_and_speed(tmp_path):
    layer, kernel = tables_of(section_of(tmp_path, projected("mha", layer_s=6e-3, kernel_s=5e-3), projected()))
    assert not layer.folded
    mla = rows_of(layer)[1]
    # 4,096 tokens of 576 elements of the 4,096 that MHA keeps.
    assert (mla["Median"], mla["Speed-up over MHA"], mla["Cache"], mla["of MHA’s"]) == (
        "2.00 ms",
        "3.00×",
        "4.50 MiB",
        "14%",
    )
    assert rows_of(kernel)[1]["Speed-up over MHA"] == "5.00×"


def test_what_a_record_lacks_is_a_dash(tmp_path):
    record = projected(kernel_s=float("nan"), hardware=None)
    kept = [reading for reading in record.readings if reading.metric not in ("flops", "cache_bytes")]
    (row,) = rows_of(section_of(tmp_path, replace(record, readings=kept)).tables[0])
    assert {row[name] for name in ("Device", "Speed-up over MHA", "Limited by", "Cache", "of MHA’s")} == {"–"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 0.0, 1e300])
def test_a_time_that_no_device_could_have_is_left_out(tmp_path, value):
    assert section_of(tmp_path / "all", projected(layer_s=value, kernel_s=value)) is None
    (figure,) = section_of(tmp_path / "one", projected(), projected("gqa", layer_s=value)).figures
    names = [[trace["name"] for trace in view.figure["data"][:-1]] for view in figure.views]
    assert names == [["MLA"], ["GQA", "MLA"]]


def test_a_context_that_cannot_be_drawn_is_tabled_alone(tmp_path):
    section = section_of(tmp_path, projected(seq_len="many"))
    assert section.figures == []
    assert rows_of(section.tables[0])[0]["Context (tokens)"] == "–"


def test_published_kernels_have_shares_and_sources(tmp_path):
    table = section_of(tmp_path, build()).tables[-2]
    rows = {row["Published"]: row for row in rows_of(table)}
    assert (table.folded, len(table.rows)) == (True, len(published_figures()))
    assert all(row["Roofline share"].endswith("%") and row["Source"] for row in rows.values())
    sized, bare = rows["756 TFLOP/s"], rows["3,000 GB/s"]
    assert (sized["Least time"], sized["Published time"], sized["Roofline share"]) == ("2.22 ms", "2.91 ms", "76%")
    # Without sizes the share is of the ceiling that the source names.
    assert (bare["Least time"], bare["Roofline share"], bare["Limited by"]) == ("–", "90%", "memory traffic")


def errors_of(tmp_path, *records):
    return [
        (row["Device"], row["Measured by"], row["Cases"], row["Median error"], row["90% of errors below"])
        for row in rows_of(section_of(tmp_path, *records).tables[-1])
    ]


def test_errors_of_expected_times_are_printed_by_device(tmp_path):
    published = [
        ("h100-sxm5-80gb", "published by others", "68", "5.7%", "21%"),
        ("h200-sxm-141gb", "published by others", "60", "3.4%", "18%"),
    ]
    assert errors_of(tmp_path, build()) == published
    # 31.0 and 32.0 µs are expected of these kernels, of GQA twice what is measured here.
    times = {"gqa_s": 31.03e-6 / 2 / 0.4, "mla_s": 32.04e-6 / 0.4, "device": "cuda"}
    own = on_the_map(**times, environment={"gpus": ["NVIDIA H100 80GB HBM3"]})
    assert errors_of(tmp_path / "own", *own) == [*published, ("h100-sxm5-80gb", "results", "2", "50%", "100%")]
    elsewhere = on_the_map(**times, environment={"gpus": ["NVIDIA A40"]})
    assert errors_of(tmp_path / "elsewhere", *elsewhere) == published
