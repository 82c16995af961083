"""One run's power over time as a figure: its phases behind it, its marked samples on it, its joules at the right."""

from collections.abc import Sequence
from typing import Any

from suite.records import numbers
from suite.records.telemetry import Mark
from suite.report.blocks import Text, joined, say, say_or
from suite.report.charts import figure_text, layout
from suite.report.facets import record_facets, trace_facets
from suite.report.palette import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION
from suite.report.run_rows import run_name
from suite.report.watched import Power, Watched

MOST_POINTS = 600
"""Of a longer series, of neighbours the lowest and the highest are drawn: no peak is lost."""
MOST_PHASES = 40
PHASE_COLOURS = {
    "prepare": SKY,
    "ceilings": "#808080",
    "check": PURPLE,
    "measure": GREEN,
    "cold": BLUE,
    "profile": ORANGE,
    "energy": VERMILION,
}
OTHER_PHASE = "#808080"
MARKERS = {Mark.THROTTLED: ("x", VERMILION), Mark.PRESSURED: ("triangle-down", PURPLE)}
HEADROOM = 1.1
RUN_LEGEND = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}
"""As all figures have it; which run is drawn stands above it, since a view's button holds the variant alone."""


def is_thinned(power: Power) -> bool:
    return len(power.watts) > MOST_POINTS


def power_plot(run: Watched, power: Power) -> dict[str, Any]:
    facets = trace_facets(**record_facets(run.current.record))
    traces = [_line(power, _kept(power)) | facets]
    if len(power.counter_j) > 1:
        traces.append(_energy(power) | facets)
    for mark in dict.fromkeys(power.marks):
        if mark:
            traces.append(_marked(power, mark) | facets)
    return {
        "data": [*traces, *_phase_names(run)],
        "layout": layout(
            xaxis={"title": {"text": say("power.time"), "standoff": 10}, "automargin": True, "rangemode": "tozero"},
            yaxis={
                "title": {"text": say("power.axis")},
                "automargin": True,
                "range": [0, HEADROOM * max(*power.watts, 1e-3)],
            },
            yaxis2={
                "title": {"text": say("power.energy_axis")},
                "overlaying": "y",
                "side": "right",
                "showgrid": False,
                "automargin": True,
                "tickmode": "auto",
                "rangemode": "tozero",
            },
            shapes=[
                {
                    "type": "rect",
                    "xref": "x",
                    "yref": "paper",
                    "x0": begin,
                    "x1": end,
                    "y0": 0,
                    "y1": 1,
                    "layer": "below",
                    "line": {"width": 0},
                    "fillcolor": PHASE_COLOURS.get(phase, OTHER_PHASE),
                    "opacity": 0.18,
                }
                for phase, begin, end in run.phases[:MOST_PHASES]
            ],
            legend=RUN_LEGEND
            | {"title": {"text": figure_text(joined(" · ", run_name(run.current.record))), "side": "top"}},
            margin={"l": 8, "r": 24, "t": 8, "b": 8, "pad": 2},
            hovermode="closest",
        ),
    }


def _line(power: Power, kept: Sequence[int]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": say(f"power.quantity.{power.quantity}"),
        "x": [round(power.time_s[index], 4) for index in kept],
        "y": [round(power.watts[index], 3) for index in kept],
        "hovertext": [figure_text(_hover(power, index)) for index in kept],
        "hovertemplate": "%{hovertext}<extra>%{fullData.name}</extra>",
        "line": {"color": BLUE, "width": 2},
    }


def _energy(power: Power) -> dict[str, Any]:
    step = -(-len(power.counter_j) // MOST_POINTS)
    time_s, joules = power.counter_time_s[::step], power.counter_j[::step]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": say("power.energy"),
        "x": [round(one, 4) for one in time_s],
        "y": [round(one, 4) for one in joules],
        "yaxis": "y2",
        "hovertext": [
            figure_text(say("power.hover_energy", time=_s(t), joules=numbers.joules(j)))
            for t, j in zip(time_s, joules, strict=True)
        ],
        "hovertemplate": "%{hovertext}<extra>%{fullData.name}</extra>",
        "line": {"color": ORANGE, "width": 1.5, "dash": "dot"},
    }


def _marked(power: Power, mark: str) -> dict[str, Any]:
    places = [index for index, one in enumerate(power.marks) if one == mark][:MOST_POINTS]
    symbol, colour = MARKERS.get(mark, ("diamond-open", OTHER_PHASE))  # type: ignore[call-overload]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": figure_text(say_or(f"mark.{mark}", mark)),
        "x": [round(power.time_s[index], 4) for index in places],
        "y": [round(power.watts[index], 3) for index in places],
        "hovertext": [figure_text(_hover(power, index)) for index in places],
        "hovertemplate": "%{hovertext}<extra>%{fullData.name}</extra>",
        "marker": {"symbol": symbol, "color": colour, "size": 7},
    }


def _phase_names(run: Watched) -> list[dict[str, Any]]:
    """What the colours behind the line mean: entries of the legend alone."""
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": figure_text(phase_name(phase)),
            "x": [None],
            "y": [None],
            "hoverinfo": "skip",
            "marker": {"symbol": "square", "size": 12, "color": PHASE_COLOURS.get(phase, OTHER_PHASE), "opacity": 0.35},
        }
        for phase in dict.fromkeys(phase for phase, _, _ in run.phases[:MOST_PHASES])
    ]


def phase_name(phase: str) -> Text:
    return say_or(f"power.phase.{phase}", phase or say("power.phase.unnamed"))


def _kept(power: Power) -> list[int]:
    count = len(power.watts)
    if not is_thinned(power):
        return list(range(count))
    size = -(-2 * count // MOST_POINTS)
    kept: set[int] = set()
    for first in range(0, count, size):
        part = range(first, min(first + size, count))
        kept |= {min(part, key=power.watts.__getitem__), max(part, key=power.watts.__getitem__)}
    return sorted(kept)


def _hover(power: Power, index: int) -> Text:
    marked = say_or(f"mark.{power.marks[index]}", power.marks[index])
    about = [phase_name(power.phases[index]), *([marked] if marked else [])]
    watts = numbers.watts(power.watts[index])
    return say("power.hover", time=_s(power.time_s[index]), watts=watts, about=joined("list", about))


def _s(time_s: float) -> str:
    return f"{time_s:,.2f}"
