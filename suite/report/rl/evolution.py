"""Longer thinking and self-correction of a policy that is paid for right answers alone.

The base model already does both as often as its corpus does: what training adds is the change, not the habit.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from statistics import fmean
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Kind, Table, Text, say
from suite.report.evidence import verdict
from suite.report.model.experiment import ArmQuantity
from suite.report.model.formats import plain, points, signed, with_range
from suite.report.model.labels import ALGORITHM
from suite.report.model.results import Results
from suite.report.plot.scales import linear, shares
from suite.report.rl import design, frames
from suite.report.rl.contrasts import Beside, beside_reference, largest
from suite.report.rl.design import RlArm, RlExperiment, RlRun
from suite.report.table import Column, column, columns_of
from suite.statistics.learning import to_threshold
from suite.statistics.paired import SHARE_MARGIN, Comparison, changes, judge_together

LENGTH, CORRECTIONS, ACCURACY = METRICS = ("thought_length", "corrections", "accuracy")
LEVELS = (0.25, 0.5, 0.75)
OFTEN = 0.01
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
        arms = [arm for arm in experiment.chosen if any(run.series(f"heldout_{LENGTH}") for run in arm.ended)]
        reference = next((arm for arm in arms if arm.value(ALGORITHM) == SEQUENCE_MEAN), next(iter(arms), None))
        experiments += [replace(experiment, arms=arms, baseline=reference)] if arms else []
    return sorted(experiments, key=lambda experiment: not corrects(experiment.arms))


def corrects(arms: Iterable[RlArm]) -> bool:
    """Whether thoughts correct themselves at any step or evaluation, more often than by a slip of sampling."""
    runs = [run for arm in arms for run in arm.ended]
    names = CORRECTIONS, f"heldout_{CORRECTIONS}"
    return any(value >= OFTEN for run in runs for name in names for value in run.series(name).values())


def evaluation_changes(arms: Sequence[RlArm]) -> Changes:
    """Compare the last evaluation with the first, by metric and arm, each run with itself; all of them together."""
    changed = dict[tuple[str, RlArm], Comparison]()
    for metric, arm in product(METRICS, arms):
        series = [of_run for run in arm.ended if len(of_run := run.series(f"heldout_{metric}")) > 1]
        firsts, lasts = ([values[end(values)] for values in series] for end in (min, max))
        if (change := changes(lasts, less=firsts, margin=None if metric == LENGTH else SHARE_MARGIN)) is not None:
            bounds = design.accuracy_bounds(arm) if metric == ACCURACY else change.bounds
            changed[metric, arm] = replace(change, bounds=bounds)
    together = dict(zip(changed, judge_together([*changed.values()]), strict=True))
    return {metric: {arm: change for (of, arm), change in together.items() if of == metric} for metric in METRICS}


def at_levels(experiment: RlExperiment) -> list[Beside]:
    """Compare, level by level, the length of thought at the evaluation where an arm's accuracy first reaches it.

    Levels that no run reaches are left out.
    """
    reached = []
    for level in LEVELS:
        quantity = ArmQuantity(name=LENGTH, value=partial(_length_at, level), text=plain, difference=signed)
        reached += [(level, quantity)] if any(arm.values(quantity.value) for arm in experiment.arms) else []
    return beside_reference(experiment, experiment.arms, reached)


def _length_at(level: float, run: RlRun) -> float | None:
    step = None if run.curve is None else to_threshold(run.curve.at, run.curve.accuracy, level)
    return None if step is None else run.series(f"heldout_{LENGTH}").get(int(step))


def figure(experiment: RlExperiment, changed: Changes) -> Figure:
    """Draw sampled completions as a line over the steps, greedy answers to held-out prompts dotted beside it."""
    arms, views, second = experiment.arms, dict[Text, Any](), say("rl_evolution.held_out")
    for metric in (LENGTH, CORRECTIONS) if corrects(arms) else (LENGTH,):
        lines = [*frames.step_lines(arms, metric), *frames.step_lines(arms, f"heldout_{metric}", second=second)]
        scale = linear if metric == LENGTH else shares
        yaxis = scale(say(f"rl_evolution.axis.{metric}"), rangemode="tozero")
        views[say(f"rl_evolution.view.{metric}")] = frames.over_steps(lines, yaxis)
    of_length = [(arm.short_name, change) for arm, change in changed[LENGTH].items()]
    return frames.figure_of(experiment, "rl_evolution.over", views, largest(of_length, "rl_evolution.finding", signed))


def changes_table(experiment: RlExperiment, changed: Changes) -> Table:
    """Lay out the first and the last evaluation, their difference, and the sampled completions beside them."""
    columns: list[Column[RlArm]] = [
        column("rl.arm", lambda arm: arm.name),
        *_change_columns(LENGTH, changed, signed),
        column("rl.seeds", lambda arm: len(arm.ended), numbers.count),
        *_change_columns(CORRECTIONS, changed, points),
    ]
    return frames.table_of(experiment, "rl_evolution.changes", experiment.arms, columns)


def _change_columns(metric: str, changed: Changes, text: Callable[[float], str]) -> list[Column[RlArm]]:
    """First and last, their difference with its interval, what may be said of it; and first and last as sampled."""

    def arrow(first: Sequence[float], last: Sequence[float]) -> Text:
        write = plain if metric == LENGTH else numbers.percent
        return say("rl_evolution.arrow", first=write(fmean(first)), last=write(fmean(last)))

    def as_sampled(arm: RlArm) -> Text | None:
        ends = [(values[min(values)], values[max(values)]) for run in arm.ended if (values := run.series(metric))]
        return arrow(*zip(*ends, strict=True)) if ends else None

    compared: list[Column[Comparison]] = [
        column(f"rl_evolution.{metric}", lambda change: arrow(change.theirs, change.ours), kind=Kind.NUMBER),
        column("rl_evolution.change", lambda change: with_range(change.mean, change.interval, text), kind=Kind.NUMBER),
        column("rl_efficiency.in_words", verdict),
    ]
    sampled: Column[RlArm] = column(f"rl_evolution.sampled_{metric}", as_sampled, kind=Kind.NUMBER)
    return [*columns_of(changed[metric].get, compared), sampled]
