"""`suite results` lists, shows, verifies and merges what lies in a folder, and names what is damaged."""

import json
import sys
from pathlib import Path

import pytest

from suite.records.environment import machine_id
from suite.records.record import Status
from suite.records.store import read_contents
from suite.results import list_runs, merge, show, verify
from tests.hostile_texts import TEXTS, harmful
from tests.records.factory import build, store


@pytest.fixture
def results(tmp_path):
    """Three whole runs, one damaged and one unfinished."""
    root = tmp_path / "results"
    failed = build(status=Status.FAILED, reason="it \x1b[2Jbroke", seq_len=8192)
    *_, damaged, unfinished = store(root, build(), build(seq_len=8192), failed, build(), build())
    (damaged / "record.json").write_text("{")
    (unfinished / "record.json").unlink()
    return root


def test_the_list_has_a_line_a_run_with_what_tells_them_apart(results, capsys):
    assert list_runs([results], status=None, as_json=False) == 4
    head, *lines, sums = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "status", "started", "seq_len"]
    assert [line.split()[1] for line in lines] == ["ok", "ok", "failed", "damaged", "unfinished"]
    assert lines[0].endswith("2026-03-01 10:00  4096")
    assert lines[2].endswith("8192     it  [2Jbroke")
    assert sums == "3 runs, 1 damaged, 1 unfinished"


def test_the_list_can_be_narrowed_and_read_by_programs(results, capsys):
    assert list_runs([results], status="failed", as_json=True) == 4
    (failed,) = json.loads(capsys.readouterr().out)
    assert (failed["status"], failed["run_key"]) == ("failed", build().run_key)
    with pytest.raises(ValueError, match=r"status must be one of ok, .*, damaged, unfinished; got 'fine'"):
        list_runs([results], status="fine", as_json=False)


def test_a_run_is_shown_by_its_folder_or_by_how_its_key_begins(tmp_path, capsys):
    (folder,) = store(tmp_path, build())
    for name in (str(folder), folder.name, "0123"):
        assert show(name, [tmp_path]) == 0
        said = capsys.readouterr().out
        for words in ("workload=attention", "median of", "A processor (a1b2c3d4)", "0123456789ab", "record.json"):
            assert words in said


@pytest.mark.parametrize(
    "record",
    [
        build(
            provenance={"warnings": "none", "clock": 3, "backend": ["x"], "started_at": 7, "operators": 3, "cold": []}
        ),
        build(provenance={"operators": {"kernel": 5}, "shape": [1], "match": {}, "clock": "sundial"}),
        build(environment={"packages": 3, "gpus": {"a": 1}, "cpu": None}),
        build(latencies_s=(float("nan"), float("inf"), -1.0, 0.0, 1e300)),
    ],
    ids=range(4),
)
def test_an_odd_run_is_shown_without_what_cannot_be_read(tmp_path, capsys, record):
    (folder,) = store(tmp_path, record)
    assert show(str(folder), [tmp_path]) == 0
    assert record.case.id in capsys.readouterr().out


def test_a_run_that_is_not_one_is_refused_and_a_damaged_one_named(results, capsys):
    for name, words in (("0123", "names .*, "), ("zzzz", "got 'zzzz'"), ("012", "4 digits or more")):
        with pytest.raises(ValueError, match=words):
            show(name, [results])
    assert show("0123456789abcdef-4", [results]) == 4
    assert "is damaged: record.json cannot be read" in capsys.readouterr().err


def test_whole_results_are_verified_and_counted(tmp_path, capsys):
    store(tmp_path, build(), build(seq_len=8192))
    assert verify([tmp_path]) == 0
    assert capsys.readouterr().out == "2 runs with 52 readings are whole; 0 faults\n"


def test_verifying_names_damage_swapped_files_foreign_names_and_private_text(results, capsys):
    first, second, third = (stored.folder for stored in read_contents([results]).stored)
    (first / "samples.parquet").write_bytes((third / "samples.parquet").read_bytes())
    second.rename(results / "renamed")
    record = json.loads((third / "record.json").read_text())
    record["files"]["trace.json.gz"] = "0" * 64
    record["provenance"]["note"] = "read from /home/alice/model"
    (third / "record.json").write_text(json.dumps(record))
    assert verify([results]) == 4
    said = capsys.readouterr().out
    for words in (
        f"{first.name}: samples.parquet is not the file that record.json was written with",
        "renamed: the folder's name is not how its run key begins",
        f"{third.name}: trace.json.gz is not the file",
        f"{third.name}: provenance holds a path",
        "-4: record.json cannot be read",
        "-5: unfinished",
        "0 runs with 26 readings are whole; 5 faults",
    ):
        assert words in said


def test_merging_copies_every_whole_run_once_and_overwrites_nothing(results, tmp_path, capsys):
    store(tmp_path / "other", build(attention="mha"))
    assert merge([results, tmp_path / "other"], tmp_path / "all") == 4
    said = capsys.readouterr()
    assert said.out.startswith("4 runs copied")
    assert "damaged" in said.err
    assert "unfinished" in said.err
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "all").rglob("*")}
    merge([tmp_path / "other", results], tmp_path / "all")
    assert capsys.readouterr().out.startswith("0 runs copied")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "all").rglob("*")} == before
    assert verify([tmp_path / "all"]) == 0
    assert len(read_contents([tmp_path / "all"]).stored) == 4


def test_a_folder_that_is_not_there_and_a_file_to_merge_into_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for command in (
        lambda: verify([tmp_path / "nowhere"]),
        lambda: list_runs([tmp_path / "file"], status=None, as_json=False),
        lambda: merge([tmp_path], tmp_path / "file"),
    ):
        with pytest.raises(ValueError, match=r"nowhere|file"):
            command()


def test_another_machines_words_that_are_names_here_are_no_fault_and_a_path_is_one_anywhere(
    tmp_path, capsys, monkeypatch
):
    (theirs,) = store(tmp_path / "a", build(reason="pytorch gave bench no memory", status=Status.OUT_OF_MEMORY))
    ours = {"machine_id": machine_id()}
    (own,) = store(tmp_path / "b", build(reason="pytorch gave in", status=Status.FAILED, environment=ours))
    monkeypatch.setattr("getpass.getuser", lambda: "bench")
    monkeypatch.setattr("platform.node", lambda: "pytorch")
    assert verify([tmp_path / "a"]) == 0
    assert verify([tmp_path / "b"]) == 4
    assert "reason holds a path, a name or a secret of this machine" in capsys.readouterr().out

    record = json.loads((theirs / "record.json").read_text())
    record["settings"] = {"policy": {"checkpoint": "alice/model"}}
    (theirs / "record.json").write_text(json.dumps(record))
    assert verify([tmp_path / "a"]) == 4
    assert f"{theirs.name}: settings holds a path or a secret\n" in capsys.readouterr().out
    (chosen,) = store(tmp_path / "c", build(extras={"policy.checkpoint": "alice/model"}))
    assert verify([tmp_path / "c"]) == 4
    assert f"{chosen.name}: case holds a path or a secret\n" in capsys.readouterr().out
    assert own.is_dir()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows takes no such names")
def test_no_text_or_name_of_a_folder_commands_whoever_lists_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in TEXTS:
        root = Path(text.replace("/", "-").replace("\x00", "")[:100])
        facts = {"warnings": [text], "shape": text, "commit": text, "started_at": text}
        around = {"cpu": text, "gpus": [text], "machine_id": text, "packages": {text: text}}
        hostile = build(attention=text, reason=text, status=Status.FAILED, provenance=facts, environment=around)
        folder, damaged, unfinished = store(root, hostile, build(), build())
        (damaged / "record.json").write_text("{")
        (unfinished / "record.json").unlink()
        list_runs([root], status=None, as_json=False)
        list_runs([root], status=None, as_json=True)
        show(str(folder), [root])
        show(str(damaged), [root])
        verify([root])
        merge([root], tmp_path / "all")
        said = capsys.readouterr()
        assert harmful(said.out) == harmful(said.err) == []
