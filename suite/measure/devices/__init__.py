"""Devices to measure on, by the name that the setting `device` gives them: how each is timed, flushed and watched."""

from suite.configuration.devices import CPU, device_index
from suite.measure.devices.cpu import Cpu
from suite.measure.devices.cuda import Cuda
from suite.measure.devices.device import Device


def device_for(name: str, threads: int) -> Device:
    """The GPU for the name `cuda` or one such as `cuda:1`, else the CPU with so many threads."""
    return Cpu(threads) if name == CPU else Cuda(device_index(name))
