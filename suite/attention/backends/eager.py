"""Two matrix products with a softmax between: the plainest form, and the yardstick of every other's error.

All groups make one batched product where torch multiplies it well. On a CPU it does not in 16 bits if the matrices do
not lie close behind each other, as in a cache with room for more tokens: there each group is multiplied alone. Seen
with 16 groups of 16,384 keys in bfloat16: 87 ms batched, 10 ms one by one, and 10 ms batched without the room
(by roomy_cache.py of commit 64383889).
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from suite.attention.problem import Backend, Problem


class Eager(Backend):
    name = "eager"
    computes = frozenset({"window", "sinks", "shared_key", "ragged"})

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._hidden_ST = ~problem.visible_keys() if problem.needs_mask else None

    def __call__(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor, *more: Tensor) -> Tensor:
        problem, rotary = self.problem, list(more)
        sink_H = rotary.pop() if problem.has_sinks else None
        shared_B1Tr = rotary.pop() if problem.shared_key_dim else None
        score_terms = {"hidden_ST": self._hidden_ST, "sink_H": sink_H, "shared_B1Tr": shared_B1Tr}
        return attend(q_BHSd, k_BGTd, v_BGTv, scale=problem.scale, **score_terms)


def attend(
    q_BHSd: Tensor,
    k_BGTd: Tensor,
    v_BGTv: Tensor,
    *,
    scale: float,
    hidden_ST: Tensor | None,
    sink_H: Tensor | None = None,
    shared_B1Tr: Tensor | None = None,
) -> Tensor:
    """Attention o_BHSv with the heads of a group folded into query rows, so that the cache is read once for each group.

    `hidden_ST`: True where a query must not see a key; of sequences of different lengths [B, 1, S, T]. `sink_H`: a
    logit of each head that takes its share of the softmax. `shared_B1Tr`: last columns of the keys, which all groups
    share and `k_BGTd` lacks; scores are then the sum of two products, and no key is written out.
    """
    batch, heads, queries, width = q_BHSd.shape
    groups = k_BGTd.shape[1]
    q_NRd = q_BHSd.reshape(batch * groups, heads // groups * queries, width)
    begun_NRT = None
    if shared_B1Tr is not None:
        q_NRd, q_NRr = q_NRd.split((k_BGTd.shape[-1], shared_B1Tr.shape[-1]), dim=-1)
        begun_NRT = _products(q_NRr.reshape(batch, -1, q_NRr.shape[-1]), shared_B1Tr[:, 0]).view(*q_NRd.shape[:2], -1)
    sink_NR1 = None
    if sink_H is not None:
        sink_NR1 = sink_H.view(groups, -1, 1).expand(batch, -1, -1, queries).reshape(len(q_NRd), -1, 1)
    # Groups of several sequences may have keys that overlap, as two latents around one rotary key: a batch would copy.
    shares_columns = min(k_BGTd.shape[:2]) > 1 and 0 < k_BGTd.stride(1) < k_BGTd.shape[-1]
    if shares_columns or any(_batches_badly(x.flatten(0, 1)) for x in (k_BGTd, v_BGTv)):
        sinks, begun = ([None] * len(q_NRd) if part is None else part for part in (sink_NR1, begun_NRT))
        hidden: Iterable[Tensor | None] = [hidden_ST] * len(q_NRd)
        if hidden_ST is not None and hidden_ST.dim() > 2:
            hidden = _one_by_one(hidden_ST.expand(-1, groups, -1, -1))
        parts = zip(q_NRd, _one_by_one(k_BGTd), _one_by_one(v_BGTv), sinks, begun, hidden, strict=True)
        o_NRv = torch.stack([_attend_one(*part, scale=scale) for part in parts])
    else:
        k_NTd, v_NTv = k_BGTd.flatten(0, 1), v_BGTv.flatten(0, 1)
        if begun_NRT is None:
            scores_NRT = torch.baddbmm(q_NRd.new_zeros(1, 1, 1), q_NRd, k_NTd.mT, beta=0, alpha=scale)
        else:
            scores_NRT = begun_NRT.baddbmm_(q_NRd, k_NTd.mT, beta=scale, alpha=scale)
        o_NRv = torch.bmm(_softmax(_hide(scores_NRT, hidden_ST), sink_NR1), v_NTv)
    return o_NRv.view(batch, heads, queries, -1)


def _attend_one(
    q_Rd: Tensor,
    k_Td: Tensor,
    v_Tv: Tensor,
    sink_R1: Tensor | None,
    begun_RT: Tensor | None,
    hidden_ST: Tensor | None,
    *,
    scale: float,
) -> Tensor:
    """Attention of one group of one sequence, o_Rv. `begun_RT`: unscaled scores of the shared key part, overwritten."""
    if begun_RT is None:
        scores_RT = torch.addmm(q_Rd.new_zeros(1, 1), q_Rd, k_Td.mT, beta=0, alpha=scale)
    else:
        scores_RT = begun_RT.addmm_(q_Rd, k_Td.mT, beta=scale, alpha=scale)
    return torch.mm(_softmax(_hide(scores_RT, hidden_ST), sink_R1), v_Tv)


def _products(q_BRr: Tensor, k_BTr: Tensor) -> Tensor:
    """Unscaled scores q kᵀ, one sequence after another: in 16 bits a batched product would copy the keys."""
    scores_BRT = q_BRr.new_empty(*q_BRr.shape[:2], k_BTr.shape[1])
    for q_Rr, k_Tr, scores_RT in zip(q_BRr, k_BTr, scores_BRT, strict=True):
        torch.mm(q_Rr, k_Tr.mT, out=scores_RT)
    return scores_BRT


def _softmax(scores: Tensor, sink: Tensor | None) -> Tensor:
    if sink is None:
        return scores.softmax(dim=-1)
    return torch.cat((scores, sink), dim=-1).softmax(dim=-1)[..., :-1]


def _hide(scores: Tensor, hidden_ST: Tensor | None) -> Tensor:
    """Set scores of hidden keys to −∞, in place."""
    if hidden_ST is not None:
        # Those of different lengths have a mask for each sequence, whose scores lie behind one another.
        scores.view(*hidden_ST.shape[:-3], -1, *hidden_ST.shape[-2:]).masked_fill_(hidden_ST, float("-inf"))
    return scores


def _one_by_one(x_BGTd: Tensor) -> Iterable[Tensor]:
    return (x_Td for x_GTd in x_BGTd for x_Td in x_GTd)


def _batches_badly(x_NTd: Tensor) -> bool:
    return x_NTd.is_cpu and x_NTd.element_size() == 2 and len(x_NTd) > 1 and not x_NTd.is_contiguous()
