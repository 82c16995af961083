"""Figures of recipes: accuracy over a run with its stages marked, and what each stage added."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from suite.report.blocks import Text, dotted, joined, say, say_or
from suite.report.charts import figure_text, layout
from suite.report.facets import point_facets, trace_facets
from suite.report.rl_charts import axis, error_bars, row_layout, short
from suite.report.rl_curves import evaluations
from suite.report.rl_gains import Gain, Stage
from suite.report.rl_numbers import SECONDS, points, with_range
from suite.report.rl_palette import arm_style
from suite.report.rl_run import STEPS
from suite.report.rl_runs import Arm
from suite.report.verdicts import share_interval

HOVER = "%{hovertext}<extra>%{fullData.name}</extra>"
FAINT = 0.55
SIDES = ("top left", "top right")
"""Names of neighbouring stages, of which one may be short, do not lie over each other."""


def stage_name(stage: Stage) -> Text:
    """Of a kind that another package brought, its own name."""
    return say_or(f"rl_stages.kind.{stage.kind}", stage.kind)


def courses(gains: Mapping[Arm, Sequence[Gain]], budget: str) -> dict[str, Any]:
    """Every evaluation as a line, and on it a mark where a stage begins or ends."""
    styles = {arm: arm_style(arm.drawn_as, _ordinal(arm, list(gains))) for arm in gains}
    lines = [_line(arm, budget, styles[arm]) for arm in gains]
    marks = [_marks(arm, of_arm, budget, styles[arm]) for arm, of_arm in gains.items() if of_arm]
    suffix = {"ticksuffix": " s"} if budget in SECONDS else {}
    title = say("rl_stages.axis.steps") if budget == STEPS else say(f"rl_efficiency.axis.{budget}")
    xaxis = axis(title, separatethousands=True, rangemode="tozero", automargin=True, zeroline=False, **suffix)
    yaxis = axis(say("rl_efficiency.axis"), tickformat=".0%", rangemode="tozero", automargin=True, zeroline=False)
    return {"data": [*lines, *marks], "layout": layout(xaxis=xaxis, yaxis=yaxis, hovermode="closest")}


def added_rows(gains: Sequence[Gain]) -> dict[str, Any]:
    """A row for each stage: its mean gain in points, with the interval."""
    names = [dotted(gain.arm.name, stage_label(gain)) for gain in gains]
    arms = list(dict.fromkeys(gain.arm for gain in gains))
    return {
        "data": [_of_arm(arm, gains, arm_style(arm.drawn_as, _ordinal(arm, arms))) for arm in arms],
        "layout": row_layout(names, xaxis=axis(say("rl_stages.added_axis"), zeroline=True), showlegend=False),
    }


def stage_label(gain: Gain) -> Text:
    """The stage, and where there are several its place among them."""
    name = stage_name(gain.stage)
    return name if gain.of == 1 else say("rl_stages.of", place=gain.place, of=gain.of, kind=name)


def _ordinal(arm: Arm, arms: Sequence[Arm]) -> int:
    return [one for one in arms if one.drawn_as == arm.drawn_as].index(arm)


def _line(arm: Arm, budget: str, style: Mapping[str, Any]) -> dict[str, Any]:
    found = evaluations(arm)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": figure_text(arm.name),
        "legendgroup": figure_text(arm.name),
        "showlegend": False,
        "opacity": FAINT,
        "x": [short(one.spent(budget)) for one in found],
        "y": [short(fmean(one.scores)) for one in found],
        "hoverinfo": "skip",
        "line": {**style["line"], "width": 1.5},
        **trace_facets(**arm.facets),
    }


def _marks(arm: Arm, gains: Sequence[Gain], budget: str, style: Mapping[str, Any]) -> dict[str, Any]:
    """Where stages begin and end, in the mean of the seeds; of several the name of each stands at its end."""
    said = {gain.stage.ends: stage_name(gain.stage) if gain.of > 1 else "" for gain in gains}
    said = {gains[0].stage.begins: "", **said}
    found = [one for one in evaluations(arm) if one.step in said]
    intervals = [share_interval(one.scores) for one in found]
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": figure_text(arm.name),
        "legendgroup": figure_text(arm.name),
        "x": [short(one.spent(budget)) for one in found],
        "y": [short(fmean(one.scores)) for one in found],
        **error_bars(
            "y",
            [(fmean(one.scores), interval) for one, interval in zip(found, intervals, strict=True)],
            colour=style["marker"]["color"],
        ),
        "text": [figure_text(said[one.step]) for one in found],
        "textposition": [SIDES[place % len(SIDES)] for place in range(len(found))],
        "textfont": {"size": 10, "color": style["marker"]["color"]},
        "hovertext": [
            figure_text(joined(" ", [said[one.step], one.hover(budget, interval)]))
            for one, interval in zip(found, intervals, strict=True)
        ],
        "hovertemplate": HOVER,
        "marker": {**style["marker"], "size": 9},
        **trace_facets(**arm.facets),
    }


def _of_arm(arm: Arm, gains: Sequence[Gain], style: Mapping[str, Any]) -> dict[str, Any]:
    own = [(row, gain) for row, gain in enumerate(gains) if gain.arm is arm]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": figure_text(arm.name),
        "x": [short(100 * gain.added.mean) for _, gain in own],
        "y": [row for row, _ in own],
        **error_bars(
            "x",
            [(gain.added.mean, gain.added.interval) for _, gain in own],
            factor=100,
            colour=style["marker"]["color"],
        ),
        "hovertext": [figure_text(_added_hover(gain)) for _, gain in own],
        "hovertemplate": HOVER,
        "marker": {**style["marker"], "size": 9},
        **point_facets([arm.facets for _ in own]),
    }


def _added_hover(gain: Gain) -> Text:
    added = with_range(gain.added.mean, gain.added.interval, points, say("rl.to"))
    return say("rl_stages.added_hover", stage=stage_label(gain), added=added, count=len(gain.before))
