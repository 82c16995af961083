"""Stability of the algorithms: runs that collapsed or drifted, that found a way to be paid for nothing, and how their
thought changed.

An end such as an empty answer in perfect form is a result: it stands here and in every mean of the other sections. A
base model thinks and corrects itself as often as its corpus does: what training adds is the change, not the habit.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product, starmap
from statistics import fmean, median
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, joined, say, section
from suite.report.evidence import IN_WORDS, add_verdict_note, comparison_verdict
from suite.report.model.formats import points, signed, three_digits, with_range
from suite.report.model.labels import ALGORITHM
from suite.report.model.outcome import share_quantity
from suite.report.model.results import Results
from suite.report.plot.plots import linear, shares
from suite.report.rl import design, frames
from suite.report.rl.contrasts import AgainstReference, against_reference, finding, largest
from suite.report.rl.design import RlArm, RlExperiment
from suite.report.rl.frames import MOST_FIGURES, count_text
from suite.report.rl.run import SHARES, RlRun
from suite.report.table import Column, column, part_columns
from suite.statistics.learning import is_collapsed, worst_drawdown
from suite.statistics.paired import SHARE_MARGIN, Comparison, changes, judge_together

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
LENGTH, CORRECTIONS, ACCURACY = METRICS = ("thought_length", "corrections", "accuracy")
OFTEN = 0.01  # a share of thoughts from which corrections are no slip of sampling
SEQUENCE_MEAN = "grpo"
"""Its loss is a mean over each sequence before it is one over them; the token mean stands against it."""

Changes = Mapping[str, Mapping[RlArm, Comparison]]
"""Comparisons by metric and arm."""


def build(results: Results) -> Section | None:
    """The section on stability, with runs that failed, and on thoughts where they were measured; None without arms."""
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
    changed = {each: evaluation_changes(each.arms) for each in thinking(results)}
    figures = [figure for figure in starmap(_figure, falls.items()) if figure.views]
    explanation = [say("rl_stability.explanation"), say("rl_evolution.explanation") if changed else ""]
    return section(
        "rl_stability",
        explanation=joined("sentence", explanation),
        figures=[*figures[:MOST_FIGURES], *starmap(_thought_figure, [*changed.items()][:MOST_FIGURES])],
        tables=add_verdict_note([*starmap(_table, falls.items()), *starmap(_changes_table, changed.items())]),
        headlines=[
            Headline(text=say("rl_stability.said", **{name: numbers.count(count) for name, count in counts.items()}))
        ],
    )


def has_collapsed(run: RlRun) -> bool:
    """Whether a run's held-out accuracy collapsed (suite.statistics.learning.is_collapsed); False without a curve."""
    return run.curve is not None and is_collapsed(run.curve.accuracy)


def learnt_form_alone(run: RlRun) -> bool:
    """Whether a run ends on held-out prompts with the asked form (FORMED) and hardly a right answer (UNLEARNT)."""
    form, accuracy = run.last("heldout_format"), run.last("heldout_accuracy")
    return run.ended and (form or 0.0) >= FORMED and accuracy is not None and accuracy < UNLEARNT


def worst_fall(run: RlRun) -> float | None:
    """The largest fall of held-out accuracy from its best so far; None without a curve."""
    return None if run.curve is None else worst_drawdown(run.curve.accuracy)


FALL = share_quantity("fall", worst_fall)
"""The largest fall of held-out accuracy from its best so far; a lower one is steadier."""


def _table(experiment: RlExperiment, rows: Sequence[AgainstReference]) -> Table:
    """The table of each arm's falls, of runs that collapsed, failed or learnt the form alone, and of step metrics."""
    by_arm = {row.arm: row for row in rows}

    def counted(name: str, holds: Callable[[RlRun], bool], runs: Callable[[RlArm], Sequence[RlRun]]) -> Column[RlArm]:
        """A column that counts the `runs` of an arm for which `holds` is true: 2 of 5."""
        return column(
            f"rl_stability.{name}",
            lambda arm: count_text(sum(map(holds, runs(arm))), len(runs(arm))),
            kind=Kind.NUMBER,
        )

    columns: list[Column[RlArm]] = [
        frames.ARM,
        column(
            "rl_stability.drawdown",
            lambda arm: max((100 * fall for fall in arm.values(worst_fall)), default=None),
            "{:.1f}".format,
        ),
        *part_columns(
            by_arm.get, frames.comparison_columns("rl_stability.less_reference", lambda row: row.comparison)[:2]
        ),
        counted("collapsed", has_collapsed, lambda arm: arm.ended),
        # A run without an evaluation may have given a result.
        counted("failed", lambda run: not run.is_ok, lambda arm: arm.runs),
        counted("hacked", learnt_form_alone, lambda arm: arm.runs),
    ]
    for metric in MEASURES:
        mean, text = partial(mean_over_steps, metric), numbers.percent if metric in SHARES else three_digits
        columns.append(column(f"rl_stability.{metric}", mean, text, only_where_known=True))
    thresholds = {"share": ENDING, "form": FORMED, "accuracy": UNLEARNT}
    note = say("rl_stability.note", **{name: numbers.percent(share) for name, share in thresholds.items()})
    return frames.experiment_table(experiment, "rl_stability.table", experiment.arms, columns, note=note)


def mean_over_steps(metric: str, arm: RlArm) -> float | None:
    """The mean of a metric over the last steps (OVER_ALL: all steps) of an arm's runs that ended; of UNBOUNDED metrics
    the median. None where no run has it."""
    means, begins = [], 0.0 if metric in OVER_ALL else 1 - ENDING
    mean = median if metric in UNBOUNDED else fmean
    for series in filter(None, (run.series(metric) for run in arm.ended)):
        end = max(series)
        means.append(mean([value for step, value in series.items() if step >= begins * (end + 1) or step == end]))
    return mean(means) if means else None


def _figure(experiment: RlExperiment, rows: Sequence[AgainstReference]) -> Figure:
    """The figure of metrics over the steps, a view each; beside the format the accuracy, dotted."""
    arms, views = experiment.shown_arms, dict[Text, Any]()
    for metric in VIEWS:
        lines = frames.step_lines(arms, metric, has_band=metric != "format")
        if metric == "format":
            lines += frames.step_lines(arms, "accuracy", second=say("rl_stability.accuracy"))
        title = say(f"rl_stability.axis.{metric}")
        yaxis = shares(title, rangemode="tozero") if metric in SHARES else linear(title)
        views[say(f"rl_stability.view.{metric}")] = frames.plot_over_steps(lines, yaxis)
    return frames.experiment_figure(experiment, "rl_stability.over", views, finding(rows, say("rl_stability.points")))


def thinking(results: Results) -> list[RlExperiment]:
    """The experiments with only the shown arms whose thoughts were measured; those whose arms correct themselves come
    first. The baseline is GRPO as its paper has it, else the first arm."""
    experiments = []
    for experiment in design.layout(results).algorithms:
        arms = [arm for arm in experiment.shown_arms if any(run.series(f"heldout_{LENGTH}") for run in arm.ended)]
        sequence_means = [arm for arm in arms if arm.value(ALGORITHM) == SEQUENCE_MEAN]
        if arms:
            experiments.append(replace(experiment, arms=arms, baseline=[*sequence_means, *arms][0]))
    return sorted(experiments, key=lambda experiment: not corrects(experiment.arms))


def corrects(arms: Iterable[RlArm]) -> bool:
    """Whether any arm's share of thoughts with a correction reaches OFTEN at a step or an evaluation."""
    runs = [run for arm in arms for run in arm.ended]
    names = CORRECTIONS, f"heldout_{CORRECTIONS}"
    return any(value >= OFTEN for run in runs for name in names for value in run.series(name).values())


def evaluation_changes(arms: Sequence[RlArm]) -> Changes:
    """Compare each run's last evaluation with its first, by metric and arm; judged together."""
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


def _thought_figure(experiment: RlExperiment, changed: Changes) -> Figure:
    """The figure of thoughts over the steps: sampled completions as a line, greedy held-out answers dotted."""
    arms, views, second = experiment.arms, dict[Text, Any](), say("rl_evolution.held_out")
    for metric in (LENGTH, CORRECTIONS) if corrects(arms) else (LENGTH,):
        lines = [*frames.step_lines(arms, metric), *frames.step_lines(arms, f"heldout_{metric}", second=second)]
        scale = shares if metric == CORRECTIONS else linear
        yaxis = scale(say(f"rl_evolution.axis.{metric}"), rangemode="tozero")
        views[say(f"rl_evolution.view.{metric}")] = frames.plot_over_steps(lines, yaxis)
    lengths = [(arm.short_name, change) for arm, change in changed[LENGTH].items()]
    finding = largest(lengths, "rl_evolution.finding", signed)
    return frames.experiment_figure(experiment, "rl_evolution.over", views, finding)


def _changes_table(experiment: RlExperiment, changed: Changes) -> Table:
    """The table of how thoughts change: first and last evaluation, the difference, and sampled completions."""
    columns = [
        frames.ARM,
        *_change_columns(LENGTH, changed, signed),
        frames.SEEDS,
        *_change_columns(CORRECTIONS, changed, points),
    ]
    return frames.experiment_table(experiment, "rl_evolution.changes", experiment.arms, columns)


def _change_columns(metric: str, changed: Changes, text: Callable[[float], str]) -> list[Column[RlArm]]:
    """Columns of a metric: first and last evaluation, difference, verdict, and the first and last step as sampled."""

    def arrow(first: Sequence[float], last: Sequence[float]) -> Text:
        write = three_digits if metric == LENGTH else numbers.percent
        return say("rl_evolution.arrow", first=write(fmean(first)), last=write(fmean(last)))

    def sampled_ends(arm: RlArm) -> Text | None:
        ends = [(values[min(values)], values[max(values)]) for run in arm.ended if (values := run.series(metric))]
        return arrow(*zip(*ends, strict=True)) if ends else None

    compared: list[Column[Comparison]] = [
        column(f"rl_evolution.{metric}", lambda change: arrow(change.theirs, change.ours), kind=Kind.NUMBER),
        column("rl_evolution.change", lambda change: with_range(change.mean, change.interval, text), kind=Kind.NUMBER),
        column(IN_WORDS, comparison_verdict),
    ]
    sampled: Column[RlArm] = column(f"rl_evolution.sampled_{metric}", sampled_ends, kind=Kind.NUMBER)
    return [*part_columns(changed[metric].get, compared), sampled]
