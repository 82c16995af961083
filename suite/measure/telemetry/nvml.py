"""Every GPU that NVML shows: power, energy, utilisation, memory, clocks, temperature, event reasons, PCIe.

`nvmlDeviceGetPowerUsage` is an average over one second on Ampere and newer, and instantaneous before and on GA100 (the
A100's chip), by NVML's own documentation; the instant power of newer ones is field 186. Each goes under its own name.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pynvml

from suite.measure.telemetry.devices import is_same_gpu, is_split
from suite.measure.telemetry.library import loaded_library
from suite.measure.telemetry.source import Seen, Source, Target
from suite.records.nvml import State, opened

GA100_PCI_IDS = range(0x2080, 0x2100)
MILLI, KILO, MEGA, PERCENT = 1e-3, 1e3, 1e6, 1e-2

Read = Callable[[Any], float]


def _instant_power_w(handle: Any) -> float:
    (field,) = pynvml.nvmlDeviceGetFieldValues(handle, [pynvml.NVML_FI_DEV_POWER_INSTANT])
    if field.nvmlReturn != pynvml.NVML_SUCCESS:
        raise pynvml.NVMLError(field.nvmlReturn)
    return float(field.value.uiVal * MILLI)


def _power_usage_w(handle: Any) -> float:
    return float(pynvml.nvmlDeviceGetPowerUsage(handle) * MILLI)


def _event_reasons(handle: Any) -> float:
    try:
        return float(pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
    except pynvml.NVMLError_FunctionNotFound:  # older drivers know them by their older name
        return float(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))


READS: Mapping[str, Read] = {
    "energy_j": lambda handle: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) * MILLI,
    "event_reasons": _event_reasons,
    "utilisation_share": lambda handle: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu * PERCENT,
    "memory_used_bytes": lambda handle: float(pynvml.nvmlDeviceGetMemoryInfo(handle).used),
    "sm_clock_hz": lambda handle: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM) * MEGA,
    "memory_clock_hz": lambda handle: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM) * MEGA,
    "temperature_c": lambda handle: float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)),
}
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
    """One GPU by NVML's index, and what of it can be read. Raises NVMLError where not even its name can be."""

    def __init__(self, index: int) -> None:
        self.label = f"gpu{index}"
        self._handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        self.name: str = pynvml.nvmlDeviceGetName(self._handle)
        self.uuid: str = pynvml.nvmlDeviceGetUUID(self._handle)
        pci = pynvml.nvmlDeviceGetPciInfo(self._handle)
        self.pci = f"{pci.domain:08x}:{pci.bus:02x}:{pci.device:02x}"
        averages = self._averages_power(pci.pciDeviceId >> 16)
        self._reads: dict[str, Read] = {"power_instant_w": _instant_power_w, **READS}
        if averages:
            self._reads["power_average_w"] = _power_usage_w
        else:
            self._reads["power_instant_w"] = _power_usage_w
        self._slow_reads = dict(SLOW_READS)
        self.state = State.MIG if is_split(self._handle) else State.MEASURED
        self.power_usage_is = "average over 1 s" if averages else "instant"
        self.missing: dict[str, str] = {}
        self.other_processes: int | None = None

    def begin(self) -> None:
        self.other_processes = None

    def sample(self, *, pid: int | None, is_used: bool, is_slow_tick: bool) -> Iterable[Seen]:
        reads = self._reads | self._slow_reads if is_used and is_slow_tick else self._reads
        for quantity, read in tuple(reads.items()):
            if self.state is State.LOST:
                return
            value = self._read(quantity, read)
            if value is not None:
                yield Seen(self.label, quantity, value)
        if is_slow_tick and self.state is not State.LOST:
            count = self._read("other_processes", lambda handle: self._count_others(handle, pid, is_used=is_used))
            if count is not None:
                self.other_processes = max(self.other_processes or 0, int(count))
                yield Seen(self.label, "other_processes", count)

    def facts(self, *, is_used: bool) -> dict[str, Any]:
        others = {} if self.other_processes is None else {"other_processes": self.other_processes}
        return {
            "name": self.name,
            "used": is_used,
            "state": str(self.state),
            "power_usage_is": self.power_usage_is,
            "missing": dict(self.missing),
            **others,
        }

    def _read(self, quantity: str, read: Read) -> float | None:
        """The value now; None, and never asked again, where it cannot be read."""
        if quantity in self.missing:
            return None
        try:
            return read(self._handle)
        except (pynvml.NVMLError_GpuIsLost, pynvml.NVMLError_ResetRequired):
            self.state = State.LOST
        except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound):
            self.missing[quantity] = State.MISSING_COUNTER
        except pynvml.NVMLError_NoPermission:
            self.missing[quantity] = State.NO_PERMISSION
        except pynvml.NVMLError as error:
            self.missing[quantity] = f"{State.FAILED}: {error}"
        return None

    def _averages_power(self, pci_id: int) -> bool:
        try:
            architecture: int = pynvml.nvmlDeviceGetArchitecture(self._handle)
        except pynvml.NVMLError:
            return False
        is_known_to_average = pynvml.NVML_DEVICE_ARCH_AMPERE <= architecture != pynvml.NVML_DEVICE_ARCH_UNKNOWN
        return is_known_to_average and pci_id not in GA100_PCI_IDS

    @staticmethod
    def _count_others(handle: Any, pid: int | None, *, is_used: bool) -> float:
        pids = [process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)]
        others = [other for other in pids if other != pid]
        # Inside a container NVML names processes by the host's numbers: the one that is not found is ours.
        is_hidden_among_them = is_used and len(others) == len(pids) > 0
        return float(len(others) - is_hidden_among_them)


class Nvml(Source):
    name = "nvml"

    def __init__(self) -> None:
        super().__init__()
        self._gpus: list[Gpu] = []
        self.state, self.why = opened()
        if self.state is not State.MEASURED:
            return
        try:
            self._gpus = [Gpu(index) for index in range(pynvml.nvmlDeviceGetCount())]
            self._library = {**loaded_library("libnvidia-ml.so"), "driver": pynvml.nvmlSystemGetDriverVersion()}
        except pynvml.NVMLError_NoPermission:
            self.state, self.why = State.NO_PERMISSION, "the NVIDIA driver lets this user see no GPU"
        except pynvml.NVMLError as error:
            self.state, self.why = State.FAILED, f"the NVIDIA driver does not answer: {error}"

    def begin(self) -> None:
        for gpu in self._gpus:
            gpu.begin()

    def sample(self, target: Target, *, is_slow_tick: bool) -> Iterable[Seen]:
        for gpu in self._gpus:
            is_used = _is_used(gpu, target)
            yield from gpu.sample(pid=target.pid, is_used=is_used, is_slow_tick=is_slow_tick)

    def facts(self, target: Target) -> Mapping[str, Any]:
        if not self._gpus:
            return {}
        return {
            "devices": {gpu.label: gpu.facts(is_used=_is_used(gpu, target)) for gpu in self._gpus},
            "nvml": self._library,
        }


def _is_used(gpu: Gpu, target: Target) -> bool:
    return any(is_same_gpu(identity, uuid=gpu.uuid, pci=gpu.pci) for identity in target.cuda_devices)
