"""Shapes of attention, measured or in a model, over the algebra of a layer: grouped, windowed and tied.

A training step computes and moves three times what its forward pass does: for every product of the forward pass the
backward pass has two, one for each factor's gradient; what was read is read again and its gradient written. A kernel
that computes its scores again instead of storing them does more, which is counted apart.

Symbols: D hidden width, H query heads, G key-value heads, d head width, Sq new tokens, Sk all tokens.
MLA's shapes stand in latent_shapes.py, layers that only models have in model_layers.py.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from suite.configuration.values import one_of, whole_number
from suite.theory.layers.algebra import NO_WORK, CacheRows, Indexer, Layer, Pass, Scan, Work, rank_share
from suite.theory.layers.geometry import Geometry
from suite.theory.layers.rope import Rope

ELEMENT, HEAD = "element", "head"
"""Widths of an output gate: one number an element of the heads' outputs, or one a head."""
ALL_HEADS = "all_heads"
"""A norm over the queries (and keys) of all heads at once; `true` is one that every head shares."""
ANY_ROPE = Rope(theta=1.0)
"""The rotary embedding of layers that are computed without one."""


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
        """The reason why the variant cannot run such a pass, in a sentence; None where it can."""
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
    def rows(self) -> Sequence[CacheRows]:
        """Keys and values of a token as the kernel reads them, whoever keeps them."""

    @property
    def cache_rows(self) -> Sequence[CacheRows]:
        """Rows that a token leaves: keys and values, kept for the window, and the indexer's."""
        rows = [replace(rows, at_most=self.window) for rows in self.rows]
        return (*rows, *(self.indexer.cache_rows if self.indexer else ()))

    @property
    def cache_elements_per_token(self) -> int:
        """Elements that a token leaves in the cache, the indexer's included."""
        return sum(rows.elements for rows in self.cache_rows)

    def cache_bytes_per_token(self, forward: Pass) -> int:
        """Bytes that a token leaves in the cache, in the pass's type of cache."""
        return sum(rows.row_bytes(forward.element_bytes, forward.cache_dtype) for rows in self.cache_rows)

    @property
    def has_window(self) -> bool:
        return self.window is not None

    def reads_cache(self, forward: Pass) -> bool:
        """Whether the kernel reads rows as they are cached; else it reads them as they were projected."""
        return True

    def read_tokens(self, forward: Pass) -> int:
        """The number of tokens of a sequence whose keys and values the kernel reads."""
        return self.scans(forward)[0].rows_read(forward)

    def cached_tokens(self, forward: Pass) -> int:
        """The number of tokens of a sequence that the cache keeps."""
        return forward.seq_len

    def scans(self, forward: Pass) -> Sequence[Scan]:
        """The kernel's scan, then its indexer's where it has one."""
        kernel = Scan(
            heads=self.num_heads,
            qk_dim=self.qk_dim,
            v_dim=self.v_dim,
            rows=self.rows,
            window=self.window,
            picks=self.indexer.top_k if self.indexer else None,
            reads_cache=self.reads_cache(forward),
        )
        return (kernel, *(self.indexer.scans if self.indexer else ()))

    def extra_parameters(self, output_width: int, query_rank: int | None) -> int:
        """Parameters of the matrices of the output's gate, `output_width` wide a head, and of the indexer."""
        gate = {None: 0, ELEMENT: self.num_heads * output_width, HEAD: self.num_heads}[self.output_gate]
        indexer = self.indexer.matrix_parameters(self.hidden_size, query_rank) if self.indexer else 0
        return self.hidden_size * gate + indexer

    @property
    def vector_parameters(self) -> int:
        """A sink a head, and the indexer's vectors."""
        return (self.num_heads if self.sinks else 0) + (self.indexer.vector_parameters if self.indexer else 0)

    @property
    def frozen_parameters(self) -> int:
        """Parameters that stay as they were drawn, without a gradient."""
        return 0

    def attended_bytes(self, forward: Pass) -> int:
        """Bytes of keys and values that the kernel reads in a forward pass."""
        return sum(scan.attended_bytes(forward) for scan in self.scans(forward))

    def moved_bytes(self, forward: Pass) -> int:
        """The least traffic between cache and kernel in a forward pass, the kernel's reads included."""
        # A cache that holds another thing than the kernel reads is written beside it.
        is_written = not self.reads_cache(forward) and not forward.is_training
        return self.attended_bytes(forward) + (cache_bytes(self, forward) if is_written else 0)

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


def kernel_work(shape: LayerShape, forward: Pass) -> Work:
    """The kernel's FLOPs and least traffic: keys and values read once, the queries read and the outputs written."""
    queries_outputs = forward.tokens * shape.num_heads * (shape.qk_dim + shape.v_dim) * forward.element_bytes
    traffic_bytes = shape.attended_bytes(forward) + queries_outputs
    return Work(flops=shape.core_flops(forward), traffic_bytes=traffic_bytes) * forward.times_forward


def layer_work(shape: LayerShape, forward: Pass, around: LayerShape | None = None) -> Work:
    """The whole layer's FLOPs and least traffic: the kernel's, what comes before it, the cache's preparation, the
    projections, and each parameter read once.

    `around`: the share of the layer whose projections count, where it is another than the kernel's.
    """
    around = around or shape
    before = sum(shape.before_kernel(forward).values(), NO_WORK)
    cache_bytes = shape.moved_bytes(forward) - shape.attended_bytes(forward)
    parameter_bytes = around.parameter_count * forward.element_bytes
    projections = Work(flops=around.projection_flops(forward), traffic_bytes=cache_bytes + parameter_bytes)
    # A frozen weight has no gradient: one product less, and one matrix less to write.
    frozen = around.frozen_parameters if forward.is_training else 0
    spared = Work(flops=2 * forward.tokens * frozen, traffic_bytes=frozen * forward.element_bytes)
    return kernel_work(shape, forward) + (before + projections) * forward.times_forward - spared


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
        """`shared`, `window` or `full`."""
        return "shared" if self.is_shared else "full" if self.window is None else "window"

    @property
    def has_window(self) -> bool:
        return self.window is not None and not self.is_shared

    @property
    def is_plain(self) -> bool:
        has_equal_widths = not self.keys_are_values and self.v_dim == self.qk_dim
        # A variant of somebody's own may subclass this with another kernel.
        return type(self) is GroupedShape and self.window is None and self.indexer is None and has_equal_widths

    @property
    def qk_dim(self) -> int:
        return self.head_dim

    @property
    def v_dim(self) -> int:
        return self.head_dim if self.value_dim is None else self.value_dim

    @property
    def rows(self) -> Sequence[CacheRows]:
        """A token's keys and values for each group, or one row that serves as both."""
        widths = (self.head_dim,) if self.keys_are_values else (self.head_dim, self.v_dim)
        return [CacheRows(width=width, count=self.kv_heads) for width in widths]

    @property
    def cache_rows(self) -> Sequence[CacheRows]:
        return () if self.is_shared else super().cache_rows

    @property
    def mha_elements(self) -> int:
        return self.num_heads * (self.qk_dim + self.v_dim)

    def cached_tokens(self, forward: Pass) -> int:
        """The number of tokens that a step reads; of a whole prompt, those that the next token's window begins in."""
        if self.window is None:
            return forward.seq_len
        return min(forward.seq_len, self.window + (0 if forward.is_whole else forward.query_len - 1))

    def reads_cache(self, forward: Pass) -> bool:
        """Whether the kernel reads rows as cached. It reads a prompt that is longer than its window as projected."""
        return self.window is None or not forward.is_whole or forward.seq_len <= self.window

    def scans(self, forward: Pass) -> Sequence[Scan]:
        """The kernel's scan, in chunks where the window is one, then the indexer's."""
        kernel, *indexing = super().scans(forward)
        return (replace(kernel, is_chunked=self.is_chunked), *indexing)

    @property
    def _row_elements(self) -> int:
        return sum(rows.elements for rows in self.rows)

    @property
    def matrix_parameters(self) -> int:
        queries, outputs = self.num_heads * self.head_dim, self.num_heads * self.v_dim
        rows = 0 if self.is_shared else self._row_elements
        return self.hidden_size * (queries + rows + outputs) + self.extra_parameters(self.v_dim, None)

    @property
    def vector_parameters(self) -> int:
        queries, keys = self.num_heads * self.head_dim, self.kv_heads * self.head_dim
        norms = {False: 0, True: 2 * self.head_dim, ALL_HEADS: queries + keys}[self.qk_norm]
        biases = (queries + self._row_elements if self.qkv_bias else 0) + (self.hidden_size if self.o_bias else 0)
        return norms + biases + super().vector_parameters

    def on_rank(self, tp: int) -> Self:
        """One tensor-parallel rank's share: of the query heads, and of the key-value heads at least one."""
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
    """Lay a sliding window over a geometry, with the heads of `grouped_shape`. Raises ValueError for wrong sizes."""
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

    v_dim = qk_dim

    @property
    def rows(self) -> Sequence[CacheRows]:
        return (CacheRows(width=self.head_dim, count=self.kv_heads), CacheRows(width=self.rotary_dim, is_wide=True))

    def reads_cache(self, forward: Pass) -> bool:
        """Whether some tokens are cached already; a pass of new ones alone reads keys made for it."""
        return not forward.is_whole

    def scans(self, forward: Pass) -> Sequence[Scan]:
        """One scan, which reads whole keys where they are made for the pass, else the cached states."""
        (kernel,) = super().scans(forward)
        whole_keys = (CacheRows(width=self.head_dim, count=2 * self.kv_heads),)
        return (kernel if kernel.reads_cache else replace(kernel, rows=whole_keys),)

    def describe_mode(self, forward: Pass) -> str:
        if not forward.is_whole:
            return "attention on the tied states and the shared rotary key as they are cached"
        cached = "" if forward.is_training else "; the cache keeps the tied states and the rotary key"
        return f"whole keys, made once{cached}"

    @property
    def matrix_parameters(self) -> int:
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
