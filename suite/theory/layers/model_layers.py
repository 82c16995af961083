"""Layers that published models have beside attention as it is measured: compressed rows, recurrent states, MLPs.

Where no other type of the cache is asked for, everything is counted in the elements' own 16 bits, in which the
reference implementations keep it, an indexer's keys among them. A quantised cache keeps those as bytes with a scale
too (132 bytes of DeepSeek-V3.2's 256); what waits to be compressed and what a convolution needs stays as it is.
Recurrent states are float32, as all their configurations say. Sources of the kinds: DeepSeek-V4 (compressed rows),
Gated DeltaNet (arXiv 2412.06464), KDA (arXiv 2510.26692), Mamba-2 (arXiv 2405.21060).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from suite.theory.layers.algebra import CacheRows, Indexer, Layer, Pass, Scan

STATE_BYTES = 4
"""Bytes of an element of a recurrent state."""
GATED_DELTA, KDA, MAMBA2 = CELLS = ("gated_delta", "kda", "mamba2")


@dataclass(frozen=True, kw_only=True)
class CompressedLayer(Layer):
    """DeepSeek-V4's: one row, key and value at once, for each `every` tokens beside a window of whole ones.

    An indexer picks among the rows. Rows are made with a gate; values and gates of tokens that have no row yet wait in
    the cache. Where windows of rows overlap (`overlaps`), a token enters two rows.
    """

    kind = "compressed"
    by_heads = ("num_heads", "o_groups")
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
    def _pooled_widths(self) -> Sequence[int]:
        if self.every is None:
            return ()
        return (self.head_dim, *((self.indexer.head_dim,) if self.indexer else ()))

    @property
    def _pooled_elements(self) -> int:
        return (2 if self.overlaps else 1) * sum(self._pooled_widths)

    @property
    def cache_rows(self) -> Sequence[CacheRows]:
        """Whole tokens of the window, compressed rows, and the values and gates of tokens that wait for theirs."""
        rows = [CacheRows(width=self.head_dim, at_most=self.window)]
        if self.every is not None:
            rows += [CacheRows(width=width, stride=self.every) for width in self._pooled_widths]
            rows.append(CacheRows(width=2 * self._pooled_elements, at_most=self.every - 1, is_wide=True))
            if self.overlaps:  # the half of the last tokens with a row that enters the next row, too
                rows.append(CacheRows(width=self._pooled_elements, at_most=self.every, is_wide=True))
        return rows

    @property
    def mha_elements(self) -> int:
        return 2 * self.num_heads * self.head_dim

    @property
    def matrix_parameters(self) -> int:
        outputs = self.num_heads * self.head_dim
        queries = self.q_lora_rank * (self.hidden_size + outputs)
        out = self.o_lora_rank * (outputs + self.o_groups * self.hidden_size)
        rows = self.hidden_size * (self.head_dim + 2 * self._pooled_elements)
        # Its key is among the rows that are made.
        picks = self.q_lora_rank * self.indexer.head_dim + self.hidden_size if self.indexer else 0
        return queries + out + rows + (self.indexer.heads * picks if self.indexer else 0)

    @property
    def vector_parameters(self) -> int:
        norms = self.q_lora_rank + self.head_dim + sum(self._pooled_widths)
        return norms + (self.every or 0) * self._pooled_elements + self.num_heads  # biases by place, and the sinks

    def scans(self, forward: Pass) -> Sequence[Scan]:
        width = self.head_dim
        near = Scan(heads=self.num_heads, qk_dim=width, v_dim=width, rows=(CacheRows(width=width),), window=self.window)
        if self.every is None:
            return (near,)
        picks, scores = (self.indexer.top_k, self.indexer.scans) if self.indexer else (None, ())
        return (near, replace(near, window=None, stride=self.every, picks=picks, has_queries=False), *scores)


@dataclass(frozen=True, kw_only=True)
class StateLayer(Layer):
    """A recurrent state instead of a cache: bytes do not depend on the context.

    `cell` is how it is updated: `gated_delta` (one decay a head), `kda` (one decay an element of the key) or `mamba2`
    (decay, no delta rule). All have a short convolution over `taps` tokens in front.
    """

    kind = "state"
    by_heads = ("key_heads", "value_heads")
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
    def _outputs(self) -> int:
        return self.value_heads * self.value_dim

    @property
    def _convolved(self) -> int:
        return 2 * self.key_heads * self.key_dim + self._outputs

    @property
    def state_bytes(self) -> int:
        """Bytes of a sequence's float32 state: a matrix of key by value width for each value head."""
        return STATE_BYTES * self._outputs * self.key_dim

    @property
    def cache_rows(self) -> Sequence[CacheRows]:
        """A row for each of the last tokens that the convolution needs, one fewer than its taps."""
        return (CacheRows(width=self._convolved, at_most=self.taps - 1, is_wide=True),)

    @property
    def matrix_parameters(self) -> int:
        projected = self._convolved + self.value_heads + self._outputs
        if self.cell == MAMBA2:  # the gate z and one step size a head beside what is convolved
            return self.hidden_size * (projected + self._outputs)
        if self.cell == GATED_DELTA:  # the gate z, beta and the decay, one a head
            return self.hidden_size * (projected + self.value_heads + self._outputs)
        matrices = self.hidden_size * projected
        for width, rank in ((self.key_heads * self.key_dim, self.decay_rank), (self._outputs, self.gate_rank)):
            matrices += self.hidden_size * width if rank is None else rank * (self.hidden_size + width)
        return matrices

    @property
    def vector_parameters(self) -> int:
        taps, heads = self._convolved * self.taps, self.value_heads
        if self.cell == MAMBA2:  # with a bias; A, D and the step's bias a head; one norm over all outputs
            return taps + self._convolved + 3 * heads + self._outputs
        if self.cell == GATED_DELTA:
            return taps + 2 * heads + self.value_dim
        return taps + heads + self.key_heads * self.key_dim + self.value_dim

    @property
    def token_work(self) -> tuple[int, int]:
        """FLOPs of the recurrence for a token, and elements that it moves. Decay takes 1 FLOP a cell, update and
        reading 2 each, and the delta rule's own reading 2. A kernel that works in chunks computes more."""
        cells = self._outputs * self.key_dim
        return (5 if self.cell == MAMBA2 else 7) * cells, self._convolved + self._outputs


@dataclass(frozen=True, kw_only=True)
class MlpLayer(Layer):
    """A block that holds an MLP and no attention, in models that count both as layers (Nemotron-H)."""

    kind = "mlp"
