"""Panels under each other over one axis of cache bytes: a mark for each arm, a line through the sizes of a variant."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from suite.report.alike import grouped
from suite.report.charts import figure_text, layout
from suite.report.facets import trace_facets
from suite.report.palette import line_style, rank, shown
from suite.report.quality_lines import line_key, line_name, ordinals_of, size_text
from suite.report.quality_numbers import bytes_axis
from suite.report.quality_runs import Arm
from suite.report.rl_charts import error_bars, short
from suite.statistics.scores import Estimate

PANEL_PX, FRAME_PX, GAP = 190, 130, 0.035
GREY = "#808080"
TICKS = (0, 0.25, 0.5, 0.75, 1)
REACH = 1.17
"""Room above 100 % for the names of marks."""
HOVER = "%{hovertext}<extra>%{fullData.name}</extra>"


@dataclass(frozen=True, kw_only=True)
class Mark:
    arm: Arm
    share: float
    interval: Estimate | None
    hover: str
    is_second: bool = False
    """Drawn open and dotted beside the arm's first one."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    title: str
    marks: Sequence[Mark]
    chance: float | None = None


def height_px(panels: int) -> int:
    return FRAME_PX + PANEL_PX * panels


def panels_plot(panels: Sequence[Panel], axis_title: str) -> dict[str, Any]:
    """Arms must have a known cache."""
    arms = list(dict.fromkeys(mark.arm for panel in panels for mark in panel.marks))
    lines = grouped(arms, line_key)
    ordinals = ordinals_of(lines)
    traces = [
        _trace(line, ordinals[key], panel, place, is_second=is_second)
        for place, panel in enumerate(panels)
        for key, line in sorted(lines.items(), key=lambda item: (rank(item[1][0].attention), item[0]))
        for is_second in (False, True)
        if any(mark.arm in line and mark.is_second is is_second for mark in panel.marks)
    ]
    axes = {
        axis_name("yaxis", place): {
            "domain": domain_of(place, len(panels)),
            "range": [0, REACH],
            "tickvals": list(TICKS),
            "tickformat": ".0%",
            "automargin": True,
            "zeroline": False,
            **({"title": {"text": axis_title, "standoff": 8}} if place == len(panels) // 2 else {}),
        }
        for place in range(len(panels))
    }
    guesses = [_guess(panel.chance, place) for place, panel in enumerate(panels) if panel.chance]
    return {
        "data": traces,
        "layout": layout(
            xaxis={**bytes_axis(arms), "anchor": axis_name("y", len(panels) - 1)},
            **axes,
            shapes=guesses,
            annotations=[panel_title(panel.title, place, len(panels)) for place, panel in enumerate(panels)],
            hovermode="closest",
        ),
    }


def _trace(line: Sequence[Arm], ordinal: int, panel: Panel, place: int, *, is_second: bool) -> dict[str, Any]:
    marks = [mark for mark in panel.marks if mark.arm in line and mark.is_second is is_second]
    marks = sorted(marks, key=lambda mark: mark.arm.cache_bytes or 0)
    style = line_style(line[0].attention, ordinal)
    if is_second:
        style = {
            "line": {**style["line"], "dash": "dot", "width": 1},
            "marker": {**style["marker"], "symbol": f"{style['marker']['symbol'].removesuffix('-open')}-open"},
        }
    name = line_name(line[0], line)
    is_named = place == 0 and not is_second
    # Beside second marks the names of sizes would lie over each other.
    is_labelled = not any(mark.is_second for mark in panel.marks)
    return {
        "type": "scatter",
        "mode": "lines+markers+text" if is_labelled else "lines+markers",
        "name": figure_text(name),
        "legendgroup": figure_text(name),
        "showlegend": is_named,
        "yaxis": axis_name("y", place),
        "x": [mark.arm.cache_bytes for mark in marks],
        "y": [short(mark.share) for mark in marks],
        "text": [figure_text(size_text(mark.arm, line)) for mark in marks] if is_labelled else [],
        # Marks of a latent and of grouped heads often lie on each other.
        "textposition": "top center" if line[0].is_latent else "bottom center",
        "textfont": {"size": 10, "color": style["marker"]["color"]},
        "cliponaxis": False,
        "hovertext": [figure_text(mark.hover) for mark in marks],
        "hovertemplate": HOVER,
        **error_bars("y", [(mark.share, mark.interval) for mark in marks], colour=style["marker"]["color"]),
        **style,
        **trace_facets(variant=shown(line[0].attention), label=line[0].label),
    }


def axis_name(axis: str, place: int) -> str:
    """Plotly's: yaxis, yaxis2 and so on."""
    return f"{axis}{place + 1}" if place else axis


def domain_of(place: int, panels: int) -> list[float]:
    """The first is on top."""
    each = (1 - GAP * (panels - 1)) / panels
    low = max(0.0, 1 - (place + 1) * each - place * GAP)
    return [round(low, 4), round(min(1.0, low + each), 4)]


def panel_title(text: str, place: int, panels: int, *, is_on_top: bool = False) -> dict[str, Any]:
    """An annotation in a panel's right corner: the lower one, or the one on top."""
    low, high = domain_of(place, panels)
    return {
        "text": text,
        "xref": "paper",
        "x": 1,
        "xanchor": "right",
        "yref": "paper",
        "y": high - 0.005 if is_on_top else low + 0.005,
        "yanchor": "top" if is_on_top else "bottom",
        "xshift": -4,
        "showarrow": False,
        "font": {"size": 12, "weight": "bold"},
    }


def _guess(chance: float, place: int) -> dict[str, Any]:
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "yref": axis_name("y", place),
        "y0": chance,
        "y1": chance,
        "layer": "below",
        "line": {"color": GREY, "dash": "dot", "width": 1.25},
    }
