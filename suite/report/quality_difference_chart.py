"""Differences in points, a row for each study and in it a dot for each variant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.report.blocks import Text, say
from suite.report.charts import figure_text
from suite.report.facets import trace_facets
from suite.report.palette import line_style, shown
from suite.report.quality_contests import Contest
from suite.report.quality_names import variant_name
from suite.report.quality_runs import Arm, order
from suite.report.rl_charts import axis, error_bars, row_layout, short

NAME_PX, DOT_PX, FRAME_PX = 30, 12, 130
NO_DIFFERENCE = {
    "type": "line",
    "x0": 0,
    "x1": 0,
    "yref": "paper",
    "y0": 0,
    "y1": 1,
    "layer": "below",
    "line": {"color": "#808080", "width": 1.5},
}
HOVER = "%{hovertext}<extra>%{fullData.name}</extra>"


@dataclass(frozen=True, kw_only=True)
class Row:
    title: str
    contests: Sequence[Contest]


def height_px(rows: Sequence[Row]) -> int:
    return FRAME_PX + len(rows) * (NAME_PX + DOT_PX * len(_names(rows)))


def differences_plot(rows: Sequence[Row], axis_title: str) -> dict[str, Any]:
    names = _names(rows)
    each = DOT_PX / (NAME_PX + DOT_PX * len(names))
    ordinals: dict[str, int] = {}
    traces = []
    for place, (name, arm) in enumerate(names.items()):
        ordinal = ordinals.setdefault(arm.attention, 0)
        ordinals[arm.attention] += 1
        traces.append(_trace(name, arm, ordinal, rows, each * (place - (len(names) - 1) / 2)))
    return {
        "data": traces,
        "layout": row_layout(
            [row.title for row in rows],
            xaxis=axis(axis_title),
            shapes=[NO_DIFFERENCE],
            shift_px=DOT_PX * len(names) / 2 + NAME_PX / 3,
        ),
    }


def _names(rows: Sequence[Row]) -> Mapping[str, Arm]:
    """The first arm of each name, in the order of variants."""
    found: dict[str, Arm] = {}
    for arm in sorted((one.arm for row in rows for one in row.contests), key=order):
        found.setdefault(variant_name(arm), arm)
    return found


def _trace(name: str, arm: Arm, ordinal: int, rows: Sequence[Row], offset: float) -> dict[str, Any]:
    own = [(place, one) for place, row in enumerate(rows) for one in row.contests if variant_name(one.arm) == name]
    style = line_style(arm.attention, ordinal)["marker"]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": figure_text(name),
        "x": [short(100 * one.mean) for _, one in own],
        "y": [place + offset for place, _ in own],
        **error_bars("x", [(one.mean, one.interval) for _, one in own], factor=100, colour=style["color"]),
        "hovertext": [figure_text(_hover(rows[place], one)) for place, one in own],
        "hovertemplate": HOVER,
        "marker": {**style, "size": 8},
        **trace_facets(variant=shown(arm.attention), label=arm.label),
    }


def _hover(row: Row, one: Contest) -> Text:
    return say(
        "quality.difference_hover",
        title=row.title,
        other=variant_name(one.other),
        difference=one.told(),
        said=one.said(),
    )
