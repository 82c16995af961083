"""What one attention layer looks like, and what it must compute, read and keep: the closed forms.

FLOP = 2 x multiply-add. One causal convention throughout: the last query sees every key, so a pass has
N = Sq * (2 Sk - Sq + 1) / 2 query-key pairs. A kernel that fills the whole Sq x Sk rectangle does more work than it is
credited for here: useful FLOPs are reported, and the report says so.

Symbols: D hidden width, H query heads, G key-value heads, d head width. MLA's shapes stand in latent_shapes.py.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from suite.configuration import whole_number
from suite.theory.geometry import Geometry


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One causal forward pass of one layer: `query_len` new tokens attend to `seq_len` tokens, themselves included."""

    batch: int
    query_len: int
    seq_len: int
    element_bytes: int

    @property
    def tokens(self) -> int:
        """New tokens, over the batch."""
        return self.batch * self.query_len

    @property
    def pairs(self) -> int:
        """Query-key pairs of one head and one sequence under the causal mask."""
        return self.query_len * (2 * self.seq_len - self.query_len + 1) // 2


@dataclass(frozen=True, kw_only=True)
class LayerShape(ABC):
    """Closed forms that every variant answers. Counts are exact; elements become bytes with the pass's dtype."""

    hidden_size: int
    num_heads: int
    rope_theta: float
    rule: str
    """How the shape was laid over its geometry, for people."""

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
    def cache_elements_per_token(self) -> int: ...

    @property
    def kernel_elements_per_token(self) -> int:
        """Keys and values that the kernel reads for each token of the context."""
        return self.cache_elements_per_token

    @property
    def layer_elements_per_token(self) -> int:
        """Least traffic between cache and kernel for each token of the context, the kernel's reads included."""
        return self.cache_elements_per_token

    @property
    @abstractmethod
    def parameter_count(self) -> int: ...

    def core_flops(self, forward: Pass) -> int:
        """What the kernel computes: scores and weighted sums."""
        return 2 * forward.batch * self.num_heads * forward.pairs * (self.qk_dim + self.v_dim)

    @abstractmethod
    def projection_flops(self, forward: Pass) -> int: ...

    @abstractmethod
    def describe(self) -> str:
        """The shape in a line, with its rule."""


def cache_bytes(shape: LayerShape, forward: Pass) -> int:
    """Bytes one layer keeps for `seq_len` tokens of every sequence."""
    return _context_bytes(shape.cache_elements_per_token, forward)


def kernel_bytes(shape: LayerShape, forward: Pass) -> int:
    """Least traffic of the kernel: keys and values read once, the queries read and the outputs written."""
    return _context_bytes(shape.kernel_elements_per_token, forward) + _query_and_output_bytes(shape, forward)


def layer_flops(shape: LayerShape, forward: Pass) -> int:
    return shape.core_flops(forward) + shape.projection_flops(forward)


def layer_bytes(shape: LayerShape, forward: Pass) -> int:
    """Least traffic of the whole layer: the kernel's, what prepares the cache for it, and every parameter read once."""
    context = _context_bytes(shape.layer_elements_per_token, forward)
    return context + _query_and_output_bytes(shape, forward) + shape.parameter_count * forward.element_bytes


def _context_bytes(elements_per_token: int, forward: Pass) -> int:
    return forward.batch * forward.seq_len * elements_per_token * forward.element_bytes


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
    def cache_elements_per_token(self) -> int:
        return 2 * self.kv_heads * self.head_dim

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
        rope_theta=geometry.rope_theta,
        rule=rule,
    )


def rank_share(heads: int, tp: int) -> int:
    if heads % tp:
        raise ValueError(f"geometry.num_heads must be a multiple of tp; got {heads} and {tp}")
    return heads // tp
