"""A worker, seen from the parent, which holds no torch: a task goes out, messages come back, a death is one too.

On Linux a task is a fork from a server that has torch loaded (0.02 s after the first, 1.5 s for that one). Elsewhere it
is a new process: Windows has no fork, and macOS's system libraries do not survive one. The processes of the tasks that
follow one another, as a case's launches do, load torch side by side before the first of these tasks. So each launch has
a process of its own there too, and none loads while another is timed.
"""

import atexit
import functools
import gc
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from suite.machine.limits import available_bytes, oom_kills
from suite.machine.temporary import temporary_folder
from suite.records.record import Status

FORKS = sys.platform == "linux"
# Characters of a socket's path on Linux, and what such a path adds to the temporary folder's.
LONGEST_SOCKET_PATH, SOCKET = 107, "/suite-workers-12345678/listener-12345678"
MOST_STDERR_CHARACTERS = 2000
# Ctrl-C and the like often go to a whole group of processes: a worker may die of one before the parent has heard.
A_MOMENT_S = 0.5
# New processes that load side by side: the ceilings' and those of three launches. Each has 215 MiB of its own while it
# waits, and together they may have an eighth of the memory that is free.
MOST_LOADED, FREE_BYTES_PER_LOADED = 4, 8 * (256 << 20)
SLOW_TO_LOAD = frozenset({"torch._dynamo"})  # 1.7 s of processor time, of each case that trains
# Starting a process polls all others of this one, and two threads that poll a process at its end take the exit code
# from each other (CPython's Popen.poll has no lock): so one at a time is started or waited for, in all threads
# together.
_STARTS_AND_ENDS = threading.Lock()


class TaskInterruptedError(Exception):
    """The task was ended by `CaseWorker.interrupt`."""


class _NotStartedError(Exception):
    """The reason why there is no process."""


@dataclass(frozen=True, kw_only=True)
class _Child:
    process: BaseProcess
    connection: Connection

    @property
    def is_alive(self) -> bool:
        with _STARTS_AND_ENDS:
            return self.process.is_alive()

    def join(self) -> None:
        wait([self.process.sentinel])  # outside the lock: however long it takes, the others go on
        with _STARTS_AND_ENDS:
            self.process.join()

    def end(self) -> None:
        """Kill the process, wait for its end and close the connection."""
        self.process.kill()
        self.join()
        self.connection.close()


@functools.cache
def _mark_temporary_folder() -> None:
    """Give multiprocessing a marked folder for its sockets until this process ends: a kill would leave its own.

    Its own has a shorter name, and stays where the marked one would make a socket's path too long.
    """
    if len(tempfile.gettempdir() + SOCKET) > LONGEST_SOCKET_PATH:
        return
    stack = ExitStack()
    config = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    config["tempdir"] = str(stack.enter_context(temporary_folder("workers")))
    atexit.register(stack.close)


class CaseWorker:
    """Runs tasks one after another, each in a process of its own, or the persistent ones in one. Several workers side
    by side each have a thread of the parent.

    `preload`: modules that the tasks will need, loaded once before the first fork. `say`: called with what a
    task announces. Use as a context manager: leaving it ends processes that wait for a task.
    """

    def __init__(self, preload: Iterable[str] = (), say: Callable[[str], None] = print) -> None:
        self._say = say
        self._context: Any = multiprocessing.get_context("forkserver" if FORKS else "spawn")
        self._persistent: _Child | None = None
        self._running: _Child | None = None
        self._loaded: list[_Child] = []  # have no task yet
        self.expected = 0
        """How many tasks are about to follow one another, set before the first. Processes that are no forks load for
        all of them together."""
        self._interrupted = threading.Event()
        if FORKS:
            _mark_temporary_folder()
            # Each fork unpickles a function of the first and begins with the last: they would cost 12 ms of every task.
            self._preload([__name__, "suite.measure.child", "multiprocessing.popen_forkserver", *preload])

    def _preload(self, modules: list[str]) -> None:
        """Have the fork server load these modules. One that runs already, as of the sweep before this one, is ended
        for a module that takes longer to load than a server does to start."""
        server: Any = forkserver._forkserver
        wanted, loaded = SLOW_TO_LOAD.intersection(modules), SLOW_TO_LOAD.intersection(server._preload_modules)
        with _STARTS_AND_ENDS:
            if wanted - loaded and not multiprocessing.active_children():
                server._stop()
        self._context.set_forkserver_preload([*modules, *(loaded - wanted)])

    def __enter__(self) -> "CaseWorker":
        return self

    def __exit__(self, *raised: object) -> None:
        self._end_persistent()
        while self._loaded:
            self._loaded.pop().end()

    def run(
        self, task: str, arguments: Mapping[str, Any], *, threads: int, stderr_log: Path, persistent: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Yield the messages of one task, as they come. If the process dies, the last is an `outcome` that says so.

        Closing the iterator early, as an interruption does, ends the process. Its output goes into the file
        `stderr_log`. `persistent`: the process takes the next such task too, unless it died or is good for no other.
        Raises TaskInterruptedError.
        """
        if self._interrupted.is_set():
            raise TaskInterruptedError
        stderr_log.write_text("")
        kills_before = oom_kills()
        try:
            child = self._running = self._child_for_task(persistent)
        except _NotStartedError as error:
            yield {"outcome": (Status.FAILED, str(error)), "facts": {}}
            return
        if self._interrupted.is_set():  # while there was no process to end
            child.process.kill()
        finished = ends = False
        try:
            with suppress(BrokenPipeError):  # it died meanwhile: there is nothing to receive either
                child.connection.send((task, dict(arguments), threads, persistent, stderr_log))
            while not finished:
                try:
                    message = child.connection.recv()
                except (EOFError, OSError):  # it died: OSError where that was within a message
                    break
                if "notice" in message:
                    self._say(message["notice"])
                ends = message.pop("ends", False)
                finished = "outcome" in message or "result" in message
                yield message
            if not finished or not persistent:
                child.join()
        finally:
            self._running = None
            if not finished or not persistent or ends:
                self._persistent = None if child is self._persistent else self._persistent
                child.end()
        if not finished:
            if self._interrupted.wait(A_MOMENT_S):
                raise TaskInterruptedError
            yield _death_message(child.process.exitcode, oom_kills() > kills_before, stderr_log)

    def interrupt(self) -> None:
        """End the task that runs, and every later one, from any thread: its `run` raises TaskInterruptedError."""
        self._interrupted.set()
        for child in (self._running, *self._loaded):
            if child is not None:
                child.process.kill()

    def _child_for_task(self, persistent: bool) -> _Child:
        """The living persistent process if asked for, else a new one. Raises _NotStartedError, TaskInterruptedError."""
        if persistent and self._persistent is not None:
            if self._persistent.is_alive:
                return self._persistent
            self._end_persistent()
        child = self._start() if FORKS else self._take_loaded()
        if persistent:
            self._persistent = child
        return child

    def _take_loaded(self) -> _Child:
        """A process that has loaded torch, while none loads beside it. If none waits, start those that are
        expected. Raises _NotStartedError, TaskInterruptedError."""
        while self._loaded and not self._loaded[0].is_alive:  # something has killed it while it waited
            self._loaded.pop(0).end()
        if not self._loaded:
            count = min(self.expected, MOST_LOADED, available_bytes() // FREE_BYTES_PER_LOADED)
            for _ in range(max(1, count)):
                self._loaded.append(self._start())
        for child in self._loaded:
            if self._interrupted.is_set():  # perhaps before this process was there to be killed
                child.process.kill()
            wait([child.connection])
        self.expected -= 1
        child = self._loaded.pop(0)
        with suppress(EOFError, OSError):  # one that died while it loaded is told of by its task
            child.connection.recv()
        return child

    def _start(self) -> _Child:
        """Start a process. Raises _NotStartedError, TaskInterruptedError."""
        ours, theirs = self._context.Pipe()
        target = _run_child if FORKS else _run_new_child
        process = self._context.Process(target=target, args=(theirs,), daemon=True)
        try:
            with _STARTS_AND_ENDS, _without_main_module():
                process.start()
        except (EOFError, OSError) as error:
            ours.close()
            theirs.close()
            if self._interrupted.wait(A_MOMENT_S):  # Ctrl-C ends a fork server that is still loading
                raise TaskInterruptedError from error
            why = str(error) or "the fork server has ended"
            raise _NotStartedError(f"the worker cannot be started: {why}") from error
        theirs.close()
        return _Child(process=process, connection=ours)

    def _end_persistent(self) -> None:
        if self._persistent is not None:
            self._persistent.end()
            self._persistent = None


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Hide this process's main module: a child would run its file again, and needs nothing of it.

    Ray's takes a second, for each case.
    """
    main = sys.modules["__main__"]
    hidden = {name: getattr(main, name) for name in ("__spec__", "__file__") if hasattr(main, name)}
    for name in hidden:
        setattr(main, name, None)
    try:
        yield
    finally:
        for name, value in hidden.items():
            setattr(main, name, value)


def _run_child(connection: Connection) -> None:
    """A fork's first function: run tasks as suite.measure.child does."""
    _end_with_the_parent()
    # Imported here: in the parent this module may not load torch.
    from suite.measure import child

    child.run(connection)


def _run_new_child(connection: Connection) -> None:
    """The first function of a process that is no fork: load torch, send a message, and run tasks."""
    _end_with_the_parent()
    gc.disable()  # to look for garbage in what is imported, and stays, takes 0.2 s of 1.1
    from suite.measure import child

    gc.freeze()  # else the first collection of all that was imported could fall into a timed step
    gc.enable()
    connection.send(None)
    child.run(connection)
    os._exit(0)  # as a fork ends: Python would take torch down in 0.3 s


def _end_with_the_parent() -> None:
    """Exit when the real parent does, and not by Ctrl-C: the parent ends the case then, and records it.

    A fork's own parent is the fork server, which lives as long as its forks do. The thread that waits sleeps in the
    kernel until then and takes no CPU time from the case.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def exit_after_it() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=exit_after_it, daemon=True).start()


def _death_message(exit_code: int | None, memory_ran_out: bool, stderr_log: Path) -> dict[str, Any]:
    """A dead process's last message: `outcome` with status and reason, and its last output."""
    status, signal_number = Status.FAILED, -exit_code if exit_code is not None and exit_code < 0 else None
    if signal_number is None:
        reason = f"the worker ended with exit code {exit_code} and no result"
    elif memory_ran_out and signal_number == getattr(signal, "SIGKILL", None):
        status, reason = Status.OUT_OF_MEMORY, "the system killed the worker because memory ran out"
    else:
        name = f"signal {signal_number}"  # a real-time signal has no name of its own
        with suppress(ValueError):
            name = signal.Signals(signal_number).name
        reason = f"the worker was killed by {name}"
    output = ""
    with suppress(OSError):
        output = stderr_log.read_text(errors="replace")[-MOST_STDERR_CHARACTERS:].strip()
    return {"outcome": (status, reason), "facts": {"stderr": output} if output else {}}
