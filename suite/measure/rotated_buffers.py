"""The same work on inputs that lie in different memory each time, so that no run finds its own in a cache.

Inside a CUDA graph nothing can flush between two runs. So the work rotates over as many copies of the inputs as
together exceed twice the cache: when the first one comes again, the others have pushed it out.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

MOST_COPIES = 512
"""Tiny inputs would need thousands, and a graph as long."""


@dataclass(frozen=True, kw_only=True)
class RotatedRuns:
    runs: Sequence[Callable[[], object]]
    """The same work, each on memory of its own, which it keeps."""
    rotated_bytes: int = 0
    """Bytes that the runs read together where they rotate; 0 for a single run, which leaves flushing to others."""


def rotated(work: Callable[..., object], inputs: Sequence[Tensor], least_bytes: int) -> RotatedRuns:
    """Return runs of `work` on the inputs and on as many copies as together hold `least_bytes`.

    There is a single run, on the inputs themselves, where they alone hold that much, or would take more than
    MOST_COPIES copies.
    """
    nbytes = read_bytes(inputs)
    count = math.ceil(least_bytes / nbytes)
    if not 1 < count <= MOST_COPIES:
        return RotatedRuns(runs=[functools.partial(work, *inputs)])
    sets = [inputs, *(copied(inputs) for _ in range(count - 1))]
    return RotatedRuns(runs=[functools.partial(work, *buffers) for buffers in sets], rotated_bytes=count * nbytes)


def copied(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return copies with the same strides that share memory exactly where the originals do, gaps included."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage() for tensor in tensors}
    copies = {pointer: storage.clone() for pointer, storage in storages.items()}
    return [
        torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(
            copies[tensor.untyped_storage().data_ptr()], tensor.storage_offset(), tensor.size(), tensor.stride()
        )
        for tensor in tensors
    ]


def read_bytes(tensors: Sequence[Tensor]) -> int:
    """Return the least bytes that are read: of tensors that share memory the largest alone, as they may overlap."""
    largest: dict[int, int] = {}
    for tensor in tensors:
        pointer = tensor.untyped_storage().data_ptr()
        largest[pointer] = max(largest.get(pointer, 0), tensor.numel() * tensor.element_size())
    return sum(largest.values())
