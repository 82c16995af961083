"""Tasks where no process can be forked: those that follow one another load side by side, before the first begins."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from suite.measure import worker as worker_module
from suite.measure.worker import FORKS, CaseWorker, TaskInterruptedError
from suite.records.record import Status
from tests.measure import light_child

ROOT = Path(__file__).parents[2]


@pytest.fixture
def spawned(monkeypatch, tmp_path):
    """Makes a worker whose processes are light children: one for each of `manners`, and further ones by the last."""
    monkeypatch.setattr(worker_module, "FORKS", False)
    monkeypatch.setattr(worker_module, "_run_new_child", light_child.run)
    monkeypatch.setattr(worker_module, "A_MOMENT_S", 0.0)
    monkeypatch.setattr(worker_module, "available_bytes", lambda: 64 << 30)
    (folder := tmp_path / "loaded").mkdir()

    monkeypatch.setenv("LOADED", str(folder))
    manners = []

    class Spawned(CaseWorker):
        def _start(self):
            monkeypatch.setenv("MANNER", manners.pop(0) if len(manners) > 1 else manners[0])
            return super()._start()

        def messages(self, expected=0, **options):
            self.expected = expected or self.expected
            return list(self.run("task", {}, threads=1, stderr_log=tmp_path / "log", **options))

        def pids(self):
            return {int(path.name) for path in folder.iterdir()}

    def make(*names):
        manners[:] = names
        return Spawned()

    return make


def test_launches_have_processes_that_loaded_before_the_first(spawned):
    with spawned("loads", "slowly", "loads") as worker:
        first, second, third, alone = (worker.messages(expected=expected)[0] for expected in (3, 0, 0, 0))
        assert first["loaded"] == second["loaded"] == third["loaded"] == {first["pid"], second["pid"], third["pid"]}
        assert len(first["loaded"]) == 3
        assert alone["loaded"] == first["loaded"] | {alone["pid"]} != first["loaded"]


def test_few_processes_wait_and_none_stays_after_the_worker(spawned, monkeypatch):
    with spawned("loads") as worker:
        worker.messages(expected=9)
        assert len(pids := worker.pids()) == worker_module.MOST_LOADED
    assert not any(map(psutil.pid_exists, pids))
    monkeypatch.setattr(worker_module, "available_bytes", lambda: 0)
    with spawned("loads") as worker:
        worker.messages(expected=9)
        assert len(worker.pids() - pids) == 1


def test_a_process_that_is_killed_while_it_waits_is_replaced(spawned):
    with spawned("loads") as worker:
        worker.messages(expected=2)
        (waiting,) = worker._loaded
        waiting.process.kill()
        while waiting.is_alive:
            time.sleep(0.01)
        *_, outcome = worker.messages()
        assert outcome["outcome"] == (Status.OK, None)


def test_persistent_tasks_share_a_process_without_forks_too(spawned):
    with spawned("loads") as worker:
        assert worker.messages(persistent=True)[0] == worker.messages(persistent=True)[0]


def test_a_process_that_dies_while_it_loads_is_an_outcome(spawned):
    with spawned("dies") as worker:
        (message,) = worker.messages(expected=2)
    assert message["outcome"] == (Status.FAILED, "the worker ended with exit code 7 and no result")


def test_an_interruption_ends_processes_that_load(spawned):
    with spawned("hangs") as worker:

        def interrupt():
            while len(worker.pids()) < 2:
                time.sleep(0.01)
            worker.interrupt()

        thread = threading.Thread(target=interrupt, daemon=True)
        thread.start()
        begun = time.monotonic()
        with pytest.raises(TaskInterruptedError):
            worker.messages(expected=2)
        assert time.monotonic() - begun < light_child.HANGS_S / 2
        thread.join()
    assert not any(map(psutil.pid_exists, worker.pids()))


WAITS = """
from suite.measure import worker
worker.FORKS = False
with worker.CaseWorker() as made:
    print(made._take_loaded().process.pid, flush=True)
    input()
"""


@pytest.mark.skipif(FORKS, reason="loads torch anew, for a second: every night, without forks")
def test_a_waiting_process_ends_with_a_killed_parent():
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-c", WAITS], cwd=ROOT, **pipes) as process:
        waiting = psutil.Process(int(process.stdout.readline()))
        os.kill(process.pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
        waiting.wait(10)
        assert process.stderr.read() == b""
