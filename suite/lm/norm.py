"""RMSNorm with its derivative written down.

On a CPU torch has RMSNorm in pieces and goes back through each: in a small model's training more than the products of a
layer take. This one does the same sums in half as many passes, and keeps for the way back what it was given and one
number a token.

Shapes: x of any shape with D as its last dimension.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def rms_norm(x: Tensor, gain_D: Tensor, eps: float) -> Tensor:
    """RMSNorm, x / sqrt(mean(x²) + eps) · gain: by _RmsNorm where that pays, else torch's own, as good there."""
    is_plain = x.device.type == "cpu" and x.dtype == gain_D.dtype and x.dtype.itemsize >= 4
    if is_plain and torch.is_grad_enabled():
        y: Tensor = _RmsNorm.apply(x, gain_D, eps)
        return y
    return F.rms_norm(x, gain_D.shape, gain_D, eps)


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain_D: Tensor, eps: float) -> Tensor:
        """The normed x; keeps x, the gain and one rate for each token for the backward pass."""
        rate = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().mul_(1 / x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, gain_D, rate)
        y: Tensor = (x * rate).mul_(gain_D)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        """Gradients: rate · (g·gain − n · mean(g·gain·n)) of x, Σ g·n of gain; g: the output's, n = x·rate."""
        x, gain_D, rate = ctx.saved_tensors
        normed = x * rate
        gain_terms = gradient * normed
        slope = (gain_terms @ gain_D).unsqueeze(-1).mul_(1 / x.shape[-1])
        x_gradient = (gradient * gain_D).addcmul_(normed, slope, value=-1).mul_(rate)
        return x_gradient, gain_terms.flatten(0, -2).sum(dim=0) if ctx.needs_input_grad[1] else None, None
