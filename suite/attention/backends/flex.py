"""torch's FlexAttention, compiled for each problem: what it cannot do it says, and so does this.

On a CPU it computes forward passes in float32, float16 and bfloat16, for keys and values of any two widths, and needs a
C++ compiler. Compiling takes 3 to 20 s a problem, in the check before timing.
"""

import torch
from torch import Tensor
from torch._inductor import config
from torch._inductor.cpp_builder import get_cpp_compiler
from torch._inductor.exc import InvalidCxxCompiler
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from suite.attention.problem import Backend, Problem
from suite.measure.workload import UnsupportedError

CPU_DTYPES = (torch.float32, torch.float16, torch.bfloat16)

# One kernel at a time is compiled: a pool of compiling processes would outlive its use and take CPU time from the case.
config.compile_threads = 1


class Flex(Backend):
    name = "flex"

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._attend = torch.compile(flex_attention, dynamic=False, fullgraph=True)
        self._block_mask = None
        if problem.needs_mask:
            past = problem.seq_len - problem.query_len
            self._block_mask = create_block_mask(
                lambda batch, head, query, key: key <= query + past,
                None,
                None,
                problem.query_len,
                problem.seq_len,
                device=str(problem.device),
            )

    def check(self, problem: Problem) -> None:
        if problem.device.type != "cpu":
            return
        if problem.needs_gradient:
            raise UnsupportedError("flex has no backward pass on a CPU")
        if problem.dtype not in CPU_DTYPES:
            names = ", ".join(str(dtype).removeprefix("torch.") for dtype in CPU_DTYPES)
            raise UnsupportedError(f"flex computes {names} on a CPU; got {str(problem.dtype).removeprefix('torch.')}")
        try:
            get_cpp_compiler()
        except (InvalidCxxCompiler, RuntimeError) as error:  # the second is what Windows gives
            raise UnsupportedError("flex needs a C++ compiler, and torch finds none") from error

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
