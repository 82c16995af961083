"""The inside of a worker process: it hardens itself, does its tasks and reports through its pipe.

This module is preloaded in the fork server, so that a case is a fork of a process that has torch already. It is
imported there and must start no thread.
"""

import faulthandler
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from suite.machine.limits import available_bytes
from suite.measure.devices import device_for
from suite.measure.precision import set_matmul_precision
from suite.measure.runner import measure_case, measure_launch
from suite.measure.stateful import run_stateful
from suite.measure.workload import ANNOUNCERS, UnsupportedError
from suite.records.record import REFUSED_UNRUN, Status

# Tasks that measure, and end with an outcome.
MEASURED_BY: Mapping[str, Callable[..., tuple[Status, str | None]]] = {
    "case": measure_case,
    "launch": measure_launch,
    "stateful": run_stateful,
}
# Parts of a message that do not wait for the next one: a death would lose them, or the parent acts on them.
SENT_AT_ONCE = {"phase", "readings", "files", "notice", "result", "outcome"}
HEADROOM_BYTES = 256 << 20  # left to the parent and to the system when the worker's memory is limited
# Words of exhausted memory; the last are cuBLAS's.
EXHAUSTED = ("can't allocate memory", "not enough memory", "out of memory", "Cannot allocate memory", "_ALLOC_FAILED")


def run(connection: Connection) -> None:
    """The entry point: do one task, or persistent ones one after another until the parent hangs up.

    Receives (task, arguments, threads, persistent, stderr_log) and sends dictionaries; the last one of a task has
    `outcome` or `result`, and `ends` where this process can do no other.
    """
    _harden()
    waiting: dict[str, Any] = {}

    def send(**message: Any) -> None:
        """Send a message, joined to those before it that could wait: each that is sent wakes the parent."""
        if waiting.keys() & message.keys():
            connection.send(waiting)
            waiting.clear()
        waiting.update(message)
        if SENT_AT_ONCE & message.keys():
            connection.send(waiting)
            waiting.clear()

    ANNOUNCERS.append(lambda text: send(notice=text))
    goes_on = True
    while goes_on:
        try:
            task, arguments, threads, persistent, stderr_log = connection.recv()
        except (EOFError, OSError):  # the parent has ended: OSError where it had not read all
            return
        if not persistent:  # a process is kept for devices that have memory of their own
            _limit_memory()
        with _output_into(stderr_log):
            torch.set_num_threads(threads)
            goes_on = _do_task(send, task, arguments, threads) and persistent


def _do_task(send: Callable[..., None], task: str, arguments: Mapping[str, Any], threads: int) -> bool:
    """Do a task and send its messages; an error becomes its outcome. False if no other task can follow."""
    send(pid=os.getpid())
    device = device_for(arguments.get("settings", arguments)["device"], threads)
    is_lost = False
    try:
        last = _ceilings(**arguments) if task == "ceilings" else {"outcome": MEASURED_BY[task](send, **arguments)}
    except Exception as error:  # the boundary of the process: whatever happened becomes the record's reason
        is_exhausted = isinstance(error, MemoryError | torch.OutOfMemoryError) or (
            isinstance(error, RuntimeError) and any(words in str(error) for words in EXHAUSTED)
        )
        status = Status.OUT_OF_MEMORY if is_exhausted else Status.FAILED
        line = _foreign_line(error, arguments.get("settings", {}))
        reason = f"{type(error).__name__}: {error}".splitlines()[0] + line
        last = {"outcome": (status, reason), "facts": {"traceback": traceback.format_exc()}}
        is_lost = device.is_lost(error)
    # Here, since an error that is still handled keeps the frames, and so the tensors, of the case.
    if not is_lost and (warning := device.reset()):
        send(warning=warning)
    send(**last, ends=is_lost)
    return not is_lost


def _ceilings(*, device: str, dtype: str, threads: int, precision: str | None) -> dict[str, Any]:
    """Measure a device's ceilings, as a sweep's first task: a message with `result`, or an unsupported `outcome`."""
    measured = device_for(device, threads)
    try:
        measured.require()
    except UnsupportedError as error:
        return {"outcome": (Status.UNSUPPORTED, str(error)), "facts": {REFUSED_UNRUN: True}}
    set_matmul_precision(precision)
    return {"result": measured.ceilings(getattr(torch, dtype))}


def _foreign_line(error: Exception, settings: Mapping[str, Any]) -> str:
    """The last line of a package that a `_target_` in the settings names, on the way to an error: " (file, line N)".

    Empty if no line of such a package is on the way.
    """
    targets = [str(option.get("_target_", "suite")) for option in settings.values() if isinstance(option, Mapping)]
    packages = {target.partition(".")[0] for target in targets} - {"suite"}
    line = ""
    for frame, number in traceback.walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__")).partition(".")[0] in packages:
            file = Path(frame.f_code.co_filename)
            line = f" ({f'{file.parent.name}/' * (file.stem == '__init__')}{file.name}, line {number})"
    return line


@contextmanager
def _output_into(stderr_log: Path) -> Iterator[None]:
    """Send standard output, standard error and faulthandler's traces into a file, which is emptied first."""
    descriptor = os.open(stderr_log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    sys.stdout.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    faulthandler.enable(descriptor)
    try:
        yield
    finally:
        faulthandler.enable(2)  # the same file until the next one
        os.close(descriptor)


def _harden() -> None:
    """Have no thread beside those of an operator, and be killed first when memory runs out."""
    torch.set_num_interop_threads(1)
    if sys.platform == "linux":
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")


def _limit_memory() -> None:
    """Turn exhausted memory into an allocation that fails, not a machine that swaps or a process that is killed.

    RLIMIT_DATA counts private writable memory (Linux 4.7 and newer), so torch's large mapped files do not count.
    Elsewhere nothing is limited.
    """
    if sys.platform == "linux":
        import resource

        status = Path("/proc/self/status").read_text().splitlines()
        held_kb = next(int(line.split()[1]) for line in status if line.startswith("VmData"))
        limit = held_kb * 1024 + max(HEADROOM_BYTES, available_bytes() - HEADROOM_BYTES)
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
