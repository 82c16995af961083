"""A worker that persistent, as one on a GPU does, shown with tasks on the CPU."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path

import psutil
import pytest

from suite.machine.temporary import remove_abandoned
from suite.measure import child
from suite.measure import worker as worker_module
from suite.measure.rng import seed_of
from suite.measure.worker import FORKS, CaseWorker, _run_child
from suite.records.record import Status
from suite.theory.layers.roofline import MeasuredCeilings

ROOT = Path(__file__).parents[2]
FOREIGN = Path(__file__).parents[1] / "foreign"
CEILINGS = MeasuredCeilings(flops_per_s=1e9, bytes_per_s_by_size={1 << 20: 1e9})
EFFORT = {"precision": 1.0, "launches": 1, "max_seconds": 1.0, "min_steps": 1, "max_steps": 1, "cold_steps": 0}


def settings(workload):
    return {
        "workload": {"_target_": f"misbehaving.{workload}"},
        "seed": 0,
        "seq_len": 1,
        "device": "cpu",
        "profile": False,
        "measure": EFFORT,
        "telemetry": {"energy": "none"},
    }


@pytest.fixture
def worker():
    with CaseWorker() as worker:
        yield worker


@pytest.fixture
def outcome_metric(worker, tmp_path):
    """Runs a case in the process that persistent: its outcome and that process's number."""

    def run(workload, started=True):
        stderr_log = tmp_path / "worker.log"
        arguments = {"settings": settings(workload), "ceilings": CEILINGS, "takes_energy": False, "launches": 1}
        messages = list(worker.run("case", arguments, threads=1, stderr_log=stderr_log, persistent=True))
        return messages[-1]["outcome"], messages[0]["pid"] if started else None

    return run


def test_a_persistent_process_takes_the_next_case_until_it_dies(outcome_metric):
    (first, pid), (second, same) = outcome_metric("Behaving"), outcome_metric("Behaving")
    assert first[0] is second[0] is Status.OK
    assert pid == same
    if sys.platform != "win32":
        assert outcome_metric("Killed")[0] == (Status.FAILED, "the worker was killed by SIGKILL")
    (third, other) = outcome_metric("Behaving")
    assert third[0] is Status.OK
    assert sys.platform == "win32" or other != pid


def test_errors_leave_the_process_to_the_next_case(worker, outcome_metric):
    heard = []
    worker._say = heard.append
    _, pid = outcome_metric("Announcing")
    assert heard == ["compiling for a while"]
    assert outcome_metric("Exhausting")[0][0] is Status.OUT_OF_MEMORY
    assert outcome_metric("Raising")[0][0] is Status.FAILED
    assert outcome_metric("Behaving") == ((Status.OK, None), pid)


def test_another_packages_error_names_its_line(outcome_metric):
    lines = (FOREIGN / "misbehaving.py").read_text(encoding="utf-8").splitlines()
    for workload, statement in (("Raising", "raise RuntimeError("), ("RaisingInTorch", "torch.nn.Linear(")):
        (_, reason), _ = outcome_metric(workload)
        said = re.fullmatch(r"RuntimeError: .* \(misbehaving\.py, line (\d+)\)", reason)
        assert lines[int(said[1]) - 1].strip().startswith(statement)


def test_an_interruption_and_the_workers_end_end_the_process(worker, outcome_metric, tmp_path):
    _, pid = outcome_metric("Behaving")
    arguments = {"settings": settings("Slow"), "ceilings": CEILINGS, "takes_energy": False, "launches": 1}
    messages = worker.run("case", arguments, threads=1, stderr_log=Path(tmp_path / "log"), persistent=True)
    next(messages)
    messages.close()
    assert not psutil.pid_exists(pid)
    _, pid = outcome_metric("Behaving")
    worker.__exit__(None, None, None)
    assert not psutil.pid_exists(pid)


def test_a_later_launch_in_a_process_that_stays_is_prepared_anew(worker, outcome_metric, tmp_path):
    _, pid = outcome_metric("Telling")
    arguments = {"settings": settings("Telling"), "ceilings": CEILINGS, "launch": 2, "launches": 3}
    messages = list(worker.run("launch", arguments, threads=1, stderr_log=tmp_path / "log", persistent=True))
    assert messages[-1]["outcome"] == (Status.OK, None)
    assert all(child.SENT_AT_ONCE & message.keys() for message in messages)
    timed = [phase for message in messages for phase in message.get("durations_s", {})]
    readings = [reading for message in messages for reading in message.get("readings", [])]
    told = {reading.metric: reading.value for reading in readings}
    assert {reading.launch for reading in readings} == {2}
    assert (told["pid"], told["seed"]) == (pid, seed_of(0, "launch", 2) % 1009)
    assert [message["phase"] for message in messages if "phase" in message] == ["prepare", "check", "measure"] == timed


needs_forks = pytest.mark.skipif(not FORKS, reason="there is no fork server here")


@needs_forks
def test_the_fork_server_has_all_that_a_task_begins_with(worker):
    begins = {_run_child.__module__, "suite.measure.child", "multiprocessing.popen_forkserver"}
    assert begins <= set(forkserver._forkserver._preload_modules)


@needs_forks
def test_a_server_without_what_loads_slowly_is_replaced_once(monkeypatch):
    class Server(forkserver.ForkServer):
        stops = 0

        def _stop(self):
            self.stops += 1

    server = Server()
    monkeypatch.setattr(forkserver, "_forkserver", server)
    monkeypatch.setattr(forkserver, "set_forkserver_preload", server.set_forkserver_preload)
    for preload, stops in ((["numpy.ma"], 0), (["torch._dynamo"], 1), (["numpy.ma"], 1), (["torch._dynamo"], 1)):
        CaseWorker(preload)
        assert server.stops == stops
        assert {*preload, "suite.measure.child"} <= set(server._preload_modules)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such signals")
def test_a_signal_without_a_name_is_told_by_its_number(outcome_metric):
    assert outcome_metric("KilledInRealTime")[0] == (Status.FAILED, "the worker was killed by signal 40")


@pytest.fixture
def empty_server(monkeypatch):
    """A fork server of the test's own, which has not loaded torch: it dies and leaves the others' alive."""
    server = forkserver.ForkServer()
    monkeypatch.setattr(forkserver, "_forkserver", server)
    monkeypatch.setattr(forkserver, "connect_to_new_process", server.connect_to_new_process)
    server.ensure_running()
    yield server
    server._stop()


def done_without_torch(connection):
    """A child of such a server: it answers tasks as suite.measure.child does, or dies of them."""
    with suppress(EOFError):
        while task := connection.recv():
            connection.send({"pid": os.getpid()})
            if task[1]["settings"]["workload"]["_target_"].endswith("Killed"):
                os.kill(os.getpid(), signal.SIGKILL)
            connection.send({"outcome": (Status.OK, None)})


@pytest.fixture
def replaced(empty_server, monkeypatch):
    monkeypatch.setattr(worker_module, "_run_child", done_without_torch)
    return empty_server


@needs_forks
def test_a_fork_server_that_is_killed_is_replaced(replaced, outcome_metric):
    outcome_metric("Behaving")
    server = psutil.Process(replaced._forkserver_pid)
    server.kill()
    while server.status() != psutil.STATUS_ZOMBIE:
        pass
    assert outcome_metric("Killed")[0][0] is Status.FAILED  # in the process that stayed
    assert outcome_metric("Behaving")[0] == (Status.OK, None)
    assert replaced._forkserver_pid != server.pid


OF_WORKERS = """
from suite.measure.worker import CaseWorker
from multiprocessing import forkserver
with CaseWorker():
    forkserver.ensure_running()
    print("it runs", flush=True)
    input()
"""


@pytest.fixture
def short_folder():
    """pytest's own folders have names longer than a socket's path may be."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.skipif(not FORKS, reason="only a server of forks has a socket in a folder")
def test_a_killed_run_leaves_only_folders_that_are_removed(short_folder, monkeypatch):
    environment = {**os.environ, "TMPDIR": str(short_folder)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", OF_WORKERS], env=environment, cwd=ROOT, **pipes) as process:
        assert process.stdout.readline()
        process.kill()
    monkeypatch.setattr(tempfile, "tempdir", str(short_folder))
    assert any(path.is_socket() for path in short_folder.rglob("*"))
    remove_abandoned()
    assert list(short_folder.iterdir()) == []
