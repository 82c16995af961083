"""No number without a passed check: a kernel's output against a float64 reference of the same rounded inputs.

A whole float64 attention cannot run at true sizes, so a few query rows are compared over all keys, which are streamed
in blocks. Small problems are compared whole.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from suite.attention.backends.eager import attend
from suite.attention.problem import Problem

WHOLE_BELOW_SCORES = 1 << 26
ROWS_PER_GROUP = 64
FEWEST_POSITIONS = 4
KEY_BLOCK = 4096
LARGEST_ERROR = {torch.float64: 1e-13, torch.float32: 1e-5, torch.bfloat16: 3e-2}
"""Relative Frobenius error above which no result passes, whatever eager's own error is."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    error: float
    allowed: float

    @property
    def passed(self) -> bool:
        # Written so that a NaN does not pass.
        return self.error <= self.allowed


def compare(
    o_BHSv: Tensor,
    q_BHSd: Tensor,
    k_BGTd: Tensor,
    v_BGTv: Tensor,
    problem: Problem,
    generator: torch.Generator,
) -> Comparison:
    """Error of `o_BHSv`, and the error allowed: twice eager's own on the same rows, within the dtype's bound."""
    positions = _positions(problem, generator)
    last_seen_R1 = (positions + problem.seq_len - problem.query_len)[:, None]
    visible_RT = torch.arange(problem.seq_len, device=problem.device) <= last_seen_R1
    q_BHRd = q_BHSd[:, :, positions]
    reference = reference_rows(q_BHRd, k_BGTd, v_BGTv, visible_RT, problem.scale)
    eager = attend(q_BHRd, k_BGTd, v_BGTv, scale=problem.scale, hidden_ST=~visible_RT)
    allowed = 2 * relative_error(eager, reference) + 1e-6
    return Comparison(
        error=relative_error(o_BHSv[:, :, positions], reference), allowed=min(allowed, LARGEST_ERROR[problem.dtype])
    )


def relative_error(candidate: Tensor, reference: Tensor) -> float:
    """Frobenius norm of the difference over that of the reference, in float64."""
    return float((candidate.double() - reference).norm() / reference.norm())


def reference_rows(q_BHRd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor, visible_RT: Tensor, scale: float) -> Tensor:
    """Attention of the given query rows in float64, keys streamed in blocks with a running maximum; o_BHRv."""
    batch, heads, rows, _ = q_BHRd.shape
    share = heads // k_BGTd.shape[1]
    q = q_BHRd.double() * scale
    peak = q.new_full((batch, heads, rows, 1), float("-inf"))
    total = torch.zeros_like(peak)
    summed = q.new_zeros(batch, heads, rows, v_BGTv.shape[-1])
    for start in range(0, k_BGTd.shape[2], KEY_BLOCK):
        block = slice(start, start + KEY_BLOCK)
        k, v = (x[:, :, block].double().repeat_interleave(share, dim=1) for x in (k_BGTd, v_BGTv))
        scores = (q @ k.mT).masked_fill(~visible_RT[:, block], float("-inf"))
        # Every row sees key 0, so from the first block on the running maximum is finite.
        new_peak = torch.maximum(peak, scores.amax(dim=-1, keepdim=True))
        weights, kept = (scores - new_peak).exp(), (peak - new_peak).exp()
        total = total * kept + weights.sum(dim=-1, keepdim=True)
        summed = summed * kept + weights @ v
        peak = new_peak
    return summed / total


def _whole(problem: Problem) -> bool:
    return problem.batch * problem.heads * problem.query_len * problem.seq_len < WHOLE_BELOW_SCORES


def _positions(problem: Problem, generator: torch.Generator) -> Tensor:
    """Query positions to compare: all; or first, last, middle and random ones up to the limit of rows a group."""
    queries, device = problem.query_len, problem.device
    limit = max(FEWEST_POSITIONS, ROWS_PER_GROUP // problem.heads_per_group)
    if _whole(problem) or queries <= limit:
        return torch.arange(queries, device=device)
    chosen = [0, queries - 1, queries // 2 - 1, queries // 2]
    others = torch.randperm(queries, generator=generator, device=device)[: limit - len(chosen)].tolist()
    return torch.tensor(sorted({*chosen, *others}), device=device)
