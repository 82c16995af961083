"""sglang's Triton kernel for decoding absorbed MLA at 512 + 64, as its backend `triton` calls it.

It takes a pool of single tokens and a list of those of each sequence: our cache is passed as such without a copy
(suite.attention.pages, a page of one token). The number of splits is sglang's own, by its own kernel and up to its
server's default. Written for sglang 0.5.23; other versions keep the functions elsewhere, and say so by failing to load.
"""

from typing import Any

import torch
from torch import Tensor

from suite.attention.backends import needs
from suite.attention.pages import paged
from suite.attention.problem import Problem
from suite.measure.workload import UnsupportedError

MOST_SPLITS = 8  # its server's triton_attention_num_kv_splits
FEWEST_SCHEDULED = 256


class Sglang(needs.PackagedBackend):
    name = "sglang"
    distribution = "sglang"

    def set_up(self, problem: Problem) -> None:
        from sglang.kernels.ops.attention.decode_attention import decode_attention_fwd
        from sglang.kernels.ops.attention.metadata import get_num_kv_splits_triton

        self._attend, self._count_splits = decode_attention_fwd, get_num_kv_splits_triton
        parts = (problem.batch, problem.heads, MOST_SPLITS)
        self._part_lse = torch.empty(parts, dtype=torch.float32, device=problem.device)
        self._part = torch.empty(*parts, problem.v_dim, dtype=torch.float32, device=problem.device)
        self.form = f"at most {MOST_SPLITS} splits"

    def check(self, problem: Problem) -> None:
        needs.absorbed_mla(self.name, problem)
        if problem.heads == 1:
            raise UnsupportedError("sglang needs several query heads; got 1")
        if problem.query_len > 1:
            raise UnsupportedError(f"sglang decodes one new token for each sequence; got query_len={problem.query_len}")
        needs.cuda(self.name, problem.device, (8, 0))
        needs.package(self.name, "sglang", self.distribution)

    def plan(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> None:
        """Lay pages of one token over the cache, and have sglang's kernel choose the number of splits."""
        problem = self.problem
        self._tokens = paged(k_BGTd, 1)
        self._indices = self._tokens.table_BP.flatten().long()
        int32: dict[str, Any] = {"dtype": torch.int32, "device": problem.device}
        self._starts = torch.arange(problem.batch + 1, **int32) * problem.seq_len
        self._splits_B = torch.empty(problem.batch, **int32)
        self._count_splits[(1,)](
            self._splits_B,
            torch.full((problem.batch,), problem.seq_len, **int32),
            problem.batch,
            1,
            problem.heads,
            problem.kv_heads,
            MOST_SPLITS,
            torch.cuda.get_device_properties(problem.device).multi_processor_count,
            MAX_NUM_SEQ=max(FEWEST_SCHEDULED, 1 << (problem.batch - 1).bit_length()),
        )

    def __call__(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> Tensor:
        pool_TGd = self._tokens.view(k_BGTd)[:, :, 0]
        o_BHv = q_BHSd.new_empty(*q_BHSd.shape[:2], self.problem.v_dim)
        self._attend(
            q=q_BHSd[:, :, 0],
            k_buffer=pool_TGd,
            v_buffer=pool_TGd[..., : self.problem.v_dim],
            o=o_BHv,
            kv_indptr=self._starts,
            kv_indices=self._indices,
            attn_logits=self._part,
            attn_lse=self._part_lse,
            num_kv_splits=self._splits_B,
            max_kv_splits=MOST_SPLITS,
            sm_scale=self.problem.scale,
            k_scale=1.0,
            v_scale=1.0,
            has_mla=True,
        )
        return o_BHv[:, :, None]
