"""The counter by which a case is charged for energy: its GPU's, or the CPU packages'. Read in the worker itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pynvml

from suite.machine.nvml import State, failure_reason, find_gpus
from suite.measure.telemetry.nvml import is_same_gpu, is_split
from suite.measure.telemetry.rapl import POWERCAP, packages

MILLI = 1e-3
WHY_NO_ENERGY = {
    State.MISSING_COUNTER: "this GPU has no energy counter",
    State.NO_PERMISSION: "this user may not read the GPU's energy counter",
    State.LOST: "the GPU is lost",
}


class CounterLostError(Exception):
    """A counter that was read before and cannot be read any more; the message says why."""


@dataclass(frozen=True, kw_only=True)
class EnergyCounter:
    source: str
    read_j: Callable[[], float]
    """Raises CounterLostError."""


@dataclass(frozen=True, kw_only=True)
class NoCounter:
    state: State
    why: str


def energy_counter(identity: Mapping[str, Any] | None, powercap: Path = POWERCAP) -> EnergyCounter | NoCounter:
    """Energy counter of the CUDA device with this identity (see nvml.is_same_gpu), or of the CPU packages for None."""
    if identity is not None:
        return _gpu_counter(identity)
    cpu_packages, state, why = packages(powercap)
    if not cpu_packages:
        return NoCounter(state=state, why=why)
    return EnergyCounter(source="rapl", read_j=lambda: sum(package.energy_j() for package in cpu_packages))


def gpu_memory(identity: Mapping[str, Any] | None) -> Callable[[], int | None]:
    """What reads the bytes in use on the CUDA device of this identity, by all processes and the driver. It gives None
    where NVML does not tell, on a split GPU, whose whole card NVML counts, and for None, a CPU."""
    handle = None if identity is None else _whole_gpu(identity, pynvml.nvmlDeviceGetMemoryInfo)
    if handle is None or isinstance(handle, NoCounter):
        return lambda: None

    def read_bytes() -> int | None:
        """Bytes in use now; None where they can no longer be read."""
        try:
            return int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)
        except pynvml.NVMLError:
            return None

    return read_bytes


def _whole_gpu(identity: Mapping[str, Any], read: Callable[[Any], Any]) -> Any:
    """NVML's handle of the GPU with this identity; NoCounter if it is missing or split, or `read` cannot read it."""
    discovery = find_gpus()
    if discovery.state is not State.MEASURED:
        return NoCounter(state=discovery.state, why=discovery.why)
    handle = next((gpu.handle for gpu in discovery.readable if is_same_gpu(identity, gpu)), None)
    if handle is None:
        unread = "".join(f"; {label}: {reason}" for label, reason in discovery.unread.items())
        why = f"NVML shows no GPU with the UUID or PCI bus of torch's device{unread}"
        return NoCounter(state=State.NO_DEVICE, why=why)
    try:
        if is_split(handle):
            return NoCounter(state=State.MIG, why="the GPU is split by MIG: its energy is the whole card's")
        read(handle)
    except pynvml.NVMLError as error:
        state = State(failure_reason(error).partition(":")[0])
        return NoCounter(state=state, why=WHY_NO_ENERGY.get(state, f"the NVIDIA driver does not answer: {error}"))
    return handle


def _gpu_counter(identity: Mapping[str, Any]) -> EnergyCounter | NoCounter:
    """NVML's energy counter of the GPU with this identity; NoCounter if it is missing, split or unreadable."""
    handle = _whole_gpu(identity, pynvml.nvmlDeviceGetTotalEnergyConsumption)
    if isinstance(handle, NoCounter):
        return handle

    def read_j() -> float:
        """Joules since the driver was loaded. Raises CounterLostError."""
        try:
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) * MILLI)
        except pynvml.NVMLError as error:
            raise CounterLostError(str(error)) from error

    return EnergyCounter(source="nvml", read_j=read_j)
