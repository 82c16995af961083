"""The tensors of a checkpoint, one after another, under the names that transformers gives them.

GGUF is read as llama.cpp writes it for the Llama family: its quantised blocks become float32, and the rows of its query
and key weights, which it orders for a rotary embedding of neighbours, are put back for one of halves.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from suite.lm.checkpoint.folder import check_folder
from suite.lm.checkpoint.locate import Place
from suite.lm.checkpoint.weight_file import Stored, stored_in
from suite.measure.workload import UnsupportedError

GGUF_FAMILY = "llama"
_OF_MODEL = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_OF_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_BLOCK = re.compile(r"blk\.(\d+)\.(\w+)\.weight")


def tensors_of(place: Place) -> Iterator[tuple[str, Stored]]:
    """Names and tensors, in the precision that they are stored in. Raises UnsupportedError, in one sentence."""
    check_folder(place)
    files = place.weight_files()
    if not files:
        raise UnsupportedError(f"the checkpoint {place.name} has no safetensors")
    for path in files:
        yield from _of_gguf(path) if place.gguf else stored_in(path)


def _of_gguf(path: Path) -> Iterator[tuple[str, Stored]]:
    for name, weight in _dequantised(path):
        yield name, Stored(shape=tuple(weight.shape), read=lambda weight=weight: weight)  # type: ignore[misc]


def _dequantised(path: Path) -> Iterator[tuple[str, Tensor]]:
    from gguf import GGUFReader
    from gguf.quants import dequantize

    reader = GGUFReader(path)
    family = _field(reader, "general.architecture")
    if family != GGUF_FAMILY:
        raise UnsupportedError(f"{path.name} must be of the family {GGUF_FAMILY}; it is of {family}")
    heads = {
        "attn_q": _field(reader, f"{family}.attention.head_count"),
        "attn_k": _field(reader, f"{family}.attention.head_count_kv"),
    }
    for tensor in reader.tensors:
        weight = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        found = _BLOCK.fullmatch(tensor.name)
        if found and found[2] in _OF_BLOCK:
            if found[2] in heads:
                weight = _halves(weight, heads[found[2]])
            yield f"model.layers.{found[1]}.{_OF_BLOCK[found[2]]}.weight", weight
        else:
            name = tensor.name.removesuffix(".weight")
            yield (f"{_OF_MODEL[name]}.weight" if name in _OF_MODEL else tensor.name), weight


def _field(reader: Any, name: str) -> Any:
    return reader.fields[name].contents()


def _halves(weight: Tensor, heads: int) -> Tensor:
    """Rows in pairs of neighbours (2i, 2i + 1) as rows in pairs (i, i + d/2), within each head."""
    rows, width = weight.shape
    return weight.view(heads, rows // heads // 2, 2, width).transpose(1, 2).reshape(rows, width)
