"""torch's scaled_dot_product_attention in the form that keeps its fast kernel and reads the cache once.

One rule: query heads that share a key-value head are folded together, the value is a view as wide as the key (absorbed
MLA passes the latent as both and keeps the first columns of the result; expanded MLA a window that ends with the value
and keeps the last ones), the scale is explicit. Torch's flash kernels, on CPUs and on CUDA devices, want that width;
the others do not, and where they are called by name they get the value as it is. In decoding the heads become query
rows; in a prefill, where rows must stay in order for the causal mask, they become heads over one key-value head that
is expanded without a copy; a window's mask is one for all heads, and nothing is left out for it.

In bfloat16 a single query row a head, which is MHA's decoding, is slow where MKL has no bfloat16 instructions to use:
4.7 times as slow as the same row passed twice, while elsewhere passing it twice takes 2.2 times as long. A probe
decides, once a process, and the record says what it chose.
"""

import functools
import time
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.attention.problem import Backend, Problem, ValueLayout
from suite.measure.workload import UnsupportedError


class SdpaFolded(Backend):
    name = "sdpa_folded"
    computes = frozenset({"window", "ragged"})
    widens: ClassVar[bool] = True
    """Its kernel wants a value as wide as the key."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._attend = self._prefill if problem.is_prefill and problem.needs_mask else self._decode
        self._mask_11RT = None
        if problem.needs_mask and (not problem.is_prefill or problem.window is not None):
            # In a prefill heads are no rows, and share the mask.
            times = 1 if problem.is_prefill else problem.heads_per_group
            # One for all sequences, or one for each where they differ in length.
            self._mask_11RT = (
                problem.visible_keys().view(-1, 1, problem.query_len, problem.seq_len).repeat(1, 1, times, 1)
            )
        self._twice = self._has_one_row(problem) and twice_is_faster(problem.dtype)
        if self._has_one_row(problem):
            self.form = "the one query row a head is passed " + ("twice" if self._twice else "once")

    @staticmethod
    def _has_one_row(problem: Problem) -> bool:
        rows = problem.heads_per_group * problem.query_len
        return rows == 1 and problem.dtype is torch.bfloat16 and problem.device.type == "cpu"

    @classmethod
    def fits(cls, problem: Problem) -> bool:
        """True if the kernel takes the value: as it is, or as a view as wide as the key."""
        if not cls.widens:
            return True
        if problem.value_layout is ValueLayout.SEPARATE:
            return problem.qk_dim == problem.v_dim
        return problem.qk_dim >= problem.v_dim

    def check(self, problem: Problem) -> None:
        if not self.fits(problem):
            raise UnsupportedError(
                f"{self.name} needs a value as wide as the key, or no wider and in one buffer with it; "
                f"got widths {problem.v_dim} and {problem.qk_dim}, the value {problem.value_layout.value}"
            )

    def __call__(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> Tensor:
        return self._attend(q_BHSd, k_BGTd, self._as_wide_as_the_key(k_BGTd, v_BGTv))

    def _as_wide_as_the_key(self, k_BGTd: Tensor, v_BGTv: Tensor) -> Tensor:
        """The value, as a view as wide as the key where the kernel needs that, with its own columns first or last."""
        if not self.widens or self.problem.value_layout is ValueLayout.SEPARATE:
            return v_BGTv
        if self.problem.value_layout is not ValueLayout.SUFFIX_OF_BUFFER:
            return k_BGTd
        before = self.problem.qk_dim - self.problem.v_dim
        size = (*v_BGTv.shape[:-1], self.problem.qk_dim)
        return v_BGTv.as_strided(size, v_BGTv.stride(), v_BGTv.storage_offset() - before)

    def _cut(self, o: Tensor) -> Tensor:
        """The value's own columns of the kernel's result `o`, which may be as wide as the key."""
        if not self.widens:
            return o
        before, v_dim = self.problem.qk_dim - self.problem.v_dim, self.problem.v_dim
        if self.problem.value_layout is ValueLayout.SUFFIX_OF_BUFFER:
            return o[..., before:]
        if self.problem.value_layout is ValueLayout.ENDS_OF_KEY:
            first, second = o.reshape(self.problem.batch, 2, -1, self.problem.qk_dim).unbind(1)
            return torch.stack((first[..., :v_dim], second[..., before:]), dim=1)
        return o[..., :v_dim]

    def _decode(self, q_BHSd: Tensor, k_BGTd: Tensor, wide_BGTd: Tensor) -> Tensor:
        """o_BHSv with a group's heads folded into query rows. `wide_BGTd`: the value as wide as the kernel wants it."""
        problem = self.problem
        q_BGRd = q_BHSd.reshape(problem.batch, problem.kv_heads, -1, problem.qk_dim)
        if self._twice:
            q_BGRd = q_BGRd.repeat(1, 1, 2, 1)
        o_BGRd = F.scaled_dot_product_attention(
            q_BGRd, k_BGTd, wide_BGTd, attn_mask=self._mask_11RT, scale=problem.scale
        )
        o_BGRv = self._cut(o_BGRd[:, :, :1] if self._twice else o_BGRd)
        return o_BGRv.reshape(problem.batch, problem.heads, problem.query_len, problem.v_dim)

    def _prefill(self, q_BHSd: Tensor, k_BGTd: Tensor, wide_BGTd: Tensor) -> Tensor:
        """o_BHSv with each group as a sequence of its own, whose heads share one key-value head."""
        problem = self.problem
        q_NRSd = q_BHSd.reshape(-1, problem.heads_per_group, problem.query_len, problem.qk_dim)
        o_NRSd = F.scaled_dot_product_attention(
            q_NRSd,
            self._repeat_under_heads(k_BGTd),
            self._repeat_under_heads(wide_BGTd),
            attn_mask=self._mask_11RT,
            is_causal=self._mask_11RT is None,
            scale=problem.scale,
        )
        return self._cut(o_NRSd).reshape(problem.batch, problem.heads, problem.query_len, problem.v_dim)

    def _repeat_under_heads(self, x_BGTd: Tensor) -> Tensor:
        """A group as a sequence, its head repeated for each query head without a copy: [B · G, H / G, T, d]."""
        return x_BGTd.flatten(0, 1)[:, None].expand(-1, self.problem.heads_per_group, -1, -1)


PROBE_HEADS, PROBE_KEYS, PROBE_WIDTH, PROBE_TRIES = 8, 1024, 128, 5


@functools.cache
def twice_is_faster(dtype: torch.dtype) -> bool:
    """Time it once: True if this CPU attends faster with two equal query rows for each head than with one."""
    k, v = (torch.zeros(1, PROBE_HEADS, PROBE_KEYS, PROBE_WIDTH, dtype=dtype) for _ in range(2))
    fastest_s = []
    with torch.inference_mode():
        for rows in (1, 2):
            q = torch.zeros(1, PROBE_HEADS, rows, PROBE_WIDTH, dtype=dtype)
            F.scaled_dot_product_attention(q, k, v)
            times_s = []
            for _ in range(PROBE_TRIES):
                start = time.perf_counter()
                F.scaled_dot_product_attention(q, k, v)
                times_s.append(time.perf_counter() - start)
            fastest_s.append(min(times_s))
    return fastest_s[1] < fastest_s[0]
