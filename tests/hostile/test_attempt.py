"""The generator sees what it looks for: each fault, made on purpose, is named."""

import os
import pickle
import signal
import sys
import time
from pathlib import Path

import pytest

from tools.hostile import attempt
from tools.hostile.attempt import Attempt, tried

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="attempts are forks, measured as Linux tells of them"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


class Evil:
    def __reduce__(self):
        return os.getpid, ()


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def unpickles():
    pickle.loads(pickle.dumps(Evil()))
    return 0


def raises():
    raise KeyError("x")


def says_nothing():
    return 2


def test_what_ends_well_has_no_fault():
    assert tried(Attempt(what="", run=lambda: print("so it is") or 0)).faults == []


@pytest.mark.parametrize(
    ("run", "named"),
    [
        (raises, "Traceback"),
        (says_nothing, "no sentence"),
        (lambda: 1, "ended with 1"),
        (killed, "ended with -9"),
        (unpickles, "pickle.find_class"),
        (lambda: time.sleep(60), "hung"),
    ],
)
def test_a_fault_is_named(monkeypatch, run, named):
    monkeypatch.setattr(attempt, "LONGEST_S", 0.5)
    assert named in " ".join(tried(Attempt(what="", run=run)).faults)


@pytest.mark.parametrize("change", ["write", "make", "rename"])
def test_a_change_outside_of_its_folder_is_named(tmp_path, change):
    victim = tmp_path / "victim"
    victim.write_text("")
    changes = {
        "write": lambda: victim.write_text("x"),
        "make": (tmp_path / "new").mkdir,
        "rename": lambda: Path("own").rename(victim),
    }

    def run():
        Path("own").touch()
        changes[change]()
        return 0

    assert f"{tmp_path}" in " ".join(tried(Attempt(what="", run=run)).faults)


def test_a_line_that_commands_whoever_reads_it_is_named():
    def run():
        print("::error::x")
        return 0

    assert "::error::x" in " ".join(tried(Attempt(what="", run=run)).faults)
