"""Whole figures of series: over one pair of axes, with bands, and panels under each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from suite.report.blocks import Text
from suite.report.model.labels import GREY
from suite.report.plot.marks import Series, facet_meta, faint, short, trace
from suite.report.plot.text import figure_text

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
