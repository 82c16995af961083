"""What every attention variant answers, so that one workload, and later a language model, can use any of them."""

import math
from typing import Any, Protocol

import torch
from torch import Tensor

from suite.attention.cache import Cache
from suite.attention.problem import Problem
from suite.theory.shapes import Pass


class AttentionLayer(Protocol):
    """One layer. `project`, the kernel and `output` together are its forward pass.

    Constructor: `(shape, *, positions, dtype, device, generator)`, where `shape` is what the variant's `shape` function
    in the YAML returns, and `positions` is the largest number of tokens.
    """

    def new_cache(self, forward: Pass) -> Cache: ...

    def problem(self, forward: Pass) -> Problem: ...

    def project(self, x_BSD: Tensor, cache: Cache, start: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of the new tokens, and keys and values of all; writes the new tokens to the cache from `start` on."""
        ...

    def output(self, o_BHSv: Tensor) -> Tensor:
        """The layer's output, [batch, new tokens, hidden], from the kernel's."""
        ...

    def parameters(self) -> Any: ...


class Weights(torch.nn.Module):
    """Weights drawn so that activations keep unit variance: scores then spread as in a model, and are not all zero."""

    def __init__(self, *, dtype: torch.dtype, device: torch.device, generator: torch.Generator) -> None:
        super().__init__()
        self.dtype, self.device, self._generator = dtype, device, generator

    def drawn(self, *size: int) -> torch.nn.Parameter:
        """A matrix, or one a head, whose last dimension is summed over."""
        weight = torch.empty(*size, dtype=self.dtype, device=self.device)
        weight.normal_(std=1 / math.sqrt(size[-1]), generator=self._generator)
        return torch.nn.Parameter(weight, requires_grad=False)

    def ones(self, width: int) -> torch.nn.Parameter:
        """The gain of a norm."""
        return torch.nn.Parameter(torch.ones(width, dtype=self.dtype, device=self.device), requires_grad=False)
