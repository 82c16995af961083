"""Other work on the machine, made on purpose: error rates of a quiet machine say nothing of a shared one."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

BUSY = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0))).start()
while True:
    pass
"""


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Processes that use a CPU each until the end of the block, or of this process, however that comes."""
    command = [sys.executable, "-c", BUSY]
    # A Ctrl-C is for the parent alone, which then ends them.
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
