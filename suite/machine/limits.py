"""Resources that this process may really use: a container's cgroup often allows less than the machine has.

Both cgroup versions are read. Absent means that no limit was found, never zero.
"""

import contextlib
import math
import os
import re
from pathlib import Path

import psutil

CGROUP_ROOT = Path("/sys/fs/cgroup")
UNLIMITED_BYTES = 1 << 60
"""cgroup v1 writes "no limit" as a huge number of bytes."""


def memory_limit_bytes(root: Path = CGROUP_ROOT) -> int | None:
    """The memory that this process's cgroup may use; None without a limit."""
    limit = _whole_number(_first_text(root, "memory.max", "memory/memory.limit_in_bytes"))
    return None if limit is None or limit >= UNLIMITED_BYTES else limit


def memory_used_bytes(root: Path = CGROUP_ROOT) -> int | None:
    """The memory that this process's cgroup uses; None where it does not say."""
    return _whole_number(_first_text(root, "memory.current", "memory/memory.usage_in_bytes"))


def cpu_limit(root: Path = CGROUP_ROOT) -> float | None:
    """The CPUs that the cgroup's quota allows, as 1.5; None without a quota."""
    quota, _, period = (_first_text(root, "cpu.max") or "").partition(" ")
    if quota:
        return None if quota == "max" else int(quota) / int(period or 100_000)  # the kernel's default, in µs
    quota_us, period_us = (_whole_number(_first_text(root, f"cpu/cpu.cfs_{name}_us")) for name in ("quota", "period"))
    return quota_us / period_us if quota_us and period_us and quota_us > 0 else None


def usable_cpus() -> int:
    """The CPUs that this process may run on, before any cgroup quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else (psutil.cpu_count() or 1)


def most_threads(root: Path = CGROUP_ROOT) -> int:
    """The threads that can run at once under the affinity and the cgroup's quota; one at least."""
    limit = cpu_limit(root)
    return usable_cpus() if limit is None else max(1, min(usable_cpus(), math.ceil(limit)))


def available_bytes(root: Path = CGROUP_ROOT) -> int:
    """Bytes that can still be allocated without pushing anything out: the lesser of the machine's and the cgroup's."""
    available = int(psutil.virtual_memory().available)
    limit, used = memory_limit_bytes(root), memory_used_bytes(root)
    return available if limit is None or used is None else min(available, max(0, limit - used))


def capacity_bytes(root: Path = CGROUP_ROOT) -> int:
    """All the memory that this process could ever have: the machine's, or its cgroup's limit where that is less."""
    total, limit = int(psutil.virtual_memory().total), memory_limit_bytes(root)
    return total if limit is None else min(total, limit)


def oom_kills(root: Path = CGROUP_ROOT) -> int:
    """The processes that the kernel has killed for want of memory so far, in this cgroup and on this machine."""
    total = 0
    for path in (root / "memory.events", root / "memory/memory.oom_control", Path("/proc/vmstat")):
        with contextlib.suppress(OSError):
            total += sum(map(int, re.findall(r"^oom_kill (\d+)$", path.read_text(), re.MULTILINE)))
    return total


def _first_text(root: Path, *names: str) -> str | None:
    """The text of the first of these files, in this process's own cgroup or at the root; None if none is there."""
    folders = [root]
    with contextlib.suppress(OSError):  # version 2 names it by 0::, as / inside a container with its own namespace
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        folders[:0] = [root / line[3:].lstrip("/") for line in lines if line.startswith("0::")]
    for path in (folder / name for folder in folders for name in names):
        with contextlib.suppress(OSError):
            return path.read_text().strip()
    return None


def _whole_number(text: str | None) -> int | None:
    return int(text) if text is not None and text.lstrip("-").isdigit() else None  # version 1 writes -1 for no limit
