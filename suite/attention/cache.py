"""A cache that is allocated once and written in place: no step pays for copying it.

A grouped layer keeps two tensors, keys and values; an absorbed MLA layer keeps one, whose first columns are the value;
a tied layer keeps the states of its groups and a rotary key that they share.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

# Slots past the length. The check fills them with garbage that no kernel may read. A whole page of the largest that a
# package reads, so that a cache of whole pages has nothing between two of its sequences.
SPARE_SLOTS = 64
GARBAGE_SIZE = 1e4
# Numbers that are drawn for a tensor; a longer one repeats them, at a tenth of the cost. A prime: no two rows of fewer
# than so many are alike, so that a kernel which reads the wrong one is still seen.
DRAWN = 1_000_003


class Cache:
    """Tensors of shape [batch, kv_heads, capacity, width], one for each of `widths`. `kv_heads`: of all, or of each."""

    def __init__(
        self,
        *,
        batch: int,
        kv_heads: int | Sequence[int],
        length: int,
        widths: Sequence[int],
        dtype: torch.dtype,
        device: torch.device,
        spare_slots: int = SPARE_SLOTS,
    ) -> None:
        # A decoder raises `length` token by token; `room` stays, the rows that a cache which goes round has.
        self.length = self.room = length
        capacity = length + spare_slots
        heads = [kv_heads] * len(widths) if isinstance(kv_heads, int) else kv_heads
        sizes = [(batch, count, capacity, width) for count, width in zip(heads, widths, strict=True)]
        self.tensors = [torch.empty(size, dtype=dtype, device=device) for size in sizes]

    def written(self, new: slice) -> None:
        """Called when the rows of new tokens stand in the tensors, before any is read."""

    def views(self) -> list[Tensor]:
        """Views of the first `length` tokens of each tensor, without the spare slots."""
        return [tensor[:, :, : self.length] for tensor in self.tensors]

    def counted_bytes(self) -> int:
        """Bytes of the first `length` tokens in all tensors, counted on the tensors themselves."""
        return sum(view.numel() * view.element_size() for view in self.views())

    def fill(self, generator: torch.Generator) -> None:
        """Overwrite all tokens with standard-normal numbers, and the spare slots with garbage."""
        for tensor in self.tensors:
            first, *others = tensor.view(-1).split(DRAWN)
            first.normal_(generator=generator)
            for part in others:
                part.copy_(first[: len(part)])
        self.spoil_spare_slots(generator)

    def spoil_spare_slots(self, generator: torch.Generator) -> None:
        """Overwrite the slots past `length` with large garbage: no NaN, which a correct zero mask would spread."""
        for tensor in self.tensors:
            tensor[:, :, self.length :].normal_(std=GARBAGE_SIZE, generator=generator)
