"""The package FlashInfer: grouped-query attention, and MLA at DeepSeek's widths, absorbed and in an expanded prefill.

Its decode kernels fuse the heads of a group and split the context, so they get up to 4 new tokens, as a server that
verifies drafts has them. Older versions plan one token a sequence only: there its FA2 kernel for prefill serves, which
does both too. The FA3 kernel, which it takes on Hopper where nothing is said, does neither.

Our cache is passed in pages without a copy (suite.attention.pages), and an expanded prefill's keys and values as they
are. How they lie is looked at once, and the kernel planned for it and compiled, before any call; the form in the record
names the kernel that the package then chose. Queries are copied where a layer's heads do not stand side by side in
memory.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from suite.attention.backends import needs
from suite.attention.pages import Pages, paged
from suite.attention.problem import Problem, ValueLayout
from suite.measure.workload import UnsupportedError

PAGE_TOKENS = 16
LATENT_PAGE_TOKENS = (64, 16)  # the first that divides the context: Blackwell's fast kernels read no smaller pages
WORKSPACE_BYTES = 128 << 20  # what its documentation recommends
HEAD_WIDTHS = (64, 128, 256)
LATENT_WIDTHS = (576, 512)
EXPANDED_WIDTHS = (192, 128)
MOST_DECODED = 4

Run = Callable[[Tensor, Tensor, Tensor], Tensor]


class FlashInfer(needs.PackagedBackend):
    name = "flashinfer"
    distribution = "flashinfer-python"

    def set_up(self, problem: Problem) -> None:
        import flashinfer

        # Zeros: some of its kernels count in the workspace, from what they find there.
        workspace = torch.zeros(WORKSPACE_BYTES, dtype=torch.uint8, device=problem.device)
        decode = flashinfer.BatchDecodeWithPagedKVCacheWrapper
        self._kernel: Any
        self._plan_for: Callable[[Tensor, Tensor], Run]
        if problem.value_layout is ValueLayout.PREFIX_OF_KEY:
            self._mla, self._workspace = flashinfer.mla, workspace
            self._plan_for = self._plan_latent
        elif problem.qk_dim != problem.v_dim:
            self._kernel, self._plan_for = (
                flashinfer.BatchPrefillWithRaggedKVCacheWrapper(workspace),
                self._plan_expanded,
            )
        elif problem.query_len == 1 or (problem.query_len <= MOST_DECODED and plans_several_tokens(decode)):
            # Matrix units are faster for large groups, says its documentation; without them it knows few sizes of
            # group, and one token.
            rows = problem.heads_per_group * problem.query_len
            self._kernel = decode(workspace, "HND", use_tensor_cores=rows > 1)
            self._plan_for = self._plan_decode
        else:
            splits = {"backend": "fa2"} if problem.query_len <= MOST_DECODED else {}
            self._kernel = flashinfer.BatchPrefillWithPagedKVCacheWrapper(workspace, "HND", **splits)
            self._plan_for = self._plan_append

    def check(self, problem: Problem) -> None:
        if problem.needs_gradient:
            raise UnsupportedError("flashinfer has no backward pass, which phase=train needs")
        needs.dtype(self.name, problem.dtype, (torch.bfloat16, torch.float16))
        widths, in_pages = (problem.qk_dim, problem.v_dim), True
        if problem.value_layout is ValueLayout.PREFIX_OF_KEY:
            if widths != LATENT_WIDTHS or problem.kv_heads != 1:
                raise UnsupportedError(
                    f"flashinfer needs one key-value head {LATENT_WIDTHS[0]} wide with a value of {LATENT_WIDTHS[1]} "
                    f"in it; got {problem.kv_heads} with keys {widths[0]} and values {widths[1]} wide"
                )
        elif problem.needs_mask and problem.is_prefill and widths == EXPANDED_WIDTHS:
            in_pages = False
        elif widths[0] != widths[1] or widths[0] not in HEAD_WIDTHS:
            raise UnsupportedError(
                f"flashinfer needs keys and values of one width, {', '.join(map(str, HEAD_WIDTHS))}, or in a prefill "
                f"of {EXPANDED_WIDTHS[0]} and {EXPANDED_WIDTHS[1]}; got {widths[0]} and {widths[1]}"
            )
        if in_pages and problem.seq_len % PAGE_TOKENS:
            raise UnsupportedError(
                f"flashinfer reads whole pages: seq_len must be a multiple of {PAGE_TOKENS}; got {problem.seq_len}"
            )
        needs.cuda(self.name, problem.device, (8, 0))
        needs.package(self.name, "flashinfer", self.distribution)

    def plan(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> None:
        """Plan the chosen kernel for keys and values that lie as these do, and keep the function that runs it."""
        self._run = self._plan_for(k_BGTd, v_BGTv)
        # The package has no public name for what it chose; "auto" stays where there was nothing to choose.
        chosen = getattr(self._kernel, "_backend", "auto")
        self.form = type(self._kernel).__name__ + ("" if chosen == "auto" else f", kernel {chosen}")

    def __call__(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> Tensor:
        problem = self.problem
        q_NHd = q_BHSd.transpose(1, 2).reshape(-1, problem.heads, problem.qk_dim)
        o_NHv = self._run(q_NHd, k_BGTd, v_BGTv)
        return o_NHv.view(problem.batch, problem.query_len, problem.heads, problem.v_dim).transpose(1, 2)

    def _plan_decode(self, k_BGTd: Tensor, v_BGTv: Tensor) -> Run:
        several = {"q_len_per_req": self.problem.query_len} if self.problem.query_len > 1 else {}
        return self._plan_pages(k_BGTd, **several)

    def _plan_append(self, k_BGTd: Tensor, v_BGTv: Tensor) -> Run:
        return self._plan_pages(k_BGTd, self._offsets(self.problem.query_len), causal=True)

    def _plan_pages(self, k_BGTd: Tensor, *queries: Tensor, **settings: int) -> Run:
        """Plan the kernel for the cache in pages. `queries`: their offsets, where the kernel takes them."""
        problem, pages = self.problem, paged(k_BGTd, PAGE_TOKENS)
        tables = (*queries, *self._page_tables(pages), self._per_sequence(PAGE_TOKENS))
        sizes = (problem.heads, problem.kv_heads, problem.qk_dim, PAGE_TOKENS)
        self._kernel.plan(*tables, *sizes, **settings, **self._dtypes_and_scale())

        def run(q_NHd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> Tensor:
            o_NHv: Tensor = self._kernel.run(q_NHd, (pages.view(k_BGTd), pages.view(v_BGTv)))
            return o_NHv

        return run

    def _plan_latent(self, k_BGTd: Tensor, v_BGTv: Tensor) -> Run:
        """Plan MLA's kernel, which reads values from the keys. Returns the function that runs it."""
        problem = self.problem
        page_tokens = next(tokens for tokens in LATENT_PAGE_TOKENS if problem.seq_len % tokens == 0)
        pages, parts = paged(k_BGTd, page_tokens), (problem.v_dim, problem.qk_dim - problem.v_dim)
        starts, all_pages = self._page_tables(pages)
        tables = {
            "qo_indptr": self._offsets(problem.query_len),
            "kv_indptr": starts,
            "kv_indices": all_pages,
            "kv_len_arr": self._per_sequence(problem.seq_len),
        }
        wrapper, takes_rows = self._mla.BatchMLAPagedAttentionWrapper, hasattr(self._mla, "MLAPlanMetadata")
        if takes_rows:
            # Its choice depends on whether Python launches each call or, as in a server and here, a graph does. Then
            # the tensors of the tables must stay, and some kernels read dense ones.
            self._kernel = wrapper(self._workspace, use_cuda_graph=True, **tables)
            dense = {
                "cum_seq_lens_q": tables["qo_indptr"],
                "block_tables": pages.table_BP,
                "seq_lens": tables["kv_len_arr"],
            }
            tables = {"metadata": self._mla.MLAPlanMetadata.dual(**tables, **dense, max_q_len=problem.query_len)}
        else:
            self._kernel = wrapper(self._workspace)
        self._kernel.plan(
            **tables,
            num_heads=problem.heads,
            head_dim_ckv=parts[0],
            head_dim_kpe=parts[1],
            page_size=page_tokens,
            causal=problem.needs_mask,
            **self._dtypes_and_scale(),
        )

        def run(q_NHd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> Tensor:
            """Run the planned kernel on all new tokens, N = batch · query_len; o_NHv."""
            rows = pages.view(k_BGTd)[:, 0]
            if takes_rows:
                inputs = {"query": q_NHd, "kv_cache": rows}
            else:
                (q_nope, q_pe), (latent, rotary) = (x.split(parts, dim=-1) for x in (q_NHd, rows))
                inputs = {"q_nope": q_nope, "q_pe": q_pe, "ckv_cache": latent, "kpe_cache": rotary}
            o_NHv: Tensor = self._kernel.run(**inputs)
            return o_NHv

        return run

    def _plan_expanded(self, k_BGTd: Tensor, v_BGTv: Tensor) -> Run:
        """Plan an expanded prefill's kernel. Returns the function that runs it. UnsupportedError for gaps in memory."""
        problem = self.problem
        for x_BGTd in (k_BGTd, v_BGTv):
            if problem.batch > 1 and x_BGTd.stride(0) != problem.seq_len * x_BGTd.stride(2):
                raise UnsupportedError(
                    "flashinfer needs each sequence's keys and values right behind those of the one before in an "
                    f"expanded prefill; the {problem.batch} sequences here have gaps between them"
                )
        starts, sizes = self._offsets(problem.seq_len), (problem.heads, problem.kv_heads, problem.qk_dim)
        self._kernel.plan(starts, starts, *sizes, head_dim_vo=problem.v_dim, causal=True, **self._dtypes_and_scale())

        def run(q_NHd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> Tensor:
            o_NHv: Tensor = self._kernel.run(q_NHd, *(x.transpose(1, 2).flatten(0, 1) for x in (k_BGTd, v_BGTv)))
            return o_NHv

        return run

    def _dtypes_and_scale(self) -> dict[str, Any]:
        dtype = self.problem.dtype
        return {"q_data_type": dtype, "kv_data_type": dtype, "sm_scale": self.problem.scale}

    def _page_tables(self, pages: Pages) -> tuple[Tensor, Tensor]:
        return self._offsets(pages.table_BP.shape[1]), pages.table_BP.flatten()

    def _offsets(self, length: int) -> Tensor:
        return torch.arange(self.problem.batch + 1, dtype=torch.int32, device=self.problem.device) * length

    def _per_sequence(self, length: int) -> Tensor:
        """`length` for each sequence, [batch], int32."""
        return torch.full((self.problem.batch,), length, dtype=torch.int32, device=self.problem.device)


def plans_several_tokens(decode_wrapper: Any) -> bool:
    """Whether this version's decode kernel takes several new tokens a sequence.

    `plan` takes any name and hands it on, so the signature of the method behind it decides.
    """
    planned_by = getattr(decode_wrapper, "_plan_impl", decode_wrapper.plan)
    return "q_len_per_req" in inspect.signature(planned_by).parameters
