"""FlashAttention-3 (arXiv 2407.08608), for Hopper: the package that flash-attention's folder `hopper` builds.

Grouped heads of one width; expanded MLA, whose value is narrower; and absorbed MLA, whose query it takes in two parts:
`qv` is scored with the value and q with the rotary key alone, so that the latent is read once. Its tensors are [batch,
token, head, width]: ours are passed as views, and its result is given back as one.

torch 2.11 and later can put this kernel in the place of their own (`torch.nn.attention.activate_flash_attention_impl`):
they import this very package for that, and have no `qv`. So it is called by itself here.
"""

import torch
from torch import Tensor

from suite.attention.backends import needs
from suite.attention.problem import Problem, ValueLayout
from suite.measure.workload import UnsupportedError

WIDEST = 256
WIDEST_ROTARY, WIDEST_VALUE, NARROWEST_LATENT = 64, 512, 256


class Fa3(needs.PackagedBackend):
    name = "fa3"
    distribution = "flash-attn-3"

    def set_up(self, problem: Problem) -> None:
        import flash_attn_interface

        # The first splits the context and has no backward pass; whole sequences have rows enough without splits.
        decodes = not problem.is_prefill and not problem.needs_gradient
        package = flash_attn_interface
        self._attend = package.flash_attn_with_kvcache if decodes else package.flash_attn_func
        self._in_two = not takes_widths(problem.qk_dim, problem.v_dim)
        self.form = self._attend.__name__ + (" with qv" if self._in_two else "")

    def check(self, problem: Problem) -> None:
        needs.dtype(self.name, problem.dtype, (torch.bfloat16, torch.float16))
        if problem.qk_dim % 8 or problem.v_dim % 8:
            raise UnsupportedError(
                f"fa3 needs widths in multiples of 8; got a key of {problem.qk_dim} and a value of {problem.v_dim}"
            )
        if not takes_widths(problem.qk_dim, problem.v_dim):
            self._check_latent(problem)
        elif problem.needs_gradient and problem.v_dim > WIDEST:
            raise UnsupportedError(f"fa3 has a backward pass up to widths of {WIDEST}; got a value of {problem.v_dim}")
        needs.cuda(self.name, problem.device, (9, 0), exactly=True)
        needs.package(self.name, "flash_attn_interface", self.distribution)

    def _check_latent(self, problem: Problem) -> None:
        """Raise UnsupportedError unless fa3 takes the widths with `qv`: absorbed MLA's, without a gradient."""
        rotary = problem.qk_dim - problem.v_dim
        has_widths = 0 < rotary <= WIDEST_ROTARY and NARROWEST_LATENT <= problem.v_dim <= WIDEST_VALUE
        if problem.value_layout is not ValueLayout.PREFIX_OF_KEY or not has_widths:
            raise UnsupportedError(
                f"fa3 takes one width up to {WIDEST}, a key of 136 to 192 with a value of 104 to 128, a key up to "
                f"{WIDEST_ROTARY} with a value up to {WIDEST_VALUE}, or a value of {NARROWEST_LATENT} to "
                f"{WIDEST_VALUE} in the first columns of a key up to {WIDEST_ROTARY} wider; "
                f"got a key of {problem.qk_dim} and a value of {problem.v_dim} {problem.value_layout.value}"
            )
        if problem.needs_gradient:
            raise UnsupportedError("fa3 has no backward pass for absorbed MLA, which phase=train needs")

    def __call__(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> Tensor:
        problem = self.problem
        q_BSHd, k_BTGd, v_BTGv = (x.transpose(1, 2) for x in (q_BHSd, k_BGTd, v_BGTv))
        extra = {}
        if self._in_two:
            extra["qv"], q_BSHd = q_BSHd.split((problem.v_dim, problem.qk_dim - problem.v_dim), dim=-1)
            k_BTGd = k_BTGd[..., problem.v_dim :]
        o = self._attend(q_BSHd, k_BTGd, v_BTGv, softmax_scale=problem.scale, causal=problem.needs_mask, **extra)
        o_BSHv: Tensor = o[0] if isinstance(o, tuple) else o  # of whole sequences, older versions return the sums too
        return o_BSHv.transpose(1, 2)


def takes_widths(qk_dim: int, v_dim: int) -> bool:
    """Whether FlashAttention-3 takes a key and a value of these widths as they are, without `qv`."""
    if qk_dim == v_dim:
        return qk_dim <= WIDEST
    return (128 < qk_dim <= 192 and 96 < v_dim <= 128) or (qk_dim <= WIDEST_ROTARY and v_dim <= WIDEST_VALUE)
