"""torch's FlexAttention, compiled for each problem; problems that it refuses are refused here in its words.

On a CPU it computes forward passes in float32, float16 and bfloat16, for keys and values of any two widths, and needs a
C++ compiler. On CUDA devices it computes backward passes too, in the same dtypes, and needs Triton; there up to 127 new
tokens go to a kernel of its own for decoding, which wants the query heads of a key-value head to be a power of two, and
a key that is too wide for the chip is found out by compiling. Compiling takes 3 to 20 s a problem, before timing.
"""

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from suite.attention.backends import needs
from suite.attention.backends.compiling import CompiledBackend, compiled
from suite.attention.problem import Problem
from suite.measure.workload import UnsupportedError

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
DECODED_BELOW = 128  # new tokens, from which on the kernel for prefill serves


class Flex(CompiledBackend):
    name = "flex"
    computes = frozenset({"window"})

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._attend = compiled(flex_attention)
        self._block_mask = None
        if problem.needs_mask:
            past, keys, oldest = problem.seq_len - problem.query_len, problem.seq_len, problem.oldest_row
            window = keys if problem.window is None else problem.window

            def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
                behind = query + past - (key - oldest) % keys
                return (behind >= 0) & (behind < window)

            device = str(problem.device)
            self._block_mask = create_block_mask(sees, None, None, problem.query_len, problem.seq_len, device=device)

    def check(self, problem: Problem) -> None:
        needs.dtype(self.name, problem.dtype, DTYPES)
        if problem.device.type == "cpu":
            if problem.needs_gradient:
                raise UnsupportedError("flex has no backward pass on a CPU, which phase=train needs")
        elif problem.query_len < DECODED_BELOW and problem.heads_per_group.bit_count() != 1:
            raise UnsupportedError(
                f"flex decodes on CUDA devices only if a power of two of query heads share a key-value head; "
                f"got {problem.heads_per_group}"
            )
        self.needs_compiler(problem)

    def __call__(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> Tensor:
        output: Tensor = self._attend(
            q_BHSd,
            k_BGTd,
            v_BGTv,
            block_mask=self._block_mask,
            scale=self.problem.scale,
            enable_gqa=self.problem.heads_per_group > 1,
        )
        return output
