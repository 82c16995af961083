"""Where the numbers come from: each fact once under a label, and warnings once where only numbers differ."""

from suite.report.model.results import read_results
from suite.report.runs.provenance import build
from tests.records.factory import build as record_of
from tests.report.reading import results_of, rows_of, said


def tables_of(results):
    return said(build(results)).tables


def facts_of(tmp_path, *records):
    return {row["Fact"]: row["results"] for row in rows_of(tables_of(results_of(tmp_path, *records))[0])}


def test_without_a_record_there_is_no_section(tmp_path):
    assert build(read_results([tmp_path])) is None


def test_a_fact_that_differs_names_every_value_once(tmp_path):
    records = [record_of(seq_len=64 * n, environment={"cpu": cpu}) for n, cpu in enumerate(("A", "B", "A"), start=1)]
    facts = facts_of(tmp_path, *records)
    assert (facts["Processor"], facts["Records shown"]) == ("A; B", "3")


def test_a_commit_says_whether_the_code_had_changed(tmp_path):
    dirty = record_of(provenance={"commit": "0123456789abcdef", "dirty": True})
    clean = record_of(seq_len=64, provenance={"commit": "0123456789abcdef", "dirty": False})
    assert facts_of(tmp_path, dirty, clean)["Commit"] in (
        "0123456789ab (changed since); 0123456789ab",
        "0123456789ab; 0123456789ab (changed since)",
    )


def test_a_clock_of_a_foreign_record_is_cut_and_scrubbed(tmp_path):
    clock = facts_of(tmp_path, record_of(provenance={"clock": "/srv/private/x " * 100}))["Clock"]
    assert "/srv/private" not in clock
    assert len(clock) <= 400


def test_warnings_that_differ_in_numbers_alone_are_one(tmp_path):
    warned = ["stopped at n = 7: ±2.7% of 1e-05", "stopped at n = 12: ±11.0% of 3e-05", "something else"]
    records = [record_of(seq_len=1024 * n, provenance={"warnings": [text]}) for n, text in enumerate(warned, start=1)]
    _, warnings = tables_of(results_of(tmp_path, *records))
    assert [(*row.values(),) for row in rows_of(warnings)] == [
        (warned[0], "results", "2"),
        (warned[2], "results", "1"),
    ]
