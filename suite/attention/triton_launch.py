"""The launch of the Triton decode kernel over a problem and a chip: a written rule, without Triton or a device.

- Widths. A tile is as wide as a power of two. A key is scored in two parts: where the value lies in it, the value's
  columns and the rest; elsewhere the greatest power of two in its width and the rest. What is still no power of two is
  filled up on chip, which costs arithmetic and no traffic.
- Rows. All rows of a key-value head in one block where they fit, since each block reads the cache again, if only from
  the L2 cache: up to 64, where 64 × 512 sums fill half the registers, and two programs of 64 × 128 share a
  multiprocessor that one of 128 × 128 would have alone. Up to 32 of 512 where matrix units take 16 rows at once; 16 in
  float32, which is multiplied without matrix units.
- Keys. 64, or 32 where few rows meet wide keys; half as many in float32. With 64 rows, eight warps take 32 keys of them
  each, and the scores' matrix instruction takes about as long for 16 columns as for 32. One or two further blocks of
  keys are under way beside the one that is multiplied. What does not fit the chip's shared memory is halved, keys
  before rows: 64 rows of absorbed MLA meet 64 keys on an H100, and 32 on a B200, where one block more is held.
- Splits. The fewest whose waves of programs take nearly as little time as those of any number, each of LEAST_KEYS at
  least: every further one writes, and has read, its rows' sums in float32.

The sizes were chosen by what the compiler says of them for an H100; they have not been timed on one. Registers, shared
memory and instructions of each, from an A100 to an RTX 5090, are in tests/kernels/compiled/. Tests hold that all fit,
and that few spill, and these a little.
"""

import math
from dataclasses import dataclass

import torch

from suite.attention.problem import Problem, ValueLayout

WIDEST = 512
# The generation whose warps share a product's rows, and those whose matrix units take 64 rows at once.
HOPPER, BLACKWELL, WIDE_PRODUCTS = 9, 10, (9, 10)
# Tokens in a split, at least: the sums of 64 rows of 512, written and read, are as much as 227 cached tokens of
# absorbed MLA.
LEAST_KEYS = 128
NEARLY = 0.97
# Programs on a multiprocessor at once: one multiplies while others wait. Small ones have 16 rows and four warps.
MOST_PROGRAMS_EACH, MOST_SMALL_PROGRAMS_EACH = 2, 3
RESERVED_BYTES = 1 << 10  # shared memory that is taken beside a program's own
BARRIER_BYTES = 576  # of a program's own beside its blocks, at most
ALL_REGISTERS = 128 * 128  # sums of one program from which on it leaves no registers for a second


@dataclass(frozen=True, kw_only=True)
class Chip:
    generation: int
    """Major number of its compute capability."""
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
    shared_bytes: int
    """Shared memory of one program; the compiler takes up to BARRIER_BYTES less."""
    branches: bool
    """Eight warps share the 64 rows of a matrix instruction, two of them each; see `suite.attention.triton_decode`."""

    def __str__(self) -> str:
        parts = f"{self.first} + {self.rest}" if self.rest else f"{self.first}"
        cut = f"{self.splits} splits of {self.keys_per_split} keys" if self.splits > 1 else "1 split"
        return (
            f"{cut}; blocks of {self.row_block} rows by {self.key_block} keys, scored in {parts} columns; "
            f"{self.warps} warps, {self.stages} stages"
        )


def power_of_two(count: int) -> int:
    """The least power of two from `count` up, but at least 16, the fewest that matrix units multiply."""
    return max(16, 1 << (count - 1).bit_length())


def key_parts(problem: Problem) -> tuple[int, int]:
    """How many columns the two parts of a key have in which it is scored; the second may have 0."""
    if problem.value_layout is ValueLayout.PREFIX_OF_KEY:
        return problem.v_dim, problem.qk_dim - problem.v_dim
    first = min(problem.qk_dim, 1 << (problem.qk_dim.bit_length() - 1))
    # Below 16 the parts would be filled up to more than the whole.
    return (first, problem.qk_dim - first) if first >= 16 else (problem.qk_dim, 0)


def launch_for(problem: Problem, chip: Chip) -> Launch:
    """Block sizes, splits and warps for a problem on a chip, by the rule at the top of this module."""
    first, rest = key_parts(problem)
    widest = max(power_of_two(first), power_of_two(problem.v_dim))
    in_key = problem.value_layout is ValueLayout.PREFIX_OF_KEY
    is_float = problem.dtype is torch.float32
    rows = problem.heads_per_group * problem.query_len

    most_rows = 16 if is_float else 64 if widest < WIDEST or chip.generation in WIDE_PRODUCTS else 32
    row_block = min(power_of_two(rows), most_rows)
    key_block = 64 if widest <= 128 or row_block == 64 else 32
    if is_float:
        key_block //= 2
    warps = 8 if widest == WIDEST or row_block * widest >= ALL_REGISTERS or (is_float and widest > 128) else 4
    stages = 2 if is_float or (row_block == 64 and widest > 128) else 3

    key_bytes = (power_of_two(first) + (power_of_two(rest) if rest else 0)) * problem.dtype.itemsize
    token_bytes = key_bytes + (0 if in_key else power_of_two(problem.v_dim) * problem.dtype.itemsize)

    def shared_bytes() -> int:
        """Shared memory that one program takes with the block sizes so far."""
        is_wide = row_block == 64 and chip.generation in WIDE_PRODUCTS
        # Wide products read the block that is multiplied in shared memory; others hold it in registers.
        blocks = stages if is_wide else stages - 1
        # Weights are on their way to other warps, but where four have 64 rows each multiplies by its own.
        further_bytes = 0 if is_wide and warps == 4 else row_block * key_block * problem.dtype.itemsize
        if is_wide and chip.generation == BLACKWELL:
            # Weights stand in the matrix units' own memory. A product is still under way when the next keys come, so
            # that values which it reads out of the key are held once more.
            further_bytes = key_block * power_of_two(first) * problem.dtype.itemsize if in_key else 0
        return row_block * key_bytes + blocks * key_block * token_bytes + further_bytes + BARRIER_BYTES

    while shared_bytes() > chip.shared_bytes and max(row_block, key_block) > 16:
        if key_block > 16:
            key_block //= 2
        else:
            row_block //= 2

    programs = problem.batch * problem.kv_heads * math.ceil(rows / row_block)
    fit = (chip.shared_bytes + RESERVED_BYTES) // (shared_bytes() + RESERVED_BYTES)
    most = MOST_SMALL_PROGRAMS_EACH if row_block == 16 and warps == 4 else MOST_PROGRAMS_EACH
    each = 1 if row_block * widest >= ALL_REGISTERS else max(1, min(most, fit))
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
        shared_bytes=shared_bytes(),
        branches=chip.generation == HOPPER and row_block == 64 and warps == 8,
    )


def _blocks_per_split(blocks: int, least: int, programs: int, places: int) -> int:
    """Blocks of keys in a split, for the fewest splits whose time is within NEARLY of the least. `places`: programs
    that run at once; `least`: blocks of a split at least."""

    def time(each: int) -> int:
        return math.ceil(programs * math.ceil(blocks / each) / places) * each

    choices = range(blocks, min(least, blocks) - 1, -1)
    enough = min(time(each) for each in choices) / NEARLY
    splits = next(math.ceil(blocks / each) for each in choices if time(each) <= enough)
    return math.ceil(blocks / splits)
