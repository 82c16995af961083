"""Where MLA decodes faster and where GQA does: a map by closed forms, and measured pairs beside their predictions.

A device with a calibration of both kernels is coloured by what is expected of good ones, any other by the bound; each
row says which. A pair is two records that agree in everything but the variant. One of the map's own sizes stands on
the map.
"""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from operator import attrgetter
from typing import Any

from suite.records import numbers
from suite.records.derived import measured_ceilings
from suite.report import timings
from suite.report.attention.groups import axes_without, case_timings, differing_settings, line_names, side_by_side
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, View, dotted, joined, say, section
from suite.report.model.experiment import grouped
from suite.report.model.formats import ratio, times_range
from suite.report.model.labels import GREY, variant_style
from suite.report.model.results import Results
from suite.report.model.run import LABEL, extras, is_plausible, mapping
from suite.report.plot.heatmap import colour_bar, diverging, heatmap
from suite.report.plot.plots import Point, Series, decimal_ticks, log, rule
from suite.report.plot.rows import first_rows, rows
from suite.report.plot.text import figure_text, short_names
from suite.report.table import column, label_column, part_columns, table
from suite.statistics.intervals import Ratio, median_ratio
from suite.theory.answers.sign_map import CONTEXT_TOKENS, duel, exact_quantities, expected_duel
from suite.theory.devices.calibration import DTYPE as MAP_DTYPE
from suite.theory.devices.calibration_file import load_calibration
from suite.theory.devices.hardware import known_hardware
from suite.theory.layers.algebra import Pass
from suite.theory.layers.attention_plan import ELEMENT_BYTES
from suite.theory.layers.roofline import Ceilings

RANKS, HEADS, QUERY_LENS = (1, 2, 4, 8), (128, 64, 32, 16), (1, 2, 4, 8, 16)
FRAME_PX, ROW_PX = 110, 19
TICKS = [(-2.0, "0.25×"), (-1.0, "0.5×"), (0.0, "1×"), (1.0, "2×"), (2.0, "4×")]
COLUMN_AXES = ("attention", "geometry", "dtype", "query_len", "seq_len")
PAIR_PX, MOST_DRAWN = 54, 14
REACH = 2.0  # colours end at 1/4 and 4 times: log2 of what the closed forms can give, 0.24 to 3.6
LARGEST_SIZE = 1 << 20
DISC = {"symbol": "circle", "color": "#ffffff", "line": {"color": "#1b1f24", "width": 2}, "size": 11}
RING = {"symbol": "circle-open", "color": GREY, "line": {"width": 2.5}, "size": 14}

Sizes = tuple[int, int, int]
"""The sizes of a cell of the map: heads of the whole layer, ranks and new tokens."""


@dataclass(frozen=True, kw_only=True)
class VariantPair:
    """GQA's and MLA's kernel timings of one case, alike in everything else."""

    gqa: timings.Timing
    mla: timings.Timing

    @functools.cached_property
    def speedup(self) -> Ratio:
        return median_ratio(self.gqa.interval, self.mla.interval)

    @property
    def range(self) -> str:
        return times_range(self.speedup.low, self.speedup.high)

    @property
    def runs(self) -> tuple[str, str]:
        return self.gqa.record.run_key, self.mla.record.run_key

    @property
    def predicted(self) -> float | None:
        """GQA's least time over MLA's at the measured ceilings; None where either is unknown."""
        gqa_s, mla_s = _bound_s(self.gqa), _bound_s(self.mla)
        return gqa_s / mla_s if gqa_s and mla_s else None

    @property
    def series(self) -> tuple[str, ...]:
        """The settings it shares with pairs at other contexts, as texts; numbers are padded, to sort as numbers."""
        axes = {name: value.rjust(9) for name, value in axes_without(self.mla, ["backend", "seq_len"])}
        order = [axes.pop(name, "") for name in ("geometry", "dtype", "tp", "query_len")]
        return (*order, *axes.values(), *extras(self.gqa.record), *extras(self.mla.record), self.mla.label)

    @property
    def heads(self) -> int | None:
        """The query heads of one tensor-parallel rank; None where the record does not say."""
        heads = mapping(self.gqa.record.settings, "geometry").get("num_heads")
        tp = self.gqa.record.case.axes.get("tp")
        is_known = isinstance(heads, int) and isinstance(tp, int) and tp > 0 and 0 < heads < 1 << 31
        return int(heads or 0) // int(tp or 1) if is_known else None

    @functools.cached_property
    def sizes(self) -> Sizes | None:
        """The map's cell that it belongs to: its FLOPs and cache bytes equal the map's to the unit; else None."""
        axes, element_bytes = self.mla.record.case.axes, ELEMENT_BYTES.get(self.mla.axis("dtype"))
        sizes = (self.heads, axes.get("tp"), axes.get("query_len"), axes.get("batch"), self.mla.tokens)
        if element_bytes is None or not all(isinstance(size, int) and 0 < size < LARGEST_SIZE for size in sizes):
            return None
        rank_heads, tp, query_len, batch, seq_len = (int(size or 0) for size in sizes)
        forward = Pass(batch=batch, query_len=query_len, seq_len=seq_len, element_bytes=element_bytes)
        noted = [(timing.amount("flops"), timing.amount("cache_bytes", "case")) for timing in (self.gqa, self.mla)]
        return (rank_heads * tp, tp, query_len) if noted == exact_quantities(rank_heads * tp, tp, forward) else None


def _bound_s(timing: timings.Timing) -> float | None:
    """The kernel's least time at the ceilings that its own run measured; None where it measured none."""
    ceilings = measured_ceilings(timing.record, timings.KERNEL)
    flops, traffic = timing.amount("flops"), timing.amount("traffic_bytes")
    bound_s = ceilings.bound_s(flops=flops, traffic_bytes=traffic) if ceilings and flops and traffic else 0.0
    return bound_s if is_plausible(bound_s) else None


def measured_pairs(results: Results) -> list[VariantPair]:
    """Pair GQA's and MLA's kernels of every measured decode case that both have, sorted by series and context."""
    kernels = [t for t in case_timings(results) if t.span == timings.KERNEL and t.is_measured and t.tokens]
    fit = [t for t in kernels if t.axis("phase") == "decode" and t.axis("match") == "heads" and t.is_checked]
    pairs = [VariantPair(gqa=gqa, mla=mla) for gqa, mla in side_by_side(fit, "gqa", "mla", ("attention", "backend"))]
    return sorted(pairs, key=lambda pair: (*pair.series, pair.mla.tokens or 0))


def build(results: Results) -> Section:
    """Build the maps by specifications, with rows of machines that measured their sizes, and figures of other pairs."""
    pairs = measured_pairs(results)
    machines, elsewhere = _pairs_on_map(pairs), [pair for pair in pairs if pair.sizes is None]
    explanation = [
        say("signmap.explanation", context=numbers.count(CONTEXT_TOKENS)),
        "" if pairs else say("signmap.no_pairs"),
        say("signmap.on_map") if machines else "",
    ]
    maps = [_map_figure(machines, heads, tp) for tp, heads in product(RANKS, HEADS)]
    return section(
        "signmap",
        explanation=joined("sentence", explanation),
        figures=[*maps, *_pair_figures(elsewhere, results)],
        tables=[_pair_table(pairs, results)],
        headlines=[Headline(text=_finding(pairs))] if pairs else [],
    )


MapCell = tuple[float | None, Text, Sequence[str]]
"""A ratio on the map with its hover text and its runs, or nothing."""
MapRow = tuple[Text, list[MapCell]]
"""A row's name, and a cell for each number of new tokens."""


def known_devices() -> list[tuple[str, Ceilings]]:
    """The devices with a bfloat16 peak, the lowest ridge point first."""
    devices = [(hardware.name, ceilings) for hardware in known_hardware() if (ceilings := hardware.ceilings(MAP_DTYPE))]
    return sorted(devices, key=lambda device: (device[1].ridge_flops_per_byte, device[0]))


def _map_figure(machines: Mapping[str, Mapping[Sizes, VariantPair]], heads: int, tp: int) -> Figure:
    """The map for one number of heads and ranks: a row for each known device, then for each measured machine."""
    computed = [_device_row(name, ceilings, heads, tp) for name, ceilings in known_devices()]
    measured = [row for name, pairs in machines.items() if (row := _machine_row(name, pairs, heads, tp))]
    wins = [sum((cells[place][0] or 0.0) > 1 for _, cells in computed) for place in (0, -1)]
    fields = dict(zip(("one", "last", "devices"), map(numbers.count, (*wins, len(computed))), strict=True))
    pair = next((pair for pairs in machines.values() if (pair := pairs.get((heads, tp, QUERY_LENS[0])))), None)
    seen = say("signmap.seen", ratio=ratio(pair.speedup.ratio), range=pair.range) if pair else ""
    ranks = say("signmap.alone") if tp == 1 else say("signmap.rank", tp=tp)
    return Figure(
        title=dotted(say("signmap.heads", heads=heads), ranks),
        family=say("signmap.family"),
        finding=joined("notes", [say("signmap.finding", most=QUERY_LENS[-1], **fields), seen]),
        caption=joined("sentence", [say("signmap.caption"), say("signmap.shared") if tp > 1 else ""]),
        views=[View(title="", figure=_plot_map([*computed, *measured]))],
        height_px=FRAME_PX + ROW_PX * len([*computed, *measured]),
        facets={"heads": str(heads), "tp": str(tp)},
    )


def _device_row(name: str, ceilings: Ceilings, heads: int, tp: int) -> MapRow:
    """A device's row: what is expected of good kernels, if known for every number of new tokens, else the bound."""
    calibration, cells = load_calibration(name), list[MapCell]()
    row = f"{name} ({ceilings.ridge_flops_per_byte:.0f})"
    expected = [expected_duel(calibration, heads=heads, query_len=count, tp=tp) for count in QUERY_LENS]
    for count, expected_good in zip(QUERY_LENS, expected, strict=True):
        bound = duel(ceilings, heads=heads, query_len=count, tp=tp)
        regimes = {"mla": say(f"regime.{bound.mla_regime}"), "gqa": say(f"regime.{bound.gqa_regime}")}
        bound_text = say("signmap.hover", row=name, count=count, ratio=ratio(bound.speedup), **regimes)
        good_text: Text = say("signmap.hover_uncalibrated")
        if expected_good:
            good_text = say("signmap.hover_expected", ratio=ratio(expected_good.speedup))
        # A row has one kind of number: expected ones only where every cell of it has one.
        speedup = expected_good.speedup if expected_good and all(expected) else bound.speedup
        cells.append((speedup, joined("notes", [bound_text, good_text]), ()))
    return dotted(row, say("signmap.expected") if all(expected) else ""), cells


def _pairs_on_map(pairs: Iterable[VariantPair]) -> dict[str, dict[Sizes, VariantPair]]:
    """The pairs on the map by a name of label and dtype. Of several in a cell the longest context counts."""
    on_map = sorted((pair for pair in pairs if pair.sizes), key=lambda pair: pair.mla.tokens or 0)
    labels = list(dict.fromkeys(pair.mla.label for pair in on_map))
    names = dict(zip(labels, short_names(labels), strict=True))
    machines: dict[str, dict[Sizes, VariantPair]] = {}
    for pair in on_map:
        dtype = pair.mla.axis("dtype")
        name = names[pair.mla.label] if dtype == MAP_DTYPE else f"{names[pair.mla.label]}, {dtype}"
        if pair.sizes:
            machines.setdefault(name, {})[pair.sizes] = pair
    return machines


def _machine_row(name: str, pairs: Mapping[Sizes, VariantPair], heads: int, tp: int) -> MapRow | None:
    """A machine's row of the pairs that it measured in these cells; None where it measured none."""
    row, cells = say("signmap.row_measured", name=figure_text(name)), list[MapCell]()
    for count in QUERY_LENS:
        cell: MapCell = (None, "", ())
        if pair := pairs.get((heads, tp, count)):
            ends = {"ratio": pair.speedup.ratio, "low": pair.speedup.low, "high": pair.speedup.high}
            texts: dict[str, str] = {end: ratio(value) for end, value in ends.items()}
            context = numbers.count(pair.mla.tokens or 0)
            hover = say("signmap.hover_measured", row=row, count=count, context=context, **texts)
            cell = pair.speedup.ratio, hover, pair.runs
        cells.append(cell)
    return (row, cells) if any(runs for *_, runs in cells) else None


def _plot_map(map_rows: Sequence[MapRow]) -> dict[str, Any]:
    """Draw rows of the map as cells coloured by log2 of the ratio."""
    speedups = [[speedup for speedup, *_ in cells] for _, cells in map_rows]
    colours = diverging(variant_style("gqa").colour, variant_style("mla").colour, REACH)
    return heatmap(
        list(map(str, QUERY_LENS)),
        [name for name, _ in map_rows],
        values=[[None if value is None else round(math.log2(value), 3) for value in row] for row in speedups],
        cell_texts=[["" if value is None else ratio(value) for value in row] for row in speedups],
        hovers=[[hover for _, hover, _ in cells] for _, cells in map_rows],
        colours=colours | {"colorbar": colour_bar(say("signmap.scale"), TICKS)},
        title=say("signmap.new_tokens"),
        upwards=True,
        runs=[[runs for *_, runs in cells] for _, cells in map_rows],
        meta={"log2": "z"},
        margin={"l": 8, "r": 4, "t": 8, "b": 44, "pad": 2},
    )


def pair_settings(pairs: Sequence[VariantPair]) -> dict[VariantPair, str]:
    """Describe each pair by the settings in which pairs differ, and by those that are not as usual."""
    return differing_settings({pair: (pair.gqa, pair.mla) for pair in pairs}, ignore=COLUMN_AXES)


def _pair_figures(pairs: Sequence[VariantPair], results: Results) -> list[Figure]:
    """A figure for each label and dtype of the pairs, of each series the one at the longest context."""
    longest = list({pair.series: pair for pair in pairs}.values())
    by_label = grouped(longest, lambda pair: (pair.mla.label, pair.mla.axis("dtype")))
    figures = []
    for label, dtype in sorted(by_label, key=lambda key: (key[1], -len(by_label[key]))):
        shown_pairs, left_out = first_rows(by_label[label, dtype], MOST_DRAWN)
        facets: dict[str, Text] = {"dtype": dtype, **({LABEL: label} if results.several else {})}
        figure = Figure(
            title=dotted(label if results.several else "", dtype),
            family=say("signmap.measured"),
            finding=_finding(by_label[label, dtype]),
            caption=joined("sentence", [say("signmap.measured_caption", reach=timings.one_launch_reach()), left_out]),
            views=[View(title="", figure=_plot_pairs(shown_pairs))],
            height_px=100 + PAIR_PX * len(shown_pairs),
            facets=facets,
        )
        figures.append(figure)
    return figures


def _finding(pairs: Sequence[VariantPair]) -> Text:
    """Say in how many pairs which kernel was faster; where no pair has several launches, how their one launch ended."""
    launches = min(2, max(min(pair.gqa.interval.launches, pair.mla.interval.launches) for pair in pairs))
    mla = sum(timings.is_clearly_faster(pair.mla, pair.gqa, launches=launches) for pair in pairs)
    gqa = sum(timings.is_clearly_faster(pair.gqa, pair.mla, launches=launches) for pair in pairs)
    fields = {"mla": mla, "gqa": gqa, "open": len(pairs) - mla - gqa, "count": len(pairs)}
    key = "signmap.found" if launches > 1 else "signmap.found_once"
    return say(key, **{name: numbers.count(count) for name, count in fields.items()})


def _plot_pairs(pairs: Sequence[VariantPair]) -> dict[str, Any]:
    """Draw a row for each pair: a disc at the measured ratio with its interval, a ring at the predicted one."""
    names = []
    for pair, settings in pair_settings(pairs).items():
        sizes = say("signmap.row", count=pair.mla.axis("query_len"), context=numbers.count(pair.mla.tokens or 0))
        names.append(dotted(pair.mla.axis("geometry"), sizes, settings))

    def point(row: int, value: float, ends: tuple[float, float] | None = None) -> Point:
        facets = {"geometry": pairs[row].mla.axis("geometry")}
        hover = joined(": ", [names[row], ratio(value)])
        return Point(x=value, y=row, ends=ends, hover=hover, facets=facets, runs=pairs[row].runs)

    measured = [point(n, p.speedup.ratio, (p.speedup.low, p.speedup.high)) for n, p in enumerate(pairs)]
    predicted = [point(n, pair.predicted) for n, pair in enumerate(pairs) if pair.predicted is not None]
    ends = [1.0, *(end for mark in (*measured, *predicted) for end in (mark.x, *(mark.ends or ())))]
    axis = log(say("signmap.scale"), [(tick, f"{text}×") for tick, text in decimal_ticks(ends, "{:g}".format)])
    ring = Series(name=say("signmap.predicted"), points=predicted, more={"marker": RING})
    disc = Series(name=say("signmap.measured_ratio"), points=measured, along="x", more={"marker": DISC})
    return rows(names, [*([ring] if predicted else []), disc], xaxis=axis, shift_px=17, shapes=[rule(x=1)])


def _pair_table(pairs: Sequence[VariantPair], results: Results) -> Table:
    """Tabulate every pair's ratio beside the one that the roofline predicts."""
    mla = attrgetter("mla")
    return table(
        say("signmap.measured_table"),
        pairs,
        [
            *part_columns(mla, [timings.GEOMETRY]),
            column("signmap.new_tokens", lambda pair: pair.mla.axis("query_len"), kind=Kind.NUMBER),
            *part_columns(mla, [timings.CONTEXT]),
            column("signmap.measured_ratio", lambda pair: pair.speedup.ratio, numbers.times),
            column("signmap.range", lambda pair: pair.range, kind=Kind.NUMBER),
            column("signmap.predicted", lambda pair: pair.predicted, numbers.times),
            column("signmap.rank_heads", lambda pair: pair.heads, numbers.count),
            column("signmap.tp", lambda pair: pair.mla.axis("tp"), kind=Kind.NUMBER),
            *part_columns(mla, [timings.DTYPE]),
            column("column.backend", lambda pair: line_names((pair.gqa, pair.mla)), kind=Kind.CODE),
            column("column.settings", pair_settings(pairs).get, kind=Kind.CODE),
            *part_columns(mla, label_column(results.several)),
        ],
        note=say("signmap.measured_note", reach=timings.one_launch_reach()),
        facets_of=lambda pair: timings.row_facets(pair.mla),
    )
