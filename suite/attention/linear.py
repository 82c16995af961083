"""A linear map with a low-rank adapter of its weight (LoRA, arXiv 2106.09685).

An adapter lies on the weight, so that a layer need not know whether it has one. It acts where a layer maps by the
functions of this module; a weight that a layer multiplies in another way, as MLA's `w_kvb`, gets none.

Shapes: I what goes in, O what comes out, R the adapter's rank.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

NAME = "adapter"  # name of a weight's attribute that holds its adapter


class Adapter(torch.nn.Module):
    """A product that is added to a map's output: (x down_RI.T) up_OR.T."""

    def __init__(self, down_RI: Tensor, up_OR: Tensor) -> None:
        super().__init__()
        self.down_RI, self.up_OR = torch.nn.Parameter(down_RI), torch.nn.Parameter(up_OR)


def adapter_of(weight_OI: Tensor) -> Adapter | None:
    """The LoRA adapter that lies on a weight; None without one."""
    return getattr(weight_OI, NAME, None)


def merged(weight_OI: Tensor) -> Tensor:
    """The weight with its adapter's product added, without gradients; the weight itself if it has none."""
    adapter, weight_OI = adapter_of(weight_OI), weight_OI.detach()
    return weight_OI if adapter is None else weight_OI + adapter.up_OR.detach() @ adapter.down_RI.detach()


def linear(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """x Wᵀ + bias, plus the product of the weight's adapter if it has one; x has I as its last dimension."""
    y = F.linear(x, weight_OI, bias_O)
    adapter = adapter_of(weight_OI)
    return y if adapter is None else y + F.linear(F.linear(x, adapter.down_RI), adapter.up_OR)


def linear_in_parts(x: Tensor, weight_OI: Tensor, parts: int) -> Sequence[Tensor]:
    """`linear` of x with its adapter, as `parts` tensors of O / parts columns each.

    The weight is cut and not the product, whose parts would be no dense tensors: they are slower, above all on the way
    back.
    """
    outputs = [F.linear(x, part) for part in weight_OI.chunk(parts)]
    adapter = adapter_of(weight_OI)
    if adapter is None:
        return outputs
    low = F.linear(x, adapter.down_RI)
    return [output + F.linear(low, up) for output, up in zip(outputs, adapter.up_OR.chunk(parts), strict=True)]
