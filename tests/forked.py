"""A command of the suite in a process of its own, forked from the tests' process: with all that this has imported and
with the fork server that all tests share, for 4 to 8 s of CPU less than a new interpreter takes."""

import os
import signal
import sys
import traceback
import warnings
from contextlib import contextmanager, suppress
from multiprocessing import forkserver

import pytest

from suite.__main__ import main
from suite.measure.worker import FORKS, CaseWorker

needs_forks = pytest.mark.skipif(not FORKS, reason="there is no fork server here, so a run starts processes anew")


@contextmanager
def forked(output, *arguments, path=(), **environment):
    """The number of the process, which leads a group of its own. `output`: a file for what it prints. `path`: folders
    that come first in imports."""
    if arguments[0] == "run":
        with CaseWorker():
            forkserver.ensure_running()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads: xdist's only wait
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setsid()
            with output.open("w", encoding="utf-8") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
            forkserver._forkserver.ensure_running = lambda: None  # it would wait for its child, which is another's
            os.environ.update(environment)
            sys.path[:0] = map(str, path)
            sys.argv = ["suite", *map(str, arguments)]
            code = main()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    try:
        yield pid
    finally:
        with suppress(ChildProcessError):  # it was waited for
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def ended(output, *arguments, **settings):
    """The exit code of a command, run to its end."""
    with forked(output, *arguments, **settings) as pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
