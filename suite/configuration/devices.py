"""The setting `device`: the CPU, or one of the machine's NVIDIA GPUs."""

import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from suite.configuration.values import clipped, given

CPU, CUDA, AUTO = "cpu", "cuda", "auto"
NAME = re.compile(r"cpu|cuda(:\d{1,3})?")
NOT_MEASURED = {"mps": "Apple's", "xpu": "Intel's", "hip": "AMD's", "rocm": "AMD's"}
"""Whose GPUs these names stand for. Their clocks, caches and counters of energy are others than the suite knows."""
MEASURED = "cpu, and NVIDIA's GPUs as cuda or cuda:1; Apple's, Intel's and AMD's GPUs are not measured"
LONGEST_ANSWER_S = 120.0
"""Chosen, not measured: a driver may hang, and torch loads slowly from a cold disk."""


def device_kind(settings: Mapping[str, Any]) -> str:
    """CPU or CUDA, which `cuda:1` is too. Raises ValueError for another device."""
    name = given(settings, "device")
    if isinstance(name, str) and NAME.fullmatch(name):
        return str(kind_of(name))
    owner = NOT_MEASURED.get(str(kind_of(name)))
    why = "" if owner is None else f": {owner} GPUs are not measured yet"
    raise ValueError(f"device must be one of auto, cpu, cuda and cuda:1 and so on; got {clipped(name)}{why}")


def kind_of(name: Any) -> Any:
    """`cuda` for `cuda:1`; anything else as it is."""
    return name.partition(":")[0] if isinstance(name, str) else name


def device_index(name: str) -> int | None:
    """The number of a GPU that `cuda:1` names; None for the first that is visible, and for the CPU."""
    number = name.partition(":")[2]
    return int(number) if number else None


def why_no_cuda(timeout_s: float = LONGEST_ANSWER_S) -> str | None:
    """Why torch cannot use a GPU here, as a sentence; None where it can.

    It is asked in a process of its own: one that has asked CUDA cannot fork a worker that uses it.
    """
    command = "import sys; from suite.measure.devices.cuda import why_not_usable; sys.exit(why_not_usable())"
    try:
        answer = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return f"torch gave no answer within {timeout_s:.0f} s"
    return None if answer.returncode == 0 else (answer.stderr.strip().splitlines() or ["torch cannot be loaded"])[-1]
