"""The package flash-attn (Dao et al.), version 2.1 or later, whose causal mask lets the last query see every key.

It takes [batch, token, head, width]: our tensors are passed as views, and its result is given back as one.
"""

import torch
from torch import Tensor

from suite.attention.backends import needs
from suite.attention.problem import Problem
from suite.measure.workload import UnsupportedError

WIDEST = 256


class FlashAttn(needs.PackagedBackend):
    name = "flash_attn"
    distribution = "flash-attn"

    def set_up(self, problem: Problem) -> None:
        import flash_attn

        # The first splits the context and has no backward pass; whole sequences have rows enough without splits.
        decodes = not problem.is_prefill and not problem.needs_gradient
        self._attend = flash_attn.flash_attn_with_kvcache if decodes else flash_attn.flash_attn_func
        self.form = self._attend.__name__

    def check(self, problem: Problem) -> None:
        needs.dtype(self.name, problem.dtype, (torch.bfloat16, torch.float16))
        if problem.v_dim != problem.qk_dim:
            raise UnsupportedError(
                f"flash_attn needs a value as wide as the key; got widths {problem.v_dim} and {problem.qk_dim}"
            )
        if problem.qk_dim > WIDEST or problem.qk_dim % 8:
            raise UnsupportedError(
                f"flash_attn takes heads up to {WIDEST} wide, in multiples of 8; got {problem.qk_dim}"
            )
        needs.cuda(self.name, problem.device, (8, 0))
        needs.package(self.name, "flash_attn", self.distribution)

    def __call__(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> Tensor:
        q_BSHd, k_BTGd, v_BTGv = (x.transpose(1, 2) for x in (q_BHSd, k_BGTd, v_BGTv))
        o_BSHv: Tensor = self._attend(q_BSHd, k_BTGd, v_BTGv, softmax_scale=self.problem.scale, causal=True)
        return o_BSHv.transpose(1, 2)
