"""When a server should re-expand MLA's latent instead of absorbing: by FLOPs, by the roofline, and measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from suite.records import numbers
from suite.records.derived import measured_ceilings
from suite.records.labels import differences
from suite.report.attention.groups import axes_without, case_timings, line_names
from suite.report.blocks import Facets, Figure, Kind, Section, Table, Text, View, dotted, joined, say, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import Style
from suite.report.model.results import Results
from suite.report.model.run import LABEL, MOST_TOKENS, Pairs
from suite.report.plot.plots import LINES, MOST_TICKS, Point, Series, log, plot, token_axis
from suite.report.table import column, label_column, part_columns, table
from suite.report.timings import CONTEXT, DTYPE, GEOMETRY, LAYER, Timing, row_facets
from suite.theory.answers.crossover import Bracket, bracket, flops_crossover, roofline_crossover, specified_crossovers
from suite.theory.layers.attention_plan import ELEMENT_BYTES
from suite.theory.layers.geometry import geometry_from
from suite.theory.layers.latent_shapes import LATENT_SIZES
from suite.theory.layers.roofline import Ceilings

# Numbers of new tokens at one context, from which on it can be said where the two cross, or that they do not.
FEWEST_TRIED = 2
DEVICES = ("h100-sxm5-80gb", "h20-96gb")
GEOMETRIES = ("deepseek-v2-lite", "deepseek-v3")
CONTEXTS = tuple(1 << power for power in range(8, 18))
NAMED_BY_VALUE = (LABEL, "device", "geometry", "dtype")  # a line is called by their value alone, before all others
# Wide and pale, so that it is seen beneath the lines that lie on it.
BY_FLOPS = {"color": "rgba(128, 128, 128, 0.45)", "width": 7, "dash": "solid"}


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """The fewest new tokens from which on re-expanding is cheaper at one context, computed and measured."""

    settings: Pairs
    """What it shares with crossings at other contexts: of a specification the device and the geometry."""
    tokens: int
    by_flops: int | None
    by_roofline: int | None
    expected: int | None = None
    """The number that is expected of good kernels, on a device with a calibration."""
    measured: Bracket | None = None
    tried: Sequence[int] = ()
    timings: Sequence[Timing] = ()  # those of both modes; the first for what they share


def build(results: Results) -> Section:
    """Build the section on re-expanding from known devices' specifications, and from records that hold both modes."""
    measured = crossings(results)
    specified = [
        Crossing(
            settings=(("device", crossover.device), ("geometry", crossover.geometry)),
            tokens=crossover.tokens,
            by_flops=crossover.by_flops,
            by_roofline=crossover.by_roofline,
            expected=crossover.expected,
        )
        for crossover in specified_crossovers(GEOMETRIES, DEVICES, CONTEXTS)
    ]
    views = {"crossover.these_records": _series(measured), "crossover.specifications": _series(specified)}
    figure = Figure(
        title=say("crossover.figure"),
        finding=_finding(measured or specified),
        caption=say("crossover.caption"),
        views=[View(title=say(key), figure=_plot(series)) for key, series in views.items() if series],
        height_px=420,
    )
    return section("crossover", figures=[figure], tables=[_measured_table(measured, results)])


def crossings(results: Results) -> list[Crossing]:
    """The crossing of each measured decode case with both modes at two numbers of new tokens at least, sorted."""
    layers = [t for t in case_timings(results) if t.span == LAYER and t.is_measured and t.is_checked]
    decodes = [
        timing for timing in layers if timing.axis("phase") == "decode" and timing.tokens and _new_tokens(timing)
    ]
    measured = []
    for (settings, tokens), case in sorted(grouped(decodes, lambda t: (_shared_settings(t), t.tokens or 0)).items()):
        absorbed, reexpanded = (
            {_new_tokens(timing): timing for timing in case if timing.variant == variant}
            for variant in ("mla", "mla_latent")
        )
        tried = sorted(absorbed.keys() & reexpanded.keys())
        if len(tried) < FEWEST_TRIED:
            continue
        mode_timings = [absorbed[tried[0]], *reexpanded.values(), *absorbed.values()]
        by_flops, by_roofline = _predicted(mode_timings, tokens)
        crossing = Crossing(
            settings=settings,
            tokens=tokens,
            by_flops=by_flops,
            by_roofline=by_roofline,
            measured=bracket([(count, reexpanded[count].median_s / absorbed[count].median_s) for count in tried]),
            tried=tried,
            timings=mode_timings,
        )
        measured.append(crossing)
    return measured


def _shared_settings(timing: Timing) -> Pairs:
    axes = axes_without(timing, ("attention", "backend", "query_len", "seq_len"))
    return ((LABEL, timing.label), *(pair for pair in axes if pair[1]), *timing.extra_settings)


def _new_tokens(timing: Timing) -> int:
    count = timing.record.case.axes.get("query_len")
    return count if isinstance(count, int) and 0 < count < MOST_TOKENS else 0


def _predicted(mode_timings: Sequence[Timing], tokens: int) -> tuple[int | None, int | None]:
    """The new tokens from which re-expanding is cheaper, by FLOPs and by the roofline; None without the sizes for it.

    Both are None where `match` moved the sizes or the cache is quantised: the prediction knows only the plain case.
    """
    first = mode_timings[0]
    axes, settings = first.record.case.axes, first.record.settings
    if first.axis("match") != "heads" or first.axis("cache_dtype"):
        return None, None
    ceilings = [ceiling for timing in mode_timings[1:] if (ceiling := measured_ceilings(timing.record, LAYER))]
    try:
        geometry, attention = geometry_from(settings["geometry"]), settings["attention"]
        sizes = {name: attention.get(name) for name in LATENT_SIZES}
        sizes |= {name: attention[name] for name in ("latent", "latent_norm") if name in attention} | {"tp": axes["tp"]}
        by_flops = flops_crossover(geometry, seq_len=tokens, **sizes)
        if not ceilings:
            return by_flops, None
        typical = Ceilings(
            flops_per_s=median(ceiling.flops_per_s for ceiling in ceilings),
            bytes_per_s=median(ceiling.bytes_per_s for ceiling in ceilings),
        )
        forward = {"seq_len": tokens, "batch": axes["batch"], "element_bytes": ELEMENT_BYTES[first.axis("dtype")]}
        return by_flops, roofline_crossover(geometry, typical, **forward, **sizes)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
        return None, None


def _series(crossings: Sequence[Crossing]) -> list[Series]:
    """Lines over the context: three for each set of settings, and one by FLOPs, which several sets may share."""
    lines = grouped(crossings, lambda crossing: crossing.settings)
    series: dict[object, Series] = {}
    for ordinal, (differing, (settings, line)) in enumerate(zip(differences([*lines]), lines.items(), strict=True)):
        named = differing if len(lines) > 1 else {name: value for name, value in settings if name in NAMED_BY_VALUE}
        heads = [named[name] for name in NAMED_BY_VALUE if name in named]
        rest = [f"{name}={value}" for name, value in named.items() if name not in NAMED_BY_VALUE]
        by_flops = [_point(crossing.tokens, crossing.by_flops) for crossing in line]
        flops_line = Series(name=say("crossover.flops"), points=by_flops, mode="lines", more={"line": BY_FLOPS})
        series.setdefault(str([(point.x, point.y) for point in by_flops]), flops_line)  # many lines are one by FLOPs
        series |= {part.name: part for part in _line(dotted(*heads, *rest), line, LINES[ordinal % len(LINES)])}
    return [part for part in series.values() if any(point.y is not None for point in part.points)]


def _line(name: Text, line: Sequence[Crossing], style: Style) -> list[Series]:
    """Three series of one set of settings: by the roofline, expected of good kernels, and measured points."""
    timings = [timing for crossing in line for timing in crossing.timings]
    facets: Facets = {**row_facets(timings[0]), LABEL: timings[0].label} if timings else {}
    shared: dict[str, Any] = {"style": style, "facets": facets}
    bound, expected, points = (say(f"crossover.{key}", series=name) for key in ("bound", "expected_of", "points"))
    by_roofline = [_point(crossing.tokens, crossing.by_roofline) for crossing in line]
    by_calibration = [_point(crossing.tokens, crossing.expected) for crossing in line]
    measured = [
        _point(crossing.tokens, between.at, (between.low, between.high))
        for crossing in line
        if (between := crossing.measured) and between.low is not None and between.high is not None
    ]
    runs = list(dict.fromkeys(timing.record.run_key for timing in timings))
    return [
        Series(name=bound, points=by_roofline, mode="lines+markers", size=5, **shared),
        Series(name=expected, points=by_calibration, mode="lines+markers", **shared),
        Series(name=points, points=measured, size=10, runs=runs, **shared),
    ]


def _point(tokens: int, count: float | None, ends: tuple[float, float] | None = None) -> Point:
    return Point(x=tokens, y=count, ends=ends, hover=_count_text(count))


def _plot(series: Sequence[Series]) -> dict[str, Any]:
    """Draw the series over the context on logarithmic axes, with ticks at round numbers of new tokens."""
    counts = [point.y for line in series for point in line.points if point.y is not None]
    steps = [float(f"{step}e{power}") for power in range(16) for step in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 7)]
    ticks = [(count, numbers.count(count)) for count in steps if min(counts) / 2 < count < 2 * max(counts)]
    tokens = sorted({point.x for line in series for point in line.points})
    contexts = token_axis(say("latency.context"), tokens[:: 1 + len(tokens) // MOST_TICKS])
    return plot(series, xaxis=contexts, yaxis=log(say("crossover.new_tokens"), ticks))


def _finding(crossings: Sequence[Crossing]) -> Text:
    """Say from where on re-expanding is cheaper at the longest context, measured where it was, and by FLOPs."""
    longest = max(crossings, key=lambda crossing: (crossing.measured is not None, crossing.tokens))
    fields = {"tokens": numbers.count(longest.tokens), "flops": _count_text(longest.by_flops)}
    if longest.measured is None or not longest.timings:
        device, roofline = dict(longest.settings).get("device", ""), _count_text(longest.by_roofline)
        return say("crossover.finding_computed", device=device, roofline=roofline, **fields)
    count, between = _crossing_text(longest.measured), _bracket_text(longest.measured)
    measured = say("crossover.range", count=count, range=between) if between else count
    return say("crossover.finding", measured=measured, dtype=longest.timings[0].axis("dtype"), **fields)


def _measured_table(measured: Sequence[Crossing], results: Results) -> Table:
    return table(
        say("crossover.measured_table"),
        measured,
        [
            *part_columns(lambda crossing: crossing.timings[0], [GEOMETRY, DTYPE, CONTEXT]),
            column("crossover.measured", lambda crossing: _crossing_text(crossing.measured), kind=Kind.NUMBER),
            column("crossover.between", lambda crossing: _bracket_text(crossing.measured), kind=Kind.NUMBER),
            column("crossover.by_flops", lambda crossing: crossing.by_flops, numbers.count),
            column("crossover.by_measured_ceilings", lambda crossing: crossing.by_roofline, numbers.count),
            *part_columns(lambda crossing: crossing.timings[0], label_column(results.several)),
            column("column.backend", lambda crossing: line_names(crossing.timings), kind=Kind.CODE),
            column(
                "crossover.tried", lambda crossing: joined("list", map(_count_text, crossing.tried)), kind=Kind.LONG
            ),
        ],
        note=say("crossover.measured_note"),
        facets_of=lambda crossing: row_facets(crossing.timings[0]),
    )


def _crossing_text(measured: Bracket | None) -> Text:
    """The measured crossing in words: its number of new tokens, or below or above all that were tried."""
    if measured and measured.low is None:
        return say("crossover.below", count=_count_text(measured.high))
    if measured and measured.high is None:
        return say("crossover.above", count=_count_text(measured.low))
    return _count_text(measured.at if measured else None)


def _bracket_text(measured: Bracket | None) -> str:
    return f"{_count_text(measured.low)}–{_count_text(measured.high)}" if measured and measured.at is not None else ""


def _count_text(count: float | None) -> str:
    return numbers.NOTHING if count is None else numbers.count(count)
