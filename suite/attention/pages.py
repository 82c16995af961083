"""A contiguous cache as the kernels of servers want it, in pages, without a copy.

A page is a view of some tokens of a sequence. The pages of a table must lie at multiples of one step: here the greatest
common divisor of what parts two pages and of what parts two sequences, so that most pages of the view overlap their
neighbours and are in no table. What such kernels gain by pages, growing without a copy, is not what is timed here; what
they cost is.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Pages:
    """Pages of `tokens` tokens over a tensor; page p begins p · step elements behind the tensor's first."""

    tokens: int
    strides: tuple[int, ...]
    """Strides of the tensors that this layout is for."""
    step: int
    count: int
    table_BP: Tensor
    """The pages of each sequence, int32."""

    def view(self, x_BGTd: Tensor) -> Tensor:
        """All pages of a tensor with these strides, [page, group, token, width], without a copy."""
        assert x_BGTd.stride() == self.strides, (x_BGTd.stride(), self.strides)
        size = (self.count, x_BGTd.shape[1], self.tokens, x_BGTd.shape[3])
        return x_BGTd.as_strided(size, (self.step, *self.strides[1:]), x_BGTd.storage_offset())


def paged(x_BGTd: Tensor, tokens: int) -> Pages:
    """Page table of a cache tensor, without a copy. Only whole pages: a kernel may read all of the last."""
    batch, _, length, _ = x_BGTd.shape
    assert length % tokens == 0, (length, tokens)
    between_sequences, between_pages = x_BGTd.stride(0), tokens * x_BGTd.stride(2)
    step = math.gcd(between_pages, between_sequences) if batch > 1 else between_pages
    begins_BP = torch.arange(batch)[:, None] * between_sequences + torch.arange(length // tokens) * between_pages
    table_BP = begins_BP // step
    return Pages(
        tokens=tokens,
        strides=x_BGTd.stride(),
        step=step,
        count=int(table_BP.max()) + 1,
        table_BP=table_BP.to(torch.int32).to(x_BGTd.device),
    )
