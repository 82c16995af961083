"""Who wins where, MLA or GQA: the map that the closed forms draw, and measured pairs beside the same rule.

A device with a calibration of both kernels is coloured by what is expected of good ones, any other by the bound; each
row says which. How well the expected times fit every measured cell stands below the map.
A pair is two records that agree in everything but the variant. One of the map's own sizes stands on the map.
"""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from operator import attrgetter
from statistics import median
from typing import Any

from suite.records import numbers
from suite.records.derived import ceilings_of
from suite.report.attention.groups import axes_of, lines_of, representatives, side_by_side, told_apart
from suite.report.attention.timings import (
    CONTEXT,
    DTYPE,
    GEOMETRY,
    KERNEL,
    Timing,
    is_clearly_faster,
    is_plausible,
    one_launch_reach,
    row_facets,
    timings,
)
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, View, dotted, joined, say, section
from suite.report.model.experiment import grouped
from suite.report.model.formats import ratio, times_range
from suite.report.model.labels import GREY, variant_style
from suite.report.model.results import Results
from suite.report.model.run import LABEL, extras, mapping
from suite.report.model.timed_kernels import timed_kernel
from suite.report.plot.heatmap import colour_bar, diverging, heatmap, shading
from suite.report.plot.marks import Point, Series
from suite.report.plot.rows import drawn_of, rows
from suite.report.plot.scales import linear, ticked
from suite.report.plot.text import figure_text, short_names
from suite.report.table import column, columns_of, label_column, table
from suite.statistics.intervals import ratio_of_medians
from suite.theory.answers.sign_map import (
    CONTEXT_TOKENS,
    ExpectedDuel,
    KernelDuel,
    duel,
    exact_quantities,
    expected_duel,
)
from suite.theory.devices.calibration import DTYPE as MAP_DTYPE
from suite.theory.devices.calibration import Calibration, relative_errors
from suite.theory.devices.calibration import Cell as KernelCell
from suite.theory.devices.calibration_file import known_calibrations, load_calibration
from suite.theory.devices.hardware import known_hardware
from suite.theory.layers.algebra import Pass
from suite.theory.layers.attention_plan import ELEMENT_BYTES
from suite.theory.layers.roofline import Ceilings

RANKS, HEADS, QUERY_LENS = (1, 2, 4, 8), (128, 64, 32, 16), (1, 2, 4, 8, 16)
FRAME_PX, ROW_PX = 110, 19
TICKS = [(-2.0, "0.25×"), (-1.0, "0.5×"), (0.0, "1×"), (1.0, "2×"), (2.0, "4×")]
AXES_OF_COLUMNS = ("attention", "geometry", "dtype", "query_len", "seq_len")
PAIR_PX, MOST_DRAWN = 54, 14
REACH = 2.0
"""Colours end at 1/4 and 4 times: log2 of what the closed forms can give, 0.24 to 3.6."""
MOST_OF_A_SIZE = 1 << 20
DISC = {"symbol": "circle", "color": "#ffffff", "line": {"color": "#1b1f24", "width": 2}, "size": 11}
RING = {"symbol": "circle-open", "color": GREY, "line": {"width": 2.5}, "size": 14}

Device = tuple[str, Ceilings]
Cell = tuple[int, int, int]
"""A cell of the map: heads of the whole layer, ranks and new tokens."""
Row = tuple[Text, list[float | None], list[Text], list[Sequence[str]]]
"""A line of the map: its name, and a ratio, what hovering says and the runs for each number of new tokens."""
NO_RUNS: list[Sequence[str]] = [()] * len(QUERY_LENS)


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
        found = ratio_of_medians(self.gqa.interval, self.mla.interval)
        return found.low, found.high

    @property
    def runs(self) -> tuple[str, str]:
        return self.gqa.record.run_key, self.mla.record.run_key

    @property
    def predicted(self) -> float | None:
        gqa_s, mla_s = _bound_s(self.gqa), _bound_s(self.mla)
        return gqa_s / mla_s if gqa_s and mla_s else None

    @property
    def series(self) -> tuple[str, ...]:
        """Return what it shares with pairs at other contexts; numbers are padded, so that they sort as numbers."""
        axes = {name: value.rjust(9) for name, value in axes_of(self.mla, ["backend", "seq_len"])}
        order = [axes.pop(name, "") for name in ("geometry", "dtype", "tp", "query_len")]
        return (*order, *axes.values(), *extras(self.gqa.record), *extras(self.mla.record), self.mla.label)

    @property
    def heads(self) -> int | None:
        """Return the query heads of one rank."""
        heads = mapping(self.gqa.record.settings, "geometry").get("num_heads")
        tp = self.gqa.record.case.axes.get("tp")
        is_known = isinstance(heads, int) and isinstance(tp, int) and tp > 0 and 0 < heads < 1 << 31
        return int(heads or 0) // int(tp or 1) if is_known else None

    @property
    def kv_heads(self) -> float | None:
        """Return GQA's key-value heads of one rank, by what its cache is of MHA's with as many heads."""
        return self.heads * self.gqa.cache_share if self.heads and self.gqa.cache_share else None

    @property
    def cell(self) -> Cell | None:
        """Return the cell of the map whose sizes it has: FLOPs and cache bytes equal the map's to the unit."""
        axes, element_bytes = self.mla.record.case.axes, ELEMENT_BYTES.get(self.mla.axis("dtype"))
        sizes = (self.heads, axes.get("tp"), axes.get("query_len"), axes.get("batch"), self.mla.tokens)
        if element_bytes is None or not all(isinstance(size, int) and 0 < size < MOST_OF_A_SIZE for size in sizes):
            return None
        rank_heads, tp, query_len, batch, seq_len = (int(size or 0) for size in sizes)
        forward = Pass(batch=batch, query_len=query_len, seq_len=seq_len, element_bytes=element_bytes)
        noted = [(timing.amount("flops"), timing.amount("cache_bytes", "case")) for timing in (self.gqa, self.mla)]
        return (rank_heads * tp, tp, query_len) if noted == exact_quantities(rank_heads * tp, tp, forward) else None


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Expected against measured times of one device, published ones or those of one label."""

    device: str
    cells: Sequence[tuple[Calibration, KernelCell]]
    label: str = ""

    @functools.cached_property
    def values(self) -> list[float]:
        """Return |expected / measured - 1| of each cell of which something is expected, sorted."""
        return relative_errors(self.cells)

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def p90(self) -> float:
        """Return the error that nine in ten do not pass."""
        return self.values[math.ceil(0.9 * len(self.values)) - 1]

    @property
    def whose(self) -> Text:
        return self.label or say("signmap.published")


def _bound_s(timing: Timing) -> float | None:
    """The kernel's least time at the ceilings that its own run measured, where it did."""
    ceilings = ceilings_of(timing.record, KERNEL)
    flops, traffic = timing.amount("flops"), timing.amount("traffic_bytes")
    bound_s = ceilings.bound_s(flops=flops, traffic_bytes=traffic) if ceilings and flops and traffic else 0.0
    return bound_s if is_plausible(bound_s) else None


def measured_pairs(results: Results) -> list[Pair]:
    """Return every measured decode case that both GQA and MLA have, by its axes; each in all its own sizes."""
    kernels = [t for t in representatives(timings(results)) if t.span == KERNEL and t.is_measured and t.tokens]
    fit = [t for t in kernels if t.axis("phase") == "decode" and t.axis("match") == "heads" and t.is_checked]
    pairs = [Pair(gqa=gqa, mla=mla) for gqa, mla in side_by_side(fit, "gqa", "mla", ("attention", "backend"))]
    return sorted(pairs, key=lambda pair: (*pair.series, pair.mla.tokens or 0))


def machines(pairs: Sequence[Pair]) -> dict[str, dict[Cell, Pair]]:
    """Return the pairs on the map by a name of label and dtype. Of several in a cell the longest context counts."""
    on_map = sorted((pair for pair in pairs if pair.cell), key=lambda pair: pair.mla.tokens or 0)
    found = grouped(on_map, lambda pair: (pair.mla.label, pair.mla.axis("dtype")))
    labels = list(dict.fromkeys(label for label, _ in found))
    names = dict(zip(labels, short_names(labels), strict=True))
    cells: dict[str, dict[Cell, Pair]] = {}
    for (label, dtype), of_machine in found.items():
        name = names[label] if dtype == MAP_DTYPE else f"{names[label]}, {dtype}"
        cells[name] = {cell: pair for pair in of_machine if (cell := pair.cell)}
    return cells


def settings_of(pairs: Sequence[Pair]) -> dict[Pair, str]:
    """Return what tells each pair from the others, and what is not as usual."""
    return told_apart({pair: (pair.gqa, pair.mla) for pair in pairs}, besides=AXES_OF_COLUMNS)


def ratio_colours() -> dict[str, Any]:
    """Return GQA's colour, through nothing, to MLA's, for the logarithm of a ratio."""
    return diverging(variant_style("gqa").colour, variant_style("mla").colour, REACH)


def pair_figures(pairs: Sequence[Pair], results: Results) -> list[Figure]:
    """Draw the longest context of each series, a figure for each label and dtype."""
    longest = list({pair.series: pair for pair in pairs}.values())
    found = grouped(longest, lambda pair: (pair.mla.label, pair.mla.axis("dtype")))
    return [_pair_figure(found[key], results) for key in sorted(found, key=lambda key: (key[1], -len(found[key])))]


def _pair_figure(longest: Sequence[Pair], results: Results) -> Figure:
    drawn, left_out = drawn_of(longest, MOST_DRAWN)
    label, dtype = longest[0].mla.label, longest[0].mla.axis("dtype")
    facets: dict[str, Text] = {"dtype": dtype, **({LABEL: label} if results.several else {})}
    return Figure(
        title=dotted(label if results.several else "", dtype),
        family=say("signmap.measured"),
        finding=_found(longest),
        caption=joined("sentence", [say("signmap.measured_caption", reach=one_launch_reach()), left_out]),
        views=[View(title="", figure=_dumbbells(drawn))],
        height_px=100 + PAIR_PX * len(drawn),
        facets=facets,
    )


def _found(pairs: Sequence[Pair]) -> Text:
    """Say in how many pairs which kernel was faster; where no pair has several launches, how their one launch ended."""
    launches = min(2, max(min(pair.gqa.interval.launches, pair.mla.interval.launches) for pair in pairs))
    mla = sum(is_clearly_faster(pair.mla, pair.gqa, launches=launches) for pair in pairs)
    gqa = sum(is_clearly_faster(pair.gqa, pair.mla, launches=launches) for pair in pairs)
    fields = {"mla": mla, "gqa": gqa, "open": len(pairs) - mla - gqa, "count": len(pairs)}
    key = "signmap.found" if launches > 1 else "signmap.found_once"
    return say(key, **{name: numbers.count(count) for name, count in fields.items()})


def _dumbbells(pairs: Sequence[Pair]) -> dict[str, Any]:
    settings = settings_of(pairs)
    names = [_name(pair, settings[pair]) for pair in pairs]

    def point(row: int, value: float, *ends: float) -> Point:
        about = {"geometry": pairs[row].mla.axis("geometry")}
        hover = joined(": ", [names[row], ratio(value)])
        low_high = (math.log2(ends[0]), math.log2(ends[1])) if ends else None
        return Point(x=math.log2(value), y=row, ends=low_high, hover=hover, facets=about, runs=pairs[row].runs)

    measured = [point(row, pair.measured, *pair.ends) for row, pair in enumerate(pairs)]
    predicted = [point(row, pair.predicted) for row, pair in enumerate(pairs) if pair.predicted is not None]
    reach = max(REACH, *(abs(end) for mark in (*measured, *predicted) for end in (mark.x, *(mark.ends or ())))) + 0.25
    step = max(1, math.ceil(reach / 4))
    whole = [tick for tick in range(-math.floor(reach), math.floor(reach) + 1) if tick % step == 0]
    ticks = ticked([(tick, f"{2.0**tick:g}×") for tick in whole])
    axis = linear(say("signmap.scale"), range=[-reach, reach], **ticks) | {"zeroline": True}
    ring = Series(name=say("signmap.predicted"), points=predicted, more={"marker": RING})
    disc = Series(name=say("signmap.measured_ratio"), points=measured, along="x", more={"marker": DISC})
    background = shading(reach, len(pairs), ratio_colours())
    drawn: list[Series | dict[str, Any]] = [background, *([ring] if predicted else []), disc]
    return rows(names, drawn, xaxis=axis, shift_px=17, meta={"log2": "x"})


def _name(pair: Pair, settings: str) -> Text:
    mla = pair.mla
    sizes = say("signmap.row", count=mla.axis("query_len"), context=numbers.count(mla.tokens or 0))
    return dotted(mla.axis("geometry"), sizes, settings)


def pair_table(pairs: Sequence[Pair], results: Results) -> Table:
    """Lay out every pair beside what the roofline predicts of it."""
    mla = attrgetter("mla")
    return table(
        say("signmap.measured_table"),
        pairs,
        [
            *columns_of(mla, [GEOMETRY]),
            column("signmap.new_tokens", lambda pair: pair.mla.axis("query_len"), kind=Kind.NUMBER),
            *columns_of(mla, [CONTEXT]),
            column("signmap.measured_ratio", lambda pair: pair.measured, numbers.times),
            column("signmap.range", lambda pair: times_range(*pair.ends), kind=Kind.NUMBER),
            column("signmap.predicted", lambda pair: pair.predicted, numbers.times),
            column("signmap.rank_heads", lambda pair: pair.heads, numbers.count),
            column("signmap.rank_kv_heads", lambda pair: pair.kv_heads, numbers.count),
            column("signmap.tp", lambda pair: pair.mla.axis("tp"), kind=Kind.NUMBER),
            *columns_of(mla, [DTYPE]),
            column("column.backend", lambda pair: lines_of((pair.gqa, pair.mla)), kind=Kind.CODE),
            column("column.settings", settings_of(pairs).get, kind=Kind.CODE),
            *columns_of(mla, label_column(results.several)),
        ],
        note=say("signmap.measured_note", reach=one_launch_reach()),
        facets_of=lambda pair: row_facets(pair.mla),
    )


def build(results: Results) -> Section:
    """Build the map from specifications, with rows for machines whose pairs have its sizes, and the other pairs."""
    devices, pairs = known_devices(), measured_pairs(results)
    measured = machines(pairs)
    errors = calibration_errors(results)
    explanation = [
        say("signmap.explanation", context=numbers.count(CONTEXT_TOKENS)),
        *map(_error_sentence, errors),
        "" if pairs else say("signmap.no_pairs"),
        say("signmap.on_map") if measured else "",
    ]
    elsewhere = pair_figures([pair for pair in pairs if pair.cell is None], results)
    cells = list(product(RANKS, HEADS))
    return section(
        "signmap",
        explanation=joined("sentence", explanation),
        figures=[*(_map(devices, measured, heads, tp) for tp, heads in cells), *elsewhere],
        tables=[
            pair_table(pairs, results),
            *(_map_table(devices, heads, tp) for tp, heads in cells),
            table(
                say("signmap.error_table"),
                errors,
                [
                    column("signmap.device", lambda row: row.device, kind=Kind.CODE),
                    column("signmap.whose", lambda row: row.whose),
                    column("signmap.cells", lambda row: len(row.values), numbers.count),
                    column("signmap.median_error", lambda row: row.median, numbers.percent),
                    column("signmap.p90_error", lambda row: row.p90, numbers.percent),
                ],
                note=say("signmap.error_note"),
            ),
        ],
        headlines=[Headline(text=_found(pairs))] if pairs else [],
    )


def calibration_errors(results: Results) -> list[Errors]:
    """Return how far expected times are from measured cells, by device: those published with the calibration, then
    those of these records."""
    found = [
        Errors(device=known.name, cells=[(known, cell) for cell in known.measured]) for known in known_calibrations()
    ]
    timed = [(current.label, kernel) for current in results.records if (kernel := timed_kernel(current.record))]
    for (label, device), of_both in grouped(timed, lambda item: (item[0], item[1][0])).items():
        calibration = load_calibration(device)
        cells = [(calibration, cell) for _, (_, cell) in of_both] if calibration else []
        found.append(Errors(device=device, label=label, cells=cells))
    return [errors for errors in found if errors.values]


def _error_sentence(errors: Errors) -> Text:
    fields = {"device": errors.device, "whose": errors.whose, "cells": numbers.count(len(errors.values))}
    return say("signmap.errors", median=numbers.percent(errors.median), most=numbers.percent(errors.p90), **fields)


def known_devices() -> list[Device]:
    """Return the devices with a bfloat16 peak, the lowest ridge point first."""
    found = [(hardware.name, ceilings) for hardware in known_hardware() if (ceilings := hardware.ceilings(MAP_DTYPE))]
    return sorted(found, key=lambda device: (device[1].ridge_flops_per_byte, device[0]))


def _map(devices: Sequence[Device], measured: Mapping[str, Mapping[Cell, Pair]], heads: int, tp: int) -> Figure:
    computed, own = _rows(devices, heads, tp), _machine_rows(measured, heads, tp)
    return Figure(
        title=dotted(
            say("signmap.heads", heads=heads), say("signmap.alone") if tp == 1 else say("signmap.rank", tp=tp)
        ),
        family=say("signmap.family"),
        finding=_map_finding(computed, [cells.get((heads, tp, QUERY_LENS[0])) for cells in measured.values()]),
        caption=joined("sentence", [say("signmap.caption"), say("signmap.shared") if tp > 1 else ""]),
        views=[View(title="", figure=_heat(computed + own))],
        height_px=FRAME_PX + ROW_PX * len(computed + own),
        facets={"heads": str(heads), "tp": str(tp)},
    )


def _map_finding(computed: Sequence[Row], measured: Iterable[Pair | None]) -> Text:
    """Say on how many devices MLA's kernel is faster, and what the first machine measured with one new token."""
    first, last = ([row[1][place] or 0.0 for row in computed] for place in (0, -1))
    wins = {
        "one": numbers.count(sum(value > 1 for value in first)),
        "last": numbers.count(sum(value > 1 for value in last)),
        "devices": numbers.count(len(computed)),
        "most": QUERY_LENS[-1],
    }
    pair = next((pair for pair in measured if pair), None)
    seen = say("signmap.seen", ratio=ratio(pair.measured), range=times_range(*pair.ends)) if pair else ""
    return joined("notes", [say("signmap.finding", **wins), seen])


def _rows(devices: Sequence[Device], heads: int, tp: int) -> list[Row]:
    lines: list[Row] = []
    for name, ceilings in devices:
        named = f"{name} · {ceilings.ridge_flops_per_byte:.0f}"
        where = [{"heads": heads, "query_len": count, "tp": tp} for count in QUERY_LENS]
        bounds = [duel(ceilings, **one) for one in where]
        expected = [expected_duel(load_calibration(name), **one) for one in where]
        hovers = [
            _hover(named, count, bound, found) for count, bound, found in zip(QUERY_LENS, bounds, expected, strict=True)
        ]
        is_expected = all(expected)
        shown: list[float | None] = [
            found.speedup if found and is_expected else bound.speedup
            for bound, found in zip(bounds, expected, strict=True)
        ]
        lines.append((dotted(named, say("signmap.expected") if is_expected else ""), shown, hovers, NO_RUNS))
    return lines


def _hover(row: str, count: int, bound: KernelDuel, expected: ExpectedDuel | None) -> Text:
    regimes = {"mla": say(f"regime.{bound.mla_regime}"), "gqa": say(f"regime.{bound.gqa_regime}")}
    at_best = say("signmap.hover", row=row, count=count, ratio=ratio(bound.speedup), **regimes)
    if expected is None:
        return joined("notes", [at_best, say("signmap.hover_uncalibrated")])
    families = {"mla": expected.mla.family, "gqa": expected.gqa.family}
    of_good = say("signmap.hover_expected", ratio=ratio(expected.speedup), **families)
    return joined("notes", [at_best, of_good])


def _machine_rows(measured: Mapping[str, Mapping[Cell, Pair]], heads: int, tp: int) -> list[Row]:
    """What a machine's own ceilings say of its cells and, above it, since rows are drawn upwards, what came of
    it. A gap sets it off."""
    lines: list[Row] = []
    for name, cells in measured.items():
        pairs = [cells.get((heads, tp, count)) for count in QUERY_LENS]
        if any(pairs):
            ceilings = [ceiling for pair in cells.values() if (ceiling := ceilings_of(pair.mla.record, KERNEL))]
            ridge = f"{median(ceiling.ridge_flops_per_byte for ceiling in ceilings):.0f}" if ceilings else ""
            computed = dotted(say("signmap.row_computed", name=figure_text(name)), ridge)
            seen = say("signmap.row_measured", name=figure_text(name))
            predicted = [None if pair is None else pair.predicted for pair in pairs]
            ratios = [None if pair is None else pair.measured for pair in pairs]
            hovers = ["" if value is None else joined(": ", [computed, ratio(value)]) for value in predicted]
            runs: list[Sequence[str]] = [() if pair is None else pair.runs for pair in pairs]
            lines.append((" " * (1 + len(lines)), [None] * len(pairs), [""] * len(pairs), NO_RUNS))
            lines.append((computed, predicted, hovers, NO_RUNS))
            lines.append((seen, ratios, [_measured_hover(seen, pair) for pair in pairs], runs))
    return lines


def _measured_hover(name: Text, pair: Pair | None) -> Text:
    if pair is None:
        return ""
    low, high = map(ratio, pair.ends)
    count, context = pair.mla.axis("query_len"), numbers.count(pair.mla.tokens or 0)
    fields = {"ratio": ratio(pair.measured), "count": count, "context": context, "low": low, "high": high}
    return say("signmap.hover_measured", row=name, **fields)


def _heat(lines: Sequence[Row]) -> dict[str, Any]:
    names, ratios, hovers, runs = zip(*lines, strict=True)
    return heatmap(
        list(map(str, QUERY_LENS)),
        names,
        values=[[None if value is None else round(math.log2(value), 3) for value in row] for row in ratios],
        written=[["" if value is None else ratio(value) for value in row] for row in ratios],
        hovers=hovers,
        colours=ratio_colours() | {"colorbar": colour_bar(say("signmap.scale"), TICKS)},
        title=say("signmap.new_tokens"),
        upwards=True,
        runs=runs,
        meta={"log2": "z"},
        margin={"l": 8, "r": 4, "t": 8, "b": 44, "pad": 2},
    )


def _map_table(devices: Sequence[Device], heads: int, tp: int) -> Table:
    def speedup(query_len: int, row: tuple[Device, bool]) -> float | None:
        (name, ceilings), is_expected = row
        where = {"heads": heads, "query_len": query_len, "tp": tp}
        found = expected_duel(load_calibration(name), **where) if is_expected else duel(ceilings, **where)
        return found.speedup if found else None

    rows = [
        (device, is_expected)
        for device in devices
        for is_expected in (True, False)
        if not is_expected or speedup(1, (device, True))
    ]
    return table(
        say("signmap.table"),
        rows,
        [
            column("signmap.device", lambda row: row[0][0], kind=Kind.CODE),
            column("signmap.by", lambda row: say("signmap.expected" if row[1] else "signmap.bound")),
            *(column(say("signmap.with_new", count=n), partial(speedup, n), numbers.times) for n in QUERY_LENS),
            column("signmap.ridge", lambda row: row[0][1].ridge_flops_per_byte, numbers.count),
        ],
        family=say("signmap.table"),
        note=say("signmap.note"),
        folded=True,
        facets={"heads": str(heads), "tp": str(tp)},
    )
