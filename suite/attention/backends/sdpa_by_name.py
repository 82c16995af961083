"""torch's scaled_dot_product_attention, folded as sdpa_folded does it, with one of its kernels and no other.

`sdpa_folded` takes the kernel that torch prefers, which differs by device and version. Here the others are switched
off: torch then refuses where it would have fallen back, and says why. The rules below are those that a reader can know
before; the rest, such as cuDNN's by its version, torch is asked for on the very inputs.
"""

import warnings
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from suite.attention.backends import needs
from suite.attention.backends.sdpa_folded import SdpaFolded
from suite.attention.check import one_pass
from suite.attention.problem import Backend, Problem
from suite.measure.workload import UnsupportedError

HALVES = (torch.bfloat16, torch.float16)
WIDEST = 256
# Words of torch's errors where a kernel does not take a problem; the last, where cuDNN finds no plan for it.
REFUSED = ("No available kernel", "No viable backend", "cuDNN Frontend error")


class SdpaByName(SdpaFolded):
    computes = frozenset()
    kernel: ClassVar[SDPBackend]

    def autotuned(self, *inputs: Tensor) -> Backend:
        """Make a first pass; UnsupportedError, with torch's reasons, if its kernel refuses. Returns this backend."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                one_pass(self, self.problem, *inputs)
            except RuntimeError as error:
                if not any(words in str(error) for words in REFUSED):
                    raise
                reasons = " ".join(str(warning.message).partition(" (Triggered internally")[0] for warning in caught)
                reasons = reasons or needs.in_a_line(error)
                raise UnsupportedError(f"{self.name}: torch's kernel does not take this problem. {reasons}") from error
        return self

    def __call__(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> Tensor:
        with sdpa_kernel([self.kernel]):
            return super().__call__(q_BHSd, k_BGTd, v_BGTv)

    def refuse_wide_keys(self, problem: Problem) -> None:
        """Raise UnsupportedError for keys wider than WIDEST."""
        if problem.qk_dim > WIDEST:
            raise UnsupportedError(f"{self.name} takes heads up to {WIDEST} wide; got {problem.qk_dim}")


class SdpaFlash(SdpaByName):
    """torch's FlashAttention; on a CPU torch's own kernel of that name, with fewer limits."""

    name = "sdpa_flash"
    kernel = SDPBackend.FLASH_ATTENTION

    def check(self, problem: Problem) -> None:
        super().check(problem)
        if problem.device.type == "cpu":
            return
        needs.dtype(self.name, problem.dtype, HALVES)
        self.refuse_wide_keys(problem)
        if problem.needs_mask and not problem.is_prefill:
            raise UnsupportedError(
                f"sdpa_flash takes no mask on CUDA devices, but new tokens after a context need one; "
                f"got query_len={problem.query_len} of seq_len={problem.seq_len}"
            )
        needs.cuda(self.name, problem.device, (8, 0))


class SdpaEfficient(SdpaByName):
    name = "sdpa_efficient"
    kernel = SDPBackend.EFFICIENT_ATTENTION
    widens = False

    def check(self, problem: Problem) -> None:
        super().check(problem)
        needs.dtype(self.name, problem.dtype, (torch.float32, *HALVES))
        needs.cuda(self.name, problem.device, (8, 0) if problem.dtype is torch.bfloat16 else (5, 0))


class SdpaCudnn(SdpaByName):
    """cuDNN's kernel: on Hopper it takes the widths 192 and 128 of expanded MLA, and no value widened to 192."""

    name = "sdpa_cudnn"
    kernel = SDPBackend.CUDNN_ATTENTION
    widens = False

    def check(self, problem: Problem) -> None:
        super().check(problem)
        needs.dtype(self.name, problem.dtype, HALVES)
        self.refuse_wide_keys(problem)
        if problem.qk_dim % 8 or problem.v_dim % 8:
            raise UnsupportedError(
                f"sdpa_cudnn takes keys and values whose width is a multiple of 8; "
                f"got {problem.qk_dim} and {problem.v_dim}"
            )
        needs.cuda(self.name, problem.device, (8, 0))
