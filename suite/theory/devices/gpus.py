"""A set of equal GPUs as people name it: `4x80` is four of 80 decimal GB, `4xh100-sxm5-80gb` four of conf/hardware."""

import re
from dataclasses import dataclass

from suite.configuration.files import full_name
from suite.configuration.values import did_you_mean
from suite.theory.devices.hardware import Hardware, hardware_names, load_hardware

SHARDS = (1, 2, 4, 8)
"""Devices that may share a step of RL."""
GPU_GIGABYTES = (24, 40, 80, 141)
"""Memory of a GPU as it is sold, in decimal units."""


@dataclass(frozen=True, kw_only=True)
class Gpus:
    count: int
    memory_bytes: int
    """Memory of one of them."""
    device: Hardware | None
    """None where the memory alone was named: then nothing is known of its speed."""


def gpus_from(text: object) -> Gpus:
    """Read a set of GPUs, as `4x80` or `4xh100-sxm5-80gb`. Raises ValueError, in one sentence, for anything else."""
    match = re.fullmatch(r"(\d+)x(.+)", text) if isinstance(text, str) else None
    if match is None or int(match[1]) < 1:
        raise ValueError(
            f"gpus must be how many (at least 1), an x, and the GB or the name of one, as 4x80 or 4xh100-sxm5-80gb "
            f"(suite ls hardware lists names); got {text!r}"
        )
    count, one_gpu = int(match[1]), match[2]
    if re.fullmatch(r"\d+(\.\d+)?", one_gpu):
        if float(one_gpu) == 0:
            raise ValueError(f"gpus must have more than 0 GB of memory; got {text!r}")
        return Gpus(count=count, memory_bytes=int(float(one_gpu) * 1e9), device=None)
    name, devices = full_name("hardware", one_gpu), hardware_names()
    if name not in devices:
        rule = f"gpus must name the decimal GB of one GPU, or one of {', '.join(devices)}"
        raise ValueError(f"{rule}; got {one_gpu!r}{did_you_mean(one_gpu, devices)}")
    device = load_hardware(name)
    return Gpus(count=count, memory_bytes=device.memory_bytes, device=device)


def gpu_count(text: object) -> int:
    """The count of a set of GPUs; 1 where none is named."""
    return 1 if text is None else gpus_from(text).count
