import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from suite.gate.side_by_side import rounds


@pytest.fixture(scope="session", autouse=True)
def this_suite():
    """Workers that start here import the suite that lies here, whichever is installed."""
    root = str(Path(__file__).parents[2])
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])))
        yield


@pytest.fixture
def clock(monkeypatch):
    """The judge's clock while rounds are taken: it stands still unless somebody moves it on."""
    clock = SimpleNamespace(now_s=100.0)
    clock.monotonic = lambda: clock.now_s
    monkeypatch.setattr(rounds, "time", clock)
    return clock
