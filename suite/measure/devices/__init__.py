"""Devices to measure on, by the name that the setting `device` gives them: how each is timed, flushed and watched."""

from suite.measure.devices.cpu import Cpu
from suite.measure.devices.cuda import Cuda
from suite.measure.devices.device import Device


def device_for(name: str, threads: int) -> Device:
    """The CUDA device for the name `cuda`, else the CPU with so many threads."""
    return Cuda() if name == "cuda" else Cpu(threads)
