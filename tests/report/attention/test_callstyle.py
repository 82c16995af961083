"""What the section on call forms says of records."""

from dataclasses import replace
from functools import partial

import plotly.graph_objects
import pytest

from suite.records.case import Case
from suite.report.attention.callstyle import build as build_section
from tests.records.factory import build
from tests.report.reading import built, rows_of

section_of = partial(built, build_section)

FUSED = "_scaled_dot_product_flash_attention_for_cpu"
MATH = "_scaled_dot_product_attention_math"


def form(variant="mla", backend="sdpa_folded", latency_s=1e-3, *, asked=None, ran=(FUSED,), **axes):
    provenance = {"backend": backend, "operators": {"layer": ["mm"], "kernel": list(ran)}}
    asked = asked or backend
    return build(attention=variant, backend=asked, latencies_s=(latency_s,) * 6, provenance=provenance, **axes)


def foreign(latency_s, **axes):
    """As a run of another library's layer leaves it: timed as a whole only."""
    record = build(latencies_s=(latency_s,) * 6, provenance={"backend": "transformers 5.24 eager"}, **axes)
    layer = [reading for reading in record.readings if (reading.span, reading.metric) == ("layer", "latency_s")]
    case = Case(workload="transformers", axes={**record.case.axes, "backend": "eager"})
    return replace(record, case=case, readings=layer)


def dots_of(figure, view=0):
    plotly.graph_objects.Figure(figure.views[view].figure)
    return [(*trace["y"], *trace["text"]) for trace in figure.views[view].figure["data"]]


def test_the_worst_form_is_first_and_each_says_its_ratio(tmp_path):
    section = section_of(tmp_path, form(latency_s=1e-3), form(backend="sdpa", latency_s=12e-3), form("mla_expanded"))
    (figure,) = section.figures
    assert dots_of(figure)[0] == ("MLA · sdpa", "12.0× the fastest")
    assert {text for _, text in dots_of(figure)[1:]} == {"fastest"}


def test_a_row_says_what_the_kernel_ran_and_marks_the_math_path(tmp_path):
    slow = form(backend="sdpa", latency_s=3e-3, ran=("bmm", MATH))
    section = section_of(tmp_path, slow, form(), form(backend="eager", latency_s=2e-3, ran=("_softmax", "bmm")))
    assert [[row[0], *row[5:]] for row in section.tables[0].rows] == [
        ["MLA · sdpa", "3.00 ms", "3.00×", "1.20 ms", "3.00×", f"{MATH} (math path)"],
        ["MLA · eager", "2.00 ms", "2.00×", "800 µs", "2.00×", "separate operators"],
        ["MLA · sdpa_folded", "1.00 ms", "1.00×", "400 µs", "1.00×", FUSED],
    ]


def test_only_forms_of_one_computation_stand_together(tmp_path):
    others = [form(seq_len=8192), form(dtype="float32"), form(batch=2), form(threads=2), form(extras={"seed": 1})]
    assert section_of(tmp_path, form("mla_latent"), *others, form("gqa")) is None


def test_a_form_that_auto_chose_and_somebody_named_is_shown_once(tmp_path):
    section = section_of(tmp_path, form(asked="auto"), form(latency_s=2e-3), form(backend="sdpa"))
    shown = [(row["Form of call"], row["Whole layer"]) for row in rows_of(section.tables[0])]
    assert shown == [("MLA · sdpa_folded", "2.00 ms"), ("MLA · sdpa", "1.00 ms")]


def test_another_librarys_layer_is_marked_and_explained(tmp_path):
    section = section_of(tmp_path, form(asked="auto"), foreign(5e-3))
    (figure,) = section.figures
    assert dots_of(figure)[0] == ("transformers 5.24 eager †", "5.00× the fastest")
    assert "†" in figure.caption
    assert section.tables[0].rows[0][-3:] == ["–", "–", "–"]


def test_results_side_by_side_are_compared_within_themselves(tmp_path):
    here = [form(), form(backend="sdpa", latency_s=2e-3)]
    section = section_of(tmp_path, here=here, there=[form(latency_s=4e-3), form(backend="sdpa", latency_s=6e-3)])
    assert [dots_of(figure)[0][1] for figure in section.figures] == ["2.00× the fastest", "1.50× the fastest"]


@pytest.mark.parametrize("value", [float("nan"), -1.0, 1e300])
def test_a_form_without_a_usable_time_is_no_form(tmp_path, value):
    assert section_of(tmp_path, form(), form(backend="sdpa", latency_s=value)) is None
