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


def test_another_protocol_is_refused_with_both_numbers(tmp_path):
    with (
        started(tmp_path, {"protocol": 99, "cases": {}}) as client,
        pytest.raises(WorkerError, match=rf"^the worker speaks protocol 99, this gate {module.PROTOCOL}$"),
    ):
        client.greet()


def test_a_tree_that_cannot_be_imported_starts_no_worker(tmp_path):
    with (
        started(tmp_path, {"refuses": "cannot import name 'x'", "cases": {}}) as client,
        pytest.raises(WorkerError, match=r"^the worker cannot start: ImportError: cannot import name 'x'$"),
    ):
        client.greet()


@pytest.mark.parametrize(("key", "error"), [("error", FailedError), ("unsupported", UnsupportedHereError)])
def test_a_worker_s_sentence_is_clipped_whatever_it_is(tmp_path, key, error):
    script = tmp_path / "worker.py"
    script.write_text(
        f"import json, sys\nsys.stdin.readline()\nprint(json.dumps({{{key!r}: ['x'] * 9999}}), flush=True)\n"
    )
    with started(tmp_path, {}, script) as client, pytest.raises(error) as raised:
        client.ask("anything")
    assert len(str(raised.value)) == module.LONGEST_COMPLAINT + 1


def test_an_answer_that_nobody_asked_for_is_taken_for_no_other(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(
        "import os, sys, time\nsys.stdin.readline()\nos.write(1, b'{}\\n')\ntime.sleep(0.05)\nos.write(1, b'{}\\n')\n"
        "os.write(2, b'written')\ntime.sleep(60)\n"
    )
    with started(tmp_path, {}, script) as client:
        assert client.ask("anything") == {}
        deadline = time.monotonic() + 30
        while (tmp_path / "log").read_bytes() != b"written":
            assert time.monotonic() < deadline
            time.sleep(0.005)
        with pytest.raises(WorkerError, match=r"^the worker answered what nobody had asked$"):
            client.ask("anything else")
        assert client._process.wait(timeout=5) < 0


@pytest.mark.parametrize("said", ["hello, world", "[1, 2]", "\udcff", "[" * 100_000, "1" * 5000])
def test_what_is_no_answer_ends_the_worker(tmp_path, said):
    script = tmp_path / "worker.py"
    line = os.fsencode(said) + b"\n"
    script.write_text(f"import os, time\nos.write(1, {line!r})\ntime.sleep(60)\n")
    with started(tmp_path, {}, script) as client:
        with pytest.raises(WorkerError, match="the worker's answer is no JSON object: "):
            client.greet()
        assert client._process.wait(timeout=5) < 0


def test_a_late_answer_is_never_taken_for_the_next_one(tmp_path, monkeypatch):
    with started(tmp_path, {"cases": CASES}) as client:
        client.greet()
        id = build(client, "endless")
        monkeypatch.setattr(module, "LONGEST_ANSWER_S", 0.05)
        with pytest.raises(WorkerError, match=r"did not answer within 0\.05 s"):
            client.ask("sample", id=id, span="work")
        assert client._process.wait(timeout=5) < 0


@pytest.mark.parametrize("said", [b"", b'{"protocol"'], ids=["nothing", "half an answer"])
def test_a_worker_that_is_stopped_is_not_waited_for_without_end(tmp_path, monkeypatch, said):
    script = tmp_path / "worker.py"
    script.write_text(f"import os, signal\nos.write(1, {said!r})\nos.kill(os.getpid(), signal.SIGSTOP)\n")
    with started(tmp_path, {}, script) as client:
        until_stopped(client._process.pid)
        monkeypatch.setattr(module, "LONGEST_ANSWER_S", 0.05)
        with pytest.raises(WorkerError, match=r"did not answer within 0\.05 s and is stopped, as by SIGSTOP$"):
            client.greet()
        assert client._process.wait(timeout=5) < 0


def until_stopped(pid):
    deadline = time.monotonic() + 30
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < deadline, "it was not stopped"
        time.sleep(0.005)


def test_workers_get_one_thread_and_a_steady_allocator(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MALLOC_TOP_PAD_", "12345")
    script = tmp_path / "worker.py"
    script.write_text(
        f"import json, os\nprint(json.dumps({{'protocol': {module.PROTOCOL}, 'environment': dict(os.environ)}}))\n"
    )
    with started(tmp_path, {}, script) as client:
        environment = client.greet()["environment"]
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["MALLOC_TOP_PAD_"] == "12345"
    assert environment["MALLOC_TRIM_THRESHOLD_"] == module.STEADY_ALLOCATOR["MALLOC_TRIM_THRESHOLD_"]
