"""What ran and what did not, and where the numbers come from."""

from functools import partial

import pytest

from suite.records.record import Status
from suite.records.stores.store import RECORD
from suite.report.model.results import read_results
from suite.report.runs.trust import build
from tests.records.factory import build as record_of
from tests.records.factory import store
from tests.report.reading import built, rows_of, said

section_of = partial(built, build)


def table_of(section, title):
    """The rows of the table of this title; none where there is no such table."""
    return next((rows_of(table) for table in section.tables if table.title == title), [])


def facts_of(section):
    return {row["Fact"]: row["results"] for row in table_of(section, "Machine, versions and code")}


def test_without_a_folder_of_a_run_there_is_no_section(tmp_path):
    assert build(read_results([tmp_path])) is None


def test_the_counts_have_a_column_for_each_result(tmp_path):
    section = section_of(tmp_path, a=[record_of(), record_of(seq_len=64)], b=[record_of()])
    assert [(row["Runs"], row["a"], row["b"]) for row in table_of(section, "Cases by outcome")] == [
        ("Cases", "2", "1"),
        ("OK", "2", "1"),
        ("Superseded", "0", "0"),
        ("Damaged", "0", "0"),
        ("Unfinished", "0", "0"),
    ]
    assert section.headlines[0].text == "All 3 cases ran"


def test_a_case_without_a_result_has_its_reason(tmp_path):
    refused = record_of(status=Status.UNSUPPORTED, reason="no kernel for /srv/private/x")
    section = section_of(tmp_path, a=[refused], b=[record_of()])
    (row,) = table_of(section, "Cases without a result")
    assert (row["Status"], row["Results"], row["Case"]) == ("Unsupported", "a", refused.case.id)
    assert "/srv/private" not in row["Reason"]
    assert section.headlines[0].text.startswith("1 of 2 cases ran")


def test_of_many_cases_without_a_result_each_reason_stands_once(tmp_path):
    failed = [record_of(status=Status.FAILED, reason=f"no {n % 2}", batch=n + 1) for n in range(17)]
    section = section_of(tmp_path, *failed)
    assert [(row["Reason"], row["Cases"]) for row in table_of(section, "Reasons")] == [("no 0", "9"), ("no 1", "8")]
    assert len(table_of(section, "Cases without a result")) == 17


def test_damaged_and_unfinished_folders_are_named(tmp_path):
    store(tmp_path / "results", record_of())
    for name, content in (("damaged", "{"), ("unfinished", None)):
        (tmp_path / "results" / name).mkdir()
        if content:
            (tmp_path / "results" / name / RECORD).write_text(content)
    section = said(build(read_results([tmp_path / "results"])))
    assert {row["Runs"]: row["results"] for row in table_of(section, "Cases by outcome")}["Damaged"] == "1"
    assert [row["Folder"] for row in table_of(section, "Damaged run folders")] == ["damaged"]


def test_a_fact_that_differs_names_every_value_once(tmp_path):
    records = [record_of(seq_len=64 * n, environment={"cpu": cpu}) for n, cpu in enumerate(("A", "B", "A"), start=1)]
    facts = facts_of(section_of(tmp_path, *records))
    assert (facts["Processor"], facts["Records shown"]) == ("A; B", "3")


def test_a_commit_says_whether_the_code_had_changed(tmp_path):
    commits = [{"commit": "0123456789abcdef", "dirty": dirty} for dirty in (True, False)]
    records = [record_of(seq_len=64 * n, provenance=commit) for n, commit in enumerate(commits, start=1)]
    named = facts_of(section_of(tmp_path, *records))["Commit"]
    assert sorted(named.split("; ")) == ["0123456789ab", "0123456789ab (with uncommitted changes)"]


@pytest.mark.parametrize("clock", ["/srv/private/x " * 100, 3])
def test_a_clock_of_a_foreign_record_is_cut_and_scrubbed(tmp_path, clock):
    written = facts_of(section_of(tmp_path, record_of(provenance={"clock": clock})))["Clock"]
    assert "/srv/private" not in written
    assert len(written) <= 400


def test_warnings_that_differ_in_numbers_alone_are_one(tmp_path):
    warned = ["stopped at n = 7: ±2.7% of 1e-05", "stopped at n = 12: ±11.0% of 3e-05", "something else"]
    records = [record_of(seq_len=1024 * n, provenance={"warnings": [text]}) for n, text in enumerate(warned, start=1)]
    warnings = table_of(section_of(tmp_path, *records), "Warnings from the runs")
    assert [(*row.values(),) for row in warnings] == [(warned[0], "results", "2"), (warned[2], "results", "1")]
