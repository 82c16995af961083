"""A withdrawn run stays where it is and leaves tables; the list that names it is checked like any record."""

import pytest

from suite.commands.results import list_runs, merge, show, verify
from suite.records.record import CorruptRecordError
from suite.records.stores.store import read_contents
from suite.records.stores.withdrawn import WITHDRAWN, withdrawals_in
from suite.report.model.results import read_results
from suite.report.runs.trust import build as trust
from tests.records.factory import build, store
from tests.report.reading import rows_of, said

KEY = build().run_key[:16]
ENTRY = f"- run: {KEY}\n  date: 2026-03-01\n  reason: Another job ran beside it.\n"


@pytest.fixture
def results(tmp_path):
    """A folder with a run that is withdrawn, and one of another key that is not."""
    root = tmp_path / "results"
    other = build(seq_len=8192)
    object.__setattr__(other, "run_key", "f" * 64)
    store(root, build(), other)
    (root / WITHDRAWN).write_text(ENTRY)
    return root


def test_a_withdrawn_run_stays_and_counts_nowhere(results):
    contents = read_contents([results])
    assert [run.folder.name for run in contents.stored] == ["f" * 16]
    assert [run.folder.name for run in contents.withdrawn] == [KEY]
    assert [record.run_key[0] for _, record in read_results([results]).all_records] == ["f"]


def test_commands_name_it_with_the_reason(results, tmp_path, capsys):
    why = "withdrawn on 2026-03-01: Another job ran beside it."
    assert verify([results]) == 0
    assert f"{KEY}: {why}" in capsys.readouterr().out
    assert list_runs([results], status=None, as_json=False) == 0
    assert "1 runs, 0 damaged, 0 unfinished, 1 withdrawn" in capsys.readouterr().out
    assert show(KEY, [results]) == 0
    assert "2026-03-01" in capsys.readouterr().out
    assert merge([results], tmp_path / "all") == 0
    assert f"left out, {why}" in capsys.readouterr().err
    assert len(read_contents([tmp_path / "all"]).stored) == 1


def test_the_page_names_it_with_date_and_reason(results):
    tables = {table.title: table for table in said(trust(read_results([results]))).tables}
    assert {row["Runs"]: row["results"] for row in rows_of(tables["Cases by outcome"])}["Withdrawn"] == "1"
    (row,) = rows_of(tables["Withdrawn runs"])
    assert (row["Folder"], row["Withdrawn on"], row["Reason"]) == (KEY, "2026-03-01", "Another job ran beside it.")


def test_the_page_names_it_under_its_machine(results):
    elsewhere, other = {"machine_id": "e5f6", "cpu": "Another"}, build(seq_len=16384)
    object.__setattr__(other, "environment", elsewhere)
    object.__setattr__(other, "run_key", "e" * 64)
    store(results, other)
    found = read_results([results])
    (run,) = found.withdrawn
    assert run.label in found.labels
    assert {*found.labels} == {current.label for current in found.records}
    assert run.label == next(current.label for current in found.records if current.record.run_key[0] == "f")


def test_what_is_measured_after_the_date_counts(results):
    later = build(provenance={"started_at": "2026-03-02T09:00:00+00:00"})
    store(results, later)
    assert [run.folder.name for run in read_contents([results]).stored] == [f"{KEY}-2", "f" * 16]
    (results / WITHDRAWN).write_text(ENTRY.replace("2026-03-01", "2026-03-01T10:00Z"))
    assert not read_contents([results]).withdrawn, "it began at that very moment"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (ENTRY + ENTRY.replace(KEY, "e" * 16), "no run here was begun before it was withdrawn on 2026-03-01"),
        (ENTRY.replace("Another", "/home/alice/another"), "why it was withdrawn holds a path or a secret"),
    ],
)
def test_an_entry_of_no_run_or_with_a_path_is_a_fault(text, fault, results, capsys):
    (results / WITHDRAWN).write_text(text)
    assert verify([results]) == 4
    assert fault in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "must be a list of at least one entry"),
        ("[", "is not YAML"),
        ("- run: 1\n", "entry 1 must have run, date, reason, and may have by"),
        (ENTRY + "  who: me\n", "entry 1 must have run, date, reason"),
        (ENTRY.replace(KEY, "0123"), "entry 1: run must begin a run key, by 16 digits or more"),
        (ENTRY.replace(KEY, "../../../etc/passwd"), "entry 1: run must begin a run key"),
        (ENTRY.replace("2026-03-01", "2199-01-01"), "entry 1: date must be a day or a time that has come"),
        (ENTRY.replace("2026-03-01", "yesterday"), "entry 1: date must be a day or a time that has come"),
        (ENTRY.replace("Another job ran beside it.", '""'), "entry 1: reason must be a sentence"),
        (ENTRY.replace("Another", '"\\e[2J"'), "is not YAML"),
        (ENTRY.replace("Another job ran beside it.", '"a\\nb"'), "entry 1 must hold texts of one line each"),
    ],
    ids=range(11),
)
def test_a_list_that_cannot_be_read_is_named(text, wrong, results, capsys):
    with pytest.raises(CorruptRecordError, match=wrong.replace("(", r"\(")):
        withdrawals_in(text.encode())
    (results / WITHDRAWN).write_text(text)
    assert verify([results]) == 4
    assert f"{WITHDRAWN}: " in capsys.readouterr().out
