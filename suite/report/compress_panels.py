"""Panels under each other over one axis of cache bytes, a panel for each way to choose a latent and a line for each
class of words: which of them pays first, and most."""

from collections.abc import Callable, Sequence
from typing import Any

from suite.report.blocks import joined, say
from suite.report.charts import byte_ticks, figure_text, layout, log_axis
from suite.report.compress_losses import ByWindow, Value, is_near, value_of
from suite.report.compress_names import CLASS_STYLES, line_name, run_name
from suite.report.compress_run import CLASSES, CompressRun
from suite.report.compress_runs import Line, Study
from suite.report.facets import trace_facets
from suite.report.rl_charts import error_bars, short

HOVER = "%{hovertext}<extra>%{fullData.name}</extra>"
ZERO = {"color": "#808080", "width": 1}
Added = Callable[[CompressRun, CompressRun | None, str], ByWindow]
Drawn = tuple[CompressRun, Value]


def classes_plot(
    study: Study, added: Added, said: Callable[[Value], str], axis_title: str, ticks: str, *, is_close_up: bool = False
) -> dict[str, Any]:
    """`said`: a value as hovering says it; `ticks`: plotly's format. No data where nothing is paired."""

    def shown(line: Line) -> list[CompressRun]:
        return [run for run in line.runs if not is_close_up or is_near(run, study.reference)]

    panels = [line for line in study.low_rank if shown(line)]
    aside = [run for line in study.lines if not line.runs[0].is_low_rank for run in shown(line)]
    traces = []
    for place, line in enumerate(panels):
        for name in CLASSES:
            for runs, is_aside in ((shown(line), False), (aside, True)):
                if drawn := _drawn(runs, study, added, name):
                    traces.append(_trace(drawn, name, place, said, study, is_aside=is_aside))
    bytes_drawn = [value for trace in traces for value in trace["x"]]
    middle = len(panels) // 2
    axes = {
        axis_name("yaxis", place): {
            "domain": domain_of(place, len(panels)),
            "tickformat": ticks,
            "nticks": 6,
            "automargin": True,
            "zeroline": False,
            **({"title": {"text": axis_title, "standoff": 8}} if place == middle else {}),
        }
        for place in range(len(panels))
    }
    return {
        "data": traces,
        "layout": layout(
            xaxis={
                **log_axis(say("quality.axis.bytes"), byte_ticks(bytes_drawn or [1.0])),
                "anchor": axis_name("y", len(panels) - 1),
            },
            **axes,
            shapes=[_zero(place) for place in range(len(panels))],
            annotations=[_title(line, place, panels) for place, line in enumerate(panels)],
            hovermode="closest",
        ),
    }


def _drawn(runs: Sequence[CompressRun], study: Study, added: Added, name: str) -> list[Drawn]:
    found = [(run, value_of(added(run, study.reference, name))) for run in runs if run.cache_bytes]
    return [(run, value) for run, value in found if value is not None]


def _trace(
    drawn: Sequence[Drawn], name: str, place: int, said: Callable[[Value], str], study: Study, *, is_aside: bool
) -> dict[str, Any]:
    style = CLASS_STYLES[name]
    shown = figure_text(say(f"compress.class.{name}"))
    return {
        "type": "scatter",
        "mode": "markers" if is_aside else "lines+markers",
        "name": shown,
        "legendgroup": shown,
        "showlegend": place == 0 and not is_aside,
        "yaxis": axis_name("y", place),
        "x": [run.cache_bytes for run, _ in drawn],
        "y": [short(value.mean) for _, value in drawn],
        **error_bars("y", [(value.mean, value.interval) for _, value in drawn], colour=style.colour),
        "hovertext": [figure_text(joined(": ", [run_name(run), said(value)])) for run, value in drawn],
        "hovertemplate": HOVER,
        "line": {"color": style.colour, "dash": style.dash, "width": 2},
        "marker": {"color": style.colour, "symbol": style.marker + ("-open" if is_aside else ""), "size": 8},
        **trace_facets(label=study.label),
    }


def _title(line: Line, place: int, panels: Sequence[Line]) -> dict[str, Any]:
    return panel_title(figure_text(line_name(line)), place, len(panels), is_on_top=True)


def _zero(place: int) -> dict[str, Any]:
    axis = axis_name("y", place)
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "yref": axis,
        "y0": 0,
        "y1": 0,
        "layer": "below",
        "line": ZERO,
    }


def axis_name(axis: str, place: int) -> str:
    """Plotly's: yaxis, yaxis2 and so on."""
    return f"{axis}{place + 1}" if place else axis


def domain_of(place: int, panels: int) -> list[float]:
    """The first is on top."""
    each = (1 - 0.035 * (panels - 1)) / panels
    low = max(0.0, 1 - (place + 1) * each - place * 0.035)
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
