"""A second device without its hardware: tensors that were asked for on `cuda` lie on the CPU, and are known apart.

So code takes the branches that it takes on a GPU, and what no GPU would compute is noted: an operation on tensors of
both devices. What torch itself allows is let be: a single number of the host beside tensors of the device, rows picked
by indices of the host, and copies from one to the other.
"""

import traceback
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

HOST, DEVICE = torch.device("cpu"), torch.device("cuda", 0)
MAY_MIX = ("to", "copy_", "__getitem__", "__setitem__")


class SecondDevice(TorchFunctionMode):
    """A mode within which the device exists. `install` before it what torch would refuse without the hardware."""

    def __init__(self):
        super().__init__()
        self.mixed = set()
        """Operations on tensors of both devices, with the place in our code."""
        self._there = {}
        """Storages on the device, by torch's address of them; held, so that no address is used twice."""

    def put(self, made):
        """Know the tensors in this as lying on the device, and return it."""
        for tensor in _tensors((made,)):
            storage = tensor.untyped_storage()
            self._there[storage._cdata] = storage
        return made

    def has(self, tensor):
        return tensor.untyped_storage()._cdata in self._there

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.device:
            return func(*args, **kwargs)
        if func == Tensor.device.__get__:
            return DEVICE if self.has(args[0]) else HOST
        asked = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.device)]
        args = [HOST if isinstance(value, torch.device) else value for value in args]
        kwargs |= {name: HOST for name, value in kwargs.items() if isinstance(value, torch.device)}
        given = list(_tensors((*args, *kwargs.values())))
        there = [self.has(tensor) for tensor in given]
        left = [tensor for tensor, is_there in zip(given, there, strict=True) if not is_there and tensor.dim()]
        if left and any(there) and func.__name__ not in MAY_MIX:
            at = traceback.extract_stack(limit=2)[0]
            self.mixed.add(f"{func.__name__} at {at.filename.rpartition('/')[2]}:{at.lineno}")
        made = func(*args, **kwargs)
        if func.__name__ == "to" and asked and made is args[0]:
            made = made.clone()  # on two devices it would be a copy
        is_there = asked[-1].type == "cuda" if asked else any(there)
        return self.put(made) if is_there else made


def _tensors(values):
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
        elif isinstance(value, Mapping):
            yield from _tensors(value.values())


def install(mode, monkeypatch):
    """Let torch's generators, autocast and files take the device."""
    generator, autocast, load = torch.Generator, torch.autocast.__init__, torch.load

    class Generator(generator):
        def __new__(cls, device=HOST):
            return super().__new__(cls, HOST)

    def load_there(*args, map_location=None, **settings):
        loaded = load(*args, map_location=HOST, **settings)
        assert isinstance(loaded, Mapping)
        return mode.put(loaded) if torch.device(map_location).type == "cuda" else loaded

    monkeypatch.setattr(torch, "Generator", Generator)
    monkeypatch.setattr(torch.autocast, "__init__", lambda self, kind, **settings: autocast(self, "cpu", **settings))
    monkeypatch.setattr(torch, "load", load_there)
