"""The written rule by which `backend=auto` chooses. The record names what it chose.

On a CPU:
- Where the value is neither as wide as the key nor in one buffer with it, eager: sdpa_folded does not fit.
- decode in bfloat16 and float16: both are tried on the very inputs, and eager is taken where it is clearly faster.
  Which it is depends on the CPU's instructions: on one with AVX512-BF16 eager took 0.35 to 0.80 of sdpa_folded's time
  from 1,024 tokens on (results/reference/cpu/call_form), on one with matrix units (AMX) it took longer. Eager is the
  coarser, as it rounds its weights to 16 bits; the check bounds that.
- train: eager up to SHORT tokens where the value is narrower than the key, since widening it costs a backward pass of
  its own; sdpa_folded beyond, as eager stores every score (results/reference/cpu/train: absorbed MLA's kernel took 286
  ms eager and 350 ms folded at 512 tokens in float32, 1,098 and 1,038 ms at 1,024; in bfloat16 eager stays ahead).
- otherwise sdpa_folded.
"""

import time

import torch
from torch import Tensor

from suite.attention.backends.eager import Eager
from suite.attention.backends.sdpa_folded import SdpaFolded
from suite.attention.problem import Backend, Problem

SHORT = 512
TRIED_DTYPES = (torch.bfloat16, torch.float16)
TRIES = 3
CLEARLY = 0.9
MOST_SCORES = 1 << 28
"""Eager stores them all: more are not tried."""


def choose(problem: Problem) -> Backend:
    """Return the backend for a problem, ready to be called or, where both are to be tried, to be autotuned."""
    trains_widened = problem.needs_gradient and problem.v_dim < problem.qk_dim
    if not SdpaFolded.fits(problem) or (trains_widened and problem.seq_len <= SHORT):
        return Eager(problem)
    return Undecided(problem) if _is_tried(problem) else SdpaFolded(problem)


def _is_tried(problem: Problem) -> bool:
    decodes = not problem.needs_gradient and not (problem.is_prefill and problem.needs_mask)
    scores = problem.batch * problem.heads * problem.query_len * problem.seq_len
    return problem.device.type == "cpu" and decodes and problem.dtype in TRIED_DTYPES and scores <= MOST_SCORES


class Undecided(Backend):
    name = "auto"

    def autotuned(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> Backend:
        """Return eager where it is clearly faster on these inputs, else sdpa_folded; its `form` has the factor."""
        eager, folded = Eager(self.problem), SdpaFolded(self.problem)
        share = least_s(eager, q_BHSd, k_BGTd, v_BGTv) / least_s(folded, q_BHSd, k_BGTd, v_BGTv)
        chosen: Backend = eager if share < CLEARLY else folded
        tried = f"eager tried at {share:.2f} of sdpa_folded's time"
        chosen.form = tried if chosen.form is None else f"{chosen.form}; {tried}"
        return chosen


def least_s(backend: Backend, *inputs: Tensor) -> float:
    """Return the shortest time of a few calls after a first one."""
    backend(*inputs)
    times_s = []
    for _ in range(TRIES):
        start = time.perf_counter()
        backend(*inputs)
        times_s.append(time.perf_counter() - start)
    return min(times_s)
