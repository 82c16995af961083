"""Longer thinking and self-correction of a policy that is paid for right answers alone.

The base model already does both as often as its corpus does: what training adds is the change, not the habit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product, starmap
from statistics import fmean
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, dotted, say, section
from suite.report.evidence import verdict, with_rule
from suite.report.model.experiment import Quantity, grouped
from suite.report.model.formats import mean_with_range, plain, points, signed, with_range
from suite.report.model.labels import ALGORITHM
from suite.report.model.results import Results
from suite.report.model.run import MOST
from suite.report.plot.marks import Point
from suite.report.plot.plots import banded
from suite.report.plot.scales import linear, shares
from suite.report.rl import curves, design
from suite.report.rl.contrasts import Beside, beside_reference, by_outcome, difference_columns, tally
from suite.report.rl.design import RlArm, RlExperiment, RlRun
from suite.report.table import Column, column, columns_of
from suite.statistics.learning import to_threshold
from suite.statistics.paired import SHARE_MARGIN, TOLD_APART, Comparison, changes, judge_together

LENGTH, CORRECTIONS, ACCURACY = "thought_length", "corrections", "accuracy"
VIEWS = (LENGTH, CORRECTIONS, ACCURACY)
LEVELS = (0.25, 0.5, 0.75)
OFTEN = 0.01
SEQUENCE_MEAN = "grpo"
"""Its loss is a mean over each sequence before it is one over them; the token mean stands against it."""
MOST_FIGURES = 10
LEAST_SAID = 0.005
"""Tokens of change that two digits show."""

Changes = Mapping[str, Mapping[RlArm, Comparison]]
"""Comparisons by metric and arm."""


def build(results: Results) -> Section | None:
    """Build it from the arms whose thoughts were measured."""
    found = thinking(results)
    if not found:
        return None
    changed = {experiment: changes_of(experiment.arms) for experiment in found}
    levels = filter(None, map(at_levels, found))
    tables = [*starmap(_changes, changed.items()), *map(_levels, levels)]
    figures = starmap(_figure, list(changed.items())[:MOST_FIGURES])
    return section("rl_evolution", figures=figures, tables=with_rule(tables), headlines=[_headline(changed)])


def thinking(results: Results) -> list[RlExperiment]:
    """Return experiments with the arms whose thoughts were measured, of those that figures show, and GRPO as its paper
    has it, else the first arm, as the baseline; those in which any arm corrects itself come first.
    """
    found = []
    for experiment in design.algorithms(results):
        arms = [arm for arm in design.chosen(experiment) if any(held_out(LENGTH, run) for run in arm.ended)]
        reference = next((arm for arm in arms if arm.value(ALGORITHM) == SEQUENCE_MEAN), next(iter(arms), None))
        found += [replace(experiment, arms=arms, baseline=reference)] if arms else []
    return sorted(found, key=lambda experiment: not corrects(experiment.arms))


def corrects(arms: Iterable[RlArm]) -> bool:
    """Return whether thoughts correct themselves at any step or evaluation, more often than by a slip of sampling."""
    runs = [run for arm in arms for run in arm.ended]
    return any(value >= OFTEN for run in runs for of in (sampled, held_out) for value in of(CORRECTIONS, run).values())


def sampled(metric: str, run: RlRun) -> dict[int, float]:
    """Return a number of the sampled completions, by step."""
    return design.within(run.of_step.get(metric, {}), MOST if metric == LENGTH else 1.0)


def held_out(metric: str, run: RlRun) -> dict[int, float]:
    """Return a number of the greedy answers to held-out prompts, by step."""
    return design.within(run.evaluated.get(f"heldout_{metric}", {}), MOST if metric == LENGTH else 1.0)


def changes_of(arms: Sequence[RlArm]) -> Changes:
    """Compare the last evaluation with the first, by metric and arm, each run with itself; all of them together."""
    found = {}
    for metric, arm in product(VIEWS, arms):
        series = [sorted(of_run.items()) for run in arm.ended if len(of_run := held_out(metric, run)) > 1]
        firsts, lasts = [values[0][1] for values in series], [values[-1][1] for values in series]
        margin = None if metric == LENGTH else SHARE_MARGIN
        if (changed := changes(lasts, less=firsts, margin=margin)) is not None:
            found[metric, arm] = replace(changed, bounds=design.accuracy_bounds(arm)) if metric == ACCURACY else changed
    together = zip(found, judge_together([*found.values()]), strict=True)
    by_metric = grouped(together, lambda item: item[0][0])
    return {metric: {arm: change for (_, arm), change in by_metric.get(metric, [])} for metric in VIEWS}


def at_levels(experiment: RlExperiment) -> list[Beside]:
    """Compare, level by level, the length of thought at the evaluation where an arm's accuracy first reaches it.

    Levels that no run reaches are left out.
    """
    reached = []
    for level in LEVELS:
        quantity = Quantity(name=LENGTH, value=partial(_length_at, level), text=plain, difference=signed)
        reached += [(level, quantity)] if any(arm.values(quantity.value) for arm in experiment.arms) else []
    return beside_reference(experiment, experiment.arms, reached)


def _length_at(level: float, run: RlRun) -> float | None:
    step = None if run.curve is None else to_threshold(run.curve.at, run.curve.accuracy, level)
    return None if step is None else held_out(LENGTH, run).get(int(step))


def _finding(experiment: RlExperiment, changed: Changes) -> Text:
    """Tell the largest change of the length of thought that the rule tells, or that it tells none."""
    tested = {arm: found for arm, found in changed[LENGTH].items() if found.is_tested}
    if not tested:
        return ""
    told = {arm: found for arm, found in tested.items() if found.outcome in TOLD_APART}
    arm, first = max((told or tested).items(), key=lambda item: abs(item[1].mean))
    fields = {"change": with_range(first.mean, first.interval, signed), "pairs": first.pairs}
    counts = tally(found.outcome for found in tested.values())
    kind = "told" if told else "open" if abs(first.mean) >= LEAST_SAID else "none"
    return say(f"rl_evolution.finding.{kind}", arm=arm.short_name, **fields, **counts)


def _figure(experiment: RlExperiment, changed: Changes) -> Figure:
    """Draw sampled completions as a line over the steps, greedy answers to held-out prompts dotted beside it."""
    arms, views, second = experiment.arms, dict[Text, Any](), say("rl_evolution.held_out")
    for metric in [metric for metric in VIEWS if metric != CORRECTIONS or corrects(arms)]:
        series, beside = partial(sampled, metric), partial(held_out, metric)
        lines = curves.step_lines(arms, series) + curves.step_lines(arms, beside, second=second)
        scale = linear if metric == LENGTH else shares
        yaxis = scale(say(f"rl_evolution.axis.{metric}"), rangemode="tozero")
        views[say(f"rl_evolution.view.{metric}")] = curves.over_steps(lines, yaxis)
    views[say("rl_evolution.view.path")] = _path(arms)
    caption = design.caption_of(experiment, "rl_evolution.caption", "rl_evolution.caption_single")
    finding = _finding(experiment, changed)
    return design.figure_of(experiment, say("rl_evolution.over"), caption, views, finding=finding)


def _path(arms: Sequence[RlArm]) -> dict[str, Any]:
    """Draw thought against accuracy, evaluation by evaluation: at equal accuracy the lower line thinks less."""
    lines = []
    for arm in arms:
        lengths, accuracies = (curves.by_step(arm, partial(held_out, metric)) for metric in (LENGTH, ACCURACY))
        points_of_arm = []
        for step in [step for step in lengths if step in accuracies]:
            length, accuracy = fmean(lengths[step]), fmean(accuracies[step])
            fields = {"step": numbers.count(step), "length": plain(length), "accuracy": numbers.percent(accuracy)}
            points_of_arm.append(Point(x=accuracy, y=length, hover=say("rl_evolution.path_hover", **fields)))
        lines += [curves.arm_series(arm, points_of_arm, arms)] if points_of_arm else []
    length_axis = linear(say("rl_evolution.axis.held_out_length"), rangemode="tozero")
    return banded(lines, xaxis=curves.accuracy_axis(), yaxis=length_axis)


def _changes(experiment: RlExperiment, changed: Changes) -> Table:
    columns: list[Column[RlArm]] = [
        column("rl.arm", lambda arm: arm.name),
        *columns_of(changed[LENGTH].get, _change_columns(LENGTH)),
        column("rl.seeds", lambda arm: len(arm.ended), numbers.count),
        column("rl.guessing", lambda arm: arm.first.trivial_accuracy, numbers.percent, only_where_known=True),
    ]
    for metric in (CORRECTIONS, ACCURACY):
        columns += columns_of(changed[metric].get, _change_columns(metric))
    columns += [
        column("rl_evolution.sampled_length", partial(_ends_of_samples, LENGTH), kind=Kind.NUMBER),
        column("rl_evolution.sampled_corrections", partial(_ends_of_samples, CORRECTIONS), kind=Kind.NUMBER),
    ]
    note = say("rl_evolution.changes_note")
    return design.table_of(experiment, "rl_evolution.changes", experiment.arms, columns, note=note)


def _change_columns(metric: str) -> list[Column[Comparison]]:
    """First and last, their difference with its interval, and what may be said of it."""
    text, title = signed if metric == LENGTH else points, f"rl_evolution.{metric}"
    return [
        column(title, lambda change: _arrow(metric, change.theirs, change.ours), kind=Kind.NUMBER),
        column("rl_evolution.change", lambda change: with_range(change.mean, change.interval, text), kind=Kind.NUMBER),
        column("rl_efficiency.in_words", verdict),
    ]


def _ends_of_samples(metric: str, arm: RlArm) -> Text | None:
    """The first and the last step's mean over the runs."""
    ends = [(values[min(values)], values[max(values)]) for run in arm.ended if (values := sampled(metric, run))]
    return _arrow(metric, *zip(*ends, strict=True)) if ends else None


def _arrow(metric: str, first: Sequence[float], last: Sequence[float]) -> Text:
    text = plain if metric == LENGTH else numbers.percent
    return say("rl_evolution.arrow", first=text(fmean(first)), last=text(fmean(last)))


def _levels(rows: Sequence[Beside]) -> Table:
    experiment, reference = rows[0].experiment, rows[0].reference
    columns: list[Column[Beside]] = [
        column("rl.arm", lambda row: row.arm.name),
        column("rl_efficiency.level", lambda row: row.held, numbers.percent),
        column("rl_efficiency.arrived", lambda row: design.arrived_of(len(row.values), row.arm), kind=Kind.NUMBER),
        column("rl_evolution.length_there", lambda row: mean_with_range(row.values, plain), kind=Kind.NUMBER),
        *difference_columns("rl_evolution.less_reference"),
    ]
    settings = dotted(experiment.name, say("rl.reference_is", arm=reference.name))
    more = {"settings": settings, "note": say("rl_evolution.levels_note")}
    return design.table_of(experiment, "rl_evolution.levels", rows, columns, lambda row: row.arm, **more)


def _headline(found: Mapping[RlExperiment, Changes]) -> Headline | None:
    """Tell of the first experiment in which the length of thought is judged."""
    for experiment, changed in found.items():
        length, corrections = (
            [(arm.short_name, change.outcome) for arm, change in changed[metric].items()]
            for metric in (LENGTH, CORRECTIONS)
        )
        if by_length := by_outcome(length):
            fields = {"length": by_length, "corrections": by_outcome(corrections) or numbers.NOTHING}
            counts = tally(outcome for _, outcome in length)
            point = "rl_evolution.point" if counts["higher"] or counts["lower"] else "rl_evolution.point_open"
            detail = say("rl_evolution.headline", title=experiment.name, **fields)
            return Headline(text=say(point, **counts), detail=detail)
    return None
