"""Two matrix products with a softmax between: the plainest form, and the yardstick of every other's error.

All groups make one batched product where torch multiplies it well. On a CPU it does not in 16 bits if the matrices do
not lie close behind each other, as in a cache with room for more tokens: there each group is multiplied alone. Seen
with 16 groups of 16,384 keys in bfloat16: 87 ms batched, 10 ms one by one, and 10 ms batched without the room
(tests/benchmarks/roomy_cache.py).
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from suite.attention.problem import Backend, Problem, operands


class Eager(Backend):
    name = "eager"
    computes = frozenset({"window", "sinks"})

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._hidden_ST = None
        if problem.needs_mask:
            self._hidden_ST = ~problem.visible_keys()

    def __call__(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor, *more: Tensor) -> Tensor:
        found = operands((q_BHSd, k_BGTd, v_BGTv, *more), self.problem)
        scale, hidden_ST = self.problem.scale, self._hidden_ST
        return attend(found.q_BHSd, found.k_BGTd, found.v_BGTv, scale=scale, hidden_ST=hidden_ST, sink_H=found.sink_H)


def attend(
    q_BHSd: Tensor,
    k_BGTd: Tensor,
    v_BGTv: Tensor,
    *,
    scale: float,
    hidden_ST: Tensor | None,
    sink_H: Tensor | None = None,
) -> Tensor:
    """Compute attention with the heads of a group folded into query rows, so that the cache is read once a group.

    `hidden_ST`: True where a query must not see a key. `sink_H`: a logit of each head that takes its share of the
    softmax. Returns o_BHSv.
    """
    batch, heads, queries, width = q_BHSd.shape
    groups = k_BGTd.shape[1]
    q_NRd = q_BHSd.reshape(batch * groups, heads // groups * queries, width)
    sink_NR1 = None
    if sink_H is not None:
        sink_NR1 = sink_H.view(groups, -1, 1).expand(batch, -1, -1, queries).reshape(len(q_NRd), -1, 1)
    if _shares_columns(k_BGTd) or _batches_badly(k_BGTd.flatten(0, 1), v_BGTv.flatten(0, 1)):
        sinks = [None] * len(q_NRd) if sink_NR1 is None else sink_NR1
        parts = zip(q_NRd, _one_by_one(k_BGTd), _one_by_one(v_BGTv), sinks, strict=True)
        o_NRv = torch.stack([_attend_one(*part, scale, hidden_ST) for part in parts])
    else:
        k_NTd, v_NTv = k_BGTd.flatten(0, 1), v_BGTv.flatten(0, 1)
        nothing = q_NRd.new_zeros(1, 1, 1)
        scores_NRT = torch.baddbmm(nothing, q_NRd, k_NTd.mT, beta=0, alpha=scale)
        o_NRv = torch.bmm(_softmax(_hide(scores_NRT, hidden_ST), sink_NR1), v_NTv)
    return o_NRv.view(batch, heads, queries, -1)


def _attend_one(
    q_Rd: Tensor, k_Td: Tensor, v_Tv: Tensor, sink_R1: Tensor | None, scale: float, hidden_ST: Tensor | None
) -> Tensor:
    scores_RT = torch.addmm(q_Rd.new_zeros(1, 1), q_Rd, k_Td.mT, beta=0, alpha=scale)
    return torch.mm(_softmax(_hide(scores_RT, hidden_ST), sink_R1), v_Tv)


def _softmax(scores: Tensor, sink: Tensor | None) -> Tensor:
    """Return the keys' weights; a sink, a logit for each row of scores, takes its share and is dropped."""
    if sink is None:
        return scores.softmax(dim=-1)
    return torch.cat((scores, sink), dim=-1).softmax(dim=-1)[..., :-1]


def _hide(scores: Tensor, hidden_ST: Tensor | None) -> Tensor:
    if hidden_ST is not None:
        scores.view(-1, *hidden_ST.shape).masked_fill_(hidden_ST, float("-inf"))
    return scores


def _shares_columns(k_BGTd: Tensor) -> bool:
    """Groups of several sequences whose keys overlap, as two latents around one rotary key: a batch would be a copy."""
    return min(k_BGTd.shape[:2]) > 1 and 0 < k_BGTd.stride(1) < k_BGTd.shape[-1]


def _one_by_one(x_BGTd: Tensor) -> Iterable[Tensor]:
    return (x_Td for x_GTd in x_BGTd for x_Td in x_GTd)


def _batches_badly(*matrices_NTd: Tensor) -> bool:
    return any(x.is_cpu and x.element_size() == 2 and len(x) > 1 and not x.is_contiguous() for x in matrices_NTd)
