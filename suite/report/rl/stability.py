"""Stability of the algorithms: runs that collapsed or drifted, and runs that found a way to be paid for nothing.

An end such as an empty answer in perfect form is a result: it stands here and in every mean of the other sections.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import starmap
from statistics import fmean, median
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, say, section
from suite.report.evidence import with_rule
from suite.report.model.experiment import Quantity
from suite.report.model.formats import plain, points
from suite.report.model.results import Results
from suite.report.plot.scales import linear, shares
from suite.report.rl import design
from suite.report.rl.contrasts import Beside, beside_reference, difference_columns, finding
from suite.report.rl.curves import over_steps, step_lines
from suite.report.rl.design import RlArm, RlExperiment, RlRun
from suite.report.table import Column, column, columns_of, table
from suite.statistics.learning import is_collapsed, worst_drawdown
from suite.statistics.paired import SHARE_MARGIN, Outcome

FORMED, UNLEARNT = 0.9, 0.1
"""From so much form, and below so much accuracy, a run that ends there has learnt the form alone."""
ENDING = 0.1
"""The share of the steps that "at the end" means."""
MOST_FIGURES = 10
VIEWS = (
    "entropy",
    "kl_reference",
    "groups_without_signal",
    "completion_length",
    "format",
    "gradient_norm",
    "explained_variance",
)
CLIPPED = ("clip_fraction_low", "clip_fraction_high", "gradient_clipped")
SHARES = ("groups_without_signal", "format", "accuracy", "truncated", *CLIPPED)
OVER_ALL = (*CLIPPED, "gradient_norm")
UNBOUNDED = ("explained_variance",)
"""One run whose returns hardly vary has a share of minus any size."""
MEASURES = (
    *("entropy", "kl_reference", *OVER_ALL, "explained_variance"),
    *("groups_without_signal", "completion_length", "truncated"),
)
"""Metrics of the steps in the table, those over all steps among others at the end."""

Hacked = tuple[RlExperiment, RlArm, RlRun]


def build(results: Results) -> Section | None:
    """Build it from all runs, those that failed included."""
    found = design.algorithms(results)
    if not found:
        return None
    runs = [(experiment, arm, run) for experiment in found for arm in experiment.arms for run in arm.runs]
    hacked = [row for row in runs if is_form_alone(row[2])]
    counts = {
        "runs": len(runs),
        "failed": sum(not run.is_ok for *_, run in runs),
        "collapsed": sum(_collapsed(arm) for experiment in found for arm in experiment.arms),
        "hacked": len(hacked),
    }
    said = say("rl_stability.said", **{name: numbers.count(count) for name, count in counts.items()})
    falls = {experiment: _fall_contrasts(experiment) for experiment in found}
    return section(
        "rl_stability",
        figures=[figure for figure in starmap(_figure, falls.items()) if figure.views][:MOST_FIGURES],
        tables=[*with_rule([*starmap(_table, falls.items())]), _hacked(hacked)],
        headlines=[Headline(text=said)],
    )


def _fall_contrasts(experiment: RlExperiment) -> list[Beside]:
    """Compare the worst fall of every arm with the baseline's, in points of accuracy; a lower one is steadier."""
    if experiment.baseline is None:
        return []
    others = [arm for arm in design.drawn(experiment) if arm is not experiment.baseline]
    return beside_reference(experiment, others, [(0.0, FALL)])


def is_form_alone(run: RlRun) -> bool:
    """Return whether a run ends with the asked form and hardly a right answer, on the held-out prompts."""
    form, accuracy = _last("heldout_format", run), _last("heldout_accuracy", run)
    return run.ended and (form or 0.0) >= FORMED and accuracy is not None and accuracy < UNLEARNT


def _last(metric: str, run: RlRun) -> float | None:
    values = run.evaluated.get(metric)
    return values[max(values)] if values else None


def _collapsed(arm: RlArm) -> int:
    return sum(is_collapsed(curve.accuracy) for curve in design.curves_of(arm))


def _hacked(hacked: Sequence[Hacked]) -> Table:
    columns: list[Column[Hacked]] = [
        column("column.group", lambda row: row[0].name),
        column("rl.arm", lambda row: row[1].name),
        column("rl.seed", lambda row: row[2].seed, kind=Kind.NUMBER),
        column("rl_stability.best", lambda row: max(row[2].evaluated["heldout_accuracy"].values()), numbers.percent),
        column("rl_stability.accuracy", lambda row: _last("heldout_accuracy", row[2]), numbers.percent),
        column("rl_stability.format", lambda row: _last("heldout_format", row[2]), numbers.percent),
        column("rl_stability.completion_length", lambda row: _last("heldout_length", row[2]), plain),
    ]
    note = say("rl_stability.hacked_note", form=numbers.percent(FORMED), accuracy=numbers.percent(UNLEARNT))
    return table(say("rl_stability.hacked"), hacked, columns, facets_of=lambda row: row[1].facets, note=note)


def _table(experiment: RlExperiment, rows: Sequence[Beside]) -> Table:
    of_arm = {row.arm: row for row in rows}
    columns: list[Column[RlArm]] = [
        column("rl.arm", lambda arm: arm.name),
        column("rl_stability.drawdown", lambda arm: max(_falls(arm), default=None), "{:.1f}".format),
        *columns_of(of_arm.get, difference_columns("rl_stability.less_reference")[:2]),
        column("rl_stability.collapsed", lambda arm: design.arrived_of(_collapsed(arm), arm), kind=Kind.NUMBER),
        # A run without an evaluation may have given a result.
        column("rl_stability.failed", _failed, kind=Kind.NUMBER),
    ]
    for metric in MEASURES:
        mean, text = partial(mean_of_steps, metric), numbers.percent if metric in SHARES else plain
        columns.append(column(f"rl_stability.{metric}", mean, text, only_where_known=True))
    note = say("rl_stability.note", share=numbers.percent(ENDING))
    return design.table_of(experiment, "rl_stability.table", experiment.arms, columns, note=note)


def _failed(arm: RlArm) -> Text:
    failed = sum(not run.is_ok for run in arm.runs)
    return say("rl_efficiency.arrived_of", arrived=failed, runs=len(arm.runs))


def worst_fall(run: RlRun) -> float | None:
    return None if run.curve is None else worst_drawdown(run.curve.accuracy)


FALL = Quantity(
    name="fall", value=worst_fall, text=numbers.percent, difference=points, unit="points", margin=SHARE_MARGIN
)
"""The largest fall of held-out accuracy from its best so far."""


def _falls(arm: RlArm) -> list[float]:
    """The largest fall of each seed, in percentage points."""
    return [100 * fall for fall in arm.values(worst_fall)]


def mean_of_steps(metric: str, arm: RlArm) -> float | None:
    """Return the mean over the steps at the end, or over all, of the runs that ended; the median of what has no bound
    below."""
    means, begins = [], 0.0 if metric in OVER_ALL else 1 - ENDING
    mean = median if metric in UNBOUNDED else fmean
    for series in filter(None, (series_of(metric, run) for run in arm.ended)):
        end = max(series)
        means.append(mean(value for step, value in series.items() if step >= begins * (end + 1) or step == end))
    return mean(means) if means else None


def series_of(metric: str, run: RlRun) -> Mapping[int, float]:
    """Return a metric of a run by step, of a share the numbers that it can be."""
    values = run.of_step.get(metric, {})
    return design.within(values) if metric in SHARES else values


def _figure(experiment: RlExperiment, rows: Sequence[Beside]) -> Figure:
    """Draw each metric over the steps; beside the format the accuracy, dotted."""
    arms, views = design.chosen(experiment), dict[Text, Any]()
    for metric in VIEWS:
        title, series = say(f"rl_stability.axis.{metric}"), partial(series_of, metric)
        lines = step_lines(arms, series, has_band=metric != "format")
        if metric == "format":
            second, series = say("rl_stability.accuracy"), partial(series_of, "accuracy")
            lines += step_lines(arms, series, second=second)
        yaxis = shares(title, rangemode="tozero") if metric in SHARES else linear(title)
        views[say(f"rl_stability.view.{metric}")] = over_steps(lines, yaxis)
    caption = design.caption_of(experiment, "rl_stability.caption", "rl_stability.caption_single")
    told = finding(
        rows,
        "",
        unit=say("rl_stability.points"),
        better=Outcome.LOWER,
        said=lambda outcome: f"rl_stability.is.{outcome}",
    )
    if not told and (falls := experiment.baseline and _falls(experiment.baseline)):
        fields = {"fall": f"{max(falls):.1f}", "count": len(falls)}
        told = say("rl_stability.finding", arm=experiment.baseline.short_name, **fields)
    return design.figure_of(experiment, say("rl_stability.over"), caption, views, finding=told)
