"""The written rule by which `backend=auto` chooses. The record names what it chose.

On a CPU, in both phases and every dtype: sdpa_folded where the value is as wide as the key or lies in one buffer with
it, eager elsewhere. Which of the two is faster in bfloat16 decoding depends on the CPU: eager was on one without matrix
units (0.45-0.89 of sdpa_folded's time), sdpa_folded is on one with AMX (0.13-0.66 of eager's). The rule takes the form
whose error is smaller.
"""

from suite.attention.backends.eager import Eager
from suite.attention.backends.sdpa_folded import SdpaFolded
from suite.attention.problem import Backend, Problem


def choose(problem: Problem) -> Backend:
    """The backend for a problem, ready to be called."""
    return SdpaFolded(problem) if SdpaFolded.fits(problem) else Eager(problem)
