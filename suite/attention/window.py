"""Grouped attention over a sliding window, with a sink a head or without: what gpt-oss and Mistral's first model do.

The cache goes round: it has as many rows as a step of its window reads, and the token at position p lies in row
p modulo that many, so that no step moves what older ones wrote. With one new token each of these keys is seen, and a
kernel need not know of the window, nor of the order of its keys; with several a band of them is.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from suite.attention.cache import Cache
from suite.attention.definition import GroupedDefinition
from suite.attention.grouped import GroupedAttention
from suite.attention.problem import Problem
from suite.theory.layers.algebra import Pass
from suite.theory.layers.shapes import GroupedShape


class WindowAttention(GroupedAttention):
    shape: GroupedShape
    definition = GroupedDefinition

    def __init__(self, shape: GroupedShape, **making: Any) -> None:
        super().__init__(shape, **making)
        if shape.sinks:
            sink_H = torch.empty(shape.num_heads, dtype=self.dtype, device=self.device)
            self.sink_H = torch.nn.Parameter(sink_H.normal_(generator=self._generator), requires_grad=False)

    def problem(self, forward: Pass) -> Problem:
        """The kernel's problem over the rows that a pass reads, with the row of the oldest token and the sinks."""
        read, window = self.shape.read_tokens(forward), self.shape.window
        assert window is not None
        return replace(
            super().problem(forward),
            seq_len=read,
            window=window if window < read else None,
            oldest_row=forward.seq_len % read,
            has_sinks=self.shape.sinks,
        )

    def project(
        self, x_BSD: Tensor, cache: Cache | None, start: int, positions_S: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """GroupedAttention's inputs of the kernel, after writing the cache, and behind them the sinks if it has any."""
        inputs = super().project(x_BSD, cache, start, positions_S)
        return (*inputs, self.sink_H) if self.shape.sinks else inputs

    @staticmethod
    def append_to_cache(cache: Cache | None, start: int, *new_BGSd: Tensor) -> tuple[Tensor, ...]:
        """Write new rows over the oldest. Returns all rows kept, or a prompt's own if it is longer than the cache."""
        if cache is None:
            return new_BGSd
        tokens, room = new_BGSd[0].shape[2], cache.room
        first = start + max(0, tokens - room)  # of a longer prompt the cache keeps the end
        row = first % room
        last = row + start + tokens - first
        for cached, new in zip(cache.tensors, new_BGSd, strict=True):
            last_rows = new[:, :, first - start :]
            cached[:, :, row : min(last, room)] = last_rows[:, :, : room - row]
            if last > room:
                cached[:, :, : last - room] = last_rows[:, :, room - row :]
        if tokens > room:
            assert start == 0, "the older tokens of a window are no longer kept"
            return new_BGSd
        return tuple(cache.views())
