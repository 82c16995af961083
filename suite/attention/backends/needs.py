"""Requirements of a backend: a package, a CUDA device, a compiler. They are asked for after the problem was
looked at, so that what a backend refuses in itself it refuses everywhere in the same words.

Here too is the boundary to other projects' code, which may raise anything at all: one package in a bad state costs its
own cases, each with a sentence, and never the run. So a `PackagedBackend`, which calls another package's kernel, sets
it up, plans and makes a first pass over the very inputs before anything is timed: some compile at a first call, for
minutes, or plan for the lengths of a batch.
"""

import importlib
import importlib.util
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor

from suite.attention.check import one_pass
from suite.attention.cpp_decode import kernel
from suite.attention.problem import Backend, Problem, ValueLayout
from suite.machine.user_cache import INDUCTOR, KERNELS
from suite.measure.workload import UnsupportedError

MOST_NEW_TOKENS = 4  # of a sequence, in the suite's own kernels
ABSORBED_WIDTHS = (576, 512)  # of the key, a latent of 512 and a rotary part of 64, and of the value


class AbsentError(UnsupportedError):
    """The machine lacks what the backend needs for any problem on this device."""


def package(backend: str, module: str, distribution: str) -> None:
    """Raise AbsentError if `module` is not installed or cannot be loaded. A backend still imports it by a statement:
    a run key counts the versions of what is imported so."""
    if importlib.util.find_spec(module) is None:
        raise AbsentError(f"{backend} needs the package {distribution}, which is not installed")
    # It may be built for another torch, or another CUDA; half installed; without a driver at hand.
    with explained(f"{backend} needs the package {distribution}, which cannot be loaded", AbsentError):
        importlib.import_module(module)


@contextmanager
def explained(failure: str, as_a: type[UnsupportedError] = UnsupportedError) -> Iterator[None]:
    """Turn an error inside into `as_a`, "`failure` (class and first line)". UnsupportedError, exhausted memory and a
    lost device pass as they are: they say nothing of the backend."""
    try:
        yield
    except (UnsupportedError, MemoryError, torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except Exception as error:  # theirs may be of any class: ImportError, KeyError, AssertionError, Triton's own
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()  # raises in its turn where the device is lost
        raise as_a(f"{failure} ({in_a_line(error)})") from error


def in_a_line(error: Exception) -> str:
    """An error as `Class: first line of its message`, or as its class alone without a message."""
    first_line = str(error).strip().partition("\n")[0]
    return ": ".join(filter(None, [type(error).__name__, first_line]))


def cuda(backend: str, device: torch.device, at_least: tuple[int, int], *, exactly: bool = False) -> None:
    """Raise UnsupportedError for a device that is not CUDA's, AbsentError if there is none of that capability."""
    if device.type != "cuda":
        raise UnsupportedError(f"{backend} runs on CUDA devices only; got device={device.type}")
    if not torch.cuda.is_available():
        raise AbsentError(f"{backend} needs a CUDA device, but torch finds none")
    capability = torch.cuda.get_device_capability(device)
    if capability < at_least or (exactly and capability != at_least):
        wanted = ".".join(map(str, at_least)) + ("" if exactly else " or above")
        raise AbsentError(
            f"{backend} needs a CUDA device of compute capability {wanted}; got {'.'.join(map(str, capability))}"
        )


def cpp_compiler(backend: str) -> None:
    """Set the folder of torch's kernels; raise AbsentError, naming the backend, if torch finds no C++ compiler."""
    kernels_folder(backend)
    try:
        from torch._inductor.cpp_builder import get_cpp_compiler  # takes seconds to import, and makes torch's folder

        get_cpp_compiler()
    except (RuntimeError, OSError) as error:  # InvalidCxxCompiler is the first; the second where CXX names a folder
        raise AbsentError(f"{backend} needs a C++ compiler, but torch finds none ({in_a_line(error)})") from error


def kernels_folder(backend: str) -> None:
    """Have torch keep the kernels that it compiles in a folder of this user, by an environment variable.

    Its own choice lies in the shared temporary folder, where another user may have been first; a folder that somebody
    set stays. Raises AbsentError, naming the backend, where there is no folder for kernels.
    """
    try:
        path = kernel.kept_at()
    except OSError as error:
        raise AbsentError(f"{backend} has no folder for kernels ({in_a_line(error)}): set {KERNELS}") from error
    default = f"{tempfile.gettempdir()}{os.sep}torchinductor_"
    if os.environ.get(INDUCTOR, default).startswith(default):  # torch sets it when it is imported
        # By CPU, as ours: torch's own key knows no more of it than the flag "native", and machines share homes.
        os.environ[INDUCTOR] = str(path.with_suffix(".inductor"))


def dtype(backend: str, got: torch.dtype, allowed: Iterable[torch.dtype]) -> None:
    """Raise UnsupportedError, naming backend and choices, if the dtype `got` is not among `allowed`."""
    if got not in allowed:
        choices = ", ".join(str(choice).removeprefix("torch.") for choice in allowed)
        raise UnsupportedError(f"{backend} supports {choices}; got {str(got).removeprefix('torch.')}")


def decoding(backend: str, problem: Problem) -> None:
    """Raise UnsupportedError unless the problem has no gradient and at most MOST_NEW_TOKENS new tokens."""
    if problem.needs_gradient:
        raise UnsupportedError(f"{backend} has no backward pass, which phase=train needs")
    if problem.query_len > MOST_NEW_TOKENS:
        raise UnsupportedError(
            f"{backend} decodes 1 to {MOST_NEW_TOKENS} new tokens at a time; got query_len={problem.query_len}"
        )


def absorbed_mla(backend: str, problem: Problem) -> None:
    """Raise UnsupportedError unless the problem is DeepSeek's absorbed MLA in 16 bits, without a gradient."""
    if problem.needs_gradient:
        raise UnsupportedError(f"{backend} has no backward pass for absorbed MLA, which phase=train needs")
    dtype(backend, problem.dtype, (torch.bfloat16, torch.float16))
    widths = (problem.qk_dim, problem.v_dim)
    if widths != ABSORBED_WIDTHS or problem.value_layout is not ValueLayout.PREFIX_OF_KEY or problem.kv_heads != 1:
        raise UnsupportedError(
            f"{backend} needs one key-value head {ABSORBED_WIDTHS[0]} wide with the value in its first "
            f"{ABSORBED_WIDTHS[1]} columns; got {problem.kv_heads} with keys {widths[0]} and values {widths[1]} wide, "
            f"the value {problem.value_layout.value}"
        )


class PackagedBackend(Backend, ABC):
    distribution: ClassVar[str]
    """The name that its package is installed by."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        with explained(f"{self.name} cannot use the package {self.distribution}", AbsentError):
            self.set_up(problem)

    @abstractmethod
    def set_up(self, problem: Problem) -> None:
        """Import the package by an import statement, and keep its functions and the buffers that a call needs."""

    def plan(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> None:
        """Prepare for inputs of this layout in memory, before any call. By default there is nothing to prepare."""

    def autotuned(self, *inputs: Tensor) -> Backend:
        failure = f"{self.name}: the package {self.distribution} fails on this problem"
        with explained(failure), self.problem.forward_mode():
            self.plan(*inputs)
            one_pass(self, self.problem, *inputs)
        return self
