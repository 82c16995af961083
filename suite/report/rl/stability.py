"""Stability of the algorithms: runs that collapsed or drifted, that found a way to be paid for nothing, and how their
thought changed.

An end such as an empty answer in perfect form is a result: it stands here and in every mean of the other sections.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import starmap
from statistics import fmean, median
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, joined, say, section
from suite.report.evidence import with_rule
from suite.report.model.experiment import ArmQuantity
from suite.report.model.formats import plain, points
from suite.report.model.results import Results
from suite.report.plot.scales import linear, shares
from suite.report.rl import design, evolution, frames
from suite.report.rl.contrasts import AgainstReference, against_reference, finding
from suite.report.rl.design import SHARES, RlArm, RlExperiment, RlRun
from suite.report.rl.frames import MOST_FIGURES, count_text
from suite.report.table import Column, column, columns_of
from suite.statistics.learning import is_collapsed, worst_drawdown
from suite.statistics.paired import SHARE_MARGIN

# A run that ends with so much form and less accuracy has learnt the form alone.
FORMED, UNLEARNT = 0.9, 0.1
ENDING = 0.1  # the share of the steps that "at the end" means
VIEWS = (
    *("entropy", "kl_reference", "groups_without_signal", "completion_length", "format", "gradient_norm"),
    "explained_variance",
)
OVER_ALL = ("clip_fraction_low", "clip_fraction_high", "gradient_clipped", "gradient_norm")
UNBOUNDED = ("explained_variance",)  # one run whose returns hardly vary has a share of minus any size
MEASURES = (
    *("entropy", "kl_reference", *OVER_ALL, "explained_variance"),
    *("groups_without_signal", "completion_length", "truncated"),
)
"""Metrics of the steps in the table, those over all steps among others at the end."""


def build(results: Results) -> Section | None:
    """Build it from all runs, those that failed included, and from the arms whose thoughts were measured."""
    experiments = design.layout(results).algorithms
    if not experiments:
        return None
    runs = [run for experiment in experiments for arm in experiment.arms for run in arm.runs]
    counts = {
        "runs": len(runs),
        "failed": sum(not run.is_ok for run in runs),
        "collapsed": sum(map(has_collapsed, runs)),
        "hacked": sum(map(learnt_form_alone, runs)),
    }
    falls = {each: against_reference(each, each.rivals, [FALL]) for each in experiments}
    changed = {each: evolution.evaluation_changes(each.arms) for each in evolution.thinking(results)}
    figures = [figure for figure in starmap(_figure, falls.items()) if figure.views]
    explanation = [say("rl_stability.explanation"), say("rl_evolution.explanation") if changed else ""]
    return section(
        "rl_stability",
        explanation=joined("sentence", explanation),
        figures=[*figures[:MOST_FIGURES], *starmap(evolution.figure, [*changed.items()][:MOST_FIGURES])],
        tables=with_rule([*starmap(_table, falls.items()), *starmap(evolution.changes_table, changed.items())]),
        headlines=[
            Headline(text=say("rl_stability.said", **{name: numbers.count(count) for name, count in counts.items()}))
        ],
    )


def has_collapsed(run: RlRun) -> bool:
    return run.curve is not None and is_collapsed(run.curve.accuracy)


def learnt_form_alone(run: RlRun) -> bool:
    """Whether a run ends with the asked form and hardly a right answer, on the held-out prompts."""
    form, accuracy = run.last("heldout_format"), run.last("heldout_accuracy")
    return run.ended and (form or 0.0) >= FORMED and accuracy is not None and accuracy < UNLEARNT


def worst_fall(run: RlRun) -> float | None:
    return None if run.curve is None else worst_drawdown(run.curve.accuracy)


FALL = ArmQuantity(
    name="fall", value=worst_fall, text=numbers.percent, difference=points, unit="points", margin=SHARE_MARGIN
)
"""The largest fall of held-out accuracy from its best so far; a lower one is steadier."""


def _table(experiment: RlExperiment, rows: Sequence[AgainstReference]) -> Table:
    by_arm = {row.arm: row for row in rows}

    def deepest_points(arm: RlArm) -> float | None:
        return max((100 * fall for fall in arm.values(worst_fall)), default=None)

    def counted(name: str, holds: Callable[[RlRun], bool], runs: Callable[[RlArm], Sequence[RlRun]]) -> Column[RlArm]:
        """How many of an arm's runs something holds for."""
        return column(
            f"rl_stability.{name}",
            lambda arm: count_text(sum(map(holds, runs(arm))), len(runs(arm))),
            kind=Kind.NUMBER,
        )

    columns: list[Column[RlArm]] = [
        frames.ARM,
        column("rl_stability.drawdown", deepest_points, "{:.1f}".format),
        *columns_of(
            by_arm.get, frames.comparison_columns("rl_stability.less_reference", lambda row: row.comparison)[:2]
        ),
        counted("collapsed", has_collapsed, lambda arm: arm.ended),
        # A run without an evaluation may have given a result.
        counted("failed", lambda run: not run.is_ok, lambda arm: arm.runs),
        counted("hacked", learnt_form_alone, lambda arm: arm.runs),
    ]
    for metric in MEASURES:
        mean, text = partial(mean_over_steps, metric), numbers.percent if metric in SHARES else plain
        columns.append(column(f"rl_stability.{metric}", mean, text, only_where_known=True))
    thresholds = {"share": ENDING, "form": FORMED, "accuracy": UNLEARNT}
    note = say("rl_stability.note", **{name: numbers.percent(share) for name, share in thresholds.items()})
    return frames.experiment_table(experiment, "rl_stability.table", experiment.arms, columns, note=note)


def mean_over_steps(metric: str, arm: RlArm) -> float | None:
    """The mean over the steps at the end, or over all, of runs that ended; the median of what has no bound below."""
    means, begins = [], 0.0 if metric in OVER_ALL else 1 - ENDING
    mean = median if metric in UNBOUNDED else fmean
    for series in filter(None, (run.series(metric) for run in arm.ended)):
        end = max(series)
        means.append(mean(value for step, value in series.items() if step >= begins * (end + 1) or step == end))
    return mean(means) if means else None


def _figure(experiment: RlExperiment, rows: Sequence[AgainstReference]) -> Figure:
    """Draw each metric over the steps; beside the format the accuracy, dotted."""
    arms, views = experiment.shown_arms, dict[Text, Any]()
    for metric in VIEWS:
        lines = frames.step_lines(arms, metric, has_band=metric != "format")
        if metric == "format":
            lines += frames.step_lines(arms, "accuracy", second=say("rl_stability.accuracy"))
        title = say(f"rl_stability.axis.{metric}")
        yaxis = shares(title, rangemode="tozero") if metric in SHARES else linear(title)
        views[say(f"rl_stability.view.{metric}")] = frames.plot_over_steps(lines, yaxis)
    return frames.experiment_figure(experiment, "rl_stability.over", views, finding(rows, say("rl_stability.points")))
