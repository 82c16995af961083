"""The bytes that a backend keeps from one call to the next: masks, the parts of a split, a library's workspace.

They are allocated before a call, so that the allocator's peak of a call, which is above what was there before, has none
of them. Counted on the tensors that Python can reach from the backend: what a compiled extension keeps to itself is not
seen.
"""

from collections.abc import Iterable, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

import torch
from torch import Tensor

from suite.attention.problem import Backend

# Things with attributes that are everybody's, and not kept by a backend.
NO_OWNERS = (type, ModuleType, FunctionType, MethodType, BuiltinFunctionType)


def kept_bytes(backend: Backend, device: torch.device, *, besides: Iterable[Tensor] = ()) -> int:
    """Bytes of the storages on the device that a backend holds, without those of the given tensors."""
    other_storages = {tensor.untyped_storage()._cdata for tensor in besides}
    storages = {
        storage._cdata: storage.nbytes()
        for tensor in _tensors_below(backend)
        if tensor.device.type == device.type and (storage := tensor.untyped_storage())._cdata not in other_storages
    }
    return sum(storages.values())


def _tensors_below(owner: object) -> Iterable[Tensor]:
    waiting, seen = [owner], set[int]()
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, Tensor):
            yield thing
        elif isinstance(thing, Mapping):
            waiting += thing.values()
        elif isinstance(thing, list | tuple | set | frozenset):
            waiting += thing
        elif hasattr(thing, "__dict__") and not isinstance(thing, NO_OWNERS):
            waiting.append(vars(thing))
