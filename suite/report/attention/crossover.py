"""When a server should re-expand MLA's latent instead of absorbing: by FLOPs, by the roofline, and measured."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from statistics import median
from typing import Any

from suite.records import numbers
from suite.records.derived import ceilings_of
from suite.report.attention.groups import axes_of, lines_of, representatives
from suite.report.attention.timings import CONTEXT, DTYPE, GEOMETRY, LAYER, Timing, row_facets, timings
from suite.report.blocks import Facets, Figure, Kind, Section, Text, View, dotted, joined, say, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import BLUE, GREEN, ORANGE, PURPLE, VERMILION, Style
from suite.report.model.results import Results
from suite.report.model.run import MOST_TOKENS, extras
from suite.report.plot.marks import Point, Series
from suite.report.plot.plots import plot
from suite.report.plot.scales import MOST_TICKS, log, token_axis
from suite.report.table import Column, column, columns_of, label_column, table
from suite.theory.answers.crossover import Bracket, bracket, flops_crossover, roofline_crossover, specified_crossovers
from suite.theory.layers.attention_plan import ELEMENT_BYTES
from suite.theory.layers.geometry import geometry_from
from suite.theory.layers.latent_shapes import LATENT_SIZES
from suite.theory.layers.roofline import Ceilings

FEWEST_TRIED = 2
"""Numbers of new tokens at one context, from which on it can be said where the two cross, or that they do not."""
DEVICES = ("h100-sxm5-80gb", "h20-96gb")
GEOMETRIES = {"deepseek-v2-lite": ("dot", "circle", 5), "deepseek-v3": ("dash", "circle-open", 10)}
"""Dash, marker and size of each geometry: lines that lie on each other are still seen."""
CONTEXTS = tuple(1 << power for power in range(8, 18))
EXPECTED = GREEN
COLOURS = (BLUE, VERMILION, PURPLE, ORANGE, GREEN)
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross")
BY_FLOPS = {"color": "rgba(128, 128, 128, 0.45)", "width": 7, "dash": "solid"}

Predicted = tuple[int | None, int | None]
"""The fewest new tokens from which on re-expanding is cheaper, by FLOPs and by the roofline."""


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """The number of new tokens from which re-expanding is cheaper at one context, computed and measured."""

    series: tuple[str, ...]
    """The settings that it shares with crossings at other contexts: for a specification the device and the geometry."""
    tokens: int
    predicted: Predicted
    expected: int | None = None
    """The number that is expected of good kernels, on a device with a calibration."""
    measured: Bracket | None = None
    tried: Sequence[int] = ()
    timings: Sequence[Timing] = ()
    """Those of both modes; the first for what they share."""


def build(results: Results) -> Section:
    """Build it from known devices' specifications, and from records that hold both modes."""
    measured = crossings(results)
    specified = [
        Crossing(
            series=(found.device, found.geometry),
            tokens=found.tokens,
            predicted=(found.by_flops, found.by_roofline),
            expected=found.expected,
        )
        for found in specified_crossovers(GEOMETRIES, DEVICES, CONTEXTS)
    ]
    views = {"crossover.these_records": _measured(measured, results), "crossover.specifications": _specified(specified)}
    figure = Figure(
        title=say("crossover.figure"),
        finding=_finding(measured or specified),
        caption=say("crossover.caption"),
        views=[View(title=say(key), figure=_plot(series)) for key, series in views.items() if series],
        height_px=420,
    )
    by_flops: Column[Crossing] = column("crossover.by_flops", lambda crossing: crossing.predicted[0], numbers.count)
    of_records = table(
        say("crossover.measured_table"),
        measured,
        [
            *columns_of(lambda crossing: crossing.timings[0], [GEOMETRY, DTYPE, CONTEXT]),
            column("crossover.measured", lambda crossing: _said(crossing.measured), kind=Kind.NUMBER),
            column("crossover.between", lambda crossing: _between(crossing.measured), kind=Kind.NUMBER),
            by_flops,
            column("crossover.by_measured_ceilings", lambda crossing: crossing.predicted[1], numbers.count),
            *columns_of(lambda crossing: crossing.timings[0], label_column(results.several)),
            column("column.backend", lambda crossing: lines_of(crossing.timings), kind=Kind.CODE),
            column(
                "crossover.tried", lambda crossing: joined("list", map(numbers.count, crossing.tried)), kind=Kind.LONG
            ),
        ],
        note=say("crossover.measured_note"),
        facets_of=lambda crossing: row_facets(crossing.timings[0]),
    )
    of_devices = table(
        say("crossover.specified_table"),
        specified,
        [
            column("column.geometry", lambda crossing: crossing.series[1]),
            column("crossover.device", lambda crossing: crossing.series[0], kind=Kind.CODE),
            column("latency.context", lambda crossing: crossing.tokens, numbers.count),
            by_flops,
            column("crossover.by_roofline", lambda crossing: crossing.predicted[1], numbers.count),
            column("crossover.expected", lambda crossing: crossing.expected, numbers.count),
        ],
        note=say("crossover.specified_note"),
        folded=True,
    )
    return section("crossover", figures=[figure], tables=[of_records, of_devices])


def crossings(results: Results) -> list[Crossing]:
    """Return every measured decode case of both modes; short contexts first."""
    layers = [t for t in representatives(timings(results)) if t.span == LAYER and t.is_measured and t.is_checked]
    fit = [timing for timing in layers if timing.axis("phase") == "decode" and timing.tokens and _count(timing)]
    cases = grouped(fit, lambda timing: (_series(timing), timing.tokens or 0))
    found = []
    for (series, tokens), case in sorted(cases.items(), key=lambda item: item[0]):
        absorbed, reexpanded = (
            {_count(timing): timing for timing in case if timing.variant == variant}
            for variant in ("mla", "mla_latent")
        )
        tried = sorted(absorbed.keys() & reexpanded.keys())
        if len(tried) >= FEWEST_TRIED:
            both = [absorbed[tried[0]], *reexpanded.values(), *absorbed.values()]
            measured = bracket([(count, reexpanded[count].median_s / absorbed[count].median_s) for count in tried])
            seen: dict[str, Any] = {"measured": measured, "tried": tried, "timings": both}
            found.append(Crossing(series=series, tokens=tokens, predicted=_predicted(both, tokens), **seen))
    return found


def _series(timing: Timing) -> tuple[str, ...]:
    axes = axes_of(timing, ("attention", "backend", "query_len", "seq_len"))
    return (timing.label, *(f"{name}={value}" for name, value in axes if value), *extras(timing.record))


def _count(timing: Timing) -> int:
    """How many new tokens a case has; 0 for what is no such number."""
    count = timing.record.case.axes.get("query_len")
    return count if isinstance(count, int) and 0 < count < MOST_TOKENS else 0


def _predicted(both: Sequence[Timing], tokens: int) -> Predicted:
    """The counts by FLOPs and by the roofline from the sizes in a record; a foreign one may lack them.

    Neither where `match` moved the sizes or the cache is quantised: the prediction knows only the plain case.
    """
    first, axes, settings = both[0], both[0].record.case.axes, both[0].record.settings
    if first.axis("match") != "heads" or first.axis("cache_dtype"):
        return None, None
    layer_ceilings = [ceilings for timing in both[1:] if (ceilings := ceilings_of(timing.record, LAYER))]
    try:
        geometry, attention = geometry_from(settings["geometry"]), settings["attention"]
        sizes = {name: attention.get(name) for name in LATENT_SIZES}
        sizes |= {"latent_norm": attention.get("latent_norm", True), "tp": axes["tp"]}
        by_flops = flops_crossover(geometry, seq_len=tokens, **sizes)
        if not layer_ceilings:
            return by_flops, None
        flops, traffic = (median(map(attrgetter(name), layer_ceilings)) for name in ("flops_per_s", "bytes_per_s"))
        ceilings, size = Ceilings(flops_per_s=flops, bytes_per_s=traffic), ELEMENT_BYTES[first.axis("dtype")]
        passed = {"seq_len": tokens, "batch": axes["batch"], "element_bytes": size, **sizes}
        return by_flops, roofline_crossover(geometry, ceilings, **passed)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
        return None, None


def _specified(found: Sequence[Crossing]) -> list[Series]:
    series = [_by_flops(found[-len(CONTEXTS) :])]
    for (device, geometry), line in grouped(found, lambda crossing: crossing.series).items():
        dash, marker, size = GEOMETRIES[geometry]
        style = Style(colour=COLOURS[DEVICES.index(device)], dash=dash, marker=marker)
        series.append(_by_roofline(dotted(device, geometry), line, style, {}, size))
        expected = [_point(crossing.tokens, crossing.expected) for crossing in line if crossing.expected is not None]
        if expected:
            named = say("crossover.expected_of", series=dotted(device, geometry))
            drawn = replace(style, colour=EXPECTED)
            series.append(Series(name=named, points=expected, style=drawn, mode="lines+markers", size=size))
    return series


def _measured(found: Sequence[Crossing], results: Results) -> list[Series]:
    lines = grouped(found, lambda crossing: crossing.series)
    shared = set.intersection(*map(set, lines)) if lines else set()
    every = [_heads(line) for line in lines.values()]
    drawn: dict[object, Series] = {}
    for ordinal, ((label, *settings), line) in enumerate(lines.items()):
        first = line[0].timings[0]
        style = Style(colour=COLOURS[ordinal % len(COLOURS)], dash="dash", marker=MARKERS[ordinal % len(MARKERS)])
        heads = [text for text in _heads(line) if len(lines) == 1 or any(text not in of for of in every)]
        # Geometry and type, then what else tells the series from the others.
        own = [setting for setting in settings if setting not in shared]
        others = [setting for setting in own if not setting.startswith(("geometry=", "dtype="))]
        name, about = dotted(*heads, *others), {**row_facets(first), "label": label}
        drawn.setdefault(str([(crossing.tokens, crossing.predicted[0]) for crossing in line]), _by_flops(line))
        drawn[ordinal, "bound"] = _by_roofline(say("crossover.bound", series=name), line, style, about)
        named = say("crossover.points", series=name)
        runs = [timing.record.run_key for crossing in line for timing in crossing.timings]
        more: dict[str, Any] = {"style": style, "facets": about, "size": 10, "runs": list(dict.fromkeys(runs))}
        drawn[ordinal, "points"] = Series(name=named, points=_points(line), **more)
    return [series for series in drawn.values() if any(point.y is not None for point in series.points)]


def _heads(line: Sequence[Crossing]) -> list[str]:
    """What a series is called by: its label, geometry and dtype."""
    first = line[0].timings[0]
    return [first.label, first.axis("geometry"), first.axis("dtype")]


def _finding(found: Sequence[Crossing]) -> Text:
    """Say from where on re-expanding is cheaper at the longest context, measured where it was, and by FLOPs."""
    longest = max(found, key=lambda crossing: (crossing.measured is not None, crossing.tokens))
    by_flops, by_roofline = map(_shown, longest.predicted)
    fields = {"tokens": numbers.count(longest.tokens), "flops": by_flops}
    if longest.measured is None or not longest.timings:
        return say("crossover.finding_computed", device=longest.series[0], roofline=by_roofline, **fields)
    between = _between(longest.measured)
    measured = (
        say("crossover.range", count=_said(longest.measured), range=between) if between else _said(longest.measured)
    )
    return say("crossover.finding", measured=measured, dtype=longest.timings[0].axis("dtype"), **fields)


def _by_flops(line: Sequence[Crossing]) -> Series:
    points = [_point(crossing.tokens, crossing.predicted[0]) for crossing in line]
    return Series(name=say("crossover.flops"), points=points, mode="lines", more={"line": BY_FLOPS})


def _by_roofline(name: Text, line: Sequence[Crossing], style: Style, about: Facets, size: int = 4) -> Series:
    points = [_point(crossing.tokens, crossing.predicted[1]) for crossing in line]
    return Series(name=name, points=points, style=style, mode="lines+markers", facets=about, size=size)


def _point(tokens: int, count: float | None, ends: tuple[float, float] | None = None) -> Point:
    return Point(x=tokens, y=count, ends=ends, hover=_shown(count))


def _points(line: Sequence[Crossing]) -> list[Point]:
    return [
        _point(crossing.tokens, found.at, (found.low, found.high))
        for crossing in line
        if (found := crossing.measured) and found.low is not None and found.high is not None
    ]


def _plot(series: Sequence[Series]) -> dict[str, Any]:
    counts = [point.y for line in series for point in line.points if point.y is not None]
    steps = [float(f"{step}e{power}") for power in range(16) for step in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 7)]
    ticks = [(count, numbers.count(count)) for count in steps if min(counts) / 2 < count < 2 * max(counts)]
    tokens = sorted({point.x for line in series for point in line.points})
    contexts = token_axis(say("latency.context"), tokens[:: 1 + len(tokens) // MOST_TICKS])
    return plot(series, xaxis=contexts, yaxis=log(say("crossover.new_tokens"), ticks))


def _said(found: Bracket | None) -> Text:
    if found and found.low is None:
        return say("crossover.below", count=_shown(found.high))
    if found and found.high is None:
        return say("crossover.above", count=_shown(found.low))
    return _shown(found.at if found else None)


def _between(found: Bracket | None) -> str:
    return f"{_shown(found.low)}–{_shown(found.high)}" if found and found.at is not None else ""


def _shown(count: float | None) -> str:
    return numbers.NOTHING if count is None else numbers.count(count)
