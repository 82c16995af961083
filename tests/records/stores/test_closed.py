"""A closed sweep is read as the folders it stands for; one that is torn or tampered with is named and takes nothing
along. The zip that sweeps were packed into before becomes tables."""

import itertools
import json
import math
import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import suite
from suite.commands.results import list_runs, merge, pack, show, verify
from suite.records.record import OVERRIDES, RECORD
from suite.records.stores.claim import WRITERS_LOCK, claim_folder
from suite.records.stores.closed import MANIFEST, closed_sweep
from suite.records.stores.old_zip import OLD_ZIP
from suite.records.stores.store import read_contents, read_file, write_record
from suite.records.stores.telemetry import TelemetrySample, read_series
from suite.records.stores.walk import folders_below
from tests.records.factory import build, store

CPU_SHARE = {"phase": "measure", "device": "cpu", "quantity": "cpu_share"}
SERIES = [TelemetrySample(time_s=0.5, unix_s=1772359200.5, value=1.0, **CPU_SHARE)]
TABLES = {"runs.parquet", "readings.parquet", "telemetry.parquet"}


@pytest.fixture
def sweep(tmp_path):
    """A folder with three runs, one of them with telemetry."""
    folder = tmp_path / "results" / "sweep"
    store(folder, build(), build(seq_len=8192))
    store(folder, build(attention="mha"), series=SERIES)
    return folder


@pytest.fixture
def closed(sweep):
    assert pack([sweep], remove=True) == 0
    assert names_in(sweep) == {MANIFEST, WRITERS_LOCK, *TABLES}
    return sweep


def names_in(folder):
    return {path.name for path in folder.iterdir()}


def zipped(folder):
    """Put the runs of a folder into a zip, as older versions did."""
    with zipfile.ZipFile(folder / OLD_ZIP, "w") as written:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and file.name not in (OLD_ZIP, WRITERS_LOCK):
                written.write(file, file.relative_to(folder).as_posix())
                file.unlink()
    for run in folder.iterdir():
        if run.is_dir():
            run.rmdir()


@pytest.mark.parametrize("is_zipped", [False, True])
def test_tables_are_read_as_the_folders_and_zips_that_they_replace(sweep, is_zipped):
    before = read_contents([sweep])
    frame = suite.load(sweep).readings()
    series = [read_series(stored.record, stored.folder) for stored in before.stored]
    records = [read_file(stored.folder / RECORD) for stored in before.stored]
    if is_zipped:
        zipped(sweep)
        (damage,) = read_contents([sweep]).damaged
        assert "suite results pack" in damage.reason
    assert pack([sweep.parent], remove=True) == 0
    assert names_in(sweep) == {MANIFEST, WRITERS_LOCK, *TABLES}
    after = read_contents([sweep])
    assert [(run.folder, run.digest) for run in after.stored] == [(run.folder, run.digest) for run in before.stored]
    assert suite.load(sweep).readings().equals(frame)
    assert [read_series(stored.record, stored.folder) for stored in after.stored] == series
    assert [read_file(stored.folder / RECORD) for stored in after.stored] == records
    assert verify([sweep]) == 0


def test_tables_are_plain_parquet_with_a_runs_name_in_each_row(closed):
    runs, readings = (pd.read_parquet(closed / f"{name}.parquet") for name in ("runs", "readings"))
    assert runs["run"].tolist() == sorted(runs["run"])
    assert readings.groupby("run", observed=True).size().to_dict() == dict(
        zip(runs["run"], runs["readings"], strict=True)
    )
    assert json.loads(runs["record"][0])["case"]["id"] == runs["case_id"][0]


def test_a_value_that_is_no_number_is_packed_as_it_is(sweep):
    store(sweep, build(latencies_s=(1.0, float("nan"))))
    assert pack([sweep], remove=True) == 0
    values = [reading.value for stored in read_contents([sweep]).stored for reading in stored.record.readings]
    assert sum(map(math.isnan, values)) == 2


def test_overrides_are_packed_with_their_run(tmp_path, capsys):
    record = build()
    with claim_folder(tmp_path / "sweep", record.run_key) as claim:
        write_record(record, claim.folder, {OVERRIDES: b"- seed=1\n"})
    assert pack([tmp_path / "sweep"], remove=True) == 0
    (stored,) = read_contents([tmp_path / "sweep"]).stored
    assert read_file(stored.folder / OVERRIDES) == b"- seed=1\n"
    assert merge([tmp_path / "sweep"], tmp_path / "all") == verify([tmp_path / "sweep", tmp_path / "all"]) == 0
    assert "2 runs with" in capsys.readouterr().out


def test_compact_tables_keep_each_value_and_seven_digits_of_the_clocks(sweep):
    clocks = ["wall_s", "thread_cpu_s", "process_cpu_s"]
    before = suite.load(sweep).readings()
    assert pack([sweep], remove=True) == pack([sweep], remove=True, compact=True) == 0
    after = suite.load(sweep).readings()
    assert after.drop(columns=clocks).equals(before.drop(columns=clocks))
    assert np.allclose(after[clocks], before[clocks], rtol=1e-7, atol=0, equal_nan=True)
    assert not after[clocks].equals(before[clocks])
    manifest = (sweep / MANIFEST).read_bytes()
    assert pack([sweep], remove=True, compact=True) == 0
    assert (sweep / MANIFEST).read_bytes() == manifest, "compact tables are not written again"
    store(sweep, build(seq_len=16384))
    assert pack([sweep], remove=True) == verify([sweep]) == 0
    assert closed_sweep(sweep).is_compact


def test_packing_removes_nothing_by_itself(sweep, capsys):
    before = {path: path.read_bytes() for path in sweep.rglob("*") if path.is_file()}
    assert pack([sweep], remove=False) == 0
    assert {path: path.read_bytes() for path in before} == before
    assert verify([sweep]) == 0
    assert "3 runs with" in capsys.readouterr().out


def test_later_runs_join_the_tables(closed):
    assert len(store(closed, build(seq_len=16384))) == 1
    assert len(read_contents([closed]).stored) == 4
    assert pack([closed], remove=True) == 0
    assert len(closed_sweep(closed).runs) == len(read_contents([closed]).stored) == 4
    assert len(names_in(closed)) == 5, "earlier tables leave"
    before = names_in(closed)
    assert pack([closed], remove=True) == 0
    assert names_in(closed) == before, "nothing new is nothing to write"


def test_a_damaged_run_lets_nothing_be_packed(sweep, capsys):
    damaged = sorted(sweep.iterdir())[0]
    (damaged / "samples.parquet").write_bytes(b"")
    assert pack([sweep], remove=True) == 4
    assert str(damaged) in capsys.readouterr().err
    assert len(os.listdir(sweep)) == 3  # noqa: PTH208


def test_what_is_no_whole_run_stays_a_folder(sweep, capsys):
    other, unfinished, _ = sorted(sweep.iterdir())
    (other / "notes.txt").write_text("mine")
    (unfinished / "record.json").unlink()
    assert pack([sweep], remove=True) == 0
    assert names_in(sweep) == {other.name, unfinished.name, MANIFEST, WRITERS_LOCK, *TABLES}
    assert capsys.readouterr().out.count("stays as it is") == 2


def test_tables_that_are_not_read_back_remove_nothing(sweep, monkeypatch, capsys):
    contents = itertools.count()
    monkeypatch.setattr("suite.records.stores.close.read_file", lambda path: str(next(contents)).encode())
    assert pack([sweep], remove=True) == 4
    assert "was not packed" in capsys.readouterr().err
    assert len(read_contents([sweep]).stored) == 3


def test_closed_runs_are_listed_shown_and_merged_once(closed, tmp_path, capsys):
    assert list_runs([closed], status=None, as_json=False) == 0
    run = read_contents([closed]).stored[1].folder
    assert show(str(run), [closed]) == 0
    assert show(run.name, [closed]) == 0
    assert merge([closed], tmp_path / "all") == 0
    assert "3 runs copied" in capsys.readouterr().out
    assert merge([closed], tmp_path / "all") == 0
    assert "0 runs copied" in capsys.readouterr().out
    assert verify([tmp_path / "all"]) == 0


def test_a_closed_run_is_never_made_anew(closed):
    stored = read_contents([closed]).stored[0]
    with claim_folder(closed, stored.record.run_key) as claim:
        assert claim.folder.name == f"{stored.folder.name}-4"  # all three are of one key
    assert not stored.folder.exists()


def test_a_folder_that_hides_another_run_of_the_tables_is_named(closed):
    stored = read_contents([closed]).stored[0]
    stored.folder.mkdir()
    assert len(read_contents([closed]).stored) == 3, "an empty folder hides nothing"
    write_record(build(attention="gqa"), stored.folder)
    (damage,) = read_contents([closed]).damaged
    assert damage.folder == stored.folder


@pytest.mark.parametrize("kept", [0, 10, 0.5, -3])
@pytest.mark.parametrize("name", [MANIFEST, "runs.parquet"])
def test_a_torn_manifest_or_table_of_runs_is_named(closed, name, kept):
    whole = (closed / name).read_bytes()
    (closed / name).write_bytes(whole[: int(len(whole) * kept) if isinstance(kept, float) else kept])
    os.utime(closed / MANIFEST)
    assert [damage.folder for damage in read_contents([closed]).damaged] == [closed / MANIFEST]
    assert verify([closed]) == 4


def test_a_changed_byte_of_a_table_is_found_where_it_is_read_and_by_verify(closed, capsys):
    content = bytearray((closed / "readings.parquet").read_bytes())
    content[200] ^= 255
    (closed / "readings.parquet").write_bytes(content)
    os.utime(closed / MANIFEST)
    assert verify([closed]) == 4
    assert "readings.parquet is not the table that manifest.json was written with" in capsys.readouterr().out


@pytest.mark.parametrize("file", ["../elsewhere.parquet", "/etc/passwd", "runs.parquet/../x", "other.parquet", 3])
def test_a_manifest_names_tables_of_its_own_folder_alone(closed, file):
    manifest = json.loads((closed / MANIFEST).read_text())
    manifest["tables"]["readings"]["file"] = file
    (closed / MANIFEST).write_text(json.dumps(manifest))
    (damage,) = read_contents([closed]).damaged
    assert damage.reason == "manifest.json must name the file of each table and give its sha256; not so: readings"


@pytest.mark.parametrize("name", ["../a/record.json", "/a/record.json", "a/b/record.json", "a/other.bin"])
def test_a_zip_with_files_that_no_run_has_is_refused_and_stays(tmp_path, capsys, name):
    with zipfile.ZipFile(tmp_path / OLD_ZIP, "w") as written:
        written.writestr(name, b"{}")
    assert pack([tmp_path], remove=True) == 4
    assert names_in(tmp_path) == {OLD_ZIP, WRITERS_LOCK}
    assert f"{OLD_ZIP} holds a file that no run has" in capsys.readouterr().err


def test_a_link_is_neither_a_manifest_nor_a_zip(closed, tmp_path, capsys):
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / MANIFEST).symlink_to(closed / MANIFEST)
    (damage,) = read_contents([tmp_path / "link"]).damaged
    assert damage.reason == f"{MANIFEST} is a link"
    (tmp_path / "link" / OLD_ZIP).symlink_to(closed / MANIFEST)
    assert pack([tmp_path / "link"], remove=True) == 4
    assert f"{OLD_ZIP} is a link" in capsys.readouterr().err


# --- folders that anybody may have made


def walk(root):
    """Names of the folders that are walked, and of those that are not with why."""
    damaged = []
    walked = [folder.relative_to(root).as_posix() for folder, _ in folders_below(root, damaged)]
    return walked, {damage.folder.relative_to(root).as_posix(): damage.reason for damage in damaged}


def test_folders_are_walked_in_order_and_no_link_is_followed(tmp_path):
    (tmp_path / "b" / "inner").mkdir(parents=True)
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "b")
    assert walk(tmp_path) == ([".", "a", "b", "b/inner"], {})
    assert dict(folders_below(tmp_path, []))[tmp_path] == {"a", "b", "link"}


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def failing(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    assert walk(tmp_path) == (["."], {"closed": "the folder cannot be listed (PermissionError)"})
