"""A file of safetensors, of which nothing is believed: https://github.com/huggingface/safetensors, "Format".

Eight bytes say how long the header is; the header is JSON and says of each tensor its type, its shape and where its
bytes lie behind the header, one after another and without a gap. All of that is checked before a tensor is read, so
that a file that was cut off, changed or made to harm is refused in a sentence, whatever its header asks for.
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from suite.lm.checkpoint.locate import shortened
from suite.measure.workload import UnsupportedError
from suite.records.strict_json import strict_json

TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""Those that hold weights as they are. Others are of quantised models, which this decoder does not have."""
MOST_HEADER_BYTES = 8 << 20
"""A tensor takes about 100. The format allows 100 MB, of which Python would make more than 1 GiB."""
MOST_DIMENSIONS = 8
_LENGTH_BYTES = 8
_METADATA = "__metadata__"


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


def stored_in(path: Path) -> Iterator[tuple[str, Stored]]:
    """Names and tensors. Raises UnsupportedError, in one sentence that names the file without its folder."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = _header(file, size)
            entries = [_entry(name, about) for name, about in header.items() if name != _METADATA]
            data = file.tell()
            _check_layout(entries, size - data)
            for entry in entries:
                yield entry.name, Stored(shape=entry.shape, read=lambda entry=entry: _read(file, data, entry))  # type: ignore[misc]
    except OSError as error:
        raise UnsupportedError(f"{path.name} cannot be read ({error.strerror or error})") from error
    except _MisstatedError as error:
        raise UnsupportedError(f"{path.name} is no whole file of safetensors: {error}") from error


class _MisstatedError(Exception):
    """What a file says of itself that cannot be so."""


def _header(file: IO[bytes], size: int) -> Mapping[str, Any]:
    if size < _LENGTH_BYTES:
        raise _MisstatedError(f"it has {size} bytes")
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    if length > min(size - _LENGTH_BYTES, MOST_HEADER_BYTES):
        raise _MisstatedError(
            f"its header would have {length} bytes, of at most {MOST_HEADER_BYTES} and a file of {size}"
        )
    try:
        header, _ = strict_json(file.read(length), most_values=MOST_HEADER_BYTES)
    except ValueError as error:
        raise _MisstatedError(f"its header {error}") from error
    if not isinstance(header, dict):
        raise _MisstatedError("its header names no tensors")
    return header


def _entry(name: str, about: Any) -> _Entry:
    match about:
        case {"dtype": str(kind), "shape": list(shape), "data_offsets": [begin, end]}:
            pass
        case _:
            raise _MisstatedError(f"of {shortened(name)} it does not say type, shape and place")
    if kind not in TYPES:
        raise _MisstatedError(f"{shortened(name)} is of type {shortened(kind)}, and weights are {', '.join(TYPES)}")
    if len(shape) > MOST_DIMENSIONS or not all(type(one) is int and one >= 0 for one in (*shape, begin, end)):
        raise _MisstatedError(f"shape and place of {shortened(name)} are no whole numbers of at least 0")
    if end - begin != math.prod(shape) * TYPES[kind].itemsize:
        raise _MisstatedError(f"{shortened(name)} has {end - begin} bytes, which is not its shape's size")
    return _Entry(name=name, dtype=TYPES[kind], shape=tuple(shape), begin=begin, end=end)


def _check_layout(entries: list[_Entry], size: int) -> None:
    """One behind the other, from the first byte to the last."""
    reached = 0
    for entry in sorted(entries, key=lambda entry: (entry.begin, entry.end)):
        if entry.begin != reached:
            raise _MisstatedError(
                f"{shortened(entry.name)} begins at {entry.begin}, and what is before it ends at {reached}"
            )
        reached = entry.end
    if reached != size:
        raise _MisstatedError(f"its tensors have {reached} bytes, and {size} lie behind the header")


def _read(file: IO[bytes], data: int, entry: _Entry) -> Tensor:
    tensor = torch.empty(entry.shape, dtype=entry.dtype)
    file.seek(data + entry.begin)
    taken = file.readinto(tensor.view(-1).view(torch.uint8).numpy()) if tensor.numel() else 0  # type: ignore[attr-defined]
    if taken != entry.end - entry.begin:
        raise _MisstatedError("it was cut off while it was read")
    return tensor
