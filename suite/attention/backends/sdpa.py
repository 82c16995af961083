"""torch's scaled_dot_product_attention as an unaware user calls it.

On a CPU it takes its fast kernel only where keys and values are equally wide, and `enable_gqa` does not share the
cache. Elsewhere it falls to the math path without a word: the record lists the operators that really ran.
"""

from torch import Tensor
from torch.nn import functional as F

from suite.attention.problem import Backend, Problem


class Sdpa(Backend):
    name = "sdpa"
    computes = frozenset({"window", "ragged"})

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        # is_causal is aligned to the top left: right for a prefill, wrong for new tokens after a context.
        self._is_causal = problem.needs_mask and problem.is_prefill and problem.window is None
        self._mask_ST = problem.visible_keys() if problem.needs_mask and not self._is_causal else None

    def __call__(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(
            q_BHSd,
            k_BGTd,
            v_BGTv,
            attn_mask=self._mask_ST,
            is_causal=self._is_causal,
            scale=self.problem.scale,
            enable_gqa=self.problem.heads_per_group > 1,
        )
