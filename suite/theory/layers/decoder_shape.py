"""The sizes of a decoder: a small policy's, a published model's, or one whose quality is asked. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suite.configuration.values import one_of, positive_number, whole_number
from suite.theory.layers.algebra import Pass
from suite.theory.layers.attention_plan import lay_over
from suite.theory.layers.geometry import geometry_from
from suite.theory.layers.latent_shapes import AbsorbedShape
from suite.theory.layers.shapes import GroupedShape, LayerShape

NORM_EPS = 1e-6


@dataclass(frozen=True, kw_only=True)
class DecoderShape:
    layer: LayerShape
    num_layers: int
    intermediate_size: int
    vocab_size: int
    ties_embeddings: bool = True
    """The head is the embeddings; else a matrix of its own."""
    qkv_bias: bool = False
    """Queries, keys and values have a bias, as Qwen2's."""
    norm_eps: float = NORM_EPS
    match_residual: float | None = None
    """Share by which the layer misses what `match` holds equal; None where nothing was moved."""
    match_described: str | None = None

    @property
    def hidden_size(self) -> int:
        return self.layer.hidden_size

    @property
    def parameter_count(self) -> int:
        """Parameters of embeddings, a head of its own, layers with their two norms, and the last norm."""
        return self.trunk_parameter_count + self.head_parameter_count

    @property
    def head_parameter_count(self) -> int:
        """Parameters of the head's own matrix, which critics and reward models lack; 0 if it is the embeddings."""
        return 0 if self.ties_embeddings else self.vocab_size * self.hidden_size

    @property
    def trunk_parameter_count(self) -> int:
        """Parameters of embeddings, layers and the last norm: all but the head."""
        return self.vocab_size * self.hidden_size + self.num_layers * self.block_parameter_count + self.hidden_size

    @property
    def block_parameter_count(self) -> int:
        """Parameters of one block: attention, its biases, an MLP with a gate, and two norms."""
        biases = self.layer.num_heads * self.layer.qk_dim + self.layer.cache_elements_per_token if self.qkv_bias else 0
        mlp = 3 * self.hidden_size * self.intermediate_size
        return self.layer.parameter_count + biases + mlp + 2 * self.hidden_size


def decoder_shape(
    sizes: Mapping[str, Any], attention: Mapping[str, Any], *, vocab_size: int, where: str, match: str = "heads"
) -> DecoderShape:
    """Lay an attention variant over a decoder's sizes. `where`: the settings' group and a dot, as `policy.`; `match`:
    the quantity that every layer shares with other variants' (suite.theory.layers.attention_plan).

    A published geometry says too whether its head is tied (`tie_embeddings`) and has `qkv_bias` and `norm_eps`. Only
    grouped heads laid over it have biases, whatever it says.

    Raises ValueError, in one sentence, for sizes that are wrong in themselves, UnmatchedError where no size matches.
    """
    if attention.get("mode") == AbsorbedShape.mode:
        raise ValueError(
            "a language model trains MLA expanded and decodes it absorbed, with the same weights, which is "
            "attention=mla; got attention=mla_absorbed"
        )
    sizes = {"tie_embeddings": True, "qkv_bias": False, "norm_eps": NORM_EPS, **sizes}
    geometry = geometry_from(sizes, where=where)
    laid = lay_over(match, geometry, attention, 1)
    layer = laid.shape
    step = Pass(batch=1, query_len=1, seq_len=1, element_bytes=1, is_training=True)
    if (refusal := layer.refusal(step)) is not None:
        raise ValueError(f"a language model trains its attention: {refusal}")
    if layer.window is not None:
        raise ValueError(
            "attention must be a variant that sees whole contexts where a language model is built; got attention=window"
        )
    has_bias = one_of(sizes, "qkv_bias", (True, False), where=where) and isinstance(layer, GroupedShape)
    return DecoderShape(
        layer=layer,
        num_layers=geometry.num_layers,
        intermediate_size=whole_number(sizes, "intermediate_size", at_least=1, where=where),
        vocab_size=vocab_size,
        ties_embeddings=one_of(sizes, "tie_embeddings", (True, False), where=where),
        qkv_bias=has_bias,
        norm_eps=positive_number(sizes, "norm_eps", where=where),
        match_residual=laid.residual,
        match_described=laid.described,
    )
