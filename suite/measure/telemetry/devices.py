"""Which of NVML's GPUs is torch's: their numbers differ, by PCI order and by what CUDA_VISIBLE_DEVICES hides."""

from collections.abc import Mapping
from typing import Any

import pynvml


def is_same_gpu(identity: Mapping[str, Any], *, uuid: str, pci: str) -> bool:
    """Whether torch's device is NVML's: by UUID, or by PCI domain, bus and device.

    A part of a GPU that MIG splits has a UUID of its own: then the bus tells whose part it is.
    `identity`: `uuid`, with or without NVML's prefix, or None; `pci`, hexadecimal as `domain:bus:device`, or None.
    """
    told_uuid, told_pci = identity.get("uuid"), identity.get("pci")
    return (told_uuid is not None and _bare(str(told_uuid)) == _bare(uuid)) or (
        told_pci is not None and _numbers(str(told_pci)) == _numbers(pci)
    )


def handle_of(identity: Mapping[str, Any]) -> Any | None:
    """NVML's handle of torch's device, or None where NVML shows no such GPU. Raises NVMLError."""
    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        pci = pynvml.nvmlDeviceGetPciInfo(handle)
        named = f"{pci.domain:x}:{pci.bus:x}:{pci.device:x}"
        if is_same_gpu(identity, uuid=pynvml.nvmlDeviceGetUUID(handle), pci=named):
            return handle
    return None


def is_split(handle: Any) -> bool:
    """Whether MIG splits the GPU: what NVML counts is then the whole card's."""
    try:
        current, _ = pynvml.nvmlDeviceGetMigMode(handle)
    except pynvml.NVMLError:  # what cannot be split does not know the question
        return False
    return bool(current == pynvml.NVML_DEVICE_MIG_ENABLE)


def _bare(uuid: str) -> str:
    return uuid.lower().removeprefix("gpu-")


def _numbers(pci: str) -> list[int]:
    return [int(part.partition(".")[0], 16) for part in pci.split(":")]
