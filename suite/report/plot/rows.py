"""Rows from the top, each under its name, since no room is beside a narrow plot: forests, dumbbells and bars."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from suite.records import numbers
from suite.report.blocks import Facets, Text, say
from suite.report.plot.plots import Axis, Point, Series, common_fields, layout, plot
from suite.report.plot.text import figure_text

T = TypeVar("T")
ROW_PX, FRAME_PX, NAME_PX = 44, 140, 15


def rows(
    names: Sequence[Text],
    series: Sequence[Series | Mapping[str, Any]],
    *,
    xaxis: Axis,
    shift_px: float = NAME_PX,
    **more: Any,
) -> dict[str, Any]:
    """Draw series whose y is a row's place; each row's name stands `shift_px` above its middle."""
    named = [
        {
            "text": figure_text(name),
            "xref": "paper",
            "x": 0,
            "xanchor": "left",
            "y": row,
            "yshift": shift_px,
            "showarrow": False,
            "font": {"size": 11},
        }
        for row, name in enumerate(names)
    ]
    yaxis = {"range": [len(names) - 0.5, -0.8], "visible": False}
    return plot(series, xaxis=xaxis, yaxis=yaxis, annotations=named, **more)


def first_rows(rows: Sequence[T], most: int) -> tuple[Sequence[T], Text]:
    """The first `most` rows, and a sentence for the caption on how many more there are; empty where all are drawn."""
    left = len(rows) - most
    return rows[:most], say("signmap.not_drawn", count=numbers.count(left)) if left > 0 else ""


def height_px(count: int, row_px: int = ROW_PX) -> int:
    """The height of a plot with so many rows."""
    return FRAME_PX + row_px * count


def bars(
    name: Text,
    points: Sequence[Point],
    *,
    colour: str | Sequence[str],
    pattern: str = "",
    facets: Facets | None = None,
    in_legend: bool = True,
    **more: Any,
) -> dict[str, Any]:
    """A trace of horizontal bars from zero to each point's x at its y, with intervals where every point has one.
    `pattern` tells parts of a bar apart in greyscale. `more`: further fields of the trace."""
    marked = {"shape": pattern, "fillmode": "overlay", "solidity": 0.2}
    series = Series(name=name, points=points, facets=facets or {}, in_legend=in_legend, along="x")
    return {
        "type": "bar",
        "orientation": "h",
        **common_fields(series),
        **({"text": [figure_text(point.text) for point in points]} if any(point.text for point in points) else {}),
        "marker": {"color": colour, **({"pattern": marked} if pattern else {})},
        **more,
    }


def stacked(**legend: Any) -> dict[str, Any]:
    """Layout settings that stack the bars of a row end to end; the legend lists them in that order."""
    return {"barmode": "stack", "legend": {**layout()["legend"], "traceorder": "normal", **legend}}
