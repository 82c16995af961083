"""A worker's pipe from the parent's end: what is said, what is not believed, and how it ends."""

import json
import os
import sys
import time
from contextlib import contextmanager

import psutil
import pytest

from suite.gate import arm as module
from suite.gate.arm import Arm, ArmError, FailedError
from tests.gate.repositories import LIGHT_WORKER

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="waits for a pipe as Windows cannot")
CASES = {"good": {}, "raising": {"build": "raise"}, "endless": {"sample": "hang"}, "exiting": {"sample": "exit"}}


@contextmanager
def started(folder, told, script=LIGHT_WORKER):
    (folder / "cases.json").write_text(json.dumps(told))
    with Arm(folder, script, folder / "log") as arm:
        yield arm


def build(arm, name):
    (case,) = arm.ask("expand", arguments=[f"name={name}"])["cases"]
    arm.ask("build", id=case["id"], settings=case["settings"], examine=True, slowed=0.0)
    return case["id"]


def test_a_worker_answers_whatever_its_tree_prints_and_outlives_what_fails_in_a_case(tmp_path):
    with started(tmp_path, {"cases": CASES}) as arm:
        assert arm.greet()["protocol"] == module.PROTOCOL
        with pytest.raises(FailedError, match=r"^RuntimeError: out of order$"):
            build(arm, "raising")
        answer = arm.ask("sample", id=build(arm, "good"), span="work")
        assert answer["thread_cpu_s"] == pytest.approx(1e-3, rel=0.01)
    log = (tmp_path / "log").read_text()
    for said in ("a package that greets", "none of this is an answer", "a child of its own", "RuntimeError"):
        assert said in log


@pytest.mark.parametrize("hung_up_by", ["its parent", "a closed pipe alone"])
def test_a_worker_in_a_call_that_never_returns_ends_when_it_is_hung_up(tmp_path, hung_up_by):
    with started(tmp_path, {"cases": CASES}) as arm:
        arm.greet()
        arm.begin("sample", id=build(arm, "endless"), span="work")
        time.sleep(0.05)
        assert arm.is_alive
        if hung_up_by != "its parent":
            arm._process.stdin.close()
            assert arm._process.wait(timeout=5) == 0
    assert arm._process.returncode == 0  # by itself: nobody had to kill it


def test_a_death_is_told_with_how_and_with_what_was_said_last(tmp_path):
    with started(tmp_path, {"cases": CASES}) as arm:
        arm.greet()
        id = build(arm, "exiting")
        with pytest.raises(ArmError, match=r"^the worker ended with exit code 7: (?s:.*)a child of its own$"):
            arm.ask("sample", id=id, span="work")
        with pytest.raises(ArmError, match="exit code 7"):
            arm.ask("sample", id=id, span="work")
        assert not arm.is_alive


def test_another_protocol_is_refused_with_both_numbers(tmp_path):
    with (
        started(tmp_path, {"protocol": 99, "cases": {}}) as arm,
        pytest.raises(ArmError, match=rf"^the worker speaks protocol 99, this gate {module.PROTOCOL}$"),
    ):
        arm.greet()


def test_a_tree_that_cannot_be_imported_is_a_worker_that_cannot_start(tmp_path):
    with (
        started(tmp_path, {"refuses": "cannot import name 'x'", "cases": {}}) as arm,
        pytest.raises(ArmError, match=r"^the worker cannot start: ImportError: cannot import name 'x'$"),
    ):
        arm.greet()


@pytest.mark.parametrize("said", ["hello, world", "[1, 2]", "\udcff"])
def test_what_is_no_answer_ends_the_worker(tmp_path, said):
    script = tmp_path / "worker.py"
    line = os.fsencode(said) + b"\n"
    script.write_text(f"import os, time\nos.write(1, {line!r})\ntime.sleep(60)\n")
    with started(tmp_path, {}, script) as arm:
        with pytest.raises(ArmError, match="the worker's answer is no JSON object: "):
            arm.greet()
        assert arm._process.wait(timeout=5) < 0


def test_a_late_answer_is_never_taken_for_the_next_one(tmp_path, monkeypatch):
    with started(tmp_path, {"cases": CASES}) as arm:
        arm.greet()
        id = build(arm, "endless")
        monkeypatch.setattr(module, "LONGEST_ANSWER_S", 0.05)
        with pytest.raises(ArmError, match=r"did not answer within 0\.05 s"):
            arm.ask("sample", id=id, span="work")
        assert arm._process.wait(timeout=5) < 0


@pytest.mark.parametrize("said", [b"", b'{"protocol"'], ids=["nothing", "half an answer"])
def test_a_worker_that_is_stopped_is_not_waited_for_without_end(tmp_path, monkeypatch, said):
    script = tmp_path / "worker.py"
    script.write_text(f"import os, signal\nos.write(1, {said!r})\nos.kill(os.getpid(), signal.SIGSTOP)\n")
    with started(tmp_path, {}, script) as arm:
        until_stopped(arm._process.pid)
        monkeypatch.setattr(module, "LONGEST_ANSWER_S", 0.05)
        with pytest.raises(ArmError, match=r"did not answer within 0\.05 s and is stopped, as by SIGSTOP$"):
            arm.greet()
        assert arm._process.wait(timeout=5) < 0


def until_stopped(pid):
    deadline = time.monotonic() + 30
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < deadline, "it was not stopped"
        time.sleep(0.005)


def test_workers_get_one_thread_and_a_steady_allocator_unless_the_user_says_otherwise(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MALLOC_TOP_PAD_", "12345")
    script = tmp_path / "worker.py"
    script.write_text(
        f"import json, os\nprint(json.dumps({{'protocol': {module.PROTOCOL}, 'environment': dict(os.environ)}}))\n"
    )
    with started(tmp_path, {}, script) as arm:
        environment = arm.greet()["environment"]
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["MALLOC_TOP_PAD_"] == "12345"
    assert environment["MALLOC_TRIM_THRESHOLD_"] == module.STEADY_ALLOCATOR["MALLOC_TRIM_THRESHOLD_"]
