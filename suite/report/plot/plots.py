"""Figures of series of points: axes as Plotly has them, with ticks at numbers that people call round, points with what
hovering says of them, series of points, and whole figures: over one pair of axes, with bands, and panels under each
other."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from suite.records import numbers
from suite.report.blocks import Facets, Text
from suite.report.model.labels import BLUE, FACETS, GREEN, GREY, ORANGE, OTHER, PURPLE, SKY, VERMILION, Style
from suite.report.plot.text import figure_text

MOST_TICKS = 7
FEW_TICKS = 5
ROOM_DECADES = 0.2
NARROW_DECADES = 0.15
Ticks = list[tuple[float, str]]


def linear(title: Text, **more: Any) -> dict[str, Any]:
    """A linear axis, as Plotly's settings; `more`: further ones."""
    return {"title": {"text": title, "standoff": 10}, "automargin": True, "zeroline": False, **more}


def shares(title: Text, **more: Any) -> dict[str, Any]:
    """A linear axis with ticks in whole percent."""
    return linear(title, tickformat=".0%", **more)


def log(title: Text, ticks: Ticks, **more: Any) -> dict[str, Any]:
    """A logarithmic axis with these ticks."""
    return linear(title, type="log", **ticked(ticks), **more)


def ticked(ticks: Ticks) -> dict[str, Any]:
    """Plotly's settings for these ticks."""
    return {"tickvals": [value for value, _ in ticks], "ticktext": [text for _, text in ticks]}


def time_axis(title: Text, seconds: Iterable[float], **more: Any) -> dict[str, Any]:
    """A logarithmic axis with ticks at round times around these."""
    return log(title, decimal_ticks(seconds, numbers.seconds_tick), **more)


def roomy_time_axis(title: Text, seconds: Iterable[float]) -> dict[str, Any]:
    """An axis of times with room beside the outermost times, so that a single one still has a tick near it."""
    times = list(seconds)
    ends = [math.log10(min(times)) - ROOM_DECADES, math.log10(max(times)) + ROOM_DECADES]
    return time_axis(title, [10**end for end in ends], range=ends, tickfont={"size": 10})


def byte_axis(title: Text, sizes: Iterable[float], **more: Any) -> dict[str, Any]:
    """A logarithmic axis with ticks at powers of two around these sizes."""
    return log(title, byte_ticks(sizes), **more)


def token_axis(title: Text, tokens: Iterable[int]) -> dict[str, Any]:
    """A logarithmic axis with a tick at each of these numbers of tokens."""
    contexts = sorted(set(tokens))
    return log(title, [(value, numbers.count(value)) for value in contexts])


def categories(rows: Sequence[str], **more: Any) -> dict[str, Any]:
    """An axis with a row for each name, the first on top."""
    return {
        "type": "category",
        "categoryarray": list(rows),
        "range": [len(rows) - 0.5, -0.5],
        "automargin": True,
        "tickfont": {"size": 11},
        "dtick": 1,
        "ticks": "",
        **more,
    }


def decimal_ticks(values: Iterable[float], text: Callable[[float], str]) -> Ticks:
    """Round ticks that cover the values on a logarithmic axis: fewer in each decade, the more decades there are."""
    values = list(values)
    low, high = min(values), max(values)
    first, last, decades = math.floor(math.log10(low)), math.ceil(math.log10(high)), math.log10(high / low)
    if decades < NARROW_DECADES:  # may lie between two round numbers of a decade
        step = 10.0 ** math.floor(math.log10(max(high - low, low / 10)))
        places = range(math.floor(low / step), math.ceil(high / step) + 1)
        return [(value, text(value)) for value in (float(f"{place * step:.3g}") for place in places)]
    steps = (1, 2, 3, 5, 7) if decades < 1 else (1, 2, 5) if decades < 2 else (1,)
    ticks = [float(f"{step}e{power}") for power in range(first, last + 1) for step in steps]
    return [(value, text(value)) for value in ticks]


def byte_ticks(sizes: Iterable[float]) -> Ticks:
    """Ticks at powers of two around the sizes, further apart the more these span: about MOST_TICKS at most."""
    sizes = list(sizes)
    first, last = math.floor(math.log2(min(sizes))), math.ceil(math.log2(max(sizes)))
    step = next(step for step in (1, 2, 4, 8, 16) if last - first <= MOST_TICKS * step or step == 16)
    first, last = first // step * step, max(-(-last // step), first // step + 1) * step
    ticks: Ticks = []
    for size in (2.0**power for power in range(first, last + 1, step)):
        unit_bytes, unit = next((pair for pair in numbers.BYTE_UNITS if size >= pair[0]), numbers.BYTE_UNITS[-1])
        ticks.append((size, f"{size / unit_bytes:g} {unit}"))
    return ticks


def byte_steps(most: float) -> Ticks:
    """Ticks for a linear axis: round multiples of one unit from zero up to `most` bytes, about FEW_TICKS."""
    size, unit = next((pair for pair in numbers.BYTE_UNITS if most >= FEW_TICKS * pair[0]), numbers.BYTE_UNITS[-1])
    steps = (factor * 10**power for power in count() for factor in (1, 2, 5))
    step = next(step for step in steps if most / size <= FEW_TICKS * step)
    values = [step * place for place in range(int(most / size / step) + 1)]
    return [(value * size, f"{value:,} {unit}") for value in values]


DIGITS = 5  # significant ones of a point: a page of many curves stays small
FILLS = ("", "-open", "-dot", "-open-dot")
"""Several series of one style differ by the filling of their markers, and by their dash."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MARKERS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star", "pentagon", "hexagon")
COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
LINES = [
    Style(
        colour=COLOURS[place % len(COLOURS)],
        dash=DASHES[(place + place // len(COLOURS)) % len(DASHES)],
        marker=MARKERS[place % len(MARKERS)],
    )
    for place in range(len(COLOURS) * 2)
]
"""Styles of lines that no option's own style tells apart, in their order."""
HOVER = "%{hovertext}<extra>%{fullData.name}</extra>"
VALUES = "%{xaxis.title.text} %{x:.0f}: %{y}<extra>%{fullData.name}</extra>"
"""A hover text that a browser fills in: a sentence for each point of a long line would be most of the page."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A value, what it may be by its interval, and what hovering says."""

    x: Any
    y: Any
    hover: Text = ""
    ends: tuple[float, float] | None = None
    """The ends of its interval, along the axis of the values."""
    text: Text = ""  # written beside it
    facets: Mapping[str, Text] = field(default_factory=dict)
    """Its subject, where the points of a series differ in it."""
    runs: Sequence[str] = ()
    """Run keys of the records that it is made of, where the points of a series differ in them."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points of one name and look."""

    name: Text
    points: Sequence[Point]
    style: Style = OTHER
    ordinal: int = 0  # which series of its style it is: each has a dash and a filling of its own
    mode: str = "markers"
    """One of Plotly's modes: lines, markers, lines+markers, with +text for texts beside the points."""
    facets: Facets = field(default_factory=dict)
    runs: Sequence[str] = ()  # run keys of the records that every point is made of
    in_legend: bool = True
    group: Text = ""  # series of one group are shown and hidden together; its own name where empty
    along: str = "y"  # the axis of the values, along which intervals lie
    size: float = 9
    more: Mapping[str, Any] = field(default_factory=dict)  # anything else of Plotly's scatter


def trace(series: Series) -> dict[str, Any]:
    """A series as a Plotly scatter trace; series of one style differ by marker filling, or by dash without markers."""
    style, ordinal = series.style, series.ordinal
    # Where there are markers, these tell series of one style apart by their filling.
    dashes_on = 0 if "markers" in series.mode else ordinal
    dash = DASHES[(DASHES.index(style.dash) + dashes_on) % len(DASHES)]
    line = {"color": style.colour, "dash": dash, "width": 2 if ordinal == 0 else 1.5}
    marker = {"color": style.colour, "symbol": style.marker + FILLS[ordinal % len(FILLS)], "size": series.size}
    return {
        "type": "scatter",
        "mode": series.mode,
        **common_fields(series),
        **({"text": [figure_text(point.text) for point in series.points]} if "text" in series.mode else {}),
        **({"line": line} if "lines" in series.mode else {}),
        **({"marker": marker} if "markers" in series.mode else {}),
        **series.more,
    }


def common_fields(series: Series) -> dict[str, Any]:
    """What every kind of Plotly trace of a series has: name, places with intervals, hovers, facets and runs."""
    points = series.points
    made_of: dict[str, Any] = {"customdata": [list(series.runs)]} if series.runs else {}
    if any(point.runs for point in points):
        made_of = {"customdata": [[*series.runs, *point.runs] for point in points]}
    hovers: dict[str, Any] = {"hoverinfo": "skip"}
    if any(point.hover for point in points):
        hovers = {"hovertext": [figure_text(point.hover) for point in points], "hovertemplate": HOVER}
    return {
        "name": figure_text(series.name),
        "legendgroup": figure_text(series.group or series.name),
        "showlegend": series.in_legend,
        "x": [short(point.x) for point in points],
        "y": [short(point.y) for point in points],
        **_error_bars(points, series.along, series.style.colour),
        **hovers,
        **facet_meta(series.facets, [point.facets for point in points]),
        **made_of,
    }


def meaning(name: Text, *, facets: Facets | None = None, **marker: Any) -> dict[str, Any]:
    """A trace without points that gives the legend an entry: what a colour, a filling or a size means.

    `facets` go into its `meta`, by which the page's scripts filter it.
    """
    return {
        "type": "scatter",
        "mode": "markers",
        "name": figure_text(name),
        "legendgroup": figure_text(name),
        "x": [None],
        "y": [None],
        "hoverinfo": "skip",
        "marker": {"color": GREY, "size": 10, **marker},
        **facet_meta(facets or {}, ()),
    }


def _error_bars(points: Sequence[Point], along: str, colour: str) -> dict[str, Any]:
    """Plotly's error bars from the points' intervals along an axis; empty where any point has no interval."""
    intervals = [(point.y if along == "y" else point.x, point.ends) for point in points if point.ends is not None]
    if len(intervals) < len(points) or not intervals:
        return {}
    return {
        f"error_{along}": {
            "type": "data",
            "symmetric": False,
            "array": [short(high - value) for value, (_, high) in intervals],
            "arrayminus": [short(value - low) for value, (low, _) in intervals],
            "color": colour,
            "thickness": 1.25,
            "width": 4,
        }
    }


def facet_meta(facets: Facets, point_facets: Sequence[Mapping[str, Text]]) -> dict[str, Any]:
    """A trace's `meta`, by which scripts filter: for each facet one text, or a list with one for each point."""
    names = [name for name in FACETS if any(point.get(name) for point in point_facets)]
    subjects = {**facets, **{name: [point.get(name, "") for point in point_facets] for name in names}}
    meta = {
        name: [figure_text(text) for text in value] if isinstance(value, list | tuple) else figure_text(value)
        for name, value in subjects.items()
    }
    return {"meta": meta} if meta else {}


def short(value: Any, digits: int = DIGITS) -> Any:
    """A float rounded to significant digits, as many as a screen shows; anything else as it is."""
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def faint(colour: str, opacity: float) -> str:
    """A colour such as #57606a with an opacity, as CSS writes it."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"


Axis = dict[str, Any]
HEIGHT_PX, LEGEND_ROW_PX, LEGEND_COLUMNS = 380, 19, 3
PANEL_PX, FRAME_PX, GAP = 190, 130, 0.035
BAND_OPACITY = 0.11


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One of several plots under each other that share their x axis."""

    title: Text
    series: Sequence[Series]
    yaxis: Axis
    level: float | None = None
    """The height of a dotted line across the panel, such as the share that guessing reaches."""


def layout(**parts: Any) -> dict[str, Any]:
    """The Plotly layout that every figure shares; `parts` are added to it, or replace its own."""
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 12},
        "margin": {"l": 8, "r": 12, "t": 8, "b": 8, "pad": 2},
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "title": {"text": ""},
        },
        "showlegend": True,
        "dragmode": False,
        "hovermode": "closest",
        **parts,
    }


def plot(series: Sequence[Series | Mapping[str, Any]], *, xaxis: Axis, yaxis: Axis, **more: Any) -> dict[str, Any]:
    """A Plotly figure of series, or ready traces, over one pair of axes. `more`: further settings of its layout."""
    traces = [trace(line) if isinstance(line, Series) else dict(line) for line in series]
    return {"data": traces, "layout": layout(xaxis=xaxis, yaxis=yaxis, **more)}


def banded(series: Sequence[Series], *, xaxis: Axis, yaxis: Axis, **more: Any) -> dict[str, Any]:
    """Draw lines over bands between the ends of their points' intervals; no band for a line with a point that has none.
    A click in the legend takes all series of a group."""
    bands = [_band(line) for line in series if line.points and all(point.ends for point in line.points)]
    lines = [replace(line, points=[replace(point, ends=None) for point in line.points]) for line in series]
    return plot([*bands, *lines], xaxis=xaxis, yaxis=yaxis, **more)


def panels(parts: Sequence[Panel], *, xaxis: Axis, title: Text) -> dict[str, Any]:
    """Draw panels from the top down over one x axis, each with its title in the lower right corner; the middle one
    bears the title of their y axes."""
    count = len(parts)
    height = (1 - GAP * (count - 1)) / count
    traces, axes, levels, titles = list[dict[str, Any]](), dict[str, Axis](), [], []
    for place, panel in enumerate(parts):
        number = str(place + 1) if place else ""  # Plotly's names: yaxis, yaxis2 and so on
        low = max(0.0, 1 - (place + 1) * height - place * GAP)
        domain = [round(low, 4), round(min(1.0, low + height), 4)]
        for series in panel.series:
            traces.append(trace(series) | {"yaxis": f"y{number}", "showlegend": series.in_legend and place == 0})
        axes[f"yaxis{number}"] = {
            "domain": domain,
            **panel.yaxis,
            "title": {"text": title, "standoff": 8} if place == count // 2 else {"text": ""},
        }
        levels += [] if panel.level is None else [rule(y=panel.level, axis=f"y{number}")]
        titles.append(
            {
                "text": figure_text(panel.title),
                "xref": "paper",
                "x": 1,
                "xanchor": "right",
                "yref": "paper",
                "y": domain[0] + 0.005,
                "yanchor": "bottom",
                "xshift": -4,
                "showarrow": False,
                "font": {"size": 12, "weight": "bold"},
            }
        )
    last = f"y{count}" if count > 1 else "y"
    return plot(traces, xaxis={**xaxis, "anchor": last}, **axes, shapes=levels, annotations=titles)


def rule(*, x: float | None = None, y: float | None = None, axis: str = "y", solid: bool = False) -> dict[str, Any]:
    """A line across a plot, a Plotly shape behind all else: vertical at `x`, or horizontal at `y` of an axis."""
    line = {"color": GREY, "width": 1.5 if solid else 1.25, "dash": "solid" if solid else "dot"}
    ends = (
        {"x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1}
        if x is not None
        else {"xref": "paper", "x0": 0, "x1": 1, "yref": axis, "y0": y, "y1": y}
    )
    return {"type": "line", **ends, "layer": "below", "line": line}


def height_px(entries: int) -> int:
    """The height of a wide plot with a legend of so many entries."""
    return HEIGHT_PX + LEGEND_ROW_PX * -(-entries // LEGEND_COLUMNS)


def panels_height_px(count: int) -> int:
    return FRAME_PX + PANEL_PX * count


def _band(line: Series) -> dict[str, Any]:
    """A trace without hover or legend entry that fills the area between the ends of a line's points."""
    x = [point.x for point in line.points]
    low, high = zip(*(point.ends for point in line.points if point.ends is not None), strict=True)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": figure_text(line.name),
        "legendgroup": figure_text(line.name),
        "showlegend": False,
        "x": [short(value) for value in [*x, *reversed(x)]],
        "y": [short(value) for value in [*high, *reversed(low)]],
        "fill": "toself",
        "fillcolor": faint(line.style.colour, BAND_OPACITY),
        "line": {"width": 0},
        "hoverinfo": "skip",
        **facet_meta(line.facets, ()),
    }
