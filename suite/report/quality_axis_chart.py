"""A line for each variant over a setting of a task, such as the pairs that are to be recalled."""

from collections.abc import Callable, Sequence
from typing import Any

from suite.records import numbers
from suite.report.blocks import say
from suite.report.charts import figure_text, layout
from suite.report.facets import trace_facets
from suite.report.palette import line_style, shown
from suite.report.quality_lines import fading
from suite.report.quality_names import variant_name
from suite.report.quality_numbers import share_text
from suite.report.quality_run import QualityRun
from suite.report.quality_runs import Arm
from suite.report.quality_tasks import OF_A_TASK, Axis, arrivals_of, variants_of
from suite.report.rl_charts import axis, error_bars, short
from suite.report.verdicts import share_interval
from suite.statistics.scores import Estimate

HOVER = "%{hovertext}<extra>%{fullData.name}</extra>"
Drawn = tuple[float, Estimate | None, str]
"""A value, its interval, and what is said of it."""


def answered_over(over: Axis) -> dict[str, Any]:
    def drawn(arm: Arm) -> Drawn | None:
        values = arm.values(QualityRun.final)
        interval = share_interval(values)
        said = say("quality.share_hover", share=share_text(values), count=len(values))
        return (sum(values) / len(values), interval, said)

    yaxis = axis(say("quality.axis.answered"), tickformat=".0%", range=[0, 1.03], automargin=True, zeroline=False)
    return _plot(over, drawn, yaxis)


def arrival_over(over: Axis) -> dict[str, Any]:
    """Where half of the seeds or more arrived."""

    def drawn(arm: Arm) -> Drawn | None:
        found = arrivals_of(arm)
        if found is None or found.median is None:
            return None
        said = say("quality.arrival_hover", updates=numbers.count(found.median), arrived=found.arrived, runs=found.runs)
        return found.median, None, said

    yaxis = axis(say("quality.axis.arrival"), rangemode="tozero", separatethousands=True, automargin=True)
    return _plot(over, drawn, yaxis)


def _plot(over: Axis, drawn: Callable[[Arm], Drawn | None], yaxis: dict[str, Any]) -> dict[str, Any]:
    places = {id(study): value for value, study in over.studies}
    values = sorted({value for value, _ in over.studies})
    traces = []
    by_variant = list(variants_of([study for _, study in over.studies]).values())
    for items in by_variant:
        arm = items[0][1]
        alike = [other[0][1] for other in by_variant if other[0][1].attention == arm.attention]
        points = sorted((places[id(study)], found) for study, one in items if (found := drawn(one)) is not None)
        if points:
            traces.append(_trace(arm, alike, points))
    return {
        "data": traces,
        "layout": layout(
            xaxis=axis(
                figure_text(over.name.removeprefix(OF_A_TASK)),
                tickvals=values,
                ticktext=[numbers.plain_tick(value) for value in values],
                automargin=True,
                zeroline=False,
            ),
            yaxis=yaxis,
            hovermode="closest",
        ),
    }


def _trace(arm: Arm, alike: Sequence[Arm], points: Sequence[tuple[float, Drawn]]) -> dict[str, Any]:
    marker = line_style(arm.attention, list(alike).index(arm))["marker"]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": figure_text(variant_name(arm)),
        "x": [place for place, _ in points],
        "y": [short(value) for _, (value, _, _) in points],
        **error_bars("y", [(value, interval) for _, (value, interval, _) in points], colour=marker["color"]),
        "hovertext": [figure_text(said) for _, (_, _, said) in points],
        "hovertemplate": HOVER,
        "marker": {**marker, "size": 8},
        **fading(arm, alike),
        **trace_facets(variant=shown(arm.attention), label=arm.label),
    }
