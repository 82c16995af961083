"""DeepSeek's FlashMLA: absorbed MLA's decoding at 512 + 64, on Hopper, from a cache in pages of 64 tokens.

Our cache is passed in such pages without a copy (suite.attention.pages). How it lies is looked at once, before any
call.
"""

import torch
from torch import Tensor

from suite.attention.backends import needs
from suite.attention.pages import paged
from suite.attention.problem import Problem
from suite.measure.workload import UnsupportedError

PAGE_TOKENS = 64


class FlashMla(needs.PackagedBackend):
    name = "flash_mla"
    distribution = "flash-mla"

    def set_up(self, problem: Problem) -> None:
        import flash_mla

        self._attend = flash_mla.flash_mla_with_kvcache
        self._lengths_B = torch.full((problem.batch,), problem.seq_len, dtype=torch.int32, device=problem.device)
        self._schedule = flash_mla.get_mla_metadata(self._lengths_B, problem.heads * problem.query_len, 1)

    def check(self, problem: Problem) -> None:
        needs.absorbed_mla(self.name, problem)
        if problem.is_prefill:
            raise UnsupportedError("flash_mla supports phase=decode only; got a prefill")
        if problem.seq_len % PAGE_TOKENS:
            raise UnsupportedError(
                f"flash_mla reads whole pages: seq_len must be a multiple of {PAGE_TOKENS}; got {problem.seq_len}"
            )
        needs.cuda(self.name, problem.device, (9, 0), exactly=True)
        needs.package(self.name, "flash_mla", self.distribution)

    def plan(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> None:
        self._pages = paged(k_BGTd, PAGE_TOKENS)

    def __call__(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> Tensor:
        o_BSHv: Tensor
        o_BSHv, _ = self._attend(
            q_BHSd.transpose(1, 2),
            self._pages.view(k_BGTd).transpose(1, 2),
            self._pages.table_BP,
            self._lengths_B,
            self.problem.v_dim,
            *self._schedule,
            softmax_scale=self.problem.scale,
            causal=self.problem.needs_mask,
        )
        return o_BSHv.transpose(1, 2)
