"""Caches of sequences that differ in length: side by side with room for the longest, or in pages.

Legend beside problem.py's: w width of a cached row, P pages of a sequence, p tokens of a page.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from suite.attention.cache import DRAWN, GARBAGE_SIZE, Cache

SPARE_PAGES = 2  # pages of no sequence, whose garbage no kernel may read


class RaggedCache(Cache):
    """A place for each sequence, as long as the longest is; what lies behind a shorter one is garbage."""

    def __init__(self, lengths: Sequence[int], **sizes: Any) -> None:
        super().__init__(batch=len(lengths), length=max(lengths), **sizes)
        self.lengths = lengths

    @property
    def page_table(self) -> Tensor | None:
        """The pages of each sequence, int32, in the order of its tokens; None without pages."""
        return None

    def places(self, slots_BS: Tensor) -> tuple[Tensor, slice, Tensor]:
        """The index of tokens in a cached tensor, which gives [B, S, G, w]; `slots_BS`: their numbers in sequence."""
        return torch.arange(len(slots_BS), device=slots_BS.device)[:, None], slice(None), slots_BS

    def in_one_piece(self) -> list[Tensor]:
        """All tensors as [B, G, T, w], copies where there are pages. Rows behind a sequence's end mean nothing."""
        return self.tensors

    def counted_bytes(self) -> int:
        return sum(sum(self.lengths) * x[0, :, 0].numel() * x.element_size() for x in self.tensors)

    def spoil_spare_slots(self, generator: torch.Generator) -> None:
        for cached_BGTw in self.tensors:
            garbage = cached_BGTw.new_empty(DRAWN).normal_(std=GARBAGE_SIZE, generator=generator)
            for rows_GTw, length in zip(cached_BGTw, self.lengths, strict=True):
                for rows_Tw in rows_GTw[:, length:]:  # drawing numbers for each would take minutes
                    for part in rows_Tw.view(-1).split(DRAWN):
                        part.copy_(garbage[: len(part)])


class PagedCache(RaggedCache):
    """Pages of all sequences in one tensor, [pages, G, p, w], in an order that was drawn; `page_table` finds them."""

    def __init__(
        self, lengths: Sequence[int], *, page_size: int, device: torch.device, generator: torch.Generator, **sizes: Any
    ) -> None:
        counts = [math.ceil(length / page_size) for length in lengths]
        pages = sum(counts) + SPARE_PAGES
        Cache.__init__(self, batch=pages, length=page_size, device=device, spare_slots=0, **sizes)
        self.lengths, self.page_size = lengths, page_size
        order = torch.randperm(pages, generator=generator, device=device)
        # A sequence with fewer pages than the longest has a spare one in their place.
        self._table_BP = order[-1].repeat(len(lengths), max(counts)).to(torch.int32)
        for row_P, pages_P in zip(self._table_BP, order[: sum(counts)].split(counts), strict=True):
            row_P[: len(pages_P)] = pages_P
        self._spare = order[sum(counts) :]

    @property
    def page_table(self) -> Tensor:
        return self._table_BP

    def places(self, slots_BS: Tensor) -> tuple[Tensor, slice, Tensor]:
        pages_BS = self._table_BP.gather(1, slots_BS // self.page_size)
        return pages_BS.long(), slice(None), slots_BS % self.page_size

    def in_one_piece(self) -> list[Tensor]:
        return [from_pages(cached, self._table_BP) for cached in self.tensors]

    def spoil_spare_slots(self, generator: torch.Generator) -> None:
        for cached in self.tensors:
            for page in self._spare.tolist():
                cached[page].normal_(std=GARBAGE_SIZE, generator=generator)
            for row_P, length in zip(self._table_BP, self.lengths, strict=True):
                last, used = divmod(length - 1, self.page_size)
                cached[int(row_P[last]), :, used + 1 :].normal_(std=GARBAGE_SIZE, generator=generator)


def from_pages(pages: Tensor, table_BP: Tensor) -> Tensor:
    """Copy a cached tensor in pages to [B, G, T, w], T the tokens of a sequence's pages."""
    return pages[table_BP.long()].transpose(1, 2).flatten(2, 3)
