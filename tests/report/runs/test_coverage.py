"""What ran and what did not: each label's counts, and every case without a result with its reason."""

from suite.records.record import Status
from suite.records.stores.store import RECORD
from suite.report.model.results import read_results
from suite.report.runs.coverage import build
from tests.records.factory import build as record_of
from tests.records.factory import store
from tests.report.reading import results_of, rows_of, said


def tables_of(results):
    return said(build(results)).tables


def test_without_a_folder_of_a_run_there_is_no_section(tmp_path):
    assert build(read_results([tmp_path])) is None


def test_the_counts_have_a_column_for_each_result(tmp_path):
    results = results_of(tmp_path, a=[record_of(), record_of(seq_len=64)], b=[record_of()])
    counts, *_ = tables_of(results)
    assert [(row["Runs"], row["a"], row["b"]) for row in rows_of(counts)] == [
        ("Cases", "2", "1"),
        ("OK", "2", "1"),
        ("Superseded", "0", "0"),
        ("Damaged", "0", "0"),
        ("Unfinished", "0", "0"),
    ]


def test_a_case_without_a_result_has_its_reason(tmp_path):
    refused = record_of(status=Status.UNSUPPORTED, reason="no kernel for /srv/private/x")
    _, cases = tables_of(results_of(tmp_path, a=[refused], b=[record_of()]))
    (row,) = rows_of(cases)
    assert (row["Status"], row["Results"], row["Case"]) == ("Unsupported", "a", refused.case.id)
    assert "/srv/private" not in row["Reason"]


def test_of_many_cases_without_a_result_each_reason_stands_once(tmp_path):
    failed = [record_of(status=Status.FAILED, reason=f"no {n % 2}", batch=n + 1) for n in range(17)]
    _, reasons, cases = tables_of(results_of(tmp_path, *failed))
    assert [(row["Reason"], row["Cases"]) for row in rows_of(reasons)] == [("no 0", "9"), ("no 1", "8")]
    assert cases.folded
    assert len(cases.rows) == 17


def test_runs_that_held_memory_by_owner_are_counted(tmp_path):
    results = results_of(tmp_path, record_of(settings={"track_memory": True}), record_of(seq_len=64))
    assert "Runs that held memory by owner: 1." in said(build(results)).explanation


def test_damaged_and_unfinished_folders_are_named(tmp_path):
    store(tmp_path / "results", record_of())
    for name, content in (("damaged", "{"), ("unfinished", None)):
        (tmp_path / "results" / name).mkdir()
        if content:
            (tmp_path / "results" / name / RECORD).write_text(content)
    counts, *rest = tables_of(read_results([tmp_path / "results"]))
    assert {row["Runs"]: row["results"] for row in rows_of(counts)}["Damaged"] == "1"
    assert "damaged" in [row["Folder"] for row in rows_of(rest[0])]
