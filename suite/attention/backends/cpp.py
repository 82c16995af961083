"""The suite's own decode kernel for CPUs, in C++, for every variant; `suite.attention.cpp_decode.kernel` says how it
works.
"""

import torch
from torch import Tensor

from suite.attention.backends import needs
from suite.attention.cpp_decode import kernel
from suite.attention.problem import Backend, Problem
from suite.measure.workload import UnsupportedError


class Cpp(Backend):
    name = "cpp"
    computes = frozenset({"ragged", "pages"})

    def check(self, problem: Problem) -> None:
        needs.decoding(self.name, problem)
        needs.dtype(self.name, problem.dtype, kernel.FUNCTIONS)
        if problem.device.type != "cpu":
            raise UnsupportedError(f"cpp runs on CPUs only; got device={problem.device.type}")
        needs.kernels_folder(self.name)
        if not kernel.kept_at(problem.dtype).exists():
            needs.cpp_compiler(self.name)

    def autotuned(self, *inputs: Tensor) -> Backend:
        """Load the kernel, building it if no process has yet, and choose splits and products. Returns this backend.
        Raises UnsupportedError for inputs whose columns are not adjacent, AbsentError if it cannot be built."""
        if any(x.stride(3) != 1 for x in inputs[:3]):
            raise UnsupportedError("cpp needs the columns of queries, keys and values to be adjacent in memory")
        try:
            kernel.library(self.problem.dtype)
            self.built = kernel.flags(self.problem.dtype)
        except (RuntimeError, OSError) as error:  # the compiler's; the loader's, and of a folder that is not ours alone
            reason = next((line for line in str(error).splitlines() if "error:" in line), needs.in_a_line(error))
            raise needs.AbsentError(f"cpp cannot be built or loaded here ({reason})") from error
        problem = self.problem
        pairs, rows = problem.batch * problem.kv_heads, problem.heads_per_group * problem.query_len
        self._lengths_B, self._part = None, 0
        if problem.lengths is None:
            self._splits = kernel.splits_for(pairs, problem.seq_len, torch.get_num_threads())
        else:
            self._splits, self._part = kernel.parts_for(problem.lengths, problem.kv_heads, torch.get_num_threads())
            self._lengths_B = torch.tensor(problem.lengths, dtype=torch.int64)
        self._products = kernel.products_for(problem.dtype, rows, problem.qk_dim, problem.v_dim)
        parts = f", the {'longest ' if self._part else ''}context in {self._splits} parts" if self._splits > 1 else ""
        self.form = f"products of {kernel.PRODUCTS[self._products]}{parts}"
        return self

    def __call__(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor, table_BP: Tensor | None = None) -> Tensor:
        return kernel.decode(
            q_BHSd,
            k_BGTd,
            v_BGTv,
            scale=self.problem.scale,
            products=self._products,
            splits=self._splits,
            part=self._part,
            lengths_B=self._lengths_B,
            table_BP=table_BP,
        )
