"""One pass as it is timed: prefill and decode over a cache that was filled beforehand, and training without a cache.

Training's backward pass through the layer reaches its input and every weight, the kernel's queries, keys and values.
Gradients are checked at a reduced length of the same shapes, since a float64 backward pass cannot run at true sizes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from suite.attention import check
from suite.attention.cache import QuantisedCache
from suite.attention.check import OutputError
from suite.attention.layer import AttentionLayer
from suite.attention.problem import Backend, Problem, ValueLayout, operands
from suite.measure.meter import Meter
from suite.measure.rotated_buffers import RotatedRuns, rotated
from suite.measure.workload import IncorrectError, UnsupportedError
from suite.records.record import Reading
from suite.theory.layers.algebra import Pass
from suite.theory.layers.shapes import cache_bytes

LONGEST_CHECKED = 256


class ForwardStep:
    """Spans: the whole layer with its write to the cache, and the kernel alone."""

    def __init__(self, layer: AttentionLayer, backend: Backend, forward: Pass, generator: torch.Generator) -> None:
        self.layer, self.backend, self._forward, self._generator = layer, backend, forward, generator
        self.problem = layer.problem(forward)
        self.cache = layer.new_cache(forward)
        self._start = forward.seq_len - forward.query_len

    def constants(self) -> Sequence[Reading]:
        """The reading `cache_bytes_counted`: bytes that the cache's tensors hold for its tokens."""
        return [Reading(step=0, span="case", metric="cache_bytes_counted", value=self.cache.counted_bytes())]

    def facts(self) -> dict[str, Any]:
        """Facts for the record: `cache`, how it is written; `layer_check`, what the layer is compared with."""
        cache_write = "allocated ahead; the new tokens' write is timed, and nothing is copied"
        return {"cache": cache_write, "layer_check": check.describe_layer_check(self.layer, self._forward.query_len)}

    def draw(self) -> None:
        """Fill the cache and draw the new tokens, and project them: the projections are the kernel's inputs."""
        layer, forward = self.layer, self._forward
        with torch.inference_mode():
            self.cache.fill(self._generator)
            self._x_BSD = layer.drawn_input(forward, self._generator)
            self.projected = self.kernel_inputs = self._project_and_cache()

    def redraw_input(self) -> None:
        """Draw new hidden states for the new tokens; the cached context stays."""
        self._x_BSD = self.layer.drawn_input(self._forward, self._generator)

    def check(self) -> Sequence[Reading]:
        """Compare kernel and layer with float64: readings. Raises IncorrectError, also if spare slots are read."""
        with torch.inference_mode():
            output = self.backend(*self.projected)
            comparison = check.compare(output, self.projected, self.problem, self._generator)
            self.cache.spoil_spare_slots(self._generator)
            again = self.backend(*self.projected)
            readings = check.readings_if_passed({"": comparison})
            readings += check.layer_readings(self.layer, self.problem, self._x_BSD, self.projected, self._start, output)
        self.require_untouched(readings, is_untouched=torch.equal(output, again))
        return readings

    @staticmethod
    def require_untouched(readings: Sequence[Reading], *, is_untouched: bool) -> None:
        """Raise IncorrectError, with the readings, if new garbage in the cache's spare slots has changed the output."""
        if not is_untouched:
            reason = "the output depends on cache slots past the length, which no kernel may read"
            raise IncorrectError(reason, readings)

    def run(self, meter: Meter) -> None:
        """Run the layer and the kernel once each, in the meter's spans."""
        with torch.inference_mode():
            with meter.span("layer"):
                self._layer()
            with meter.span("kernel"):
                self._kernel(*self.projected)

    def parts(self) -> dict[str, Callable[[], object]]:
        """Functions that run each span's work once, by the span's name."""
        kernel = torch.inference_mode()(self._kernel)
        return {"layer": torch.inference_mode()(self._layer), "kernel": lambda: kernel(*self.projected)}

    def rotated_runs(self, span: str, cache_bytes: int, most_bytes: int) -> RotatedRuns:
        """Runs for a CUDA graph: the kernel's rotate over copies of inputs; the layer's one cache allows one run."""
        if span == "kernel":
            return rotated(torch.inference_mode()(self._kernel), self.projected, cache_bytes, most_bytes)
        return RotatedRuns(runs=[self.parts()[span]])

    def _layer(self) -> Tensor:
        return self.layer.output(self.backend(*self._project_and_cache()))

    def _project_and_cache(self) -> tuple[Tensor, ...]:
        return self.layer.project(self._x_BSD, self.cache, self._start)

    def _kernel(self, *inputs: Tensor) -> Tensor:
        return self.backend(*inputs)


class TrainingStep:
    """Spans: forward and backward of the whole layer, and of the kernel alone."""

    def __init__(self, layer: AttentionLayer, backend: Backend, forward: Pass, generator: torch.Generator) -> None:
        self.layer, self.backend, self._forward, self._generator = layer, backend, forward, generator
        self.problem = layer.problem(forward)
        if self.problem.has_sinks:
            raise UnsupportedError("phase=train does not support attention sinks: their gradient would not be checked")
        layer.requires_grad_(True)
        length = min(forward.seq_len, LONGEST_CHECKED)
        self._checked = replace(forward, batch=1, query_len=length, seq_len=length)
        self._checked_problem = layer.problem(self._checked)

    @cached_property
    def checked_backend(self) -> Backend:
        """The timed backend's class at the gradient check's shorter length, where `auto` might choose another."""
        return type(self.backend)(self._checked_problem)

    def constants(self) -> Sequence[Reading]:
        """No readings: there is no cache."""
        return ()

    def facts(self) -> dict[str, Any]:
        """Facts for the record on how the layer and the gradients were checked: `layer_check` and `gradient_check`."""
        return {
            "layer_check": check.describe_layer_check(self.layer, self._forward.seq_len),
            "gradient_check": f"dQ, dK and dV at {self._checked.seq_len} of {self._forward.seq_len} tokens, batch 1",
        }

    def draw(self) -> None:
        """Draw hidden states and the gradients of both outputs; project the states to the kernel's inputs."""
        layer, forward = self.layer, self._forward
        self._x_BSD = layer.drawn_input(forward, self._generator).requires_grad_()
        self._wanted = (self._x_BSD, *layer.parameters())
        self._dy_BSD = layer.drawn_input(forward, self._generator)
        with torch.no_grad():
            q_BHSd, k_BGSd, v_BGSv = layer.project(self._x_BSD, None, 0)
            self.projected = self.kernel_inputs = check.leaves(q_BHSd, k_BGSd, v_BGSv, self.problem)
        self._do_BHSv = self._drawn_like_output(self.problem)

    def redraw_input(self) -> None:
        """Draw everything anew: without a cache there is no context to keep."""
        self.draw()

    def check(self) -> Sequence[Reading]:
        """Compare kernel, layer and gradients with float64: readings of errors. Raises IncorrectError."""
        with torch.no_grad():
            output = self.backend(*self.projected)
            comparison = check.compare(output, self.projected, self.problem, self._generator)
            around = check.layer_readings(self.layer, self.problem, self._x_BSD, self.projected, 0, output)
            q_BHSd, k_BGSd, v_BGSv = self.layer.project(self.layer.drawn_input(self._checked, self._generator), None, 0)
        problem = self._checked_problem
        do_BHSv = self._drawn_like_output(problem)
        by_gradient = check.compare_gradients(self.checked_backend, q_BHSd, k_BGSd, v_BGSv, do_BHSv, problem)
        return [*check.readings_if_passed({"": comparison, **by_gradient}), *around]

    def run(self, meter: Meter) -> None:
        """Run the layer and the kernel once each, forward and backward, in the meter's spans."""
        for span, work in self.parts().items():
            with meter.span(span):
                work()

    def parts(self) -> dict[str, Callable[[], object]]:
        """Functions that run each span's forward and backward pass once, by the span's name."""
        return {"layer": self._layer, "kernel": self._kernel}

    def _layer(self) -> Tensor:
        """Forward and backward pass of the whole layer, down to its input and weights. Returns the forward output."""
        layer = self.layer
        y_BSD = layer.output(self.backend(*layer.project(self._x_BSD, None, 0)))
        torch.autograd.grad(y_BSD, self._wanted, self._dy_BSD)
        return y_BSD

    def _kernel(self) -> None:
        check.gradients(self.backend, self.projected, self._do_BHSv, self.problem)

    def rotated_runs(self, span: str, cache_bytes: int, most_bytes: int) -> None:
        """None: a backward pass is captured under rules of its own, and a training step is seldom short."""

    def _drawn_like_output(self, problem: Problem) -> Tensor:
        size = (problem.batch, problem.heads, problem.query_len, problem.v_dim)
        return torch.empty(size, dtype=problem.dtype, device=problem.device).normal_(generator=self._generator)


# Relative error of a quantised row. int8: a number is off by 1/254 of the largest of 128, at most; three times what
# drawn rows show. float8: half of what its last bit is worth, at most.
LARGEST_ROW_ERROR = {torch.int8: 0.02, torch.float8_e4m3fn: 1 / 16}
# Chosen: four times what the output of drawn inputs shows. A row with the wrong scale is far beyond.
LARGEST_CACHE_ERROR = {torch.int8: 0.05, torch.float8_e4m3fn: 0.15}


class QuantisedStep(ForwardStep):
    """Decoding from a cache in eight bits. Spans: the whole layer, which quantises the new tokens and writes them, and
    the kernel alone.

    The kernel is checked against float64 on the numbers that the cache stands for, as any other. Beside that stands
    what quantising itself does: the new tokens' rows against those that were projected, and the output against float64
    attention over keys and values that were never quantised, which is recorded as `cache_error`.
    """

    cache: QuantisedCache

    def __init__(self, layer: AttentionLayer, backend: Backend, forward: Pass, generator: torch.Generator) -> None:
        super().__init__(layer, backend, forward, generator)
        # Queries, keys and values without a quantised cache, until the check has used them.
        self._unquantised: tuple[Tensor, ...] = ()

    def facts(self) -> dict[str, Any]:
        cache_write = "allocated ahead; the new tokens are quantised and written within the time, and nothing is copied"
        return {**super().facts(), "cache": cache_write}

    def draw(self) -> None:
        """Draw a context and new tokens, quantise them into the cache, and keep the unquantised ones for the check."""
        layer, forward = self.layer, self._forward
        with torch.inference_mode():
            plain = layer.new_cache(replace(forward, cache_dtype=None))
            plain.fill(self._generator)
            self._x_BSD = layer.drawn_input(forward, self._generator)
            self._unquantised = layer.project(self._x_BSD, plain, self._start)
            context = (rows_BGTn[:, :, : self._start] for rows_BGTn in self._unquantised[1:])
            self.cache.write(0, *self._cached_rows(*context))
            self.cache.spoil_spare_slots(self._generator)
            self.projected = self.kernel_inputs = self._project_and_cache()

    def check(self) -> Sequence[Reading]:
        """Compare kernel, cached rows, layer with float64: readings, also of `cache_error`. Raises IncorrectError."""
        layer, problem = self.layer, self.problem
        with torch.inference_mode():
            output = self.backend(*self.projected)
            comparison = check.compare(output, self.projected, problem, self._generator)
            plain = replace(problem, cache_dtype=None)
            error = check.compare(output, self._unquantised, plain, self._generator).error
            written_error = self._compare_written()
            self.cache.spoil_spare_slots(self._generator)
            again = self.backend(*self.projected)
            readings = check.readings_if_passed({"": comparison})
            readings += check.readings_if_passed({"rows": written_error}, span="layer")
            readings += check.layer_readings(layer, self.problem, self._x_BSD, self._unquantised, self._start, output)
        self._unquantised = ()
        readings.append(Reading(step=0, span="kernel", metric="cache_error", value=error))
        assert problem.cache_dtype is not None
        if not error <= (most := LARGEST_CACHE_ERROR[problem.cache_dtype]):
            raise IncorrectError(
                f"relative error against float64 with an unquantised cache is {error:.3g}; "
                f"at most {most:.3g} is allowed",
                readings,
            )
        self.require_untouched(readings, is_untouched=torch.equal(output, again))
        return readings

    def _compare_written(self) -> OutputError:
        """Relative error of the new tokens' cached rows against those projected: keys' or values', the larger."""
        _, k_BGTd, v_BGTv, _ = operands(self.projected, self.problem)
        pairs = zip(self._cached_rows(k_BGTd, v_BGTv), self._cached_rows(*self._unquantised[1:]), strict=True)
        errors = [check.relative_error(*(rows[:, :, self._start :].double() for rows in pair)) for pair in pairs]
        assert self.problem.cache_dtype is not None
        return OutputError(error=max(errors), allowed=LARGEST_ROW_ERROR[self.problem.cache_dtype])

    def _project_and_cache(self) -> tuple[Tensor, ...]:
        q_BHSd, *new = self.layer.project(self._x_BSD, None, self._start)
        self.cache.write(self._start, *self._cached_rows(*new))
        return q_BHSd, *self.cache.kernel_inputs()

    def _cached_rows(self, k_BGTd: Tensor, v_BGTv: Tensor) -> tuple[Tensor, ...]:
        return (k_BGTd,) if self.layer.value_layout is ValueLayout.PREFIX_OF_KEY else (k_BGTd, v_BGTv)


def require_quantisable(layer: AttentionLayer, forward: Pass) -> None:
    """Raise UnsupportedError unless the pass decodes, and the kernel reads cached keys and values as they lie."""
    if forward.is_training or (forward.query_len == forward.seq_len and forward.query_len > 1):
        raise UnsupportedError(
            f"cache_dtype={forward.cache_dtype} needs phase=decode: other phases read keys and values as they are "
            f"projected, not from a cache"
        )
    require_cache_as_it_lies(layer, forward, f"cache_dtype={forward.cache_dtype} supports")


def require_cache_as_it_lies(layer: AttentionLayer, forward: Pass, what_supports: str) -> None:
    """Raise UnsupportedError unless the kernel reads the layer's cached keys and values of all tokens as they lie. The
    sentence begins with `what_supports`."""
    layouts = (ValueLayout.SEPARATE, ValueLayout.PREFIX_OF_KEY)
    one_token = replace(forward, query_len=1, seq_len=1)
    # Tied states share a key part, a window's cache goes round, more than two latents have a rotary key each.
    keeps_all = isinstance(layer.cache_heads, int) and layer.shape.window is None
    has_several = any(rows.is_wide and rows.count > 1 for rows in layer.shape.cache_rows)
    reads_all = layer.value_layout in layouts and not layer.shape.before_kernel(forward)
    fits = keeps_all and reads_all and not has_several
    if not fits or layer.new_cache(one_token).counted_bytes() != cache_bytes(layer.shape, one_token):
        raise UnsupportedError(
            f"{what_supports} grouped attention and absorbed MLA, whose kernels read the cache as it lies; "
            f"got {layer.shape.describe_mode(forward) or type(layer).__name__}"
        )
