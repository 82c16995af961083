"""Which of NVML's GPUs is torch's: their numbers differ, by PCI order and by what CUDA_VISIBLE_DEVICES hides."""

from collections.abc import Mapping
from typing import Any

import pynvml

from suite.records.nvml import ShownGpu


def is_same_gpu(identity: Mapping[str, Any], gpu: ShownGpu) -> bool:
    """Return whether torch's device is NVML's: by UUID, or by PCI domain, bus and device, whichever both give.

    A part of a GPU that MIG splits has a UUID of its own: then the bus tells whose part it is.
    `identity`: `uuid`, with or without NVML's prefix, or None; `pci`, hexadecimal as `domain:bus:device`, or None.
    """
    told_uuid, told_pci = identity.get("uuid"), identity.get("pci")
    return (told_uuid is not None and gpu.uuid is not None and _bare(str(told_uuid)) == _bare(gpu.uuid)) or (
        told_pci is not None
        and gpu.pci is not None
        and _numbers(str(told_pci)) == [gpu.pci.domain, gpu.pci.bus, gpu.pci.device]
    )


def is_split(handle: Any) -> bool:
    """Return whether MIG splits the GPU: what NVML counts is then the whole card's. Raises NVMLError."""
    try:
        current, _ = pynvml.nvmlDeviceGetMigMode(handle)
    except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound):
        return False  # what cannot be split does not know the question
    return bool(current == pynvml.NVML_DEVICE_MIG_ENABLE)


def _bare(uuid: str) -> str:
    return uuid.lower().removeprefix("gpu-")


def _numbers(pci: str) -> list[int]:
    return [int(part.partition(".")[0], 16) for part in pci.split(":")]
