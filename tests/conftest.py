import gc
import os
import re
import signal
import sys
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

FOREIGN = Path(__file__).parent / "foreign"
# What an installed package would be: workers inherit the path.
sys.path.insert(0, str(FOREIGN))
if os.environ.get("WITHOUT_FORKS"):  # as macOS and Windows run cases; here, before a test takes the name from there
    from suite.measure import worker

    worker.FORKS = False
OF_TRAININGS = ("torch._dynamo", "suite.rl.workload")
RUNNING = (
    *("rl", "run", "commands", "measure", "console", "quality", "benchmarks", "test_foreign_variant.py"),
    *("lm", "attention"),
)
"""Folders and files of tests that run cases, then those that train and compute."""


def pytest_collection_modifyitems(items):
    """They come first, and so to few of xdist's processes: each would start a fork server of its own, and load torch's
    compiler, for 5 s. The last tests are short ones then, and no process waits long for another."""
    places = {name: place for place, name in enumerate(RUNNING)}
    items.sort(key=lambda item: places.get(re.split("[/:]", item.nodeid.removeprefix("tests/"))[0], len(places)))


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What is imported by now stays: each collection of garbage would look at it, for 0.2 s and more, and finds none
    while tests are gathered."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def one_fork_server_for_all():
    """The fork server of a process of tests, which starts once, has loaded what trainings need and not only what its
    first sweep does: each training would load it again, for 1.7 s."""
    if sys.platform != "linux" or find_spec("torch") is None:
        yield
        return
    from multiprocessing import forkserver

    usual = forkserver.set_forkserver_preload
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(forkserver, "set_forkserver_preload", lambda names: usual([*names, *OF_TRAININGS]))
        yield


@pytest.fixture(scope="session", autouse=True)
def ceilings_once():
    """The ceilings of this machine, which take most of a tiny case's time, are measured once and not in each sweep."""
    scheduler = sys.modules.get("suite.run.scheduler")  # some test of this session runs sweeps
    with pytest.MonkeyPatch.context() as patched:
        if scheduler is not None:
            patched.setattr(scheduler, "SharedState", partial(scheduler.SharedState, ceilings={}))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_file_waits_for_the_disk():
    """Files of tests outlive no power cut, and for each of some ten thousand a disk takes 3 to 12 ms."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda descriptor: None)
        yield


@contextmanager
def heard(*numbers):
    """Give these signals their defaults within, here and for processes that start: the tests may run behind nohup."""
    usual = {signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, usual.get(number, signal.SIG_DFL)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Let NVML play the lines of a script, and give what says when it began."""
    from tests.fake_nvml import driver  # not above: where statistics alone are compared there is no pynvml

    path = tmp_path / "script"

    def start(*lines):
        script = driver.Script(path, *lines)
        monkeypatch.setenv("FAKE_NVML", str(path))
        if not driver.is_loaded():
            pytest.skip("a driver of this machine was loaded before the stand-in")
        return script

    return start
