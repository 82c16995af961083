"""Writers at once: no run is lost, none is there twice, and none that was said to be there is missing."""

import importlib
import os
import random
import shutil
import sys
from contextlib import contextmanager, suppress
from threading import Thread

import pytest

from suite.commands.results import pack, verify
from suite.gate.rules.acceptances import CorruptAcceptancesError, accept, read_acceptances
from suite.records.record import RECORD, SAMPLES, CorruptRecordError
from suite.records.stores import closed
from suite.records.stores.claim import alone_in, claim_folder, locks_folder
from suite.records.stores.close import close_sweep
from suite.records.stores.closed import MANIFEST, closed_sweep
from suite.records.stores.files import PART, whole_file, write_named
from suite.records.stores.store import (
    LOCK,
    READINGS,
    each_run,
    read_contents,
    read_file,
    read_readings,
    read_record,
    write_record,
)
from suite.records.stores.walk import folders_below
from tests.records.factory import build, store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
if sys.platform != "win32":
    from tools import writers_together as together


@pytest.fixture
def sweep(tmp_path):
    store(tmp_path / "sweep", build(), build(seq_len=8192), build(attention="mha"))
    return tmp_path / "sweep"


def names_in(folder):
    contents = read_contents([folder])
    assert not contents.damaged
    return sorted(stored.folder.name for stored in contents.stored)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return together.make(tmp_path_factory.mktemp("template"))


@pytest.mark.skipif(sys.platform != "linux", reason="forks with libraries loaded, which others may not survive")
def test_writers_at_once_lose_and_double_nothing(world, tmp_path, monkeypatch):
    monkeypatch.setattr(together, "LONGEST_S", 0.3)
    writers = ["pack --remove", "merge folder", "pack its source", "merge archive", "run", "accept"] * 2
    copy, tally = together.World(root=tmp_path / "round"), together.Tally()
    shutil.copytree(world.root, copy.root)
    together.play(copy, writers, tally, random.Random(0))
    assert tally.of_round == []


def test_a_stale_list_of_runs_takes_none_out_of_the_tables(sweep):
    first, *rest = read_contents([sweep]).stored
    assert pack([sweep], remove=True) == 0
    with alone_in(sweep):
        close_sweep(sweep, [first])
    assert names_in(sweep) == sorted(run.folder.name for run in (first, *rest))


def test_a_run_that_is_gone_is_not_packed_as_nothing(sweep):
    gone, *rest = read_contents([sweep]).stored
    shutil.rmtree(gone.folder)
    with pytest.raises(CorruptRecordError):
        close_sweep(sweep, [gone, *rest])
    assert not (sweep / MANIFEST).exists()
    assert names_in(sweep) == sorted(run.folder.name for run in rest)


def test_tables_wait_for_who_writes_there(sweep):
    with alone_in(sweep):
        packing = Thread(target=pack, args=([sweep],), kwargs={"remove": True})
        packing.start()
        packing.join(timeout=0.2)
        assert not (sweep / MANIFEST).exists()
    packing.join()
    assert len(closed_sweep(sweep).runs) == 3


@pytest.mark.parametrize("listed", [0, 1, 2, 3, 4])
def test_a_listing_sees_each_run_once_while_they_are_packed(sweep, listed):
    runs, damaged = names_in(sweep), []
    folders = folders_below(sweep, damaged)
    seen = [next(folders) for _ in range(listed)]
    assert pack([sweep], remove=True) == 0
    seen += folders
    assert sorted(folder.name for folder, names in seen if RECORD in names) == runs
    assert damaged == []


def test_a_run_that_a_listing_missed_is_found_in_the_tables(sweep, monkeypatch):
    """A folder is listed bit by bit: a name that went meanwhile may be missed."""
    runs, damaged = names_in(sweep), []
    scandir = os.scandir

    @contextmanager
    def pack_during_the_scan(folder):
        with scandir(folder) as entries:
            listed = [entry for entry in entries if entry.name != runs[1]]
            if folder == sweep:
                monkeypatch.setattr(os, "scandir", scandir)
                assert pack([sweep], remove=True) == 0
            yield listed

    monkeypatch.setattr(os, "scandir", pack_during_the_scan)
    folders = [*folders_below(sweep, damaged)]
    assert sorted(folder.name for folder, names in folders if RECORD in names) == runs
    assert damaged == []


def test_what_was_listed_is_read_once_it_was_packed(sweep):
    runs = each_run([sweep])
    first = next(runs)
    assert pack([sweep], remove=True) == 0
    assert len([first.record, *(run.record for run in runs)]) == 3


@pytest.mark.parametrize("look", ["suite.records.stores.store.file_blocks", "suite.records.stores.store.read_file"])
def test_what_is_packed_between_look_and_reading_is_read(sweep, monkeypatch, look):
    stored = read_contents([sweep]).stored[0]
    text = read_file(stored.folder / RECORD)
    module, _, name = look.rpartition(".")
    read = getattr(importlib.import_module(module), name)

    def pack_first(path, **options):
        monkeypatch.setattr(look, read)
        assert pack([sweep], remove=True) == 0
        return read(path, **options)

    monkeypatch.setattr(look, pack_first)
    assert list(read_readings(stored.folder, stored.record)) == list(stored.record.readings)
    assert read_file(stored.folder / RECORD) == text


def test_tables_that_are_replaced_while_they_are_read_are_read_on(sweep):
    assert pack([sweep], remove=True) == 0
    before = closed_sweep(sweep)
    run = max(before.runs)
    rows = before.batches(READINGS, run)[0].num_rows
    with claim_folder(sweep, "0" * 64) as claim:  # which lies before the others in the tables
        write_record(build(seq_len=16384), claim.folder)
    assert pack([sweep], remove=True) == 0
    closed._row_group.cache_clear()
    assert not (sweep / before.files["readings"]).exists()
    assert before.batches(READINGS, run)[0].num_rows == rows


def test_what_a_killed_pack_left_of_a_run_is_read_in_the_tables(sweep):
    runs = names_in(sweep)
    assert pack([sweep], remove=False) == 0
    half, bare, locked = (sweep / name for name in runs)
    (half / RECORD).unlink()
    for file in (RECORD, SAMPLES):
        (bare / file).unlink()
        (locked / file).unlink()
    (locked / LOCK).touch()
    assert names_in(sweep) == runs
    assert all(read_record(sweep / name).readings for name in runs)
    assert verify([sweep]) == 0
    with claim_folder(sweep, build().run_key) as claim:
        assert claim.folder.name not in runs
    claim.folder.rmdir()
    (locked / LOCK).unlink()
    store(sweep, build(seq_len=16384))
    assert pack([sweep], remove=True) == 0
    assert not any(path.is_dir() for path in sweep.iterdir())
    assert len(names_in(sweep)) == 4


def test_a_run_is_removed_by_its_own_files_alone(sweep, monkeypatch):
    run = read_contents([sweep]).stored[0].folder

    def write(folder, runs, **options):
        (run / "notes.txt").write_text("written while the tables were")
        return close_sweep(folder, runs, **options)

    monkeypatch.setattr("suite.commands.results.close_sweep", write)
    assert pack([sweep], remove=True) == 0
    assert [path.name for path in run.iterdir()] == ["notes.txt"]
    assert len(names_in(sweep)) == 3


def test_tables_that_no_manifest_names_are_leftovers(sweep):
    (sweep / "readings.parquet").write_bytes(b"half")
    (sweep / "runs-7.parquet").write_bytes(b"half")
    assert len(names_in(sweep)) == 3
    assert pack([sweep], remove=True) == 0
    assert not (sweep / "runs-7.parquet").exists()
    assert verify([sweep]) == 0


def test_an_acceptance_that_another_program_replaced_is_not_said(tmp_path, monkeypatch):
    path = tmp_path / "accepted.yaml"
    entry = {"reason": "why", "ceiling": 1.1, "expires": together.TODAY, "today": together.TODAY}
    accept(path, "first", **entry)
    before = path.read_bytes()

    def replaced(path, content):
        write_named(path, content)
        write_named(path, before)

    monkeypatch.setattr("suite.gate.rules.acceptances.write_named", replaced)
    with pytest.raises(
        CorruptAcceptancesError, match=r"another program replaced accepted\.yaml, which now lacks second"
    ):
        accept(path, "second", **entry)
    assert [one.case for one in read_acceptances(path, together.TODAY)] == ["first"]


def test_an_acceptance_waits_for_who_writes_the_file(tmp_path):
    path = tmp_path / "accepted.yaml"
    entry = {"reason": "why", "ceiling": 1.1, "expires": together.TODAY, "today": together.TODAY}
    with alone_in(locks_folder(path)):
        accepting = Thread(target=accept, args=(path, "case"), kwargs=entry)
        accepting.start()
        accepting.join(timeout=0.2)
        assert not path.exists()
    accepting.join()
    assert [one.case for one in read_acceptances(path, together.TODAY)] == ["case"]


def test_what_other_killed_writers_left_is_no_unfinished_run(sweep):
    for name in (f"readings.parquet{PART}", f"accepted.yaml.1234{PART}"):
        (sweep / name).write_bytes(b"half")
    assert read_contents([sweep]).unfinished == []
    assert pack([sweep], remove=True) == 0
    assert not (sweep / f"readings.parquet{PART}").exists()


def test_a_lock_is_waited_for_or_refused(tmp_path):
    with alone_in(tmp_path):
        with pytest.raises(ValueError, match="another process writes into"), alone_in(tmp_path, waits=False):
            pass
        with alone_in(tmp_path / "other", waits=False), alone_in(locks_folder(tmp_path / "file"), waits=False):
            pass
    with alone_in(tmp_path, waits=False):
        pass


def test_a_file_is_put_in_place_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with suppress(KeyboardInterrupt), whole_file(path) as file:
        file.write(b"half")
        assert path.read_bytes() == b"before"
        raise KeyboardInterrupt
    assert (path.read_bytes(), [path.name for path in tmp_path.iterdir()]) == (b"before", ["file"])
    with whole_file(path) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole"
