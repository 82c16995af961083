"""Measured beside projected: told apart, and projected from the record's own closed forms."""

from dataclasses import replace

import plotly.graph_objects
import pytest

from suite.records.record import Reading
from suite.report.attention.hardware import build as build_section
from suite.report.attention.projection import build as build_projection
from suite.theory.devices.hardware import load_hardware
from tests.records.factory import build
from tests.report.attention.test_projection import projected
from tests.report.reading import results_of, rows_of, said

H100 = {"machine_id": "h", "gpus": ["NVIDIA H100 80GB HBM3"]}


def section_of(tmp_path, *records, lang="en", **labelled):
    return said(build_section(results_of(tmp_path, *records, **labelled)), lang)


def marks_of(figure, view=0):
    """Symbol to device to time."""
    plotly.graph_objects.Figure(figure.views[view].figure)
    return {
        trace["marker"]["symbol"]: dict(zip(trace["y"], trace["x"], strict=True))
        for trace in figure.views[view].figure["data"]
    }


def test_one_variant_on_one_machine_is_no_comparison(tmp_path):
    assert section_of(tmp_path, build()) is None
    assert section_of(tmp_path / "projected", projected()) is None


def test_solid_is_measured_and_hollow_is_specified(tmp_path):
    (figure,) = section_of(tmp_path, build(latencies_s=(2e-3,) * 6), build(attention="mha")).figures
    marks = marks_of(figure)
    assert marks["triangle-up"] == {"● A processor": 2e-3}
    ceilings = load_hardware("h100-sxm5-80gb").ceilings("bfloat16")
    assert marks["triangle-up-open"]["h100-sxm5-80gb"] == pytest.approx(
        ceilings.bound_s(flops=2e8, traffic_bytes=3e7), rel=1e-4
    )
    rows = figure.views[0].figure["layout"]["yaxis"]["categoryarray"]
    assert rows[0] == "● A processor"
    assert "v100-sxm2-32gb" not in rows  # which has no bfloat16


def test_a_machine_has_its_own_bound_and_a_finding(tmp_path):
    (figure,) = section_of(tmp_path, build(latencies_s=(4e-3,) * 6), build(attention="mha")).figures
    assert marks_of(figure)["triangle-up-open"]["● A processor"] == pytest.approx(2e-3)
    assert figure.finding.startswith("MLA: 4.00 ms measured on A processor; 2.00× its bound there; ")


def test_what_nothing_was_checked_of_has_no_finding(tmp_path):
    unchecked = {"provenance": {"layer_check": "none: no definition"}}
    (figure,) = section_of(tmp_path, build(**unchecked), build(attention="mha", **unchecked)).figures
    assert figure.finding == ""


def test_expected_times_stand_below_the_bound_of_their_device(tmp_path):
    record = with_quantities(projected("mla", "h100-sxm5-80gb", 7e-6, 3e-6), "layer", expected_s=9e-6)
    (figure,) = section_of(tmp_path, build(), record).figures
    rows = figure.views[0].figure["layout"]["yaxis"]["categoryarray"]
    assert rows.index("≈ h100-sxm5-80gb") == rows.index("h100-sxm5-80gb") + 1


def test_the_fastest_backend_of_each_machine_counts(tmp_path):
    here = [build(backend=name, latencies_s=(time,) * 6) for name, time in (("eager", 9e-3), ("sdpa", 5e-3))]
    there = [build(device="cuda", threads=None, latencies_s=(1e-4,) * 6, environment=H100)]
    (figure,) = section_of(tmp_path, here=here, there=there).figures
    assert marks_of(figure)["triangle-up"] == {"● here · A processor": 5e-3, "● there · NVIDIA H100…": 1e-4}


def test_the_table_names_every_device_with_its_evidence(tmp_path):
    layer, kernel = section_of(tmp_path, build(latencies_s=(2e-3,) * 6), build(attention="mha")).tables
    rows = rows_of(layer)
    assert (rows[0]["Device"], rows[0]["Evidence"], rows[0]["MLA"]) == ("A processor", "measured", "2.00 ms")
    assert {row["Evidence"] for row in rows[1:]} == {"projected"}
    assert kernel.folded


def with_quantities(record, span, **amounts):
    kept = [one for one in record.readings if (one.span, one.metric) not in {(span, name) for name in amounts}]
    new = [Reading(step=0, span=span, metric=name, value=value) for name, value in amounts.items()]
    return replace(record, readings=kept + new)


def test_what_is_expected_has_rows_of_its_own(tmp_path):
    """128 heads and one token after 8,192: 2.8 µs of traffic and a floor on an H100, then 3e7 bytes of a layer, whose
    five products have a floor each."""
    mla = build(settings={"geometry": {"num_heads": 128}}, seq_len=8192)
    kernel = {"flops": 2176 * 128 * 8192.0, "traffic_bytes": 8192 * 1152.0}
    mla = with_quantities(mla, "case", cache_bytes=8192 * 1152)
    mla = with_quantities(mla, "kernel", **kernel)
    mla = with_quantities(mla, "layer", flops=kernel["flops"] + 2e8, traffic_bytes=kernel["traffic_bytes"] + 3e7)
    (figure,) = section_of(tmp_path, mla, build(attention="mha", seq_len=8192)).figures
    kernel_s = 25e-6 + 8192 * 1152 / 3.35e12 / 0.8
    of_layer, of_kernel = (marks_of(figure, view)["triangle-up-open"] for view in (0, 1))
    assert of_kernel["≈ h100-sxm5-80gb"] == pytest.approx(kernel_s, rel=1e-4)
    layer_s = kernel_s + 3e7 / 3.35e12 / 0.90 + 5 * 3.2e-6
    assert of_layer["≈ h100-sxm5-80gb"] == pytest.approx(layer_s, rel=1e-4)
    assert "≈ h20-96gb" not in of_kernel
    assert "circle-open" not in marks_of(figure, 1) or "≈ h100-sxm5-80gb" not in marks_of(figure, 1)["circle-open"]


def test_a_table_says_which_times_are_expected(tmp_path):
    record = with_quantities(projected("mla", "h100-sxm5-80gb", 7e-6, 3e-6), "layer", expected_s=9e-6)
    rows = rows_of(section_of(tmp_path, build(), record).tables[0])
    assert [(row["Device"], row["MLA"]) for row in rows if row["Evidence"] == "expected"] == [
        ("≈ h100-sxm5-80gb", "9.00 µs")
    ]


def test_a_projected_record_stands_beside_measured_ones_once(tmp_path):
    results = results_of(tmp_path, build(), projected("mla", "a device", 7e-6, 3e-6))
    marks = marks_of(said(build_section(results)).figures[0])
    assert marks["triangle-up-open"]["a device"] == 7e-6
    projection = said(build_projection(results))
    assert projection.figures == []
    assert "Measured and projected" in projection.explanation
    assert len(projection.tables) == 1


def test_projections_at_another_context_keep_their_own_figure(tmp_path):
    results = results_of(tmp_path, build(), build(attention="mha"), projected(seq_len=131072))
    assert len(said(build_projection(results)).figures) == 1


@pytest.mark.parametrize(("lang", "words"), [("en", "not measured"), ("zh", "并非实测")])
def test_text_beside_it_says_that_hollow_is_not_measured(tmp_path, lang, words):
    section = section_of(tmp_path, build(), build(attention="mha"), lang=lang)
    assert words in section.figures[0].caption
    assert words in section.tables[0].note


def test_kinds_of_case_differ_in_more_than_their_dtype(tmp_path):
    records = [
        build(attention=attention, dtype=dtype, phase=phase, batch=batch)
        for attention in ("mla", "mha")
        for dtype in ("float32", "bfloat16")
        for phase in ("decode", "prefill")
        for batch in (1, 2)
    ]
    figures = section_of(tmp_path, *records).figures
    assert len(figures) == 4
    assert len({tuple(figure.facets.items()) for figure in figures}) == 4
    assert {figure.facets["dtype"] for figure in figures} == {"bfloat16"}


def test_two_machines_of_one_name_and_label_are_told_apart(tmp_path):
    other = build(environment={"machine_id": "ffffffffff"}, seq_len=4096, extras={"attention.kv_heads": 2})
    rows = rows_of(section_of(tmp_path, build(), build(threads=2), other).tables[0])
    measured = {row["Device"] for row in rows if row["Evidence"] == "measured"}
    assert measured == {
        "results (A processor, a1b2) · threads=1",
        "results (A processor, a1b2) · threads=2",
        "results (A processor, ffff)",
    }


def test_rows_whose_long_names_are_cut_alike_stay_apart(tmp_path):
    cards = [{"machine_id": name, "cpu": f"A processor with a long name, model {name}"} for name in "abc"]
    (figure,) = section_of(
        tmp_path, *[build(environment=card, batch=1, extras={"attention.x": n}) for n, card in enumerate(cards)]
    ).figures
    rows = [row for row in figure.views[0].figure["layout"]["yaxis"]["categoryarray"] if row.startswith("●")]
    assert rows == ["● results (A processo…", "● results (A processo… (2)", "● results (A processo… (3)"]
