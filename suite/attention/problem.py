"""The problem that a kernel sees after the projections, and the base of backends.

Legend of the shapes in this package: B batch, H query heads, G key-value heads, S or Sq new tokens, Sk all tokens,
d width over which a query is scored, v width of a value, D hidden width, c width of MLA's latent.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from enum import Enum
from typing import ClassVar

import torch
from torch import Tensor

from suite.attention.cache import restored
from suite.measure.workload import UnsupportedError


class ValueLayout(Enum):
    """Where a value's columns lie. A kernel that wants keys and values equally wide may read their neighbours too."""

    SEPARATE = "in a tensor of its own"
    PREFIX_OF_KEY = "in the first columns of the key"
    ENDS_OF_KEY = "in the first columns of the first key-value head's key and in the last of the second's"
    SUFFIX_OF_BUFFER = "behind enough columns of one buffer to make it as wide as the key"


@dataclass(frozen=True, kw_only=True)
class Problem:
    batch: int
    heads: int
    kv_heads: int
    query_len: int
    seq_len: int
    qk_dim: int
    v_dim: int
    value_layout: ValueLayout
    scale: float
    dtype: torch.dtype
    device: torch.device
    needs_gradient: bool = False
    window: int | None = None
    """Most keys that a query sees, its own the last. None: all up to its own."""
    oldest_row: int = 0
    """Row of the oldest key, of a cache that goes round: the others follow it, from its end to its beginning."""
    cache_dtype: torch.dtype | None = None
    """The dtype of keys and values in eight bits, whose scales are further inputs (suite.attention.cache)."""
    has_sinks: bool = False
    """A last input, sink_H: a logit of each head that takes its share of the softmax and has no value."""
    lengths: Sequence[int] | None = None
    """The keys of each sequence, none more than `seq_len`; what lies behind them must not be read. None: all have
    `seq_len`."""
    page_size: int | None = None
    """Tokens of a page, where keys and values are pages, [pages, groups, tokens, width], which a last input, table_BP,
    assigns to the sequences. None: they are [batch, groups, keys, width]."""
    shared_key_dim: int = 0
    """Last columns of a key that all groups share: an input of their own, k_B1Tr, behind keys without them and
    values."""

    @property
    def beyond_plain(self) -> Mapping[str, str]:
        """What is asked beyond plain causal attention: phrases for messages, by names of `Backend.computes`."""
        demands = {
            "window": f"a window of {self.window} keys" if self.window is not None else "",
            "sinks": "attention sinks" if self.has_sinks else "",
            "quantised_cache": f"a cache in {str(self.cache_dtype).removeprefix('torch.')}" if self.cache_dtype else "",
            "shared_key": "a key part that groups share" if self.shared_key_dim else "",
            "ragged": "sequences of different lengths" if self.lengths else "",
            "pages": f"a cache in pages of {self.page_size} tokens" if self.page_size else "",
        }
        return {name: phrase for name, phrase in demands.items() if phrase}

    @property
    def heads_per_group(self) -> int:
        return self.heads // self.kv_heads

    @property
    def is_prefill(self) -> bool:
        """True if every token is new, so that the causal mask is the plain triangle."""
        return self.query_len == self.seq_len

    @property
    def needs_mask(self) -> bool:
        """True if a query must not see every key: several new tokens, a window narrower than the cache, or sequences
        of different lengths."""
        is_windowed = self.window is not None and self.window < self.seq_len
        return self.query_len > 1 or is_windowed or self.lengths is not None

    def visible_keys(self) -> Tensor:
        """Mask [query_len, seq_len], True where a query sees a key; columns in the order of the cache's rows. Of
        sequences of different lengths it is [batch, 1, query_len, seq_len]."""
        if self.lengths is not None:
            last_B111 = torch.tensor(self.lengths, device=self.device).view(-1, 1, 1, 1) - self.query_len
            query_S1 = torch.arange(self.query_len, device=self.device)[:, None]
            return torch.arange(self.seq_len, device=self.device) <= last_B111 + query_S1
        visible_ST = visible_keys(self.query_len, self.seq_len, self.device, self.window)
        return visible_ST.roll(self.oldest_row, dims=-1)

    def of_sequence(self, number: int) -> "Problem":
        """The problem of one sequence of a batch whose sequences differ in length."""
        assert self.lengths is not None
        return replace(self, batch=1, seq_len=self.lengths[number], lengths=None, page_size=None)

    def forward_mode(self) -> AbstractContextManager[object]:
        """no_grad or inference_mode, for a first call: what is compiled is compiled for one mode."""
        return torch.no_grad() if self.needs_gradient else torch.inference_mode()


class Backend:
    """One way to compute one problem. It never falls back to another: problems that it cannot compute it refuses.

    Constructing it is set-up: what does not belong into the timed call, such as a mask, is built here.
    Raises UnsupportedError for a problem that it does not compute.
    """

    name: ClassVar[str]
    computes: ClassVar[frozenset[str]] = frozenset()
    """Names of `Problem.beyond_plain` that it computes."""
    form: str | None = None
    """Its choice for this problem, where it has one; for the record."""
    built: str | None = None
    """A compiler's flags, where one was asked for it here; for the record."""

    def __init__(self, problem: Problem) -> None:
        for name, phrase in problem.beyond_plain.items():
            if name not in self.computes:
                raise UnsupportedError(f"{self.name} does not support {phrase}; backend=auto chooses one that does")
        self.check(problem)
        self.problem = problem

    def check(self, problem: Problem) -> None:
        """Raise UnsupportedError for a problem that this backend does not compute. By default none is refused."""

    def autotuned(self, *inputs: Tensor) -> "Backend":
        """Build what takes long, and choose by inputs as they will come. The result, this backend or its choice, is
        ready to be called.

        Called once, before any call, and apart from set-up: backends are also set up to learn whether they would run.
        Raises UnsupportedError as setting up does.
        """
        return self

    def __call__(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> Tensor:
        """Compute o_BHSv, causal, with the last query seeing every key, or as many as its window has.

        A backend that computes more than plain attention takes the inputs of that too; see `operands`.
        """
        raise AssertionError(f"{type(self).__name__} does not say how it computes")


class CallByCall(Backend):
    """Several backends, each of which computes its own problem; their inputs and outputs are in their order."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self.backends, self.problem = backends, backends[0].problem
        self.name = "+".join(dict.fromkeys(backend.name for backend in backends))  # type: ignore[misc]
        self.form = "; ".join(dict.fromkeys(backend.form for backend in backends if backend.form)) or None
        self.built = next((backend.built for backend in backends if backend.built), None)

    def split(self, inputs: Sequence[Tensor]) -> list[tuple[Backend, Sequence[Tensor]]]:
        """Each backend with its inputs."""
        each = len(inputs) // len(self.backends)
        return [(backend, inputs[i * each : (i + 1) * each]) for i, backend in enumerate(self.backends)]

    def autotuned(self, *inputs: Tensor) -> "CallByCall":
        return CallByCall([backend.autotuned(*tensors) for backend, tensors in self.split(inputs)])

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        return tuple(backend(*tensors) for backend, tensors in self.split(inputs))


def operands(inputs: Sequence[Tensor], problem: Problem) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """(queries, whole keys and values of every group, sinks or None) from a kernel's inputs.

    `inputs` are queries, keys and values, then the part of the keys that groups share, or scales of a quantised cache
    and the rotary key that stands apart, then sinks, where the problem has them. What was quantised becomes float32 at
    least.
    """
    q_BHSd, k_BGTd, v_BGTv, *more = inputs
    sink_H = more.pop() if problem.has_sinks else None
    if problem.cache_dtype is not None:
        k_scales_BGTn, v_scales_BGTn, *rotary, wide_dtype = *more, torch.promote_types(problem.dtype, torch.float32)
        k_BGTd = restored(k_BGTd, k_scales_BGTn, wide_dtype)
        v_BGTv, more = restored(v_BGTv, v_scales_BGTn, wide_dtype), []
        k_BGTd = torch.cat((k_BGTd, *(part.to(wide_dtype) for part in rotary)), dim=-1)
    if problem.shared_key_dim:
        k_BGTd = joined_key(k_BGTd, more.pop())
    assert not more, "an input that the problem does not name"
    return q_BHSd, k_BGTd, v_BGTv, sink_H


def joined_key(k_BGTd: Tensor, shared_B1Tr: Tensor) -> Tensor:
    """Keys of every group with the columns that all groups share copied behind them."""
    return torch.cat((k_BGTd, shared_B1Tr.expand(-1, k_BGTd.shape[1], -1, -1)), dim=-1)


def visible_keys(query_len: int, seq_len: int, device: torch.device, window: int | None = None) -> Tensor:
    """Causal mask [query_len, seq_len], True where a query sees a key: the last query all, or the last `window`."""
    first_query = seq_len - query_len
    visible_ST = torch.ones(query_len, seq_len, dtype=torch.bool, device=device).tril(first_query)
    return visible_ST if window is None else visible_ST.triu(first_query - window + 1)
