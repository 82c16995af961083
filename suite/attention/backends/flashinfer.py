"""The package FlashInfer: grouped-query attention, and absorbed MLA at 512 + 64, over a cache in pages of 16 tokens.

Our cache is passed in such pages without a copy (suite.attention.pages). How it lies is looked at once, and the kernel
planned for it, at the first call, which is a check and not timed. Queries are copied where a layer's heads do not stand
side by side in memory.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from suite.attention.backends import needs
from suite.attention.pages import Pages, paged
from suite.attention.problem import Backend, Problem, ValueLayout
from suite.measure.workload import UnsupportedError

PAGE_TOKENS = 16
WORKSPACE_BYTES = 128 << 20  # what its documentation recommends
HEAD_WIDTHS = (64, 128, 256)
LATENT_WIDTHS = (576, 512)


class FlashInfer(Backend):
    name = "flashinfer"

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        import flashinfer

        workspace = torch.empty(WORKSPACE_BYTES, dtype=torch.uint8, device=problem.device)
        self._pages: Pages | None = None
        self._kernel: Any
        self._planned: Callable[[Pages], Callable[[Tensor, Tensor, Tensor], Tensor]]
        if problem.value_layout is ValueLayout.PREFIX_OF_KEY:
            self._kernel, self._planned = flashinfer.mla.BatchMLAPagedAttentionWrapper(workspace), self._latent
        elif problem.query_len == 1:
            # Faster for large groups, says its documentation; without matrix units it knows few sizes of group.
            self._kernel = flashinfer.BatchDecodeWithPagedKVCacheWrapper(
                workspace, "HND", use_tensor_cores=problem.heads_per_group > 1
            )
            self._planned = self._decode
        else:
            self._kernel = flashinfer.BatchPrefillWithPagedKVCacheWrapper(workspace, "HND")
            self._planned = self._append
        self.form = type(self._kernel).__name__

    def check(self, problem: Problem) -> None:
        if problem.needs_gradient:
            raise UnsupportedError("flashinfer has no backward pass")
        needs.dtype(self.name, problem.dtype, (torch.bfloat16, torch.float16))
        widths = (problem.qk_dim, problem.v_dim)
        if problem.value_layout is ValueLayout.PREFIX_OF_KEY:
            if widths != LATENT_WIDTHS or problem.kv_heads != 1:
                raise UnsupportedError(
                    f"flashinfer takes a value in the key from one key-value head of widths {LATENT_WIDTHS[0]} and "
                    f"{LATENT_WIDTHS[1]}; got {problem.kv_heads} of {widths[0]} and {widths[1]}"
                )
        elif widths[0] != widths[1] or widths[0] not in HEAD_WIDTHS:
            raise UnsupportedError(
                f"flashinfer takes keys and values of one width, {', '.join(map(str, HEAD_WIDTHS))}; "
                f"got {widths[0]} and {widths[1]}"
            )
        if problem.seq_len % PAGE_TOKENS:
            raise UnsupportedError(
                f"flashinfer is given whole pages: seq_len must be a multiple of {PAGE_TOKENS}; got {problem.seq_len}"
            )
        needs.cuda(self.name, problem.device, (8, 0))
        needs.package(self.name, "flashinfer", "flashinfer-python")

    def __call__(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> Tensor:
        if self._pages is None:
            self._pages = paged(k_BGTd, PAGE_TOKENS)
            self._run = self._planned(self._pages)
        problem = self.problem
        q_NHd = q_BHSd.transpose(1, 2).reshape(-1, problem.heads, problem.qk_dim)
        if problem.value_layout is ValueLayout.PREFIX_OF_KEY:
            latent, rotary = self._pages.of(k_BGTd)[:, 0].split((problem.v_dim, problem.qk_dim - problem.v_dim), dim=-1)
            o_NHv = self._run(q_NHd, latent, rotary)
        else:
            o_NHv = self._run(q_NHd, self._pages.of(k_BGTd), self._pages.of(v_BGTv))
        return o_NHv.view(problem.batch, problem.query_len, problem.heads, problem.v_dim).transpose(1, 2)

    def _decode(self, pages: Pages) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        self._plan_grouped(pages)
        return self._grouped

    def _append(self, pages: Pages) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        self._plan_grouped(pages, self._multiples(self.problem.query_len), causal=True)
        return self._grouped

    def _plan_grouped(self, pages: Pages, *queries: Tensor, **mask: bool) -> None:
        problem = self.problem
        self._kernel.plan(
            *queries,
            self._multiples(pages.table_BP.shape[1]),
            pages.table_BP.flatten(),
            self._filled(PAGE_TOKENS),
            problem.heads,
            problem.kv_heads,
            problem.qk_dim,
            PAGE_TOKENS,
            **mask,
            q_data_type=problem.dtype,
            kv_data_type=problem.dtype,
            sm_scale=problem.scale,
        )

    def _latent(self, pages: Pages) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        problem = self.problem
        self._kernel.plan(
            self._multiples(problem.query_len),
            self._multiples(pages.table_BP.shape[1]),
            pages.table_BP.flatten(),
            self._filled(problem.seq_len),
            problem.heads,
            problem.v_dim,
            problem.qk_dim - problem.v_dim,
            PAGE_TOKENS,
            problem.needs_mask,
            problem.scale,
            problem.dtype,
            problem.dtype,
        )

        def attend(q_NHd: Tensor, latent: Tensor, rotary: Tensor) -> Tensor:
            q_parts = q_NHd.split((problem.v_dim, problem.qk_dim - problem.v_dim), dim=-1)
            o_NHv: Tensor = self._kernel.run(*q_parts, latent, rotary)
            return o_NHv

        return attend

    def _grouped(self, q_NHd: Tensor, k_pages: Tensor, v_pages: Tensor) -> Tensor:
        o_NHv: Tensor = self._kernel.run(q_NHd, (k_pages, v_pages))
        return o_NHv

    def _multiples(self, of: int) -> Tensor:
        """Return the begin of each sequence's part, and the end of the last."""
        return torch.arange(self.problem.batch + 1, dtype=torch.int32, device=self.problem.device) * of

    def _filled(self, with_: int) -> Tensor:
        return torch.full((self.problem.batch,), with_, dtype=torch.int32, device=self.problem.device)
