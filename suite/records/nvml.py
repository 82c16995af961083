"""Opening NVML, and a name for every way in which a source of telemetry can fail: absence is said, never zero."""

import sys
from enum import StrEnum
from pathlib import Path

import pynvml

PCI_DRIVERS = Path("/sys/bus/pci/drivers")


class State(StrEnum):
    """Whether a source could be read, and if not, which of the known ways it failed in."""

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


def opened(platform: str = sys.platform, pci_drivers: Path = PCI_DRIVERS) -> tuple[State, str]:
    """Open NVML for the life of this process: whether it answers and shows a GPU, and if not, why."""
    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
        return _other_maker(platform, pci_drivers) or (State.NO_DRIVER, "no NVIDIA driver")
    except pynvml.NVMLError_NoPermission:
        return State.NO_PERMISSION, "the NVIDIA driver does not let this user ask"
    except pynvml.NVMLError as error:
        return State.FAILED, f"the NVIDIA driver does not answer: {error}"
    return (State.MEASURED, "") if count else (State.NO_DEVICE, "an NVIDIA driver, but no GPU")


def _other_maker(platform: str, pci_drivers: Path) -> tuple[State, str] | None:
    """A GPU that NVML cannot know, where that explains its absence."""
    if platform == "darwin":
        return State.APPLE, "Apple's GPUs are unknown to NVML"
    if any((pci_drivers / "amdgpu").glob("*:*:*")):
        return State.AMD, "AMD's GPUs are unknown to NVML"
    return None
