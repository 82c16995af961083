"""A claim's estimate as a figure: each unit's mean difference with its interval, then the mean over units."""

from collections.abc import Sequence
from typing import Any

from suite.report.answers.trials import Trial
from suite.report.blocks import Figure, Text, View, dotted, joined, say
from suite.report.evidence import Write, comparison_verdict, estimate, format_p
from suite.report.model.formats import interval_ends, points
from suite.report.model.labels import BLUE, GREY, VERMILION, Style
from suite.report.plot import rows as plot_rows
from suite.report.plot.plots import Point, Series, linear, rule
from suite.statistics.pooled import Pooled

FEWEST_ROWS = 2  # units from which on a figure shows more than a sentence
ROW_PX = 34


def forest(
    units: Sequence[tuple[Text, Trial]], pooled: Pooled, write: Write, *, name: Text, measure: Text, scope: Text
) -> Figure:
    """The figure of `pooled`, a row for each of `units` with its name. One that was not tested is drawn open and does
    not count in the mean; at least one was. `name`: what is subtracted from what. `scope`: a sentence on what its
    interval holds for."""
    factor = 100 if write is points else 1
    value = estimate(pooled.mean, pooled.interval, write)

    def series(style: Style, marks: Sequence[Point], **more: Any) -> Series:
        return Series(name=name, points=marks, style=style, along="x", in_legend=False, **more)

    counted, left_out = list[Point](), list[Point]()
    for place, trial in enumerate(trial for _, trial in units):
        mean, interval = trial.comparison.mean, trial.comparison.interval
        verdict = comparison_verdict(trial.comparison)
        hover = say("claim.forest.hover", value=estimate(mean, interval, write), said=verdict)
        ends, runs = interval_ends(interval, factor=factor), [key for arm in trial.arms for key in arm.run_keys]
        mark = Point(x=factor * mean, y=place, ends=ends, hover=hover, runs=runs)
        (counted if trial.comparison.is_tested else left_out).append(mark)
    conclusion = say(f"claim.said.{pooled.conclusion}")
    foot = Point(
        x=factor * pooled.mean,
        y=len(units),
        ends=interval_ends(pooled.interval, factor=factor),
        hover=say("claim.forest.hover", value=value, said=conclusion),
    )
    names = [dotted(unit, say("claim.forest.pairs", count=trial.comparison.pairs)) for unit, trial in units]
    count = sum(comparison.pairs for comparison in pooled.telling)
    names.append(dotted(say("claim.forest.mean"), say("claim.forest.pairs", count=count)))
    traces = [
        series(Style(colour=BLUE), counted),
        *([series(Style(colour=GREY), left_out, ordinal=1)] if left_out else []),
        series(Style(colour=VERMILION, marker="diamond"), [foot], size=14),
    ]
    axis = linear(say("claim.forest.points", name=name) if write is points else name, rangemode="tozero")
    p = None if pooled.heterogeneity_p is None else format_p(pooled.heterogeneity_p)
    caption = [
        say("claim.forest.caption"),
        say("claim.forest.left_out") if left_out else "",
        scope,
        "" if p is None else say("claim.forest.q", p=p if p.startswith("<") else f"= {p}"),
    ]
    return Figure(
        title=say("claim.forest", measure=measure),
        family=say("claim.forest", measure=measure),
        finding=say("claim.forest.finding", name=name, value=value, said=conclusion),
        caption=joined("sentence", caption),
        views=[View(title="", figure=plot_rows.rows(names, traces, xaxis=axis, shapes=[rule(x=0)], showlegend=False))],
        height_px=plot_rows.height_px(len(names), row_px=ROW_PX),
        facets={"case": name},
    )
