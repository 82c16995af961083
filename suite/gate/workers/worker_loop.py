"""What all workers share: the pipe to the judge, the clocks, and how a sample is taken.

A worker imports it by path and before anything of a tree, in somebody's Python of 3.9 or later; so it uses the standard
library alone, and its clocks and the rest are bound before the tree could replace them by one line. A worker reads
requests from its standard input and answers each with a line of JSON: see PROTOCOL, which a change of either raises.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import queue
import signal
import sys
import threading
import traceback
from itertools import repeat
from os import write
from pathlib import Path
from time import perf_counter, process_time, thread_time
from types import BuiltinFunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Turn = dict[str, float]

getrusage: Any
if sys.platform == "win32":  # which has no such counts; the gate refuses to run there
    getrusage, OF_THREAD, OF_CHILDREN = None, 0, 0
else:
    import resource

    getrusage, OF_CHILDREN = resource.getrusage, resource.RUSAGE_CHILDREN
    OF_THREAD = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)

PROTOCOL = 4
LEAST_SAMPLE_S = 0.003
"""Shorter work is done several times a sample: a clock is read to a microsecond."""
MOST_TURNS = 200
CLOCKS = ("wall_s", "thread_cpu_s", "process_cpu_s")
CLOCKS_BOUND = (perf_counter, thread_time, process_time)
assert all(type(clock) is BuiltinFunctionType for clock in CLOCKS_BOUND)


class PlainError(Exception):
    """A failure whose message says all: the name of its class would add nothing."""


class RefusedError(Exception):
    """A case or benchmark that cannot run or be judged here; no fault of the code under test."""


def open_pipe(hung_up: Callable[[], None]) -> tuple[queue.SimpleQueue[dict[str, Any] | None], int]:
    """Take over standard input and output, and return a queue of requests and the descriptor for answers. From then on
    the tree's input is empty and its output goes to standard error. A thread reads the requests; when the judge hangs
    up it queues None and calls `hung_up`, which must end the process, whatever the main thread does."""
    incoming, answers = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # `end` flushes nothing
    waiting: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def read() -> None:
        with contextlib.suppress(OSError, ValueError), os.fdopen(incoming, encoding="utf-8") as lines:
            for line in lines:
                waiting.put(json.loads(line))
        waiting.put(None)
        hung_up()

    threading.Thread(target=read, daemon=True).start()
    return waiting, answers


def end(code: int) -> None:
    """Kill all descendants (on Linux), then end this process at once with an exit code, without any clean-up."""
    if sys.platform == "linux":  # elsewhere the judge ends the process group
        parents = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it has ended
                parents[int(path.parent.name)] = int(path.read_bytes().rpartition(b")")[2].split()[1])
        descendants: set[int] = set()
        while more := {pid for pid, parent in parents.items() if parent in {os.getpid(), *descendants}} - descendants:
            descendants |= more
        for pid in descendants:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    os._exit(code)  # what is left of the tree's threads and objects is nobody's


def answer(descriptor: int, do: Callable[[], Mapping[str, Any]]) -> None:
    """Call `do` and write its answer as a line of JSON; an exception becomes `unsupported` or `error` with its text."""
    content: Mapping[str, Any]
    try:
        content = do()
    except RefusedError as refusal:
        content = {"unsupported": str(refusal)}
    except PlainError as error:
        content = {"error": str(error)}
    # The boundary of the process, which may meet any error of the tree's code: the parent decides what it means.
    except Exception as error:
        traceback.print_exc()
        content = {"error": named(error)}
    # With nothing of the json module where all are numbers, as in a sample.
    if all(type(value) in (int, float) for value in content.values()):
        text = "{" + ", ".join(f'"{name}": {value!r}' for name, value in content.items()) + "}"
    else:
        text = json.dumps(content)
    line = (text + "\n").encode()
    with contextlib.suppress(BrokenPipeError):
        while line:
            line = line[write(descriptor, line) :]


def named(error: BaseException) -> str:
    """The class and message of an error, its first line only."""
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]


def timed(function: Callable[..., object], args: Sequence[Any], kwargs: Mapping[str, Any], calls: int) -> Turn:
    """Make `calls` calls between two readings of each clock: seconds per call, and involuntary switches in all."""
    times = repeat(None, calls)
    switches, children = involuntary_switches(), children_s()
    process, thread, wall = process_time(), thread_time(), perf_counter()
    for _ in times:
        function(*args, **kwargs)
    wall_s = perf_counter() - wall
    thread_cpu_s, process_cpu_s = thread_time() - thread, process_time() - process
    in_children_s, switched = children_s() - children, involuntary_switches() - switches
    return {
        "wall_s": wall_s / calls,
        "thread_cpu_s": thread_cpu_s / calls,
        "process_cpu_s": process_cpu_s / calls,
        "children_s": in_children_s / calls,
        "involuntary_switches": switched,
    }


def sampled(turn: Callable[[], Turn]) -> list[Turn]:
    """Call `turn` for LEAST_SAMPLE_S, from 1 to about MOST_TURNS times, and return what each returned."""
    begun, turns = perf_counter(), [turn()]
    while perf_counter() - begun < LEAST_SAMPLE_S and len(turns) < MOST_TURNS:
        turns.append(turn())
    return turns


def summary(turns: Sequence[Turn], calls: int = 1) -> dict[str, Any]:
    """The median of each clock over turns of `calls` calls. Raises RuntimeError if the tree replaced a clock."""
    check_clocks()
    clocks = {name: _median([turn[name] for turn in turns]) for name in turns[0] if name != "involuntary_switches"}
    switches = sum(int(turn["involuntary_switches"]) for turn in turns)
    return {**clocks, "involuntary_switches": switches, "calls": calls * len(turns)}


def _median(values: list[float], order: Callable[[list[float]], list[float]] = sorted) -> float:
    """The median, with `sorted` bound early: the tree could replace the builtin or `statistics.median`."""
    values, half = order(values), len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


def check_clocks(bound: Sequence[object] = CLOCKS_BOUND) -> None:
    """Raise RuntimeError if a clock of this module is not the one that it began with."""
    if (perf_counter, thread_time, process_time) != bound:
        raise RuntimeError("the tree replaced a clock of the worker")


def involuntary_switches() -> int:
    """How often the scheduler took the CPU from this thread so far; on macOS, from the process."""
    switches: int = getrusage(OF_THREAD).ru_nivcsw
    return switches


def children_s() -> float:
    """CPU seconds of all child processes that have ended so far."""
    usage = getrusage(OF_CHILDREN)
    seconds: float = usage.ru_utime + usage.ru_stime
    return seconds


def run_delay_s() -> float:
    """Seconds that this thread was ready but got no CPU, since it began; 0 elsewhere than on Linux."""
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/thread-self/schedstat") as file:  # noqa: PTH123
        return int(file.read().split()[1]) / 1e9
    return 0.0


@contextlib.contextmanager
def undisturbed(*, disables_gc: bool) -> Iterator[None]:
    """Within the block, switch off tracer and profiler and, with `disables_gc`, garbage collection."""
    is_collecting, tracer, profiler = gc.isenabled(), sys.gettrace(), sys.getprofile()
    if disables_gc:
        gc.disable()
    sys.settrace(None)
    sys.setprofile(None)
    try:
        yield
    finally:
        sys.settrace(tracer)
        sys.setprofile(profiler)
        if is_collecting:
            gc.enable()
