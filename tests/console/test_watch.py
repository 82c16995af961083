"""Sweeps that run now, as another terminal sees them."""

import subprocess
import sys
import time

import pytest

from suite.console.progress import Terminal
from suite.console.watch import SweepFile, SweepState, watch
from tests.records.factory import build

KILLED = """
import os, sys
from pathlib import Path
from suite.console.watch import SweepFile, SweepState
running = [("mla 64", 0.0, "abcdef99")]
SweepFile(Path(sys.argv[1])).__enter__().write(SweepState(progress="1 of 9 done", running=running))
os._exit(1)
"""


def seen(folder, capsys):
    capsys.readouterr()
    watch(folder)
    return capsys.readouterr().out.splitlines()


def test_a_sweep_says_how_far_it_is_and_what_runs_where(tmp_path, capsys):
    done, waiting = build(), build(attention="mha")
    folder = tmp_path / "mine"
    cases = [done.case, waiting.case]
    with SweepFile(folder) as file, Terminal(cases, is_sweep=True, publish=file.write) as terminal:
        terminal.started(done.case, "abcdef99")
        assert seen(tmp_path, capsys) == [f"{folder}: 0 of 2 done", "  abcdef  mla, 0.0 s"]
        terminal.finished(done, folder)
        (line,) = seen(tmp_path, capsys)
        assert line.startswith(f"{folder}: 1 of 2 done: 1 ok; about ")
    assert seen(tmp_path, capsys) == [f"no sweep runs below {tmp_path}"]
    assert list(folder.iterdir()) == []


def test_a_killed_sweep_is_called_so_until_another_begins(tmp_path, capsys):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert seen(tmp_path, capsys) == [f"{tmp_path}: 1 of 9 done; killed: the same command continues it"]
    (state,) = tmp_path.rglob("*.json")
    state.rename(f"{state}.part")  # it was killed while it wrote
    with SweepFile(tmp_path) as file:
        file.write(SweepState(progress="2 of 9 done", running=[]))
        assert seen(tmp_path, capsys) == [f"{tmp_path}: 2 of 9 done"]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_sweeps_of_several_machines_stand_side_by_side(tmp_path, capsys, monkeypatch):
    with SweepFile(tmp_path) as first:
        monkeypatch.setattr("suite.console.watch.machine_id", lambda: "f" * 64)
        with SweepFile(tmp_path) as second:
            first.write(SweepState(progress="1 of 2 done", running=[("mla", time.time(), "e" * 64)]))
            second.write(SweepState(progress="1 of 2 done", running=[("mha", time.time(), "f" * 64)]))
            assert [line.split(",")[0] for line in seen(tmp_path, capsys)[1::2]] in (
                ["  eeeeee  mla", "  ffffff  mha"],
                ["  ffffff  mha", "  eeeeee  mla"],
            )
        assert len(seen(tmp_path, capsys)) == 2


def test_what_is_no_state_is_named(tmp_path, capsys):
    with SweepFile(tmp_path):
        (lock,) = tmp_path.glob(".sweeps/*.lock")
        lock.with_suffix(".json").write_text('{"progress": 1}')
        (line,) = seen(tmp_path, capsys)
    assert ".json cannot be read" in line
    with pytest.raises(ValueError, match="--watch takes a folder of results; got"):
        watch(tmp_path / "missing")
