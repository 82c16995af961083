"""What `device=auto` stands for: the first NVIDIA GPU that torch can use, else the CPU."""

import functools
from typing import Any

from suite.configuration.devices import AUTO, CPU, CUDA, why_no_cuda
from suite.records.machine.environment import gpu_names, gpus

TYPED = f"device={AUTO}"


@functools.cache
def auto_device() -> tuple[str, str]:
    """The device and the reason. Torch, which takes seconds to answer, is asked where NVML shows a GPU."""
    why_not = why_no_cuda() if gpus().readable else gpus().why
    return (CUDA, ", ".join(gpu_names())) if why_not is None else (CPU, why_not)


def chosen_device(name: Any) -> Any:
    """The device that is meant by `auto`; any other value as it is."""
    return auto_device()[0] if name == AUTO else name
