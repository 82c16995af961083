"""Closed forms of one attention layer: its shape, and the work, traffic and cache that follow from it.

FLOP = 2 x multiply-add. One causal convention throughout: the last query sees every key, so a pass has
N = Sq * (2 Sk - Sq + 1) / 2 query-key pairs. A kernel that fills the whole Sq x Sk rectangle does more work than it is
credited for here: useful FLOPs are reported, and the report says so.

A training step computes and moves three times what its forward pass does: for every product of the forward pass the
backward pass has two, one for each factor's gradient; what was read is read again and its gradient written. A kernel
that computes its scores again instead of storing them does more, which is counted apart.

Symbols: D hidden width, H query heads, G key-value heads, d head width, Sq new tokens, Sk all tokens.
MLA's shapes stand in latent_shapes.py.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from suite.configuration.values import one_of, whole_number
from suite.theory.layers.geometry import Geometry
from suite.theory.layers.rope import Rope

QUANTISED_DTYPES = ("fp8", "int8")
SCALED_ELEMENTS, SCALE_BYTES, ROTARY_BYTES = 128, 4, 2
"""A quantised cache, by the one rule of FlashMLA's layout: a byte an element, a float32 scale for every 128 elements of
a row, and a rotary key that stands apart stays in 16 bits (DeepSeek-V3's latent: 512 + 16 + 128 = 656 bytes)."""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One causal pass of one layer: `query_len` new tokens attend to `seq_len` tokens, themselves included."""

    batch: int
    query_len: int
    seq_len: int
    element_bytes: int
    cache_dtype: str | None = None
    """One of QUANTISED_DTYPES; None keeps the cache in the elements' own type."""
    is_training: bool = False
    """A training pass is forward and backward."""

    @property
    def times_forward(self) -> int:
        return 3 if self.is_training else 1

    @property
    def tokens(self) -> int:
        """New tokens, over the batch."""
        return self.batch * self.query_len

    @property
    def pairs(self) -> int:
        """Query-key pairs of one head and one sequence under the causal mask."""
        return self.query_len * (2 * self.seq_len - self.query_len + 1) // 2

    @property
    def is_whole(self) -> bool:
        """Every token is a new one, as in a prefill and in training."""
        return self.query_len == self.seq_len

    def pairs_within(self, window: int) -> int:
        """Return the pairs that remain where a query sees its own key and the `window` - 1 before it."""
        behind = (self.seq_len - window, self.seq_len - self.query_len - window)
        hidden, of_older_queries = (max(0, count) * (max(0, count) + 1) // 2 for count in behind)
        return self.pairs - (hidden - of_older_queries)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Equally wide rows that every token leaves in the cache."""

    width: int
    count: int = 1
    is_rotary: bool = False
    """A rotary key that stands apart from the rest of its head."""

    @property
    def elements(self) -> int:
        return self.count * self.width

    def bytes(self, forward: Pass) -> int:
        if forward.cache_dtype is None:
            return self.elements * forward.element_bytes
        if self.is_rotary:
            return self.elements * ROTARY_BYTES
        return self.count * quantised_bytes(self.width)


def quantised_bytes(width: int) -> int:
    """Return the bytes of a row of a quantised cache, with its scales."""
    return width + SCALE_BYTES * math.ceil(width / SCALED_ELEMENTS)


@dataclass(frozen=True, kw_only=True)
class Work:
    """A part of a forward pass: its FLOPs and its least traffic."""

    flops: int
    traffic_bytes: int

    def __add__(self, other: "Work") -> "Work":
        return Work(flops=self.flops + other.flops, traffic_bytes=self.traffic_bytes + other.traffic_bytes)

    def __mul__(self, times: int) -> "Work":
        return Work(flops=self.flops * times, traffic_bytes=self.traffic_bytes * times)


NO_WORK = Work(flops=0, traffic_bytes=0)


@dataclass(frozen=True, kw_only=True)
class LayerShape(ABC):
    """The closed forms of every variant. Counts are exact; elements become bytes with the pass's dtype."""

    hidden_size: int
    num_heads: int
    rope: Rope
    rule: str
    """The rule by which the shape was laid over its geometry, for people."""
    mode: ClassVar[str | None] = None
    """The way in which it computes, of a variant that has several."""

    def describe_mode(self, forward: Pass) -> str | None:
        """Return the mode in a sentence; None where there is one way only."""
        return self.mode

    def refusal(self, forward: Pass) -> str | None:
        """Return the reason why the variant has no such pass, in a sentence; None where it has."""
        return None

    @property
    @abstractmethod
    def qk_dim(self) -> int:
        """Width over which the kernel scores a query against a key."""

    @property
    @abstractmethod
    def v_dim(self) -> int:
        """Width of the value that the kernel sums."""

    @property
    @abstractmethod
    def cache_rows(self) -> Sequence[Rows]:
        """Rows that one token leaves in the cache."""

    @property
    def cache_elements_per_token(self) -> int:
        return sum(rows.elements for rows in self.cache_rows)

    def cache_bytes_per_token(self, forward: Pass) -> int:
        return sum(rows.bytes(forward) for rows in self.cache_rows)

    def cached_tokens(self, forward: Pass) -> int:
        """Return the tokens of a sequence that the cache keeps."""
        return forward.seq_len

    def read_tokens(self, forward: Pass) -> int:
        """Return the tokens of a sequence whose keys and values the kernel reads."""
        return forward.seq_len

    def pairs(self, forward: Pass) -> int:
        """Return the query-key pairs of one head and one sequence."""
        return forward.pairs

    def kernel_bytes_per_token(self, forward: Pass) -> int:
        """Return the bytes of keys and values that the kernel reads for each token of the context."""
        return self.cache_bytes_per_token(forward)

    def layer_bytes_per_token(self, forward: Pass) -> int:
        """Return the least traffic between cache and kernel for each token of the context, the kernel's reads
        included."""
        return self.kernel_bytes_per_token(forward)

    def attended_bytes(self, forward: Pass) -> int:
        """Return the bytes of keys and values that the kernel reads in a forward pass."""
        return forward.batch * self.read_tokens(forward) * self.kernel_bytes_per_token(forward)

    def moved_bytes(self, forward: Pass) -> int:
        """Return the least traffic between cache and kernel in a forward pass, the kernel's reads included."""
        return forward.batch * self.read_tokens(forward) * self.layer_bytes_per_token(forward)

    def before_kernel(self, forward: Pass) -> Mapping[str, Work]:
        """Return the work between projections and kernel, by the span in which it is timed."""
        return {}

    @property
    @abstractmethod
    def parameter_count(self) -> int: ...

    def core_flops(self, forward: Pass) -> int:
        """Count the kernel's FLOPs in a forward pass: scores and weighted sums."""
        return 2 * forward.batch * self.num_heads * self.pairs(forward) * (self.qk_dim + self.v_dim)

    def recomputation_flops(self, forward: Pass) -> int:
        """Count the FLOPs of a kernel that computes its scores again in the backward pass instead of storing them."""
        return 2 * forward.batch * self.num_heads * self.pairs(forward) * self.qk_dim

    @abstractmethod
    def projection_flops(self, forward: Pass) -> int:
        """Count the layer's FLOPs around the kernel in a forward pass."""

    @abstractmethod
    def describe(self) -> str:
        """Return the shape in a line, with its rule."""


def cache_bytes(shape: LayerShape, forward: Pass) -> int:
    """Return the bytes that one layer keeps of `seq_len` tokens of every sequence."""
    return forward.batch * shape.cached_tokens(forward) * shape.cache_bytes_per_token(forward)


def kernel_flops(shape: LayerShape, forward: Pass) -> int:
    return forward.times_forward * shape.core_flops(forward)


def kernel_bytes(shape: LayerShape, forward: Pass) -> int:
    """Return the least traffic of the kernel: keys and values read once, the queries read and the outputs written."""
    return forward.times_forward * (shape.attended_bytes(forward) + _query_and_output_bytes(shape, forward))


def layer_flops(shape: LayerShape, forward: Pass, around: LayerShape | None = None) -> int:
    """Count the whole layer's FLOPs. `around`: the share of the layer whose projections count, where it is another than
    the kernel's."""
    before = sum(work.flops for work in shape.before_kernel(forward).values())
    projections = (around or shape).projection_flops(forward)
    return kernel_flops(shape, forward) + forward.times_forward * (before + projections)


def layer_bytes(shape: LayerShape, forward: Pass, around: LayerShape | None = None) -> int:
    """Return the least traffic of the whole layer: the kernel's and what comes before it, the cache's preparation, and
    each parameter of `around` read once."""
    before = sum(work.traffic_bytes for work in shape.before_kernel(forward).values())
    moved = shape.moved_bytes(forward) + before + _query_and_output_bytes(shape, forward)
    return forward.times_forward * (moved + (around or shape).parameter_count * forward.element_bytes)


def _query_and_output_bytes(shape: LayerShape, forward: Pass) -> int:
    return forward.tokens * shape.num_heads * (shape.qk_dim + shape.v_dim) * forward.element_bytes


@dataclass(frozen=True, kw_only=True)
class GroupedShape(LayerShape):
    """MHA (G = H), GQA and MQA (G = 1): one layout, three configurations."""

    kv_heads: int
    head_dim: int

    @property
    def qk_dim(self) -> int:
        return self.head_dim

    @property
    def v_dim(self) -> int:
        return self.head_dim

    @property
    def cache_rows(self) -> Sequence[Rows]:
        return (Rows(width=self.head_dim, count=2 * self.kv_heads),)

    @property
    def parameter_count(self) -> int:
        return self.hidden_size * self.head_dim * (2 * self.num_heads + 2 * self.kv_heads)

    def projection_flops(self, forward: Pass) -> int:
        return 2 * forward.tokens * self.parameter_count

    def describe(self) -> str:
        return f"{self.num_heads} query heads, {self.kv_heads} key-value heads of width {self.head_dim} ({self.rule})"


def grouped_shape(geometry: Geometry, *, tp: int = 1, kv_heads: int | str | None = None) -> GroupedShape:
    """Lay grouped attention over a geometry, matched by heads.

    `kv_heads`: "all" for one a query head, a number, or None for the geometry's own groups, else max(1, H / 8).
    The head width is the geometry's, or the value head's on an MLA geometry. `tp` gives one rank's share.
    Raises ValueError where heads do not divide.
    """
    heads = geometry.num_heads
    width = geometry.v_head_dim if geometry.is_latent else geometry.head_dim
    assert width is not None
    if kv_heads == "all":
        groups, rule = heads, "one a query head"
    elif kv_heads is not None:
        groups, rule = whole_number({"kv_heads": kv_heads}, "kv_heads", at_least=1, where="attention."), "as set"
    elif geometry.attention in ("gqa", "mqa"):
        groups, rule = geometry.num_kv_heads, "the geometry's own"
    else:
        groups, rule = max(1, heads // 8), "max(1, heads / 8)"
    if heads % groups:
        raise ValueError(f"geometry.num_heads must be a multiple of attention.kv_heads; got {heads} and {groups}")
    if width % 2:
        raise ValueError(f"geometry.head_dim must be even, since rotary embedding turns pairs; got {width}")
    return GroupedShape(
        hidden_size=geometry.hidden_size,
        num_heads=rank_share(heads, tp),
        kv_heads=max(1, groups // tp),
        head_dim=width,
        rope=geometry.rope,
        rule=rule,
    )


def rank_share(heads: int, tp: int) -> int:
    if heads % tp:
        raise ValueError(f"geometry.num_heads must be a multiple of tp; got {heads} and {tp}")
    return heads // tp


@dataclass(frozen=True, kw_only=True)
class WindowShape(GroupedShape):
    """Grouped attention over a sliding window: a query sees its own key and the ones before it, `window` in all.

    A sequence keeps no more than its window needs, so the cache and the traffic of a decode step do not grow with the
    context: min(Sk, window + Sq - 1) tokens, the union of what Sq new queries see. Sinks are gpt-oss's: a learnt logit
    a head, which joins the softmax and has no value (model card, arXiv 2508.10925).
    """

    window: int
    """Most keys that a query sees, its own among them."""
    sinks: bool = False

    def cached_tokens(self, forward: Pass) -> int:
        """Return the tokens that a step reads; of a whole prompt, those that the next token's window begins in."""
        return min(forward.seq_len, self.window) if forward.is_whole else self.read_tokens(forward)

    def read_tokens(self, forward: Pass) -> int:
        return min(forward.seq_len, self.window + forward.query_len - 1)

    def kernel_bytes_per_token(self, forward: Pass) -> int:
        if self._outgrows_the_cache(forward):
            return self.cache_elements_per_token * forward.element_bytes
        return super().kernel_bytes_per_token(forward)

    def moved_bytes(self, forward: Pass) -> int:
        """Count what the kernel reads and, of a prompt longer than its window, the end that is written to the cache
        beside it."""
        writes = self._outgrows_the_cache(forward) and not forward.is_training
        kept = self.cached_tokens(forward) * self.cache_bytes_per_token(forward) if writes else 0
        return super().moved_bytes(forward) + forward.batch * kept

    def _outgrows_the_cache(self, forward: Pass) -> bool:
        """A prompt is longer than its window, so that the kernel reads its keys and values as they were made."""
        return forward.is_whole and forward.seq_len > self.window

    def pairs(self, forward: Pass) -> int:
        return forward.pairs_within(self.window)

    @property
    def parameter_count(self) -> int:
        return super().parameter_count + (self.num_heads if self.sinks else 0)

    def projection_flops(self, forward: Pass) -> int:
        return 2 * forward.tokens * super().parameter_count

    def describe(self) -> str:
        return f"{super().describe()}, a window of {self.window} tokens{' and sinks' if self.sinks else ''}"


def window_shape(
    geometry: Geometry, *, tp: int = 1, kv_heads: int | None = None, window: int = 128, sinks: bool = False
) -> WindowShape:
    """Lay a sliding window over a geometry, whose heads are those of `grouped_shape`. Raises ValueError."""
    sizes = {"window": window, "sinks": sinks}
    return WindowShape(
        **vars(grouped_shape(geometry, tp=tp, kv_heads=kv_heads)),
        window=whole_number(sizes, "window", at_least=1, where="attention."),
        sinks=one_of(sizes, "sinks", (True, False), where="attention."),
    )


@dataclass(frozen=True, kw_only=True)
class TiedShape(LayerShape):
    """Grouped tied attention (GTA, arXiv 2505.21487): each group keeps one state, which is key and value.

    The value is the whole state, G groups of width d. The key is the state's first half, which is not rotated, and
    behind it a rotary key of width d/2 that all groups share. A token so leaves G d + d/2 elements, as table 5 of the
    paper counts them, and a step that reads the states where they are cached reads each once, for scores and for sum.
    Where every token is a new one, whole keys are made once for the pass: its kernel reads 2 G d elements a token.
    """

    kv_heads: int
    """Tied states of a token."""
    head_dim: int

    @property
    def rotary_dim(self) -> int:
        return self.head_dim // 2

    @property
    def qk_dim(self) -> int:
        return self.head_dim

    @property
    def v_dim(self) -> int:
        return self.head_dim

    @property
    def cache_rows(self) -> Sequence[Rows]:
        return (Rows(width=self.head_dim, count=self.kv_heads), Rows(width=self.rotary_dim, is_rotary=True))

    def describe_mode(self, forward: Pass) -> str:
        if not forward.is_whole:
            return "attention on the tied states and the shared rotary key as they are cached"
        kept = "" if forward.is_training else "; the cache keeps the tied states and the rotary key"
        return f"whole keys, made once{kept}"

    def kernel_bytes_per_token(self, forward: Pass) -> int:
        if forward.is_whole:
            return 2 * self.kv_heads * self.head_dim * forward.element_bytes
        return super().kernel_bytes_per_token(forward)

    def layer_bytes_per_token(self, forward: Pass) -> int:
        """Count the kernel's reads and, in a prefill, what is written to the cache beside them."""
        writes = forward.is_whole and not forward.is_training
        return self.kernel_bytes_per_token(forward) + (self.cache_bytes_per_token(forward) if writes else 0)

    @property
    def parameter_count(self) -> int:
        """Parameters of queries and output, of the tied states and of the one rotary key."""
        return self.hidden_size * (self.head_dim * (2 * self.num_heads + self.kv_heads) + self.rotary_dim)

    def projection_flops(self, forward: Pass) -> int:
        return 2 * forward.tokens * self.parameter_count

    def describe(self) -> str:
        return (
            f"{self.num_heads} query heads, {self.kv_heads} tied states of width {self.head_dim}, "
            f"a rotary key of {self.rotary_dim} ({self.rule})"
        )


def tied_shape(geometry: Geometry, *, tp: int = 1, kv_heads: int | str | None = None) -> TiedShape:
    """Lay tied attention over a geometry, in the groups that `grouped_shape` would take.

    A tensor-parallel rank keeps its own states and the rotary key. Raises ValueError where heads do not divide, or have
    no half that can be rotated.
    """
    shape = TiedShape(**vars(grouped_shape(geometry, tp=tp, kv_heads=kv_heads)))
    if shape.head_dim % 4:
        raise ValueError(
            f"geometry.head_dim must be a multiple of 4, since pairs of its half are rotated; got {shape.head_dim}"
        )
    return shape
