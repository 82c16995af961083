"""Rows from the top, each under its name, since no room is beside a narrow plot: forests, dumbbells and bars."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from suite.records import numbers
from suite.report.blocks import Facets, Text, dotted, say
from suite.report.plot.marks import Point, Series, about, error_bars, hovering, made_of, short
from suite.report.plot.plots import Axis, layout, plot
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


def told_apart(parts: Sequence[Sequence[Text]]) -> tuple[list[Text], Text]:
    """Return rows' names by the parts in which they differ, and the parts that all share; all are a single row's."""
    if len(parts) < 2:
        return [dotted(*row) for row in parts], ""
    shared = [len(set(map(repr, column))) == 1 for column in zip(*parts, strict=True)]
    names = [dotted(*(part for part, is_one in zip(row, shared, strict=True) if not is_one)) for row in parts]
    return names, dotted(*(part for part, is_one in zip(parts[0], shared, strict=True) if is_one))


def drawn_of(found: Sequence[T], most: int) -> tuple[Sequence[T], Text]:
    """Return the rows that a figure has room for, the first, and what its caption says of the others."""
    left = len(found) - most
    return found[:most], say("signmap.not_drawn", count=numbers.count(left)) if left > 0 else ""


def height_px(count: int, row_px: int = ROW_PX) -> int:
    """Return the height of as many rows."""
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
    """Return bars from zero to each point's x at its y; with intervals where every point has one.

    `pattern` tells parts of a bar apart in greyscale.
    """
    marked = {"shape": pattern, "fillmode": "overlay", "solidity": 0.2}
    return {
        "type": "bar",
        "orientation": "h",
        "name": figure_text(name),
        "legendgroup": figure_text(name),
        "showlegend": in_legend,
        "x": [short(point.x) for point in points],
        "y": [point.y for point in points],
        **error_bars(points, "x"),
        **({"text": [figure_text(point.text) for point in points]} if any(point.text for point in points) else {}),
        **hovering(points),
        "marker": {"color": colour, **({"pattern": marked} if pattern else {})},
        **about(facets or {}, [point.facets for point in points]),
        **made_of(Series(name=name, points=points)),
        **more,
    }


def stacked(**legend: Any) -> dict[str, Any]:
    """Return what makes the bars of a row lie end to end, named in the order they lie in."""
    return {"barmode": "stack", "legend": {**layout()["legend"], "traceorder": "normal", **legend}}
