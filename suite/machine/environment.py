"""The conditions that numbers depend on besides the case: machine, limits, versions, code.

Records are committed and forwarded, so nothing here names a host, a user or a path, and only the environment variables
listed below are read.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pynvml

from suite.configuration.files import PACKAGE, conf_dir
from suite.machine.git import git
from suite.machine.limits import cpu_limit, memory_limit_bytes, usable_cpus
from suite.machine.nvml import FoundGpus, find_gpus

GIT_TIMEOUT_S = 10
BUNDLED = "COMMIT"
"""The file of a bundle (`make gpu-bundle`) that names the commit it was made of."""
MACHINE_ID, BOOT_ID = "/etc/machine-id", "/proc/sys/kernel/random/boot_id"
CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")
UNNAMED_GPU = "a GPU that does not give its name"
RECORDED_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE",
    "ATEN_CPU_CAPABILITY",
)
RECORDED_PACKAGES = (
    "torch",
    "hydra-core",
    "omegaconf",
    "numpy",
    "pandas",
    "pyarrow",
    "plotly",
    "nvidia-ml-py",
    "triton",
    "flash-attn",
    "flash-attn-3",
    "flash-mla",
    "flashinfer-python",
)


@functools.cache
def environment() -> dict[str, Any]:
    """Facts about this machine and installation, as plain data."""
    unread = {"gpus_unread": gpus().unread} if gpus().unread else {}
    return {
        "machine_id": machine_id(),
        "cpu": cpu_model(),
        "cpu_family": cpu_family(),
        "architecture": platform.machine(),
        "logical_cpus": psutil.cpu_count(),
        "usable_cpus": usable_cpus(),
        "cgroup_cpus": cpu_limit(),
        "memory_bytes": psutil.virtual_memory().total,
        "cgroup_memory_bytes": memory_limit_bytes(),
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "gpus": gpu_names(),
        **unread,
        "packages": {name: version for name in RECORDED_PACKAGES if (version := installed_version(name))},
        "variables": {name: os.environ[name] for name in RECORDED_VARIABLES if name in os.environ},
    }


@functools.cache
def machine_id() -> str:
    """A salted hash that tells machines apart and does not say which one: hardware, GPU UUIDs and installation.

    The host name is left out where the system has an identity of its own: a container gets a new name at every start,
    and virtual machines of different hardware are often all called the same.
    """
    uuids = [gpu.uuid for gpu in gpus().gpus if gpu.uuid]
    return _short_hash("mla-grpo-suite", *_hardware(), *uuids, _installation())


@functools.cache
def machine_kind() -> str:
    """A hash that machines of the same CPUs, memory and GPU names have in common."""
    return _short_hash("mla-grpo-suite, alike", *_hardware(), *gpu_names())


def _short_hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _hardware() -> list[str]:
    memory_gib = round(psutil.virtual_memory().total / 2**30)  # a kernel keeps some MiB more or less for itself
    return [platform.machine(), cpu_model(), cpu_family(), str(psutil.cpu_count()), str(memory_gib)]


def _installation() -> str:
    """An identity that the operating system gives itself.

    An image's machine-id is the same in all of its containers, on every node; so a container is known by the boot of
    the kernel that runs it. Where Linux has neither, and elsewhere, it is the host name.
    """
    is_container = any(map(os.path.exists, CONTAINER_MARKS)) or "KUBERNETES_SERVICE_HOST" in os.environ
    for path in (BOOT_ID,) if is_container else (MACHINE_ID, BOOT_ID):
        with contextlib.suppress(OSError):
            if identity := Path(path).read_text().strip():
                return identity
    return platform.node()


@functools.cache
def source_digest() -> str:
    """The sha256 over the package's Python and configuration files: right for dirty trees and for wheels."""
    digest = hashlib.sha256()
    for root, pattern in ((PACKAGE, "*.py"), (conf_dir(), "*.yaml")):
        for path in sorted(root.rglob(pattern)):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@functools.cache
def commit() -> dict[str, Any]:
    """The commit of the checkout that this package lies in, and whether it was changed; of a bundle without git
    the commit that it was made of. Empty elsewhere."""
    return read_commit(PACKAGE.parent)


def read_commit(root: Path) -> dict[str, Any]:
    """The commit of the checkout at `root`, as `commit` and `dirty`; of a bundle `commit` alone; empty elsewhere."""
    try:
        if not (root / ".git").exists():
            sha = (root / BUNDLED).read_text(encoding="ascii").strip()
            return {"commit": sha} if re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", sha) else {}
        sha = git(root, "rev-parse", "HEAD", timeout_s=GIT_TIMEOUT_S)
        dirty = bool(git(root, "status", "--porcelain", "--untracked-files=no", timeout_s=GIT_TIMEOUT_S))
    except (OSError, UnicodeDecodeError, subprocess.SubprocessError):
        return {}
    return {"commit": sha, "dirty": dirty}


@functools.cache
def cpu_model() -> str:
    """The processor's marketing name, as the system gives it."""
    if name := cpuinfo().get("model name"):
        return name
    if sys.platform == "darwin":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    return platform.processor() or platform.machine() or "unknown"


def cpu_family() -> str:
    """Family, model and stepping, as `25.1.1`: they tell processors of one name apart. Empty where not x86 Linux."""
    cpu = cpuinfo()
    return ".".join(cpu[name] for name in ("cpu family", "model", "stepping") if name in cpu)


@functools.cache
def cpuinfo() -> dict[str, str]:
    """The facts of /proc/cpuinfo about the first processor, by name; empty where it cannot be read."""
    with contextlib.suppress(OSError):
        first, _, _ = Path("/proc/cpuinfo").read_text().partition("\n\n")
        lines = (line.partition(":") for line in first.splitlines())
        return {name.strip(): value.strip() for name, _, value in lines}
    return {}


@functools.cache
def gpus() -> FoundGpus:
    """The GPUs that NVML shows, as they were when this process first asked."""
    return find_gpus()


def gpu_names() -> list[str]:
    """The name of every GPU that can be read, UNNAMED_GPU for one that gives none."""
    return [gpu.name or UNNAMED_GPU for gpu in gpus().readable]


@functools.cache
def gpu_memory_bytes() -> int | None:
    """The memory of the largest GPU that tells its own; None where none does."""
    sizes = []
    for gpu in gpus().readable:
        with contextlib.suppress(pynvml.NVMLError):
            sizes.append(int(pynvml.nvmlDeviceGetMemoryInfo(gpu.handle).total))
    return max(sizes, default=None)


@functools.cache
def installed_version(package: str) -> str | None:
    """The version of an installed distribution, else None."""
    try:
        return importlib.metadata.version(package)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None
