"""MLA's modes: the same weights and outputs, with different work, traffic and cache.

Symbols: c the latent's width, d_n and d_r the parts of a query-key head without and with rotary embedding, d_v the
value head. Source of the forms: DeepSeek-V2 report (arXiv 2405.04434), section 2.1 and appendix C. Which mode is
cheaper depends on the phase, so each is a variant, and a deployment changes from one to another with the phase.

Grouped latent attention (GLA, arXiv 2505.21487) cuts the latent into several, each c / latent_heads wide
and of an equal share of the heads: absorbed, it is as many key-value heads. MLA is the one with one latent. A
tensor-parallel rank keeps its own latents and the rotary key, where MLA's keeps all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from suite.configuration.values import one_of, whole_number
from suite.theory.layers.algebra import CacheRows, Pass, Work, rank_share
from suite.theory.layers.geometry import Geometry
from suite.theory.layers.shapes import LayerShape, cache_bytes

EXPANDED = "expanded keys and values"
TRAINED, FROZEN, SLICE = LATENTS = ("trained", "frozen", "slice")
"""Sources of the latent: a projection that is trained, one that stays as it was drawn, or no projection at all but the
first entries of the hidden state. The last two are controls: in them training cannot choose what the latent holds."""
DESCRIBED = {TRAINED: "", FROZEN: "frozen ", SLICE: "sliced "}


@dataclass(frozen=True, kw_only=True)
class LatentShape(LayerShape):
    """The common part of MLA's modes: the same weights, and so the same outputs."""

    q_lora_rank: int | None
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    """0 where nothing is rotated: only the causal mask then tells positions apart."""
    v_head_dim: int
    latent_norm: bool
    """The latent is normed before it is cached, as DeepSeek's is."""
    latent_heads: int = 1
    """Latents that `kv_lora_rank` is the width of together."""
    latent: str = TRAINED
    """One of LATENTS."""
    keeps: ClassVar[str] = "the latent"
    """The content of the cache, for people."""
    computes: ClassVar[str]
    trains: ClassVar[str] = EXPANDED
    """The way of computing with a cache and, in training, without one, for people."""

    def describe_mode(self, forward: Pass) -> str:
        """The way in which it computes and the cache's content, in words; in training without a cache."""
        return self.trains if forward.is_training else f"{self.computes}; the cache keeps {self.keeps}"

    @property
    def qk_head_dim(self) -> int:
        """Width of an unabsorbed query-key head: it sets the softmax scale, in every mode."""
        return self.qk_nope_head_dim + self.qk_rope_head_dim

    @property
    def latent_elements(self) -> int:
        """Elements that a token leaves if only latents are kept: all latents and each copy of the rotary key."""
        return sum(rows.elements for rows in self.latent_rows)

    @property
    def latent_dim(self) -> int:
        return self.kv_lora_rank // self.latent_heads

    @property
    def rotary_copies(self) -> int:
        """Times that a token's rotary key is kept. It has to lie beside each latent: two share one between them."""
        return 1 if self.latent_heads <= 2 else self.latent_heads

    @property
    def latent_rows(self) -> Sequence[CacheRows]:
        return (
            CacheRows(width=self.latent_dim, count=self.latent_heads),
            CacheRows(width=self.qk_rope_head_dim, count=self.rotary_copies, is_wide=True),
        )

    @property
    def mha_elements(self) -> int:
        """Elements that a token would leave under MHA with heads as wide as the value's."""
        return 2 * self.num_heads * self.v_head_dim

    @property
    def _up_weights(self) -> int:
        return self.latent_dim * self.num_heads * (self.qk_nope_head_dim + self.v_head_dim)

    @property
    def _plain_weights(self) -> int:
        """Parameters of the projections of the query, into the latent, and of the output."""
        queries, rank = self.num_heads * self.qk_head_dim, self.q_lora_rank
        query = self.hidden_size * queries if rank is None else rank * (self.hidden_size + queries)
        down = self.qk_rope_head_dim + (0 if self.latent == SLICE else self.kv_lora_rank)
        return query + self.hidden_size * (down + self.num_heads * self.v_head_dim)

    @property
    def frozen_parameters(self) -> int:
        return self.hidden_size * self.kv_lora_rank if self.latent == FROZEN else 0

    @property
    def matrix_parameters(self) -> int:
        return self._plain_weights + self._up_weights + self.extra_parameters(self.v_head_dim, self.q_lora_rank)

    @property
    def vector_parameters(self) -> int:
        norms = (self.kv_lora_rank if self.latent_norm else 0) + (self.q_lora_rank or 0)
        return norms + super().vector_parameters

    def describe(self) -> str:
        lora = f"query rank {self.q_lora_rank}" if self.q_lora_rank else "no query rank"
        norm = "" if self.latent_norm else " without a norm"
        latent = f"{DESCRIBED[self.latent]}latent {self.kv_lora_rank}"
        if self.latent_heads > 1:
            latent = f"{self.latent_heads} {DESCRIBED[self.latent]}latents of {self.latent_dim}"
        width = self.qk_rope_head_dim
        rotary, head = (f" + rotary {width}", f" + {width}") if width else (", no rotary part", "")
        return (
            f"{self.num_heads} heads, {latent}{norm}{rotary}, "
            f"head {self.qk_nope_head_dim}{head} / {self.v_head_dim}, {lora} ({self.rule})"
        )


@dataclass(frozen=True, kw_only=True)
class AbsorbedShape(LatentShape):
    """The latent is cached, and attention runs in its space as if there were one wide key-value head.

    As a layer of a model it is MLA as deployed, so that `kernel` expands a whole prompt, where nothing bounds what a
    query sees.
    """

    kind = "latent"
    mode = "absorbed"
    computes = trains = "absorbed into the query and the output, attention on the latent itself"

    @property
    def is_plain(self) -> bool:
        return type(self) is AbsorbedShape and self.window is None and self.indexer is None

    @property
    def qk_dim(self) -> int:
        return self.latent_dim + self.qk_rope_head_dim

    @property
    def v_dim(self) -> int:
        return self.latent_dim

    @property
    def rows(self) -> Sequence[CacheRows]:
        return self.latent_rows

    def kernel(self, forward: Pass) -> Work:
        """Work between the projections as MLA is served: a whole prompt is expanded once, all else is absorbed."""
        if not (forward.is_prompt and self.is_plain):
            return super().kernel(forward)
        expanded = ExpandedOnceShape(**vars(self))
        write_bytes = expanded.moved_bytes(forward) - expanded.attended_bytes(forward)
        return expanded.kernel(forward) + Work(flops=0, traffic_bytes=write_bytes)


@dataclass(frozen=True, kw_only=True)
class ExpandedShape(LatentShape):
    """Keys and values of all heads are written out once and cached: DeepSeek-V3's own code calls it naive."""

    mode = "expanded"
    computes = EXPANDED
    keeps = "them"

    @property
    def qk_dim(self) -> int:
        return self.qk_head_dim

    @property
    def v_dim(self) -> int:
        return self.v_head_dim

    @property
    def rows(self) -> Sequence[CacheRows]:
        return (
            CacheRows(width=self.qk_nope_head_dim, count=self.num_heads),
            CacheRows(width=self.qk_rope_head_dim, count=self.num_heads, is_wide=True),
            CacheRows(width=self.v_head_dim, count=self.num_heads),
        )


@dataclass(frozen=True, kw_only=True)
class ExpandedOnceShape(ExpandedShape):
    """Keys and values of all heads are made for one pass over a whole prompt, and only the latent is kept.

    This is how MLA is deployed in a prefill, and, with nothing kept at all, in training.
    """

    keeps = "the latent"

    @property
    def cache_rows(self) -> Sequence[CacheRows]:
        return self.latent_rows

    def reads_cache(self, forward: Pass) -> bool:
        """Never: the kernel reads keys and values as they were projected."""
        return False


@dataclass(frozen=True, kw_only=True)
class ReexpandedShape(ExpandedOnceShape):
    """The latent is cached, and all of it is expanded to keys and values again at every step."""

    mode = "latent"
    computes = "keys and values expanded again at every step"

    def moved_bytes(self, forward: Pass) -> int:
        """The latent read, and the heads' own keys and values written and read again."""
        expanded = 2 * self.num_heads * (self.qk_nope_head_dim + self.v_head_dim) * forward.element_bytes
        return cache_bytes(self, forward) + forward.batch * forward.seq_len * expanded

    def projection_flops(self, forward: Pass) -> int:
        """FLOPs of the projections, with the expansion of every token of the context."""
        expanded = forward.batch * forward.seq_len * self._up_weights
        return 2 * (forward.tokens * self._plain_weights + expanded)


LATENT_SIZES = ("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
MAY_BE_NONE = ("q_lora_rank", "qk_rope_head_dim")
"""Sizes that 0 takes away."""


def absorbed_shape(geometry: Geometry, *, latent_heads: int = 1, **settings: Any) -> AbsorbedShape:
    """Lay absorbed MLA or GLA over a geometry; see `_mla_sizes` for how it is laid."""
    return AbsorbedShape(**_mla_sizes(geometry, latent_heads, **settings))


def reexpanded_shape(geometry: Geometry, **settings: Any) -> ReexpandedShape:
    """Lay MLA that re-expands its latent over a geometry; see `_mla_sizes` for how it is laid."""
    return ReexpandedShape(**_mla_sizes(geometry, 1, **settings))


def expanded_once_shape(geometry: Geometry, *, latent_heads: int = 1, **settings: Any) -> ExpandedOnceShape:
    """Lay MLA or GLA as it is deployed for whole prompts over a geometry; see `_mla_sizes` for how it is laid."""
    return ExpandedOnceShape(**_mla_sizes(geometry, latent_heads, **settings))


def expanded_shape(geometry: Geometry, **settings: Any) -> ExpandedShape:
    """Lay MLA with an expanded cache over a geometry; see `_mla_sizes` for how it is laid."""
    return ExpandedShape(**_mla_sizes(geometry, 1, **settings))


def _mla_sizes(
    geometry: Geometry,
    latent_heads: int,
    /,
    *,
    tp: int = 1,
    latent_norm: bool = True,
    latent: str = TRAINED,
    **sizes: int | None,
) -> dict[str, Any]:
    """The fields of a LatentShape of one of `tp` ranks, laid over a geometry and matched by heads.

    Sizes that are None are the geometry's own; on an MHA or GQA geometry with heads of width d they follow
    DeepSeek-V2's ratios: c = 4d, d_n = d_v = d, d_r = d/2, no query rank. `q_lora_rank=0` takes the query rank away,
    `qk_rope_head_dim=0` the rotary part, `latent_norm=False` the latent's norm. `latent` is one of LATENTS.
    `latent_heads` cuts the latent, and tensor-parallel ranks share the latents among them; one that several ranks need
    is replicated. Raises ValueError for sizes that are wrong in themselves.
    """
    laid: dict[str, Any]
    if geometry.is_latent:
        laid, rule = {name: getattr(geometry, name) for name in LATENT_SIZES}, "the geometry's own"
    else:
        d = geometry.head_dim
        assert d is not None
        laid = dict(zip(LATENT_SIZES, (None, 4 * d, d, d // 2, d), strict=True))
        rule = "DeepSeek-V2's ratios: c = 4d, d_r = d/2"
    given = {name: size for name, size in sizes.items() if size is not None}
    if unknown := sorted(set(given) - set(LATENT_SIZES)):
        raise ValueError(f"attention.{unknown[0]} is no size of MLA; the sizes are {', '.join(LATENT_SIZES)}")
    for name in given:
        laid[name] = whole_number(given, name, at_least=0 if name in MAY_BE_NONE else 1, where="attention.")
    laid["q_lora_rank"] = laid["q_lora_rank"] or None
    rotary = laid["qk_rope_head_dim"]
    if rotary % 2:
        raise ValueError(f"attention.qk_rope_head_dim must be even, since rotary embedding turns pairs; got {rotary}")
    if given:
        rule += ", " + ", ".join(f"{name} set to {size}" for name, size in sorted(given.items()))
    latents = whole_number({"latent_heads": latent_heads}, "latent_heads", at_least=1, where="attention.")
    for name, size in (("geometry.num_heads", geometry.num_heads), ("attention.kv_lora_rank", laid["kv_lora_rank"])):
        if size % latents:
            raise ValueError(f"{name} must be a multiple of attention.latent_heads; got {size} and {latents}")
    if latents % tp and tp % latents:
        raise ValueError(f"tp must divide attention.latent_heads or be a multiple of it; got {tp} and {latents}")
    source = one_of({"latent": latent}, "latent", LATENTS, where="attention.")
    if source == SLICE and laid["kv_lora_rank"] > geometry.hidden_size:
        raise ValueError(
            "attention.latent=slice takes the latent from the hidden state, so attention.kv_lora_rank must be at most "
            f"geometry.hidden_size; got {laid['kv_lora_rank']} and {geometry.hidden_size}"
        )
    rank_latents = max(1, latents // tp)
    return {
        **laid,
        "kv_lora_rank": laid["kv_lora_rank"] // latents * rank_latents,
        "latent_heads": rank_latents,
        "hidden_size": geometry.hidden_size,
        "num_heads": rank_share(geometry.num_heads, tp),
        "rope": geometry.rope,
        "rule": rule,
        "latent": source,
        "latent_norm": one_of({"latent_norm": latent_norm}, "latent_norm", (True, False), where="attention."),
    }
