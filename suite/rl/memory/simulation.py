"""What makes a step run that holds no values, and what a tracker cannot see by itself."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from suite.measure.memory_tracker import MemoryTracker
from suite.records.holdings import GATHERED


class Simulation(TorchDispatchMode):
    """Use within a tracker. Whoever asks a tensor for its value is told 1, so that a learner takes its norms and notes
    its losses as ever; and what autocast makes of a parameter is known as that."""

    def __init__(self, holdings: MemoryTracker) -> None:
        super().__init__()
        self._holdings = holdings
        self._owners: dict[int, str] = {}
        """Of parameters, by torch's address of their storage."""

    def know(self, parameters: Iterable[Tensor], owner: str) -> None:
        self._owners |= {parameter.untyped_storage()._cdata: owner for parameter in parameters}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            return 1.0 if args[0].is_floating_point() else 1
        made = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default:
            owner = self._owners.get(args[0].untyped_storage()._cdata)
            if owner is not None:
                self._holdings.label([made], owner, GATHERED)
        return made
