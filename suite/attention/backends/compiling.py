"""The base of compiled backends: compiling a function for one problem, and its requirements."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._inductor import config

from suite.attention.backends import needs
from suite.attention.problem import Backend, Problem

OLDEST_FOR_TRITON = (7, 0)

# One kernel at a time is compiled: a pool of compiling processes would outlive its use and take CPU time from the case.
config.compile_threads = 1


class CompiledBackend(Backend):
    """A backend that compiles for the very inputs before anything is timed, or tells why it cannot."""

    def autotuned(self, *inputs: Tensor) -> Backend:
        """Compile by a first call on these inputs, without tuning. Returns this backend; raises UnsupportedError."""
        with (
            needs.explained(f"{self.name} cannot be compiled for this problem"),
            self.problem.forward_mode(),
            warnings.catch_warnings(),
        ):
            # torch compiles through its own deprecated parts.
            warnings.simplefilter("ignore", DeprecationWarning)
            self(*inputs)
        return self

    def needs_compiler(self, problem: Problem) -> None:
        """Raise AbsentError where torch has no compiler for the problem's device, or no folder for what it compiles."""
        if problem.device.type == "cpu":
            needs.cpp_compiler(self.name)
            return
        needs.cuda(self.name, problem.device, OLDEST_FOR_TRITON)
        needs.package(self.name, "triton", "triton")
        needs.kernels_folder(self.name)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function so that torch compiles it at its first call, for exactly the shapes of that call."""
    result: Callable[..., Any] = torch.compile(function, dynamic=False, fullgraph=True)
    return result
