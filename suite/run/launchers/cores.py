"""Cores of its own for a worker, and proof of who else ran on them.

A cluster's scheduler counts cores and hands out none in particular. So each worker takes as many as its cases have
threads, by locks in the temporary folder of its machine, and pins the processes that measure to them. Whoever knows
nothing of the locks may run there all the same: the kernel counts what each core did, and what was not the worker's
own is in the record.
"""

import os
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.machine.user_cache import check_private

STAT, TOPOLOGY = Path("/proc/stat"), Path("/sys/devices/system/cpu")
MORE_THAN_A_LITTLE = 0.05
"""The share of the time of a case's cores that others may take without a warning, as on the page."""
LEAST_S = 0.2
"""Processor time of others that is no error of counting: the kernel counts in hundredths of a second, for each of a
few processes."""


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


def count_busy_s(cpus: Collection[int], path: Path = STAT) -> float | None:
    """The seconds so far in which these CPUs did anything; None where the system does not count them."""
    ticks = num_counted = 0
    with suppress(OSError):
        for line in path.read_text().splitlines():
            name, *counts = line.split()
            if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cpus:
                user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, counts[:8])
                ticks += user + nice + system + irq + softirq + steal
                num_counted += 1
    if sys.platform == "linux" and num_counted == len(cpus) > 0:
        return ticks / os.sysconf("SC_CLK_TCK")
    return None


class CoreWatch:
    """A context manager that counts what others did on a worker's cores, or on all where it has none of its own.

    `worker_s`: gives the processor time of the worker's own processes so far, or None where they are not there.
    """

    def __init__(self, cores: Cores, worker_s: Callable[[], float | None]) -> None:
        self._cores, self._worker_s = cores, worker_s
        self._cpus: Sequence[int] = cores.cpus
        if sys.platform == "linux" and not cores.cpus:
            self._cpus = sorted(os.sched_getaffinity(0))
        self.facts: dict[str, Any] = {}
        """For the record: the cores, the seconds of watching, and what others took of them."""
        self.warnings: list[str] = []

    def __enter__(self) -> "CoreWatch":
        self._start = self._now()
        return self

    def __exit__(self, *error: object) -> None:
        start, end = self._start, self._now()
        elapsed_s = end[0] - start[0]
        self.facts = {"own_cores": list(self._cores.cpus), "watched_s": elapsed_s}
        if self._cores.why:
            self.facts["why"] = self._cores.why
        if None in (*start, *end) or elapsed_s <= 0:
            self.facts["others"] = "not counted"
            return
        busy_s, worker_s = ((after or 0.0) - (before or 0.0) for before, after in zip(start[1:], end[1:], strict=True))
        others_s = max(0.0, busy_s - worker_s)
        share = min(1.0, others_s / (elapsed_s * len(self._cpus)))
        self.facts |= {"others_s": others_s, "others_share": share}
        if others_s > LEAST_S and share > MORE_THAN_A_LITTLE:
            place = "the cores of this case" if self._cores.cpus else "the cores of this machine, none of them its own"
            self.warnings.append(f"other work was running on {place}: {share:.0%} of their time")

    def _now(self) -> tuple[float, float | None, float | None]:
        return time.monotonic(), count_busy_s(self._cpus), self._worker_s()


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
