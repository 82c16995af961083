"""Compile the Triton decode kernel for an H100, which needs none, and print what the compiler says as JSON.

A process of its own: where TRITON_INTERPRET=1 is set, nothing is compiled.
"""

import json
import re
from dataclasses import replace

import torch
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

from suite.attention import triton_decode
from suite.attention.backends.triton import JOINED_COLUMNS, SPLITS_AT_ONCE, constants
from suite.attention.problem import Problem, ValueLayout
from suite.attention.triton_launch import Chip, launch_for

H100, TARGET = Chip(multiprocessors=132, shared_bytes=227 << 10), GPUTarget("cuda", 90, 32)
POINTERS = {torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.float32: "*fp32"}
GQA_8 = Problem(
    batch=1,
    heads=128,
    kv_heads=8,
    query_len=1,
    seq_len=16384,
    qk_dim=128,
    v_dim=128,
    value_layout=ValueLayout.SEPARATE,
    scale=0.09,
    dtype=torch.bfloat16,
    device=torch.device("cuda"),
)
ABSORBED = replace(GQA_8, kv_heads=1, qk_dim=576, v_dim=512, value_layout=ValueLayout.PREFIX_OF_KEY)
PROBLEMS = {
    "MHA": replace(GQA_8, kv_heads=128),
    "GQA-8": GQA_8,
    "MQA": replace(GQA_8, kv_heads=1),
    "MLA expanded": replace(GQA_8, kv_heads=128, qk_dim=192, value_layout=ValueLayout.SUFFIX_OF_BUFFER),
    "MLA absorbed, 16 heads": replace(ABSORBED, heads=16),
    "MLA absorbed, 32 heads": replace(ABSORBED, heads=32, dtype=torch.float16),
    "MLA absorbed, 128 heads": ABSORBED,
    "MLA absorbed, 128 heads, 4 new tokens": replace(ABSORBED, query_len=4),
    "keys of 256": replace(GQA_8, kv_heads=1, qk_dim=256, v_dim=256),
    "keys of 512": replace(GQA_8, kv_heads=1, qk_dim=512, v_dim=512),
    "GQA-8, float32": replace(GQA_8, dtype=torch.float32),
    "MLA absorbed, float32": replace(ABSORBED, dtype=torch.float32),
}


JOINED = {"VALUE": 512, "COLUMN_BLOCK": JOINED_COLUMNS, "SPLITS_AT_ONCE": SPLITS_AT_ONCE}


def attending(problem):
    launch = launch_for(problem, H100)
    fixed = {**constants(problem, launch), "AS_FLOAT": False, "q_stride_d": 1, "k_stride_d": 1, "v_stride_d": 1}
    # Triton takes a whole number that is 1 as a constant.
    rows = problem.heads_per_group * problem.query_len
    counts = {"rows": rows, "kv_heads": problem.kv_heads, "pairs": problem.batch * problem.kv_heads}
    fixed |= {name: 1 for name, count in counts.items() if count == 1}
    types = dict.fromkeys(("q_ptr", "k_ptr", "v_ptr"), POINTERS[problem.dtype])
    types |= {"part_ptr": "*fp32", "part_lse_ptr": "*fp32", "scale_log2": "fp32"}
    kernel = compiled(triton_decode.attend_split, fixed, types, num_warps=launch.warps, num_stages=launch.stages)
    return {**said_of(kernel), "row_block": launch.row_block, "branches": launch.branches}


def joining(dtype):
    types = {"part_ptr": "*fp32", "part_lse_ptr": "*fp32", "o_ptr": POINTERS[dtype]}
    return {**said_of(compiled(triton_decode.join_splits, JOINED, types)), "row_block": None, "branches": False}


def compiled(function, fixed, types, **options):
    names = function.arg_names
    signature = {name: "constexpr" if name in fixed else types.get(name, "i32") for name in names}
    aligned = [name for name in names if name not in fixed and ("_ptr" in name or "stride" in name)]
    source = ASTSource(
        function,
        signature,
        {(names.index(name),): value for name, value in fixed.items()},
        {(names.index(name),): [["tt.divisibility", 16]] for name in aligned},
    )
    return compile(source, target=TARGET, options=options)


def said_of(kernel):
    return {
        "shared_bytes": kernel.metadata.shared,
        "wide_products": len(re.findall(r"wgmma\.mma_async", kernel.asm["ptx"])),
        "products": len(re.findall(r"mma\.sync", kernel.asm["ptx"])),
        "warps_of_products": re.findall(r"nvidia_mma<.*?warpsPerCTA = (\[.*?\])", kernel.asm["ttgir"]),
    }


if __name__ == "__main__":
    said = {name: attending(problem) for name, problem in PROBLEMS.items()}
    print(json.dumps({**said, "joining": joining(torch.bfloat16)}))
