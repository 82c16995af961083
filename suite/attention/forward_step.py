"""Prefill and decode: one forward pass over a cache that was filled beforehand."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from suite.attention.check import compare, describe_layer_check, layer_readings, readings_if_passed
from suite.attention.layer import AttentionLayer
from suite.attention.problem import Backend
from suite.measure.meter import Meter
from suite.measure.rotated_buffers import RotatedRuns, rotated
from suite.measure.workload import IncorrectError
from suite.records.record import Reading
from suite.theory.layers.algebra import Pass


class ForwardStep:
    """Spans: the whole layer with its write to the cache, and the kernel alone."""

    def __init__(self, layer: AttentionLayer, backend: Backend, forward: Pass, generator: torch.Generator) -> None:
        self.layer, self.backend, self._forward, self._generator = layer, backend, forward, generator
        self.problem = layer.problem(forward)
        self.cache = layer.new_cache(forward)
        self._start = forward.seq_len - forward.query_len

    def constants(self) -> Sequence[Reading]:
        return [Reading(step=0, span="case", metric="cache_bytes_counted", value=self.cache.counted_bytes())]

    def facts(self) -> dict[str, Any]:
        cache_write = "allocated ahead; the new tokens' write is timed, and nothing is copied"
        return {"cache": cache_write, "layer_check": describe_layer_check(self.layer, self._forward.query_len)}

    def draw(self) -> None:
        """Draw fresh inputs and a fresh context; the kernel's own inputs are the layer's projections of them."""
        layer, forward = self.layer, self._forward
        with torch.inference_mode():
            self.cache.fill(self._generator)
            self._x_BSD = layer.drawn_input(forward, self._generator)
            self.projected = self.kernel_inputs = self._project()

    def redraw_input(self) -> None:
        """Draw other hidden states of the new tokens, behind the same context."""
        self._x_BSD = self.layer.drawn_input(self._forward, self._generator)

    def check(self) -> Sequence[Reading]:
        with torch.inference_mode():
            output = self.backend(*self.projected)
            comparison = compare(output, self.projected, self.problem, self._generator)
            self.cache.spoil_spare_slots(self._generator)
            again = self.backend(*self.projected)
            readings = readings_if_passed({"": comparison})
            readings += layer_readings(self.layer, self.problem, self._x_BSD, self.projected, self._start, output)
        self.require_untouched(readings, is_untouched=torch.equal(output, again))
        return readings

    @staticmethod
    def require_untouched(readings: Sequence[Reading], *, is_untouched: bool) -> None:
        """Raise IncorrectError where garbage in the cache's spare slots has reached the output."""
        if not is_untouched:
            reason = "the output changes with cache slots past the length, which nothing may read"
            raise IncorrectError(reason, readings)

    def run(self, meter: Meter) -> None:
        with torch.inference_mode():
            with meter.span("layer"):
                self._layer()
            with meter.span("kernel"):
                self._kernel(*self.projected)

    def parts(self) -> dict[str, Callable[[], object]]:
        kernel = torch.inference_mode()(self._kernel)
        return {"layer": torch.inference_mode()(self._layer), "kernel": lambda: kernel(*self.projected)}

    def rotated_runs(self, span: str, least_bytes: int, most_bytes: int) -> RotatedRuns:
        """The kernel's runs rotate over copies of its inputs; the layer has one cache and one set of weights."""
        if span == "kernel":
            return rotated(torch.inference_mode()(self._kernel), self.projected, least_bytes, most_bytes)
        return RotatedRuns(runs=[self.parts()[span]])

    def _layer(self) -> Tensor:
        return self.layer.output(self.backend(*self._project()))

    def _project(self) -> tuple[Tensor, ...]:
        return self.layer.project(self._x_BSD, self.cache, self._start)

    def _kernel(self, *inputs: Tensor) -> Tensor:
        return self.backend(*inputs)
