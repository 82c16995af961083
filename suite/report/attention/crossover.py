"""When a server should re-expand MLA's latent instead of absorbing: by FLOPs, by the roofline, and measured."""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from suite.records import numbers
from suite.records.derived import ceilings_of
from suite.report.attention.columns import CONTEXT, DTYPE, GEOMETRY, label_column
from suite.report.attention.timings import LAYER, Timing, row_facets, timings
from suite.report.blocks import Figure, Kind, Section, Table, Text, View, dotted, joined, say, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import BLUE, GREEN, ORANGE, PURPLE, VERMILION, Style
from suite.report.model.results import Results
from suite.report.model.run import MOST_TOKENS, extras
from suite.report.plot.marks import Facets, Point, Series
from suite.report.plot.plots import plot
from suite.report.plot.scales import MOST_TICKS, log, token_axis
from suite.report.table import column, columns_of, table
from suite.theory.attention_plan import ELEMENT_BYTES
from suite.theory.crossover import flops_crossover, roofline_crossover
from suite.theory.geometry import geometry_from, load_geometry
from suite.theory.hardware import load_hardware
from suite.theory.latent_shapes import LATENT_SIZES
from suite.theory.roofline import Ceilings

ABSORBED, REEXPANDED = "mla", "mla_latent"
FEWEST_TRIED = 2
"""Numbers of new tokens at one context, from which on it can be said where the two cross, or that they do not."""
GEOMETRIES, DEVICES, DTYPE_OF_DEVICES = ("deepseek-v2-lite", "deepseek-v3"), ("h100-sxm5-80gb", "h20-96gb"), "bfloat16"
CONTEXTS = tuple(1 << power for power in range(8, 18))
COLOURS = (BLUE, VERMILION, PURPLE, ORANGE, GREEN)
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross")
GEOMETRY_LOOKS = (("dot", "circle", 5), ("dash", "circle-open", 10))
"""Some lines lie on each other, and are still seen."""
BY_FLOPS = {"color": "rgba(128, 128, 128, 0.45)", "width": 7}

Counts = Sequence[tuple[int, float | None]]
"""Numbers of new tokens by context."""


@dataclass(frozen=True, kw_only=True)
class Bracket:
    """Where the ratio of two costs passes 1. An open end: it does not within what was tried."""

    low: int | None
    at: float | None
    high: int | None


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Both modes' layer timings at one context, by their number of new tokens."""

    absorbed: Mapping[int, Timing]
    reexpanded: Mapping[int, Timing]

    @property
    def tried(self) -> list[int]:
        return sorted(set(self.absorbed) & set(self.reexpanded))

    @property
    def first(self) -> Timing:
        """Return a timing for what they share."""
        return self.absorbed[self.tried[0]]

    @property
    def tokens(self) -> int:
        return self.first.tokens or 0

    @property
    def measured(self) -> Bracket | None:
        return bracket(
            [(count, self.reexpanded[count].median_s / self.absorbed[count].median_s) for count in self.tried]
        )

    @property
    def ceilings(self) -> Ceilings | None:
        """Return the medians of what the records' own runs measured."""
        found = [ceilings_of(one.record, LAYER) for one in (*self.absorbed.values(), *self.reexpanded.values())]
        known = [one for one in found if one]
        if not known:
            return None
        return Ceilings(
            flops_per_s=median(one.flops_per_s for one in known), bytes_per_s=median(one.bytes_per_s for one in known)
        )

    def predicted(self) -> tuple[int | None, int | None]:
        """Return it by FLOPs and by the roofline, from the sizes in the record; a foreign one may lack them.

        Neither where `match` moved the sizes or the cache is quantised: the prediction knows only the plain case.
        """
        first, axes, settings = self.first, self.first.record.case.axes, self.first.record.settings
        if first.axis("match") != "heads" or first.axis("cache_dtype"):
            return None, None
        try:
            geometry = geometry_from(settings["geometry"])
            sizes = {name: settings["attention"].get(name) for name in LATENT_SIZES}
            sizes["latent_norm"] = settings["attention"].get("latent_norm", True)
            passed = {"seq_len": self.tokens, "tp": axes["tp"], **sizes}
            by_flops = flops_crossover(geometry, **passed)
            if self.ceilings is None:
                return by_flops, None
            passed |= {"batch": axes["batch"], "element_bytes": ELEMENT_BYTES[first.axis("dtype")]}
            return by_flops, roofline_crossover(geometry, self.ceilings, **passed)
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
            return None, None


def contests(results: Results) -> list[Contest]:
    """Return every measured decode case of both modes, by its axes without the new tokens; short contexts first."""
    found: dict[tuple[str, ...], dict[str, dict[int, Timing]]] = defaultdict(lambda: defaultdict(dict))
    for timing in timings(results):
        count = timing.record.case.axes.get("query_len")
        is_fit = timing.tokens is not None and isinstance(count, int) and 0 < count < MOST_TOKENS
        if is_fit and timing.span == LAYER and timing.is_measured and timing.axis("phase") == "decode":
            found[(*series_of(timing), str(timing.tokens))][timing.variant][count] = timing
    both = [Contest(absorbed=modes[ABSORBED], reexpanded=modes[REEXPANDED]) for modes in found.values()]
    tried = [contest for contest in both if len(contest.tried) >= FEWEST_TRIED]
    return sorted(tried, key=lambda contest: (series_of(contest.first), contest.tokens))


def series_of(timing: Timing) -> tuple[str, ...]:
    """Return what a timing shares with those at other contexts."""
    axes = timing.record.case.axes
    shared = [f"{name}={axes[name]}" for name in axes if name not in ("attention", "query_len", "seq_len")]
    return (timing.label, *shared, *extras(timing.record))


def bracket(ratios: Sequence[tuple[int, float]]) -> Bracket | None:
    """Return where re-expanding's time over absorbing's falls below 1, straight on logarithmic axes.

    Noise can make it pass several times: the middle one counts then, and the bracket holds them all. None where it
    rises instead.
    """
    first, last = ratios[0], ratios[-1]
    if last[1] >= 1:
        return None if first[1] < 1 else Bracket(low=last[0], at=None, high=None)
    if first[1] < 1:
        return Bracket(low=None, at=None, high=first[0])
    passing = [both for both in pairwise(ratios) if (both[0][1] < 1) != (both[1][1] < 1)]
    (low, above), (high, below) = passing[len(passing) // 2]
    share = math.log(above) / (math.log(above) - math.log(below))
    return Bracket(low=passing[0][0][0], at=low * (high / low) ** share, high=passing[-1][1][0])


def build(results: Results) -> Section:
    """Build it from known devices' specifications, and from records that hold both modes."""
    found = contests(results)
    specified = specifications()
    drawn = {"crossover.these_records": _measured(found, results), "crossover.specifications": _specified(specified)}
    figure = Figure(
        title=say("crossover.figure"),
        caption=say("crossover.caption"),
        views=[View(title=say(key), figure=_plot(series)) for key, series in drawn.items() if series],
        height_px=420,
    )
    return section("crossover", figures=[figure], tables=[_measured_table(found, results), _specified_table(specified)])


@dataclass(frozen=True, kw_only=True)
class Specified:
    """Crossovers of a model on a device, at one context."""

    geometry: str
    device: str
    tokens: int
    by_flops: int | None
    by_roofline: int | None


def specifications() -> list[Specified]:
    """Return the crossovers of a few models and devices, by specification."""
    found = []
    for name in GEOMETRIES:
        geometry = load_geometry(name)
        for device in DEVICES:
            ceilings = load_hardware(device).ceilings(DTYPE_OF_DEVICES)
            assert ceilings is not None, device
            for tokens in CONTEXTS:
                size = ELEMENT_BYTES[DTYPE_OF_DEVICES]
                bound = roofline_crossover(geometry, ceilings, seq_len=tokens, element_bytes=size)
                by_flops = flops_crossover(geometry, seq_len=tokens)
                found.append(
                    Specified(geometry=name, device=device, tokens=tokens, by_flops=by_flops, by_roofline=bound)
                )
    return found


def _specified(found: Sequence[Specified]) -> list[Series]:
    series = [_by_flops([(one.tokens, one.by_flops) for one in found[-len(CONTEXTS) :]])]
    for (geometry, device), line in grouped(found, lambda one: (one.geometry, one.device)).items():
        dash, marker, size = GEOMETRY_LOOKS[GEOMETRIES.index(geometry)]
        style = Style(colour=COLOURS[DEVICES.index(device)], dash=dash, marker=marker)
        series.append(_line(dotted(device, geometry), [(one.tokens, one.by_roofline) for one in line], style, size))
    return series


def _measured(found: Sequence[Contest], results: Results) -> list[Series]:
    by_series = grouped(found, lambda contest: series_of(contest.first))
    shared = set.intersection(*map(set, by_series)) if by_series else set()
    drawn: dict[str, Series] = {}
    for ordinal, (series, line) in enumerate(by_series.items()):
        style = Style(colour=COLOURS[ordinal % len(COLOURS)], dash="dash", marker=MARKERS[ordinal % len(MARKERS)])
        name = _name(series, shared, results)
        predicted = [(contest.tokens, *contest.predicted()) for contest in line]
        flops = [(tokens, by_flops) for tokens, by_flops, _ in predicted]
        about = {**row_facets(line[0].first), "label": line[0].first.label}
        drawn.setdefault(str(flops), _by_flops(flops))
        bounds = [(tokens, bound) for tokens, _, bound in predicted]
        drawn[f"{ordinal} bound"] = _line(say("crossover.bound", series=name), bounds, style, 4, about)
        drawn[f"{ordinal} points"] = Series(
            name=say("crossover.points", series=name), points=_points(line), style=style, facets=about, size=10
        )
    return [series for series in drawn.values() if any(point.y is not None for point in series.points)]


def _name(series: Sequence[str], shared: Collection[str], results: Results) -> Text:
    """Return geometry and type, then what else tells the series from the others."""
    label, *settings = series
    axes = dict(setting.partition("=")[::2] for setting in settings)
    others = [one for one in settings if one not in shared and not one.startswith(("geometry=", "dtype="))]
    return dotted(label if results.several else "", axes.get("geometry", ""), axes.get("dtype", ""), *others)


def _by_flops(counts: Counts) -> Series:
    points = [Point(x=tokens, y=count, hover=_shown(count)) for tokens, count in counts]
    return Series(name=say("crossover.flops"), points=points, mode="lines", more={"line": BY_FLOPS | {"dash": "solid"}})


def _line(name: Text, counts: Counts, style: Style, size: int, about: Facets | None = None) -> Series:
    points = [Point(x=tokens, y=count, hover=_shown(count)) for tokens, count in counts]
    return Series(name=name, points=points, style=style, mode="lines+markers", facets=about or {}, size=size)


def _points(line: Sequence[Contest]) -> list[Point]:
    found = [(contest.tokens, contest.measured) for contest in line]
    return [
        Point(x=tokens, y=one.at, ends=(one.low, one.high), hover=_shown(one.at))
        for tokens, one in found
        if one and one.low is not None and one.high is not None
    ]


def _plot(series: Sequence[Series]) -> dict[str, Any]:
    counts = [point.y for one in series for point in one.points if point.y is not None]
    steps = [float(f"{step}e{power}") for power in range(16) for step in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 7)]
    ticks = [(count, numbers.count(count)) for count in steps if min(counts) / 2 < count < 2 * max(counts)]
    tokens = sorted({point.x for one in series for point in one.points})
    contexts = token_axis(say("latency.context"), tokens[:: 1 + len(tokens) // MOST_TICKS])
    return plot(series, xaxis=contexts, yaxis=log(say("crossover.new_tokens"), ticks))


def _specified_table(found: Sequence[Specified]) -> Table:
    return table(
        say("crossover.specified_table"),
        found,
        [
            column("column.geometry", lambda one: one.geometry),
            column("crossover.device", lambda one: one.device, kind=Kind.CODE),
            column("latency.context", lambda one: one.tokens, numbers.count),
            column("crossover.by_flops", lambda one: one.by_flops, numbers.count),
            column("crossover.by_roofline", lambda one: one.by_roofline, numbers.count),
        ],
        note=say("crossover.specified_note"),
        folded=True,
    )


def _measured_table(found: Sequence[Contest], results: Results) -> Table:
    return table(
        say("crossover.measured_table"),
        found,
        [
            *columns_of(_first, [GEOMETRY, DTYPE]),
            column("column.backend", _backends, kind=Kind.CODE),
            *columns_of(_first, [*label_column(results), CONTEXT]),
            column("crossover.by_flops", lambda contest: contest.predicted()[0], numbers.count),
            column("crossover.by_measured_ceilings", lambda contest: contest.predicted()[1], numbers.count),
            column("crossover.measured", lambda contest: _said(contest.measured), kind=Kind.NUMBER),
            column("crossover.between", lambda contest: _between(contest.measured), kind=Kind.NUMBER),
            column(
                "crossover.tried", lambda contest: joined("list", map(numbers.count, contest.tried)), kind=Kind.LONG
            ),
        ],
        note=say("crossover.measured_note"),
        facets_of=lambda contest: row_facets(contest.first),
    )


def _first(contest: Contest) -> Timing:
    return contest.first


def _backends(contest: Contest) -> str:
    return " / ".join(dict.fromkeys(", ".join(one.line) for one in (contest.first, *contest.reexpanded.values())))


def _said(found: Bracket | None) -> Text:
    if found is None:
        return ""
    if found.low is None:
        return say("crossover.below", count=_shown(found.high))
    return say("crossover.above", count=_shown(found.low)) if found.high is None else _shown(found.at)


def _between(found: Bracket | None) -> str:
    is_known = found is not None and found.low is not None and found.high is not None
    return f"{_shown(found.low)}–{_shown(found.high)}" if found and is_known else ""


def _shown(count: float | None) -> str:
    return numbers.NOTHING if count is None else numbers.count(count)
