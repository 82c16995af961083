"""Every GPU that NVML shows: power, energy, utilisation, memory, clocks, temperature, event reasons, PCIe.

`nvmlDeviceGetPowerUsage` is an average over one second on Ampere and newer, and instantaneous before and on GA100 (the
A100's chip), by NVML's own documentation; the instant power of newer ones is field 186. Each goes under its own name.
"""

import functools
import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pynvml

from suite.machine.nvml import UNREADABLE, ShownGpu, State, failure_reason, find_gpus
from suite.measure.telemetry.source import Seen, Source, Target

GA100_PCI_IDS = range(0x2080, 0x2100)
MILLI, KILO, MEGA, PERCENT = 1e-3, 1e3, 1e6, 1e-2
MAPPED = Path("/proc/self/maps")

OTHERS, BY_MPS, DRAWING = OF_PROCESSES = "other_processes", "mps_processes", "graphics_processes"
# NVML's names of the kinds of processes. Those of MPS and those that draw are counted with ours among them.
KINDS = dict(zip(OF_PROCESSES, ("Compute", "MPSCompute", "Graphics"), strict=True))

T = TypeVar("T")
Read = Callable[[Any], float]


def _instant_power_w(handle: Any) -> float:
    """Power at this instant, field 186. Raises NVMLError."""
    (field,) = pynvml.nvmlDeviceGetFieldValues(handle, [pynvml.NVML_FI_DEV_POWER_INSTANT])
    if field.nvmlReturn != pynvml.NVML_SUCCESS:
        raise pynvml.NVMLError(field.nvmlReturn)
    return float(field.value.uiVal * MILLI)


def _event_reasons(handle: Any) -> float:
    """Bit mask of the reasons why the clocks are as they are; see `sampler.THROTTLES`."""
    try:
        return float(pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
    except pynvml.NVMLError_FunctionNotFound:  # older drivers know them by their older name
        return float(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))


def _pids(kind: str, handle: Any) -> set[int]:
    """Process ids on a GPU of one of KINDS."""
    # By version, since the bindings' unversioned call raises no NVMLError where its version is missing.
    try:
        listed = getattr(pynvml, f"nvmlDeviceGet{kind}RunningProcesses_v3")(handle)
    except pynvml.NVMLError_FunctionNotFound:
        listed = getattr(pynvml, f"nvmlDeviceGet{kind}RunningProcesses_v2")(handle)
    return {process.pid for process in listed}


READS: Mapping[str, Read] = {
    "energy_j": lambda handle: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) * MILLI,
    "event_reasons": _event_reasons,
    "utilisation_share": lambda handle: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu * PERCENT,
    "memory_used_bytes": lambda handle: float(pynvml.nvmlDeviceGetMemoryInfo(handle).used),
    "sm_clock_hz": lambda handle: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM) * MEGA,
    "memory_clock_hz": lambda handle: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM) * MEGA,
    "temperature_c": lambda handle: float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)),
}
# Once, before anything runs. The structure's first version counts the driver's own memory too, not only processes'.
FIRST_READS: dict[str, Read] = {
    "held_before_bytes": lambda handle: float(
        pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2).used
    ),
    "power_limit_w": lambda handle: pynvml.nvmlDeviceGetEnforcedPowerLimit(handle) * MILLI,
    "highest_sm_clock_hz": lambda handle: pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_SM) * MEGA,
    "highest_memory_clock_hz": lambda handle: pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_MEM) * MEGA,
    "uncorrected_memory_errors": lambda handle: float(
        pynvml.nvmlDeviceGetTotalEccErrors(handle, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC)
    ),
    "persistence_mode": lambda handle: float(pynvml.nvmlDeviceGetPersistenceMode(handle)),
}
if sys.platform == "win32":  # 0: the one that draws too, WDDM, which launches in batches
    FIRST_READS |= {"driver_model": lambda handle: float(pynvml.nvmlDeviceGetDriverModel(handle)[0])}
# NVML watches the bus for 20 ms a call, so only a GPU in use is asked, and seldom.
SLOW_READS: Mapping[str, Read] = {
    "pcie_sent_bytes_per_s": lambda handle: (
        pynvml.nvmlDeviceGetPcieThroughput(handle, pynvml.NVML_PCIE_UTIL_TX_BYTES) * KILO
    ),
    "pcie_received_bytes_per_s": lambda handle: (
        pynvml.nvmlDeviceGetPcieThroughput(handle, pynvml.NVML_PCIE_UTIL_RX_BYTES) * KILO
    ),
}


class Gpu:
    """One GPU, and what of it can be read."""

    def __init__(self, shown: ShownGpu) -> None:
        self.shown, self.label = shown, shown.label
        self._handle = shown.handle
        self.state, self.missing = shown.state, dict(shown.missing)
        self._most: dict[str, int] = {}  # the most processes of each kind at one time
        self._first_facts: dict[str, Any] = {}
        self._reads: dict[str, Read] = {"power_instant_w": _instant_power_w, **READS}
        if not shown.is_readable:
            return
        if self._read("mig", is_split):
            self.state = State.MIG
        averages = self._averages_power()
        if averages is None:
            self.missing["power_average_w"] = f"{State.FAILED}: NVML does not say over what the power is averaged"
        else:
            quantity = "power_average_w" if averages else "power_instant_w"
            self._reads[quantity] = lambda handle: pynvml.nvmlDeviceGetPowerUsage(handle) * MILLI
        usage = {True: "average over 1 s", False: "instant", None: "unknown"}[averages]
        first_values = {quantity: self._read(quantity, read) for quantity, read in FIRST_READS.items()}
        self._first_facts = {"power_usage_is": usage, **first_values}

    def begin(self) -> None:
        """Forget how many processes were seen, since a case starts."""
        self._most = {}

    def sample(self, *, pid: int | None, is_used: bool, is_slow_tick: bool) -> Iterable[Seen]:
        """Yield what can be read now; at slow ticks also other processes, and PCIe's traffic if `is_used`."""
        reads = {**self._reads, **SLOW_READS} if is_used and is_slow_tick else self._reads
        for quantity, read in reads.items():
            if not self._answers:
                return
            value = self._read(quantity, read)
            if value is not None:
                yield Seen(self.label, quantity, value)
        if is_slow_tick and (other_processes := self._count_other_processes(pid, is_used=is_used)) is not None:
            yield Seen(self.label, "other_processes", float(other_processes))

    def facts(self, *, is_used: bool) -> dict[str, Any]:
        """Facts for the record: name, state, missing quantities, first readings and most processes at one time."""
        facts = {
            "name": self.shown.name,
            "used": is_used,
            "state": str(self.state),
            "missing": dict(self.missing),
            **self._first_facts,
            **{name: most for name, most in self._most.items() if most or name == OTHERS},
        }
        return {name: fact for name, fact in facts.items() if fact is not None}

    @property
    def _answers(self) -> bool:
        return self.state in (State.MEASURED, State.MIG)

    def _read(self, quantity: str, read: Callable[[Any], T]) -> T | None:
        """The value of `read` now. Where that fails, None, and the quantity is noted as missing and not read again."""
        if quantity in self.missing:
            return None
        try:
            return read(self._handle)
        except UNREADABLE as error:
            reason = failure_reason(error)
            if reason == State.LOST:
                self.state = State.LOST
            else:
                self.missing[quantity] = reason
        return None

    def _averages_power(self) -> bool | None:
        """Whether NVML's power is an average over a second, by the GPU's architecture; None if that is unknown."""
        try:
            architecture: int = pynvml.nvmlDeviceGetArchitecture(self._handle)
        except pynvml.NVMLError_FunctionNotFound:  # a library older than Ampere
            return False
        except pynvml.NVMLError:
            return None
        if architecture != pynvml.NVML_DEVICE_ARCH_AMPERE:
            is_known = architecture != pynvml.NVML_DEVICE_ARCH_UNKNOWN
            return architecture > pynvml.NVML_DEVICE_ARCH_AMPERE if is_known else None
        return None if self.shown.pci is None else self.shown.pci.pciDeviceId >> 16 not in GA100_PCI_IDS

    def _count_other_processes(self, pid: int | None, *, is_used: bool) -> int | None:
        """Number of processes besides `pid` that compute here, MPS's included; None if unknown. Keeps the most seen."""
        pids_by_kind: dict[str, set[int]] = {}
        for quantity, kind in KINDS.items():
            if self._answers and (pids := self._read(quantity, functools.partial(_pids, kind))) is not None:
                pids_by_kind[quantity] = pids
        if OTHERS not in pids_by_kind:
            return None
        computing = pids_by_kind[OTHERS] | pids_by_kind.get(BY_MPS, set())
        other_pids = computing - {pid}
        # Inside a container NVML names processes by the host's numbers: the one that is not found is ours.
        is_hidden_among_them = is_used and len(other_pids) == len(computing) > 0
        count = len(other_pids) - is_hidden_among_them
        counts = {OTHERS: count, **{name: len(pids_by_kind.get(name, ())) for name in (BY_MPS, DRAWING)}}
        self._most = {name: max(count, self._most.get(name, 0)) for name, count in counts.items()}
        return count


class Nvml(Source):
    name = "nvml"

    def __init__(self) -> None:
        super().__init__()
        discovery = find_gpus()
        self.state, self.why = discovery.state, discovery.why
        self._gpus = [Gpu(shown) for shown in discovery.gpus]
        if self._gpus:
            try:
                driver = str(pynvml.nvmlSystemGetDriverVersion())
            except UNREADABLE as error:
                driver = failure_reason(error)
            self._library = {**loaded_library("libnvidia-ml.so"), "driver": driver}

    def begin(self) -> None:
        for gpu in self._gpus:
            gpu.begin()

    def sample(self, target: Target, *, is_slow_tick: bool) -> Iterable[Seen]:
        used = [gpu for gpu in self._gpus if _is_used(gpu, target)]
        for gpu in self._gpus if is_slow_tick or not used else used:  # each asks as much of the driver
            yield from gpu.sample(pid=target.pid, is_used=gpu in used, is_slow_tick=is_slow_tick)

    def facts(self, target: Target) -> Mapping[str, Any]:
        if not self._gpus:
            return {}
        return {
            "devices": {gpu.label: gpu.facts(is_used=_is_used(gpu, target)) for gpu in self._gpus},
            "nvml": self._library,
        }


def _is_used(gpu: Gpu, target: Target) -> bool:
    return any(is_same_gpu(identity, gpu.shown) for identity in target.cuda_devices)


def is_same_gpu(identity: Mapping[str, Any], gpu: ShownGpu) -> bool:
    """Whether torch's device is NVML's: by UUID, or by PCI domain, bus and device, whichever both give.

    A part of a GPU that MIG splits has a UUID of its own: then the bus tells whose part it is.
    `identity`: `uuid`, with or without NVML's prefix, or None; `pci`, hexadecimal as `domain:bus:device`, or None.
    """
    uuids = [str(uuid).lower().removeprefix("gpu-") for uuid in (identity.get("uuid"), gpu.uuid) if uuid is not None]
    if len(uuids) == 2 and uuids[0] == uuids[1]:
        return True
    pci = identity.get("pci")
    if pci is None or gpu.pci is None:
        return False
    numbers = [int(part.partition(".")[0], 16) for part in str(pci).split(":")]
    return numbers == [gpu.pci.domain, gpu.pci.bus, gpu.pci.device]


def is_split(handle: Any) -> bool:
    """Whether MIG splits the GPU: what NVML counts is then the whole card's. Raises NVMLError."""
    try:
        current, _ = pynvml.nvmlDeviceGetMigMode(handle)
    except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound):
        return False  # what cannot be split does not know the question
    return bool(current == pynvml.NVML_DEVICE_MIG_ENABLE)


def loaded_library(name: str) -> dict[str, Any]:
    """Name, size and sha256 of the loaded library whose file name contains `name`; empty where the system has no list.

    Its folder is left out, as a record names no path.
    """
    if not MAPPED.exists():
        return {}
    for line in MAPPED.read_text().splitlines():
        path = Path(line.split(maxsplit=5)[-1])
        if name in path.name and path.is_file():
            content = path.read_bytes()
            return {"library": path.name, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return {}
