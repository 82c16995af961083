"""Runs carried in one file: what is packed can be merged, and what was tampered with takes nothing else along."""

import io
import os
import tarfile

import pytest

from suite import archive
from suite.archive import pack, unpacked
from suite.records.record import CorruptRecordError
from suite.records.store import read_contents
from suite.results import merge
from tests.records.factory import build, store


@pytest.fixture
def packed(tmp_path):
    root = tmp_path / "gpu"
    store(root / "part", build(), build(seq_len=8192))
    (root / "doctor.json").write_text("{}")
    assert pack(root, [root / "doctor.json"], root / "gpu.tar.gz") == 0
    return root / "gpu.tar.gz"


def tampered(path, name, kind=tarfile.REGTYPE):
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, "/etc/passwd", 3 if kind == tarfile.REGTYPE else 0
        tar.addfile(member, io.BytesIO(b"abc"))
    return path


def test_an_archive_is_merged_as_a_folder_is(packed, tmp_path, capsys):
    store(tmp_path / "other", build(attention="mha"))
    assert merge([packed, tmp_path / "other"], tmp_path / "all") == 0
    assert capsys.readouterr().out.startswith("3 runs copied")
    assert len(read_contents([tmp_path / "all"]).stored) == 3
    assert merge([packed], tmp_path / "all") == 0
    assert "2 were there already" in capsys.readouterr().out


def test_a_torn_archive_is_one_sentence_and_the_rest_is_merged(packed, tmp_path, capsys):
    whole = packed.read_bytes()
    (tmp_path / "torn.tar.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "none.tar.gz").write_text("no archive")
    assert merge([tmp_path / "torn.tar.gz", tmp_path / "none.tar.gz", packed], tmp_path / "all") == 4
    said = capsys.readouterr()
    assert said.out.startswith("2 runs copied")
    assert said.err.count("it is torn, or no archive of runs") == len(said.err.splitlines()) == 2


def test_a_damaged_run_in_an_archive_is_named_by_its_place_there(tmp_path, capsys):
    damaged, _ = store(tmp_path / "gpu" / "part", build(), build(seq_len=8192))
    (damaged / "record.json").write_text("{")
    pack(tmp_path / "gpu", [], tmp_path / "gpu.tar.gz")
    assert merge([tmp_path / "gpu.tar.gz"], tmp_path / "all") == 4
    said = capsys.readouterr()
    assert said.out.startswith("1 runs copied")
    assert f"left out, damaged: {tmp_path / 'gpu.tar.gz' / 'part' / damaged.name}: " in said.err


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("../outside", tarfile.REGTYPE, "outside its own folder"),
        ("/tmp/outside", tarfile.REGTYPE, "outside its own folder"),
        ("C:outside", tarfile.REGTYPE, "outside its own folder"),
        ("run/record.json", tarfile.SYMTYPE, "a link"),
        ("run/record.json", tarfile.LNKTYPE, "a link"),
        ("run/record.json", tarfile.FIFOTYPE, "a link or another thing"),
    ],
)
def test_what_leads_out_of_an_archive_or_is_no_file_is_refused(tmp_path, name, kind, words):
    path = tampered(tmp_path / "bad.tar.gz", name, kind)
    with pytest.raises(CorruptRecordError, match=words):
        unpacked(path, tmp_path / "into")
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == [path]


def test_an_archive_that_holds_too_much_is_refused_before_it_fills_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MOST_UNPACKED_BYTES", 1 << 20)
    with tarfile.open(tmp_path / "bomb.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("zeros")
        member.size = 8 << 20
        tar.addfile(member, io.BytesIO(bytes(8 << 20)))
    with pytest.raises(CorruptRecordError, match="more than 1 MiB"):
        unpacked(tmp_path / "bomb.tar.gz", tmp_path / "into")


def test_runs_for_which_there_is_no_room_are_counted_and_no_user_is_named(packed, tmp_path):
    root = packed.parent
    assert pack(root, [], root / "small.tar.gz", most_bytes=archive.ENDING_BYTES + 1) == 2
    with tarfile.open(packed) as tar:
        assert {(member.uname, member.uid) for member in tar} == {("", 0)}


def test_the_oldest_runs_are_packed_first(tmp_path):
    runs = store(tmp_path / "runs", *(build(seq_len=length) for length in (1, 2, 3)))
    for age, run in zip((2, 3, 1), runs, strict=True):
        os.utime(run / "record.json", (1e9 - age, 1e9 - age))
    pack(tmp_path, [], tmp_path / "all.tar.gz")
    with tarfile.open(tmp_path / "all.tar.gz") as tar:
        packed = [name.split("/")[1] for name in tar.getnames() if name.endswith("record.json")]
    assert packed == [runs[1].name, runs[0].name, runs[2].name]
