"""Decoding of a batch whose sequences differ in length, or whose cache lies in pages: each has its own position.

The layer projects all new tokens together and writes each sequence's rows behind its own context. The kernel is called
once for each number of new tokens, so once where every sequence decodes one token.

Legend beside problem.py's: N new tokens of the whole batch, sequence by sequence; w width of a cached row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from suite.attention import check
from suite.attention.layer import AttentionLayer
from suite.attention.problem import Backend, CallByCall, Problem, ValueLayout
from suite.attention.ragged_cache import PagedCache, RaggedCache
from suite.attention.steps import ForwardStep, require_cache_as_it_lies
from suite.records.record import Reading
from suite.theory.layers.algebra import Pass


@dataclass(frozen=True, kw_only=True)
class Call:
    """The sequences with equally many new tokens, of one call of the kernel."""

    problem: Problem
    cache: RaggedCache
    slots_BS: Tensor  # the new tokens' numbers in their sequences
    tokens: slice  # their places among the new tokens of the batch

    def write(self, rows_1GNw: Sequence[Tensor]) -> None:
        """Write the new tokens' rows behind each sequence's context, one tensor for each that is cached."""
        for cached, new_1GNw in zip(self.cache.tensors, rows_1GNw, strict=True):
            new_NGw = new_1GNw[0, :, self.tokens].transpose(0, 1)
            cached[self.cache.places(self.slots_BS)] = new_NGw.unflatten(0, self.slots_BS.shape)

    def written(self) -> list[Tensor]:
        """The new tokens' rows where the kernel reads them in the cache, [G, N, w] for each cached tensor."""
        rows = []
        for cached_BGTw in self.cache.in_one_piece():
            _, groups, _, width = cached_BGTw.shape
            slots_BGSw = self.slots_BS[:, None, :, None].expand(-1, groups, -1, width)
            rows.append(cached_BGTw.gather(2, slots_BGSw).transpose(0, 1).flatten(1, 2))
        return rows

    def inputs(self, q_1HNd: Tensor) -> tuple[Tensor, ...]:
        """The kernel's inputs: the sequences' queries, keys and values as they are cached, and the pages' table."""
        q_BHSd = q_1HNd[0, :, self.tokens].unflatten(1, self.slots_BS.shape).transpose(0, 1)
        table_BP = self.cache.page_table
        if table_BP is not None:
            return q_BHSd, *keys_and_values(self.cache.tensors, self.problem), table_BP
        return q_BHSd, *keys_and_values(self.cache.views(), self.problem)


class RaggedStep(ForwardStep):
    """Spans: the whole layer, and all calls of the kernel."""

    backend: CallByCall

    def __init__(
        self,
        layer: AttentionLayer,
        backend_for: Callable[[Problem], Backend],
        passes: Sequence[Pass],
        page_size: int | None,
        generator: torch.Generator,
    ) -> None:
        """`passes`: of equal sequences each, ordered by their new tokens, then the longest first. `page_size`: None for
        a cache in one piece for each sequence. Raises UnsupportedError."""
        require_cache_as_it_lies(layer, passes[0], "a batch with lengths or pages of its own supports")
        self.layer, self._generator, self._calls = layer, generator, list[Call]()
        sizes = {"kv_heads": layer.cache_heads, "widths": layer.cache_widths, "dtype": layer.cache_dtype}
        count = 0
        for query_len, equal in groupby(passes, key=lambda each: each.query_len):
            lengths = [each.seq_len for each in equal for _ in range(each.batch)]
            whole = replace(passes[0], batch=len(lengths), query_len=query_len, seq_len=lengths[0])
            cache = RaggedCache(lengths, device=layer.device, **sizes)
            if page_size is not None:
                cache = PagedCache(lengths, page_size=page_size, device=layer.device, generator=generator, **sizes)
            needs_lengths = page_size is not None or lengths[-1] < lengths[0]
            problem = layer.problem(whole)
            starts_B1 = torch.tensor(lengths, device=layer.device)[:, None] - query_len
            call = Call(
                problem=replace(problem, lengths=lengths if needs_lengths else None, page_size=page_size),
                cache=cache,
                slots_BS=starts_B1 + torch.arange(query_len, device=layer.device),
                tokens=slice(count, count + whole.tokens),
            )
            count += whole.tokens
            self._calls.append(call)
        self.problem = self._calls[0].problem
        self.backend = CallByCall([backend_for(call.problem) for call in self._calls])
        self._forward = replace(passes[0], batch=1, query_len=count, seq_len=count)
        self._positions_N = torch.cat([call.slots_BS.flatten() for call in self._calls])

    def constants(self) -> Sequence[Reading]:
        """The reading `cache_bytes_counted`: bytes that the caches' tensors hold for the sequences' tokens."""
        counted = sum(call.cache.counted_bytes() for call in self._calls)
        return [Reading(step=0, span="case", metric="cache_bytes_counted", value=counted)]

    def facts(self) -> dict[str, Any]:
        sequences = sum(len(call.cache.lengths) for call in self._calls)
        return {**super().facts(), "batch": f"{sequences} sequences, kernel calls: {len(self._calls)}"}

    def draw(self) -> None:
        with torch.inference_mode():
            for call in self._calls:
                call.cache.fill(self._generator)
            self.redraw_input()
            self.projected = self.kernel_inputs = self._project_and_cache()

    def check(self) -> Sequence[Reading]:
        """Compare kernel, sequence by sequence, and layer with float64: readings. Raises IncorrectError, also if what
        belongs to no sequence is read."""
        with torch.inference_mode():
            outputs = self.backend(*self.projected)
            calls = zip(self._calls, outputs, self.backend.split(self.projected), strict=True)
            errors = [
                check.compare(o_BHSv, inputs, call.problem, self._generator) for call, o_BHSv, (_, inputs) in calls
            ]
            for call in self._calls:
                call.cache.spoil_spare_slots(self._generator)
            again = self.backend(*self.projected)
            readings = check.readings_if_passed({"": check.worst(errors)})
            cached = zip(*(call.written() for call in self._calls), strict=True)
            rows = keys_and_values([torch.cat(parts, dim=1)[None] for parts in cached], self.problem)
            queries = [inputs[0] for _, inputs in self.backend.split(self.projected)]
            projected, output = (_joined(queries), *rows), _joined(outputs)
            readings += check.layer_readings(
                self.layer, self.problem, self._x_BSD, projected, 0, output, self._positions_N
            )
        self.require_untouched(readings, is_untouched=all(map(torch.equal, outputs, again)))
        return readings

    def _layer(self) -> Tensor:
        return self.layer.output(_joined(self.backend(*self._project_and_cache())))

    def _project_and_cache(self) -> tuple[Tensor, ...]:
        """Project the new tokens and write them to the caches. Returns the kernel's inputs, call by call."""
        q_1HNd, *rows = self.layer.project(self._x_BSD, None, 0, self._positions_N)
        inputs = list[Tensor]()
        for call in self._calls:
            call.write(rows[: len(call.cache.tensors)])
            inputs += call.inputs(q_1HNd)
        return tuple(inputs)


def keys_and_values(cached: Sequence[Tensor], problem: Problem) -> tuple[Tensor, Tensor]:
    """Keys and values from the cached tensors: two, or one whose first columns are the values."""
    in_key = problem.value_layout is ValueLayout.PREFIX_OF_KEY
    return cached[0], cached[0][..., : problem.v_dim] if in_key else cached[1]


def _joined(calls: Sequence[Tensor]) -> Tensor:
    """Queries or outputs of all calls, each [B, H, S, w], as [1, H, N, w]."""
    return torch.cat([x_BHSw.transpose(0, 1).flatten(1, 2) for x_BHSw in calls], dim=1)[None]
