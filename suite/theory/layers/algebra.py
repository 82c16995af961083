"""The algebra of a layer: rows that it keeps, scans over them, and parameters; work, traffic and cache follow.

FLOP = 2 x multiply-add. One causal convention throughout: the last query sees every key, so a pass has
N = Sq * (2 Sk - Sq + 1) / 2 query-key pairs. A kernel that fills the whole Sq x Sk rectangle does more work than it is
credited for here: useful FLOPs are reported, and the report says so.

Every count of a layer is a sum of a part that all tensor-parallel ranks repeat, one that is shared with the query heads
and one that is shared with the key-value heads. report/decide takes these parts as coefficients.

Symbols: H query heads, G key-value heads, Sq new tokens, Sk all tokens, p a query's position counted from 1.
"""

import math
from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

QUANTISED_DTYPES = ("fp8", "int8")
SCALED_ELEMENTS, SCALE_BYTES = 128, 4
"""A quantised cache, by the one rule of FlashMLA's layout: a byte an element, a float32 scale for every 128 elements of
a row, and a rotary key that stands apart stays in 16 bits (DeepSeek-V3's latent: 512 + 16 + 128 = 656 bytes)."""
SERVED_BYTES = 2
"""Bytes of an element of a cache that is not quantised, where a model is served."""


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
        """Work of the pass over that of its forward part: 3 in training, where the backward pass is worth two."""
        return 3 if self.is_training else 1

    @property
    def tokens(self) -> int:
        return self.batch * self.query_len

    @property
    def is_whole(self) -> bool:
        return self.query_len == self.seq_len

    @property
    def is_prompt(self) -> bool:
        """A prompt of several tokens; a single first one is a decode step to a kernel."""
        return self.query_len == self.seq_len > 1

    def pairs_seen(self, stride: int = 1, cap: int | None = None) -> int:
        """Query-row pairs of one head and one sequence where a row stands for `stride` tokens and a query attends to at
        most `cap` rows: the sum of min(p // stride, cap) over the pass's queries."""

        def pairs_up_to(count: int) -> int:
            # From the token that completes row number `cap` on, each query sees as many.
            capped = 0 if cap is None else max(0, count - cap * stride + 1)
            blocks, rest = divmod(count - capped, stride)
            return stride * blocks * (blocks - 1) // 2 + blocks * (rest + 1) + (cap or 0) * capped

        return pairs_up_to(self.seq_len) - pairs_up_to(self.seq_len - self.query_len)

    def pairs_in_chunks(self, chunk: int) -> int:
        """Query-key pairs of one head and one sequence where a query sees only its own chunk of the sequence: the sum
        of (p - 1) % chunk + 1 over the pass's queries."""

        def pairs_up_to(count: int) -> int:
            chunks, rest = divmod(count, chunk)
            return chunks * chunk * (chunk + 1) // 2 + rest * (rest + 1) // 2

        return pairs_up_to(self.seq_len) - pairs_up_to(self.seq_len - self.query_len)


@dataclass(frozen=True, kw_only=True)
class CacheRows:
    """Equally wide rows that every `stride`-th token leaves in a cache, of the last `at_most` tokens or of all."""

    width: int
    count: int = 1
    stride: int = 1
    at_most: int | None = None
    is_wide: bool = False
    """Stays in 16 bits in a quantised cache: a rotary key that stands apart, what waits to be compressed."""

    @property
    def elements(self) -> int:
        return self.count * self.width

    def row_bytes(self, element_bytes: int, cache_dtype: str | None) -> int:
        """Bytes that one `stride`-th token leaves; a quantised cache also keeps its scales."""
        if cache_dtype is None:
            return self.elements * element_bytes
        if self.is_wide:
            return self.elements * SERVED_BYTES
        return self.count * (self.width + SCALE_BYTES * math.ceil(self.width / SCALED_ELEMENTS))

    def growth_bytes(self, cache_dtype: str | None = None) -> float:
        """Bytes that a token adds in the long run; 0 for rows that leave the cache again."""
        return self.row_bytes(SERVED_BYTES, cache_dtype) / self.stride if self.at_most is None else 0.0

    def bytes_at(self, tokens: int, cache_dtype: str | None = None) -> int:
        """Bytes in the cache after `tokens` tokens: a row for each full stride, at most `at_most` tokens."""
        tokens = tokens if self.at_most is None else min(tokens, self.at_most)
        return self.row_bytes(SERVED_BYTES, cache_dtype) * (tokens // self.stride)


@dataclass(frozen=True, kw_only=True)
class Work:
    """A part of a forward pass: its FLOPs and its least traffic."""

    flops: int
    traffic_bytes: int

    def __add__(self, other: "Work") -> "Work":
        return Work(flops=self.flops + other.flops, traffic_bytes=self.traffic_bytes + other.traffic_bytes)

    def __sub__(self, other: "Work") -> "Work":
        return self + other * -1

    def __mul__(self, times: int) -> "Work":
        return Work(flops=self.flops * times, traffic_bytes=self.traffic_bytes * times)


NO_WORK = Work(flops=0, traffic_bytes=0)


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Queries over rows of a context: a product with each row that a query sees and, of width `v_dim`, a weighted sum.

    A query sees the last `window` tokens (in chunks: those of its own chunk), and of the rows that it sees it attends
    to the best `picks`.
    """

    heads: int
    qk_dim: int
    v_dim: int
    rows: Sequence[CacheRows]
    """The rows as which one `stride`-th token is read."""
    stride: int = 1
    window: int | None = None
    picks: int | None = None
    is_chunked: bool = False
    reads_cache: bool = True
    """Else rows are read as they were projected, whatever the cache's type."""
    has_queries: bool = True
    """False where another scan has read the same queries and writes the outputs."""

    def pairs(self, forward: Pass) -> int:
        """Query-row pairs of one head and one sequence, as `Pass.pairs_seen` counts them."""
        if self.is_chunked and self.window is not None:
            return forward.pairs_in_chunks(self.window)
        return forward.pairs_seen(self.stride, self.window if self.picks is None else self.picks)

    def rows_read(self, forward: Pass) -> int:
        """Rows of one sequence that all its queries together read: at most `picks` rows for each query."""
        seen = forward.seq_len // self.stride
        if self.window is not None:
            seen = min(seen, self.window + forward.query_len - 1)
        return seen if self.picks is None else min(seen, self.picks * forward.query_len)

    @property
    def pair_flops(self) -> int:
        """FLOPs of one query-row pair, over all heads: score and weighted sum, two for each multiply-add."""
        return 2 * self.heads * (self.qk_dim + self.v_dim)

    @property
    def token_elements(self) -> int:
        """Elements of a new token's queries and outputs."""
        return self.heads * (self.qk_dim + self.v_dim) if self.has_queries else 0

    def flops(self, forward: Pass) -> int:
        """FLOPs of a forward pass, over the batch and all heads."""
        return forward.batch * self.pairs(forward) * self.pair_flops

    def attended_bytes(self, forward: Pass) -> int:
        """Bytes of the rows, each read once for all queries of a sequence."""
        dtype = forward.cache_dtype if self.reads_cache else None
        row_bytes = sum(rows.row_bytes(forward.element_bytes, dtype) for rows in self.rows)
        return forward.batch * self.rows_read(forward) * row_bytes

    def work(self, forward: Pass) -> Work:
        """FLOPs of a forward pass, and its least traffic: rows and queries read, outputs written."""
        queries_outputs = forward.tokens * self.token_elements * forward.element_bytes
        return Work(flops=self.flops(forward), traffic_bytes=self.attended_bytes(forward) + queries_outputs)


@dataclass(frozen=True, kw_only=True)
class Layer(ABC):
    """`count` equal layers of a model; every quantity is one layer's."""

    kind: ClassVar[str]
    by_heads: ClassVar[Sequence[str]] = ()
    """Fields that tensor-parallel ranks share out."""
    hidden_size: int
    count: int = 1

    @property
    def matrix_parameters(self) -> int:
        """Parameters that a token is multiplied by."""
        return 0

    @property
    def vector_parameters(self) -> int:
        """Norms, biases, sinks and convolutions; the norms before a layer are the model's."""
        return 0

    @property
    def parameter_count(self) -> int:
        return self.matrix_parameters + self.vector_parameters

    @property
    def cache_rows(self) -> Sequence[CacheRows]:
        """Rows that one token leaves in the cache."""
        return ()

    @property
    def state_bytes(self) -> int:
        """Bytes of a sequence's recurrent state."""
        return 0

    @property
    def mha_elements(self) -> int:
        """Elements that a token would leave if every query head had its own key and value."""
        return 0

    @property
    def has_window(self) -> bool:
        """Whether a token leaves the cache again."""
        return False

    @property
    def is_plain(self) -> bool:
        """Whether it is attention as kernels are published and fitted: of a known layout, over all tokens."""
        return False

    @property
    def token_work(self) -> tuple[int, int]:
        """FLOPs of a new token outside the scans, and elements that it moves there: a recurrence's; else zeros."""
        return 0, 0

    def scans(self, forward: Pass) -> Sequence[Scan]:
        """The scans over cached rows in such a pass; none in a layer without attention."""
        return ()

    def kernel(self, forward: Pass) -> Work:
        """FLOPs and least traffic between the projections, as a model is served: scans and recurrence."""
        flops, elements = self.token_work
        # A prompt starts from no state, a step reads the one before it.
        states = forward.batch * self.state_bytes * (1 if forward.is_whole else 2)
        moved = forward.tokens * elements * forward.element_bytes
        recurrence = Work(flops=forward.tokens * flops, traffic_bytes=moved + states)
        return sum((scan.work(forward) for scan in self.scans(forward)), recurrence)

    def projection_flops(self, forward: Pass) -> int:
        return 2 * forward.tokens * self.matrix_parameters

    def layer(self, forward: Pass) -> Work:
        """FLOPs and least traffic of the layer with its projections, each of its parameters read once."""
        parameters = self.parameter_count * forward.element_bytes
        return self.kernel(forward) + Work(flops=self.projection_flops(forward), traffic_bytes=parameters)

    def token_bytes(self, cache_dtype: str | None = None) -> float:
        """Bytes that a token adds to the cache in the long run."""
        return sum(rows.growth_bytes(cache_dtype) for rows in self.cache_rows)

    def cache_bytes(self, tokens: int, cache_dtype: str | None = None) -> int:
        """Bytes that a sequence keeps."""
        return sum(rows.bytes_at(tokens, cache_dtype) for rows in self.cache_rows) + self.state_bytes

    def on_rank(self, tp: int) -> Self:
        """One tensor-parallel rank's share of the heads, with all that belongs to every head. Raises ValueError where
        the heads do not divide."""
        return replace(self, **{name: rank_share(getattr(self, name), tp, name) for name in self.by_heads})


def rank_share(count: int, tp: int, name: str = "geometry.num_heads") -> int:
    """One rank's share of `count` heads. Raises ValueError, by their `name`, where they do not divide by `tp`."""
    if count % tp:
        raise ValueError(f"{name} must be a multiple of tp; got {count} and {tp}")
    return count // tp


@dataclass(frozen=True, kw_only=True)
class Indexer:
    """A small attention that only scores, and so picks the tokens that its layer attends to (DeepSeek-V3.2 and V4,
    GLM-5, MiniMax-M3). The weighted sum over its heads' scores is left out of the work."""

    heads: int
    head_dim: int
    top_k: int
    """Tokens that a query picks; rows, in a compressed layer."""
    every: int = 1
    """Tokens of which one key is made."""
    block: int = 1
    """Tokens that are picked together, by their best score. Keys are kept for each token all the same."""
    shared: bool = False
    """It takes the picks of the last layer before it that has its own indexer, and has no weights, keys or work."""
    weighted: bool = True
    """Heads' scores are weighted by the token and summed; else each group of heads picks its own."""

    @property
    def cache_rows(self) -> Sequence[CacheRows]:
        """The indexer's keys and, where a key is made of several tokens, the keys and gates that wait for it."""
        if self.shared:
            return ()
        keys = CacheRows(width=self.head_dim, stride=self.every)
        waiting = CacheRows(width=2 * self.head_dim, at_most=self.every - 1, is_wide=True)
        return (keys, waiting) if self.every > 1 else (keys,)

    @property
    def scans(self) -> Sequence[Scan]:
        """The scan that scores all keys; none for a shared indexer."""
        keys = self.cache_rows[:1]
        scan = Scan(heads=self.heads, qk_dim=self.head_dim, v_dim=0, rows=keys, stride=self.every)
        return () if self.shared else (scan,)

    def matrix_parameters(self, hidden_size: int, query_rank: int | None) -> int:
        """Projections of queries (from their latent where there is one), of the key and of the weights, and the gate by
        which keys are pooled."""
        if self.shared:
            return 0
        queries = (query_rank or hidden_size) * self.heads * self.head_dim
        keys = self.head_dim * (2 if self.every > 1 else 1)
        return queries + hidden_size * (keys + (self.heads if self.weighted else 0))

    @property
    def vector_parameters(self) -> int:
        """Gain and bias of a layer norm on the key, or a norm each on query and key; biases of pooling by place."""
        pooling = self.every * self.head_dim if self.every > 1 else 0
        return 0 if self.shared else 2 * self.head_dim + pooling
