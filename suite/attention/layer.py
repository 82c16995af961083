"""The base of attention variants, so that one workload and the language models can use any of them."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from suite.attention.cache import DTYPES, Cache, QuantisedCache
from suite.attention.definition import Definition
from suite.attention.linear import linear
from suite.attention.problem import Problem, ValueLayout
from suite.theory.layers.algebra import Pass
from suite.theory.layers.shapes import LayerShape


class AttentionLayer(torch.nn.Module, ABC):
    """One layer. `project`, the kernel and `output` together are its forward pass.

    A variant's `_target_` is called with `(shape, *, positions, dtype, device, generator)`: `shape` is what the `shape`
    function of its YAML returns, `positions` one more than the largest rotary position. It then sets the attributes
    below.

    Weights are drawn so that activations keep unit variance: scores then spread as in a model, and are not all zero.
    """

    shape: LayerShape
    scale: float
    """Factor on the scores before the softmax."""
    cos_Sr: Tensor
    """Cosines of the rotary embedding, [positions, rotary width / 2]; `sin_Sr` has the sines."""
    sin_Sr: Tensor
    w_o: Tensor
    """The output projection, [hidden, heads * value width]."""
    definition: ClassVar[type[Definition] | None] = None
    """The definition that the check compares the layer's projections with; see `stated_definition`."""

    def __init__(self, *, dtype: torch.dtype, device: torch.device, generator: torch.Generator) -> None:
        super().__init__()
        self.dtype, self.device, self._generator = dtype, device, generator

    @property
    @abstractmethod
    def value_layout(self) -> ValueLayout: ...

    @property
    @abstractmethod
    def kv_heads(self) -> int:
        """Key-value heads as the kernel sees them."""

    @property
    def cache_heads(self) -> int | Sequence[int]:
        """Heads of the cached tensors: one number for all, or one for each. By default those that the kernel sees."""
        return self.kv_heads

    @property
    def cache_dtype(self) -> torch.dtype:
        """Dtype of the tensors that are cached."""
        return self.dtype

    @property
    @abstractmethod
    def cache_widths(self) -> Sequence[int]:
        """Elements of a head's row in each cached tensor."""

    @abstractmethod
    def project(
        self, x_BSD: Tensor, cache: Cache | None, start: int, positions_S: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Write the new tokens to the cache from `start` on, and give the kernel's inputs, as `problem` names them:
        queries of the new tokens, keys and values of all.

        Without a cache, as in training, the new tokens are all there are. `positions_S`: the new tokens' rotary
        positions where they are not `start` and those that follow it.
        """

    def output(self, o_BHSv: Tensor) -> Tensor:
        """The layer's output, [batch, new tokens, hidden], from the kernel's."""
        return linear(o_BHSv.transpose(1, 2).flatten(2), self.w_o)

    def for_training(self) -> "AttentionLayer":
        """The layer, with the same weights, in the mode that trains: itself, unless one is cheaper without a cache."""
        return self

    def stated_definition(self) -> type[Definition] | None:
        """The definition that the layer's own class states, or None. An inherited one may be of another layer."""
        stated: type[Definition] | None = vars(type(self)).get("definition")
        return stated

    def angles_at(self, x_BSD: Tensor, start: int, positions_S: Tensor | None) -> tuple[Tensor, Tensor]:
        """Rows of `cos_Sr` and `sin_Sr` at the new tokens' positions: `positions_S`, or by default from `start` on."""
        rows = slice(start, start + x_BSD.shape[1]) if positions_S is None else positions_S
        return self.cos_Sr[rows], self.sin_Sr[rows]

    @staticmethod
    def append_to_cache(cache: Cache | None, start: int, *new_BGSd: Tensor) -> Sequence[Tensor]:
        """Write new rows from `start` on, one tensor for each cached. Returns all rows; without a cache the new."""
        if cache is None:
            return new_BGSd
        rows = slice(start, start + new_BGSd[0].shape[2])
        for cached, new in zip(cache.tensors, new_BGSd, strict=True):
            cached[:, :, rows] = new
        cache.written(rows)
        return cache.views()

    def drawn_input(self, forward: Pass, generator: torch.Generator) -> Tensor:
        """Draw standard-normal hidden states of the pass's new tokens, x_BSD."""
        size = (forward.batch, forward.query_len, self.shape.hidden_size)
        return torch.empty(size, dtype=self.dtype, device=self.device).normal_(generator=generator)

    def new_cache(self, forward: Pass) -> Cache:
        """Allocate a cache for the pass, quantised if it has a `cache_dtype`; its contents are not set."""
        if forward.cache_dtype is not None:
            assert isinstance(self.cache_heads, int), "require_quantisable refuses others"
            rotary = sum(rows.elements for rows in self.shape.cache_rows if rows.is_wide)
            *widths, last = self.cache_widths
            return QuantisedCache(
                batch=forward.batch,
                kv_heads=self.cache_heads,
                length=forward.seq_len,
                widths=(*widths, last - rotary),
                rotary=rotary,
                dtype=DTYPES[forward.cache_dtype],
                rotary_dtype=torch.float16 if self.dtype is torch.float16 else torch.bfloat16,
                device=self.device,
            )
        return Cache(
            batch=forward.batch,
            kv_heads=self.cache_heads,
            length=self.shape.cached_tokens(forward),
            widths=self.cache_widths,
            dtype=self.cache_dtype,
            device=self.device,
        )

    def problem(self, forward: Pass) -> Problem:
        """What the kernel has to compute in this pass, as sizes, layout, dtype and device."""
        return Problem(
            batch=forward.batch,
            heads=self.shape.num_heads,
            kv_heads=self.kv_heads,
            query_len=forward.query_len,
            seq_len=forward.seq_len,
            qk_dim=self.shape.qk_dim,
            v_dim=self.shape.v_dim,
            value_layout=self.value_layout,
            scale=self.scale,
            dtype=self.dtype,
            device=self.device,
            needs_gradient=forward.is_training,
            cache_dtype=DTYPES.get(forward.cache_dtype or ""),
        )

    def init_weight(self, *size: int) -> torch.nn.Parameter:
        """Draw a weight with standard deviation 1/√(last dimension), which is summed over; without a gradient."""
        weight = torch.empty(*size, dtype=self.dtype, device=self.device)
        weight.normal_(std=1 / math.sqrt(size[-1]), generator=self._generator)
        return torch.nn.Parameter(weight, requires_grad=False)

    def zeros(self, width: int) -> torch.nn.Parameter:
        """A parameter of `width` zeros, such as a bias; without a gradient."""
        return torch.nn.Parameter(torch.zeros(width, dtype=self.dtype, device=self.device), requires_grad=False)

    def ones(self, width: int) -> torch.nn.Parameter:
        """A parameter of `width` ones, such as a norm's gain; without a gradient."""
        return torch.nn.Parameter(torch.ones(width, dtype=self.dtype, device=self.device), requires_grad=False)
