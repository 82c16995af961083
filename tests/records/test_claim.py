"""A run's folder belongs to one living process at a time."""

import os
import signal
import subprocess
import sys

import pytest

from suite.records.claim import claim_folder
from suite.records.store import LOCK, read_contents, write_record
from tests.records.factory import build, store

KEY = build().run_key
HOLD = "import sys; from pathlib import Path; from suite.records.claim import claim_folder; \
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


def test_what_another_process_is_writing_cannot_be_claimed_and_is_unfinished(tmp_path, another_process):
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


def test_a_file_where_the_folder_should_be_is_stepped_over(tmp_path):
    (tmp_path / KEY[:16]).write_text("")
    with claim_folder(tmp_path, KEY) as claim:
        assert claim.folder.name == f"{KEY[:16]}-2"
