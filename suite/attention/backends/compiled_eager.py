"""The eager backend through torch.compile: two matrix products and a softmax by a compiler.

Needs a C++ compiler on a CPU, and Triton on CUDA devices. Compiling takes 5 to 40 s a problem, before timing.
"""

from torch import Tensor

from suite.attention.backends.compiling import CompiledBackend, compiled
from suite.attention.backends.eager import attend
from suite.attention.problem import Problem


class CompiledEager(CompiledBackend):
    name = "compiled_eager"

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._attend = compiled(attend)
        self._hidden_ST = ~problem.visible_keys() if problem.needs_mask else None

    def check(self, problem: Problem) -> None:
        self.needs_compiler(problem)

    def __call__(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> Tensor:
        output: Tensor = self._attend(q_BHSd, k_BGTd, v_BGTv, scale=self.problem.scale, hidden_ST=self._hidden_ST)
        return output
