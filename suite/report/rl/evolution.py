"""Longer thinking and self-correction of a policy that is paid for right answers alone.

The base model already does both as often as its corpus does: what training adds is the change, not the habit.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from statistics import fmean
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Kind, Table, Text, say
from suite.report.evidence import IN_WORDS, verdict
from suite.report.model.formats import plain, points, signed, with_range
from suite.report.model.labels import ALGORITHM
from suite.report.model.results import Results
from suite.report.plot.scales import linear, shares
from suite.report.rl import design, frames
from suite.report.rl.contrasts import largest
from suite.report.rl.design import RlArm, RlExperiment
from suite.report.table import Column, column, columns_of
from suite.statistics.paired import SHARE_MARGIN, Comparison, changes, judge_together

LENGTH, CORRECTIONS, ACCURACY = METRICS = ("thought_length", "corrections", "accuracy")
OFTEN = 0.01  # a share of thoughts from which corrections are no slip of sampling
SEQUENCE_MEAN = "grpo"
"""Its loss is a mean over each sequence before it is one over them; the token mean stands against it."""

Changes = Mapping[str, Mapping[RlArm, Comparison]]
"""Comparisons by metric and arm."""


def thinking(results: Results) -> list[RlExperiment]:
    """The experiments with the arms whose thoughts were measured, of those that figures show, and GRPO as its paper has
    it, else the first arm, as the baseline; those in which any arm corrects itself come first.
    """
    experiments = []
    for experiment in design.layout(results).algorithms:
        arms = [arm for arm in experiment.shown_arms if any(run.series(f"heldout_{LENGTH}") for run in arm.ended)]
        sequence_means = [arm for arm in arms if arm.value(ALGORITHM) == SEQUENCE_MEAN]
        if arms:
            experiments.append(replace(experiment, arms=arms, baseline=[*sequence_means, *arms][0]))
    return sorted(experiments, key=lambda experiment: not corrects(experiment.arms))


def corrects(arms: Iterable[RlArm]) -> bool:
    """Whether thoughts correct themselves often at any step or evaluation."""
    runs = [run for arm in arms for run in arm.ended]
    names = CORRECTIONS, f"heldout_{CORRECTIONS}"
    return any(value >= OFTEN for run in runs for name in names for value in run.series(name).values())


def evaluation_changes(arms: Sequence[RlArm]) -> Changes:
    """Compare the last evaluation with the first, by metric and arm, each run with itself; all of them together."""
    changed = dict[tuple[str, RlArm], Comparison]()
    for metric, arm in product(METRICS, arms):
        series = [values for run in arm.ended if len(values := run.series(f"heldout_{metric}")) > 1]
        firsts, lasts = ([values[end(values)] for values in series] for end in (min, max))
        if (change := changes(lasts, less=firsts, margin=None if metric == LENGTH else SHARE_MARGIN)) is not None:
            bounds = design.accuracy_bounds(arm) if metric == ACCURACY else change.bounds
            changed[metric, arm] = replace(change, bounds=bounds)
    by_metric: dict[str, dict[RlArm, Comparison]] = {metric: {} for metric in METRICS}
    for (metric, arm), change in zip(changed, judge_together([*changed.values()]), strict=True):
        by_metric[metric][arm] = change
    return by_metric


def figure(experiment: RlExperiment, changed: Changes) -> Figure:
    """Draw sampled completions as a line over the steps, greedy answers to held-out prompts dotted beside it."""
    arms, views, second = experiment.arms, dict[Text, Any](), say("rl_evolution.held_out")
    for metric in (LENGTH, CORRECTIONS) if corrects(arms) else (LENGTH,):
        lines = [*frames.step_lines(arms, metric), *frames.step_lines(arms, f"heldout_{metric}", second=second)]
        scale = shares if metric == CORRECTIONS else linear
        yaxis = scale(say(f"rl_evolution.axis.{metric}"), rangemode="tozero")
        views[say(f"rl_evolution.view.{metric}")] = frames.plot_over_steps(lines, yaxis)
    lengths = [(arm.short_name, change) for arm, change in changed[LENGTH].items()]
    finding = largest(lengths, "rl_evolution.finding", signed)
    return frames.experiment_figure(experiment, "rl_evolution.over", views, finding)


def changes_table(experiment: RlExperiment, changed: Changes) -> Table:
    """Lay out the first and the last evaluation, their difference, and the sampled completions beside them."""
    columns = [
        frames.ARM,
        *_change_columns(LENGTH, changed, signed),
        frames.SEEDS,
        *_change_columns(CORRECTIONS, changed, points),
    ]
    return frames.experiment_table(experiment, "rl_evolution.changes", experiment.arms, columns)


def _change_columns(metric: str, changed: Changes, text: Callable[[float], str]) -> list[Column[RlArm]]:
    """First and last, their difference with its interval, what may be said of it; and first and last as sampled."""

    def arrow(first: Sequence[float], last: Sequence[float]) -> Text:
        write = plain if metric == LENGTH else numbers.percent
        return say("rl_evolution.arrow", first=write(fmean(first)), last=write(fmean(last)))

    def sampled_ends(arm: RlArm) -> Text | None:
        ends = [(values[min(values)], values[max(values)]) for run in arm.ended if (values := run.series(metric))]
        return arrow(*zip(*ends, strict=True)) if ends else None

    compared: list[Column[Comparison]] = [
        column(f"rl_evolution.{metric}", lambda change: arrow(change.theirs, change.ours), kind=Kind.NUMBER),
        column("rl_evolution.change", lambda change: with_range(change.mean, change.interval, text), kind=Kind.NUMBER),
        column(IN_WORDS, verdict),
    ]
    sampled: Column[RlArm] = column(f"rl_evolution.sampled_{metric}", sampled_ends, kind=Kind.NUMBER)
    return [*columns_of(changed[metric].get, compared), sampled]
