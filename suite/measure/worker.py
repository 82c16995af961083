"""A worker, seen from the parent, which holds no torch: a task goes out, messages come back, a death is one too.

On Linux a task is a fork from a server that has torch loaded (0.02 s after the first, 1.5 s for that one); elsewhere it
is a new process: Windows has no fork, and macOS's system libraries do not survive one.
"""

import atexit
import functools
import multiprocessing
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

from suite.measure.stopped import StoppedWatch
from suite.records.machine.limits import oom_kills
from suite.records.machine.temporary import temporary_folder
from suite.records.record import Status

FORKS = sys.platform == "linux"
# Characters of a socket's path on Linux, and what such a path adds to the temporary folder's.
LONGEST_SOCKET_PATH, SOCKET = 107, "/suite-workers-12345678/listener-12345678"
MOST_STDERR_CHARACTERS = 2000
# Ctrl-C and the like often go to a whole group of processes: a worker may die of one before the parent has heard.
A_MOMENT_S = 0.5
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

    `preload`: modules that the tasks will need, loaded once before the first fork. `say`: called, from any thread,
    about a process that was stopped and with what a task announces. Use as a context manager: leaving it ends a
    persistent process.
    """

    def __init__(self, preload: Iterable[str] = (), say: Callable[[str], None] = print) -> None:
        self._say = say
        self._context: Any = multiprocessing.get_context("forkserver" if FORKS else "spawn")
        self._persistent: _Child | None = None
        self._running: _Child | None = None
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
        with StoppedWatch(self._processes, self._say, self._interrupted):
            self._end_persistent()

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
        with StoppedWatch(self._processes, self._say, self._interrupted) as watch:
            yield from self._run_watched(watch, (task, dict(arguments), threads, stderr_log), persistent)

    def _run_watched(
        self, watch: StoppedWatch, request: tuple[str, dict[str, Any], int, Path], persistent: bool
    ) -> Iterator[dict[str, Any]]:
        """Send a request to a process and yield its messages; see `run`. `watch`: says why it gave a process up."""
        kills_before = oom_kills()
        try:
            child = self._running = self._child_for_task(persistent=persistent)
        except _NotStartedError as error:
            yield {"outcome": (Status.FAILED, next(iter(watch.given_up.values()), str(error))), "facts": {}}
            return
        if self._interrupted.is_set():  # while there was no process to end
            child.process.kill()
        finished = ends = False
        try:
            with suppress(BrokenPipeError):  # it died meanwhile: there is nothing to receive either
                child.connection.send(request)
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
            given_up = watch.given_up.get(child.process.pid or 0)
            yield _death_message(child.process.exitcode, oom_kills() > kills_before, request[-1], given_up)

    def _processes(self) -> Mapping[int, str]:
        """Names of the processes that are waited for, the fork server and the worker, by their process ids."""
        # The fork server has no public name. Forks are started and waited for through it: both end when it does.
        server = forkserver._forkserver._forkserver_pid if FORKS else None  # type: ignore[attr-defined]
        running = self._running or self._persistent
        worker = running.process.pid if running is not None else None
        return {number: name for number, name in ((server, "the fork server"), (worker, "the worker")) if number}

    def interrupt(self) -> None:
        """End the task that runs, and every later one, from any thread: its `run` raises TaskInterruptedError."""
        self._interrupted.set()
        running = self._running
        if running is not None:
            running.process.kill()

    def _child_for_task(self, *, persistent: bool) -> _Child:
        """The living persistent process if asked for, else a new one. Raises _NotStartedError, TaskInterruptedError."""
        if persistent and self._persistent is not None:
            with _STARTS_AND_ENDS:
                is_alive = self._persistent.process.is_alive()
            if is_alive:
                return self._persistent
            self._end_persistent()
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_run_child, args=(theirs, persistent), daemon=True)
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
        child = _Child(process=process, connection=ours)
        if persistent:
            self._persistent = child
        return child

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


def _run_child(connection: Connection, persistent: bool) -> None:
    """The new process's first function: run tasks as suite.measure.child does."""
    # Imported here: in the parent this module may not load torch.
    from suite.measure import child

    child.run(connection, persistent)


def _death_message(
    exit_code: int | None, memory_ran_out: bool, stderr_log: Path, given_up: str | None
) -> dict[str, Any]:
    """A dead process's last message: `outcome` with status and reason (`given_up` if any), and its last output."""
    status, signal_number = Status.FAILED, -exit_code if exit_code is not None and exit_code < 0 else None
    if given_up is not None:
        reason = given_up
    elif signal_number is None:
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
