"""What a machine must have for a backend: a package, a CUDA device. Each is asked for after the problem was looked at,
so that what a backend refuses in itself it refuses everywhere in the same words.
"""

import importlib
import importlib.util
from types import ModuleType

import torch

from suite.measure.workload import UnsupportedError


class AbsentError(UnsupportedError):
    """The machine lacks what the backend needs for any problem on this device."""


def package(backend: str, module: str, distribution: str) -> ModuleType:
    """The module. Raises AbsentError where it is not installed, or cannot be loaded."""
    if importlib.util.find_spec(module) is None:
        raise AbsentError(f"{backend} needs the package {distribution}, which is not installed")
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:  # built for another torch, or another CUDA
        raise AbsentError(f"{backend} needs the package {distribution}, which cannot be loaded ({error})") from error


def cuda(backend: str, device: torch.device, *, at_least: tuple[int, int], below: tuple[int, int] | None = None) -> None:
    """Raises UnsupportedError for another device, AbsentError where CUDA's lacks the compute capability."""
    if device.type != "cuda":
        raise UnsupportedError(f"{backend} runs on CUDA devices only; got device={device.type}")
    if not torch.cuda.is_available():
        raise AbsentError(f"{backend} needs a CUDA device, and torch finds none")
    found = torch.cuda.get_device_capability(device)
    if found < at_least or (below is not None and found >= below):
        rule = f"of at least {_said(at_least)}" + (f" and below {_said(below)}" if below else "")
        raise AbsentError(f"{backend} needs a CUDA device of compute capability {rule}; got {_said(found)}")


def _said(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))


def named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def dtype_among(backend: str, problem_dtype: torch.dtype, allowed: tuple[torch.dtype, ...]) -> None:
    if problem_dtype not in allowed:
        names = ", ".join(named(dtype) for dtype in allowed)
        raise UnsupportedError(f"{backend} computes {names}; got {named(problem_dtype)}")
