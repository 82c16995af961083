"""What every attention variant is, so that one workload, and later a language model, can use any of them."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from suite.attention.cache import Cache
from suite.attention.problem import Problem, ValueLies
from suite.theory.shapes import LayerShape, Pass


class AttentionLayer(torch.nn.Module, ABC):
    """One layer. `project`, the kernel and `output` together are its forward pass.

    A variant's `_target_` is called with `(shape, *, positions, dtype, device, generator)`: `shape` is what the `shape`
    function of its YAML returns, `positions` the largest number of tokens. It then sets the attributes below.

    Weights are drawn so that activations keep unit variance: scores then spread as in a model, and are not all zero.
    """

    shape: LayerShape
    scale: float
    """Factor on the scores before the softmax."""
    value_lies: ClassVar[ValueLies]

    def __init__(self, *, dtype: torch.dtype, device: torch.device, generator: torch.Generator) -> None:
        super().__init__()
        self.dtype, self.device, self._generator = dtype, device, generator

    @property
    @abstractmethod
    def kv_heads(self) -> int:
        """Key-value heads as the kernel sees them."""

    @property
    def cache_heads(self) -> int:
        """Heads of the tensors that are cached; the kernel's, unless they are made anew at every step."""
        return self.kv_heads

    @property
    @abstractmethod
    def cache_widths(self) -> Sequence[int]:
        """Widths of the tensors that are cached."""

    @abstractmethod
    def project(self, x_BSD: Tensor, cache: Cache, start: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of the new tokens, and keys and values of all; writes the new tokens to the cache from `start` on."""

    @abstractmethod
    def output(self, o_BHSv: Tensor) -> Tensor:
        """The layer's output, [batch, new tokens, hidden], from the kernel's."""

    def new_cache(self, forward: Pass) -> Cache:
        return Cache(
            batch=forward.batch,
            kv_heads=self.cache_heads,
            length=forward.seq_len,
            widths=self.cache_widths,
            dtype=self.dtype,
            device=self.device,
        )

    def problem(self, forward: Pass) -> Problem:
        return Problem(
            batch=forward.batch,
            heads=self.shape.num_heads,
            kv_heads=self.kv_heads,
            query_len=forward.query_len,
            seq_len=forward.seq_len,
            qk_dim=self.shape.qk_dim,
            v_dim=self.shape.v_dim,
            value_lies=self.value_lies,
            scale=self.scale,
            dtype=self.dtype,
            device=self.device,
        )

    def drawn(self, *size: int) -> torch.nn.Parameter:
        """A matrix, or one a head, whose last dimension is summed over."""
        weight = torch.empty(*size, dtype=self.dtype, device=self.device)
        weight.normal_(std=1 / math.sqrt(size[-1]), generator=self._generator)
        return torch.nn.Parameter(weight, requires_grad=False)

    def ones(self, width: int) -> torch.nn.Parameter:
        """The gain of a norm."""
        return torch.nn.Parameter(torch.ones(width, dtype=self.dtype, device=self.device), requires_grad=False)
