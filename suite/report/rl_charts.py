"""Lines with a band for each arm, and rows that are named above their marks: what the figures of reinforcement learning
share."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.report.blocks import joined
from suite.report.charts import figure_text, layout
from suite.report.facets import trace_facets
from suite.report.rl_palette import arm_style, band_colour
from suite.report.rl_runs import Arm
from suite.statistics.scores import Estimate

HEIGHT_PX, LEGEND_ROW_PX, LEGEND_COLUMNS = 380, 19, 3
ROW_PX, ROWS_FRAME_PX, NAME_SHIFT_PX = 44, 140, 15
NARROW_BANDS = 4
DIGITS = 5
"""Significant ones of a point: a page of many curves stays small."""


@dataclass(frozen=True, kw_only=True)
class Band:
    """One arm's line, and where known the ends of the band around it."""

    arm: Arm
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None
    high: Sequence[float] | None
    hover: Sequence[str]
    second: str = ""
    """What a line shows that is drawn dotted and thin beside the arm's first one; it has no entry in the legend."""


def band_plot(bands: Sequence[Band], *, xaxis: Mapping[str, Any], yaxis: Mapping[str, Any]) -> dict[str, Any]:
    """The bands lie behind all lines. A click in the legend takes all of an arm."""
    ordinals: dict[str, list[Arm]] = defaultdict(list)
    for arm in dict.fromkeys(band.arm for band in bands):
        ordinals[arm.drawn_as].append(arm)
    lines = [_line(band, ordinals[band.arm.drawn_as].index(band.arm)) for band in bands]
    return {
        "data": [*(_band(one) for one in bands if one.low is not None), *lines],
        "layout": layout(xaxis=_axis(xaxis), yaxis=_axis(yaxis), hovermode="closest"),
    }


def axis(title: str, **more: Any) -> dict[str, Any]:
    return {"title": {"text": title, "standoff": 10}, **more}


def height_px(bands: int) -> int:
    """Of a wide figure whose legend has as many entries."""
    return HEIGHT_PX + LEGEND_ROW_PX * -(-bands // LEGEND_COLUMNS)


def is_wide(bands: int) -> bool:
    """Whether a figure needs the page's whole width."""
    return bands > NARROW_BANDS


def rows_height_px(rows: int) -> int:
    return ROWS_FRAME_PX + ROW_PX * rows


def row_layout(
    names: Sequence[str], *, xaxis: Mapping[str, Any], shift_px: float = NAME_SHIFT_PX, **more: Any
) -> dict[str, Any]:
    """Rows from the top, each under its name, `shift_px` above its middle: no room is beside a narrow plot."""
    return layout(
        xaxis=_axis(xaxis),
        yaxis={"range": [len(names) - 0.5, -0.8], "visible": False},
        annotations=[
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
        ],
        hovermode="closest",
        **more,
    )


def error_bars(
    letter: str, points: Sequence[tuple[float, Estimate | None]], *, factor: float = 1, colour: str = "#808080"
) -> dict[str, Any]:
    """Plotly's for points with intervals along an axis, all times `factor`; none where any point has no interval."""
    ends = [(value, one.low, one.high) for value, one in points if one is not None]
    if len(ends) < len(points):
        return {}
    return {
        f"error_{letter}": {
            "type": "data",
            "symmetric": False,
            "array": [short(factor * (high - value)) for value, _, high in ends],
            "arrayminus": [short(factor * (value - low)) for value, low, _ in ends],
            "color": colour,
            "thickness": 1.25,
            "width": 3,
        }
    }


def short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _axis(said: Mapping[str, Any]) -> dict[str, Any]:
    return {"automargin": True, "zeroline": False, **said}


def _line(band: Band, ordinal: int) -> dict[str, Any]:
    """The `ordinal`-th arm of its colour in the plot."""
    line = arm_style(band.arm.drawn_as, ordinal)["line"]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": figure_text(joined(" · ", filter(None, [band.arm.name, band.second]))),
        "legendgroup": figure_text(band.arm.name),
        "showlegend": not band.second,
        "x": [short(value) for value in band.x],
        "y": [short(value) for value in band.y],
        "hovertext": [figure_text(text) for text in band.hover],
        "hovertemplate": "%{hovertext}<extra>%{fullData.name}</extra>",
        "line": line | {"dash": "dot", "width": 1.25} if band.second else line,
        **trace_facets(**band.arm.facets),
    }


def _band(band: Band) -> dict[str, Any]:
    assert band.low is not None
    assert band.high is not None
    return {
        "type": "scatter",
        "mode": "lines",
        "name": figure_text(band.arm.name),
        "legendgroup": figure_text(band.arm.name),
        "showlegend": False,
        "x": [short(value) for value in [*band.x, *reversed(band.x)]],
        "y": [short(value) for value in [*band.high, *reversed(band.low)]],
        "fill": "toself",
        "fillcolor": band_colour(band.arm.drawn_as),
        "line": {"width": 0},
        "hoverinfo": "skip",
        **trace_facets(**band.arm.facets),
    }
