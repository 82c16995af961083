"""One attention layer as a workload: the whole layer and the kernel alone, checked before and after it is timed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import BuiltinFunctionType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor

from suite.attention.check import require_response
from suite.attention.layer import AttentionLayer
from suite.attention.problem import Backend
from suite.attention.ragged_step import RaggedStep
from suite.attention.selected_step import SelectedStep
from suite.attention.steps import ForwardStep, QuantisedStep, TrainingStep, require_quantisable
from suite.configuration.files import locate
from suite.measure.meter import Meter
from suite.measure.rotated_buffers import RotatedRuns
from suite.records.record import Reading, constant_readings
from suite.theory.layers.attention_plan import ELEMENT_BYTES, AttentionPlan

DTYPES = {name: getattr(torch, name) for name in ELEMENT_BYTES}
# Things with attributes that are everybody's, and not kept by a backend.
NO_OWNERS = (type, ModuleType, FunctionType, MethodType, BuiltinFunctionType)
MATH_PATH = "_scaled_dot_product_attention_math"


class AttentionWorkload:
    """See suite.measure.workload.Workload. Constructing it allocates nothing."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.plan = AttentionPlan(settings)
        self._layer_class = locate(self.plan.attention["_target_"])
        self._backend_for = locate(settings["backend"]["_target_"])

    def prepare(self) -> None:
        """Make layer, cache and backend, draw inputs, have the backend compile or choose. Raises UnsupportedError."""
        plan = self.plan
        device = torch.device(plan.device)
        generator = torch.Generator(device).manual_seed(plan.seed)
        layer: AttentionLayer = self._layer_class(
            plan.shape,
            positions=max(each.seq_len for each in plan.passes),
            dtype=DTYPES[plan.dtype],
            device=device,
            generator=generator,
        )
        if plan.forward.cache_dtype is not None:
            require_quantisable(layer, plan.forward)
        self.work = self._new_step(layer, generator)
        self.work.draw()
        with torch.no_grad():
            self.work.backend = self.work.backend.autotuned(*self.work.kernel_inputs)

    def _new_step(self, layer: AttentionLayer, generator: torch.Generator) -> ForwardStep | TrainingStep:
        """The step of the plan's pass, with its backend. Raises UnsupportedError."""
        forward = self.plan.forward
        if self.plan.is_ragged or self.plan.page_size:
            return RaggedStep(layer, self._backend_for, self.plan.passes, self.plan.page_size, generator)
        backend: Backend = self._backend_for(layer.problem(forward))
        if forward.is_training:
            return TrainingStep(layer, backend, forward, generator)
        if forward.cache_dtype is not None:
            return QuantisedStep(layer, backend, forward, generator)
        if self.plan.shape.before_kernel(forward):
            return SelectedStep(layer, backend, forward, generator)
        return ForwardStep(layer, backend, forward, generator)

    def constants(self) -> Iterable[Reading]:
        """Readings of the plan's closed forms, and of the cache's counted bytes."""
        return [*constant_readings(self.plan.constants()), *self.work.constants()]

    def facts(self) -> Mapping[str, Any]:
        """Facts for the record: the backend, its form and compiler flags, the plan's, and how the output is checked."""
        backend = self.work.backend
        backend_facts = {"backend": backend.name, "backend_form": backend.form, "backend_built": backend.built}
        return {
            **{name: text for name, text in backend_facts.items() if text is not None},
            **self.plan.facts(),
            **self.work.facts(),
        }

    def warnings(self, operators: Mapping[str, Sequence[str]]) -> Iterable[str]:
        """A warning if torch's unfused math path is among the kernel span's operators."""
        if MATH_PATH in operators["kernel"]:
            yield f"kernel: {self.work.backend.name} fell to torch's math path, which is no fused kernel"

    def check(self) -> Iterable[Reading]:
        """Draw inputs, compare with float64: readings of errors and of `kept_bytes`. Raises IncorrectError."""
        self.work.draw()
        readings = self.work.check()
        if self.work.layer.stated_definition() is None:
            require_response(self.work.redraw_input, self.work.parts()["layer"])
        backend_bytes = kept_bytes(  # by now it keeps all that it makes at its first call
            self.work.backend, self.work.problem.device, besides=(*self.work.projected, *self.work.kernel_inputs)
        )
        return [*readings, Reading(step=0, span="kernel", metric="kept_bytes", value=backend_bytes)]

    def step(self, meter: Meter) -> None:
        """Run each span's work once in the meter."""
        self.work.run(meter)

    def parts(self) -> Mapping[str, Callable[[], object]]:
        """Functions that run each span's work once, by the span's name."""
        return self.work.parts()

    def rotated_runs(self, span: str, cache_bytes: int, most_bytes: int) -> RotatedRuns | None:
        runs = self.work.rotated_runs(span, cache_bytes, most_bytes)
        # The second check draws others in their place, and a graph of the layer would read freed memory.
        return None if runs is None else replace(runs, reads=list(_reachable_tensors(self.work)))


def kept_bytes(backend: Backend, device: torch.device, *, besides: Iterable[Tensor] = ()) -> int:
    """Bytes that a backend keeps on the device from one call to the next: masks, the parts of a split, a library's
    workspace. Storages of the tensors `besides` are not counted.

    They are allocated before a call, so that the allocator's peak of a call, which is above what was there before, has
    none of them. Counted on the tensors that Python can reach from the backend: what a compiled extension keeps to
    itself is not seen.
    """
    other_storages = {tensor.untyped_storage()._cdata for tensor in besides}
    storages = {
        storage._cdata: storage.nbytes()
        for tensor in _reachable_tensors(backend)
        if tensor.device.type == device.type and (storage := tensor.untyped_storage())._cdata not in other_storages
    }
    return sum(storages.values())


def _reachable_tensors(owner: object) -> Iterable[Tensor]:
    """Yield every tensor that is reached from an object through attributes, mappings and sequences, each once."""
    waiting, seen = [owner], set[int]()
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, Tensor):
            yield thing
        elif isinstance(
            thing, dict | MappingProxyType
        ):  # others are reached by their attributes; asking an ABC takes 2 ms
            waiting += thing.values()
        elif isinstance(thing, list | tuple | set | frozenset):
            waiting += thing
        elif hasattr(thing, "__dict__") and not isinstance(thing, NO_OWNERS):
            waiting.append(vars(thing))
