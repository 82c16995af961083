"""Sample efficiency: what each algorithm has learnt by what it has spent, and whether the seeds can tell them apart.

A budget is always named: who is ahead at equal completions need not be at equal CPU seconds, since a critic costs time
and no completions.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suite.records import numbers
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, dotted, joined, say, section
from suite.report.evidence import with_rule
from suite.report.model.experiment import grouped, leading_arm, titles_of
from suite.report.model.formats import percent_range
from suite.report.model.labels import ALGORITHM, label_of, setting_text
from suite.report.model.results import Results
from suite.report.plot.marks import Point
from suite.report.plot.plots import banded
from suite.report.plot.scales import shares
from suite.report.rl import curves, design
from suite.report.rl.contrasts import (
    PAIR,
    Beside,
    asked_rows,
    at_equal_budgets,
    budget_columns,
    finding,
    reference_of,
    tally,
)
from suite.report.rl.design import RlArm, RlExperiment
from suite.report.table import Column, column
from suite.statistics.learning import Arrivals, arrivals, expected_best, expected_best_band, to_threshold
from suite.statistics.paired import Outcome
from suite.statistics.scores import bootstrap_profile, iqm, mean, stratified_bootstrap

LEVELS = (0.5, 0.7)
TRIALS = (1, 2, 4, 8, 16)
"""Numbers of a tuning sweep's trials after which the best is told."""
MOST_FIGURES, FEWEST_SEEDS = 12, 2

OverTasks = tuple[RlExperiment, Mapping[RlArm, NDArray[np.float64]]]
"""Experiments that differ in their task alone, as one; final accuracies of its arms, a row a seed of all tasks."""


def build(results: Results) -> Section | None:
    """Build it from the experiments with a curve."""
    every = [experiment for experiment in design.algorithms(results) if design.drawn(experiment)]
    found = {experiment: at_equal_budgets(experiment) for experiment in every}
    if not found:
        return None
    compared = {experiment: rows for experiment, rows in found.items() if rows}
    slowest_first = sorted(found, key=lambda experiment: (not asked_rows(found[experiment]), -_slowness(experiment)))
    of_tasks = over_tasks(list(found), has_labels=results.several)
    return section(
        "rl_efficiency",
        figures=[
            *(_figure(experiment, found[experiment]) for experiment in slowest_first[:MOST_FIGURES]),
            *(_profiles(experiment, scores) for experiment, scores in of_tasks),
        ],
        tables=[
            *with_rule([*map(_contrasts, [*compared.values(), *filter(None, map(_beside_grpo, found))])]),
            *map(_arrivals, found),
            *map(_tuning, found),
            *(_tasks_table(experiment, scores) for experiment, scores in of_tasks),
        ],
        headlines=_headlines(compared),
    )


def _slowness(experiment: RlExperiment) -> float:
    """How far curves lie below their best, in the mean. Of a task that is learnt before the first evaluation
    all lines lie on each other.
    """
    curves_seen = [curve.accuracy for arm in design.drawn(experiment) for curve in design.curves_of(arm)]
    return fmean(1 - fmean(seen) / max(seen) if max(seen) else 0.0 for seen in curves_seen)


def _beside_grpo(experiment: RlExperiment) -> list[Beside]:
    """Compare with GRPO too, where PPO is the reference: GRPO's relatives change one thing of it."""
    first = {arm.value(ALGORITHM): arm for arm in reversed(design.drawn(experiment))}
    is_beside_ppo = experiment.baseline is not None and experiment.baseline.value(ALGORITHM) == PAIR[1]
    if not is_beside_ppo or len(first) < 3 or PAIR[0] not in first:
        return []
    return at_equal_budgets(replace(experiment, baseline=first[PAIR[0]]))


def _headlines(compared: Mapping[RlExperiment, Sequence[Beside]]) -> list[Headline]:
    """Tell how GRPO stands against PPO in all experiments; else of the one with the most arms. Arms that were picked by
    their scores cannot be judged by them.
    """
    telling = {of: rows for of, rows in compared.items() if not design.is_picked(of)}
    asked = [row for rows in telling.values() for row in asked_rows(_at_completions(rows))]
    if asked:
        outcomes = Counter(row.outcome for row in asked)
        told = [say(f"verdict.count.{outcome}", count=outcomes[outcome]) for outcome in Outcome if outcomes[outcome]]
        point = say("rl_efficiency.point_asked", told=joined("list", told))
        return [Headline(text=point, detail=say("rl_efficiency.asked_of", count=len(asked)))]
    for rows in telling.values():
        counts = {budget: tally(row.outcome for row in same) for budget, same in _by_told_budget(rows).items()}
        parts = [say(f"rl_efficiency.point.{budget}", **count) for budget, count in counts.items() if count["count"]]
        if parts:
            most, (reference, _) = max(count["count"] for count in counts.values()), reference_of(rows, ALGORITHM)
            return [
                Headline(text=say("rl_efficiency.point", count=most, reference=reference, told=joined("list", parts)))
            ]
        return [Headline(text=say("rl_efficiency.point_few", arms=len(rows[0].experiment.arms)))]
    return []


def _at_completions(rows: Sequence[Beside]) -> list[Beside]:
    return [row for row in rows if row.quantity.name == design.COMPLETIONS]


def _finding(experiment: RlExperiment, rows: Sequence[Beside]) -> Text:
    """Tell what differs at equal completions; else how the best arm ends."""
    same = _at_completions(rows)
    # Arms that were picked by their scores cannot be judged by them.
    is_picked = design.is_picked(experiment)
    if same and not is_picked:
        return finding(same, say("rl_efficiency.at.completions"), unit=say("rl.points"))
    best = max(design.drawn(experiment), key=_mean_final)
    fields = {"accuracy": numbers.percent(_mean_final(best)), "count": len(best.ended)}
    kind = "picked" if is_picked else "best"
    return say(f"rl_efficiency.finding.{kind}", arm=best.short_name, **fields)


def _by_told_budget(rows: Sequence[Beside]) -> dict[str, list[Beside]]:
    """The rows at equal completions, and at equal seconds."""
    told_of = [design.COMPLETIONS, *(design.clock_of(row.experiment) for row in rows[:1])]
    return grouped((row for row in rows if row.quantity.name in told_of), lambda row: row.quantity.name)


def _figure(experiment: RlExperiment, rows: Sequence[Beside]) -> Figure:
    keys = "rl_efficiency.caption", "rl_efficiency.caption_single"
    caption, views = design.caption_of(experiment, *keys), curves.over_budgets(experiment)
    return design.figure_of(experiment, say("rl_efficiency.over"), caption, views, finding=_finding(experiment, rows))


def _contrasts(rows: Sequence[Beside]) -> Table:
    experiment = rows[0].experiment
    return design.table_of(
        experiment,
        "rl_efficiency.comparisons",
        rows,
        budget_columns(),
        lambda row: row.arm,
        settings=dotted(experiment.name, say("rl.reference_is", arm=rows[0].reference.name)),
        facets={**design.facets_of(experiment), "reference": reference_of(rows, ALGORITHM)[0]},
        note=say("rl_efficiency.comparisons_note"),
    )


def _arrivals(experiment: RlExperiment) -> Table:
    """Lay out what each level of accuracy cost each arm."""
    told_of = (design.COMPLETIONS, design.TOKENS, design.clock_of(experiment), design.JOULES)
    columns: list[Column[tuple[RlArm, float]]] = [
        column("rl.arm", lambda row: row[0].name),
        column("rl_efficiency.level", lambda row: row[1], numbers.percent),
        column("rl_efficiency.arrived", _arrived, kind=Kind.NUMBER),
    ]
    for budget in design.known_budgets(experiment, *told_of):
        median, text = partial(_median, budget), partial(curves.amount, budget)
        columns.append(column(curves.budget_name(budget), median, text))
    rows, note = [(arm, level) for level in LEVELS for arm in design.drawn(experiment)], "rl_efficiency.arrivals_note"
    return design.table_of(experiment, "rl_efficiency.arrivals", rows, columns, lambda row: row[0], note=say(note))


def _arrived(row: tuple[RlArm, float]) -> Text:
    return design.arrived_of(_spent_until(design.STEPS, row).arrived, row[0])


def _median(budget: str, row: tuple[RlArm, float]) -> float | None:
    return _spent_until(budget, row).median


def _spent_until(budget: str, row: tuple[RlArm, float]) -> Arrivals:
    arm, level = row
    return arrivals([to_threshold(curve.spent[budget], curve.accuracy, level) for curve in design.curves_of(arm)])


def _tuning(experiment: RlExperiment) -> Table | None:
    """Lay out what the best of so many tuning trials is expected to score, at as many trials for each algorithm; None
    where no algorithm was tried with several settings.
    """
    tried = [arm for arm in design.drawn(experiment) if arm.value("trial")]
    trials = grouped(tried, lambda arm: arm.value(ALGORITHM))
    most = max(map(len, trials.values()), default=0)
    if most < 2:
        return None
    columns: list[Column[list[RlArm]]] = [
        column("column.algorithm", lambda arms: label_of(ALGORITHM, arms[0].value(ALGORITHM)), facet="algorithm"),
        column("rl_efficiency.trials", len, numbers.count),
    ]
    for count in sorted({count for count in (*TRIALS, most) if count <= most}):
        best = partial(_best_of, count)
        columns.append(column(say("rl_efficiency.best_of", count=count), best, numbers.percent))
    columns.append(column("column.interval", partial(_band, most), kind=Kind.NUMBER))
    columns.append(column("rl_efficiency.best_arm", lambda arms: max(arms, key=_mean_final).name))
    rows, note = list(trials.values()), say("rl_efficiency.tuning_note")
    return design.table_of(experiment, "rl_efficiency.tuning", rows, columns, lambda arms: arms[0], note=note)


def _best_of(count: int, arms: Sequence[RlArm]) -> float | None:
    return expected_best(list(map(_mean_final, arms)), count) if count <= len(arms) else None


def _band(count: int, arms: Sequence[RlArm]) -> str:
    """The band of the last of the columns; of algorithms with fewer trials there is none."""
    return percent_range(expected_best_band(list(map(_mean_final, arms)), count) if count <= len(arms) else None)


def _mean_final(arm: RlArm) -> float:
    return arm.mean(design.final) or 0.0


def over_tasks(found: Sequence[RlExperiment], *, has_labels: bool) -> list[OverTasks]:
    """Return experiments of which at least two arms ran on all of at least two tasks.

    A task's base model may read as much as the task needs; one task under several of them is not several tasks.
    """
    alike = grouped(found, lambda experiment: tuple(pair for pair in experiment.key if not _is_of_task(pair)))
    titles = titles_of(list(alike), design.DESIGN, has_labels=has_labels)
    made: list[OverTasks] = []
    for key, of_tasks in alike.items():
        scores = _scored(of_tasks)
        tasks = {tuple(pair for pair in experiment.key if pair[0].startswith("task")) for experiment in of_tasks}
        if len(scores) > 1 and 1 < len(of_tasks) == len(tasks):
            title, settings = titles[key]
            for experiment in of_tasks:
                (_, task), *more = filter(_is_of_task, experiment.key)
                settings = dotted(settings, joined("list", [task, *(setting_text(*pair) for pair in more)]))
            made.append((replace(of_tasks[0], key=key, arms=list(scores), title=title, settings=settings), scores))
    return made


def _is_of_task(pair: tuple[str, str]) -> bool:
    return pair[0].partition(".")[0] in ("task", "base")


def _scored(of_tasks: Sequence[RlExperiment]) -> dict[RlArm, NDArray[np.float64]]:
    """The scores of the arms that ran on all tasks with at least two seeds."""
    by_arm = {}
    for arm in design.drawn(max(of_tasks, key=lambda experiment: len(experiment.arms))):
        twins = [other for experiment in of_tasks for other in design.drawn(experiment) if other.key == arm.key]
        everywhere = [other.by_seed(design.final) for other in twins]
        seeds = [seed for seed in everywhere[0] if all(seed in scores for scores in everywhere)]
        if len(twins) == len(of_tasks) and len(seeds) >= FEWEST_SEEDS:
            by_arm[arm] = np.asarray([[scores[seed] for scores in everywhere] for seed in seeds])
    return by_arm


def _profiles(experiment: RlExperiment, scores: Mapping[RlArm, NDArray[np.float64]]) -> Figure:
    """Draw the share of all runs and tasks that end above each accuracy."""
    lines = []
    for arm, scores_RT in scores.items():
        profile, points = bootstrap_profile(scores_RT, np.linspace(0, 1, 41)), []
        columns = (profile.thresholds, profile.shares, profile.low, profile.high)
        for threshold, share, low, high in zip(*map(np.ndarray.tolist, columns), strict=True):
            values = {"share": numbers.percent(share), "threshold": numbers.percent(threshold)}
            hover = say("rl_efficiency.profiles_hover", **values)
            ends = (low, high) if len(scores) <= curves.MOST_BANDS else None
            points.append(Point(x=threshold, y=share, ends=ends, hover=hover))
        lines.append(curves.arm_series(arm, points, experiment.arms))
    xaxis = shares(say("rl_efficiency.threshold"), range=[0, 1])
    figure = banded(lines, xaxis=xaxis, yaxis=shares(say("rl_efficiency.above"), range=[0, 1.02]))
    best = max(scores, key=lambda arm: iqm(scores[arm]))
    middle = stratified_bootstrap(iqm, scores[best])
    fields: dict[str, Any] = {"arm": best.short_name, "middle": numbers.percent(middle.estimate)}
    fields["interval"] = percent_range(middle)
    # A row is a seed, which the arms of an experiment have alike.
    by_seed = {arm: {str(row): s for row, s in enumerate(of_arm.mean(1).tolist())} for arm, of_arm in scores.items()}
    kind = "tasks" if leading_arm(by_seed) is best else "tasks_open"
    told = say(f"rl_efficiency.finding.{kind}", tasks=scores[best].shape[1], count=len(scores[best]), **fields)
    title, caption = say("rl_efficiency.profiles"), say("rl_efficiency.profiles_caption")
    return design.figure_of(experiment, title, caption, {"": figure}, finding=told)


def _tasks_table(experiment: RlExperiment, scores: Mapping[RlArm, NDArray[np.float64]]) -> Table:
    mids = {arm: stratified_bootstrap(iqm, scores_RT) for arm, scores_RT in scores.items()}
    columns: list[Column[RlArm]] = [
        column("rl.arm", lambda arm: arm.name),
        column("rl_efficiency.tasks_count", lambda arm: scores[arm].shape[1], numbers.count),
        column("rl.seeds", lambda arm: len(scores[arm]), numbers.count),
        column("rl_efficiency.iqm", lambda arm: mids[arm].estimate, numbers.percent),
        column("column.interval", lambda arm: percent_range(mids[arm]), kind=Kind.NUMBER),
        column("rl_efficiency.mean", lambda arm: float(mean(scores[arm])), numbers.percent),
    ]
    note = say("rl_efficiency.tasks_note")
    return design.table_of(experiment, "rl_efficiency.tasks", experiment.arms, columns, note=note)
