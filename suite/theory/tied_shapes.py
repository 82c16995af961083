"""Grouped tied attention (GTA, arXiv 2505.21487): each group keeps one state, which is key and value.

The value is the whole state, G groups of width d. The key is the state's first half, which is not rotated, and behind
it a rotary key of width d/2 that all groups share. A token so leaves G d + d/2 elements, as table 5 of the paper counts
them, and a step that reads the states where they are cached reads each once, for the scores and for the sum.

Where every token is a new one, whole keys are made once for the pass: its kernel reads 2 G d elements a token.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from suite.theory.geometry import Geometry
from suite.theory.shapes import LayerShape, Pass, Rows, grouped_shape


@dataclass(frozen=True, kw_only=True)
class TiedShape(LayerShape):
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
