"""The launch of the Triton decode kernel over a problem and a chip: a written rule, without Triton or a device.

- Widths. A tile is as wide as a power of two. A key is scored in two parts: where the value lies in it, the value's
  columns and the rest; elsewhere the greatest power of two in its width and the rest. What is still no power of two is
  filled up on chip, which costs arithmetic and no traffic.
- Rows. All rows of a key-value head in one block where they fit, since each block reads the cache again: up to 128 for
  tiles up to 128 wide, up to 64 beyond, where 64 × 512 sums fill half the registers; 16 in float32, which is multiplied
  without matrix units.
- Keys. As many as leave room for two further blocks of them to be under way beside the one that is multiplied. What
  does not fit the chip's shared memory is halved, keys before rows.
- Splits. The fewest whose waves of programs take nearly as little time as those of any number, each of LEAST_KEYS at
  least: every further one writes, and has read, its rows' sums in float32.

The sizes were chosen by what the compiler says of them for an H100; they have not been timed on one. Registers, shared
memory and instructions of each are in tests/kernels/h100.yaml, and tests hold that none spills.
"""

import math
from dataclasses import dataclass

import torch

from suite.attention.problem import Problem, ValueLayout

WIDEST = 512
LEAST_KEYS = 128
"""Tokens in a split, at least: the sums of 64 rows of 512, written and read, are as much as 227 cached tokens of
absorbed MLA."""
NEARLY = 0.9
MOST_PROGRAMS_EACH = 2
"""Programs on a multiprocessor at once: one multiplies while the other waits."""
ALL_REGISTERS = 128 * 128
"""Sums of one program from which on it leaves no registers for a second."""


@dataclass(frozen=True, kw_only=True)
class Chip:
    multiprocessors: int
    shared_bytes: int
    """Shared memory that one program may take."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    first: int
    rest: int
    """Columns of the key's two parts; the second may be none."""
    row_block: int
    key_block: int
    splits: int
    keys_per_split: int
    warps: int
    stages: int
    programs: int
    """Programs on a multiprocessor at once, which the splits count on."""

    @property
    def branches(self) -> bool:
        """Return whether eight warps share 64 rows, two of them each row; see `suite.attention.triton_decode`."""
        return self.row_block == 64 and self.warps == 8

    def __str__(self) -> str:
        parts = f"{self.first} + {self.rest}" if self.rest else f"{self.first}"
        cut = f"{self.splits} splits of {self.keys_per_split} keys" if self.splits > 1 else "1 split"
        return (
            f"{cut}; blocks of {self.row_block} rows by {self.key_block} keys, scored in {parts} columns; "
            f"{self.warps} warps, {self.stages} stages"
        )


def power_of_two(count: int) -> int:
    """Return the least power of two that is not below `count`, and 16 at least, since matrix units multiply so many."""
    return max(16, 1 << (count - 1).bit_length())


def key_parts(problem: Problem) -> tuple[int, int]:
    """Return the columns of the key's first and second part."""
    if problem.value_layout is ValueLayout.PREFIX_OF_KEY:
        return problem.v_dim, problem.qk_dim - problem.v_dim
    first = min(problem.qk_dim, 1 << (problem.qk_dim.bit_length() - 1))
    # Below 16 the parts would be filled up to more than the whole.
    return (first, problem.qk_dim - first) if first >= 16 else (problem.qk_dim, 0)


def launch_for(problem: Problem, chip: Chip) -> Launch:
    first, rest = key_parts(problem)
    widest = max(power_of_two(first), power_of_two(problem.v_dim))
    in_key = problem.value_layout is ValueLayout.PREFIX_OF_KEY
    is_float = problem.dtype is torch.float32
    rows = problem.heads_per_group * problem.query_len

    row_block = min(power_of_two(rows), 16 if is_float else 128 if widest <= 128 else 64)
    key_block = (32 if is_float else 64) if widest <= 128 else (16 if is_float else 32)
    warps = 8 if widest == WIDEST or row_block * widest >= ALL_REGISTERS or (is_float and widest > 128) else 4
    stages = 2 if is_float or (row_block * widest == 64 * WIDEST and not in_key) else 3

    key_bytes = (power_of_two(first) + (power_of_two(rest) if rest else 0)) * problem.dtype.itemsize
    token_bytes = key_bytes + (0 if in_key else power_of_two(problem.v_dim) * problem.dtype.itemsize)

    def shared_bytes() -> int:
        # Below 64 rows the block that is multiplied stands in registers. The last term: weights on their way to others.
        blocks = stages if row_block >= 64 else stages - 1
        return row_block * key_bytes + blocks * key_block * token_bytes + row_block * key_block * 4

    while shared_bytes() > chip.shared_bytes and row_block > 16:
        if key_block > 16:
            key_block //= 2
        else:
            row_block //= 2

    programs = problem.batch * problem.kv_heads * math.ceil(rows / row_block)
    fit = 1 if row_block * widest >= ALL_REGISTERS else chip.shared_bytes // shared_bytes()
    each = max(1, min(MOST_PROGRAMS_EACH, fit))
    blocks, least = math.ceil(problem.seq_len / key_block), math.ceil(LEAST_KEYS / key_block)
    keys_per_split = key_block * _blocks_per_split(blocks, least, programs, chip.multiprocessors * each)
    return Launch(
        first=first,
        rest=rest,
        row_block=row_block,
        key_block=key_block,
        splits=math.ceil(problem.seq_len / keys_per_split),  # none is empty
        keys_per_split=keys_per_split,
        warps=warps,
        stages=stages,
        programs=each,
    )


def _blocks_per_split(blocks: int, least: int, programs: int, places: int) -> int:
    """Return the blocks of keys in each of the fewest splits that take nearly as little time as any number does: waves
    of programs, each as long as a split."""

    def time(each: int) -> int:
        return math.ceil(programs * math.ceil(blocks / each) / places) * each

    choices = range(blocks, min(least, blocks) - 1, -1)
    enough = min(time(each) for each in choices) / NEARLY
    splits = next(math.ceil(blocks / each) for each in choices if time(each) <= enough)
    return math.ceil(blocks / splits)
