"""Cores of its own for a worker.

A cluster's scheduler counts cores and hands out none in particular. So each worker takes as many as its cases have
threads, by locks in the temporary folder of its machine, and pins the processes that measure to them. Who knows
nothing of the locks may run there all the same: a wall time beyond the processor's time shows it.
"""

import os
import stat
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from suite.machine.user_cache import check_private

TOPOLOGY = Path("/sys/devices/system/cpu")


@dataclass(frozen=True, kw_only=True)
class Cores:
    """CPUs that are one worker's alone, as far as workers heed each other's locks."""

    cpus: tuple[int, ...] = ()
    why: str = ""
    """The reason why there are none."""

    def pin(self, number: int) -> None:
        """Let a process, and all that it forks from now on, run on these cores alone."""
        if sys.platform == "linux" and self.cpus:
            os.sched_setaffinity(number, self.cpus)


@contextmanager
def own_cores(count: int, *, parent: Path | None = None) -> Iterator[Cores]:
    """Hold so many cores that no other worker of this user on this machine holds, or none of them where fewer are free.

    `parent`: the folder in which the locks lie, by default the machine's temporary one.
    """
    with ExitStack() as locks:
        cores = Cores(why="this system pins no process to cores")
        if sys.platform == "linux":
            folder = (parent or Path(tempfile.gettempdir())) / f"suite-cores-{os.getuid()}"
            cores = _take_cores(count, folder, os.sched_getaffinity(0), locks)
        yield cores


def _take_cores(count: int, folder: Path, usable: Collection[int], locks: ExitStack) -> Cores:
    """Lock so many of the usable cores, or none, until `locks` is left."""
    if not _make_private(folder):
        return Cores(why="the folder of the cores' locks is somebody else's")
    cpus: list[int] = []
    for cpu in in_order(usable):
        if len(cpus) < count and _take_lock(folder / f"cpu-{cpu}.lock", locks):
            cpus.append(cpu)
    if len(cpus) < count:
        locks.close()  # half a set is of no use here, and may be of use to another
        return Cores(why=f"fewer than {count} of this machine's cores were free for it alone")
    return Cores(cpus=tuple(cpus))


def in_order(cpus: Collection[int], topology: Path = TOPOLOGY) -> list[int]:
    """The CPUs, the first hardware thread of every core before any second one, so that workers share a core last."""
    return sorted(cpus, key=lambda cpu: (hardware_threads(cpu, topology).index(cpu), cpu))


def hardware_threads(cpu: int, topology: Path = TOPOLOGY) -> list[int]:
    """The hardware threads of a CPU's core, itself among them; itself alone where the system does not say."""
    threads: list[int] = []
    with suppress(OSError, ValueError):
        for part in (topology / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text().strip().split(","):
            first, _, last = part.partition("-")
            threads += range(int(first), int(last or first) + 1)
    return threads if cpu in threads else [cpu]


def _make_private(folder: Path) -> bool:
    """Make the folder; False where somebody else has put one or a link in its place."""
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        check_private(folder.lstat(), folder, "folder", stat.S_ISDIR)
        return True
    return False


def _take_lock(path: Path, locks: ExitStack) -> bool:
    """Take a lock until `locks` is left; False where another process has it."""
    from filelock import FileLock, Timeout

    lock = FileLock(path, thread_local=False)  # a worker may end in another thread than it began in
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    locks.callback(lock.release)
    return True
