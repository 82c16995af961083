"""The written rule by which `backend=auto` chooses. The record names what it chose.

On a CPU, in every dtype:
- decode and prefill: sdpa_folded where the value is as wide as the key or lies in one buffer with it, eager elsewhere.
  Which is faster in bfloat16 decoding depends on the CPU: eager was on one without matrix units (0.45-0.89 of
  sdpa_folded's time), sdpa_folded is on one with AMX (0.13-0.66 of eager's). The form whose error is smaller is taken.
- train: the same, but eager up to SHORT tokens where the value is narrower than the key. Widening it costs a backward
  pass of its own: absorbed MLA's kernel took 202 ms eager and 284 ms folded at 512 tokens in float32, 38 and 109 ms in
  bfloat16. At 2,048 tokens, where eager stores four million scores a head, it took 2.92 s eager and 2.23 s folded.
"""

from suite.attention.backends.eager import Eager
from suite.attention.backends.sdpa_folded import SdpaFolded
from suite.attention.problem import Backend, Problem

SHORT = 512


def choose(problem: Problem) -> Backend:
    """The backend for a problem, ready to be called."""
    trains_widened = problem.needs_gradient and problem.v_dim < problem.qk_dim
    if not SdpaFolded.fits(problem) or (trains_widened and problem.seq_len <= SHORT):
        return Eager(problem)
    return SdpaFolded(problem)
