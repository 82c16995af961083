"""Devices to measure on, by the name that the setting `device` gives them: how each is timed, flushed and watched."""

from suite.measure.devices.cpu import Cpu
from suite.measure.devices.cuda import Cuda
from suite.measure.devices.device import Device


def device_for(name: str, threads: int) -> Device:
    """`threads`: of the CPU, where that does the work."""
    return Cuda() if name == "cuda" else Cpu(threads)
