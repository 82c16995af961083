"""Runs carried in one file: what is packed can be merged, and what was tampered with takes nothing else along."""

import gzip
import os
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from suite.commands.results import merge
from suite.records.record import CorruptRecordError
from suite.records.stores import archive
from suite.records.stores.archive import pack, unpack
from suite.records.stores.store import read_contents
from suite.records.stores.telemetry import TelemetrySample
from tests.records.factory import build, store

SERIES = [TelemetrySample(time_s=0.5, unix_s=0.0, phase="measure", device="cpu", quantity="cpu_share", value=1.0)]


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
    monkeypatch.setattr(archive, "LARGEST_BYTES", 1 << 20)
    headers(tmp_path / "bomb.tar.gz", header("zeros", content=bytes(8 << 20)))
    with pytest.raises(CorruptRecordError, match="more than 1 MiB"):
        unpack(tmp_path / "bomb.tar.gz", tmp_path / "into")


@pytest.mark.parametrize("name", ["record.json", "samples.parquet", "telemetry.parquet"])
def test_a_run_that_would_fill_the_memory_is_refused(tmp_path, name, monkeypatch, capsys):
    store(tmp_path / "sweep", build(), series=SERIES)
    path = next((tmp_path / "sweep").rglob(name))
    if path.suffix == ".parquet":  # 200,000 equal rows take a few bytes each as Arrow writes them
        table = pq.read_table(path)
        pq.write_table(table.take(pa.repeat(0, 200_000)), path)
        assert path.stat().st_size < 1 << 20
    else:
        path.write_text(" " * (1 << 20))
    monkeypatch.setattr(archive, "LARGEST_BYTES", 16 << 20)
    pack(tmp_path / "sweep", [], tmp_path / "sweep.tar.gz")
    for source in (tmp_path / "sweep", tmp_path / "sweep.tar.gz"):
        assert merge([source], tmp_path / "all") == 4
        assert "would take more than 16 MiB of memory" in capsys.readouterr().err
    assert read_contents([tmp_path / "all"]).stored == []


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


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([header("../outside")], "outside its own folder"),
        ([header("a/../../outside")], "outside its own folder"),
        ([header("run/record.json", tarfile.SYMTYPE)], "a link"),
        ([header("run/record.json", tarfile.LNKTYPE)], "a link"),
        ([header("run/record.json", tarfile.FIFOTYPE)], "a link or another thing"),
        ([header("run/record.json", tarfile.GNUTYPE_SPARSE)], "a link or another thing"),
    ],
)
def test_what_leads_out_or_is_no_file_of_ours_is_refused(members, words, tmp_path):
    path = headers(tmp_path / "bad.tar.gz", *members)
    with pytest.raises(CorruptRecordError, match=words):
        unpack(path, tmp_path / "into")
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == [path]
