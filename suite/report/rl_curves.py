"""Held-out accuracy over what had been spent: the mean of an arm's seeds at each evaluation, with its interval."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from suite.records import numbers
from suite.report.blocks import Text, View, say
from suite.report.rl_charts import Band, axis, band_plot
from suite.report.rl_numbers import SECONDS, amount, percent_range
from suite.report.rl_run import JOULES, Curve
from suite.report.rl_runs import Arm, Comparison, budget_name
from suite.statistics.scores import Estimate, mean, stratified_bootstrap


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """One evaluation that every run of an arm has."""

    step: int
    runs: Sequence[tuple[Curve, int]]
    """Each run's curve, and its place there."""

    @classmethod
    def at(cls, step: int, curves: Sequence[Curve]) -> "Evaluated":
        return cls(step=step, runs=[(curve, curve.at.index(step)) for curve in curves])

    @functools.cached_property
    def scores(self) -> Sequence[float]:
        return [curve.accuracy[place] for curve, place in self.runs]

    @functools.cached_property
    def interval(self) -> Estimate | None:
        """The percentile bootstrap's: a band shows a spread, and judges nothing."""
        column = np.asarray(self.scores).reshape(-1, 1)
        return stratified_bootstrap(mean, column) if len(column) > 1 else None

    def spent(self, budget: str) -> float:
        return fmean(curve.by(budget)[place] for curve, place in self.runs)

    def hover(self, budget: str, interval: Estimate | None) -> Text:
        return say(
            "rl_efficiency.hover",
            spent=amount(budget, self.spent(budget)),
            budget=budget_name(budget),
            accuracy=numbers.percent(fmean(self.scores)),
            interval=percent_range(interval),
            count=len(self.scores),
        )


def budget_views(one: Comparison) -> list[View]:
    """A figure for each budget that every curve has."""
    found = {arm: evaluations(arm) for arm in one.chosen}
    return [View(title=budget_name(budget), figure=_curves(found, budget)) for budget in one.budgets]


def evaluations(arm: Arm) -> list[Evaluated]:
    """Nothing is interpolated: between two evaluations nobody looked."""
    shared = [at for at in arm.curves[0].at if all(at in curve.at for curve in arm.curves)]
    return [Evaluated.at(step, arm.curves) for step in shared]


def _curves(evaluated: Mapping[Arm, Sequence[Evaluated]], budget: str) -> dict[str, Any]:
    suffix = {"ticksuffix": " s"} if budget in SECONDS else {"ticksuffix": " J"} if budget == JOULES else {}
    return band_plot(
        [_band(arm, points, budget) for arm, points in evaluated.items()],
        xaxis=axis(say(f"rl_efficiency.axis.{budget}"), separatethousands=True, rangemode="tozero", **suffix),
        yaxis=axis(say("rl_efficiency.axis"), tickformat=".0%", rangemode="tozero"),
    )


def _band(arm: Arm, points: Sequence[Evaluated], budget: str) -> Band:
    known = [point.interval for point in points if point.interval is not None]
    is_known = len(known) == len(points)
    return Band(
        arm=arm,
        x=[point.spent(budget) for point in points],
        y=[fmean(point.scores) for point in points],
        low=[interval.low for interval in known] if is_known else None,
        high=[interval.high for interval in known] if is_known else None,
        hover=[point.hover(budget, point.interval) for point in points],
    )
