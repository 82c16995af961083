"""The written rule by which `backend=auto` chooses. The record names what it chose.

On a CPU:
- Where the value is neither as wide as the key nor in one buffer with it, eager: sdpa_folded does not fit.
- decode in bfloat16 and float16: both are tried on this very problem, and eager is taken where it is clearly faster.
  Which it is depends on the CPU's own instructions and on the number of query rows a key-value head, and no rule of
  thumb holds: on one with AVX512-BF16 eager took 0.34 to 0.52 of sdpa_folded's time in absorbed MLA (16 rows), and 1.3
  to 4.9 times as long in GQA and MHA. Eager is the coarser, as it rounds its weights to 16 bits; the check bounds that.
- train: eager up to SHORT tokens where the value is narrower than the key, since widening it costs a backward pass of
  its own; sdpa_folded beyond, as eager stores every score.
- otherwise sdpa_folded.
"""

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from suite.attention.backends.eager import Eager
from suite.attention.backends.sdpa_folded import SdpaFolded
from suite.attention.problem import Backend, Problem, ValueLies

SHORT = 512
TRIED_DTYPES = (torch.bfloat16, torch.float16)
TRIES = 3
CLEARLY = 0.9
MOST_SCORES = 1 << 28
"""Eager stores them all: more are not tried."""


def choose(problem: Problem) -> Backend:
    """The backend for a problem, ready to be called."""
    trains_widened = problem.needs_gradient and problem.v_dim < problem.qk_dim
    if not SdpaFolded.fits(problem) or (trains_widened and problem.seq_len <= SHORT):
        return Eager(problem)
    return _faster(problem) if _is_tried(problem) else SdpaFolded(problem)


def _is_tried(problem: Problem) -> bool:
    decodes = not problem.needs_gradient and not (problem.is_prefill and problem.needs_mask)
    scores = problem.batch * problem.heads * problem.query_len * problem.seq_len
    return problem.device.type == "cpu" and decodes and problem.dtype in TRIED_DTYPES and scores <= MOST_SCORES


def _faster(problem: Problem) -> Backend:
    """Eager where it is clearly faster, else sdpa_folded; its `form` says by how much."""
    eager, folded = Eager(problem), SdpaFolded(problem)
    with torch.inference_mode():
        inputs = _inputs(problem)
        share = least_s(eager, inputs) / least_s(folded, inputs)
    chosen: Backend = eager if share < CLEARLY else folded
    tried = f"eager tried at {share:.2f} of sdpa_folded's time"
    chosen.form = tried if chosen.form is None else f"{chosen.form}; {tried}"
    return chosen


def least_s(backend: Backend, inputs: Sequence[Tensor]) -> float:
    """The shortest of a few calls after a first one."""
    backend(*inputs)
    times_s = []
    for _ in range(TRIES):
        start = time.perf_counter()
        backend(*inputs)
        times_s.append(time.perf_counter() - start)
    return min(times_s)


def _inputs(problem: Problem) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values that lie as the problem says. Ones: memory that was never written is read too fast."""
    batch, groups, keys = problem.batch, problem.kv_heads, problem.seq_len

    def ones(*size: int) -> Tensor:
        return torch.ones(size, dtype=problem.dtype, device=problem.device)

    q_BHSd = ones(batch, problem.heads, problem.query_len, problem.qk_dim)
    if problem.value_lies is ValueLies.BEHIND_KEY:
        both_BGTe = ones(batch, groups, keys, problem.qk_dim + problem.v_dim)
        return q_BHSd, both_BGTe[..., : problem.qk_dim], both_BGTe[..., problem.qk_dim :]
    k_BGTd = ones(batch, groups, keys, problem.qk_dim)
    in_key = problem.value_lies is ValueLies.IN_KEY
    return q_BHSd, k_BGTd, k_BGTd[..., : problem.v_dim] if in_key else ones(batch, groups, keys, problem.v_dim)
