"""The parent's end of a worker: a request goes out, an answer comes back, and a death is an answer too."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil

from suite.gate.workers.worker_loop import PROTOCOL

LONGEST_ANSWER_S = 600.0
LONGEST_COMPLAINT, LONGEST_LINE = 600, 80
STEADY_ALLOCATOR = {
    # glibc adapts its thresholds to what was freed before, so that one process may return a buffer to the system at
    # every step, and fault it in again, and the next keep it: seen to make launches of one code differ by 16%.
    "MALLOC_MMAP_THRESHOLD_": str(8 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
    # Large pages where the system lets a program ask: which small ones a process gets decides what its caches evict.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""Environment variables for both sides, unless the user has set them. Other C libraries ignore them."""


class WorkerError(Exception):
    """A worker that answers no more; the message says why."""


class UnsupportedHereError(Exception):
    """A case that cannot run here, as it says itself."""


class FailedError(Exception):
    """A case that failed; its worker lives on."""


ANY_ERROR = (WorkerError, FailedError, UnsupportedHereError)
SIDES = ("before", "after")
Check = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Spent:
    """The time of a request by the judge's own clocks."""

    wall_s: float
    cpu_s: float | None
    """All threads of the worker's process, as the kernel counted; None where it does not say, or only in ticks."""


def interpreter(python: Path) -> str:
    """The absolute path of a Python, found on PATH if need be. Links are kept: by them a Python knows its environment.
    Raises ValueError if it cannot be run."""
    path = shutil.which(os.fspath(python))
    if path is None:
        raise ValueError(f"python must be an interpreter that can be run; got {str(python)!r}")
    return str(Path.cwd() / path)


class WorkerClient:
    """A worker for one tree. Use as a context manager: its end is the worker's."""

    def __init__(
        self,
        command: Sequence[str | Path],
        tree: Path,
        log: Path,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Start the process in `tree`. It is not waited for: `greet` does that, so that two can start at once.
        `command`: a Python, its options, the worker's script and its arguments. `log`: a file for its standard error.
        `environment`: variables that override the user's."""
        self.hello: Mapping[str, Any] = {}
        """The worker's first answer."""
        self.collection: Mapping[str, Any] = {}
        """What pytest collected, where it is the worker."""
        self._log = log
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=tree,
                env={**STEADY_ALLOCATOR, "OMP_NUM_THREADS": "1", **os.environ, **environment},
                # A Ctrl-C is for the parent, which then closes the pipe.
                start_new_session=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout

    def __enter__(self) -> "WorkerClient":
        return self

    def __exit__(self, *ignored: object) -> None:
        self.end()

    def end(self) -> None:
        """Hang up, which ends the worker whatever it is doing, and end every process that it left."""
        family = self._family()
        with suppress(OSError):
            self._requests.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2)
        # Looked for before and after: a parent that has ended no longer names its children.
        family |= self._family()
        if sys.platform != "win32":
            with suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for process in family | self._family():  # psutil knows a process by its start too, not by its number alone
            with suppress(psutil.Error):
                process.kill()
        self._answers.close()

    def _family(self) -> set[psutil.Process]:
        """The worker's descendants, and the others of its session, whose parents may have ended."""
        family = set()
        with suppress(psutil.Error):
            family |= {*psutil.Process(self._process.pid).children(recursive=True)}
        if sys.platform != "win32":  # a process that its parent left behind is nobody's child, but keeps the session
            for pid in psutil.pids():
                with suppress(psutil.Error, OSError):
                    if pid != self._process.pid and os.getsid(pid) == self._process.pid:
                        family.add(psutil.Process(pid))
        return family

    def family_cpu_s(self) -> float:
        """CPU seconds of the worker and of all processes that it started, also ended ones; 0 once it has ended."""
        total_s = 0.0
        for pid in {self._process.pid, *(process.pid for process in self._family())}:
            with suppress(psutil.Error):
                user_s, system_s, *children_s = psutil.Process(pid).cpu_times()[:4]
                total_s += (self._cpu_s(pid) or user_s + system_s) + sum(children_s)
        return total_s

    def stay_on(self, cpus: Set[int]) -> None:
        """Let the worker's main thread run only on these CPUs. Does nothing elsewhere than on Linux."""
        if sys.platform == "linux":
            with suppress(ProcessLookupError):  # it has died, which the next request tells
                os.sched_setaffinity(self._process.pid, cpus)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def greet(self) -> Mapping[str, Any]:
        """Wait for the first answer and keep it in `hello`. Raises WorkerError for no start or another protocol."""
        hello = self._received()
        if "error" in hello:
            raise WorkerError(f"the worker cannot start: {_clipped(hello['error'])}")
        if hello.get("protocol") != PROTOCOL or hello["protocol"] is True:
            spoken = _clipped(repr(hello.get("protocol")))
            raise WorkerError(f"the worker speaks protocol {spoken}, this gate {PROTOCOL}")
        self.hello = hello
        return hello

    def ask(self, do: str, **arguments: Any) -> Mapping[str, Any]:
        """Send the request `do` with its arguments, wait, and return the answer. Raises UnsupportedHereError or
        FailedError if the worker says so of a case, WorkerError if it is dead or silent."""
        self.begin(do, **arguments)
        return self.answer()

    def ask_timed(self, do: str, **arguments: Any) -> tuple[Mapping[str, Any], Spent]:
        """`ask`, with the wall time and the worker's CPU time of the request by this process's clocks."""
        begun_s, begun_cpu_s = time.perf_counter(), self._cpu_s()
        answer = self.ask(do, **arguments)
        wall_s, cpu_s = time.perf_counter() - begun_s, self._cpu_s()
        spent_cpu_s = None if cpu_s is None or begun_cpu_s is None else cpu_s - begun_cpu_s
        return answer, Spent(wall_s=wall_s, cpu_s=spent_cpu_s)

    def _cpu_s(self, pid: int | None = None) -> float | None:
        """CPU seconds of the worker, or of process `pid`, to the nanosecond; None if it ended, or not on Linux. The
        clock's number is made of the process's as in `clock_getcpuclockid(3)`; psutil counts in ticks of 10 ms."""
        if sys.platform == "linux":
            with suppress(OSError):
                return time.clock_gettime(~(pid or self._process.pid) << 3 | 2)
        return None

    def begin(self, do: str, **arguments: Any) -> None:
        """Send a request without waiting, so that both workers can be busy at once; `answer` then waits. Raises
        WorkerError if the worker is dead or has sent an answer already, which would be taken for this one's."""
        if select.select([self._answers], [], [], 0)[0]:
            if os.read(self._answers.fileno(), 1):
                self._process.kill()
                raise WorkerError("the worker sent an answer that nobody had asked for")
            raise WorkerError(self._death())
        try:
            self._requests.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            self._requests.flush()
        except OSError as error:
            raise WorkerError(self._death()) from error

    def answer(self) -> Mapping[str, Any]:
        """Wait for the answer to the request that `begin` sent. Raises as `ask`."""
        answer = self._received()
        if "unsupported" in answer:
            raise UnsupportedHereError(_clipped(answer["unsupported"]))
        if "error" in answer:
            raise FailedError(_clipped(answer["error"]))
        return answer

    def _received(self) -> dict[str, Any]:
        """Wait for the next answer, a JSON object. Raises WorkerError, and kills the worker, for anything else."""
        line = self._line()
        if not line.endswith(b"\n"):
            raise WorkerError(self._death())
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):  # the tree under test runs there, and may say anything
            self._process.kill()
            raise WorkerError(
                f"the worker's answer is not a JSON object: {line[:LONGEST_LINE].decode(errors='replace')!r}"
            )
        return answer

    def _line(self) -> bytes:
        """Wait for a line of the worker's output; without a line end if the worker ended within it. Raises WorkerError,
        and kills the worker, after LONGEST_ANSWER_S."""
        descriptor, received = self._answers.fileno(), b""
        until_s = time.monotonic() + LONGEST_ANSWER_S
        while not received.endswith(b"\n"):
            if not select.select([descriptor], [], [], max(0.0, until_s - time.monotonic()))[0]:
                how = ""
                with suppress(psutil.NoSuchProcess):
                    if psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED:
                        how = " and is stopped, as by SIGSTOP"
                self._process.kill()  # what it answers later would be taken for the answer to something else
                raise WorkerError(f"the worker did not answer within {LONGEST_ANSWER_S:g} s{how}")
            part = os.read(descriptor, 1 << 16)
            if not part:
                break
            received += part
        return received

    def _death(self) -> str:
        """How the worker ended, in words, with the end of what it printed."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        code = self._process.returncode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        complaint = self._log.read_text(errors="replace").strip()[-LONGEST_COMPLAINT:]
        return f"the worker {how}{': ' + complaint if complaint else ''}"


def ask_both(
    workers: Sequence[WorkerClient], do: str, check: Check = lambda answer: answer, **arguments: Any
) -> list[Mapping[str, Any]]:
    """Send a request to both workers, wait for both, and return the two answers after `check`. Raises as
    WorkerClient.ask, with `before` or `after` in front of the reason."""
    answers = []
    for request in (lambda worker: worker.begin(do, **arguments), lambda worker: check(worker.answer())):
        for side, worker in zip(SIDES, workers, strict=True):
            try:
                answers.append(request(worker))
            except ANY_ERROR as error:
                raise type(error)(f"{side}: {error}") from error
    return answers[len(SIDES) :]


def _clipped(content: Any) -> str:
    text = str(content)
    return text if len(text) <= LONGEST_COMPLAINT else text[:LONGEST_COMPLAINT] + "…"
