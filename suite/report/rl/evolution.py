"""Whether a policy that is paid for right answers comes to think longer and to correct itself, which nobody pays for.

The base model already does both as often as its corpus does: what training adds is the change, not the habit.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, dotted, say, section
from suite.report.evidence import verdict, with_rule
from suite.report.model.experiment import Quantity
from suite.report.model.formats import mean_with_range, plain, points, signed, with_range
from suite.report.model.labels import ALGORITHM
from suite.report.model.results import Results
from suite.report.model.run import MOST
from suite.report.plot.marks import Point
from suite.report.plot.plots import banded
from suite.report.plot.scales import linear, shares
from suite.report.rl import curves, design
from suite.report.rl.contrasts import Beside, beside_reference, difference_columns, tally, told
from suite.report.rl.design import RlArm, RlExperiment, RlRun
from suite.report.table import Column, column, columns_of, told_once
from suite.statistics.learning import to_threshold
from suite.statistics.paired import SHARE_MARGIN, Comparison, changes, judge_together

LENGTH, CORRECTIONS, ACCURACY = "thought_length", "corrections", "accuracy"
VIEWS = (LENGTH, CORRECTIONS, ACCURACY)
HELD_OUT = "heldout_"
LEVELS = (0.25, 0.5, 0.75)
OFTEN = 0.01
SEQUENCE_MEAN = "grpo"
"""Its loss is a mean over each sequence before it is one over them; the token mean stands against it."""
MOST_FIGURES = 4

Changes = Mapping[tuple[RlArm, str], Comparison]


def build(results: Results) -> Section | None:
    """Build it from the arms whose thoughts were measured."""
    found = thinking(results)
    if not found:
        return None
    changed = {one: changes_of(one.arms) for one in found}
    levels = [rows for one in found if (rows := at_levels(one))]
    return section(
        "rl_evolution",
        figures=map(_figure, found[:MOST_FIGURES]),
        tables=with_rule(
            [*told_once(_changes(one, of_arms) for one, of_arms in changed.items()), *told_once(map(_levels, levels))]
        ),
        headlines=[_headline(changed)],
    )


def thinking(results: Results) -> list[RlExperiment]:
    """Return experiments with the arms whose thoughts were measured, of those that figures show, and GRPO as its paper
    has it, else the first arm, as the baseline; those in which any arm corrects itself come first.
    """
    found = []
    for one in design.algorithms(results):
        arms = [arm for arm in design.chosen(one) if any(held_out(LENGTH, run) for run in arm.ended)]
        reference = next((arm for arm in arms if arm.said(ALGORITHM) == SEQUENCE_MEAN), next(iter(arms), None))
        found += [replace(one, arms=arms, baseline=reference)] if arms else []
    return sorted(found, key=lambda one: not corrects(one.arms))


def corrects(arms: Iterable[RlArm]) -> bool:
    """Return whether thoughts correct themselves at any step or evaluation, more often than by a slip of sampling."""
    runs = [run for arm in arms for run in arm.ended]
    return any(value >= OFTEN for run in runs for of in (sampled, held_out) for value in of(CORRECTIONS, run).values())


def sampled(metric: str, run: RlRun) -> dict[int, float]:
    """Return a number of the sampled completions, by step."""
    return _sensible(run.of_step.get(metric, {}), metric)


def held_out(metric: str, run: RlRun) -> dict[int, float]:
    """Return a number of the greedy answers to held-out prompts, by step."""
    return _sensible(run.evaluated.get(HELD_OUT + metric, {}), metric)


def _sensible(values: Mapping[int, float], metric: str) -> dict[int, float]:
    most = MOST if metric == LENGTH else 1.0
    return {step: value for step, value in values.items() if 0 <= value <= most}


def changes_of(arms: Sequence[RlArm]) -> dict[tuple[RlArm, str], Comparison]:
    """Compare the last evaluation with the first, by arm and metric, each run with itself; all of them together."""
    found = {(arm, metric): one for arm in arms for metric in VIEWS if (one := _change(arm, metric)) is not None}
    return dict(zip(found, judge_together([*found.values()]), strict=True))


def _change(arm: RlArm, metric: str) -> Comparison | None:
    series = [sorted(of_run.items()) for run in arm.ended if len(of_run := held_out(metric, run)) > 1]
    firsts, lasts = [values[0][1] for values in series], [values[-1][1] for values in series]
    return changes(lasts, less=firsts, margin=None if metric == LENGTH else SHARE_MARGIN)


def at_levels(experiment: RlExperiment) -> list[Beside]:
    """Compare, level by level, the length of thought at the evaluation where an arm's accuracy first reaches it.

    Levels that no run reaches are left out.
    """
    lengths = [(level, _length_at(level)) for level in LEVELS]
    reached = [(level, length) for level, length in lengths if any(arm.values(length.value) for arm in experiment.arms)]
    return beside_reference(experiment, experiment.arms, reached)


def _length_at(level: float) -> Quantity[RlRun]:
    def value(run: RlRun) -> float | None:
        step = None if run.curve is None else to_threshold(run.curve.at, run.curve.accuracy, level)
        return None if step is None else held_out(LENGTH, run).get(int(step))

    return Quantity(name=LENGTH, value=value, text=plain, difference=signed)


def _figure(experiment: RlExperiment) -> Figure:
    arms = experiment.arms
    metrics = [metric for metric in VIEWS if metric != CORRECTIONS or corrects(arms)]
    figures = {metric: _over_steps(arms, metric) for metric in metrics} | {"path": _path(arms)}
    views: dict[Text, Any] = {say(f"rl_evolution.view.{name}"): figure for name, figure in figures.items()}
    caption = design.caption_of(experiment, "rl_evolution.caption", "rl_evolution.caption_single")
    return design.figure_of(experiment, caption, views)


def _over_steps(arms: Sequence[RlArm], metric: str) -> dict[str, Any]:
    """Draw sampled completions as a line, greedy answers to held-out prompts dotted beside it."""
    text, second = _text_of(metric), say("rl_evolution.held_out")
    lines = [curves.step_line(arm, arms, _series(sampled, metric), text) for arm in arms]
    lines += [
        curves.step_line(arm, arms, _series(held_out, metric), text, has_band=False, second=second) for arm in arms
    ]
    scale = linear if metric == LENGTH else shares
    return curves.over_steps(lines, scale(say(f"rl_evolution.axis.{metric}"), rangemode="tozero"))


def _series(
    of_run: Callable[[str, RlRun], Mapping[int, float]], metric: str
) -> Callable[[RlRun], Iterable[tuple[int, float]]]:
    return lambda run: of_run(metric, run).items()


def _text_of(metric: str) -> Callable[[float], str]:
    return plain if metric == LENGTH else numbers.percent


def _path(arms: Sequence[RlArm]) -> dict[str, Any]:
    """Draw thought against accuracy, evaluation by evaluation: at equal accuracy the lower line thinks less."""
    lines = [curves.arm_line(arm, _path_points(arm), arms) for arm in arms]
    length = linear(say("rl_evolution.axis.held_out_length"), rangemode="tozero")
    return banded([line for line in lines if line.points], xaxis=curves.accuracy_axis(), yaxis=length)


def _path_points(arm: RlArm) -> list[Point]:
    lengths, accuracies = (curves.by_step(arm, _series(held_out, metric)) for metric in (LENGTH, ACCURACY))
    return [
        Point(
            x=(accuracy := fmean(accuracies[step])),
            y=(length := fmean(of_seeds)),
            hover=say(
                "rl_evolution.path_hover",
                step=numbers.count(step),
                length=plain(length),
                accuracy=numbers.percent(accuracy),
            ),
        )
        for step, of_seeds in lengths.items()
        if step in accuracies
    ]


def _changes(experiment: RlExperiment, changed: Changes) -> Table:
    of_metric = [
        one for metric in VIEWS for one in columns_of(partial(_found, changed, metric), _change_columns(metric))
    ]
    columns: list[Column[RlArm]] = [
        column("rl.arm", lambda arm: arm.name),
        column("rl.seeds", lambda arm: len(arm.ended), numbers.count),
        *of_metric,
        column("rl_evolution.sampled_length", partial(_ends_of_samples, LENGTH), kind=Kind.NUMBER),
        column("rl_evolution.sampled_corrections", partial(_ends_of_samples, CORRECTIONS), kind=Kind.NUMBER),
    ]
    note = say("rl_evolution.changes_note")
    return design.table_of(experiment, "rl_evolution.changes", experiment.arms, columns, note=note)


def _found(changed: Changes, metric: str, arm: RlArm) -> Comparison | None:
    return changed.get((arm, metric))


def _change_columns(metric: str) -> list[Column[Comparison]]:
    """Return first and last, their difference with its interval, and what may be said of it."""
    text = signed if metric == LENGTH else points
    return [
        column(
            f"rl_evolution.{metric}",
            lambda found: _arrow(metric, fmean(found.theirs), fmean(found.ours)),
            kind=Kind.NUMBER,
        ),
        column("rl_evolution.change", lambda found: with_range(found.mean, found.interval, text), kind=Kind.NUMBER),
        column("rl_efficiency.in_words", verdict),
    ]


def _ends_of_samples(metric: str, arm: RlArm) -> Text | None:
    """Return the first and the last step's mean over the runs."""
    ends = [(values[min(values)], values[max(values)]) for run in arm.ended if (values := sampled(metric, run))]
    return _arrow(metric, *(fmean(of_runs) for of_runs in zip(*ends, strict=True))) if ends else None


def _arrow(metric: str, first: float, last: float) -> Text:
    text = _text_of(metric)
    return say("rl_evolution.arrow", first=text(first), last=text(last))


def _levels(rows: Sequence[Beside]) -> Table:
    experiment, reference = rows[0].experiment, rows[0].reference
    columns: list[Column[Beside]] = [
        column("rl.arm", lambda row: row.arm.name),
        column("rl_efficiency.level", lambda row: row.held, numbers.percent),
        column("rl_efficiency.arrived", _arrived, kind=Kind.NUMBER),
        column("rl_evolution.length_there", _length_there, kind=Kind.NUMBER),
        *difference_columns("rl_evolution.less_reference"),
    ]
    told_besides = {
        "settings": dotted(experiment.settings, say("rl.reference_is", arm=reference.name)),
        "note": say("rl_evolution.levels_note"),
    }
    return design.table_of(experiment, "rl_evolution.levels", rows, columns, lambda row: row.arm, **told_besides)


def _arrived(row: Beside) -> Text:
    arrived = len(row.arm.values(row.quantity.value))
    return say("rl_efficiency.arrived_of", arrived=arrived, runs=len(row.arm.ended))


def _length_there(row: Beside) -> Text | None:
    return mean_with_range(row.arm.values(row.quantity.value), plain)


def _headline(found: Mapping[RlExperiment, Changes]) -> Headline | None:
    """Tell of the first experiment in which the length of thought is judged."""
    for experiment, changed in found.items():
        outcomes = {
            metric: [(arm.name, one.outcome) for (arm, of), one in changed.items() if of == metric]
            for metric in (LENGTH, CORRECTIONS)
        }
        length, corrections = (told(of_metric) for of_metric in outcomes.values())
        if length:
            counts = {metric: tally(outcome for _, outcome in of_metric) for metric, of_metric in outcomes.items()}
            detail = say(
                "rl_evolution.headline",
                title=experiment.name,
                length=length,
                corrections=corrections or numbers.NOTHING,
            )
            return Headline(text=say("rl_evolution.point", **counts[LENGTH]), detail=detail)
    return None
