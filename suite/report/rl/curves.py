"""Lines over training: held-out accuracy over what had been spent, and numbers of the steps."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np

from suite.records import numbers
from suite.report.blocks import Text, dotted, say
from suite.report.model.formats import ends_of, percent_range
from suite.report.plot.marks import VALUES, Point, Series, short
from suite.report.plot.plots import Axis, banded, rule
from suite.report.plot.scales import linear, shares
from suite.report.rl import design
from suite.report.rl.design import RlArm, RlExperiment, RlRun
from suite.statistics.scores import Estimate, mean, stratified_bootstrap

SUFFIXES = {design.CPU: " s", design.WALL: " s", design.JOULES: " J"}
MOST_POINTS = 60
MOST_BANDS = 4
"""Lines whose bands can be told from each other."""
STEP_DIGITS = 4
"""Significant ones of a number of a step."""


@functools.lru_cache(maxsize=4096)
def bootstrap_interval(scores: tuple[float, ...]) -> Estimate | None:
    """Return the percentile bootstrap's interval of a mean: a band shows a spread, and judges nothing."""
    return stratified_bootstrap(mean, np.asarray(scores).reshape(-1, 1)) if len(scores) > 1 else None


def evaluations(
    arm: RlArm, budget: str, interval_of: Callable[[tuple[float, ...]], Estimate | None]
) -> dict[int, Point]:
    """Return, by step, the mean accuracy over the mean of what had been spent, where all runs were evaluated.

    Nothing is interpolated: between two evaluations nobody looked.
    """
    every, points = design.curves_of(arm), {}
    for step in [step for step in every[0].at if all(step in curve.at for curve in every)]:
        scores = tuple(curve.by_step()[step] for curve in every)
        spent, interval = fmean(curve.by_step(budget)[step] for curve in every), interval_of(scores)
        fields = {"spent": amount(budget, spent), "budget": budget_name(budget), "count": len(scores)}
        fields |= {"accuracy": numbers.percent(fmean(scores)), "interval": percent_range(interval)}
        hover = say("rl_efficiency.hover", **fields)
        points[step] = Point(x=spent, y=fmean(scores), ends=ends_of(interval), hover=hover)
    return points


def over_budgets(experiment: RlExperiment) -> dict[Text, Any]:
    """Draw a figure for each budget that every curve has."""
    arms, figures = design.chosen(experiment), {}
    for budget in design.known_budgets(experiment, *design.BUDGETS):
        points = {arm: evaluations(arm, budget, bootstrap_interval) for arm in arms}
        if len(arms) > MOST_BANDS:
            points = {
                arm: {at: replace(one, ends=None) for at, one in of_arm.items()} for arm, of_arm in points.items()
            }
        lines = [arm_series(arm, list(of_arm.values()), arms) for arm, of_arm in points.items()]
        axes = {"xaxis": budget_axis(budget), "yaxis": accuracy_axis()}
        figures[budget_name(budget)] = banded(lines, **axes, shapes=guessing_level(arms))
    return figures


def guessing_level(arms: Sequence[RlArm]) -> list[dict[str, Any]]:
    """Level line of what needs no skill, the same for all arms of an experiment; none where nobody knows it."""
    return [rule(y=level) for arm in arms[:1] if (level := arm.first.trivial_accuracy) is not None]


def budget_axis(budget: str) -> Axis:
    """Return the axis of what had been spent."""
    title = say("rl_stages.axis.steps") if budget == design.STEPS else say(f"rl_efficiency.axis.{budget}")
    suffix = {"ticksuffix": SUFFIXES[budget]} if budget in SUFFIXES else {}
    return linear(title, separatethousands=True, rangemode="tozero", **suffix)


def accuracy_axis() -> Axis:
    """Return the axis of held-out accuracy."""
    return shares(say("rl_efficiency.axis"), rangemode="tozero")


def budget_name(budget: str) -> Text:
    """Return what a budget is called."""
    return say(f"rl.budget.{budget}")


def amount(budget: str, value: float) -> str:
    """Write what was spent of a budget, with its unit."""
    write = {design.CPU: numbers.seconds, design.WALL: numbers.seconds, design.JOULES: numbers.joules}
    return write.get(budget, numbers.count)(value)


def arm_series(arm: RlArm, points: Sequence[Point], arms: Sequence[RlArm], *, second: Text = "", **more: Any) -> Series:
    """Return an arm's series beside those of other arms: of one style each has a look of its own.

    `second`: what a line shows that is drawn dotted and thin beside the arm's first one.
    """
    look: dict[str, Any] = {"name": arm.short_name, "mode": "lines", "facets": arm.facets, "runs": runs_behind(arm)}
    if second:
        line = {"color": arm.style.colour, "dash": "dot", "width": 1.25}
        look |= {"name": dotted(arm.short_name, second), "in_legend": False, "more": {"line": line}}
    ordinal = [other for other in arms if other.style == arm.style].index(arm)
    return Series(points=points, style=arm.style, ordinal=ordinal, group=arm.short_name, **look | more)


def runs_behind(arm: RlArm) -> list[str]:
    """Return the run keys of an arm's seeds."""
    return [run.record.run_key for run in arm.ended]


def by_step(arm: RlArm, series_of: Callable[[RlRun], Mapping[int, float]]) -> dict[float, list[float]]:
    """Return a number, seed by seed, at the steps all seeds with it share; neighbours of many as one mean."""
    every = [series for run in arm.ended if (series := series_of(run))]
    shared = sorted(set.intersection(*map(set, every))) if every else []
    size = max(1, -(-len(shared) // MOST_POINTS))
    blocks = [shared[start : start + size] for start in range(0, len(shared), size)]
    return {fmean(block): [fmean(run[step] for step in block) for run in every] for block in blocks}


def step_lines(
    arms: Sequence[RlArm],
    series_of: Callable[[RlRun], Mapping[int, float]],
    *,
    has_band: bool = True,
    second: Text = "",
) -> list[Series]:
    """Return lines of arms over the steps: the mean of the seeds, and where asked, and few enough to be seen, a band
    between their extremes.
    """
    lines = []
    for arm in arms:
        points = []
        for step, values in by_step(arm, series_of).items():
            value, *ends = (short(number, STEP_DIGITS) for number in (fmean(values), min(values), max(values)))
            is_wide = has_band and not second and len(values) > 1 and len(arms) <= MOST_BANDS
            points.append(Point(x=step, y=value, ends=(ends[0], ends[1]) if is_wide else None))
        lines += [arm_series(arm, points, arms, second=second)] if points else []
    return [replace(line, more={**line.more, "hoverinfo": "all", "hovertemplate": VALUES}) for line in lines]


def over_steps(lines: Sequence[Series], yaxis: Axis) -> dict[str, Any]:
    """Draw numbers over the steps."""
    axis = {"hoverformat": ".3~g", **yaxis} if "tickformat" not in yaxis else {"hoverformat": ".0%", **yaxis}
    return banded(lines, xaxis=linear(say("rl_stability.step"), separatethousands=True), yaxis=axis)
