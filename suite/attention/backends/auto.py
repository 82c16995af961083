"""The written rule by which `backend=auto` chooses. The record names what it chose, and how the others fared.

Where it tries, it tries on the very inputs: the first backend of a list that computes the problem is taken unless
another of the list is clearly faster.

- Decoding on a CPU: cpp, sdpa_folded, eager. cpp is one kernel for all variants, and eager the coarser of torch's forms
  in 16 bits, as it rounds its weights. Which is fastest depends on the CPU's instructions, the head layout and the
  number of threads (results/reference/cpu/cpp_decode.txt and call_form).
- Decoding on other devices: triton, flashinfer, flash_mla, fa3, flash_attn, sdpa_folded, eager. Torch's own forms split
  no context, so that few sequences leave most of a GPU idle.
- Prefill and training on other devices: torch's kernels sdpa_flash, sdpa_cudnn and sdpa_efficient, then fa3 and
  flash_attn. In training a backward pass is tried too.

Where nothing is tried, or nothing that is computes the problem:
- a quantised cache: dequantising, which alone reads one.
- what else is beyond plain attention and a window, such as sinks: eager.
- prefill: sdpa_folded, and eager where the value is neither as wide as the key nor in one buffer with it.
- train: the same; and eager up to SHORT tokens where the value is narrower than the key, since widening it costs a
  backward pass of its own, while eager stores every score (results/reference/cpu/train: absorbed MLA's kernel took 286
  ms eager and 350 ms folded at 512 tokens in float32, 1,098 and 1,038 ms at 1,024; in bfloat16 eager stays ahead).

A GPU is timed by events in its own queue, with a cold L2 as a record's runs have it.
"""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from suite.attention.backends.cpp import Cpp
from suite.attention.backends.dequantising import Dequantising
from suite.attention.backends.eager import Eager
from suite.attention.backends.fa3 import Fa3
from suite.attention.backends.flash_attn import FlashAttn
from suite.attention.backends.flash_mla import FlashMla
from suite.attention.backends.flashinfer import FlashInfer
from suite.attention.backends.needs import AbsentError
from suite.attention.backends.sdpa_by_name import SdpaCudnn, SdpaEfficient, SdpaFlash
from suite.attention.backends.sdpa_folded import SdpaFolded
from suite.attention.backends.triton import Triton
from suite.attention.check import one_pass
from suite.attention.problem import Backend, Problem
from suite.measure.devices.cuda_clock import CudaFlush, event_clock, l2_bytes
from suite.measure.workload import UnsupportedError

DECODING_ON_A_CPU = (Cpp, SdpaFolded, Eager)
DECODING = (Triton, FlashInfer, FlashMla, Fa3, FlashAttn, SdpaFolded, Eager)
ROWS = (SdpaFlash, SdpaCudnn, SdpaEfficient, Fa3, FlashAttn)  # prefill and training: every token of a sequence is a row
SHORT = 512
TRIES = 3
CLEARLY = 0.9
MOST_SCORES = 1 << 28  # eager stores them all: more are not tried


def choose(problem: Problem) -> Backend:
    """The backend for a problem: ready, or where several are to be tried an Undecided that `autotuned` replaces."""
    if problem.cache_dtype is not None:
        return Dequantising(problem)
    return Undecided(problem) if tried_for(problem) else by_rule(problem)


def tried_for(problem: Problem) -> Sequence[type[Backend]]:
    """Backend classes to try for a problem, preferred ones first; empty where the rule decides without timing."""
    decodes = not problem.needs_gradient and not (problem.is_prefill and problem.needs_mask)
    if problem.device.type == "cpu":
        return DECODING_ON_A_CPU if decodes else ()
    return DECODING if decodes else ROWS


def by_rule(problem: Problem) -> Backend:
    """SdpaFolded or Eager, chosen without timing by the rule at the top of this module."""
    trains_widened = problem.needs_gradient and problem.v_dim < problem.qk_dim
    is_folded = SdpaFolded.computes.issuperset(problem.beyond_plain) and SdpaFolded.fits(problem)
    return SdpaFolded(problem) if is_folded and not (trains_widened and problem.seq_len <= SHORT) else Eager(problem)


class Undecided(Backend):
    name = "auto"
    computes = Eager.computes | {"pages"}

    def autotuned(self, *inputs: Tensor) -> Backend:
        """Choose the first backend that computes the problem, or one that is clearly faster on these inputs.

        Times them only where there are several; where none computes it, the rule chooses. The chosen one's `form` says
        how long each other one took, as a ratio, and why one was refused.
        """
        tried, refusals = self._computing(*inputs)
        chosen = first = (tried or [by_rule(self.problem)])[0]
        if len(tried) > 1:
            times_s = {backend.name: least_s(backend, *inputs) for backend in tried}
            fastest = min(tried[1:], key=lambda backend: times_s[backend.name])
            chosen = fastest if times_s[fastest.name] < CLEARLY * times_s[first.name] else first
        compared = [
            f"{backend.name} took {times_s[backend.name] / times_s[chosen.name]:.2f}× as long"
            for backend in tried if backend is not chosen
        ]  # fmt: skip
        chosen.form = "; ".join(filter(None, [chosen.form, *compared, *refusals])) or None
        return chosen

    def _computing(self, *inputs: Tensor) -> tuple[list[Backend], list[str]]:
        """(backends that compute this, after a first pass, preferred ones first; why the first or a failing one is not
        among them). An error that is no refusal is a bug, and is raised."""
        problem, computing, refusals = self.problem, list[Backend](), list[str]()
        scores = problem.batch * problem.heads * problem.query_len * problem.seq_len
        kinds = tried_for(problem)
        for kind in kinds:
            if kind is Eager and scores > MOST_SCORES:
                continue
            backend: Backend | None = None
            try:
                backend = kind(problem)
                backend = backend.autotuned(*inputs)
                one_pass(backend, problem, *inputs)
                computing.append(backend)
            except UnsupportedError as refusal:
                if backend is not None or kind is kinds[0] or isinstance(refusal, AbsentError):
                    refusals.append(f"not tried: {refusal}")
            except torch.OutOfMemoryError:
                refusals.append(f"not tried: {kind.name} needs more memory than there is")
        return computing, refusals


def least_s(backend: Backend, *inputs: Tensor) -> float:
    """Shortest time of TRIES passes in seconds, forward or in training forward and backward."""
    timed = wall_s if backend.problem.device.type == "cpu" else event_s
    return min(timed(lambda: one_pass(backend, backend.problem, *inputs)) for _ in range(TRIES))


def wall_s(work: Callable[[], object]) -> float:
    """Wall time of one call, in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def event_s(work: Callable[[], object]) -> float:
    """GPU time of one call by events, in seconds, behind a flush that lasts until the work is launched."""
    flush, clock = CudaFlush(l2_bytes()), event_clock({})
    flush("tried")
    stop = clock("tried")
    work()
    seconds, _ = stop()
    return float(seconds["value"])
