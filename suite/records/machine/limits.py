"""Resources that this process may really use: a container's cgroup often allows less than the machine has.

Both cgroup versions are read. Absent means that no limit was found, never zero.
"""

import contextlib
import math
import os
from pathlib import Path

import psutil

CGROUP_ROOT = Path("/sys/fs/cgroup")
UNLIMITED_BYTES = 1 << 60
"""cgroup v1 writes "no limit" as a huge number of bytes."""


def memory_limit_bytes(root: Path = CGROUP_ROOT) -> int | None:
    """Return the memory limit of this process's cgroup, in bytes, or None."""
    limit = _number(_first(root, "memory.max", "memory/memory.limit_in_bytes"))
    return None if limit is None or limit >= UNLIMITED_BYTES else limit


def memory_used_bytes(root: Path = CGROUP_ROOT) -> int | None:
    """Return what this process's cgroup uses of its limit, in bytes, or None."""
    return _number(_first(root, "memory.current", "memory/memory.usage_in_bytes"))


def cpu_limit(root: Path = CGROUP_ROOT) -> float | None:
    """Return the CPUs that the cgroup's quota allows, or None."""
    quota = _first(root, "cpu.max")
    if quota is not None:
        allowed, _, period = quota.partition(" ")
        return None if allowed == "max" else int(allowed) / int(period or 100_000)
    allowed_us, period_us = (
        _number(_first(root, "cpu/cpu.cfs_quota_us")),
        _number(_first(root, "cpu/cpu.cfs_period_us")),
    )
    return None if allowed_us is None or period_us is None or allowed_us <= 0 else allowed_us / period_us


def usable_cpus() -> int:
    """Return the CPUs that this process may run on, before any cgroup quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else (psutil.cpu_count() or 1)


def most_threads(root: Path = CGROUP_ROOT) -> int:
    """Return threads that can run at once under the affinity and the cgroup's quota; one at least."""
    limit = cpu_limit(root)
    return usable_cpus() if limit is None else max(1, min(usable_cpus(), math.ceil(limit)))


def available_bytes(root: Path = CGROUP_ROOT) -> int:
    """Return what can still be allocated without pushing anything out: the lesser of the machine's and the cgroup's."""
    available = int(psutil.virtual_memory().available)
    limit, used = memory_limit_bytes(root), memory_used_bytes(root)
    if limit is not None and used is not None:
        available = min(available, max(0, limit - used))
    return available


def capacity_bytes(root: Path = CGROUP_ROOT) -> int:
    """Return all the memory that this process could ever have: the machine's, or its cgroup's limit where that is
    less."""
    total, limit = int(psutil.virtual_memory().total), memory_limit_bytes(root)
    return total if limit is None else min(total, limit)


def oom_kills(root: Path = CGROUP_ROOT) -> int:
    """Return processes that the kernel has killed for want of memory so far, in this cgroup and on this machine."""
    total = 0
    for path in (root / "memory.events", root / "memory/memory.oom_control", Path("/proc/vmstat")):
        with contextlib.suppress(OSError):
            for line in path.read_text().splitlines():
                if line.startswith("oom_kill "):
                    total += int(line.split()[1])
    return total


def _first(root: Path, *names: str) -> str | None:
    folders = [_own_folder(root), root]
    for folder in folders:
        for name in names:
            with contextlib.suppress(OSError):
                return (folder / name).read_text().strip()
    return None


def _own_folder(root: Path) -> Path:
    """The folder of this process's own cgroup (version 2); the root inside a container with its own namespace."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::"):
                return root / line[3:].lstrip("/")
    return root


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.lstrip("-").isdigit() else None
