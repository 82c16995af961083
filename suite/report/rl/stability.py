"""How steadily the algorithms learn: what collapsed, what drifted, and which runs found a way to be paid for nothing.

An end such as an empty answer in perfect form is a result: it stands here and in every mean of the other sections.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Kind, Section, Table, Text, View, joined, say, section
from suite.report.model.formats import plain
from suite.report.model.results import Results
from suite.report.model.run import share
from suite.report.plot.plots import height_px, is_wide
from suite.report.plot.scales import linear, shares
from suite.report.rl.curves import step_figure, step_line
from suite.report.rl.design import (
    TrainingArm,
    TrainingExperiment,
    TrainingRun,
    algorithms,
    chosen,
    curves,
    is_picked,
    most_seeds,
)
from suite.report.table import Column, column, table
from suite.statistics.learning import is_collapsed, worst_drawdown

FORMED, UNLEARNT = 0.9, 0.1
"""From so much form, and below so much accuracy, a run that ends there has learnt the form alone."""
ENDING = 0.1
"""The share of the steps that "at the end" means."""
MOST_FIGURES = 4
VIEWS = (
    "entropy",
    "kl_reference",
    "groups_without_signal",
    "completion_length",
    "format",
    "gradient_norm",
    "explained_variance",
)
SHARES = ("groups_without_signal", "format", "accuracy", "truncated", "clip_fraction_low", "clip_fraction_high")


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A column of the table: a metric of the steps, at the end of a run or over all of it."""

    metric: str
    at_end: bool = False

    @property
    def text(self) -> Callable[[float], str]:
        return numbers.percent if self.metric in SHARES else plain

    def of_run(self, run: TrainingRun) -> float | None:
        """Return the mean over the steps, of a run that ended."""
        series = _series(self.metric, run)
        if not series or not run.ended:
            return None
        last = max(step for step, _ in series)
        begin = last - ENDING * (last + 1) + 1 if self.at_end else 0
        return fmean(value for step, value in series if step >= begin or step == last)

    def of_arm(self, arm: TrainingArm) -> float | None:
        return arm.mean(self.of_run)


MEASURES = (
    Measure(metric="entropy", at_end=True),
    Measure(metric="kl_reference", at_end=True),
    Measure(metric="clip_fraction_low"),
    Measure(metric="clip_fraction_high"),
    Measure(metric="gradient_norm"),
    Measure(metric="explained_variance", at_end=True),
    Measure(metric="groups_without_signal", at_end=True),
    Measure(metric="completion_length", at_end=True),
    Measure(metric="truncated", at_end=True),
)

Hacked = tuple[TrainingExperiment, TrainingArm, TrainingRun]


def build(results: Results) -> Section | None:
    """Build it from all runs, those that failed included."""
    found = algorithms(results)
    if not found:
        return None
    hacked = [(one, arm, run) for one in found for arm in one.arms for run in arm.ended if is_form_alone(run)]
    figures = [figure for one in found if (figure := _figure(one)) is not None]
    return section(
        "rl_stability",
        explanation=joined("sentence", [say("rl_stability.explanation"), _said(found, len(hacked))]),
        figures=figures[:MOST_FIGURES],
        tables=[_hacked(hacked), *(_table(one, is_first=one is found[0]) for one in found)],
    )


def is_form_alone(run: TrainingRun) -> bool:
    """Return whether a run ends with the asked form and hardly a right answer, on the held-out prompts."""
    form, accuracy = _last("heldout_format", run), _last("heldout_accuracy", run)
    return form is not None and accuracy is not None and form >= FORMED and accuracy < UNLEARNT


def _last(metric: str, run: TrainingRun) -> float | None:
    values = run.evaluated.get(metric)
    return values[max(values)] if values else None


def _collapsed(arm: TrainingArm) -> int:
    return sum(is_collapsed(curve.accuracy) for curve in curves(arm))


def _failed(arm: TrainingArm) -> int:
    """Count the runs that gave no result; one without an evaluation may have."""
    return sum(not run.is_ok for run in arm.runs)


def _said(found: Sequence[TrainingExperiment], hacked: int) -> Text:
    arms = [arm for one in found for arm in one.arms]
    return say(
        "rl_stability.said",
        runs=numbers.count(sum(len(arm.runs) for arm in arms)),
        failed=numbers.count(sum(map(_failed, arms))),
        collapsed=numbers.count(sum(map(_collapsed, arms))),
        hacked=numbers.count(hacked),
    )


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
    return table(
        say("rl_stability.hacked"),
        hacked,
        columns,
        facets_of=lambda row: row[1].facets,
        note=say("rl_stability.hacked_note", form=numbers.percent(FORMED), accuracy=numbers.percent(UNLEARNT)),
    )


def _table(experiment: TrainingExperiment, *, is_first: bool) -> Table:
    columns: list[Column[TrainingArm]] = [
        column("rl.arm", lambda arm: arm.name),
        column("column.runs", lambda arm: len(arm.runs), numbers.count),
        column("rl_stability.failed", _failed, numbers.count),
        column("rl_stability.collapsed", _collapsed_of, kind=Kind.NUMBER),
        column("rl_stability.drawdown", _worst_fall, "{:.1f}".format),
        *(
            column(f"rl_stability.{measure.metric}", measure.of_arm, measure.text, only_where_known=True)
            for measure in MEASURES
        ),
    ]
    return table(
        say("rl_stability.table", title=experiment.title),
        experiment.arms,
        columns,
        settings=experiment.settings,
        facets_of=lambda arm: arm.facets,
        note=say("rl_stability.note", share=numbers.percent(ENDING)) if is_first else "",
        folded=not is_first,
    )


def _collapsed_of(arm: TrainingArm) -> Text:
    return say("rl_efficiency.arrived_of", arrived=_collapsed(arm), runs=len(arm.ended))


def _worst_fall(arm: TrainingArm) -> float | None:
    """Return the largest fall of any seed, in percentage points."""
    return max((100 * worst_drawdown(curve.accuracy) for curve in curves(arm)), default=None)


def _series(metric: str, run: TrainingRun) -> list[tuple[int, float]]:
    series = run.series(metric)
    return [(step, value) for step, value in series if share(value) is not None] if metric in SHARES else series


def _figure(experiment: TrainingExperiment) -> Figure | None:
    arms = chosen(experiment)
    figures = {metric: _over_steps(arms, metric) for metric in VIEWS}
    views = [View(title=say(f"rl_stability.view.{name}"), figure=one) for name, one in figures.items() if one["data"]]
    if not views:
        return None
    caption = [
        say("rl_stability.caption" if most_seeds(experiment) > 1 else "rl_stability.caption_single"),
        say("rl.best_drawn") if is_picked(experiment) else "",
    ]
    return Figure(
        title=experiment.title,
        settings=experiment.settings,
        caption=joined("sentence", caption),
        views=views,
        height_px=height_px(len(arms)),
        wide=is_wide(len(arms)),
        facets=experiment.facets,
    )


def _over_steps(arms: Sequence[TrainingArm], metric: str) -> dict[str, Any]:
    """Draw a metric over the steps; beside the format the accuracy, dotted."""
    seconds = {"accuracy": say("rl_stability.accuracy")} if metric == "format" else {}
    title = say(f"rl_stability.axis.{metric}")
    return step_figure(
        [
            step_line(
                arm,
                arms,
                partial(_series, name),
                numbers.percent if name in SHARES else plain,
                has_band=metric != "format",
                second=seconds.get(name, ""),
            )
            for name in (metric, *seconds)
            for arm in arms
        ],
        shares(title, rangemode="tozero") if metric in SHARES else linear(title),
    )
