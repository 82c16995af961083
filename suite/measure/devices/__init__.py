"""What a case is measured on, by the name that the setting `device` gives it."""

from suite.measure.devices.cpu import Cpu
from suite.measure.devices.cuda import Cuda
from suite.measure.devices.device import Device


def device_for(name: str, threads: int) -> Device:
    """`threads`: of the CPU, where that does the work."""
    return Cuda() if name == "cuda" else Cpu(threads)
