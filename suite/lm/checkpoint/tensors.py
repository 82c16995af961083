"""The tensors of a checkpoint, one after another, under the names that transformers gives them.

Nothing that a file of safetensors says of itself is believed (https://github.com/huggingface/safetensors, "Format").
Eight bytes give the length of its header; the header is JSON and gives the type and shape of each tensor, and the place
of its bytes behind the header, one after another and without a gap. All of that is checked before a tensor is read, so
that a file that was cut off, changed or made to harm is refused in a sentence, whatever its header asks for.

GGUF is read as llama.cpp writes it for the Llama family: its quantised blocks become float32, and the rows of its query
and key weights, which it orders for a rotary embedding of neighbours, are put back for one of halves.
"""

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from suite.configuration.untrusted import parse_json
from suite.configuration.values import clipped
from suite.lm.checkpoint.folder import check_folder
from suite.lm.checkpoint.locate import CheckpointFiles
from suite.measure.workload import UnsupportedError

TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""Types that hold weights as they are. Others are of quantised models, which this decoder does not have."""
MOST_HEADER_BYTES = 8 << 20
"""A tensor takes about 100. The format allows 100 MB, of which Python would make more than 1 GiB."""
MOST_DIMENSIONS = 8
_LENGTH_BYTES = 8
_METADATA = "__metadata__"
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


@dataclass(frozen=True, kw_only=True)
class _Entry:
    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


def stored_tensors(place: CheckpointFiles) -> Iterator[tuple[str, Stored]]:
    """Yield each tensor of a checkpoint by its name in transformers. Raises UnsupportedError, in one sentence."""
    check_folder(place)
    files = place.weight_files()
    if not files:
        raise UnsupportedError(f"the checkpoint {place.name} has no safetensors files")
    for path in files:
        yield from _read_gguf(path) if place.gguf else stored_in(path)


def stored_in(path: Path) -> Iterator[tuple[str, Stored]]:
    """Yield names and tensors of a safetensors file, its header checked. Raises UnsupportedError, in one sentence."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = _read_header(file, size)
            entries = [_checked_entry(name, about) for name, about in header.items() if name != _METADATA]
            data = file.tell()
            _check_layout(entries, size - data)
            for entry in entries:
                yield entry.name, Stored(shape=entry.shape, read=lambda entry=entry: _read_tensor(file, data, entry))  # type: ignore[misc]
    except OSError as error:
        raise UnsupportedError(f"{path.name} cannot be read ({error.strerror or error})") from error
    except _MisstatedError as error:
        raise UnsupportedError(f"{path.name} is not a valid safetensors file: {error}") from error


class _MisstatedError(Exception):
    """A statement of a file about itself that cannot be so."""


def _read_header(file: IO[bytes], size: int) -> Mapping[str, Any]:
    """The JSON header of a safetensors file of `size` bytes; the file stands behind it. Raises _MisstatedError."""
    if size < _LENGTH_BYTES:
        raise _MisstatedError(f"it has {size} bytes")
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    if length > min(size - _LENGTH_BYTES, MOST_HEADER_BYTES):
        raise _MisstatedError(
            f"its header would have {length} bytes; at most {MOST_HEADER_BYTES} are read, and the file has {size}"
        )
    try:
        header, _ = parse_json(file.read(length), most_values=MOST_HEADER_BYTES)
    except ValueError as error:
        raise _MisstatedError(f"its header {error}") from error
    if not isinstance(header, dict):
        raise _MisstatedError("its header names no tensors")
    return header


def _checked_entry(name: str, about: Any) -> _Entry:
    """A tensor's type, shape and place from what the header says of it. Raises _MisstatedError for what cannot be."""
    match about:
        case {"dtype": str(kind), "shape": list(shape), "data_offsets": [begin, end]}:
            pass
        case _:
            raise _MisstatedError(f"its header lacks type, shape or place of {clipped(name)}")
    if kind not in TYPES:
        raise _MisstatedError(f"{clipped(name)} is of type {clipped(kind)}; weights must be {', '.join(TYPES)}")
    if len(shape) > MOST_DIMENSIONS or not all(type(size) is int and size >= 0 for size in (*shape, begin, end)):
        raise _MisstatedError(
            f"shape and place of {clipped(name)} must be whole numbers of at least 0, and a shape has at most "
            f"{MOST_DIMENSIONS} dimensions"
        )
    if end - begin != math.prod(shape) * TYPES[kind].itemsize:
        raise _MisstatedError(f"{clipped(name)} has {end - begin} bytes, which is not the size of its shape")
    return _Entry(name=name, dtype=TYPES[kind], shape=tuple(shape), begin=begin, end=end)


def _check_layout(entries: list[_Entry], size: int) -> None:
    """Raise _MisstatedError unless the tensors lie one behind the other, from the first byte to the last."""
    reached = 0
    for entry in sorted(entries, key=lambda entry: (entry.begin, entry.end)):
        if entry.begin != reached:
            raise _MisstatedError(
                f"{clipped(entry.name)} begins at byte {entry.begin}, but what is before it ends at {reached}"
            )
        reached = entry.end
    if reached != size:
        raise _MisstatedError(f"its tensors have {reached} bytes, but {size} lie behind the header")


def _read_tensor(file: IO[bytes], data: int, entry: _Entry) -> Tensor:
    """Read a tensor. `data`: where the header ends. Raises _MisstatedError if the file has become shorter."""
    tensor = torch.empty(entry.shape, dtype=entry.dtype)
    file.seek(data + entry.begin)
    bytes_read = file.readinto(tensor.view(-1).view(torch.uint8).numpy()) if tensor.numel() else 0  # type: ignore[attr-defined]
    if bytes_read != entry.end - entry.begin:
        raise _MisstatedError("it was cut off while it was read")
    return tensor


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
    """Reorder rows within each head, from pairs of neighbours (2i, 2i + 1) to pairs (i, i + d/2)."""
    rows, width = weight.shape
    return weight.view(heads, rows // heads // 2, 2, width).transpose(1, 2).reshape(rows, width)
