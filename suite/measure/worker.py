"""The one worker as the parent, which holds no torch, sees it: a task goes out, messages come back, a death is one too.

On Linux a task is a fork from a server that has torch loaded (0.02 s after the first, 1.5 s for that one); elsewhere it
is a new process: Windows has no fork, and macOS's system libraries do not survive one.
"""

import multiprocessing
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from suite.records.limits import oom_kills
from suite.records.record import Status

LONGEST_COMPLAINT = 2000


class Worker:
    """Runs tasks one after another, each in a process of its own.

    `preload`: modules that the tasks will need, loaded once before the first fork.
    """

    def __init__(self, preload: Iterable[str] = ()) -> None:
        forks = sys.platform == "linux"
        self._context: Any = multiprocessing.get_context("forkserver" if forks else "spawn")
        if forks:
            self._context.set_forkserver_preload(["suite.measure.child", *preload])

    def run(
        self, task: str, arguments: Mapping[str, Any], *, threads: int, complaints: Path
    ) -> Iterator[dict[str, Any]]:
        """Messages of one task, as they come. If the process dies, the last message is an `outcome` that says so.

        Closing the iterator early, as an interruption does, ends the process. What it prints goes into the file
        `complaints`.
        """
        complaints.write_text("")
        kills_before = oom_kills()
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=_run_child, args=(theirs, task, dict(arguments), threads, complaints), daemon=True
        )
        process.start()
        theirs.close()
        finished = False
        try:
            while not finished:
                try:
                    message = ours.recv()
                except EOFError:
                    break
                finished = "outcome" in message or "result" in message
                yield message
            process.join()
        finally:
            if process.is_alive():
                process.kill()
                process.join()
            ours.close()
        if not finished:
            yield _death(process.exitcode, oom_kills() > kills_before, complaints)


def _run_child(connection: Connection, task: str, arguments: Mapping[str, Any], threads: int, complaints: Path) -> None:
    # Imported here: in the parent this module may not load torch.
    from suite.measure import child

    child.run(connection, task, arguments, threads, complaints)


def _death(exit_code: int | None, memory_ran_out: bool, complaints: Path) -> dict[str, Any]:
    said = ""
    with suppress(OSError):
        said = complaints.read_text(errors="replace")[-LONGEST_COMPLAINT:].strip()
    facts = {"stderr": said} if said else {}
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        if memory_ran_out and -exit_code == getattr(signal, "SIGKILL", None):
            return {
                "outcome": (Status.OUT_OF_MEMORY, "the system killed the worker for want of memory"),
                "facts": facts,
            }
        return {"outcome": (Status.FAILED, f"the worker was killed by {name}"), "facts": facts}
    return {"outcome": (Status.FAILED, f"the worker ended with exit code {exit_code} and no result"), "facts": facts}
