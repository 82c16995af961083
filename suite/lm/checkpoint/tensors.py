"""The tensors of a checkpoint, one after another, under the names that transformers gives them.

safetensors checks what a file says of itself before a tensor is read, and runs nothing that lies in it.

GGUF is read as llama.cpp writes it for the Llama family: its quantised blocks become float32, and the rows of its query
and key weights, which it orders for a rotary embedding of neighbours, are put back for one of halves.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from suite.configuration.values import clipped
from suite.lm.checkpoint.locate import CheckpointFiles
from suite.measure.workload import UnsupportedError

TYPES = ("F64", "F32", "F16", "BF16")
"""Types that hold weights as they are. Others are of quantised models, which this decoder does not have."""
GGUF_FAMILY = "llama"
_MODEL_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_BLOCK_NAMES = {
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


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A tensor that is not read yet."""

    shape: tuple[int, ...]
    read: Callable[[], Tensor]


def stored_tensors(place: CheckpointFiles) -> Iterator[tuple[str, Stored]]:
    """Yield each tensor of a checkpoint by its name in transformers. Raises UnsupportedError, in one sentence."""
    files = place.weight_files()
    if not files:
        raise UnsupportedError(f"the checkpoint {place.name} has no safetensors files")
    for path in files:
        yield from _read_gguf(path) if place.gguf else stored_in(path)


def stored_in(path: Path) -> Iterator[tuple[str, Stored]]:
    """Yield names and tensors of a safetensors file. Raises UnsupportedError, in one sentence."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (it is no mapping)
                part = file.get_slice(name)
                if part.get_dtype() not in TYPES:
                    raise UnsupportedError(
                        f"{clipped(name)} of {path.name} is of type {part.get_dtype()}; weights must be "
                        f"{', '.join(TYPES)}"
                    )
                shape = tuple(part.get_shape())
                yield name, Stored(shape=shape, read=lambda name=name: file.get_tensor(name))  # type: ignore[misc]
    except OSError as error:
        raise UnsupportedError(f"{path.name} cannot be read ({error.strerror or error})") from error
    except SafetensorError as error:
        raise UnsupportedError(f"{path.name} is not a valid safetensors file ({clipped(str(error))})") from error


def _read_gguf(path: Path) -> Iterator[tuple[str, Stored]]:
    """Yield names and float32 tensors of a GGUF. Raises UnsupportedError for a family other than Llama's."""
    from gguf import GGUFReader
    from gguf.quants import dequantize

    reader = GGUFReader(path)
    family = reader.fields["general.architecture"].contents()
    if family != GGUF_FAMILY:
        raise UnsupportedError(f"{path.name} must be of the family {GGUF_FAMILY}; got {family}")
    heads = {
        "attn_q": reader.fields[f"{family}.attention.head_count"].contents(),
        "attn_k": reader.fields[f"{family}.attention.head_count_kv"].contents(),
    }
    for tensor in reader.tensors:
        weight = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        name, block = tensor.name.removesuffix(".weight"), _BLOCK.fullmatch(tensor.name)
        if block and block[2] in _BLOCK_NAMES:
            name = f"model.layers.{block[1]}.{_BLOCK_NAMES[block[2]]}.weight"
            if block[2] in heads:
                weight = _neighbours_to_halves(weight, heads[block[2]])
        else:
            name = f"{_MODEL_NAMES[name]}.weight" if name in _MODEL_NAMES else tensor.name
        yield name, Stored(shape=tuple(weight.shape), read=lambda weight=weight: weight)  # type: ignore[misc]


def _neighbours_to_halves(weight: Tensor, heads: int) -> Tensor:
    rows, width = weight.shape
    return weight.view(heads, rows // heads // 2, 2, width).transpose(1, 2).reshape(rows, width)
