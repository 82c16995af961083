"""Temporary folders: gone at their end, removed by the next command after a kill, and never another's."""

import os
import signal
import subprocess
import sys
import tempfile

import pytest

from suite.machine.temporary import LOCK, MARK, MARKED, remove_abandoned, temporary_folder
from tests.commands.test_run import ROOT

HOLDER = """
import sys, time
from suite.machine.temporary import temporary_folder
with temporary_folder("gate") as folder:
    (folder / "before").mkdir()
    (folder / "before" / "file").write_text("text")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def holder():
    """A process that holds a folder."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLDER], cwd=ROOT, text=True, **pipes) as process:
        assert process.stdout.readline()
        yield process
        process.kill()


def left(temporary):
    return sorted(path.name for path in temporary.iterdir())


def test_a_folder_is_gone_at_its_end_whatever_ends_it(temporary):
    def interrupted():
        with temporary_folder("merge") as folder:
            assert folder.name.startswith("suite-merge-")
            (folder / "file").write_text("text")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert left(temporary) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process otherwise")
def test_a_folder_is_removed_once_its_owner_was_killed(temporary, holder):
    assert remove_abandoned() is None
    holder.send_signal(signal.SIGSTOP)
    assert remove_abandoned() is None
    (name,) = left(temporary)
    holder.kill()
    holder.wait()
    assert remove_abandoned() == f"removed a temporary folder that a killed run left: {name}"
    assert left(temporary) == []
    assert remove_abandoned() is None


def abandoned(folder):
    folder.mkdir()
    (folder / LOCK).touch()
    (folder / MARK).write_bytes(MARKED)


def test_what_is_not_marked_as_ours_stays(temporary):
    for number, change in enumerate(
        (
            lambda folder: (folder / MARK).unlink(),
            lambda folder: (folder / MARK).write_bytes(MARKED[:-1]),
            lambda folder: (folder / MARK).write_bytes(MARKED.upper()),
            lambda folder: (folder / LOCK).unlink(),
            lambda folder: folder.rename(folder.with_name("others-gate-1")),
        )
    ):
        abandoned(temporary / f"suite-gate-{number}")
        change(temporary / f"suite-gate-{number}")
    (temporary / "suite-file").touch()
    before = left(temporary)
    assert remove_abandoned() is None
    assert left(temporary) == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has few links")
def test_a_link_is_not_followed_and_another_users_folder_stays(temporary, monkeypatch):
    kept = temporary / "kept"
    abandoned(kept)
    (temporary / "suite-gate-link").symlink_to(kept)
    abandoned(temporary / "suite-gate-1")
    (temporary / "suite-gate-1" / "before").symlink_to(kept)
    assert remove_abandoned() == "removed a temporary folder that a killed run left: suite-gate-1"
    assert sorted(path.name for path in kept.iterdir()) == [LOCK, MARK]
    abandoned(temporary / "suite-gate-2")
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    assert remove_abandoned() is None
    assert (temporary / "suite-gate-2").is_dir()
