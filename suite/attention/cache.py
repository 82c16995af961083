"""A cache that is allocated once and written in place: no step pays for copying it.

A grouped layer keeps two tensors, keys and values; an absorbed MLA layer keeps one, whose first columns are the value;
a tied layer keeps the states of its groups and a rotary key that they share.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from suite.theory.layers.algebra import SCALED_ELEMENTS

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


DTYPES = {"int8": torch.int8, "fp8": torch.float8_e4m3fn}  # dtypes by the values of `cache_dtype`
LARGEST = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}
LEAST_SCALE = 1e-30  # the scale of zeros, which are then read as 0


class QuantisedCache(Cache):
    """A cache in eight bits that is really kept: int8 or float8, by the rule of FlashMLA's layout.

    A byte an element, a float32 scale for each 128 elements of a row, which maps the largest of them to the dtype's
    largest number, and a rotary key that stands apart in 16 bits whatever the layer computes in. CacheRows in
    suite.theory.layers.algebra is the closed form of the same rule (DeepSeek-V3's latent: 512 + 16 + 128 = 656 bytes a
    token). As `tensors`: elements of keys and values (or of keys that hold values), their scales, a rotary key if
    apart. Legend beside problem.py's: n blocks of 128 elements in a row.
    """

    def __init__(
        self,
        *,
        batch: int,
        kv_heads: int,
        length: int,
        widths: Sequence[int],
        rotary: int,
        dtype: torch.dtype,
        rotary_dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        """`widths`: elements of a row in eight bits, of each tensor; `rotary`: further columns of the first one."""
        self.length, self._dtype, self._rows = length, dtype, len(widths)
        blocks = [-(-width // SCALED_ELEMENTS) for width in widths]
        kinds = [(width, dtype) for width in widths] + [(count, torch.float32) for count in blocks]
        kinds += [(rotary, rotary_dtype)] if rotary else []
        self.tensors = [
            torch.empty(batch, kv_heads, length + SPARE_SLOTS, width, dtype=kind, device=device)
            for width, kind in kinds
        ]

    def write(self, start: int, *rows_BGSd: Tensor) -> None:
        """Quantise new tokens' rows, one tensor for each of `widths`; write elements and scales from `start` on."""
        new = slice(start, start + rows_BGSd[0].shape[2])
        for index, row_BGSd in enumerate(rows_BGSd):
            elements, scales = self.tensors[index], self.tensors[self._rows + index]
            elements[:, :, new], scales[:, :, new] = quantised(row_BGSd[..., : elements.shape[-1]], self._dtype)
        for rotary in self.tensors[2 * self._rows :]:
            rotary[:, :, new] = rows_BGSd[0][..., -rotary.shape[-1] :]

    def kernel_inputs(self) -> tuple[Tensor, ...]:
        """Views: elements of keys and of values, scales of both, rotary key. A value in the key has the key's."""
        views = self.views()
        elements, scales, rotary = views[: self._rows], views[self._rows : 2 * self._rows], views[2 * self._rows :]
        return elements[0], elements[-1], scales[0], scales[-1], *rotary

    def spoil_spare_slots(self, generator: torch.Generator) -> None:
        """Overwrite the slots past `length` with garbage: eight-bit elements, large finite scales, rotary keys."""
        for tensor in self.tensors:
            spare = tensor[:, :, self.length :]
            if tensor.dtype in LARGEST:
                spare.view(torch.int8).random_(1, 100, generator=generator)  # bits of a number in either dtype
            else:
                spare.normal_(std=GARBAGE_SIZE, generator=generator)


class RoundedCache(Cache):
    """A cache in the dtype of the rest whose rows are rounded, as they are written, to what eight bits hold of them:
    what is computed from it is what is computed from a quantised cache, and its memory is not."""

    def __init__(self, *, rounded_to: torch.dtype, rotary: int, **sizes: Any) -> None:
        """`rotary`: last columns of the first tensor, which stay as they are. `sizes`: those of a Cache."""
        super().__init__(**sizes)
        self._rounded_to, self._rotary = rounded_to, rotary

    def written(self, new: slice) -> None:
        for index, tensor in enumerate(self.tensors):
            rows = tensor[:, :, new, : tensor.shape[-1] - (self._rotary if index == 0 else 0)]
            rows.copy_(restored(*quantised(rows, self._rounded_to), rows.dtype))


def quantised(rows: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Quantise rows: their elements in `dtype`, and a float32 scale for each 128 of them, [..., n]."""
    elements, scales = [], []
    for part in rows.float().split(SCALED_ELEMENTS, dim=-1):
        scale = (part.abs().amax(dim=-1, keepdim=True) / LARGEST[dtype]).clamp(min=LEAST_SCALE)
        part = part / scale
        elements.append((part.round() if dtype is torch.int8 else part).to(dtype))
        scales.append(scale)
    return torch.cat(elements, dim=-1), torch.cat(scales, dim=-1)


def restored(elements: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
    """Dequantise rows: the elements times their scales, in `dtype`."""
    wide_dtype = torch.promote_types(dtype, torch.float32)
    parts = zip(elements.split(SCALED_ELEMENTS, dim=-1), scales.split(1, dim=-1), strict=True)
    return torch.cat([(part.to(wide_dtype) * scale).to(dtype) for part, scale in parts], dim=-1)
