"""The algebra of a layer: rows that it keeps, scans over them, and parameters; work, traffic and cache follow.

FLOP = 2 x multiply-add. One causal convention throughout: the last query sees every key, so a pass has
N = Sq * (2 Sk - Sq + 1) / 2 query-key pairs. A kernel that fills the whole Sq x Sk rectangle does more work than it is
credited for here: useful FLOPs are reported, and the report says so.

A training step computes and moves three times what its forward pass does: for every product of the forward pass the
backward pass has two, one for each factor's gradient; what was read is read again and its gradient written. A kernel
that computes its scores again instead of storing them does more, which is counted apart.

Every count of a layer is a sum of a part that all tensor-parallel ranks repeat, one that is shared with the query heads
and one that is shared with the key-value heads. report/decide takes these parts as coefficients.

Symbols: D hidden width, H query heads, G key-value heads, d head width, Sq new tokens, Sk all tokens, p a query's
position counted from 1. MLA's shapes stand in latent_shapes.py, layers that only models have in model_layers.py.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from suite.configuration.values import one_of, whole_number
from suite.theory.layers.geometry import Geometry
from suite.theory.layers.rope import Rope

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
        return 3 if self.is_training else 1

    @property
    def tokens(self) -> int:
        """New tokens, over the batch."""
        return self.batch * self.query_len

    @property
    def pairs(self) -> int:
        """Query-key pairs of one head and one sequence under the causal mask."""
        return self.pairs_seen()

    @property
    def is_whole(self) -> bool:
        """Every token is a new one, as in a prefill and in training."""
        return self.query_len == self.seq_len

    @property
    def is_prompt(self) -> bool:
        """A prompt of several tokens; a single first one is a decode step to a kernel."""
        return self.query_len == self.seq_len > 1

    def pairs_seen(self, every: int = 1, cap: int | None = None) -> int:
        """Query-row pairs of one head and one sequence where a row stands for `every` tokens and a query attends to at
        most `cap` rows: the sum of min(p // every, cap) over the pass's queries."""

        def uncapped(count: int) -> int:
            blocks, rest = divmod(count, every)
            return every * blocks * (blocks - 1) // 2 + blocks * (rest + 1)

        def total(count: int) -> int:
            if cap is None or count < cap * every:
                return uncapped(count)
            return uncapped(cap * every - 1) + cap * (count - cap * every + 1)

        return total(self.seq_len) - total(self.seq_len - self.query_len)

    def pairs_in_chunks(self, chunk: int) -> int:
        """The same where a query sees its own chunk of the sequence alone: the sum of (p - 1) % chunk + 1."""

        def total(count: int) -> int:
            chunks, rest = divmod(count, chunk)
            return chunks * chunk * (chunk + 1) // 2 + rest * (rest + 1) // 2

        return total(self.seq_len) - total(self.seq_len - self.query_len)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Equally wide rows that every `every`-th token leaves in a cache, of the last `at_most` tokens or of all."""

    width: int
    count: int = 1
    every: int = 1
    at_most: int | None = None
    is_wide: bool = False
    """Stays in 16 bits in a quantised cache: a rotary key that stands apart, what waits to be compressed."""

    @property
    def elements(self) -> int:
        return self.count * self.width

    def row_bytes(self, element_bytes: int, cache_dtype: str | None) -> int:
        """Bytes of what one `every`-th token leaves."""
        if cache_dtype is None:
            return self.elements * element_bytes
        return self.elements * SERVED_BYTES if self.is_wide else self.count * quantised_bytes(self.width)

    def growth_bytes(self, cache_dtype: str | None = None) -> float:
        """Bytes that a token adds in the long run."""
        return self.row_bytes(SERVED_BYTES, cache_dtype) / self.every if self.at_most is None else 0.0

    def bytes_at(self, tokens: int, cache_dtype: str | None = None) -> int:
        """Bytes that a sequence of so many tokens keeps."""
        tokens = tokens if self.at_most is None else min(tokens, self.at_most)
        return self.row_bytes(SERVED_BYTES, cache_dtype) * (tokens // self.every)


def quantised_bytes(width: int) -> int:
    """Bytes of a row of a quantised cache, with its scales."""
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
class Scan:
    """Queries over rows of a context: a product with each row that a query sees and, of width `v_dim`, a weighted sum.

    A query sees the last `window` tokens (in chunks: those of its own chunk), and of the rows that it sees it attends
    to the best `picks`.
    """

    heads: int
    qk_dim: int
    v_dim: int
    rows: Sequence[Rows]
    """What one `every`-th token's row is read as."""
    every: int = 1
    window: int | None = None
    picks: int | None = None
    is_chunked: bool = False
    reads_cache: bool = True
    """Else rows are read as they were projected, whatever the cache's type."""
    has_queries: bool = True
    """False where another scan has read the same queries and writes the outputs."""

    def pairs(self, forward: Pass) -> int:
        if self.is_chunked and self.window is not None:
            return forward.pairs_in_chunks(self.window)
        return forward.pairs_seen(self.every, self.window if self.picks is None else self.picks)

    def rows_read(self, forward: Pass) -> int:
        """Rows of a sequence that its queries together read, where each picks its own."""
        seen = forward.seq_len // self.every
        if self.window is not None:
            seen = min(seen, self.window + forward.query_len - 1)
        return seen if self.picks is None else min(seen, self.picks * forward.query_len)

    def row_bytes(self, forward: Pass) -> int:
        """Bytes of a row: they are read once, for all queries of a sequence."""
        dtype = forward.cache_dtype if self.reads_cache else None
        return sum(rows.row_bytes(forward.element_bytes, dtype) for rows in self.rows)

    @property
    def pair_flops(self) -> int:
        return 2 * self.heads * (self.qk_dim + self.v_dim)

    @property
    def token_elements(self) -> int:
        """Elements of a new token's queries and outputs."""
        return self.heads * (self.qk_dim + self.v_dim) if self.has_queries else 0

    def flops(self, forward: Pass) -> int:
        return forward.batch * self.pairs(forward) * self.pair_flops

    def attended_bytes(self, forward: Pass) -> int:
        return forward.batch * self.rows_read(forward) * self.row_bytes(forward)

    def work(self, forward: Pass) -> Work:
        around = forward.tokens * self.token_elements * forward.element_bytes
        return Work(flops=self.flops(forward), traffic_bytes=self.attended_bytes(forward) + around)


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
    def cache_rows(self) -> Sequence[Rows]:
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
        """A token leaves the cache again."""
        return False

    @property
    def is_plain(self) -> bool:
        """Attention as kernels are published and fitted: of a known layout, and over all tokens."""
        return False

    @property
    def token_work(self) -> tuple[int, int]:
        """FLOPs of a new token beside scans, and elements that it moves: a recurrence's."""
        return 0, 0

    def scans(self, forward: Pass) -> Sequence[Scan]:
        """What attends in a pass."""
        return ()

    def kernel(self, forward: Pass) -> Work:
        """The work between the projections, as a model is served."""
        flops, elements = self.token_work
        # A prompt starts from no state, a step reads the one before it.
        states = forward.batch * self.state_bytes * (1 if forward.is_whole else 2)
        moved = forward.tokens * elements * forward.element_bytes
        own = Work(flops=forward.tokens * flops, traffic_bytes=moved + states)
        return sum((scan.work(forward) for scan in self.scans(forward)), own)

    def projection_flops(self, forward: Pass) -> int:
        """FLOPs around the kernel in a forward pass."""
        return 2 * forward.tokens * self.matrix_parameters

    def layer(self, forward: Pass) -> Work:
        """The work of a layer, its projections included and each of its parameters read once."""
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
    """It picks what the last layer's with an indexer of its own picked, and has no weights, keys or work."""
    weighted: bool = True
    """Heads' scores are weighted by the token and summed; else each group of heads picks its own."""

    @property
    def _keys(self) -> Rows:
        return Rows(width=self.head_dim, every=self.every)

    @property
    def cache_rows(self) -> Sequence[Rows]:
        """Keys, and keys and gates of the tokens whose common key is not made yet."""
        waiting = Rows(width=2 * self.head_dim, at_most=self.every - 1, is_wide=True)
        return () if self.shared else (self._keys, waiting) if self.every > 1 else (self._keys,)

    @property
    def scans(self) -> Sequence[Scan]:
        scan = Scan(heads=self.heads, qk_dim=self.head_dim, v_dim=0, rows=(self._keys,), every=self.every)
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


ELEMENT, HEAD = "element", "head"
"""Widths of an output gate: one number an element of the heads' outputs, or one a head."""
ALL_HEADS = "all_heads"
"""A norm over the queries (and keys) of all heads at once; `true` is one that every head shares."""
ANY_ROPE = Rope(theta=1.0)
"""Of layers whose positions nobody turns."""


@dataclass(frozen=True, kw_only=True)
class LayerShape(Layer):
    """Attention, measured or in a model: every variant's closed forms. Counts are exact."""

    by_heads = ("num_heads",)
    mode: ClassVar[str | None] = None
    """The way in which it computes, of a variant that has several."""
    num_heads: int
    rope: Rope = ANY_ROPE
    rule: str = ""
    """The rule by which the shape was laid over its geometry, for people."""
    window: int | None = None
    """Most keys that a query sees, its own among them."""
    indexer: Indexer | None = None
    sinks: bool = False
    output_gate: str | None = None

    def describe_mode(self, forward: Pass) -> str | None:
        """The mode in a sentence; None where there is one way only."""
        return self.mode

    def refusal(self, forward: Pass) -> str | None:
        """The reason why the variant has no such pass, in a sentence; None where it has."""
        return None

    @abstractmethod
    def describe(self) -> str:
        """The shape in a line, with its rule."""

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
    def rows(self) -> Sequence[Rows]:
        """Keys and values of a token as the kernel reads them, whoever keeps them."""

    @property
    def cache_rows(self) -> Sequence[Rows]:
        own = self.rows if self.window is None else [replace(rows, at_most=self.window) for rows in self.rows]
        return (*own, *(self.indexer.cache_rows if self.indexer else ()))

    @property
    def cache_elements_per_token(self) -> int:
        return sum(rows.elements for rows in self.cache_rows)

    def cache_bytes_per_token(self, forward: Pass) -> int:
        return sum(rows.row_bytes(forward.element_bytes, forward.cache_dtype) for rows in self.cache_rows)

    @property
    def has_window(self) -> bool:
        return self.window is not None

    def reads_cache(self, forward: Pass) -> bool:
        """The kernel reads rows as they are cached; else as they were projected."""
        return True

    def writes_cache(self, forward: Pass) -> bool:
        """What is cached is another thing than the kernel reads, and is written beside it."""
        return not self.reads_cache(forward) and not forward.is_training

    def read_tokens(self, forward: Pass) -> int:
        """The tokens of a sequence whose keys and values the kernel reads."""
        return self.scans(forward)[0].rows_read(forward)

    def cached_tokens(self, forward: Pass) -> int:
        """The tokens of a sequence that the cache keeps."""
        return forward.seq_len

    def scans(self, forward: Pass) -> Sequence[Scan]:
        own = Scan(
            heads=self.num_heads,
            qk_dim=self.qk_dim,
            v_dim=self.v_dim,
            rows=self.rows,
            window=self.window,
            picks=self.indexer.top_k if self.indexer else None,
            reads_cache=self.reads_cache(forward),
        )
        return (own, *(self.indexer.scans if self.indexer else ()))

    def extra_parameters(self, output_width: int, query_rank: int | None) -> int:
        """Matrices of the output's gate, as wide as a head's output, and of the indexer."""
        gate = {None: 0, ELEMENT: self.num_heads * output_width, HEAD: self.num_heads}[self.output_gate]
        indexer = self.indexer.matrix_parameters(self.hidden_size, query_rank) if self.indexer else 0
        return self.hidden_size * gate + indexer

    @property
    def vector_parameters(self) -> int:
        return (self.num_heads if self.sinks else 0) + (self.indexer.vector_parameters if self.indexer else 0)

    def attended_bytes(self, forward: Pass) -> int:
        """Bytes of keys and values that the kernel reads in a forward pass."""
        return sum(scan.attended_bytes(forward) for scan in self.scans(forward))

    def moved_bytes(self, forward: Pass) -> int:
        """The least traffic between cache and kernel in a forward pass, the kernel's reads included."""
        written = cache_bytes(self, forward) if self.writes_cache(forward) else 0
        return self.attended_bytes(forward) + written

    def before_kernel(self, forward: Pass) -> Mapping[str, Work]:
        """The work between projections and kernel, by the span in which it is timed."""
        return {}

    def core_flops(self, forward: Pass) -> int:
        """The kernel's FLOPs in a forward pass: scores and weighted sums."""
        return sum(scan.flops(forward) for scan in self.scans(forward))

    def recomputation_flops(self, forward: Pass) -> int:
        """FLOPs of a kernel that computes its scores again in the backward pass instead of storing them."""
        return self.core_flops(forward) // (self.qk_dim + self.v_dim) * self.qk_dim


def cache_bytes(shape: LayerShape, forward: Pass) -> int:
    """Bytes that one layer keeps of `seq_len` tokens of every sequence."""
    return forward.batch * shape.cached_tokens(forward) * shape.cache_bytes_per_token(forward)


def kernel_flops(shape: LayerShape, forward: Pass) -> int:
    return forward.times_forward * shape.core_flops(forward)


def kernel_bytes(shape: LayerShape, forward: Pass) -> int:
    """The least traffic of the kernel: keys and values read once, the queries read and the outputs written."""
    return forward.times_forward * (shape.attended_bytes(forward) + _query_and_output_bytes(shape, forward))


def layer_flops(shape: LayerShape, forward: Pass, around: LayerShape | None = None) -> int:
    """The whole layer's FLOPs. `around`: the share of the layer whose projections count, where it is another than the
    kernel's."""
    before = sum(work.flops for work in shape.before_kernel(forward).values())
    projections = (around or shape).projection_flops(forward)
    return kernel_flops(shape, forward) + forward.times_forward * (before + projections)


def layer_bytes(shape: LayerShape, forward: Pass, around: LayerShape | None = None) -> int:
    """The least traffic of the whole layer: the kernel's and what comes before it, the cache's preparation, and each
    parameter of `around` read once."""
    before = sum(work.traffic_bytes for work in shape.before_kernel(forward).values())
    moved = shape.moved_bytes(forward) + before + _query_and_output_bytes(shape, forward)
    return forward.times_forward * (moved + (around or shape).parameter_count * forward.element_bytes)


def _query_and_output_bytes(shape: LayerShape, forward: Pass) -> int:
    return forward.tokens * shape.num_heads * (shape.qk_dim + shape.v_dim) * forward.element_bytes


@dataclass(frozen=True, kw_only=True)
class GroupedShape(LayerShape):
    """MHA (G = H), GQA and MQA (G = 1), over all tokens or a sliding window: one layout, several configurations.

    With a window, a sequence keeps no more than that needs, so the cache and the traffic of a decode step do not grow
    with the context: min(Sk, window + Sq - 1) tokens, the union of what Sq new queries see. Sinks are gpt-oss's: a
    learnt logit a head, which joins the softmax and has no value (model card, arXiv 2508.10925).
    """

    kv_heads: int
    head_dim: int
    value_dim: int | None = None
    """Width of a value where it is another than a key's."""
    keys_are_values: bool = False
    """One row serves as key and value."""
    is_chunked: bool = False
    """A window is the query's own chunk of the sequence."""
    is_shared: bool = False
    """Queries of their own over the keys and values that another layer keeps."""
    qk_norm: bool | str = False
    qkv_bias: bool = False
    o_bias: bool = False

    @property
    def kind(self) -> str:  # type: ignore[override]
        return "shared" if self.is_shared else "full" if self.window is None else "window"

    @property
    def has_window(self) -> bool:
        return self.window is not None and not self.is_shared

    @property
    def is_plain(self) -> bool:
        has_own_values = not self.keys_are_values and self.v_dim == self.qk_dim
        return type(self) is GroupedShape and self.window is None and self.indexer is None and has_own_values

    @property
    def qk_dim(self) -> int:
        return self.head_dim

    @property
    def v_dim(self) -> int:
        return self.head_dim if self.value_dim is None else self.value_dim

    @property
    def rows(self) -> Sequence[Rows]:
        widths = (self.head_dim,) if self.keys_are_values else (self.head_dim, self.v_dim)
        return [Rows(width=width, count=self.kv_heads) for width in widths]

    @property
    def cache_rows(self) -> Sequence[Rows]:
        return () if self.is_shared else super().cache_rows

    @property
    def mha_elements(self) -> int:
        return self.num_heads * (self.qk_dim + self.v_dim)

    def cached_tokens(self, forward: Pass) -> int:
        """The tokens that a step reads; of a whole prompt, those that the next token's window begins in."""
        if self.window is None:
            return forward.seq_len
        return min(forward.seq_len, self.window + (0 if forward.is_whole else forward.query_len - 1))

    def reads_cache(self, forward: Pass) -> bool:
        """A prompt that is longer than its window is read as it was projected."""
        return self.window is None or not forward.is_whole or forward.seq_len <= self.window

    def scans(self, forward: Pass) -> Sequence[Scan]:
        own, *others = super().scans(forward)
        return (replace(own, is_chunked=self.is_chunked), *others)

    @property
    def _row_elements(self) -> int:
        return sum(rows.elements for rows in self.rows)

    @property
    def matrix_parameters(self) -> int:
        queries, outputs = self.num_heads * self.head_dim, self.num_heads * self.v_dim
        own = 0 if self.is_shared else self._row_elements
        return self.hidden_size * (queries + own + outputs) + self.extra_parameters(self.v_dim, None)

    @property
    def vector_parameters(self) -> int:
        queries, keys = self.num_heads * self.head_dim, self.kv_heads * self.head_dim
        norms = {False: 0, True: 2 * self.head_dim, ALL_HEADS: queries + keys}[self.qk_norm]
        biases = (queries + self._row_elements if self.qkv_bias else 0) + (self.hidden_size if self.o_bias else 0)
        return norms + biases + super().vector_parameters

    def on_rank(self, tp: int) -> Self:
        shape = super().on_rank(tp)
        # Where there are fewer groups than ranks, each is repeated on equally many, as engines require it.
        groups = 1 if tp % self.kv_heads == 0 else rank_share(self.kv_heads, tp, "num_kv_heads")
        return replace(shape, kv_heads=groups)

    def describe(self) -> str:
        heads = f"{self.num_heads} query heads, {self.kv_heads} key-value heads of width {self.head_dim} ({self.rule})"
        if self.window is None:
            return heads
        return f"{heads}, a window of {self.window} tokens{' and sinks' if self.sinks else ''}"


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


def window_shape(
    geometry: Geometry, *, tp: int = 1, kv_heads: int | None = None, window: int = 128, sinks: bool = False
) -> GroupedShape:
    """Lay a sliding window over a geometry, whose heads are those of `grouped_shape`. Raises ValueError."""
    sizes = {"window": window, "sinks": sinks}
    return replace(
        grouped_shape(geometry, tp=tp, kv_heads=kv_heads),
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
    def rows(self) -> Sequence[Rows]:
        return (Rows(width=self.head_dim, count=self.kv_heads), Rows(width=self.rotary_dim, is_wide=True))

    def reads_cache(self, forward: Pass) -> bool:
        return not forward.is_whole

    def scans(self, forward: Pass) -> Sequence[Scan]:
        (own,) = super().scans(forward)
        whole_keys = (Rows(width=self.head_dim, count=2 * self.kv_heads),)
        return (own if own.reads_cache else replace(own, rows=whole_keys),)

    def describe_mode(self, forward: Pass) -> str:
        if not forward.is_whole:
            return "attention on the tied states and the shared rotary key as they are cached"
        kept = "" if forward.is_training else "; the cache keeps the tied states and the rotary key"
        return f"whole keys, made once{kept}"

    @property
    def matrix_parameters(self) -> int:
        """Queries and output, the tied states and the one rotary key."""
        return self.hidden_size * (self.head_dim * (2 * self.num_heads + self.kv_heads) + self.rotary_dim)

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
    grouped = grouped_shape(geometry, tp=tp, kv_heads=kv_heads)
    if grouped.head_dim % 4:
        raise ValueError(
            f"geometry.head_dim must be a multiple of 4, since pairs of its half are rotated; got {grouped.head_dim}"
        )
    names = ("hidden_size", "num_heads", "kv_heads", "head_dim", "rope", "rule")
    return TiedShape(**{name: getattr(grouped, name) for name in names})
