"""Learning curves of workload=quality: the share answered over updates, the mean of the seeds."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from suite.records import numbers
from suite.report.blocks import say
from suite.report.charts import figure_text, layout
from suite.report.facets import trace_facets
from suite.report.palette import shown
from suite.report.quality_lines import fading
from suite.report.quality_names import variant_name
from suite.report.quality_numbers import share_text
from suite.report.quality_run import ALL
from suite.report.quality_runs import Arm
from suite.report.rl_charts import axis, short

HOVER = "%{hovertext}<extra>%{fullData.name}</extra>"


def curves_plot(arms: Sequence[Arm], *, kind: str = ALL) -> dict[str, Any]:
    """An arm whose evaluations have no number of updates is left out."""
    lines = {arm: points for arm in arms if (points := mean_curve(arm, kind))}
    of_variant = {arm.attention: [other for other in lines if other.attention == arm.attention] for arm in lines}
    return {
        "data": [_line(arm, points, of_variant[arm.attention]) for arm, points in lines.items()],
        "layout": layout(
            xaxis=axis(
                say("quality.axis.updates"),
                separatethousands=True,
                rangemode="tozero",
                automargin=True,
                zeroline=False,
            ),
            yaxis=axis(
                say("quality.axis.answered"), tickformat=".0%", range=[0, 1.03], automargin=True, zeroline=False
            ),
            hovermode="closest",
        ),
    }


def mean_curve(arm: Arm, kind: str) -> list[tuple[float, list[float]]]:
    """Updates and the seeds' shares, at the evaluations that all seeds have."""
    curves = [dict(zip(*run.curve(kind), strict=True)) for run in arm.runs]
    shared = sorted(set.intersection(*map(set, curves)))
    return [(spent, [curve[spent] for curve in curves]) for spent in shared]


def _line(arm: Arm, points: Sequence[tuple[float, list[float]]], alike: Sequence[Arm]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": figure_text(variant_name(arm)),
        "x": [short(spent) for spent, _ in points],
        "y": [short(fmean(shares)) for _, shares in points],
        **fading(arm, alike),
        "hovertext": [
            figure_text(
                say(
                    "quality.curve_hover",
                    updates=numbers.count(spent),
                    share=share_text(shares),
                    count=len(shares),
                )
            )
            for spent, shares in points
        ],
        "hovertemplate": HOVER,
        **trace_facets(variant=shown(arm.attention), label=arm.label),
    }
