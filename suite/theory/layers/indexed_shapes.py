"""Absorbed MLA over the tokens that an indexer chooses: DeepSeek's sparse attention, DSA.

DeepSeek-V3.2-Exp (its report, section 2.1; transformers 5.24, models/deepseek_v32). A light indexer scores every cached
token for a new one, the `top_k` best are chosen, and MLA attends to their latents alone. So the kernel's work stops to
grow with the context, and the indexer's, which is smaller, goes on.

Symbols beside those of latent_shapes.py: H_i index heads of width d_i; one index key a token, in a cache of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from suite.configuration.values import whole_number
from suite.theory.layers.algebra import Indexer, Pass, Scan, Work
from suite.theory.layers.geometry import Geometry
from suite.theory.layers.latent_shapes import AbsorbedShape, absorbed_shape

DEEPSEEK_V3_2 = {"top_k": 2048, "index_heads": 64, "index_head_dim": 128}
"""DeepSeek-V3.2-Exp, config_671B_v3.2.json; transformers 5.24, DeepseekV32Config."""
INDEXER = "indexer"
"""The span of the scores over all tokens and the choice among them."""
CHOICE_BYTES = 4
"""Bytes of a chosen token's number, as kernels take it: int32."""


@dataclass(frozen=True, kw_only=True)
class IndexedShape(AbsorbedShape):
    """MLA that attends to chosen tokens only, absorbed. The indexer is replicated over tensor-parallel ranks."""

    computes = "absorbed into the query and the output, attention on the latents that an indexer chooses"
    keeps = "the latent and the indexer's key"
    indexer: Indexer

    def refusal(self, forward: Pass) -> str | None:
        """The reason: training, a whole prompt, or several new tokens of which one sees fewer than `top_k`; or None."""
        if forward.is_training or forward.is_prompt:
            return "the indexer chooses tokens for new ones behind a context: this variant decodes only (phase=decode)"
        seen = forward.seq_len - forward.query_len + 1
        if forward.query_len > 1 and seen < self.indexer.top_k:
            return (
                f"several new tokens attend to equally many: the first of them must see "
                f"attention.top_k={self.indexer.top_k} tokens at least; it sees {seen}"
            )
        return None

    def chosen(self, forward: Pass) -> int:
        """The number of tokens that the last new token attends to."""
        return min(forward.seq_len, self.indexer.top_k)

    def scans(self, forward: Pass) -> Sequence[Scan]:
        """The scan over the chosen latents alone: the indexer's is a span of its own, as `before_kernel` says. No row
        of a sequence is counted as read twice while others are left."""
        return super().scans(forward)[:1]

    def _choice_bytes(self, forward: Pass) -> int:
        return forward.batch * self.scans(forward)[0].pairs(forward) * CHOICE_BYTES

    def attended_bytes(self, forward: Pass) -> int:
        """Bytes that the kernel reads in a forward pass: the chosen latents, and the numbers of the chosen tokens."""
        return super().attended_bytes(forward) + self._choice_bytes(forward)

    def before_kernel(self, forward: Pass) -> Mapping[str, Work]:
        """The indexer's work, by its span: products with all visible index keys, a weighted sum, the choice written."""
        (scan,) = self.indexer.scans
        choices = Work(flops=0, traffic_bytes=self._choice_bytes(forward))
        return {INDEXER: replace(scan, v_dim=1).work(forward) + choices}

    def describe(self) -> str:
        indexer = f"indexer of {self.indexer.heads} heads of width {self.indexer.head_dim}"
        return f"{super().describe()}, {indexer}, the top {self.indexer.top_k:,} tokens"


def indexed_shape(
    geometry: Geometry,
    *,
    top_k: int | None = None,
    index_heads: int | None = None,
    index_head_dim: int | None = None,
    **sizes: Any,
) -> IndexedShape:
    """Lay absorbed MLA with an indexer over a geometry; see latent_shapes for how MLA is laid.

    Sizes of the indexer that are None are the geometry's own, else DeepSeek-V3.2's. Raises ValueError for sizes that
    are wrong in themselves.
    """
    mla = absorbed_shape(geometry, latent_heads=1, **sizes)
    laid: dict[str, Any] = dict(DEEPSEEK_V3_2)
    for sizes_set in (vars(geometry), {"top_k": top_k, "index_heads": index_heads, "index_head_dim": index_head_dim}):
        laid |= {name: sizes_set[name] for name in DEEPSEEK_V3_2 if sizes_set[name] is not None}
    heads, head_dim, top_k = (
        whole_number(laid, name, at_least=1, where="attention.") for name in ("index_heads", "index_head_dim", "top_k")
    )
    if head_dim < mla.qk_rope_head_dim:
        raise ValueError(
            f"attention.index_head_dim must be at least qk_rope_head_dim, since that many of its columns are rotated; "
            f"got {head_dim} and {mla.qk_rope_head_dim}"
        )
    indexer = Indexer(heads=heads, head_dim=head_dim, top_k=top_k)
    return IndexedShape(**{**vars(mla), "indexer": indexer})
