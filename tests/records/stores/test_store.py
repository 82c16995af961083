"""What is written is what is read, and nothing that lies about stops the rest."""

import json
import os
import sys
from dataclasses import fields, replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import suite
from suite.records.derived import by_launch
from suite.records.record import CorruptRecordError, Reading, Status
from suite.records.rows import Rows
from suite.records.stores.store import (
    LOCK,
    LONGEST_RECORD_BYTES,
    READINGS,
    RECORD,
    SAMPLES,
    Room,
    read_contents,
    read_file,
    read_record,
    write_named,
    write_record,
    write_whole,
)
from tests.records.factory import build, committed, store


def test_a_reading_has_the_columns_of_its_table_in_their_order():
    assert [field.name for field in fields(Reading)] == READINGS.schema.names


def change(folder, **parts):
    path = folder / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | parts))


def cut_short(folder):
    path = folder / "record.json"
    path.write_text(path.read_text()[:40])


def give_wrong_types(folder):
    change(folder, environment=[1, 2])


def make_status_a_list(folder):
    change(folder, status=["ok"])


def invent_a_status(folder):
    change(folder, status="splendid")


def raise_the_schema(folder):
    change(folder, schema=2)


def rename_the_case(folder):
    change(folder, case={"id": "something else", "workload": "attention", "axes": {}, "extras": {}})


def nest_deeply(folder):
    (folder / "record.json").write_text("[" * 100_000)


def fill_with_a_huge_file(folder):
    with (folder / "record.json").open("wb") as file:
        file.truncate(LONGEST_RECORD_BYTES + 1)


def spoil_the_samples(folder):
    (folder / "samples.parquet").write_bytes(b"PAR1 and nothing more")


def remove_the_samples(folder):
    (folder / "samples.parquet").unlink()


def drop_a_column(folder):
    pq.write_table(pa.table({"step": [1]}), folder / "samples.parquet")


def write_text_that_is_no_text(folder):
    row = {name: pa.nulls(1, READINGS.schema.field(name).type) for name in READINGS.schema.names}
    row |= {"step": pa.array([0]), "value": pa.array([1.0]), "span": pa.array(["layer"])}
    row["metric"] = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
    )
    pq.write_table(pa.table(row, schema=READINGS.schema), folder / "samples.parquet")


def put(part, value):
    """Set a value, inside another by a dotted name, in the text of a record: JSON has no word for some of them."""

    def spoil(folder):
        path = folder / "record.json"
        content = json.loads(path.read_text())
        *outer, last = part.split(".")
        inner = content
        for name in outer:
            inner = inner[name]
        inner[last] = "PUT HERE"
        path.write_text(json.dumps(content).replace('"PUT HERE"', value))

    spoil.__name__ = f"{part}={value[:20]}"
    return spoil


def rename(axis, value):
    """Give an axis another name or value, and the case the id that follows from it."""

    def spoil(folder):
        path = folder / "record.json"
        content = json.loads(path.read_text())
        case = content["case"]
        case["axes"] = {axis: value}
        case["id"] = f"workload=attention {axis}={value}"
        path.write_text(json.dumps(content))

    spoil.__name__ = f"axis {axis[:8]!r}={value[:8]!r}"
    return spoil


def say_a_key_twice(folder):
    path = folder / "record.json"
    path.write_text(path.read_text().replace('"status": "ok"', '"status": "failed", "status": "ok"'))


def put_elsewhere(name):
    """Let a file be a link to one that is whole."""

    def spoil(folder):
        (folder / name).rename(folder / "whole")
        (folder / name).symlink_to(folder / "whole")

    spoil.__name__ = f"{name} is a link"
    return spoil


def leave_a_dangling_link(folder):
    (folder / "record.json").unlink()
    (folder / "record.json").symlink_to(folder / "nowhere")


def make_the_record_a_folder(folder):
    (folder / "record.json").unlink()
    (folder / "record.json").mkdir()


def make_the_record_a_pipe(folder):
    (folder / "record.json").unlink()
    os.mkfifo(folder / "record.json")


def swap_the_samples(name, *, rows=2, metric="latency_s", **how):
    """Write another table under its own digest."""

    def spoil(folder):
        columns = {
            column: pa.array([1] * rows, READINGS.schema.field(column).type)
            for column in READINGS.schema.names
            if column not in ("span", "metric")
        }
        columns |= {"span": pa.array(["layer"] * rows), "metric": pa.array([metric] * rows)}
        pq.write_table(pa.table(columns, schema=READINGS.schema), folder / SAMPLES, **how)
        change(folder, files={})

    spoil.__name__ = name
    return spoil


OF_IDENTITIES = [
    *(put("run_key", value) for value in ('"../../suite"', '"/tmp/x"', '""', f'"{"A" * 64}"', f'"{"a" * 64}\\n"')),
    *(put("environment.machine_id", value) for value in ('"a/b"', '"a\\nb"', '"\\ud800"', "7")),
    *(put("case.workload", value) for value in ('"a/b"', '"a\\u0000b"')),
    *(rename("seed", value) for value in ("a\nb", "\0", "\x1b[2J", "\ud800", "\u2028", "x" * 5000)),
    *(rename(name, "1") for name in ("a\nb", "\ud800", "\u202e")),
]
OF_JSON = [
    *(put("provenance.x", value) for value in ("NaN", "Infinity", "-Infinity", "1e999", "1" * 21, "-" + "1" * 5000)),
    put("provenance.x", "[" * 800 + "]" * 800),
    put("provenance.x", "[" + "{}," * 60_000 + "1]"),
    put("files", '{"__init__.py": "' + "0" * 64 + '"}'),
    put("files", '{"samples.parquet": "short"}'),
    say_a_key_twice,
]
OF_FILES = [
    put_elsewhere("record.json"),
    put_elsewhere("samples.parquet"),
    leave_a_dangling_link,
    make_the_record_a_folder,
    *([make_the_record_a_pipe] if sys.platform != "win32" else []),
]
OF_TABLES = [
    swap_the_samples("zstd", compression="zstd"),
    swap_the_samples("one_long_text", metric="x" * 100_000),
    swap_the_samples("a_line_end", metric="latency\n_s"),
    swap_the_samples(
        "delta", use_dictionary=False, column_encoding={"metric": "DELTA_BYTE_ARRAY", "span": "DELTA_LENGTH_BYTE_ARRAY"}
    ),
]
DAMAGES = [
    *OF_IDENTITIES,
    *OF_JSON,
    *OF_FILES,
    *OF_TABLES,
    cut_short,
    give_wrong_types,
    make_status_a_list,
    invent_a_status,
    raise_the_schema,
    rename_the_case,
    nest_deeply,
    fill_with_a_huge_file,
    spoil_the_samples,
    remove_the_samples,
    drop_a_column,
    write_text_that_is_no_text,
]


def test_a_record_reads_back_as_it_was_written(tmp_path):
    record = build(extras={"attention.kv_lora_rank": 256}, provenance={"warnings": ["slow clock"]})
    (folder,) = store(tmp_path, record)
    read = read_record(folder)
    assert replace(read, files={}) == record
    assert list(read.files) == ["samples.parquet"]


def test_a_case_that_could_not_run_reads_back_with_its_reason(tmp_path):
    record = build(status=Status.UNSUPPORTED, reason="needs a GPU")
    (folder,) = store(tmp_path, record)
    assert replace(read_record(folder), files={}) == record


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


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_folder_is_named_and_the_rest_is_read(tmp_path, damage):
    whole, damaged = store(tmp_path, build(), build())
    damage(damaged)
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
    assert set(timings["seq_len"]) == {4096}
    (failed,) = frame[frame["status"] == "failed"].to_dict("records")
    assert failed["reason"] == "broke"
    assert failed["metric"] is None or failed["metric"] != failed["metric"]


def test_a_file_written_before_there_were_launches_reads_as_one(tmp_path):
    folder = store(tmp_path, build(latencies_s=(2e-3, 3e-3)))[0]
    table = pq.read_table(folder / SAMPLES).drop_columns("launch")
    pq.write_table(table, folder / SAMPLES)
    rows = Rows(Reading, READINGS.columns_in((folder / SAMPLES).read_bytes()))
    assert {reading.launch for reading in rows} == {None}
    assert by_launch(rows.grouped("metric", "span")["latency_s", "layer"]) == [[2e-3, 3e-3]]


def test_a_launch_is_kept_with_its_reading(tmp_path):
    record = build(latencies_s=(2e-3, 3e-3))
    launched = [replace(reading, launch=reading.step) for reading in record.readings]
    folder = store(tmp_path, replace(record, readings=launched))[0]
    assert [reading.launch for reading in read_record(folder).readings] == [one.launch for one in launched]


def test_what_a_command_holds_is_bounded_and_the_rest_named(tmp_path):
    alike = [Reading(step=0, span="layer", metric="latency_s", value=1.0)] * 20_000
    store(tmp_path, *[replace(build(seq_len=length), readings=alike) for length in (1, 2, 3)])
    contents = read_contents([tmp_path], room=Room(left=7 << 20))
    assert len(contents.stored) == 1
    assert ["all that one command holds" in damage.reason for damage in contents.damaged] == [True, True]
    room = Room(left=7 << 20)
    assert not read_contents([tmp_path], room=room).unfinished
    before = room.left
    assert not read_contents([tmp_path], room=room).stored
    assert room.left == before, "what is refused takes nothing"


def test_all_cases_of_a_command_have_so_many_names_and_no_more(tmp_path):
    whole, other = store(tmp_path, *[build(extras={f"{letter}{n}": 1 for n in range(200)}) for letter in "ab"])
    contents = read_contents([tmp_path])
    assert [stored.folder for stored in contents.stored] == [whole]
    assert [(damage.folder, "at most 300 axes" in damage.reason) for damage in contents.damaged] == [(other, True)]


def test_a_file_replaces_a_link_and_never_goes_through_it(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "new.part").symlink_to(tmp_path / "mine")
    write_whole(tmp_path / "new", b"theirs")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "new").read_text() == "theirs"


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


def test_what_is_committed_is_far_from_every_bound():
    sizes = {run: len(read_file(run / RECORD, LONGEST_RECORD_BYTES)) for run, _ in committed()}
    largest = max(sizes, key=sizes.__getitem__)
    assert sizes[largest] * 20 < LONGEST_RECORD_BYTES
    assert read_record(largest, room=Room(left=0)).readings, "what is read makes the room that it takes"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_plain_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(OSError, match="no plain file"):
            write_whole(tmp_path / name, b"")
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "pipe"]


def test_a_link_is_followed_only_where_a_person_named_it(tmp_path):
    (tmp_path / "kept").write_bytes(b"before")
    (tmp_path / "link").symlink_to("kept")
    write_named(tmp_path / "link", b"after")
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(OSError, match=r"[Tt]oo many"):
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
