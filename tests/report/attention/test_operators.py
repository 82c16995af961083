"""What the operators section says of records."""

import pytest

from suite.records.record import Status
from suite.report.attention.operators import build as build_section
from tests.records.factory import build
from tests.report.reading import results_of, rows_of, said

FUSED = "_scaled_dot_product_flash_attention_for_cpu"
MATH = "_scaled_dot_product_attention_math"


def ran(*operators, **axes):
    return build(provenance={"operators": {"layer": ["mm"], "kernel": list(operators)}}, **axes)


def rows(tmp_path, *records, **labelled):
    section = said(build_section(results_of(tmp_path, *records, **labelled)))
    return rows_of(section.tables[0])


def test_cases_with_equal_operators_share_a_row(tmp_path):
    cases = [ran(FUSED, seq_len=tokens) for tokens in (1024, 4096, 16384)]
    (row,) = rows(tmp_path, *cases, ran(FUSED, attention="mha", geometry="llama-3.2-1b"))
    assert row["Variant"] == "MHA, MLA"
    assert row["Geometry"] == "deepseek-v2-lite, llama-3.2-1b"
    assert (row["Context (tokens)"], row["Cases"]) == ("1,024–16,384", "4")
    assert (row["Kernel operators"], row["Flag"]) == (FUSED, "–")


def test_the_math_path_is_flagged_and_stands_first(tmp_path):
    math, fused = rows(tmp_path, ran(FUSED, attention="mha"), ran("bmm", MATH))
    assert (math["Variant"], math["Flag"]) == ("MLA", "fell to torch’s math path")
    assert (fused["Variant"], fused["Flag"]) == ("MHA", "–")


def test_many_geometries_are_counted(tmp_path):
    (row,) = rows(tmp_path, *(ran(FUSED, geometry=name) for name in "abc"))
    assert row["Geometry"] == "3 geometries"


def test_phases_dtypes_and_results_are_kept_apart(tmp_path):
    found = rows(tmp_path, a=[ran(FUSED), ran(FUSED, phase="prefill")], b=[ran(FUSED), ran(FUSED, dtype="float32")])
    assert sorted((row["Results"], row["Phase"], row["Dtype"]) for row in found) == [
        ("a", "decode", "bfloat16"),
        ("a", "prefill", "bfloat16"),
        ("b", "decode", "bfloat16"),
        ("b", "decode", "float32"),
    ]


def test_a_record_that_does_not_say_what_ran_has_a_dash(tmp_path):
    found = rows(tmp_path, ran(FUSED), build(attention="mha", seq_len="many"))
    assert [(row["Kernel operators"], row["Context (tokens)"]) for row in found] == [("–", "–"), (FUSED, "4,096")]


@pytest.mark.parametrize("operators", [None, 3, "kernel", [1], {"kernel": 5}, {"kernel": {"a": 1}}, {"kernel": []}])
def test_operators_that_are_no_lists_by_span_say_nothing(tmp_path, operators):
    failed = build(status=Status.FAILED, reason="x", seq_len=1)
    results = results_of(tmp_path, build(provenance={"operators": operators}), failed)
    assert said(build_section(results)) is None
