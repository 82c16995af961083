"""Measured pairs that belong on the sign map: rows of a machine whose records hold the map's own sizes.

Whether they do, their exact quantities say: FLOPs and cache bytes that equal those of the map's shapes to the unit.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from suite.records.derived import ceilings_of, constant
from suite.report.pairs import Pair, heads_of
from suite.report.timings import axis
from suite.theory.attention_plan import ELEMENT_BYTES
from suite.theory.shapes import Pass, cache_bytes, kernel_flops
from suite.theory.sign_map import DTYPE, rivals

Cell = tuple[int, int, int]
"""Heads of the whole layer, ranks and new tokens."""
MOST_OF_A_SIZE = 1 << 20
LONGEST_NAME = 20


@dataclass(frozen=True, kw_only=True)
class Machine:
    name: str
    """The results' label, and the dtype where it is not the map's."""
    ridge_flops_per_byte: float | None
    """Median of what the runs measured, at their working sets."""
    pairs: Mapping[Cell, Pair]


def machines(pairs: Sequence[Pair]) -> list[Machine]:
    """A machine for each label and dtype that has pairs on the map. Of several in a cell the longest context counts."""
    found: dict[tuple[str, str], dict[Cell, Pair]] = defaultdict(dict)
    for pair in sorted(pairs, key=lambda pair: pair.mla.seq_len or 0):
        cell = cell_of(pair)
        if cell is not None:
            found[pair.mla.label, axis(pair.record, "dtype")][cell] = pair
    named = zip(_names(list(found)), found.values(), strict=True)
    return [Machine(name=name, ridge_flops_per_byte=_ridge(cells), pairs=cells) for name, cells in named]


def _names(machines: Sequence[tuple[str, str]]) -> list[str]:
    """Short, since they stand beside the map, and no two alike, since rows of one name would fall together."""
    names: list[str] = []
    for label, dtype in machines:
        short = label if len(label) <= LONGEST_NAME else label[: LONGEST_NAME - 1] + "…"
        name = short if dtype == DTYPE else f"{short}, {dtype}"
        names.append(f"{name} ({len(names) + 1})" if name in names else name)
    return names


def cell_of(pair: Pair) -> Cell | None:
    """The cell of the map whose sizes a pair has, or None."""
    axes = pair.record.case.axes
    heads, _ = heads_of(pair)
    sizes = (heads, *(axes.get(name) for name in ("tp", "query_len", "batch")), pair.mla.seq_len)
    element_bytes = ELEMENT_BYTES.get(axis(pair.record, "dtype"))
    if element_bytes is None or not all(isinstance(size, int) and 0 < size < MOST_OF_A_SIZE for size in sizes):
        return None
    rank_heads, tp, query_len, batch, seq_len = (int(size or 0) for size in sizes)
    forward = Pass(batch=batch, query_len=query_len, seq_len=seq_len, element_bytes=element_bytes)
    try:
        shapes = rivals(rank_heads * tp, tp)
    except ValueError:  # no multiple of the map's groups
        return None
    for shape, timing in zip(shapes, (pair.gqa, pair.mla), strict=True):
        noted = [constant(timing.record, span, name) for span, name in (("kernel", "flops"), ("case", "cache_bytes"))]
        if noted != [kernel_flops(shape, forward), cache_bytes(shape, forward)]:
            return None
    return rank_heads * tp, tp, query_len


def _ridge(cells: Mapping[Cell, Pair]) -> float | None:
    ceilings = [ceilings_of(pair.record, "kernel") for pair in cells.values()]
    ridges = [one.ridge_flops_per_byte for one in ceilings if one]
    return median(ridges) if ridges else None
