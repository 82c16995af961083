"""Points with what hovering says of them, series of points, and Plotly's traces of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from suite.report.blocks import Facets, Text
from suite.report.model.labels import BLUE, FACETS, GREEN, GREY, ORANGE, OTHER, PURPLE, SKY, VERMILION, Style
from suite.report.plot.text import figure_text

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
