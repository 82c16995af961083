"""A worker's pipe from the parent's end: what is said, what is not believed, and how it ends."""

import json
import os
import signal
import sys
import time
from contextlib import contextmanager

import psutil
import pytest

from suite.gate.side_by_side import worker_client as module
from suite.gate.side_by_side.worker_client import FailedError, UnsupportedHereError, WorkerClient, WorkerError
from tests.gate.repositories import LIGHT_WORKER

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="waits for a pipe as Windows cannot")
CASES = {"good": {}, "raising": {"build": "raise"}, "endless": {"sample": "hang"}, "exiting": {"sample": "exit"}}


@contextmanager
def started(folder, told, script=LIGHT_WORKER):
    (folder / "cases.json").write_text(json.dumps(told))
    with WorkerClient([sys.executable, "-P", script, folder], folder, folder / "log") as client:
        yield client


def build(client, name):
    (case,) = client.ask("expand", arguments=[f"name={name}"])["cases"]
    client.ask("build", id=case["id"], settings=case["settings"], examine=True, slowed=0.0)
    return case["id"]


def test_a_worker_outlives_prints_and_failures_of_its_tree(tmp_path):
    with started(tmp_path, {"cases": CASES}) as client:
        assert client.greet()["protocol"] == module.PROTOCOL
        with pytest.raises(FailedError, match=r"^RuntimeError: out of order$"):
            build(client, "raising")
        answer = client.ask("sample", id=build(client, "good"), span="work")
        assert answer["thread_cpu_s"] == pytest.approx(1e-3, rel=0.01)
    log = (tmp_path / "log").read_text()
    for said in ("a package that greets", "none of this is an answer", "a child of its own", "RuntimeError"):
        assert said in log


@pytest.mark.skipif(sys.platform != "linux", reason="the CPU clock of another process is Linux's")
def test_the_judge_counts_a_workers_cpu_time_in_all_its_threads(tmp_path):
    script = (
        "import threading\n\ndef spin():\n    until = time.process_time() + 0.02\n"
        "    while time.process_time() < until:\n        pass\n\nfor line in sys.stdin:\n"
        "    thread = threading.Thread(target=spin)\n    thread.start()\n    thread.join()\n"
        "    print('{}', flush=True)\n"
    )
    with scripted(tmp_path, script) as client:
        client.ask("anything")
        begun_s = time.perf_counter()
        answer, spent = client.ask_timed("anything")
        assert answer == {}
        assert 0.02 <= spent.cpu_s <= spent.wall_s + 0.01
        assert spent.wall_s <= time.perf_counter() - begun_s


def test_an_interruption_is_the_parents_matter_and_no_workers(tmp_path):
    with started(tmp_path, {"cases": CASES}) as client:
        client.greet()
        name = build(client, "good")
        os.kill(client._process.pid, signal.SIGINT)
        assert client.ask("sample", id=name, span="work")["thread_cpu_s"] > 0


@pytest.mark.parametrize("hung_up_by", ["its parent", "a closed pipe alone"])
def test_a_worker_in_an_endless_call_ends_when_it_is_hung_up(tmp_path, hung_up_by):
    with started(tmp_path, {"cases": CASES}) as client:
        client.greet()
        client.begin("sample", id=build(client, "endless"), span="work")
        time.sleep(0.05)
        assert client.is_alive
        if hung_up_by != "its parent":
            client._process.stdin.close()
            assert client._process.wait(timeout=5) == 0
    assert client._process.returncode == 0  # by itself: nobody had to kill it


def test_a_death_is_told_with_how_and_with_what_was_said_last(tmp_path):
    with started(tmp_path, {"cases": CASES}) as client:
        client.greet()
        id = build(client, "exiting")
        with pytest.raises(WorkerError, match=r"^the worker ended with exit code 7: (?s:.*)a child of its own$"):
            client.ask("sample", id=id, span="work")
        with pytest.raises(WorkerError, match="exit code 7"):
            client.ask("sample", id=id, span="work")
        assert not client.is_alive


@contextmanager
def scripted(folder, script):
    """A worker that is a few lines of somebody else's."""
    (folder / "worker.py").write_text("import json, os, signal, sys, time\n" + script)
    with started(folder, {}, folder / "worker.py") as client:
        yield client


@pytest.mark.parametrize(("key", "error"), [("error", FailedError), ("unsupported", UnsupportedHereError)])
def test_a_worker_s_sentence_is_clipped_whatever_it_is(tmp_path, key, error):
    script = f"sys.stdin.readline()\nprint(json.dumps({{{key!r}: ['x'] * 9999}}), flush=True)\n"
    with scripted(tmp_path, script) as client, pytest.raises(error) as raised:
        client.ask("anything")
    assert len(str(raised.value)) == module.LONGEST_COMPLAINT + 1


def test_an_answer_that_nobody_asked_for_is_taken_for_no_other(tmp_path):
    script = (
        "sys.stdin.readline()\nos.write(1, b'{}\\n')\ntime.sleep(0.05)\nos.write(1, b'{}\\n')\n"
        "os.write(2, b'written')\ntime.sleep(60)\n"
    )
    with scripted(tmp_path, script) as client:
        assert client.ask("anything") == {}
        wait_until(lambda: (tmp_path / "log").read_bytes() == b"written")
        with pytest.raises(WorkerError, match=r"^the worker sent an answer that nobody had asked for$"):
            client.ask("anything else")
        assert client._process.wait(timeout=5) < 0


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("said", ["hello, world", "[1, 2]", "\udcff", "[" * 100_000, "1" * 5000])
def test_what_is_no_answer_ends_the_worker(tmp_path, said):
    line = os.fsencode(said + "\n")
    with scripted(tmp_path, f"os.write(1, {line!r})\ntime.sleep(60)\n") as client:
        with pytest.raises(WorkerError, match="the worker's answer is not a JSON object: "):
            client.greet()
        assert client._process.wait(timeout=5) < 0


@pytest.mark.parametrize("said", [None, b"", b'{"protocol"'], ids=["hangs", "is stopped", "is stopped in an answer"])
def test_a_worker_that_is_silent_is_not_waited_for_without_end(tmp_path, monkeypatch, said):
    """What it says later is never taken for the answer to something else."""
    stop = "time.sleep(60)" if said is None else f"os.write(1, {said!r})\nos.kill(os.getpid(), signal.SIGSTOP)\n"
    with scripted(tmp_path, stop) as client:
        if said is not None:
            wait_until(lambda: psutil.Process(client._process.pid).status() == psutil.STATUS_STOPPED)
        monkeypatch.setattr(module, "LONGEST_ANSWER_S", 0.05)
        how = "" if said is None else " and is stopped, as by SIGSTOP"
        with pytest.raises(WorkerError, match=rf"did not answer within 0\.05 s{how}$"):
            client.greet()
        assert client._process.wait(timeout=5) < 0


def test_workers_get_one_thread_and_a_steady_allocator(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MALLOC_TOP_PAD_", "12345")
    script = f"print(json.dumps({{'protocol': {module.PROTOCOL}, 'environment': dict(os.environ)}}))\n"
    with scripted(tmp_path, script) as client:
        environment = client.greet()["environment"]
    trim = module.STEADY_ALLOCATOR["MALLOC_TRIM_THRESHOLD_"]
    expected = {"OMP_NUM_THREADS": "1", "MALLOC_TOP_PAD_": "12345", "MALLOC_TRIM_THRESHOLD_": trim}
    assert expected.items() <= environment.items()
