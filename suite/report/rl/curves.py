"""Whole learning curves: when each arm takes off, where it levels off, and in one word how it stands to the baseline.

A verdict at one budget is about that budget: an arm that is behind there may be late, lower for good, or stuck.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise
from statistics import fmean
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Kind, Section, Table, Text, joined, say, section
from suite.report.evidence import format_p
from suite.report.model import formats
from suite.report.model.results import Results
from suite.report.plot.plots import Point, Series, banded, shares
from suite.report.rl import design, frames
from suite.report.rl.design import RlArm, RlExperiment
from suite.report.rl.run import COMPLETIONS
from suite.report.rl.stability import worst_fall
from suite.report.table import Column, column
from suite.statistics.curve_words import CurveComparison, CurveWord, RunCurve, judge_curves, read_curve
from suite.statistics.learning import FEWEST_EVALUATIONS
from suite.statistics.take_off import kaplan_meier

Curves = Mapping[RlArm, Mapping[str, RunCurve]]
"""What is read of each run's curve over completions, by arm and seed."""
Judged = Mapping[RlArm, CurveComparison]
"""Arms beside the baseline of their experiment."""


def build(results: Results) -> Section | None:
    """The section on whole curves; None where no experiment has curves of enough evaluations over completions."""
    experiments = [
        experiment
        for experiment in design.layout(results).algorithms
        if experiment.budgets(COMPLETIONS)
        and all(len(curve.steps) >= FEWEST_EVALUATIONS for curve in experiment.curves)
        and all(len({*curve.spent[COMPLETIONS]} - {0.0}) > 1 for curve in experiment.curves)
    ]
    judgements = [(experiment, *judge_arms(experiment)) for experiment in experiments]
    # Where no run takes off there is little to see, and of a task that is learnt before the first evaluation all curves
    # look alike.
    judgements.sort(
        key=lambda row: (
            not any(run.take_off.happened for arm in row[1].values() for run in arm.values()),
            fmean(fmean(curve.accuracy) for curve in row[0].curves),
        )
    )
    figures = [_figure(*row) for row in judgements[: frames.MOST_FIGURES]]
    tables = [_table(*row) for row in judgements]
    return section("rl_curves", figures=figures, tables=tables) if tables else None


def judge_arms(experiment: RlExperiment) -> tuple[Curves, Judged]:
    """What is read of the arms' curves, and how each stands to the baseline's; of no baseline nothing does."""
    curves = {
        arm: {run.seed: read_curve(run.curve.spent[COMPLETIONS], run.curve.accuracy) for run in arm.runs if run.curve}
        for arm in experiment.trained_arms
    }
    if experiment.baseline is None:
        return curves, {}
    rows = [(curves[arm], curves[experiment.baseline]) for arm in experiment.rivals]
    comparisons = judge_curves(rows, design.accuracy_bounds(experiment.baseline))
    return curves, dict(zip(experiment.rivals, comparisons, strict=True))


def _figure(experiment: RlExperiment, curves: Curves, judged: Judged) -> Figure:
    """The figure of the share of runs that have not taken off and, where evaluations are not evenly spaced, of
    accuracy. Its finding counts the words."""
    lines = [_waiting(experiment, arm, curves[arm]) for arm in experiment.shown_arms]
    yaxis = shares(say("rl_curves.axis"), range=[-0.02, 1.02])
    waiting = banded(lines, xaxis=frames.log_axis(COMPLETIONS, lines), yaxis=yaxis)
    views: dict[Text, Any] = {say("rl_curves.view.waiting"): waiting}
    # The last evaluation may come sooner after the one before.
    if len({after - before for before, after in pairwise(experiment.curves[0].steps[:-1])}) > 1:
        (accuracy,) = frames.curves_by_budget(experiment, [COMPLETIONS], is_logarithmic=True).values()
        views[say("rl_curves.view.accuracy")] = accuracy
    finding: Text = ""
    if experiment.baseline is not None and judged and not experiment.is_picked:
        words = Counter(comparison.word for comparison in judged.values())
        counts = [
            say("rl_curves.count", word=say(f"rl_curves.word.{word}"), count=words[word])
            for word in CurveWord
            if words[word]
        ]
        finding = say("rl_curves.finding", reference=experiment.baseline.short_name, counts=joined("list", counts))
    return frames.experiment_figure(experiment, "rl_curves.over", views, finding)


def _waiting(experiment: RlExperiment, arm: RlArm, curves: Mapping[str, RunCurve]) -> Series:
    """An arm's Kaplan-Meier curve as stairs from the first evaluation after the start to the last, with its interval
    where arms are few."""
    spends = [spent for curve in experiment.curves for spent in curve.spent[COMPLETIONS] if spent > 0]
    first, last = min(spends), max(spends)
    waiting, points = kaplan_meier([run.take_off for run in curves.values()]), list[Point]()
    for (since, share), until in zip(waiting.items(), [*waiting, last][1:], strict=True):
        for spent in (since, until):
            fields = {
                "share": numbers.percent(share.estimate),
                "interval": formats.percent_range(share),
                "count": share.runs,
            }
            hover = say("rl_curves.hover", spent=numbers.count(spent), **fields)
            ends = formats.interval_ends(share) if len(experiment.shown_arms) <= frames.MOST_BANDS else None
            # What took off before the first step has no place on a logarithmic axis.
            points.append(Point(x=max(spent, first), y=share.estimate, ends=ends, hover=hover))
    return frames.arm_series(arm, points, experiment.shown_arms)


def _table(experiment: RlExperiment, curves: Curves, judged: Judged) -> Table:
    """The table of each arm's take-off, plateau, middle and steepness, with its word against the baseline."""

    def text_column(name: str, text: Callable[[list[RunCurve]], Text | None]) -> Column[RlArm]:
        return column(f"rl_curves.{name}", lambda arm: text([*curves[arm].values()]), kind=Kind.NUMBER)

    def count(name: str, is_counted: Callable[[RunCurve], bool]) -> Column[RlArm]:
        return text_column(name, lambda runs: frames.count_text(sum(map(is_counted, runs)), len(runs)))

    def middle(runs: list[RunCurve]) -> Text | None:
        most = max(math.log(curve.spent[COMPLETIONS][-1]) for curve in experiment.curves)
        logs = [run.sigmoid.log_middle for run in runs if run.sigmoid]
        return formats.mean_with_range(logs, lambda log: numbers.count(math.exp(min(log, most))))

    columns: list[Column[RlArm]] = [
        frames.ARM,
        column("rl_curves.word", lambda arm: say(f"rl_curves.word.{judged[arm].word}") if arm in judged else None),
        count("took_off", lambda run: run.take_off.happened),
        text_column("median", lambda runs: formats.take_off_range([run.take_off for run in runs])),
        text_column("plateau", lambda runs: formats.share_with_range([run.plateau for run in runs])),
        text_column("middle", middle),
        text_column(
            "steepness",
            lambda runs: formats.mean_with_range(
                [run.sigmoid.steepness for run in runs if run.sigmoid], formats.three_digits
            ),
        ),
        count("fitted", lambda run: run.sigmoid is not None),
        column("rl_stability.drawdown", lambda arm: 100 * max(arm.values(worst_fall)), "{:.1f}".format),
        count("collapsed", lambda run: run.is_collapsed),
        column("rl_curves.p", lambda arm: judged[arm].later.adjusted_p if arm in judged else None, format_p),
    ]
    return frames.experiment_table(experiment, "rl_curves.table", experiment.trained_arms, columns)
