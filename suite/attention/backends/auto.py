"""The written rule by which `backend=auto` chooses. The record names what it chose.

On a CPU, per phase and dtype:
- bfloat16 decode: eager. Its products use the CPU's bfloat16 units, which the fused kernel leaves idle at so few rows.
- everything else: sdpa_folded.
"""

import torch

from suite.attention.backends.eager import Eager
from suite.attention.backends.sdpa_folded import SdpaFolded
from suite.attention.problem import Backend, Problem


def choose(problem: Problem) -> Backend:
    """The backend for a problem, ready to be called."""
    if problem.dtype == torch.bfloat16 and not problem.is_prefill:
        return Eager(problem)
    return SdpaFolded(problem)
