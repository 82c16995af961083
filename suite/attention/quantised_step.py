"""Decoding from a cache in eight bits: new tokens are quantised as they are written, and the kernel reads eight bits.

The kernel is checked against float64 on the numbers that the cache stands for, as any other. Beside that stands what
quantising itself does: the new tokens' rows against those that were projected, and the output against float64
attention over keys and values that were never quantised, which is recorded as `cache_error`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from suite.attention.check import OutputError, compare, layer_readings, readings_if_passed, relative_error
from suite.attention.layer import AttentionLayer
from suite.attention.problem import Backend, ValueLayout, operands
from suite.attention.quantised import QuantisedCache
from suite.attention.steps import ForwardStep
from suite.measure.workload import IncorrectError, UnsupportedError
from suite.records.record import Reading
from suite.theory.layers.algebra import Pass
from suite.theory.layers.shapes import cache_bytes

# Relative error of a quantised row. int8: a number is off by 1/254 of the largest of 128, at most; three times what
# drawn rows show. float8: half of what its last bit is worth, at most.
LARGEST_ROW_ERROR = {torch.int8: 0.02, torch.float8_e4m3fn: 1 / 16}
# Chosen: four times what the output of drawn inputs shows. A row with the wrong scale is far beyond.
LARGEST_CACHE_ERROR = {torch.int8: 0.05, torch.float8_e4m3fn: 0.15}


class QuantisedStep(ForwardStep):
    """Spans: the whole layer, which quantises the new tokens and writes them, and the kernel alone."""

    cache: QuantisedCache

    def __init__(self, layer: AttentionLayer, backend: Backend, forward: Pass, generator: torch.Generator) -> None:
        super().__init__(layer, backend, forward, generator)
        # Queries, keys and values without a quantised cache, until the check has used them.
        self._unquantised: tuple[Tensor, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Facts for the record: `cache`, how it is written, and `layer_check`, what the layer is compared with."""
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
            comparison = compare(output, self.projected, problem, self._generator)
            plain = replace(problem, cache_dtype=None)
            error = compare(output, self._unquantised, plain, self._generator).error
            written_error = self._compare_written()
            self.cache.spoil_spare_slots(self._generator)
            again = self.backend(*self.projected)
            readings = readings_if_passed({"": comparison})
            readings += readings_if_passed({"rows": written_error}, span="layer")
            readings += layer_readings(layer, self.problem, self._x_BSD, self._unquantised, self._start, output)
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
        errors = [relative_error(*(rows[:, :, self._start :].double() for rows in pair)) for pair in pairs]
        assert self.problem.cache_dtype is not None
        return OutputError(error=max(errors), allowed=LARGEST_ROW_ERROR[self.problem.cache_dtype])

    def _project_and_cache(self) -> tuple[Tensor, ...]:
        """Project the new tokens and write their rows, quantised, to the cache: (query, the cache's kernel inputs)."""
        q_BHSd, *new = self.layer.project(self._x_BSD, None, self._start)
        self.cache.write(self._start, *self._cached_rows(*new))
        return q_BHSd, *self.cache.kernel_inputs()

    def _cached_rows(self, k_BGTd: Tensor, v_BGTv: Tensor) -> tuple[Tensor, ...]:
        """The tensors that the cache keeps: (keys, values), or (keys,) where the value lies in them."""
        return (k_BGTd,) if self.layer.value_layout is ValueLayout.PREFIX_OF_KEY else (k_BGTd, v_BGTv)


def require_quantisable(layer: AttentionLayer, forward: Pass) -> None:
    """Raise UnsupportedError unless the pass decodes, and the kernel reads cached keys and values as they lie."""
    if forward.is_training or (forward.query_len == forward.seq_len and forward.query_len > 1):
        raise UnsupportedError(
            f"cache_dtype={forward.cache_dtype} needs phase=decode: other phases read keys and values as they are "
            f"projected, not from a cache"
        )
    layouts = (ValueLayout.SEPARATE, ValueLayout.PREFIX_OF_KEY)
    one_token = replace(forward, query_len=1, seq_len=1)
    # Tied states share a key part, a window's cache goes round, more than two latents have a rotary key each.
    keeps_all = isinstance(layer.cache_heads, int) and layer.shape.window is None
    has_several = any(rows.is_wide and rows.count > 1 for rows in layer.shape.cache_rows)
    reads_all = layer.value_layout in layouts and not layer.shape.before_kernel(forward)
    fits = keeps_all and reads_all and not has_several
    if not fits or layer.new_cache(one_token).counted_bytes() != cache_bytes(layer.shape, one_token):
        raise UnsupportedError(
            f"cache_dtype={forward.cache_dtype} supports grouped attention and absorbed MLA, whose kernels read the "
            f"cache as it lies; got {layer.shape.describe_mode(forward) or type(layer).__name__}"
        )
