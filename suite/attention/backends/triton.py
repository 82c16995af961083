"""The suite's own decode kernel for every variant; `suite.attention.triton_decode` says how it works and why.

Runs on CUDA devices, and under Triton's interpreter (TRITON_INTERPRET=1) on a CPU, where it is right and no more: the
interpreter's times say nothing.
"""

import math
import os
from typing import Any

import torch
from torch import Tensor

from suite.attention.backends import needs
from suite.attention.problem import Backend, Problem, ValueLayout
from suite.attention.triton_launch import WIDEST, Chip, Launch, key_parts, launch_for, power_of_two
from suite.measure.workload import UnsupportedError

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# Small, so that a test's few programs are split.
INTERPRETED_CHIP = Chip(generation=9, multiprocessors=4, shared_bytes=227 << 10)
JOINED_COLUMNS, SPLITS_AT_ONCE = 128, 16  # columns of a part and parts of a row that the joining kernel holds at once


class Triton(Backend):
    name = "triton"
    computes = frozenset({"ragged", "pages"})

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        from suite.attention import triton_decode

        self._kernels = triton_decode
        self._is_interpreted = problem.device.type == "cpu"
        self.launch = launch = launch_for(problem, INTERPRETED_CHIP if self._is_interpreted else _chip(problem.device))
        self.form = f"{launch}; interpreted" if self._is_interpreted else str(launch)
        rows = problem.batch * problem.heads * problem.query_len
        self._part_lse = torch.empty(launch.splits, rows, dtype=torch.float32, device=problem.device)
        self._lengths_B = None
        if problem.lengths is not None:
            self._lengths_B = torch.tensor(problem.lengths, dtype=torch.int32, device=problem.device)
        self._part = None
        if launch.splits > 1:
            self._part = torch.empty(launch.splits, rows, problem.v_dim, dtype=torch.float32, device=problem.device)

    def check(self, problem: Problem) -> None:
        needs.decoding(self.name, problem)
        needs.dtype(self.name, problem.dtype, DTYPES)
        if max(*key_parts(problem), problem.v_dim) > WIDEST:
            raise UnsupportedError(
                f"triton supports values and parts of a key up to {WIDEST} wide; "
                f"got a key of {problem.qk_dim} and a value of {problem.v_dim}"
            )
        if problem.device.type != "cpu":
            needs.cuda(self.name, problem.device, (8, 0))
        elif os.environ.get("TRITON_INTERPRET") != "1":
            raise UnsupportedError(
                "triton runs on CUDA devices; on a CPU it needs Triton's interpreter: set TRITON_INTERPRET=1"
            )
        needs.package(self.name, "triton", "triton")

    def autotuned(self, *inputs: Tensor) -> Backend:
        with needs.explained("triton cannot compile or run its kernel for this problem"), torch.inference_mode():
            self(*inputs)
        return self

    def __call__(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor, table_BP: Tensor | None = None) -> Tensor:
        problem, launch = self.problem, self.launch
        unused = self._part_lse  # stands where the kernel reads neither lengths nor pages
        rows, pairs = problem.heads_per_group * problem.query_len, problem.batch * problem.kv_heads
        o_BHSv = q_BHSd.new_empty(problem.batch, problem.heads, problem.query_len, problem.v_dim)
        part = o_BHSv if self._part is None else self._part
        self._kernels.attend_split[math.ceil(rows / launch.row_block) * pairs, launch.splits](
            q_BHSd,
            k_BGTd,
            v_BGTv,
            part,
            self._part_lse,
            unused if self._lengths_B is None else self._lengths_B,
            unused if table_BP is None else table_BP,
            problem.scale * math.log2(math.e),
            problem.seq_len,
            1 if table_BP is None else table_BP.shape[1],
            launch.keys_per_split,
            rows,
            problem.kv_heads,
            pairs,
            *q_BHSd.stride(),
            *k_BGTd.stride(),
            *v_BGTv.stride(),
            **constants(problem, launch),
            AS_FLOAT=self._is_interpreted,
            num_warps=launch.warps,
            num_stages=launch.stages,
        )
        if self._part is not None:
            columns = min(JOINED_COLUMNS, power_of_two(problem.v_dim))
            self._kernels.join_splits[rows * pairs, math.ceil(problem.v_dim / columns)](
                part,
                self._part_lse,
                o_BHSv,
                launch.splits,
                VALUE=problem.v_dim,
                COLUMN_BLOCK=columns,
                SPLITS_AT_ONCE=SPLITS_AT_ONCE,
            )
        return o_BHSv


def constants(problem: Problem, launch: Launch) -> dict[str, int | bool]:
    """Compile-time constants of `attend_split`, by the names of its parameters."""
    return {
        "RAGGED": problem.lengths is not None,
        "PAGE": problem.page_size or 0,
        "MAY_SEE_NOTHING": problem.query_len > 1 or problem.lengths is not None,  # a row, in a split
        "QUERY_LEN": problem.query_len,
        "FIRST": launch.first,
        "REST": launch.rest,
        "VALUE": problem.v_dim,
        "FIRST_BLOCK": power_of_two(launch.first),
        "REST_BLOCK": power_of_two(launch.rest) if launch.rest else 0,
        "VALUE_BLOCK": power_of_two(problem.v_dim),
        "VALUE_IN_KEY": problem.value_layout is ValueLayout.PREFIX_OF_KEY,
        "ROW_BLOCK": launch.row_block,
        "KEY_BLOCK": launch.key_block,
        "BRANCH": launch.branches,
    }


def _chip(device: torch.device) -> Chip:
    """Generation, multiprocessors and shared memory of a CUDA device: torch's answer, since Triton's driver compiles C
    to give one."""
    properties: Any = torch.cuda.get_device_properties(device)  # whose types lack a field before torch 2.15
    return Chip(
        generation=properties.major,
        multiprocessors=properties.multi_processor_count,
        shared_bytes=properties.shared_memory_per_block_optin,
    )
