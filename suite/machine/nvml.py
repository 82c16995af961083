"""Opening NVML, and a name for every way in which a source of telemetry can fail: absence is said, never zero.

A call that fails costs what it was asked for and no more: one GPU of several, or one fact of a GPU.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import pynvml

PCI_DRIVERS = Path("/sys/bus/pci/drivers")
UNREADABLE = (pynvml.NVMLError, UnicodeDecodeError)
"""Errors of one question to NVML: its own, and the bindings' where a text is no text."""


class State(StrEnum):
    """The state of a source: measured, or one of the known ways to fail."""

    MEASURED = "measured"
    NO_DRIVER = "no_driver"
    NO_PERMISSION = "no_permission"
    NO_DEVICE = "no_device"
    MISSING_COUNTER = "missing_counter"
    MIG = "mig"
    AMD = "amd"
    APPLE = "apple"
    LOST = "lost"
    NOT_HERE = "not_here"
    """This system has no such file."""
    FAILED = "failed"
    """The driver answered with an error that has no name of its own here; the reason is its."""


@dataclass(frozen=True, kw_only=True)
class ShownGpu:
    """A GPU as NVML shows it. A fact that it does not give is None."""

    label: str
    """`gpu0` and so on, by NVML's own index."""
    state: str
    """`measured`, or the reason why nothing can be read of it, by `failure_reason`."""
    handle: Any = None
    name: str | None = None
    uuid: str | None = None
    pci: Any = None
    """NVML's structure of numbers."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """For each fact that it does not give, the reason by `failure_reason`."""

    @property
    def is_readable(self) -> bool:
        """Whether NVML gives anything of the GPU; single facts may still be missing."""
        return self.state == State.MEASURED


@dataclass(frozen=True, kw_only=True)
class FoundGpus:
    state: State
    """`measured` where at least one GPU can be read."""
    why: str
    """Why none can be; else empty."""
    gpus: Sequence[ShownGpu] = ()
    """In NVML's order, those included that cannot be read."""

    @property
    def readable(self) -> list[ShownGpu]:
        return [gpu for gpu in self.gpus if gpu.is_readable]

    @property
    def unread(self) -> dict[str, str]:
        """For each GPU that cannot be read the reason, by its label."""
        return {gpu.label: gpu.state for gpu in self.gpus if not gpu.is_readable}


def find_gpus(platform: str = sys.platform, pci_drivers: Path = PCI_DRIVERS) -> FoundGpus:
    """Open NVML for the life of this process and return what it shows, or why it shows nothing."""
    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
        # A GPU of another maker explains the absence.
        if platform == "darwin":
            return FoundGpus(state=State.APPLE, why="Apple's GPUs are unknown to NVML")
        if any((pci_drivers / "amdgpu").glob("*:*:*")):
            return FoundGpus(state=State.AMD, why="AMD's GPUs are unknown to NVML")
        return FoundGpus(state=State.NO_DRIVER, why="no NVIDIA driver")
    except pynvml.NVMLError_NoPermission:
        return FoundGpus(state=State.NO_PERMISSION, why="the NVIDIA driver does not let this user ask")
    except pynvml.NVMLError as error:
        return FoundGpus(state=State.FAILED, why=f"the NVIDIA driver does not answer: {error}")
    if not count:
        return FoundGpus(state=State.NO_DEVICE, why="an NVIDIA driver, but no GPU")
    gpus = [_query_gpu(index) for index in range(count)]
    if any(gpu.is_readable for gpu in gpus):
        return FoundGpus(state=State.MEASURED, why="", gpus=gpus)
    why = f"no GPU can be read ({', '.join(f'{gpu.label}: {gpu.state}' for gpu in gpus)})"
    return FoundGpus(state=State(gpus[0].state.partition(":")[0]), why=why, gpus=gpus)


def failure_reason(error: Exception) -> str:
    """The state that an error stands for; one without a name of its own brings its text behind a colon."""
    if isinstance(error, pynvml.NVMLError_GpuIsLost | pynvml.NVMLError_ResetRequired):
        return State.LOST
    if isinstance(error, pynvml.NVMLError_NotSupported | pynvml.NVMLError_FunctionNotFound):
        return State.MISSING_COUNTER
    if isinstance(error, pynvml.NVMLError_NoPermission):
        return State.NO_PERMISSION
    return f"{State.FAILED}: {error}"


def _query_gpu(index: int) -> ShownGpu:
    """Ask NVML for a GPU's handle and facts. A fact that it refuses is in `missing`; without a handle all are."""
    label = f"gpu{index}"
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    except pynvml.NVMLError as error:
        return ShownGpu(label=label, state=failure_reason(error))
    queries: dict[str, Callable[[Any], Any]] = {
        "name": pynvml.nvmlDeviceGetName,
        "uuid": pynvml.nvmlDeviceGetUUID,
        "pci": pynvml.nvmlDeviceGetPciInfo,
    }
    facts, missing = {}, {}
    for fact, query in queries.items():
        try:
            facts[fact] = query(handle)
        except UNREADABLE as error:
            missing[fact] = failure_reason(error)
    state = State.LOST if State.LOST in missing.values() else State.MEASURED
    return ShownGpu(label=label, state=state, handle=handle, missing=missing, **facts)
