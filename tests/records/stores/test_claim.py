"""A run's folder belongs to one living process at a time."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import filelock
import pytest

from suite.records.stores.claim import claim_folder, claim_new_folder, run_folders
from suite.records.stores.store import LOCK, read_contents, write_record
from tests.records.factory import build, store

KEY = build().run_key
HOLD = "import sys; from pathlib import Path; from suite.records.stores.claim import claim_folder; \
claim = claim_folder(Path(sys.argv[1]), sys.argv[2]); print(claim is not None, flush=True); sys.stdin.read()"


@pytest.fixture
def another_process(tmp_path):
    """A process that holds the first claim of the key."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path, KEY], **pipes)
    assert process.stdout.readline().strip() == b"True"
    yield process
    process.kill()
    process.communicate()


def test_a_further_run_of_a_key_gets_a_folder_of_its_own(tmp_path):
    folders = store(tmp_path, build(), build(), build())
    assert [folder.name for folder in folders] == [KEY[:16], f"{KEY[:16]}-2", f"{KEY[:16]}-3"]


def test_a_claim_leaves_nothing_behind_but_what_was_written(tmp_path):
    with claim_folder(tmp_path, KEY) as claim:
        assert (claim.folder / LOCK).exists()
        write_record(build(), claim.folder)
    assert sorted(path.name for path in claim.folder.iterdir()) == ["record.json", "samples.parquet"]


def test_what_another_process_writes_cannot_be_claimed(tmp_path, another_process):
    assert claim_folder(tmp_path, KEY) is None
    assert [folder.name for folder in read_contents([tmp_path]).unfinished] == [KEY[:16]]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_what_a_killed_process_left_half_written_is_taken_over(tmp_path, another_process):
    os.kill(another_process.pid, signal.SIGKILL)
    another_process.wait()
    (tmp_path / KEY[:16] / "samples.parquet").write_bytes(b"half a file")
    with claim_folder(tmp_path, KEY) as claim:
        write_record(build(), claim.folder)
    contents = read_contents([tmp_path])
    assert [stored.folder.name for stored in contents.stored] == [KEY[:16]]
    assert (contents.damaged, contents.unfinished) == ([], [])


def test_a_lock_that_a_dead_machine_left_is_taken_over(tmp_path):
    (tmp_path / KEY[:16]).mkdir()
    (tmp_path / KEY[:16] / LOCK).write_text("4711\na host that is no more\n")
    with claim_folder(tmp_path, KEY) as claim:
        assert claim.folder.name == KEY[:16]
        write_record(build(), claim.folder)
    assert not list(tmp_path.rglob(LOCK))


@pytest.mark.skipif(
    shutil.which("gcc") is None or sys.platform != "linux", reason="needs gcc on Linux, to stand in for flock"
)
@pytest.mark.parametrize("number", ["ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def test_a_file_system_without_file_locks_is_refused(tmp_path, number):
    """Lustre says the first without `-o flock`, NFS the second without a lock daemon."""
    source = tmp_path / "flock.c"
    source.write_text(f"#include <errno.h>\nint flock(int fd, int how) {{ errno = {number}; return -1; }}\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", tmp_path / "flock.so", source], check=True)
    ended = subprocess.run(
        [sys.executable, "-c", HOLD, tmp_path / "results", KEY],
        env={**os.environ, "LD_PRELOAD": str(tmp_path / "flock.so")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "its file system has no file locks (flock)" in ended.stderr.splitlines()[-1]
    assert not list((tmp_path / "results").iterdir())


def test_a_file_where_the_folder_should_be_is_stepped_over(tmp_path):
    (tmp_path / KEY[:16]).write_text("")
    with claim_folder(tmp_path, KEY) as claim:
        assert claim.folder.name == f"{KEY[:16]}-2"


@pytest.mark.parametrize("key", ["../../suite", "0123", KEY.upper(), f"{KEY}\n", "/" + KEY[1:]])
def test_a_key_that_is_none_names_no_folder(tmp_path, key):
    with pytest.raises(AssertionError, match="64 hexadecimal digits"):
        next(run_folders(tmp_path, key))


def test_a_link_in_place_of_a_part_of_a_run_is_stepped_over(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").write_text("mine")
    results = tmp_path / "results"
    results.mkdir()
    (results / KEY[:16]).symlink_to(elsewhere)
    for number, name in ((2, LOCK), (3, "record.json")):
        (results / f"{KEY[:16]}-{number}").mkdir()
        (results / f"{KEY[:16]}-{number}" / name).symlink_to(elsewhere / "mine")
    (results / f"{KEY[:16]}-4").mkdir()
    (results / f"{KEY[:16]}-4" / "record.json").symlink_to(elsewhere / "nowhere")
    with claim_folder(results, KEY) as claim:
        assert claim.folder.name == f"{KEY[:16]}-5"
    assert [path.name for path in elsewhere.iterdir()] == ["mine"]
    assert (elsewhere / "mine").read_text() == "mine"


@pytest.mark.parametrize("claimed", [claim_folder, claim_new_folder])
def test_what_is_finished_just_before_the_lock_stays(tmp_path, monkeypatch, claimed):
    """Its holder ends between a look at the folder and the lock on it."""
    acquire = filelock.FileLock.acquire

    def finish_first(lock, *arguments, **more):
        folder = Path(lock.lock_file).parent
        if folder.name == KEY[:16] and not (folder / "record.json").exists():
            write_record(build(), folder)
        return acquire(lock, *arguments, **more)

    monkeypatch.setattr(filelock.FileLock, "acquire", finish_first)
    with claimed(tmp_path, KEY) as claim:
        assert claim.folder.name == f"{KEY[:16]}-2"
    assert [stored.folder.name for stored in read_contents([tmp_path]).stored] == [KEY[:16]]
    assert not list(tmp_path.rglob(LOCK))


def test_a_new_folder_is_none_that_was_there(tmp_path):
    (tmp_path / KEY[:16]).mkdir()
    with claim_new_folder(tmp_path, KEY) as claim, claim_new_folder(tmp_path, KEY) as other:
        assert [claim.folder.name, other.folder.name] == [f"{KEY[:16]}-2", f"{KEY[:16]}-3"]
