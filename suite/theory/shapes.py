"""What one attention layer looks like, and what it must compute, read and keep: the closed forms.

FLOP = 2 x multiply-add. One causal convention throughout: the last query sees every key, so a pass has
N = Sq * (2 Sk - Sq + 1) / 2 query-key pairs. A kernel that fills the whole Sq x Sk rectangle does more work than it is
credited for here: useful FLOPs are reported, and the report says so.

Symbols: D hidden width, H query heads, G key-value heads, d head width; for MLA c the latent's width, d_n and d_r the
parts of a query-key head without and with rotary embedding, d_v the value head. Source of the MLA forms: DeepSeek-V2
report, section 2.1 and appendix C.
"""

from dataclasses import dataclass
from typing import Any, Protocol

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


class LayerShape(Protocol):
    """Closed forms that every variant answers. Counts are exact; elements become bytes with the pass's dtype."""

    @property
    def hidden_size(self) -> int: ...

    @property
    def num_heads(self) -> int: ...

    @property
    def qk_dim(self) -> int:
        """Width over which the kernel scores a query against a key."""
        ...

    @property
    def v_dim(self) -> int:
        """Width of the value that the kernel sums."""
        ...

    @property
    def cache_elements_per_token(self) -> int: ...

    @property
    def parameter_count(self) -> int: ...

    def core_flops(self, forward: Pass) -> int: ...

    def projection_flops(self, forward: Pass) -> int: ...

    def describe(self) -> str:
        """The rule by which this shape was laid over its geometry, for people."""
        ...


def cache_bytes(shape: LayerShape, forward: Pass) -> int:
    """Bytes one layer keeps for `seq_len` tokens of every sequence."""
    return forward.batch * forward.seq_len * shape.cache_elements_per_token * forward.element_bytes


def kernel_flops(shape: LayerShape, forward: Pass) -> int:
    return shape.core_flops(forward)


def kernel_bytes(shape: LayerShape, forward: Pass) -> int:
    """Least traffic of the kernel: the cache read once, the queries read and the outputs written."""
    queries_and_outputs = forward.tokens * shape.num_heads * (shape.qk_dim + shape.v_dim) * forward.element_bytes
    return cache_bytes(shape, forward) + queries_and_outputs


def layer_flops(shape: LayerShape, forward: Pass) -> int:
    return shape.core_flops(forward) + shape.projection_flops(forward)


def layer_bytes(shape: LayerShape, forward: Pass) -> int:
    """Least traffic of the whole layer: the kernel's, and every parameter read once."""
    return kernel_bytes(shape, forward) + shape.parameter_count * forward.element_bytes


@dataclass(frozen=True, kw_only=True)
class GroupedShape:
    """MHA (G = H), GQA and MQA (G = 1): one layout, three configurations."""

    hidden_size: int
    num_heads: int
    kv_heads: int
    head_dim: int
    rope_theta: float
    rule: str

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

    def core_flops(self, forward: Pass) -> int:
        return 2 * forward.batch * self.num_heads * forward.pairs * (self.qk_dim + self.v_dim)

    def projection_flops(self, forward: Pass) -> int:
        return 2 * forward.tokens * self.parameter_count

    def describe(self) -> str:
        return f"{self.num_heads} query heads, {self.kv_heads} key-value heads of width {self.head_dim} ({self.rule})"


@dataclass(frozen=True, kw_only=True)
class LatentShape:
    """Absorbed MLA: the latent is cached, and attention runs in its space as if there were one wide key-value head."""

    hidden_size: int
    num_heads: int
    q_lora_rank: int | None
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    rope_theta: float
    rule: str

    @property
    def qk_dim(self) -> int:
        return self.kv_lora_rank + self.qk_rope_head_dim

    @property
    def v_dim(self) -> int:
        return self.kv_lora_rank

    @property
    def qk_head_dim(self) -> int:
        """Width of an unabsorbed query-key head: it sets the softmax scale, in every mode."""
        return self.qk_nope_head_dim + self.qk_rope_head_dim

    @property
    def cache_elements_per_token(self) -> int:
        return self.kv_lora_rank + self.qk_rope_head_dim

    @property
    def _query_weights(self) -> int:
        wide = self.num_heads * self.qk_head_dim
        if self.q_lora_rank is None:
            return self.hidden_size * wide
        return self.q_lora_rank * (self.hidden_size + wide)

    @property
    def _absorbed_weights(self) -> int:
        """W_UK and W_UV together, which stand in the parameters as W_kvb."""
        return self.kv_lora_rank * self.num_heads * (self.qk_nope_head_dim + self.v_head_dim)

    @property
    def _plain_weights(self) -> int:
        latent = self.hidden_size * (self.kv_lora_rank + self.qk_rope_head_dim)
        return self._query_weights + latent + self.num_heads * self.v_head_dim * self.hidden_size

    @property
    def parameter_count(self) -> int:
        norms = self.kv_lora_rank + (self.q_lora_rank or 0)
        return self._plain_weights + self._absorbed_weights + norms

    def core_flops(self, forward: Pass) -> int:
        return 2 * forward.batch * self.num_heads * forward.pairs * (self.qk_dim + self.v_dim)

    def projection_flops(self, forward: Pass) -> int:
        return 2 * forward.tokens * (self._plain_weights + self._absorbed_weights)

    def describe(self) -> str:
        lora = f"query rank {self.q_lora_rank}" if self.q_lora_rank else "no query rank"
        return (
            f"{self.num_heads} heads, latent {self.kv_lora_rank} + rotary {self.qk_rope_head_dim}, "
            f"head {self.qk_nope_head_dim} + {self.qk_rope_head_dim} / {self.v_head_dim}, {lora} ({self.rule})"
        )


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
        num_heads=_rank_share(heads, tp),
        kv_heads=max(1, groups // tp),
        head_dim=width,
        rope_theta=geometry.rope_theta,
        rule=rule,
    )


LATENT_SIZES = ("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")


def latent_shape(geometry: Geometry, *, tp: int = 1, **sizes: int | None) -> LatentShape:
    """Lay absorbed MLA over a geometry, matched by heads.

    Sizes that are None are the geometry's own; on an MHA or GQA geometry with heads of width d they follow
    DeepSeek-V2's ratios: c = 4d, d_n = d_v = d, d_r = d/2, no query rank. `q_lora_rank=0` takes the query rank away.
    The latent is replicated over tensor-parallel ranks. Raises ValueError for sizes that are wrong in themselves.
    """
    own: dict[str, Any]
    if geometry.is_latent:
        own, rule = {name: getattr(geometry, name) for name in LATENT_SIZES}, "the geometry's own"
    else:
        d = geometry.head_dim
        assert d is not None
        own = {
            "q_lora_rank": None,
            "kv_lora_rank": 4 * d,
            "qk_nope_head_dim": d,
            "qk_rope_head_dim": d // 2,
            "v_head_dim": d,
        }
        rule = "DeepSeek-V2's ratios: c = 4d, d_r = d/2"
    given = {name: size for name, size in sizes.items() if size is not None}
    unknown = sorted(set(given) - set(LATENT_SIZES))
    if unknown:
        raise ValueError(f"attention.{unknown[0]} is no size of MLA; the sizes are {', '.join(LATENT_SIZES)}")
    for name in given:
        least = 0 if name == "q_lora_rank" else 1
        own[name] = whole_number(given, name, at_least=least, where="attention.") or None
    rotary = own["qk_rope_head_dim"]
    if rotary % 2:
        raise ValueError(f"attention.qk_rope_head_dim must be even, since rotary embedding turns pairs; got {rotary}")
    return LatentShape(
        hidden_size=geometry.hidden_size,
        num_heads=_rank_share(geometry.num_heads, tp),
        rope_theta=geometry.rope_theta,
        rule=rule
        + (", " + ", ".join(f"{name} set to {size}" for name, size in sorted(given.items())) if given else ""),
        **own,
    )


def _rank_share(heads: int, tp: int) -> int:
    if heads % tp:
        raise ValueError(f"geometry.num_heads must be a multiple of tp; got {heads} and {tp}")
    return heads // tp
