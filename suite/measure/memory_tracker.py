"""A tracker of memory by owner and kind, from moment to moment: every storage that torch makes is seen, and labelled.

A dispatch mode sees each operator's outputs, so it counts what stays in Python's or autograd's hands, to the byte, also
of fake tensors, which hold nothing. Memory that an operator takes and gives back within itself is not seen.

Labels come from the code that runs: `attribute_to` names whose work is done and what it makes. A storage has one label
for life, the last one that it was given, since its kind may show later only: a gradient when it reaches its parameter.
So events are kept, and peaks are read from them at the end.
"""

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from suite.records.holdings import GRADIENTS, NOBODY, OTHER

Label = tuple[str, str]  # owner and kind
OwnedTensors = tuple[Sequence[Tensor], str, str]  # tensors, whose they are, and as what
_now: list[Label] = [(NOBODY, OTHER)]


@contextmanager
def attribute_to(owner: str | None = None, kind: str | None = None) -> Iterator[None]:
    """Label the storages made inside with this owner and kind; None leaves that of an outer scope."""
    outer_owner, outer_kind = _now[-1]
    _now.append((owner or outer_owner, kind or outer_kind))
    try:
        yield
    finally:
        _now.pop()


class BackwardScope:
    """A label for a part of the backward pass, which runs elsewhere than its code: storages are of this kind from the
    gradient of `enters`' tensor on, until the gradient of `leaves`' tensor is there. Both return their tensor."""

    def __init__(self, kind: str) -> None:
        self._without = _now[-1]
        self._within = self._without[0], kind

    def enters(self, output: Tensor) -> Tensor:
        """Label storages that are made from this tensor's gradient on with the kind. Returns the tensor."""
        return self._label_from(output, self._within)

    def leaves(self, start: Tensor) -> Tensor:
        """Label storages that are made from this tensor's gradient on as before the scope. Returns the tensor."""
        return self._label_from(start, self._without)

    @staticmethod
    def _label_from(tensor: Tensor, label: Label) -> Tensor:
        """Make `label` the current one once the tensor's gradient is computed. Returns the tensor."""

        def change_label(gradient: Tensor) -> None:
            _now[-1] = label

        if tensor.requires_grad:
            tensor.register_hook(change_label)
        return tensor


@dataclass(slots=True)
class _Storage:
    bytes: int
    label: Label


@dataclass(frozen=True, kw_only=True)
class Peak:
    held: Mapping[Label, int]
    """Bytes by owner and kind at the moment when most was held."""

    @property
    def bytes(self) -> int:
        return sum(self.held.values())


class MemoryTracker(TorchDispatchMode):
    """A context manager around the work; its peaks are read afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self._storages: list[_Storage] = []  # all that were ever seen
        self._places: dict[int, int] = {}  # places in that list of the living ones, by torch's address of them
        self._events: list[tuple[int, int]] = []  # a storage's place, and the bytes by which it grew
        self._is_away = False
        self._phases: list[tuple[str, int, int]] = []  # name, and the events between which it ran

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = func(*args, **(kwargs or {}))
        if not self._is_away:
            for leaf in tree_leaves(outputs):
                if isinstance(leaf, Tensor):
                    self._note_storage(leaf)
        return outputs

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Name what runs inside as a phase, of which `peaks` gives the peak."""
        begun = len(self._events)
        try:
            yield
        finally:
            self._phases.append((name, begun, len(self._events)))

    @contextmanager
    def away(self) -> Iterator[None]:
        """Ignore the storages that are made inside."""
        self._is_away = True
        try:
            yield
        finally:
            self._is_away = False

    def label(self, tensors: Iterable[Tensor], owner: str, kind: str) -> None:
        """Label the tensors' storages, and count those that were not seen before as held from now on."""
        for tensor in tensors:
            self._storages[self._note_storage(tensor)].label = owner, kind

    def label_gradients(self, parameters: Iterable[Tensor], owner: str) -> list[Any]:
        """Label gradients as such when they reach these parameters. Returns hooks for the caller to remove."""

        def label_gradient(parameter: Tensor) -> None:
            if parameter.grad is not None:
                self.label([parameter.grad], owner, GRADIENTS)

        trained = [parameter for parameter in parameters if parameter.requires_grad]
        return [parameter.register_post_accumulate_grad_hook(label_gradient) for parameter in trained]

    def restart(self) -> None:
        """Forget past events and phases; the storages that are held now stay, with their labels."""
        live_places = sorted(self._places.items(), key=lambda address_and_place: address_and_place[1])
        self._storages = [self._storages[place] for _, place in live_places]
        self._places = {address: place for place, (address, _) in enumerate(live_places)}
        self._events = [(place, storage.bytes) for place, storage in enumerate(self._storages)]
        self._phases = []

    def peaks(self, share: Callable[[Label], float] = lambda label: 1.0) -> dict[str, Peak]:
        """The highest peak of each phase over its runs, by the phase's name, in the order of their first runs.

        `share`: the part of the bytes under a label that counts when moments are compared, as where several devices
        divide some of them. The peak itself has all bytes.
        """
        begins = Counter(begun for _, begun, _ in self._phases)
        peaks: dict[str, Peak] = {}
        highest: dict[str, float] = {}
        running: dict[int, tuple[str, int]] = {}
        bytes_by_label: Counter[Label] = Counter()
        total = 0.0
        for at in range(len(self._events) + 1):
            if begins[at]:
                running |= {n: (name, end) for n, (name, begun, end) in enumerate(self._phases) if begun == at}
            for number, (name, end) in list(running.items()):
                if name not in peaks or total > highest[name]:
                    peaks[name], highest[name] = Peak(held=+bytes_by_label), total
                if at >= end:
                    del running[number]
            if at < len(self._events):
                place, grown = self._events[at]
                label = self._storages[place].label
                bytes_by_label[label] += grown
                total += grown * share(label)
        return peaks

    def _note_storage(self, tensor: Tensor) -> int:
        """Note a tensor's storage, its growth and later its release. Returns its place in `_storages`."""
        # oneDNN's packed weights have no storage; the tensor itself is then what lives and dies.
        holder: Any = tensor if tensor.layout == torch._mkldnn else tensor.untyped_storage()  # type: ignore[attr-defined]
        address, size = holder._cdata, tensor.nbytes if holder is tensor else holder.nbytes()
        place = self._places.get(address)
        if place is None:
            place = self._places[address] = len(self._storages)
            self._storages.append(_Storage(bytes=0, label=_now[-1]))
            weakref.finalize(holder, self._note_release, address)
        if size != self._storages[place].bytes:
            self._events.append((place, size - self._storages[place].bytes))
            self._storages[place].bytes = size
        return place

    def _note_release(self, address: int) -> None:
        place = self._places.pop(address)
        self._events.append((place, -self._storages[place].bytes))
