"""Specifications of known GPUs. A device that is not listed has none: another card's is never used."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suite.configuration.files import choices, full_name, read_choice
from suite.theory.layers.roofline import Ceilings

SPECIFICATION_DTYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


@dataclass(frozen=True, kw_only=True)
class Hardware:
    name: str
    memory_bytes: int
    bytes_per_s: float
    dense_flops_per_s: dict[str, float]
    """Peak without sparsity, by torch's dtype name. A dtype the device lacks is absent."""
    tdp_w: float | None = None

    def ceilings(self, dtype: str) -> Ceilings | None:
        """The specification's ceilings for a dtype, or None where the device does not have it."""
        peak = self.dense_flops_per_s.get(dtype)
        return None if peak is None else Ceilings(flops_per_s=peak, bytes_per_s=self.bytes_per_s)


@functools.cache
def load_hardware(name: str) -> Hardware:
    """A device by the name of its file. Raises ValueError, naming the choices, for an unknown one."""
    return hardware_from(read_choice("hardware", name))


def hardware_from(content: Mapping[str, Any]) -> Hardware:
    """A device from the contents of its file."""
    rates = content.get("dense_tflops") or {}
    peaks = {dtype: rates.get(short) for dtype, short in SPECIFICATION_DTYPES.items()}
    return Hardware(
        name=str(content["name"]),
        memory_bytes=int(content["memory_gb"] * 1e9),
        bytes_per_s=content["mem_bw_gbs"] * 1e9,
        dense_flops_per_s={dtype: rate * 1e12 for dtype, rate in peaks.items() if rate is not None},
        tdp_w=content.get("tdp_w"),
    )


def hardware_names() -> tuple[str, ...]:
    """The names of all devices of conf/hardware."""
    return choices("hardware")


@functools.cache
def hardware_reported_as(name: str) -> str | None:
    """The name in conf/hardware of the device that a driver reports as `name`; None for an unknown one."""
    full = full_name("hardware", name)
    return full if full in hardware_names() else None


@functools.cache
def known_hardware() -> tuple[Hardware, ...]:
    """Every device of conf/hardware."""
    return tuple(map(load_hardware, hardware_names()))


def least_times_s(*, flops: float, traffic_bytes: float, dtype: str) -> dict[str, float]:
    """The least time in seconds for this work, by device: each of conf/hardware that has a peak for `dtype`."""
    ceilings = {device.name: device.ceilings(dtype) for device in known_hardware()}
    return {name: peak.bound_s(flops=flops, traffic_bytes=traffic_bytes) for name, peak in ceilings.items() if peak}
