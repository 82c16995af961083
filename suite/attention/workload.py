"""One attention layer as a workload: the whole layer and the kernel alone, warm, checked before and after."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from suite.attention.check import compare
from suite.attention.layer import AttentionLayer
from suite.attention.problem import Backend
from suite.configuration import locate
from suite.measure.meter import Meter
from suite.measure.workload import IncorrectError, UnsupportedError
from suite.records.record import Reading
from suite.theory.attention_plan import AttentionPlan

DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}

MATH_PATH = "_scaled_dot_product_attention_math"


class AttentionWorkload:
    """See suite.measure.workload.Workload. Constructing it allocates nothing."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.plan = AttentionPlan(settings)
        self._layer_class = locate(settings["attention"]["_target_"])
        self._backend_for = locate(settings["backend"]["_target_"])

    def prepare(self) -> None:
        plan = self.plan
        if plan.device == "cuda":
            raise UnsupportedError("device=cuda is not timed by this version: it has no clock of device events yet")
        self._device, self._dtype = torch.device(plan.device), DTYPES[plan.dtype]
        self._generator = torch.Generator(self._device).manual_seed(plan.seed)
        self._layer: AttentionLayer = self._layer_class(
            plan.shape,
            positions=plan.forward.seq_len,
            dtype=self._dtype,
            device=self._device,
            generator=self._generator,
        )
        self._problem = self._layer.problem(plan.forward)
        self._backend: Backend = self._backend_for(self._problem)
        self._cache = self._layer.new_cache(plan.forward)
        self._start = plan.forward.seq_len - plan.forward.query_len
        self._draw()

    def constants(self) -> Iterable[Reading]:
        for span, quantities in self.plan.constants().items():
            for metric, value in quantities.items():
                yield Reading(step=0, span=span, metric=metric, value=value)
        yield Reading(step=0, span="case", metric="cache_bytes_counted", value=self._cache.counted_bytes())

    def facts(self) -> Mapping[str, Any]:
        return {"backend": self._backend.name, "shape": self.plan.shape.describe(), "cache_state": "warm"}

    def criticise(self, operators: Mapping[str, Sequence[str]]) -> Iterable[str]:
        if MATH_PATH in operators["kernel"]:
            yield f"kernel: {self._backend.name} fell to torch's math path, which is no fused kernel"

    def check(self) -> Iterable[Reading]:
        self._draw()
        with torch.inference_mode():
            output = self._backend(*self._projected)
            comparison = compare(output, *self._projected, self._problem, self._generator)
            self._cache.spoil_spare_slots(self._generator)
            again = self._backend(*self._projected)
        readings = [
            Reading(step=0, span="kernel", metric="relative_error", value=comparison.error),
            Reading(step=0, span="kernel", metric="allowed_error", value=comparison.allowed),
        ]
        if not comparison.passed:
            raise IncorrectError(
                f"relative error {comparison.error:.3g} against float64 is above {comparison.allowed:.3g}", readings
            )
        if not torch.equal(output, again):
            raise IncorrectError(
                "the output changes with cache slots past the length, which nothing may read", readings
            )
        return readings

    def step(self, meter: Meter) -> None:
        layer, cache = self._layer, self._cache
        with torch.inference_mode():
            with meter.span("layer"):
                layer.output(self._backend(*layer.project(self._x_BSD, cache, self._start)))
            with meter.span("kernel"):
                self._backend(*self._projected)

    def _draw(self) -> None:
        """Fresh inputs and a fresh context; the kernel's own inputs are what the layer projects from them."""
        forward, width = self.plan.forward, self.plan.shape.hidden_size
        with torch.inference_mode():
            self._cache.fill(self._generator)
            self._x_BSD = torch.empty(
                forward.batch, forward.query_len, width, dtype=self._dtype, device=self._device
            ).normal_(generator=self._generator)
            self._projected = self._layer.project(self._x_BSD, self._cache, self._start)
