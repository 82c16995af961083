"""`suite results` lists, shows, verifies and merges what lies in a folder, and names what is damaged."""

import hashlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from suite.commands.results import list_runs, merge, pack, show, verify
from suite.machine.environment import machine_id
from suite.records.record import Status
from suite.records.stores.claim import claim_folder
from suite.records.stores.store import read_contents
from tests.records.factory import build, store
from tools.hostile.texts import TEXTS, harmful


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
    above, head, *lines, sums = capsys.readouterr().out.splitlines()
    assert above == f"runs in {results}:"
    assert head.split() == ["run", "status", "seq_len", "result", "started"]
    assert [line.split()[1] for line in lines] == ["ok", "ok", "failed", "damaged", "unfinished"]
    assert lines[0].split()[0] == "0123456789abcdef"
    assert " 4096     layer 1.49 ms (1.40–1.60 ms) " in lines[0]
    assert lines[0].endswith(" 2026-03-01 10:00")
    assert " 8192     it  [2Jbroke " in lines[2]
    assert sums == "3 runs, 1 damaged, 1 unfinished"


def test_the_list_names_the_machines_where_there_are_several(tmp_path, capsys):
    store(tmp_path, *(build(seq_len=size, environment={"machine_id": f"{size}ffff"}) for size in (1024, 2048)))
    assert list_runs([tmp_path], status=None, as_json=False) == 0
    _, head, *lines, _ = capsys.readouterr().out.splitlines()
    assert head.split()[2] == "machine"
    assert ["A processor, 1024" in lines[0], "A processor, 2048" in lines[1]] == [True, True]


def test_damaged_readings_are_named_in_the_list(tmp_path, capsys):
    whole, torn = store(tmp_path, build(), build(seq_len=64))
    (torn / "samples.parquet").write_bytes(b"garbage")
    assert list_runs([tmp_path], status=None, as_json=False) == 4
    said = capsys.readouterr().out
    assert f"{torn.name}  damaged" in said
    assert "1 runs, 1 damaged, 0 unfinished" in said
    assert f"{whole.name}    ok" in said


def test_the_list_can_be_narrowed_and_read_by_programs(results, capsys):
    assert list_runs([results], status="failed", as_json=True) == 4
    (failed,) = json.loads(capsys.readouterr().out)
    assert (failed["status"], failed["run_key"], failed["values"]) == ("failed", build().run_key, {})
    list_runs([results], status="ok", as_json=True)
    whole, _ = json.loads(capsys.readouterr().out)
    assert whole["values"]["layer_latency_s"]["value"] == 1.49e-3
    assert whole["values"]["layer_latency_s"].keys() == {"value", "low", "high", "level", "launches"}
    with pytest.raises(ValueError, match=r"status must be one of ok, .*, damaged, unfinished; got 'fine'"):
        list_runs([results], status="fine", as_json=False)


def test_a_run_is_shown_by_its_folder_or_by_how_its_key_begins(tmp_path, capsys):
    (folder,) = store(tmp_path, build())
    for name in (str(folder), folder.name, "0123"):
        assert show(name, [tmp_path]) == 0
        assert build().case.id in capsys.readouterr().out


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


def test_an_unknown_run_is_refused_and_a_damaged_one_named(results, capsys):
    for name, words in (("0123", "names .*, "), ("zzzz", "none of 3 runs .*'zzzz'"), ("012", "first 4 or more digits")):
        with pytest.raises(ValueError, match=words):
            show(name, [results])
    assert show("0123456789abcdef-4", [results]) == 4
    assert "is damaged: record.json cannot be read" in capsys.readouterr().err


def test_whole_results_are_verified_and_counted(tmp_path, capsys):
    store(tmp_path, build(), build(seq_len=8192))
    assert verify([tmp_path]) == 0
    assert capsys.readouterr().out == "2 runs with 52 readings are complete; 0 faults\n"


def test_verifying_names_damage(results, capsys):
    first, _, third = (stored.folder for stored in read_contents([results]).stored)
    (first / "samples.parquet").write_bytes((third / "samples.parquet").read_bytes())
    record = json.loads((third / "record.json").read_text())
    record["files"]["trace.json.gz"] = "0" * 64
    (third / "record.json").write_text(json.dumps(record))
    assert verify([results]) == 4
    said = capsys.readouterr().out
    for words in (
        f"{first.name}: samples.parquet is not the file that record.json was written with",
        f"{third.name}: trace.json.gz cannot be read (FileNotFoundError)",
        "-4: record.json cannot be read",
        "-5: unfinished",
        "1 runs with 26 readings are complete; 3 faults",
    ):
        assert words in said


def test_merging_copies_whole_runs_once_and_overwrites_none(results, tmp_path, capsys):
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


def test_a_missing_folder_and_a_file_to_merge_into_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for command in (
        lambda: verify([tmp_path / "nowhere"]),
        lambda: list_runs([tmp_path / "file"], status=None, as_json=False),
        lambda: merge([tmp_path], tmp_path / "file"),
    ):
        with pytest.raises(ValueError, match=r"nowhere|file"):
            command()


def test_words_of_another_machine_are_no_fault_and_a_path_is(tmp_path, capsys, monkeypatch):
    (theirs,) = store(tmp_path / "a", build(reason="pytorch gave bench no memory", status=Status.OUT_OF_MEMORY))
    ours = {"machine_id": machine_id()}
    store(tmp_path / "b", build(reason="pytorch gave in", status=Status.FAILED, environment=ours))
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


def change(folder, **parts):
    path = folder / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | parts))


def everything_below(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_merging_writes_nowhere_but_into_new_folders_of_runs(tmp_path, capsys):
    out, elsewhere, up, foreign, whole = store(tmp_path / "bad", *[build() for _ in range(5)])
    target = tmp_path / "home" / "results"
    target.mkdir(parents=True)
    (tmp_path / "home" / "suite").mkdir()
    (tmp_path / "home" / "suite" / "__init__.py").write_text("mine")
    (foreign / "__init__.py").write_text("theirs")
    change(out, run_key="../suite")
    change(elsewhere, run_key=str(tmp_path / "home" / "suite"))
    change(up, run_key="..")
    change(foreign, files={"__init__.py": hashlib.sha256(b"theirs").hexdigest()})
    assert merge([tmp_path / "bad"], target) == 4
    said = capsys.readouterr()
    assert said.out.startswith("1 runs copied")
    assert said.err.count("run_key must be 64 hexadecimal digits") == 3
    assert (
        "files must hold digests of samples.parquet, telemetry.parquet, trace.json.gz, .hydra/overrides.yaml alone"
        in said.err
    )
    copied = {f"results/{whole.name[:16]}/{name}" for name in ("record.json", "samples.parquet")}
    assert set(everything_below(tmp_path / "home")) == {*copied, "suite/__init__.py", "results/.merge.lock"}
    assert (tmp_path / "home" / "suite" / "__init__.py").read_text() == "mine"


def test_merging_changes_no_file_and_goes_through_no_link(tmp_path):
    (folder,) = store(tmp_path / "theirs", build())
    mine = tmp_path / "mine" / folder.name
    mine.mkdir(parents=True)
    (tmp_path / "notes").write_text("notes")
    (mine / "notes").write_text("notes")
    for name in ("samples.parquet", "samples.parquet.part", "record.json.part"):
        (mine / name).symlink_to(tmp_path / "notes")
    assert merge([tmp_path / "theirs"], tmp_path / "mine") == 0
    assert (tmp_path / "notes").read_text() == "notes"
    (copied,) = read_contents([tmp_path / "mine"]).stored
    assert copied.folder.name == f"{folder.name}-2"


def test_what_verify_finds_is_not_merged(tmp_path, capsys):
    renamed, private, late, link, whole = store(tmp_path / "from", *[build() for _ in range(5)])
    change(private, provenance={"note": "read from /home/alice/model"})
    change(late, provenance={"started_at": "9999-01-01T00:00:00+00:00"})
    (link / "trace.json.gz").symlink_to(whole / "record.json")
    record = json.loads((link / "record.json").read_text())
    change(
        link,
        files=record["files"] | {"trace.json.gz": hashlib.sha256((whole / "record.json").read_bytes()).hexdigest()},
    )
    renamed.rename(tmp_path / "from" / "renamed")
    assert verify([tmp_path / "from"]) == 4
    faults = [line.partition(": ")[2] for line in capsys.readouterr().out.splitlines()[:-1]]
    assert sorted(faults) == [
        "provenance holds a path or a secret",
        "started_at is no time between 2020 and now, so that any other run counts as newer",
        "the folder's name must begin with the first digits of its run key, 0123456789abcdef",
        "trace.json.gz is a link",
    ]
    assert merge([tmp_path / "from"], tmp_path / "to") == 4
    said = capsys.readouterr()
    assert said.out.startswith("1 runs copied")
    assert all(fault in said.err for fault in faults)


def test_a_merge_on_a_full_disk_leaves_nothing_half_copied(tmp_path):
    resource = pytest.importorskip("resource", reason="needs a limit of a file's size")
    (folder,) = store(tmp_path / "from", build())
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((folder / "samples.parquet").stat().st_size - 1, usual[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            merge([tmp_path / "from"], tmp_path / "to")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert [path.name for path in (tmp_path / "to").iterdir()] == [".merge.lock"]


def test_merges_at_once_into_one_folder_double_nothing(tmp_path):
    store(tmp_path / "from", *[build(seq_len=length) for length in range(1, 7)])
    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(lambda _: merge([tmp_path / "from"], tmp_path / "to"), range(4)))
    assert codes == [0] * 4
    assert len(read_contents([tmp_path / "to"]).stored) == 6


def test_a_merge_is_not_kept_waiting_by_a_run_of_the_same_key(tmp_path):
    (folder,) = store(tmp_path / "from", build())
    with claim_folder(tmp_path / "to", build().run_key) as running:
        assert merge([tmp_path / "from"], tmp_path / "to") == 0
        assert sorted(path.name for path in running.folder.iterdir()) == ["claim.lock"]
    assert (tmp_path / "to" / f"{folder.name}-2" / "record.json").exists()


def test_what_cannot_be_listed_is_named_by_every_command(tmp_path, capsys, monkeypatch):
    store(tmp_path / "results", build())
    (tmp_path / "results" / "closed").mkdir()
    scandir = os.scandir

    def failing(path):
        if not isinstance(path, int) and Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    results = [tmp_path / "results"]
    for command in (
        lambda: verify(results),
        lambda: list_runs(results, status=None, as_json=False),
        lambda: merge(results, tmp_path / "all"),
        lambda: show("closed", results),
    ):
        assert command() == 4
        said = capsys.readouterr()
        assert "the folder cannot be listed (PermissionError)" in said.out + said.err


def test_a_damaged_run_is_shown_to_be_so_by_how_its_name_begins(tmp_path, capsys):
    (folder,) = store(tmp_path, build())
    (folder / "record.json").unlink()
    (folder / "record.json").symlink_to(folder / "nowhere")
    assert show("0123456789", [tmp_path]) == 4
    assert show(str(folder), [tmp_path]) == 4
    assert capsys.readouterr().err.count("the run is damaged: record.json is a link") == 2


def test_telemetry_that_cannot_be_read_is_a_fault(tmp_path, capsys):
    (folder,) = store(tmp_path, build())
    (folder / "telemetry.parquet").write_bytes(b"PAR1 and nothing more")
    digests = json.loads((folder / "record.json").read_text())["files"]
    change(folder, files=digests | {"telemetry.parquet": hashlib.sha256(b"PAR1 and nothing more").hexdigest()})
    assert verify([tmp_path]) == 4
    assert "telemetry.parquet cannot be read (ArrowInvalid)" in capsys.readouterr().out


def test_a_run_with_a_deep_folder_in_it_is_not_packed(tmp_path, capsys):
    (run,) = store(tmp_path / "results", build())
    (run / "a" / "b").mkdir(parents=True)
    (run / "a" / "b" / "file").touch()
    assert pack([tmp_path / "results"], remove=True) == 0
    assert "stays as it is, since it holds a/b/file" in capsys.readouterr().out
    assert run.is_dir()
