"""Points with what hovering says of them, series of points, and Plotly's traces of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from suite.report.blocks import Text
from suite.report.model.labels import FACETS, GREY, OTHER, Style
from suite.report.plot.text import figure_text

DIGITS = 5
"""Significant ones of a point: a page of many curves stays small."""
FILLS = ("", "-open", "-dot", "-open-dot")
"""Several series of one style differ by the filling of their markers, and by their dash."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
HOVER = "%{hovertext}<extra>%{fullData.name}</extra>"

Facets = Mapping[str, Text | Sequence[Text]]


@dataclass(frozen=True, kw_only=True)
class Point:
    """A value, what it may be by its interval, and what hovering says."""

    x: Any
    y: Any
    hover: Text = ""
    ends: tuple[float, float] | None = None
    """Of its interval, along the axis of the values."""
    text: Text = ""
    """Written beside it."""
    facets: Mapping[str, Text] = field(default_factory=dict)
    """What it is about, where a series' points differ in it."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points of one name and look."""

    name: Text
    points: Sequence[Point]
    style: Style = OTHER
    ordinal: int = 0
    """Which series of its style it is: each has a dash and a filling of its own."""
    mode: str = "markers"
    """As Plotly has it: lines, markers, lines+markers, with +text for texts beside the points."""
    facets: Facets = field(default_factory=dict)
    in_legend: bool = True
    group: Text = ""
    """Series of one group are shown and hidden together; its own name where empty."""
    along: str = "y"
    """The axis of the values, along which intervals lie."""
    size: float = 9
    more: Mapping[str, Any] = field(default_factory=dict)
    """Anything else of Plotly's scatter."""


def trace(series: Series) -> dict[str, Any]:
    """Return a scatter trace."""
    points, style = series.points, line_and_marker(series.style, series.ordinal, size=series.size)
    if "markers" in series.mode:  # which tell its series apart by their filling
        style["line"]["dash"] = series.style.dash
    has_hover = any(point.hover for point in points)
    return {
        "type": "scatter",
        "mode": series.mode,
        "name": figure_text(series.name),
        "legendgroup": figure_text(series.group or series.name),
        "showlegend": series.in_legend,
        "x": [short(point.x) for point in points],
        "y": [short(point.y) for point in points],
        **error_bars(points, series.along, colour=series.style.colour),
        **({"text": [figure_text(point.text) for point in points]} if "text" in series.mode else {}),
        **({"line": style["line"]} if "lines" in series.mode else {}),
        **({"marker": style["marker"]} if "markers" in series.mode else {}),
        **hovering([point.hover for point in points] if has_hover else []),
        **about(series.facets, [point.facets for point in points]),
        **series.more,
    }


def meaning(name: Text, *, facets: Facets | None = None, **marker: Any) -> dict[str, Any]:
    """Return an entry of the legend alone: what a colour, a filling or a size means."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": figure_text(name),
        "legendgroup": figure_text(name),
        "x": [None],
        "y": [None],
        "hoverinfo": "skip",
        "marker": {"color": GREY, "size": 10, **marker},
        **about(facets or {}, ()),
    }


def texts(columns: Sequence[Any], rows: Sequence[Any], written: Sequence[Text], *, size: int) -> dict[str, Any]:
    """Return texts in the page's own colour, which those of a heat map's cells do not follow."""
    return {
        "type": "scatter",
        "mode": "text",
        "x": list(columns),
        "y": list(rows),
        "text": list(written),
        "textfont": {"size": size},
        "hoverinfo": "skip",
    }


def line_and_marker(style: Style, ordinal: int = 0, *, size: float = 9) -> dict[str, Any]:
    """Return Plotly's line and marker for the `ordinal`-th series of a style."""
    dash = DASHES[(DASHES.index(style.dash) + ordinal) % len(DASHES)]
    return {
        "line": {"color": style.colour, "dash": dash, "width": 2 if ordinal == 0 else 1.5},
        "marker": {"color": style.colour, "symbol": style.marker + FILLS[ordinal % len(FILLS)], "size": size},
    }


def error_bars(points: Sequence[Point], along: str, *, colour: str = GREY) -> dict[str, Any]:
    """Return Plotly's intervals along an axis; none where any point has none."""
    known = [(point.y if along == "y" else point.x, point.ends) for point in points if point.ends is not None]
    if len(known) < len(points) or not known:
        return {}
    return {
        f"error_{along}": {
            "type": "data",
            "symmetric": False,
            "array": [short(high - value) for value, (_, high) in known],
            "arrayminus": [short(value - low) for value, (low, _) in known],
            "color": colour,
            "thickness": 1.25,
            "width": 4,
        }
    }


def hovering(hovers: Sequence[Text]) -> dict[str, Any]:
    """Return what hovering says, above the trace's name; nothing where there is nothing to say."""
    if not hovers:
        return {"hoverinfo": "skip"}
    return {"hovertext": [figure_text(text) for text in hovers], "hovertemplate": HOVER}


def about(facets: Facets, of_points: Sequence[Mapping[str, Text]]) -> dict[str, Any]:
    """Return what a trace is about: a text for all of it, or one for each point. Scripts filter the page by it."""
    said: dict[str, Any] = dict(facets)
    said |= {
        name: [one.get(name, "") for one in of_points] for name in FACETS if any(one.get(name) for one in of_points)
    }
    if not said:
        return {}
    return {
        "meta": {
            name: [figure_text(one) for one in value] if isinstance(value, list | tuple) else figure_text(value)
            for name, value in said.items()
        }
    }


def short(value: Any) -> Any:
    """Return a number with as many digits as a screen shows; anything else as it is."""
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def faint(colour: str, opacity: float) -> str:
    """Return a colour that lets through what lies behind it."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"
