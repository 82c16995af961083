"""Projected cases on the page: least times by specification, and that nothing about them reads as measured."""

import json
import re
from dataclasses import replace

import plotly.graph_objects
import pytest

from suite.records.case import Case
from suite.records.record import Evidence, Reading, Status
from suite.report.attention.projection import build as build_section
from tests.records.factory import build
from tests.report.reading import results_of, said

AXES = ("attention", "geometry", "match", "phase", "seq_len", "query_len", "batch", "tp", "dtype", "cache_dtype")


def projected(variant="mla", hardware="h20-96gb", layer_s=2e-3, kernel_s=1e-3, *, extras=None, **axes):
    """As a run of the workload leaves it; at the factory's sizes and ceilings arithmetic limits both spans."""
    record = build(attention=variant, **axes)
    case = Case(
        workload="projection",
        axes={name: record.case.axes[name] for name in AXES} | {"hardware": hardware},
        extras=extras or {},
    )
    kept = [reading for reading in record.readings if reading.metric != "latency_s"]
    bounds = {"layer": layer_s, "kernel": kernel_s}
    kept += [Reading(step=0, span=span, metric="bound_s", value=value) for span, value in bounds.items()]
    return replace(record, case=case, evidence=Evidence.PROJECTED, provenance={}, readings=kept)


def without(record, *metrics):
    return replace(record, readings=[one for one in record.readings if one.metric not in metrics])


def section_of(tmp_path, *records, lang="en", **labelled):
    return said(build_section(results_of(tmp_path, *records, **labelled)), lang)


def markers(figure, view=0):
    """Variant to device to time."""
    plotly.graph_objects.Figure(figure.views[view].figure)
    return {
        trace["name"]: dict(zip(trace["y"], trace["x"], strict=True)) for trace in figure.views[view].figure["data"]
    }


def devices(figure, view=0):
    return list(figure.views[view].figure["layout"]["yaxis"]["categoryarray"])


def test_without_projected_records_there_is_no_section(tmp_path):
    refused = replace(projected(), status=Status.UNSUPPORTED, reason="no peak", readings=[])
    claimed = replace(projected(seq_len=8192), evidence=Evidence.MEASURED)
    assert section_of(tmp_path, build(), refused, claimed) is None


def test_an_indexer_has_columns_where_a_row_has_one(tmp_path):
    record = projected("mla_dsa")
    indexer = Reading(step=0, span="indexer", metric="bound_s", value=3e-4)
    record = replace(record, readings=[*record.readings, indexer])
    (with_one,) = section_of(tmp_path / "a", record, projected()).tables
    (without_one,) = section_of(tmp_path / "b", projected()).tables
    assert [column.title for column in with_one.columns].count("Indexer") == 1
    assert "300 µs" in with_one.rows[1]
    assert "Indexer" not in [column.title for column in without_one.columns]


@pytest.mark.parametrize(("lang", "words"), [("en", "not measured"), ("zh", "并非实测")])
def test_everything_says_that_it_is_not_measured(tmp_path, lang, words):
    section = section_of(tmp_path, projected(), lang=lang)
    for text in (section.explanation, section.figures[0].caption, section.tables[0].note):
        assert words in text
        assert ("slower" if lang == "en" else "更慢") in text


def test_devices_are_rows_and_variants_are_markers(tmp_path):
    slow = [projected("mha", "a", 9e-3), projected("mla", "a", 5e-3, 1e-4)]
    (figure,) = section_of(tmp_path, *slow, projected("mha", "b", 8e-3), projected("mla", "b", 4e-3)).figures
    assert [view.title for view in figure.views] == ["Whole layer", "Kernel"]
    assert markers(figure) == {"MHA": {"a": 9e-3, "b": 8e-3}, "MLA": {"a": 5e-3, "b": 4e-3}}
    assert (devices(figure, 0), devices(figure, 1)) == (["b", "a"], ["a", "b"])


def test_a_marker_says_its_time_what_limits_it_and_its_context(tmp_path):
    (figure,) = section_of(tmp_path, projected()).figures
    (trace,) = figure.views[0].figure["data"]
    assert trace["hovertext"] == ["2.00 ms at least, limited by arithmetic, 4,096 tokens"]


def test_what_is_expected_stands_beside_the_bound(tmp_path):
    times = {"expected_s": 3e-3, "expected_low_s": 2.5e-3, "expected_high_s": 3.6e-3}
    new = [Reading(step=0, span="layer", metric=name, value=value) for name, value in times.items()]
    record = projected()
    known = replace(record, readings=[*record.readings, *new], provenance={"expected_by": "MLA 16"})
    section = section_of(tmp_path, known, projected("gqa"))
    hover = section.figures[0].views[0].figure["data"][1]["hovertext"]
    assert hover == [
        "2.00 ms at least, limited by arithmetic, 4,096 tokens; 3.00 ms (2.50–3.60 ms) expected of a good kernel"
    ]
    titles = [column.title for column in section.tables[0].columns]
    rows = {row[titles.index("Variant")]: row for row in section.tables[0].rows}
    assert [rows[name][titles.index("Expected")] for name in ("MLA", "GQA")] == ["3.00 ms (2.50–3.60 ms)", "–"]
    assert rows["MLA"][titles.index("Expected by")] == "MLA 16"


def test_without_a_calibration_there_is_the_bound_alone(tmp_path):
    section = section_of(tmp_path, projected())
    assert "Expected" not in [column.title for column in section.tables[0].columns]
    assert "elsewhere there is the bound alone" in section.explanation


def test_the_figure_shows_the_context_of_the_most_cases(tmp_path):
    records = [projected(variant, seq_len=tokens) for variant in ("mla", "gqa") for tokens in (1024, 4096)]
    (figure,) = section_of(tmp_path, *records, projected(seq_len=8192)).figures
    assert figure.title == "deepseek-v2-lite · decode · bfloat16 · 4,096 tokens"


def test_a_row_has_both_times_limits_cache_and_speed(tmp_path):
    section = section_of(tmp_path, projected("mha", layer_s=6e-3, kernel_s=5e-3), projected())
    (table,) = section.tables
    assert not table.folded
    assert [column.title for column in table.columns][3:6] == ["Whole layer", "vs MHA", "Limited by"]
    # 4,096 tokens of 576 elements of the 4,096 that MHA keeps.
    cells = ["2.00 ms", "3.00×", "arithmetic", "1.00 ms", "5.00×", "arithmetic", "4.50 MiB", "14 %"]
    assert table.rows[1] == ["h20-96gb", "MLA", "4,096", *cells]
    assert section.figures[0].finding == "Computed: MLA takes at least 2.00 ms on h20-96gb, limited by arithmetic"


def test_without_mha_the_slowest_variant_is_the_baseline(tmp_path):
    others = [projected("gqa", layer_s=3e-3), projected("gqa", "other", 9e-3), projected("gqa", seq_len=8192)]
    (table,) = section_of(tmp_path, projected(layer_s=2e-3), *others).tables
    assert "vs slowest" in [column.title for column in table.columns]
    assert [row[4] for row in table.rows] == ["1.00×", "1.50×", "1.00×", "1.00×"]


def test_titles_and_settings_tell_figures_apart(tmp_path):
    section = section_of(tmp_path, projected(), projected(cache_dtype="fp8"), projected(extras={"x": 1}))
    titles = {(figure.title, figure.settings) for figure in section.figures}
    assert len(titles) == len(section.tables) == 3
    assert ("deepseek-v2-lite · decode · bfloat16 · 4,096 tokens", "cache_dtype=fp8") in titles


def test_results_side_by_side_differ_by_name_and_filling(tmp_path):
    section = section_of(tmp_path, here=[projected()], there=[projected(layer_s=3e-3)])
    assert markers(section.figures[0]) == {"MLA · here": {"h20-96gb": 2e-3}, "MLA · there": {"h20-96gb": 3e-3}}
    symbols = [trace["marker"]["symbol"] for trace in section.figures[0].views[0].figure["data"]]
    assert symbols == ["triangle-up", "triangle-up-open"]
    assert [row[-1] for row in section.tables[0].rows] == ["here", "there"]


def test_many_rows_are_folded_and_devices_get_their_room(tmp_path):
    section = section_of(tmp_path, *(projected(hardware=f"device {number}") for number in range(24)))
    assert section.tables[0].folded
    assert section.figures[0].height_px > 24 * 20


def test_what_a_record_lacks_is_a_dash(tmp_path):
    bare = without(projected(kernel_s=float("nan"), hardware=None), "flops", "cache_bytes")
    (table,) = section_of(tmp_path, bare).tables
    assert table.rows == [["–", "MLA", "4,096", "2.00 ms", "1.00×", "–", "–", "–", "–", "–", "–"]]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 0.0, 1e300])
def test_a_time_that_no_device_could_have_is_left_out(tmp_path, value):
    assert section_of(tmp_path / "all", projected(layer_s=value, kernel_s=value)) is None
    (figure,) = section_of(tmp_path / "one", projected(), projected("gqa", layer_s=value)).figures
    assert (list(markers(figure, 0)), list(markers(figure, 1))) == (["MLA"], ["GQA", "MLA"])


def test_a_context_that_cannot_be_drawn_is_tabled_alone(tmp_path):
    section = section_of(tmp_path, projected(seq_len="many"))
    assert section.figures == []
    assert section.tables[0].rows[0][2] == "–"


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_hostile_text_reaches_the_figures_as_look_alikes(tmp_path, lang):
    evil = '</script><a href="x">%{x}$'
    section = section_of(tmp_path, projected(evil, evil, geometry=evil), lang=lang)
    text = json.dumps(section.figures[0].views[0].figure, allow_nan=False, ensure_ascii=False)
    assert not re.search(r"[<>$]|%\{", text.replace("%{hovertext}<extra>%{fullData.name}</extra>", ""))
