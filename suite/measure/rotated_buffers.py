"""The same work on inputs that lie in different memory each time, so that no run finds its own in a cache.

Inside a CUDA graph nothing can flush between two runs. So the work rotates over as many copies of the inputs as
together hold five times the cache: when the first one comes again, the others have pushed it out. Inputs that exceed it
alone rotate too: a graph of one run would be timed with its own launch, and a plot over lengths would have a step where
the one kind of graph ends and the other begins.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

ROTATED_OVER_CACHE, FEWEST_OVER_CACHE = 5, 2
# Sets of inputs where memory allows, and runs in a graph, whose own launch then weighs a tenth.
LEAST_COPIES, LEAST_RUNS = 4, 10
MOST_COPIES = 512  # tiny inputs would need thousands, and a graph as long


@dataclass(frozen=True, kw_only=True)
class RotatedRuns:
    runs: Sequence[Callable[[], object]]
    """The same work, each on memory that the one before it did not read, and which it keeps."""
    copies: int = 1
    """Sets of inputs among them."""
    rotated_bytes: int = 0
    """Bytes that all copies hold where the runs rotate; 0 for a single run, which leaves flushing to others."""
    reads: Sequence[Tensor] = ()
    """Tensors that they read beside their own inputs: a graph of them needs their memory as long as it lives."""


def rotated(work: Callable[..., object], inputs: Sequence[Tensor], cache_bytes: int, most_bytes: int) -> RotatedRuns:
    """Runs of `work` on the inputs and copies of them that together hold ROTATED_OVER_CACHE times the cache, repeated
    up to LEAST_RUNS.

    There are LEAST_COPIES sets of inputs at least, as far as copies take no more than `most_bytes`. Where those that
    fit hold less than FEWEST_OVER_CACHE times the cache there is a single run, on the inputs themselves.
    """
    nbytes = read_bytes(inputs)
    wanted = max(LEAST_COPIES, math.ceil(ROTATED_OVER_CACHE * cache_bytes / nbytes))
    copies = min(wanted, MOST_COPIES, 1 + most_bytes // held_bytes(inputs))
    if copies == 1 or copies * nbytes < FEWEST_OVER_CACHE * cache_bytes:
        return RotatedRuns(runs=[functools.partial(work, *inputs)])
    sets = [inputs, *(copied(inputs) for _ in range(copies - 1))]
    runs = [functools.partial(work, *buffers) for buffers in sets] * math.ceil(LEAST_RUNS / copies)
    return RotatedRuns(runs=runs, copies=copies, rotated_bytes=copies * nbytes)


def copied(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Copies with the same strides that share memory exactly where the originals do, gaps included."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage() for tensor in tensors}
    copies = {pointer: storage.clone() for pointer, storage in storages.items()}
    return [
        torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(
            copies[tensor.untyped_storage().data_ptr()], tensor.storage_offset(), tensor.size(), tensor.stride()
        )
        for tensor in tensors
    ]


def read_bytes(tensors: Sequence[Tensor]) -> int:
    """Bytes that reading takes at least: of tensors that share memory, which may overlap, the largest only."""
    largest: dict[int, int] = {}
    for tensor in tensors:
        pointer = tensor.untyped_storage().data_ptr()
        largest[pointer] = max(largest.get(pointer, 0), tensor.numel() * tensor.element_size())
    return sum(largest.values())


def held_bytes(tensors: Sequence[Tensor]) -> int:
    """Bytes of the storages that the tensors lie in, gaps included, which is what a copy takes."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())
