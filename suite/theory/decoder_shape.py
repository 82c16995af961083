"""The sizes of a small decoder: a policy's, or a model whose quality is asked. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suite.configuration import whole_number
from suite.theory.attention_plan import laid_over
from suite.theory.geometry import geometry_from
from suite.theory.shapes import LayerShape


@dataclass(frozen=True, kw_only=True)
class DecoderShape:
    layer: LayerShape
    num_layers: int
    intermediate_size: int
    vocab_size: int

    @property
    def hidden_size(self) -> int:
        return self.layer.hidden_size

    @property
    def parameter_count(self) -> int:
        """Embeddings, which are the head too; layers with their two norms; the last norm."""
        mlp = 3 * self.hidden_size * self.intermediate_size
        layer = self.layer.parameter_count + mlp + 2 * self.hidden_size
        return self.vocab_size * self.hidden_size + self.num_layers * layer + self.hidden_size


def decoder_shape(
    sizes: Mapping[str, Any], attention: Mapping[str, Any], *, vocab_size: int, where: str
) -> DecoderShape:
    """Lay an attention variant over a decoder's sizes. `where`: the settings' group and a dot, as `policy.`.

    Raises ValueError, in one sentence, for sizes that are wrong in themselves.
    """
    geometry = geometry_from(sizes, where=where)
    return DecoderShape(
        layer=laid_over("heads", geometry, attention, 1).shape,
        num_layers=geometry.num_layers,
        intermediate_size=whole_number(sizes, "intermediate_size", at_least=1, where=where),
        vocab_size=vocab_size,
    )
