"""The same work on inputs that lie in different memory each time, so that no run finds its own in a cache.

Inside a CUDA graph nothing can flush between two runs. So as many copies of the inputs as together exceed twice the
cache take turns: when the first one's turn comes again, the others have pushed it out.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

MOST_TURNS = 512
"""Tiny inputs would need thousands, and a graph as long."""


@dataclass(frozen=True, kw_only=True)
class Turns:
    runs: Sequence[Callable[[], object]]
    """The same work, each on memory of its own, which it keeps."""
    rotated_bytes: int = 0
    """What the runs read together where they rotate; 0 for a single run, which leaves flushing to others."""


def rotated(work: Callable[..., object], inputs: Sequence[Tensor], least_bytes: int) -> Turns:
    """`work` on the inputs and on as many copies as together hold `least_bytes`.

    A single run, on the inputs themselves, where they alone hold that much, or would take more than MOST_TURNS copies.
    """
    nbytes = read_bytes(inputs)
    count = math.ceil(least_bytes / nbytes)
    if not 1 < count <= MOST_TURNS:
        return Turns(runs=[lambda: work(*inputs)])
    sets = [inputs, *(copied(inputs) for _ in range(count - 1))]
    return Turns(runs=[_bound(work, one) for one in sets], rotated_bytes=count * nbytes)


def copied(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Copies with the same strides that share memory exactly where the originals do, what lies between included."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage() for tensor in tensors}
    copies = {pointer: storage.clone() for pointer, storage in storages.items()}
    return [
        torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(
            copies[tensor.untyped_storage().data_ptr()], tensor.storage_offset(), tensor.size(), tensor.stride()
        )
        for tensor in tensors
    ]


def read_bytes(tensors: Sequence[Tensor]) -> int:
    """What is read of them at least: of tensors that share memory the largest alone, as they may overlap."""
    largest: dict[int, int] = {}
    for tensor in tensors:
        pointer = tensor.untyped_storage().data_ptr()
        largest[pointer] = max(largest.get(pointer, 0), tensor.numel() * tensor.element_size())
    return sum(largest.values())


def _bound(work: Callable[..., object], inputs: Sequence[Tensor]) -> Callable[[], object]:
    return lambda: work(*inputs)
