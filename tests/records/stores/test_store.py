"""What is written is what is read, and nothing that lies about stops the rest."""

import json
import os
import sys
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import suite
from suite.records.derived import by_launch
from suite.records.record import CorruptRecordError, Reading, Rows, Status
from suite.records.stores.files import write_named, write_whole
from suite.records.stores.store import LOCK, READINGS, RECORD, SAMPLES, read_contents, read_record, write_record
from suite.records.stores.tables import DecodedColumns
from tests.records.factory import build, store


def edit(change, of=RECORD):
    """Change the text of a file of a run."""

    def spoil(folder):
        text = (folder / of).read_text()
        (folder / of).write_text(change(text))

    return spoil


def merged(**parts):
    """Put other parts into a record."""
    return edit(lambda text: json.dumps(json.loads(text) | parts))


def put(part, value):
    """Set a value, inside another by a dotted name, in the text of a record: JSON has no word for some of them."""

    def change(text):
        content = inner = json.loads(text)
        *outer, last = part.split(".")
        for name in outer:
            inner = inner[name]
        inner[last] = "PUT HERE"
        return json.dumps(content).replace('"PUT HERE"', value)

    return edit(change)


def rename(axis, value):
    """Give an axis another name or value, and the case the id that follows from it."""
    case = {"workload": "attention", "axes": {axis: value}, "extras": {}, "id": f"workload=attention {axis}={value}"}
    return merged(case=case)


def in_its_place(make, name=RECORD):
    """Put another thing where a file was."""

    def spoil(folder):
        (folder / name).rename(folder / "whole")
        make(folder / name)

    return spoil


def swap_the_samples(*, rows=2, metric="latency_s", **how):
    """Write another table under its own digest."""

    def spoil(folder):
        columns = {
            name: pa.array([1] * rows, field.type)
            for name, field in zip(READINGS.types, READINGS.schema, strict=True)
            if name not in ("span", "metric")
        }
        columns |= {"span": pa.array(["layer"] * rows), "metric": pa.array([metric] * rows)}
        pq.write_table(pa.table(columns, schema=READINGS.schema), folder / SAMPLES, **how)
        merged(files={})(folder)

    return spoil


def write_text_that_is_no_text(folder):
    row = {name: pa.nulls(1, READINGS.schema.field(name).type) for name in READINGS.schema.names}
    row |= {"step": pa.array([0]), "value": pa.array([1.0]), "span": pa.array(["layer"])}
    buffers = [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
    row["metric"] = pa.Array.from_buffers(pa.string(), 1, buffers)
    pq.write_table(pa.table(row, schema=READINGS.schema), folder / SAMPLES)


DELTA = {"metric": "DELTA_BYTE_ARRAY", "span": "DELTA_LENGTH_BYTE_ARRAY"}
IDENTITIES = {
    "run_key": ('"../../suite"', '"/tmp/x"', '""', f'"{"A" * 64}"', f'"{"a" * 64}\\n"'),
    "environment.machine_id": ('"a/b"', '"a\\nb"', '"\\ud800"', "7"),
    "case.workload": ('"a/b"', '"a\\u0000b"'),
    "provenance.x": (*("NaN", "Infinity", "-Infinity", "1e999", "1" * 21, "-" + "1" * 5000),),
    "files": ('{"__init__.py": "' + "0" * 64 + '"}', '{"samples.parquet": "short"}'),
    "status": ('["ok"]', '"splendid"'),
    "schema": ("2", "true"),
    "environment": ("[1, 2]",),
}
DAMAGES = {
    **{f"{part}={value[:20]}": put(part, value) for part, values in IDENTITIES.items() for value in values},
    **{f"seed={value[:8]!r}": rename("seed", value) for value in ("a\nb", "\0", "\x1b[2J", "\ud800", "\u2028")},
    **{f"axis {name!r}": rename(name, "1") for name in ("a\nb", "\ud800", "\u202e")},
    "another id": merged(case={"id": "something else", "workload": "attention", "axes": {}, "extras": {}}),
    "a key twice": edit(lambda text: text.replace('"status": "ok"', '"status": "failed", "status": "ok"')),
    "cut short": edit(lambda text: text[:40]),
    "deep": edit(lambda text: "[" * 100_000),
    "a link": in_its_place(lambda path: path.symlink_to("whole")),
    "a link of the samples": in_its_place(lambda path: path.symlink_to("whole"), SAMPLES),
    "a dangling link": in_its_place(lambda path: path.symlink_to("nowhere")),
    "a folder": in_its_place(lambda path: path.mkdir()),
    **({"a pipe": in_its_place(os.mkfifo)} if sys.platform != "win32" else {}),
    "no samples": in_its_place(lambda path: None, SAMPLES),
    "spoilt samples": in_its_place(lambda path: path.write_bytes(b"PAR1 and nothing more"), SAMPLES),
    "one column": in_its_place(lambda path: pq.write_table(pa.table({"step": [1]}), path), SAMPLES),
    "a line end": swap_the_samples(metric="latency\n_s"),
    "delta": swap_the_samples(use_dictionary=False, column_encoding=DELTA),
    "text that is no text": write_text_that_is_no_text,
}


@pytest.mark.parametrize(
    "record",
    [
        build(extras={"attention.kv_lora_rank": 256}, provenance={"warnings": ["slow clock"]}),
        build(status=Status.UNSUPPORTED, reason="needs a GPU"),
    ],
)
def test_a_record_reads_back_as_it_was_written(record, tmp_path):
    (folder,) = store(tmp_path, record)
    read = read_record(folder)
    assert replace(read, files={}) == record
    assert list(read.files) == ["samples.parquet"]


def test_a_folder_without_its_record_is_unfinished(tmp_path):
    whole, half = store(tmp_path, build(), build())
    (half / "record.json").rename(half / "record.json.part")
    (half / "samples.parquet").write_bytes(b"half a file")
    contents = read_contents([tmp_path])
    assert [stored.folder for stored in contents.stored] == [whole]
    assert contents.unfinished == [half]
    assert contents.damaged == []


@pytest.mark.parametrize("name", ["samples.parquet", "trace.json.gz"])
def test_no_record_is_there_before_all_beside_it(tmp_path, name):
    (tmp_path / LOCK).touch()  # as whoever runs the case has it
    (tmp_path / name).mkdir()  # so that the file cannot be put in place
    with pytest.raises(OSError, match=name):
        write_record(build(), tmp_path, {"trace.json.gz": b"{}"})
    assert not (tmp_path / "record.json").exists()
    assert not list(tmp_path.glob("*.part"))
    assert read_contents([tmp_path]).unfinished == [tmp_path]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_named_and_the_rest_is_read(tmp_path, damage):
    whole, damaged = store(tmp_path, build(), build())
    DAMAGES[damage](damaged)
    with pytest.raises(CorruptRecordError):
        read_record(damaged)
    contents = read_contents([tmp_path])
    assert [stored.folder for stored in contents.stored] == [whole]
    assert [item.folder for item in contents.damaged] == [damaged]


def test_load_gives_a_row_a_reading_with_units_and_axes(tmp_path):
    store(tmp_path, build(latencies_s=(1e-3, 2e-3)), build(status=Status.FAILED, reason="broke", seq_len=8192))
    frame = suite.load(tmp_path).readings()
    timings = frame[(frame["metric"] == "latency_s") & (frame["span"] == "layer")]
    assert timings["value"].tolist() == [1e-3, 2e-3]
    assert set(timings["unit"]) == {"s"}
    cases = suite.load(tmp_path).cases()
    assert cases.loc[timings["run"].unique()].seq_len.tolist() == [4096]
    assert cases[cases["status"] == "failed"].reason.tolist() == ["broke"]


def test_a_file_written_before_there_were_launches_reads_as_one(tmp_path):
    folder = store(tmp_path, build(latencies_s=(2e-3, 3e-3)))[0]
    table = pq.read_table(folder / SAMPLES).drop_columns("launch")
    pq.write_table(table, folder / SAMPLES)
    rows = Rows(Reading, DecodedColumns(READINGS, READINGS.batches_in((folder / SAMPLES).read_bytes())))
    assert {reading.launch for reading in rows} == {None}
    assert by_launch(rows.grouped("metric", "span")["latency_s", "layer"]) == [[2e-3, 3e-3]]
    launched = [replace(reading, launch=reading.step) for reading in rows]
    (other,) = store(tmp_path / "other", replace(build(), readings=launched))
    assert read_record(other).readings == launched


def test_arrays_hold_what_columns_do_and_a_value_for_none(tmp_path, monkeypatch):
    monkeypatch.setattr("suite.records.stores.tables.BATCH_ROWS", 5)  # so that places of a batch begin within a byte
    (folder,) = store(tmp_path, build())
    for is_first in (True, False):
        rows = read_record(folder).rows
        timed = rows.grouped("metric")[("latency_s",)]
        for name in ("wall_s", "value", "launch", "involuntary_switches", "step"):
            expected = [
                -1 if value is None else value
                for value in (rows.column(name) if is_first else build().rows.column(name))
            ]
            assert rows.array(name, empty=-1).tolist() == build().rows.array(name, empty=-1).tolist() == expected
            assert timed.array(name, empty=-1).tolist() == [expected[place] for place in timed.places]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(tmp_path):
    folders = store(tmp_path, build(), build(), build(), build())
    (folders[1] / "record.json").chmod(0)
    folders[2].chmod(0o600)
    folders[3].chmod(0)
    try:
        contents = read_contents([tmp_path])
        with pytest.warns(UserWarning, match="left out as damaged: .*; .*; .*"):
            assert len(suite.load(tmp_path).readings()) == 26
    finally:
        for folder in folders:
            folder.chmod(0o700)
    assert [stored.folder for stored in contents.stored] == folders[:1]
    assert {damage.folder for damage in contents.damaged} == set(folders[1:])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_plain_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(OSError, match="no plain file"):
            write_whole(tmp_path / name, b"")
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "pipe"]


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    named = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: named.append((tmp_path / "page").exists()))
    write_whole(tmp_path / "page", b"own")
    assert named == [False]


def test_a_link_is_followed_only_where_a_person_named_it(tmp_path):
    (tmp_path / "kept").write_bytes(b"before")
    (tmp_path / "link").symlink_to("kept")
    write_named(tmp_path / "link", b"after")
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(OSError, match="in a circle"):
        write_named(tmp_path / "circle", b"after")
    assert (tmp_path / "circle").is_symlink()
    (tmp_path / "circle").unlink()
    assert ((tmp_path / "link").is_symlink(), (tmp_path / "kept").read_bytes()) == (True, b"after")
    (tmp_path / "link.part").symlink_to("kept")
    write_whole(tmp_path / "link", b"own")
    assert ((tmp_path / "link").is_symlink(), (tmp_path / "kept").read_bytes()) == (False, b"after")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "link"]


def test_a_write_that_fails_leaves_only_what_was_there(tmp_path):
    resource = pytest.importorskip("resource", reason="needs a limit of a file's size")
    (tmp_path / "page").write_bytes(b"before")
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, usual[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_whole(tmp_path / "page", b"x" * 2048)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("page", b"before")]
