"""torch's scaled_dot_product_attention in the form that keeps its fast kernel and reads the cache once.

One rule: query heads that share a key-value head are folded together, the value is a view as wide as the key (absorbed
MLA passes the latent as both and keeps the first columns of the result), the scale is explicit. In decoding the heads
become query rows; in a prefill, where rows must stay in order for the causal mask, they become heads over one key-value
head that is expanded without a copy.
"""

from torch import Tensor
from torch.nn import functional as F

from suite.attention.problem import Backend, Problem, visible_keys
from suite.measure.workload import UnsupportedError


class SdpaFolded(Backend):
    name = "sdpa_folded"

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._attend = self._prefill if problem.is_prefill and problem.needs_mask else self._decode
        self._mask_11RT = None
        if problem.needs_mask and not problem.is_prefill:
            mask_ST = visible_keys(problem.query_len, problem.seq_len, problem.device)
            self._mask_11RT = mask_ST.repeat(problem.heads_per_group, 1)[None, None]

    def check(self, problem: Problem) -> None:
        if not problem.value_in_key and problem.qk_dim != problem.v_dim:
            raise UnsupportedError(
                f"sdpa_folded needs a value as wide as the key, or the value inside the key's own tensor; "
                f"got widths {problem.v_dim} and {problem.qk_dim}"
            )

    def __call__(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> Tensor:
        wide_BGTd = k_BGTd if self.problem.value_in_key else v_BGTv
        return self._attend(q_BHSd, k_BGTd, wide_BGTd)

    def _decode(self, q_BHSd: Tensor, k_BGTd: Tensor, wide_BGTd: Tensor) -> Tensor:
        problem = self.problem
        q_BGRd = q_BHSd.reshape(problem.batch, problem.kv_heads, -1, problem.qk_dim)
        o_BGRd = F.scaled_dot_product_attention(
            q_BGRd, k_BGTd, wide_BGTd, attn_mask=self._mask_11RT, scale=problem.scale
        )
        o_BGRv = o_BGRd[..., : problem.v_dim]
        return o_BGRv.reshape(problem.batch, problem.heads, problem.query_len, problem.v_dim)

    def _prefill(self, q_BHSd: Tensor, k_BGTd: Tensor, wide_BGTd: Tensor) -> Tensor:
        problem = self.problem
        q_NRSd = q_BHSd.reshape(-1, problem.heads_per_group, problem.query_len, problem.qk_dim)
        o_NRSd = F.scaled_dot_product_attention(
            q_NRSd, self._expanded(k_BGTd), self._expanded(wide_BGTd), is_causal=True, scale=problem.scale
        )
        o_NRSv = o_NRSd[..., : problem.v_dim]
        return o_NRSv.reshape(problem.batch, problem.heads, problem.query_len, problem.v_dim)

    def _expanded(self, x_BGTd: Tensor) -> Tensor:
        """Groups into the batch, and one key-value head under each of its query heads, without a copy."""
        return x_BGTd.flatten(0, 1)[:, None].expand(-1, self.problem.heads_per_group, -1, -1)
