"""The written rule by which `backend=auto` chooses. The record names what it chose.

On a CPU:
- decode: cpp, sdpa_folded and eager, those of them that compute the problem, are tried on the very inputs. The first of
  them is taken unless another is clearly faster: cpp is one kernel for all variants, and eager the coarser of torch's
  forms in 16 bits, as it rounds its weights. Which is fastest depends on the CPU's instructions, the head layout and
  the number of threads (results/reference/cpu/cpp_decode.txt and call_form).
- prefill: sdpa_folded, and eager where the value is neither as wide as the key nor in one buffer with it.
- train: the same; and eager up to SHORT tokens where the value is narrower than the key, since widening it costs a
  backward pass of its own, while eager stores every score (results/reference/cpu/train: absorbed MLA's kernel took 286
  ms eager and 350 ms folded at 512 tokens in float32, 1,098 and 1,038 ms at 1,024; in bfloat16 eager stays ahead).
On other devices sdpa_folded, and eager where it does not fit.
"""

import time

from torch import Tensor

from suite.attention.backends.cpp import Cpp
from suite.attention.backends.eager import Eager
from suite.attention.backends.sdpa_folded import SdpaFolded
from suite.attention.problem import Backend, Problem
from suite.measure.workload import UnsupportedError

SHORT = 512
TRIES = 3
CLEARLY = 0.9
MOST_SCORES = 1 << 28
"""Eager stores them all: more are not tried."""


def choose(problem: Problem) -> Backend:
    """Return the backend for a problem, ready to be called or, where several are to be tried, to be autotuned."""
    if _is_tried(problem):
        return Undecided(problem)
    trains_widened = problem.needs_gradient and problem.v_dim < problem.qk_dim
    if not SdpaFolded.fits(problem) or (trains_widened and problem.seq_len <= SHORT):
        return Eager(problem)
    return SdpaFolded(problem)


def _is_tried(problem: Problem) -> bool:
    decodes = not problem.needs_gradient and not (problem.is_prefill and problem.needs_mask)
    return problem.device.type == "cpu" and decodes


class Undecided(Backend):
    name = "auto"

    def autotuned(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> Backend:
        """Return the first that computes the problem, or another that is clearly faster on these inputs; its `form`
        has how the others fared."""
        tried, refusals = self._computing(q_BHSd, k_BGTd, v_BGTv)
        first, *others = tried
        times_s = {backend.name: least_s(backend, q_BHSd, k_BGTd, v_BGTv) for backend in tried}
        chosen = min(others, key=lambda backend: times_s[backend.name], default=first)
        if times_s[chosen.name] >= CLEARLY * times_s[first.name]:
            chosen = first
        compared = [
            f"{backend.name} tried at {times_s[backend.name] / times_s[chosen.name]:.2f} of its time"
            for backend in tried if backend is not chosen
        ]  # fmt: skip
        chosen.form = "; ".join(filter(None, [chosen.form, *compared, *refusals])) or None
        return chosen

    def _computing(self, *inputs: Tensor) -> tuple[list[Backend], list[str]]:
        """Return the backends that compute the problem of these inputs, in the order of preference, and why ours is not
        among them."""
        problem, found, refusals = self.problem, list[Backend](), list[str]()
        try:
            found.append(Cpp(problem).autotuned(*inputs))
        except UnsupportedError as refusal:
            refusals.append(f"not tried: {refusal}")
        fits = SdpaFolded.fits(problem)
        if fits:
            found.append(SdpaFolded(problem))
        if not fits or problem.batch * problem.heads * problem.query_len * problem.seq_len <= MOST_SCORES:
            found.append(Eager(problem))
        return found, refusals


def least_s(backend: Backend, *inputs: Tensor) -> float:
    """Return the shortest time of a few calls after a first one."""
    backend(*inputs)
    times_s = []
    for _ in range(TRIES):
        start = time.perf_counter()
        backend(*inputs)
        times_s.append(time.perf_counter() - start)
    return min(times_s)
