"""Runs carried in one file: what is packed can be merged, and what was tampered with takes nothing else along."""

import gzip
import os
import tarfile

import pytest

from suite.commands.results import merge
from suite.records.record import CorruptRecordError
from suite.records.stores import archive
from suite.records.stores.archive import pack, unpack
from suite.records.stores.store import read_contents
from tests.records.factory import build, store


@pytest.fixture
def packed(tmp_path):
    root = tmp_path / "gpu"
    store(root / "part", build(), build(seq_len=8192))
    (root / "doctor.json").write_text("{}")
    assert pack(root, [root / "doctor.json"], root / "gpu.tar.gz") == 0
    return root / "gpu.tar.gz"


def headers(path, *members, ending=()):
    """An archive of these headers with their contents, and of bytes after them."""
    with gzip.open(path, "wb") as file:
        for member, content in members:
            file.write(member.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512))
        file.write(b"".join(ending) + bytes(1024))
    return path


def header(name, kind=tarfile.REGTYPE, content=b""):
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, len(content)
    return member, content


def test_an_archive_is_merged_as_a_folder_is(packed, tmp_path, capsys):
    store(tmp_path / "other", build(attention="mha"))
    assert merge([packed, tmp_path / "other"], tmp_path / "all") == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("3 runs copied")
    assert len(read_contents([tmp_path / "all"]).stored) == 3
    assert merge([packed], tmp_path / "all") == 0
    assert "2 were there already" in capsys.readouterr().out


def test_a_torn_archive_is_one_sentence_and_the_rest_is_merged(packed, tmp_path, capsys):
    whole = packed.read_bytes()
    (tmp_path / "torn.tar.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "none.tar.gz").write_text("no archive")
    assert merge([tmp_path / "torn.tar.gz", tmp_path / "none.tar.gz", packed], tmp_path / "all") == 4
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].startswith("2 runs copied")
    assert said.err.count("it is torn, or no archive of runs") == len(said.err.splitlines()) == 2


def test_a_damaged_run_in_an_archive_is_named_by_its_place_there(tmp_path, capsys):
    damaged, _ = store(tmp_path / "gpu" / "part", build(), build(seq_len=8192))
    (damaged / "record.json").write_text("{")
    pack(tmp_path / "gpu", [], tmp_path / "gpu.tar.gz")
    assert merge([tmp_path / "gpu.tar.gz"], tmp_path / "all") == 4
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].startswith("1 runs copied")
    assert f"left out, damaged: {tmp_path / 'gpu.tar.gz' / 'part' / damaged.name}: " in said.err


def test_an_archive_of_too_much_is_refused_in_time(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MOST_UNPACKED_BYTES", 1 << 20)
    headers(tmp_path / "bomb.tar.gz", header("zeros", content=bytes(8 << 20)))
    with pytest.raises(CorruptRecordError, match="more than 1 MiB"):
        unpack(tmp_path / "bomb.tar.gz", tmp_path / "into")


def test_runs_without_room_are_counted_and_no_user_is_named(packed, tmp_path):
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


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_that_is_huge_and_a_chain_of_them_are_refused(tmp_path, kind):
    said = b"30 comment=nothing is said by\n" if kind == tarfile.XHDTYPE else b"a name\0"
    chain = headers(tmp_path / "chain.tar.gz", *[header("x", kind, said)] * 2000, header("run/record.json"))
    with pytest.raises(CorruptRecordError, match="a chain of headers"):
        unpack(chain, tmp_path / "chain")
    huge = headers(tmp_path / "huge.tar.gz", header("x", kind, bytes(1 << 20)), header("run/record.json"))
    with pytest.raises(CorruptRecordError, match="more than 65536 bytes"):
        unpack(huge, tmp_path / "huge")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([header("../outside")], "outside its own folder"),
        ([header("/tmp/outside")], "outside its own folder"),
        ([header("C:outside")], "outside its own folder"),
        ([header("run/record.json", tarfile.SYMTYPE)], "a link"),
        ([header("run/record.json", tarfile.LNKTYPE)], "a link"),
        ([header("run/record.json", tarfile.FIFOTYPE)], "a link or another thing"),
        ([header("x", tarfile.XGLTYPE, b"20 comment=for all\n\n")], "a header for all files"),
        ([header("d", tarfile.DIRTYPE)] * 11, "more than 10 files and folders"),
        (
            [header("pax", tarfile.XHDTYPE, b"1" + b"0" * 20 + b" path=x\n"), header("x")],
            "cannot be unpacked|no archive of runs",
        ),
        (
            [header("./@LongLink", tarfile.GNUTYPE_LONGNAME, b"d/" * 1500 + b"\0"), header("d")],
            "more than 32 levels deep",
        ),
    ],
)
def test_what_leads_out_or_is_no_file_of_ours_is_refused(members, words, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MOST_FILES", 10)
    path = headers(tmp_path / "bad.tar.gz", *members)
    with pytest.raises(CorruptRecordError, match=words):
        unpack(path, tmp_path / "into")
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == [path]


def test_an_archive_that_is_itself_too_large_is_refused_unread(tmp_path):
    with (tmp_path / "sparse.tar.gz").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CorruptRecordError, match="larger than 512 MiB"):
        unpack(tmp_path / "sparse.tar.gz", tmp_path / "into")
