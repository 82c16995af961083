"""The kinds of layers that published models are made of: what each keeps and computes, in closed forms. No torch.

Models of 2026 are no stack of equal layers. Some layers keep every token, some a window, some one row for several
tokens, some a state of fixed size. suite.theory.layers.layer_plan adds them up to a model.

Where no other type of the cache is asked for, everything is counted in the elements' own 16 bits, in which the
reference implementations keep it, an indexer's keys among them. A quantised cache keeps those as bytes with a scale
too (132 bytes of DeepSeek-V3.2's 256); what waits to be compressed and what a convolution needs stays as it is.
Recurrent states are float32, as all their configurations say. Sources of the kinds: DeepSeek-V3.2 (sparse attention
with an indexer), DeepSeek-V4 (compressed rows), Gated DeltaNet (arXiv 2412.06464), KDA (arXiv 2510.26692), Mamba-2
(arXiv 2405.21060).

Symbols: D hidden width, H query heads, G key-value heads, d head width, p a query's position counted from 1.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from suite.theory.layers.geometry import Geometry
from suite.theory.layers.indexer import Indexer
from suite.theory.layers.latent_shapes import absorbed_shape, expanded_once_shape
from suite.theory.layers.layer_work import (
    SERVED_BYTES,
    Kept,
    attend,
    capped_pairs,
    chunked_pairs,
    compressed_pairs,
    rows_picked,
    rows_seen,
)
from suite.theory.layers.shapes import NO_WORK, LayerShape, Pass, Work, kernel_bytes, kernel_flops

STATE_BYTES = 4
"""Bytes of an element of a recurrent state."""
ELEMENT, HEAD = ("element", "head")
"""Widths of an output gate: one number an element of the heads' outputs, or one a head."""
ALL_HEADS = "all_heads"
"""A norm over the queries (and keys) of all heads at once; `true` is one that every head shares."""


@dataclass(frozen=True, kw_only=True)
class LayerKind(ABC):
    """Equal layers of one kind."""

    kind: ClassVar[str]
    count: int
    hidden_size: int

    @property
    def kept(self) -> Sequence[Kept]:
        """Rows that one layer keeps."""
        return ()

    @property
    def has_window(self) -> bool:
        """True if a token leaves the cache again."""
        return False

    @property
    def state_bytes(self) -> int:
        """Bytes of the recurrent state of one layer and sequence."""
        return 0

    @property
    def mha_elements(self) -> int:
        """Elements that a token would leave if every query head had its own key and value."""
        return 0

    @property
    def matrix_parameters(self) -> int:
        """Parameters of one layer that a token is multiplied by."""
        return 0

    @property
    def vector_parameters(self) -> int:
        """Norms, biases, sinks and convolutions of one layer; the norms before it are the model's."""
        return 0

    @abstractmethod
    def kernel(self, forward: Pass) -> Work:
        """Return the work of one layer between its projections."""

    @abstractmethod
    def describe(self) -> str:
        """Return the sizes in a few words."""

    def layer(self, forward: Pass) -> Work:
        """Return the work of one layer, its projections included and each of its parameters read once."""
        around = Work(
            flops=2 * forward.tokens * self.matrix_parameters,
            traffic_bytes=(self.matrix_parameters + self.vector_parameters) * forward.element_bytes,
        )
        return self.kernel(forward) + around

    def token_bytes(self, cache_dtype: str | None = None) -> float:
        """Return the bytes that a token adds to one layer's cache in the long run."""
        return sum(kept.growth_bytes(cache_dtype) for kept in self.kept)

    def cache_bytes(self, tokens: int, cache_dtype: str | None = None) -> int:
        """Return the bytes that one layer keeps of a sequence."""
        return sum(kept.bytes_at(tokens, cache_dtype) for kept in self.kept) + self.state_bytes


@dataclass(frozen=True, kw_only=True)
class FullLayers(LayerKind):
    """Attention with key-value heads over all tokens."""

    kind = "full"
    num_heads: int
    num_kv_heads: int
    head_dim: int
    v_head_dim: int
    keys_are_values: bool = False
    """One row serves as key and value."""
    indexer: Indexer | None = None
    qk_norm: bool | str = False
    qkv_bias: bool = False
    o_bias: bool = False
    sinks: bool = False
    output_gate: str | None = None

    @property
    def row_elements(self) -> int:
        """Elements of a token's keys and values."""
        return self.num_kv_heads * (self.head_dim + (0 if self.keys_are_values else self.v_head_dim))

    @property
    def rows(self) -> Sequence[Kept]:
        """Keys and values of a token, whoever keeps them."""
        widths = (self.head_dim,) if self.keys_are_values else (self.head_dim, self.v_head_dim)
        return [Kept(elements=self.num_kv_heads * width, width=width) for width in widths]

    @property
    def kept(self) -> Sequence[Kept]:
        return (*self.rows, *(self.indexer.kept if self.indexer else ()))

    @property
    def mha_elements(self) -> int:
        return self.num_heads * (self.head_dim + self.v_head_dim)

    @property
    def matrix_parameters(self) -> int:
        queries, outputs = self.num_heads * self.head_dim, self.num_heads * self.v_head_dim
        gate = {None: 0, ELEMENT: outputs, HEAD: self.num_heads}[self.output_gate]
        indexer = self.indexer.matrix_parameters(self.hidden_size, None) if self.indexer else 0
        return self.hidden_size * (queries + self.row_elements + outputs + gate) + indexer

    @property
    def vector_parameters(self) -> int:
        queries, keys = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        norms = {False: 0, True: 2 * self.head_dim, ALL_HEADS: queries + keys}[self.qk_norm]
        biases = (queries + self.row_elements if self.qkv_bias else 0) + (self.hidden_size if self.o_bias else 0)
        indexer = self.indexer.vector_parameters if self.indexer else 0
        return norms + biases + (self.num_heads if self.sinks else 0) + indexer

    def _attend(self, forward: Pass, *, pairs: int, rows: int) -> Work:
        row_bytes = sum(rows.row_bytes(forward.element_bytes, forward.cache_dtype) for rows in self.rows)
        sizes = {"heads": self.num_heads, "qk_dim": self.head_dim, "v_dim": self.v_head_dim}
        return attend(forward, pairs=pairs, rows=rows, row_bytes=row_bytes, **sizes)

    def kernel(self, forward: Pass) -> Work:
        if self.indexer is None:
            return self._attend(forward, pairs=forward.pairs, rows=forward.seq_len)
        picked = self.indexer.top_k
        rows = rows_picked(forward, picked, forward.seq_len)
        return self._attend(forward, pairs=capped_pairs(forward, picked), rows=rows) + self.indexer.work(forward)

    def describe(self) -> str:
        return f"{self.num_heads} heads, {self.num_kv_heads} x {self.head_dim}"


@dataclass(frozen=True, kw_only=True)
class WindowLayers(FullLayers):
    """The same over the last tokens only, or over the query's own chunk of them."""

    kind = "window"
    window: int
    chunked: bool = False

    @property
    def has_window(self) -> bool:
        return True

    @property
    def kept(self) -> Sequence[Kept]:
        return [replace(rows, at_most=self.window) for rows in self.rows]

    def kernel(self, forward: Pass) -> Work:
        pairs = chunked_pairs(forward, self.window) if self.chunked else capped_pairs(forward, self.window)
        return self._attend(forward, pairs=pairs, rows=rows_seen(forward, self.window))


@dataclass(frozen=True, kw_only=True)
class SharedLayers(FullLayers):
    """Queries of their own over the keys and values that another layer keeps."""

    kind = "shared"
    window: int | None = None

    @property
    def kept(self) -> Sequence[Kept]:
        return ()

    @property
    def matrix_parameters(self) -> int:
        return super().matrix_parameters - self.hidden_size * self.row_elements

    def kernel(self, forward: Pass) -> Work:
        pairs = capped_pairs(forward, self.window)
        return self._attend(forward, pairs=pairs, rows=rows_seen(forward, self.window))


@dataclass(frozen=True, kw_only=True)
class LatentLayers(LayerKind):
    """MLA: expanded over a whole prompt and absorbed in decoding, as deployed; always absorbed where tokens are picked.

    A window or an indexer bounds what a query sees.
    """

    kind = "latent"
    geometry: Geometry
    """Sizes of these layers."""
    window: int | None = None
    indexer: Indexer | None = None
    sinks: bool = False
    output_gate: str | None = None
    absorbed: LayerShape = field(init=False)
    expanded: LayerShape = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "absorbed", absorbed_shape(self.geometry))
        object.__setattr__(self, "expanded", expanded_once_shape(self.geometry))

    @property
    def has_window(self) -> bool:
        return self.window is not None

    @property
    def kept(self) -> Sequence[Kept]:
        rows = [
            Kept(elements=rows.elements, at_most=self.window, width=None if rows.is_rotary else rows.width)
            for rows in self.absorbed.cache_rows
        ]
        return (*rows, *(self.indexer.kept if self.indexer else ()))

    @property
    def mha_elements(self) -> int:
        assert self.geometry.v_head_dim is not None
        return 2 * self.geometry.num_heads * self.geometry.v_head_dim

    @property
    def matrix_parameters(self) -> int:
        heads, v_head_dim = self.geometry.num_heads, self.geometry.v_head_dim
        assert v_head_dim is not None
        gate = {None: 0, ELEMENT: heads * v_head_dim, HEAD: heads}[self.output_gate]
        indexer = 0
        if self.indexer is not None:
            indexer = self.indexer.matrix_parameters(self.hidden_size, self.geometry.q_lora_rank)
        one_token = Pass(batch=1, query_len=1, seq_len=1, element_bytes=SERVED_BYTES)
        return self.absorbed.projection_flops(one_token) // 2 + self.hidden_size * gate + indexer

    @property
    def vector_parameters(self) -> int:
        one_token = Pass(batch=1, query_len=1, seq_len=1, element_bytes=SERVED_BYTES)
        norms = self.absorbed.parameter_count - self.absorbed.projection_flops(one_token) // 2
        sinks = self.geometry.num_heads if self.sinks else 0
        return norms + sinks + (self.indexer.vector_parameters if self.indexer else 0)

    def kernel(self, forward: Pass) -> Work:
        bound = self.indexer.top_k if self.indexer else self.window
        if bound is None:
            is_prompt = forward.query_len == forward.seq_len and forward.query_len > 1
            shape = self.expanded if is_prompt else self.absorbed
            # A prompt's latents are written beside the heads' own keys and values.
            written = shape.layer_bytes_per_token(forward) - shape.kernel_bytes_per_token(forward)
            return Work(
                flops=kernel_flops(shape, forward),
                traffic_bytes=kernel_bytes(shape, forward) + forward.batch * forward.seq_len * written,
            )
        rows = rows_seen(forward, self.window)
        if self.indexer is not None:
            rows = rows_picked(forward, bound, rows)
        core = attend(
            forward,
            heads=self.geometry.num_heads,
            qk_dim=self.absorbed.qk_dim,
            v_dim=self.absorbed.v_dim,
            pairs=capped_pairs(forward, bound),
            row_bytes=self.absorbed.cache_bytes_per_token(forward),
            rows=rows,
        )
        return core + (self.indexer.work(forward) if self.indexer else NO_WORK)

    def describe(self) -> str:
        return (
            f"{self.geometry.num_heads} heads, latent {self.geometry.kv_lora_rank} + {self.geometry.qk_rope_head_dim}"
        )


@dataclass(frozen=True, kw_only=True)
class CompressedLayers(LayerKind):
    """DeepSeek-V4's: one row, key and value at once, for each `every` tokens beside a window of whole ones.

    An indexer picks among the rows. Rows are made with a gate; values and gates of tokens that have no row yet wait in
    the cache. Where windows of rows overlap (`overlaps`), a token enters two rows.
    """

    kind = "compressed"
    num_heads: int
    head_dim: int
    window: int
    every: int | None
    """None in a layer that has the window only."""
    q_lora_rank: int
    o_groups: int
    o_lora_rank: int
    overlaps: bool = False
    indexer: Indexer | None = None

    @property
    def _makers(self) -> Sequence[tuple[int, int, int]]:
        """Widths of what makes rows and indexer keys: projected values, the same again as gates, and the row itself."""
        if self.every is None:
            return ()
        times = 2 if self.overlaps else 1
        widths = [self.head_dim] + ([self.indexer.head_dim] if self.indexer else [])
        return [(times * width, times * width, width) for width in widths]

    @property
    def kept(self) -> Sequence[Kept]:
        kept = [replace(self._row, at_most=self.window)]
        if self.every is not None:
            kept += [Kept(elements=row, every=self.every, width=row) for *_, row in self._makers]
            waiting = sum(values + gates for values, gates, _ in self._makers)
            kept.append(Kept(elements=waiting, at_most=self.every - 1))
            if self.overlaps:  # the half of the last tokens with a row that enters the next row, too
                kept.append(Kept(elements=waiting // 2, at_most=self.every))
        return kept

    @property
    def _row(self) -> Kept:
        return Kept(elements=self.head_dim, width=self.head_dim)

    @property
    def mha_elements(self) -> int:
        return 2 * self.num_heads * self.head_dim

    @property
    def matrix_parameters(self) -> int:
        outputs = self.num_heads * self.head_dim
        queries = self.q_lora_rank * (self.hidden_size + outputs)
        out = self.o_lora_rank * (outputs + self.o_groups * self.hidden_size)
        rows = self.hidden_size * sum(values + gates for values, gates, _ in self._makers)
        indexer = 0
        if self.indexer is not None:
            picks = self.indexer.heads * self.indexer.head_dim
            indexer = self.q_lora_rank * picks + self.hidden_size * self.indexer.heads
        return queries + self.hidden_size * self.head_dim + out + rows + indexer

    @property
    def vector_parameters(self) -> int:
        norms = self.q_lora_rank + self.head_dim + sum(row for *_, row in self._makers)
        biases = sum((self.every or 0) * gates for _, gates, _ in self._makers)
        return norms + biases + self.num_heads  # the sinks

    def kernel(self, forward: Pass) -> Work:
        pairs, rows = capped_pairs(forward, self.window), rows_seen(forward, self.window)
        if self.every is not None:
            made, picked = forward.seq_len // self.every, self.indexer.top_k if self.indexer else None
            pairs += compressed_pairs(forward, self.every, picked)
            rows += made if picked is None else rows_picked(forward, picked, made)
        sizes = {"heads": self.num_heads, "qk_dim": self.head_dim, "v_dim": self.head_dim}
        row_bytes = self._row.row_bytes(forward.element_bytes, forward.cache_dtype)
        core = attend(forward, pairs=pairs, rows=rows, row_bytes=row_bytes, **sizes)
        return core + (self.indexer.work(forward) if self.indexer else NO_WORK)

    def describe(self) -> str:
        return f"{self.num_heads} heads, 1 x {self.head_dim} of every {self.every or 'window'}"


@dataclass(frozen=True, kw_only=True)
class StateLayers(LayerKind):
    """A recurrent state instead of a cache: bytes do not depend on the context.

    `cell` is how it is updated: `gated_delta` (one decay a head), `kda` (one decay an element of the key) or `mamba2`
    (decay, no delta rule). All have a short convolution over `taps` tokens in front.
    """

    kind = "state"
    cell: str
    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    taps: int
    decay_rank: int | None = None
    """Rank of KDA's decay; None for a full matrix."""
    gate_rank: int | None = None
    """Rank of KDA's output gate; None for a full matrix."""

    @property
    def convolved(self) -> int:
        """Channels that the convolution runs over: queries, keys and values (C, B and x of Mamba-2)."""
        return 2 * self.key_heads * self.key_dim + self.value_heads * self.value_dim

    @property
    def state_bytes(self) -> int:
        return STATE_BYTES * self.value_heads * self.key_dim * self.value_dim

    @property
    def kept(self) -> Sequence[Kept]:
        return (Kept(elements=self.convolved, at_most=self.taps - 1),)

    @property
    def matrix_parameters(self) -> int:
        outputs, heads = self.value_heads * self.value_dim, self.value_heads
        if self.cell == "mamba2":  # the gate z and one step size a head beside what is convolved
            return self.hidden_size * (self.convolved + outputs + heads + outputs)
        if self.cell == "gated_delta":  # the gate z, beta and the decay, one a head
            return self.hidden_size * (self.convolved + outputs + 2 * heads + outputs)
        keys = self.key_heads * self.key_dim
        decay = self._factored(keys, self.decay_rank)
        gate = self._factored(outputs, self.gate_rank)
        return self.hidden_size * (self.convolved + heads + outputs) + decay + gate

    def _factored(self, width: int, rank: int | None) -> int:
        return self.hidden_size * width if rank is None else rank * (self.hidden_size + width)

    @property
    def vector_parameters(self) -> int:
        outputs, heads = self.value_heads * self.value_dim, self.value_heads
        taps = self.convolved * self.taps
        if self.cell == "mamba2":  # with a bias; A, D and the step's bias a head; one norm over all outputs
            return taps + self.convolved + 3 * heads + outputs
        if self.cell == "gated_delta":
            return taps + 2 * heads + self.value_dim
        return taps + heads + self.key_heads * self.key_dim + self.value_dim

    def kernel(self, forward: Pass) -> Work:
        """Count the recurrence itself: decay, update and reading, and the delta rule's own reading. A kernel that works
        in chunks computes more."""
        cells = self.value_heads * self.key_dim * self.value_dim
        per_token = (1 + 2 + 2 + (0 if self.cell == "mamba2" else 2)) * cells
        moved = forward.tokens * (self.convolved + self.value_heads * self.value_dim) * forward.element_bytes
        # A prompt starts from no state, a step reads the one before it.
        passes = 1 if forward.query_len == forward.seq_len else 2
        return Work(
            flops=forward.tokens * per_token,
            traffic_bytes=moved + passes * forward.batch * self.state_bytes,
        )

    def describe(self) -> str:
        return f"{self.cell}: {self.value_heads} states of {self.key_dim} x {self.value_dim}"


@dataclass(frozen=True, kw_only=True)
class MlpLayers(LayerKind):
    """Blocks that hold an MLP and no attention, in models that count both as layers (Nemotron-H)."""

    kind = "mlp"

    def kernel(self, forward: Pass) -> Work:
        return NO_WORK

    def describe(self) -> str:
        return "no attention"
