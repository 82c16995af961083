import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from suite.gate.busy import busy

ROOT = Path(__file__).parents[2]


def test_busy_processes_end_with_the_block():
    me = psutil.Process()
    before = set(me.children())
    with suppress(KeyError), busy(2):
        spinning = set(me.children()) - before
        assert len(spinning) == 2
        raise KeyError
    assert not any(one.is_running() for one in spinning)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_busy_processes_end_when_their_parent_is_killed():
    """A machine with one left behind would be slow for whoever comes next."""
    script = (
        "import time\nfrom suite.gate.busy import busy\nwith busy(1):\n    print(1, flush=True)\n    time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert parent.stdout.readline() == b"1\n"
        (spinning,) = psutil.Process(parent.pid).children()
        assert spinning.is_running()
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    _, alive = psutil.wait_procs([spinning], timeout=10)
    states = [one.status() for one in alive]
    for one in alive:
        one.kill()  # where this fails, nothing may be left behind either
    # Where nobody reaps orphans, what has ended stays as a zombie.
    assert set(states) <= {psutil.STATUS_ZOMBIE}
