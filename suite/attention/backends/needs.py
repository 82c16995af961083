"""Requirements of a backend: a package, a CUDA device, a compiler. They are asked for after the problem was
looked at, so that what a backend refuses in itself it refuses everywhere in the same words.

Here too is the boundary to other projects' code, which may raise anything at all: one package in a bad state costs its
own cases, each with a sentence, and never the run.
"""

import importlib
import importlib.util
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch

from suite.measure.workload import UnsupportedError


class AbsentError(UnsupportedError):
    """The machine lacks what the backend needs for any problem on this device."""


def package(backend: str, module: str, distribution: str) -> None:
    """Raise AbsentError where it is not installed, or cannot be loaded. Who uses it imports it in so many words: a run
    key counts the versions of what is imported so."""
    if importlib.util.find_spec(module) is None:
        raise AbsentError(f"{backend} needs the package {distribution}, which is not installed")
    try:
        importlib.import_module(module)
    except Exception as error:  # built for another torch, or another CUDA; half installed; without a driver at hand
        raise AbsentError(
            f"{backend} needs the package {distribution}, which cannot be loaded ({in_a_line(error)})"
        ) from error


@contextmanager
def explained(failure: str, as_a: type[UnsupportedError] = UnsupportedError) -> Iterator[None]:
    """Raise `as_a`, with `failure` and what was raised, where another project's code raises anything. Memory that is
    exhausted and a device that is lost pass as they are: they say nothing of the backend."""
    try:
        yield
    except (UnsupportedError, MemoryError, torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except Exception as error:
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()  # raises in its turn where the device is lost
        raise as_a(f"{failure} ({in_a_line(error)})") from error


def in_a_line(error: Exception) -> str:
    """Return the class of an error, and the first line of its message if it has one."""
    first_line = str(error).strip().partition("\n")[0]
    return ": ".join(filter(None, [type(error).__name__, first_line]))


def cuda(backend: str, device: torch.device, at_least: tuple[int, int], *, exactly: bool = False) -> None:
    """Raise UnsupportedError for another device, AbsentError where CUDA's is not of the compute capability."""
    if device.type != "cuda":
        raise UnsupportedError(f"{backend} runs on CUDA devices only; got device={device.type}")
    if not torch.cuda.is_available():
        raise AbsentError(f"{backend} needs a CUDA device, and torch finds none")
    found = torch.cuda.get_device_capability(device)
    if found < at_least or (exactly and found != at_least):
        wanted = ".".join(map(str, at_least)) + ("" if exactly else " or above")
        raise AbsentError(
            f"{backend} needs a CUDA device of compute capability {wanted}; got {'.'.join(map(str, found))}"
        )


def cpp_compiler(backend: str) -> None:
    """Raise AbsentError where torch has no C++ compiler for kernels of this machine's CPU."""
    from torch._inductor.cpp_builder import get_cpp_compiler  # takes a second to import
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except (InvalidCxxCompiler, RuntimeError) as error:  # the second is what Windows gives
        raise AbsentError(f"{backend} needs a C++ compiler, and torch finds none") from error


def dtype(backend: str, got: torch.dtype, allowed: Iterable[torch.dtype]) -> None:
    """Raise UnsupportedError, with the choices, for a dtype that is none of them."""
    if got not in allowed:
        raise UnsupportedError(f"{backend} computes {', '.join(map(_said, allowed))}; got {_said(got)}")


def _said(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
