"""A pack is read as the folders it stands for; one that is torn or tampered with is named and takes nothing along."""

import os
import zipfile
from pathlib import Path

import pytest

import suite
from suite.commands.results import list_runs, merge, pack, show, verify
from suite.records.record import OVERRIDES, CorruptRecordError
from suite.records.stores.claim import WRITERS_LOCK, claim_folder
from suite.records.stores.pack import PACK, folders_below, pack_bytes, read_pack
from suite.records.stores.store import read_contents, read_file, write_record
from suite.records.stores.telemetry import TelemetrySample, read_series
from tests.records.factory import build, store

CPU_SHARE = {"phase": "measure", "device": "cpu", "quantity": "cpu_share"}
SERIES = [TelemetrySample(time_s=0.5, unix_s=1772359200.5, value=1.0, **CPU_SHARE)]


@pytest.fixture
def sweep(tmp_path):
    """A folder with three runs, one of them with telemetry."""
    folder = tmp_path / "results" / "sweep"
    store(folder, build(), build(seq_len=8192))
    store(folder, build(attention="mha"), series=SERIES)
    return folder


@pytest.fixture
def packed(sweep):
    assert pack([sweep], remove=True) == 0
    assert {path.name for path in sweep.iterdir()} == {PACK, WRITERS_LOCK}
    return sweep


def files_of(folder):
    return {
        run.name: {
            file.relative_to(run).as_posix(): file.read_bytes() for file in sorted(run.rglob("*")) if file.is_file()
        }
        for run in folder.iterdir()
        if run.is_dir()
    }


def test_a_pack_is_read_as_its_folders(sweep):
    before = read_contents([sweep])
    table = suite.load(sweep).readings()
    series = [read_series(stored.record, stored.folder) for stored in before.stored]
    files = files_of(sweep)
    assert pack([sweep.parent], remove=True) == 0
    assert read_contents([sweep]) == read_contents([sweep.parent]) == before
    assert suite.load(sweep).readings().equals(table)
    assert [read_series(stored.record, stored.folder) for stored in before.stored] == series
    assert {run: {name: read_file(sweep / run / name) for name in of} for run, of in files.items()} == files


def test_overrides_are_packed_with_their_run(tmp_path, capsys):
    record = build()
    with claim_folder(tmp_path / "sweep", record.run_key) as claim:
        write_record(record, claim.folder, {OVERRIDES: b"- seed=1\n"})
    assert pack([tmp_path / "sweep"], remove=True) == 0
    (stored,) = read_contents([tmp_path / "sweep"]).stored
    assert read_file(stored.folder / OVERRIDES) == b"- seed=1\n"
    assert merge([tmp_path / "sweep"], tmp_path / "all") == verify([tmp_path / "sweep", tmp_path / "all"]) == 0
    assert "2 runs with" in capsys.readouterr().out


def test_packing_removes_nothing_by_itself(sweep, capsys):
    files = files_of(sweep)
    assert pack_bytes(files) == pack_bytes(dict(reversed(files.items()))), "equal runs make equal packs"
    assert pack([sweep], remove=False) == 0
    (sweep / PACK).rename(sweep.parent / "aside")
    assert files_of(sweep) == files
    (sweep.parent / "aside").rename(sweep / PACK)
    assert verify([sweep]) == 0
    assert "3 runs with" in capsys.readouterr().out


def test_later_runs_join_the_pack(packed):
    assert len(store(packed, build(seq_len=16384))) == 1
    assert len(read_contents([packed]).stored) == 4
    assert pack([packed], remove=True) == 0
    assert len(read_pack(packed / PACK)) == len(read_contents([packed]).stored) == 4


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
    assert sorted(path.name for path in sweep.iterdir()) == sorted([other.name, unfinished.name, PACK, WRITERS_LOCK])
    assert capsys.readouterr().out.count("stays as it is") == 2


def test_a_pack_that_is_not_read_back_removes_nothing(sweep, monkeypatch, capsys):
    monkeypatch.setattr("suite.records.stores.archive.pack_bytes", lambda runs: pack_bytes(runs)[:-1])
    assert pack([sweep], remove=True) == 4
    assert "was not packed" in capsys.readouterr().err
    assert len(read_contents([sweep]).stored) == 3


def test_packed_runs_are_listed_shown_and_merged(packed, tmp_path, capsys):
    assert list_runs([packed], status=None, as_json=False) == 0
    run = read_contents([packed]).stored[1].folder
    assert show(str(run), [packed]) == 0
    assert show(run.name, [packed]) == 0
    assert merge([packed], tmp_path / "all") == 0
    assert "3 runs copied" in capsys.readouterr().out
    assert verify([tmp_path / "all"]) == 0


def test_a_packed_run_is_never_made_anew(packed):
    stored = read_contents([packed]).stored[0]
    with claim_folder(packed, stored.record.run_key) as claim:
        assert claim.folder.name == f"{stored.folder.name}-4"  # all three are of one key
    assert not stored.folder.exists()


def test_a_folder_that_hides_another_run_of_the_pack_is_named(packed):
    stored = read_contents([packed]).stored[0]
    stored.folder.mkdir()
    assert len(read_contents([packed]).stored) == 3, "an empty folder hides nothing"
    write_record(build(attention="gqa"), stored.folder)
    (damage,) = read_contents([packed]).damaged
    assert damage.folder == stored.folder
    assert damage.reason == f"{PACK} beside it holds another run of this name, which is not read"


@pytest.mark.parametrize("kept", [0, 10, 0.5, -1])
def test_a_torn_pack_is_named(packed, kept):
    whole = (packed / PACK).read_bytes()
    (packed / PACK).write_bytes(whole[: int(len(whole) * kept) if isinstance(kept, float) else kept])
    contents = read_contents([packed])
    assert [(damage.folder, damage.reason) for damage in contents.damaged] == [
        (packed / PACK, f"{PACK} is torn, or no pack of runs")
    ]
    assert verify([packed]) == 4


@pytest.mark.parametrize("name", ["record.json", "samples.parquet"])
def test_a_torn_file_in_a_pack_is_damage_of_its_run(packed, name):
    content, (run, files) = bytearray((packed / PACK).read_bytes()), sorted(read_pack(packed / PACK).items())[0]
    place = files[name].header_offset + len(files[name].FileHeader()) + files[name].compress_size // 2
    content[place] ^= 255
    (packed / PACK).write_bytes(content)
    contents = read_contents([packed])
    assert [damage.folder.name for damage in contents.damaged] == [run]
    assert name in contents.damaged[0].reason
    assert len(contents.stored) == 2


def foreign(path, name="a/record.json", content=b"{}", *, method=0, times=1):
    with zipfile.ZipFile(path, "w") as written:
        for _ in range(times):
            written.writestr(zipfile.ZipInfo(name), content, compress_type=method)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"name": "../a/record.json"}, "a file that no run has"),
        ({"name": "/a/record.json"}, "a file that no run has"),
        ({"name": "a/b/record.json"}, "a file that no run has"),
        ({"name": "a/other.bin"}, "a file that no run has"),
        ({"name": "a/samples.parquet"}, "a run without its record.json"),
        ({"method": zipfile.ZIP_BZIP2}, "not compressed as ours"),
    ],
)
def test_a_foreign_pack_is_refused(tmp_path, changes, named):
    foreign(tmp_path / PACK, **changes)
    with pytest.raises(CorruptRecordError, match=named):
        read_pack(tmp_path / PACK)
    (damage,) = read_contents([tmp_path]).damaged
    assert damage.folder == tmp_path / PACK


def test_one_name_twice_and_a_link_are_refused(packed, tmp_path):
    (tmp_path / "twice").mkdir()
    with pytest.warns(UserWarning, match="Duplicate name"):
        foreign(tmp_path / "twice" / PACK, times=2)
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / PACK).symlink_to(packed / PACK)
    damaged = read_contents([tmp_path / "twice", tmp_path / "link"]).damaged
    assert [damage.reason for damage in damaged] == [f"{PACK} holds record.json of one run twice", f"{PACK} is a link"]


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
