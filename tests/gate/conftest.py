import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from suite.gate.side_by_side import rounds, worker_client
from tests.gate.warm_workers import WarmPopen


@pytest.fixture(scope="session", autouse=True)
def this_suite():
    """Workers that start here import the suite that lies here, whichever is installed."""
    root = str(Path(__file__).parents[2])
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])))
        yield


@pytest.fixture(scope="session")
def warm_popen():
    popen = type("Popen", (WarmPopen,), {"servers": {}})
    yield popen
    for server in popen.servers.values():
        server.close()


@pytest.fixture(scope="module")
def warm_workers(warm_popen):
    """Workers of these tests are forked from a warm process."""
    with pytest.MonkeyPatch.context() as patched:
        if sys.platform == "linux":
            patched.setattr(worker_client, "subprocess", SimpleNamespace(**vars(subprocess) | {"Popen": warm_popen}))
        patched.setenv("PYTEST_ADDOPTS", "-p no:hydra_pytest")  # which imports Hydra into every pytest, for 0.4 s
        yield


@pytest.fixture
def clock(monkeypatch):
    """The judge's clock while rounds are taken: it stands still unless somebody moves it on."""
    clock = SimpleNamespace(now_s=100.0)
    clock.monotonic = lambda: clock.now_s
    monkeypatch.setattr(rounds, "time", clock)
    return clock
