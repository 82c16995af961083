"""A kernel of attention and its batches as flashinfer-bench describes them: definitions and workloads.

A definition names a kernel's constant and variable axes, its inputs, its outputs, and code that computes them. A
workload gives the variable axes of one batch, and its tables of pages. The schema:
https://bench.flashinfer.ai/docs/flashinfer-trace
"""

import json
import math
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy

from suite.theory.layers.attention_plan import AttentionPlan
from suite.theory.layers.latent_shapes import AbsorbedShape
from suite.theory.layers.shapes import GroupedShape

OPS = ("gqa_paged", "gqa_ragged", "mla_paged")
DTYPES = ("float32", "bfloat16", "float16")
LETTERS = {
    "num_qo_heads": "h",
    "num_kv_heads": "kv",
    "head_dim": "d",
    "head_dim_ckv": "ckv",
    "head_dim_kpe": "kpe",
    "page_size": "ps",
}
"""A constant axis in the name of a definition."""
REFERENCE = "suite.attention.trace_reference"
CALLS = {
    "gqa": "attend(q, k_cache, v_cache, {tables})",
    "mla": "attend(torch.cat((q_nope, q_pe), -1), torch.cat((ckv_cache, kpe_cache), -1)[:, :, None], "
    "ckv_cache[:, :, None], {tables})",
}


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """What a definition fixes: the sizes of its constant axes by name, among them `page_size` where there are pages."""

    op: str
    sizes: Mapping[str, int]
    dtype: str

    @property
    def kind(self) -> str:
        """`gqa` or `mla`."""
        return self.op.partition("_")[0]

    def settings(self) -> list[str]:
        """The settings of `suite run` that measure this kernel."""
        sizes = self.sizes
        heads = sizes["num_qo_heads"]
        named = [f"geometry.num_heads={heads}", f"dtype={self.dtype}", f"page_size={sizes.get('page_size', 'null')}"]
        if self.kind == "mla":
            latent, rotary = sizes["head_dim_ckv"], sizes["head_dim_kpe"]
            return ["attention=mla", f"attention.kv_lora_rank={latent}", f"attention.qk_rope_head_dim={rotary}", *named]
        groups = sizes["num_kv_heads"]
        variant = {heads: ["mha"], 1: ["mqa"]}.get(groups, ["gqa", f"attention.kv_heads={groups}"])
        return ["attention=" + variant[0], *variant[1:], f"geometry.head_dim={sizes['head_dim']}", *named]


def kernel_of(plan: AttentionPlan) -> Kernel | None:
    """The kernel of a plan in this format; None where it has none."""
    shape = plan.shape if plan.refusal is None else None
    if plan.phase != "decode" or plan.forward.cache_dtype or plan.dtype not in DTYPES:
        return None
    sizes: dict[str, int]
    if isinstance(shape, GroupedShape) and shape.is_plain and not (shape.sinks or shape.is_shared):
        op, sizes = "gqa_paged", {"num_kv_heads": shape.kv_heads, "head_dim": shape.head_dim}
    elif isinstance(shape, AbsorbedShape) and shape.is_plain and shape.latent_heads == 1:
        op, sizes = "mla_paged", {"head_dim_ckv": shape.kv_lora_rank, "head_dim_kpe": shape.qk_rope_head_dim}
    else:
        return None
    return Kernel(
        op=op, sizes={"num_qo_heads": shape.num_heads, **sizes, "page_size": plan.page_size or 1}, dtype=plan.dtype
    )


def definition_of(kernel: Kernel, *, is_decode: bool) -> dict[str, Any]:
    """The definition of a kernel, under the name that flashinfer-bench's own have where the dtype is theirs."""
    sizes, tokens = kernel.sizes, "batch_size" if is_decode else "total_q"
    stage = "decode" if is_decode else "prefill_causal"
    dtype = [] if kernel.dtype == "bfloat16" else [kernel.dtype]
    name = "_".join([kernel.op, stage, *(f"{LETTERS[axis]}{size}" for axis, size in sizes.items()), *dtype])
    tables = {"qo_indptr": "len_indptr", "kv_indptr": "len_indptr", "kv_indices": "num_kv_indices"}
    if is_decode:
        del tables["qo_indptr"]
    if sizes["page_size"] > 1:
        tables["kv_last_page_len"] = "batch_size"
    heads, pages = [tokens, "num_qo_heads"], ["num_pages", "page_size"]
    if kernel.kind == "gqa":
        value, row = "head_dim", [*pages, "num_kv_heads", "head_dim"]
        shapes = {"q": [*heads, "head_dim"], "k_cache": row, "v_cache": row}
    else:
        value = latent = "head_dim_ckv"
        rotary = "head_dim_kpe"
        shapes = {"q_nope": [*heads, latent], "q_pe": [*heads, rotary]}
        shapes |= {"ckv_cache": [*pages, latent], "kpe_cache": [*pages, rotary]}
    inputs: dict[str, Any] = {tensor: {"shape": shape, "dtype": kernel.dtype} for tensor, shape in shapes.items()}
    inputs |= {table: {"shape": [axis], "dtype": "int32"} for table, axis in tables.items()}
    inputs["sm_scale"] = {"shape": None, "dtype": "float32"}
    variable = {axis for tensor in inputs.values() for axis in tensor["shape"] or ()} - {*sizes}
    return {
        "name": name,
        "op_type": kernel.op,
        "tags": [f"stage:{stage.partition('_')[0]}", "status:reference"],
        "axes": {axis: {"type": "const", "value": size} for axis, size in sizes.items()}
        | {axis: {"type": "var"} for axis in sorted(variable)},
        "inputs": inputs,
        "outputs": {
            "output": {"shape": [*heads, value], "dtype": kernel.dtype},
            "lse": {"shape": heads, "dtype": "float32"},
        },
        "reference": _reference(kernel, [*inputs], [*tables, "sm_scale"]),
    }


def _reference(kernel: Kernel, inputs: Sequence[str], tables: Sequence[str]) -> str:
    """Python code whose `run` takes a definition's inputs and returns its outputs."""
    spec = find_spec(REFERENCE)
    assert spec is not None
    assert spec.origin is not None
    call = CALLS[kernel.kind].format(tables=", ".join(f"{table}={table}" for table in tables))
    return f"{Path(spec.origin).read_text()}\n\ndef run({', '.join(inputs)}):\n    return {call}\n"


def workload_of(
    definition: Mapping[str, Any], kernel: Kernel, plan: AttentionPlan
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A line of workloads, and its tables by name."""
    name, inputs, page_size = definition["name"], definition["inputs"], kernel.sizes["page_size"]
    sequences = [group for group in plan.sequences for _ in range(group.count)]
    counts = [math.ceil(each.seq_len / page_size) for each in sequences]
    pages = list(range(sum(counts)))
    if plan.page_size:
        random.Random(plan.seed).shuffle(pages)
    columns = {
        "qo_indptr": [0, *accumulate(each.query_len for each in sequences)],
        "kv_indptr": [0, *accumulate(counts)],
        "kv_indices": pages,
        "kv_last_page_len": [(each.seq_len - 1) % page_size + 1 for each in sequences],
    }
    tables = {table: numpy.array(column, "int32") for table, column in columns.items() if table in inputs}
    identity = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([name, columns]))
    blob = f"blob/workloads/{kernel.op}/{name}/{identity}.safetensors"
    sources: dict[str, Any] = {tensor: {"type": "safetensors", "path": blob, "tensor_key": tensor} for tensor in tables}
    scale = plan.shape.rope.score_factor / math.sqrt(
        plan.shape.qk_head_dim if isinstance(plan.shape, AbsorbedShape) else plan.shape.qk_dim
    )
    sources["sm_scale"] = {"type": "scalar", "value": scale}
    axes = {
        "batch_size": len(sequences),
        "total_q": columns["qo_indptr"][-1],
        "num_pages": len(pages),
        "len_indptr": len(sequences) + 1,
        "num_kv_indices": len(pages),
    }
    workload = {
        "uuid": str(identity),
        "axes": {axis: size for axis, size in axes.items() if axis in definition["axes"]},
        "inputs": {tensor: sources.get(tensor, {"type": "random"}) for tensor in inputs},
    }
    return {"definition": name, "workload": workload, "solution": None, "evaluation": None}, tables
