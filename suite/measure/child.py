"""What runs inside a worker process: it hardens itself, does one task and reports through its pipe.

This module is preloaded in the fork server, so that a case is a fork of a process that has torch already. It is
imported there and must start no thread.
"""

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from suite.measure.ceilings import measure_ceilings
from suite.measure.runner import measure_case
from suite.records.limits import available_bytes
from suite.records.record import Status

HEADROOM_BYTES = 256 << 20
"""Left to the parent and to the system when the worker's memory is limited."""
EXHAUSTED = ("can't allocate memory", "not enough memory", "out of memory", "Cannot allocate memory")


def run(connection: Connection, task: str, arguments: Mapping[str, Any], threads: int, complaints: Path) -> None:
    """Entry point of the process. Sends dictionaries; the last one has `outcome` or `result`."""
    _harden(complaints)
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)

    def send(**message: Any) -> None:
        connection.send(message)

    send(pid=os.getpid())
    tasks: Mapping[str, Callable[..., None]] = {"case": _case, "ceilings": _ceilings}
    try:
        tasks[task](send, **arguments)
    except Exception as error:  # the boundary of the process: whatever happened becomes the record's reason
        status = Status.OUT_OF_MEMORY if _is_exhaustion(error) else Status.FAILED
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        send(outcome=(status, reason), facts={"traceback": traceback.format_exc()})


def _case(send: Callable[..., None], **arguments: Any) -> None:
    send(outcome=measure_case(send, **arguments))


def _ceilings(send: Callable[..., None], *, dtype: str, threads: int) -> None:
    send(result=measure_ceilings(getattr(torch, dtype), threads))


def _is_exhaustion(error: Exception) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in EXHAUSTED)
    )


def _harden(complaints: Path) -> None:
    """Die alone and quietly: no Ctrl-C of its own, first in line when memory runs out, gone when its parent is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the case and records it
    descriptor = os.open(complaints, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    sys.stdout.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    faulthandler.enable(descriptor)
    _end_with_the_parent()
    if sys.platform == "linux":
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
        _limit_memory()


def _end_with_the_parent() -> None:
    """A fork's own parent is the fork server, which lives as long as its forks do: so the real one is waited for.

    The thread sleeps in the kernel until then and takes no CPU time from the case.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _limit_memory() -> None:
    """Turn exhausted memory into an allocation that fails, not a machine that swaps or a process that is killed.

    RLIMIT_DATA counts private writable memory (Linux 4.7 and newer), so torch's large mapped files do not count.
    """
    import resource

    held_kb = next(
        int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData")
    )
    limit = held_kb * 1024 + max(HEADROOM_BYTES, available_bytes() - HEADROOM_BYTES)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
