import sys
from pathlib import Path

import pytest

from tests.fake_nvml import driver

FOREIGN = Path(__file__).parent / "foreign"
# What an installed package would be: workers inherit the path.
sys.path.insert(0, str(FOREIGN))


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Let NVML play the lines of a script, and give what says when it began."""
    path = tmp_path / "script"

    def start(*lines):
        script = driver.Script(path, *lines)
        monkeypatch.setenv("FAKE_NVML", str(path))
        if not driver.is_loaded():
            pytest.skip("a driver of this machine was loaded before the stand-in")
        return script

    return start
