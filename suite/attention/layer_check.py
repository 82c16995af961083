"""The check of a layer around its kernel: its projections and its output against its definition in float64."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from suite.attention.check import LARGEST_ERROR, OutputError, readings_if_passed, relative_error
from suite.attention.layer import AttentionLayer
from suite.attention.problem import Problem, joined_key
from suite.measure.workload import IncorrectError
from suite.records.record import Reading

MOST_TOKENS = 4
SCALE_ERROR = 1e-13
"""Bound for a number that is computed in float64 whatever the dtype."""


def layer_readings(
    layer: AttentionLayer, problem: Problem, x_BSD: Tensor, projected: Sequence[Tensor], start: int, o_BHSv: Tensor
) -> list[Reading]:
    """Return errors around the kernel at a few of the new tokens, whose positions begin at `start`.

    `projected`: what the layer projected, as its definition names it; `o_BHSv`: the kernel's output. No readings where
    the layer's class states no definition. Raises IncorrectError.
    """
    definition = layer.stated_definition()
    if definition is None:
        return []
    new = x_BSD.shape[1]
    chosen = torch.linspace(0, new - 1, min(new, MOST_TOKENS), device=x_BSD.device).round().long()
    positions = start + chosen
    cached = projected[1].shape[2]
    # A query has the new tokens alone; a cache that keeps fewer tokens than there are goes round.
    outputs = [x[:, :, positions % cached if x.shape[2] == cached else chosen] for x in projected if x.dim() > 1]
    if problem.shared_key_dim:
        outputs[1] = joined_key(outputs[1], outputs.pop())
    o_BHNv = o_BHSv[:, :, chosen]
    ours = (*outputs[: len(definition.parts)], layer.output(o_BHNv))
    exact = (
        *definition.projected(layer, x_BSD[:, chosen].double(), positions),
        definition.output(layer, o_BHNv.double()),
    )
    comparisons = {
        part: OutputError(error=relative_error(our, their), allowed=LARGEST_ERROR[layer.dtype])
        for part, our, their in zip((*definition.parts, "y"), ours, exact, strict=True)
    }
    comparisons["scale"] = OutputError(error=abs(layer.scale / definition.scale(layer) - 1), allowed=SCALE_ERROR)
    return readings_if_passed(comparisons, span="layer")


def require_response(redraw_input: Callable[[], None], layer: Callable[[], object]) -> None:
    """Raise IncorrectError where a new token's output is not finite, or the same for two inputs."""
    outputs: list[Tensor] = []
    for _ in range(2):
        redraw_input()
        output_BSD = layer()
        assert isinstance(output_BSD, Tensor)
        if not output_BSD.isfinite().all():
            raise IncorrectError("the layer's output is not finite")
        outputs.append(output_BSD.detach())
    if (outputs[0] == outputs[1]).all(dim=-1).any():
        raise IncorrectError("the layer's output is the same for two different inputs")


def compared(layer: AttentionLayer, new_tokens: int) -> str:
    """Describe the comparison of `layer_readings`, for the record."""
    if layer.stated_definition() is None:
        return "none: the variant states no definition"
    tokens = f"{min(new_tokens, MOST_TOKENS)} of {new_tokens} new tokens"
    return f"projections, output and scale against the definition at {tokens}"
