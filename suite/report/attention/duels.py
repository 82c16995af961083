"""Measured duels of GQA and MLA: pairs of records that agree in everything but the variant."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import median
from typing import Any

from suite.records import numbers
from suite.records.derived import ceilings_of
from suite.report.attention.columns import CONTEXT, DTYPE, GEOMETRY, label_column
from suite.report.attention.groups import told_apart
from suite.report.attention.timings import KERNEL, Timing, is_plausible_s, one_launch_reach, row_facets, timings
from suite.report.blocks import Figure, Kind, Table, Text, View, dotted, joined, say
from suite.report.model.experiment import grouped
from suite.report.model.formats import ratio
from suite.report.model.labels import GREY, VARIANT, style_of
from suite.report.model.results import Results
from suite.report.model.run import extras, mapping
from suite.report.plot.heatmap import shading
from suite.report.plot.marks import Point, Series, faint
from suite.report.plot.rows import rows
from suite.report.plot.scales import linear, ticked
from suite.report.table import column, columns_of, table
from suite.statistics.intervals import comparable_interval
from suite.theory.attention_plan import ELEMENT_BYTES
from suite.theory.shapes import Pass, cache_bytes, kernel_flops
from suite.theory.sign_map import DTYPE as MAP_DTYPE
from suite.theory.sign_map import rivals

ALWAYS_SHOWN = ("attention", "geometry", "dtype", "query_len", "seq_len")
PAIR_PX, MOST_DRAWN = 54, 24
REACH = 2.0
"""The colours end at 1/4 and 4 times: log2 of what the closed forms can give, 0.24 to 3.6."""
OPACITY = 0.7
"""Text in the page's own colour stays readable on it, in light and in dark."""
MOST_OF_A_SIZE = 1 << 20
LONGEST_NAME = 20

DISC = {"symbol": "circle", "color": "#ffffff", "line": {"color": "#1b1f24", "width": 2}, "size": 11}
RING = {"symbol": "circle-open", "color": GREY, "line": {"width": 2.5}, "size": 14}

Cell = tuple[int, int, int]
"""A cell of the map: heads of the whole layer, ranks and new tokens."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """GQA's and MLA's kernel timings of one case, alike in everything else."""

    gqa: Timing
    mla: Timing

    @property
    def measured(self) -> float:
        return self.gqa.median_s / self.mla.median_s

    @property
    def ends(self) -> tuple[float, float]:
        """Return the ratio's ends within both medians' intervals, as far as these may be compared."""
        gqa, mla = comparable_interval(self.gqa.interval), comparable_interval(self.mla.interval)
        return gqa.low / mla.high, gqa.high / mla.low

    @property
    def predicted(self) -> float | None:
        gqa_s, mla_s = _bound_s(self.gqa), _bound_s(self.mla)
        return None if gqa_s is None or mla_s is None else gqa_s / mla_s

    @property
    def series(self) -> tuple[str, ...]:
        """Return what it shares with pairs at other contexts; numbers are padded, so that they sort as numbers."""
        axes = {name: self.mla.axis(name).rjust(9) for name in self.mla.record.case.axes if name != "seq_len"}
        order = [axes.pop(name, "") for name in ("geometry", "dtype", "tp", "query_len")]
        return (*order, *axes.values(), *extras(self.gqa.record), *extras(self.mla.record), self.mla.label)

    @property
    def heads(self) -> float | None:
        """Return the query heads of one rank."""
        tp = self.gqa.record.case.axes.get("tp")
        heads = mapping(self.gqa.record.settings, "geometry").get("num_heads")
        is_known = isinstance(heads, int) and isinstance(tp, int) and tp > 0 and 0 < heads < 1 << 31
        return int(heads or 0) // int(tp or 1) if is_known else None

    @property
    def kv_heads(self) -> float | None:
        """Return GQA's key-value heads of one rank, by what its cache is of MHA's with as many heads."""
        heads, share = self.heads, self.gqa.cache_share
        return heads * share if heads is not None and share is not None else None


def _bound_s(timing: Timing) -> float | None:
    """Return the kernel's least time at the ceilings that its own run measured, where it did."""
    ceilings = ceilings_of(timing.record, KERNEL)
    flops, traffic = timing.amount("flops"), timing.amount("traffic_bytes")
    if ceilings is None or flops is None or traffic is None:
        return None
    bound_s = ceilings.bound_s(flops=flops, traffic_bytes=traffic)
    return bound_s if is_plausible_s(bound_s) else None


def measured_pairs(results: Results) -> list[Pair]:
    """Return every measured decode case that both GQA and MLA have, by its axes; each in all its own sizes."""
    fit = [
        timing
        for timing in timings(results)
        if timing.span == KERNEL and timing.is_measured and timing.tokens is not None
        if timing.axis("phase") == "decode" and timing.axis("match") == "heads"
    ]
    pairs = []
    for case in grouped(fit, _shared).values():
        sides = [[timing for timing in case if timing.variant == variant] for variant in ("gqa", "mla")]
        pairs += [Pair(gqa=gqa, mla=mla) for gqa, mla in product(*sides)]
    return sorted(pairs, key=lambda pair: (*pair.series, pair.mla.tokens or 0))


def _shared(timing: Timing) -> tuple[str, ...]:
    axes = timing.record.case.axes.items()
    return (timing.label, *(f"{name}={value}" for name, value in axes if name != "attention"), *timing.shared_extras)


def settings_of(pairs: Sequence[Pair]) -> dict[Pair, str]:
    """Return what tells each pair from the others, and what is not as usual."""
    return told_apart({pair: (pair.gqa, pair.mla) for pair in pairs}, besides=ALWAYS_SHOWN)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Measured pairs that belong on the sign map: of one label and dtype, in the map's own sizes."""

    name: str
    ridge_flops_per_byte: float | None
    """Median of what the runs measured, at their working sets."""
    pairs: Mapping[Cell, Pair]


def machines(pairs: Sequence[Pair]) -> list[Machine]:
    """Return a machine for each label and dtype on the map. Of several pairs in a cell the longest context counts."""
    on_map = [pair for pair in sorted(pairs, key=lambda pair: pair.mla.tokens or 0) if cell_of(pair)]
    found = []
    names: list[str] = []
    for (label, dtype), of_machine in grouped(on_map, lambda pair: (pair.mla.label, pair.mla.axis("dtype"))).items():
        # Short, since they stand beside the map, and no two alike, since rows of one name would fall together.
        short = label if len(label) <= LONGEST_NAME else label[: LONGEST_NAME - 1] + "…"
        name = short if dtype == MAP_DTYPE else f"{short}, {dtype}"
        names.append(f"{name} ({len(names) + 1})" if name in names else name)
        cells = {cell: pair for pair in of_machine if (cell := cell_of(pair))}
        ceilings = [one for pair in cells.values() if (one := ceilings_of(pair.mla.record, KERNEL))]
        ridge = median(one.ridge_flops_per_byte for one in ceilings) if ceilings else None
        found.append(Machine(name=names[-1], ridge_flops_per_byte=ridge, pairs=cells))
    return found


def cell_of(pair: Pair) -> Cell | None:
    """Return the cell of the map whose sizes a pair has, or None.

    Whether it has them, its exact quantities say: FLOPs and cache bytes equal those of the map's shapes to the unit.
    """
    axes = pair.mla.record.case.axes
    sizes = (pair.heads, axes.get("tp"), axes.get("query_len"), axes.get("batch"), pair.mla.tokens)
    element_bytes = ELEMENT_BYTES.get(pair.mla.axis("dtype"))
    if element_bytes is None or not all(isinstance(size, int) and 0 < size < MOST_OF_A_SIZE for size in sizes):
        return None
    rank_heads, tp, query_len, batch, seq_len = (int(size or 0) for size in sizes)
    forward = Pass(batch=batch, query_len=query_len, seq_len=seq_len, element_bytes=element_bytes)
    try:
        shapes = rivals(rank_heads * tp, tp)
    except ValueError:  # no multiple of the map's groups
        return None
    noted = [(one.amount("flops"), one.amount("cache_bytes", "case")) for one in (pair.gqa, pair.mla)]
    is_on_map = noted == [(kernel_flops(shape, forward), cache_bytes(shape, forward)) for shape in shapes]
    return (rank_heads * tp, tp, query_len) if is_on_map else None


def ratio_colours() -> dict[str, Any]:
    """Return GQA's colour, through nothing, to MLA's: the middle is the page itself, light or dark."""
    gqa, mla = style_of(VARIANT, "gqa").colour, style_of(VARIANT, "mla").colour
    stops = [(0, gqa, 1.0), (0.375, gqa, 0.5), (0.5, GREY, 0.08 / OPACITY), (0.625, mla, 0.5), (1, mla, 1.0)]
    scale = [[at, faint(colour, OPACITY * part)] for at, colour, part in stops]
    return {"colorscale": scale, "zmin": -REACH, "zmax": REACH}


def pair_figure(pairs: Sequence[Pair], results: Results) -> Figure | None:
    """Draw the longest context of each series; None without pairs."""
    longest = list({pair.series: pair for pair in pairs}.values())
    drawn = longest[:MOST_DRAWN]
    left_out = say("signmap.not_drawn", count=len(longest) - len(drawn)) if len(longest) > len(drawn) else ""
    return Figure(
        title=say("signmap.measured"),
        caption=joined("sentence", [say("signmap.measured_caption", reach=one_launch_reach()), left_out]),
        views=[View(title="", figure=_dumbbells(drawn, results))] if drawn else [],
        height_px=100 + PAIR_PX * len(drawn),
        wide=True,
    )


def _dumbbells(pairs: Sequence[Pair], results: Results) -> dict[str, Any]:
    names = _row_names(pairs, results)

    def point(row: int, value: float, ends: tuple[float, ...] = ()) -> Point:
        low_high = (math.log2(ends[0]), math.log2(ends[1])) if ends else None
        about = {**row_facets(pairs[row].mla), "label": pairs[row].mla.label}
        hover = joined(": ", [names[row], ratio(value)])
        return Point(x=math.log2(value), y=row, ends=low_high, hover=hover, facets=about)

    measured = [point(row, pair.measured, pair.ends) for row, pair in enumerate(pairs)]
    predicted = [point(row, pair.predicted) for row, pair in enumerate(pairs) if pair.predicted is not None]
    reach = max(REACH, *(abs(end) for one in (*measured, *predicted) for end in (one.x, *(one.ends or ())))) + 0.25
    step = max(1, math.ceil(reach / 4))
    ticks = [tick for tick in range(-math.floor(reach), math.floor(reach) + 1) if tick % step == 0]
    ring = Series(name=say("signmap.predicted"), points=predicted, more={"marker": RING})
    disc = Series(name=say("signmap.measured_ratio"), points=measured, along="x", more={"marker": DISC})
    axis = linear(say("signmap.scale"), range=[-reach, reach], **ticked([(tick, f"{2.0**tick:g}×") for tick in ticks]))
    return rows(
        names,
        [shading(reach, len(pairs), ratio_colours()), *([ring] if predicted else []), disc],
        xaxis=axis | {"zeroline": True},
        shift_px=17,
        meta={"log2": "x"},
    )


def _row_names(pairs: Sequence[Pair], results: Results) -> list[Text]:
    settings = settings_of(pairs)
    names = []
    for pair in pairs:
        mla = pair.mla
        sizes = say("signmap.row", count=mla.axis("query_len"), context=numbers.count(mla.tokens or 0))
        # On a narrow screen the end is cut off.
        label = mla.label if results.several else ""
        names.append(dotted(mla.axis("geometry"), sizes, settings[pair], label, mla.axis("dtype")))
    return names


def pair_table(pairs: Sequence[Pair], results: Results) -> Table:
    """Lay out every pair beside what the roofline predicts of it."""
    return table(
        say("signmap.measured_table"),
        pairs,
        [
            *columns_of(_mla, [GEOMETRY]),
            column("signmap.rank_heads", lambda pair: pair.heads, numbers.count),
            column("signmap.rank_kv_heads", lambda pair: pair.kv_heads, numbers.count),
            column("signmap.new_tokens", lambda pair: pair.mla.axis("query_len"), kind=Kind.NUMBER),
            column("signmap.tp", lambda pair: pair.mla.axis("tp"), kind=Kind.NUMBER),
            *columns_of(_mla, [CONTEXT, DTYPE]),
            column("signmap.predicted", lambda pair: pair.predicted, numbers.times),
            column("signmap.measured_ratio", lambda pair: pair.measured, numbers.times),
            column("signmap.range", _range, kind=Kind.NUMBER),
            column("column.backend", _backends, kind=Kind.CODE),
            column("column.settings", settings_of(pairs).get, kind=Kind.CODE),
            *columns_of(_mla, label_column(results)),
        ],
        note=say("signmap.measured_note", reach=one_launch_reach()),
        facets_of=lambda pair: row_facets(pair.mla),
    )


def _mla(pair: Pair) -> Timing:
    return pair.mla


def _range(pair: Pair) -> str:
    low, high = map(numbers.times, pair.ends)
    return f"{low.rstrip('×')}–{high}"


def _backends(pair: Pair) -> str:
    return " / ".join(dict.fromkeys(", ".join(timing.line) for timing in (pair.gqa, pair.mla)))
