"""Two batched matrix products with a softmax between: the plainest form, and the yardstick of every other's error."""

import torch
from torch import Tensor

from suite.attention.problem import Backend, Problem, visible_keys


class Eager(Backend):
    name = "eager"

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._hidden_ST = None
        if problem.needs_mask:
            self._hidden_ST = ~visible_keys(problem.query_len, problem.seq_len, problem.device)

    def __call__(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> Tensor:
        return attend(q_BHSd, k_BGTd, v_BGTv, scale=self.problem.scale, hidden_ST=self._hidden_ST)


def attend(q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor, *, scale: float, hidden_ST: Tensor | None) -> Tensor:
    """Attention with the heads of a group folded into query rows, so that the cache is read once a group.

    `hidden_ST`: True where a query must not see a key. Returns o_BHSv.
    """
    batch, heads, queries, width = q_BHSd.shape
    groups, keys = k_BGTd.shape[1], k_BGTd.shape[2]
    rows = heads // groups * queries
    q_NRd = q_BHSd.reshape(batch * groups, rows, width)
    k_NTd, v_NTv = k_BGTd.flatten(0, 1), v_BGTv.flatten(0, 1)
    nothing = q_NRd.new_zeros(1, 1, 1)
    scores_NRT = torch.baddbmm(nothing, q_NRd, k_NTd.mT, beta=0, alpha=scale)
    if hidden_ST is not None:
        scores_NRT.view(-1, queries, keys).masked_fill_(hidden_ST, float("-inf"))
    return torch.bmm(scores_NRT.softmax(dim=-1), v_NTv).view(batch, heads, queries, -1)
