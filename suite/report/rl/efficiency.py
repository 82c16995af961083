"""Sample efficiency: what each algorithm, and each source of its reward, has learnt by what it has spent.

A budget is always named: who is ahead at equal completions need not be at equal CPU seconds, since a critic costs time
and no completions. A reward is of the outcome or of its steps, by the task's key or by the vote of a group; each is
compared with the other, with every other setting the same.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import starmap
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from suite.records import numbers
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, dotted, joined, say, section
from suite.report.evidence import with_rule
from suite.report.model.experiment import grouped, leading_arm, titles_of
from suite.report.model.formats import percent_range
from suite.report.model.labels import ALGORITHM, label_of
from suite.report.model.results import Results
from suite.report.rl import contrasts, design, frames
from suite.report.rl.contrasts import PAIR, Beside, asked_rows, at, at_equal_budgets, comparison_table
from suite.report.rl.design import RlArm, RlExperiment, mean_final
from suite.report.rl.frames import MOST_FIGURES, figure_of, table_of
from suite.report.table import Column, column
from suite.statistics.learning import Arrivals, arrivals, expected_best, expected_best_band, to_threshold
from suite.statistics.paired import ArmOutcome
from suite.statistics.scores import iqm, mean, stratified_bootstrap

LEVELS = (0.5, 0.7)
TRIALS = (1, 2, 4, 8, 16)
"""Numbers of a tuning sweep's trials after which the best is told."""
FEWEST_SEEDS = 2

OverTasks = tuple[RlExperiment, Mapping[RlArm, NDArray[np.float64]]]
"""Experiments that differ in their task alone, as one; final accuracies of its arms, a row a seed of all tasks."""
Compared = Mapping[RlExperiment, Sequence[Beside]]
"""Experiments, and their arms beside their references."""


def build(results: Results) -> Section | None:
    """Build it from the experiments with a curve, of algorithms and of what their rewards are of."""
    layout = design.layout(results)
    compared = _compared(layout.algorithms)
    of_rewards = [
        (experiment, rows, f"rl_efficiency.{name}")
        for name, experiments in layout.rewards.items()
        for experiment, rows in _compared(experiments).items()
    ]
    if not compared and not of_rewards:
        return None
    slowest_first = sorted(compared, key=lambda each: (not asked_rows(compared[each]), -_slowness(each)))
    judged = [*compared.values(), *map(_beside_grpo, compared)]
    explanation = [say("rl_efficiency.explanation"), *([say("rl_efficiency.rewards")] if of_rewards else [])]
    tables = [
        *map(comparison_table, filter(None, judged)),
        *(comparison_table(rows, name) for _, rows, name in of_rewards if rows),
        *map(_arrivals, compared),
        *filter(None, map(_tuning, compared)),
        *(_tasks_table(*pair) for pair in over_tasks(list(compared), has_labels=results.several)),
    ]
    return section(
        "rl_efficiency",
        explanation=joined("sentence", explanation),
        figures=[
            *(_figure(each, compared[each]) for each in slowest_first[:MOST_FIGURES]),
            *starmap(_figure, of_rewards[:MOST_FIGURES]),
        ],
        tables=with_rule(tables),
        headlines=[_headline(compared)],
    )


def _compared(experiments: Sequence[RlExperiment]) -> dict[RlExperiment, list[Beside]]:
    return {experiment: at_equal_budgets(experiment) for experiment in experiments if experiment.drawn}


def _slowness(experiment: RlExperiment) -> float:
    """How far curves lie below their best, in the mean. Of a task that is learnt before the first evaluation all lines
    lie on each other.
    """
    curves = [curve.accuracy for arm in experiment.drawn for curve in design.curves_of(arm)]
    return fmean(1 - fmean(accuracy) / max(accuracy) if max(accuracy) else 0.0 for accuracy in curves)


def _beside_grpo(experiment: RlExperiment) -> list[Beside]:
    """Compare with GRPO too, where PPO is the reference: GRPO's relatives change one thing of it."""
    first = {arm.value(ALGORITHM): arm for arm in reversed(experiment.drawn)}
    is_beside_ppo = experiment.baseline is not None and experiment.baseline.value(ALGORITHM) == PAIR[1]
    if not is_beside_ppo or len(first) < 3 or PAIR[0] not in first:
        return []
    return at_equal_budgets(replace(experiment, baseline=first[PAIR[0]]))


def _headline(compared: Compared) -> Headline | None:
    """How GRPO stands against PPO at equal completions, in all experiments with both."""
    rows = [at(design.COMPLETIONS, rows) for experiment, rows in compared.items() if not experiment.is_picked]
    outcomes = Counter(row.outcome for of_one in rows for row in asked_rows(of_one))
    told = [say(f"verdict.count.{outcome}", count=outcomes[outcome]) for outcome in ArmOutcome if outcomes[outcome]]
    point = say("rl_efficiency.point_asked", told=joined("list", told))
    return Headline(text=point, detail=say("rl_efficiency.asked_of", count=outcomes.total())) if told else None


def _figure(experiment: RlExperiment, rows: Sequence[Beside], name: str = "rl_efficiency.over") -> Figure:
    return figure_of(experiment, name, frames.over_budgets(experiment), _finding(experiment, rows))


def _finding(experiment: RlExperiment, rows: Sequence[Beside]) -> Text:
    """What differs at equal completions; else how the best arm ends."""
    if (counted := at(design.COMPLETIONS, rows)) and not experiment.is_picked:
        return contrasts.finding(counted, say("rl.points"), say("rl_efficiency.at.completions"))
    best, kind = max(experiment.drawn, key=mean_final), "picked" if experiment.is_picked else "best"
    fields = {"accuracy": numbers.percent(mean_final(best)), "count": len(best.ended)}
    return say(f"rl_efficiency.finding.{kind}", arm=best.short_name, **fields)


def _arrivals(experiment: RlExperiment) -> Table:
    """Lay out what each level of accuracy cost each arm."""

    def until(budget: str, row: tuple[RlArm, float]) -> Arrivals:
        arm, level = row
        return arrivals([to_threshold(curve.spent[budget], curve.accuracy, level) for curve in design.curves_of(arm)])

    def median(budget: str, row: tuple[RlArm, float]) -> float | None:
        return until(budget, row).median

    def arrived(row: tuple[RlArm, float]) -> Text:
        return frames.arrived_of(until(design.STEPS, row).arrived, row[0])

    columns: list[Column[tuple[RlArm, float]]] = [
        column("rl.arm", lambda row: row[0].name),
        column("rl_efficiency.level", lambda row: row[1], numbers.percent),
        column("rl_efficiency.arrived", arrived, kind=Kind.NUMBER),
    ]
    for budget in experiment.budgets(design.COMPLETIONS, design.TOKENS, experiment.clock, design.JOULES):
        text = partial(frames.amount, budget)
        columns.append(column(frames.budget_name(budget), partial(median, budget), text))
    rows = [(arm, level) for level in LEVELS for arm in experiment.drawn]
    return table_of(experiment, "rl_efficiency.arrivals", rows, columns, lambda row: row[0])


def _tuning(experiment: RlExperiment) -> Table | None:
    """Lay out what the best of so many tuning trials is expected to score, at as many trials for each algorithm; None
    where no algorithm was tried with several settings.
    """
    tried = [arm for arm in experiment.drawn if arm.value("trial")]
    trials = grouped(tried, lambda arm: arm.value(ALGORITHM))
    most = max(map(len, trials.values()), default=0)
    if most < 2:
        return None

    def best(count: int, arms: Sequence[RlArm]) -> float | None:
        return expected_best([*map(mean_final, arms)], count) if count <= len(arms) else None

    def band(arms: Sequence[RlArm]) -> str:
        return percent_range(expected_best_band([*map(mean_final, arms)], most) if most <= len(arms) else None)

    counts = sorted({count for count in (*TRIALS, most) if count <= most})
    columns: list[Column[list[RlArm]]] = [
        column("column.algorithm", lambda arms: label_of(ALGORITHM, arms[0].value(ALGORITHM)), facet="algorithm"),
        column("rl_efficiency.trials", len, numbers.count),
        *(column(say("rl_efficiency.best_of", count=of), partial(best, of), numbers.percent) for of in counts),
        column("column.interval", band, kind=Kind.NUMBER),
        column("rl_efficiency.best_arm", lambda arms: max(arms, key=mean_final).name),
    ]
    return table_of(experiment, "rl_efficiency.tuning", trials.values(), columns, lambda arms: arms[0])


def over_tasks(experiments: Sequence[RlExperiment], *, has_labels: bool) -> list[OverTasks]:
    """The experiments of which at least two arms ran on all of at least two tasks.

    A task's base model may read as much as the task needs; one task under several of them is not several tasks.
    """
    alike = grouped(experiments, lambda experiment: tuple(pair for pair in experiment.key if not _is_of_task(pair)))
    titles, over = titles_of(list(alike), design.DESIGN, has_labels=has_labels), list[OverTasks]()
    for key, of_tasks in alike.items():
        scores = _scored(of_tasks)
        tasks = {tuple(pair for pair in experiment.key if pair[0].startswith("task")) for experiment in of_tasks}
        if len(scores) > 1 and 1 < len(of_tasks) == len(tasks):
            title, settings = titles[key]
            settings = dotted(settings, joined("list", [experiment.value("task") for experiment in of_tasks]))
            over.append((replace(of_tasks[0], key=key, arms=list(scores), title=title, settings=settings), scores))
    return over


def _is_of_task(pair: tuple[str, str]) -> bool:
    return pair[0].partition(".")[0] in ("task", "base")


def _scored(of_tasks: Sequence[RlExperiment]) -> dict[RlArm, NDArray[np.float64]]:
    """The scores of the arms that ran on all tasks with at least two seeds."""
    by_arm = {}
    for arm in max(of_tasks, key=lambda experiment: len(experiment.arms)).drawn:
        twins = [other for experiment in of_tasks for other in experiment.drawn if other.key == arm.key]
        everywhere = [other.by_seed(design.final) for other in twins]
        seeds = [seed for seed in everywhere[0] if all(seed in scores for scores in everywhere)]
        if len(twins) == len(of_tasks) and len(seeds) >= FEWEST_SEEDS:
            by_arm[arm] = np.asarray([[scores[seed] for scores in everywhere] for seed in seeds])
    return by_arm


def _tasks_table(experiment: RlExperiment, scores: Mapping[RlArm, NDArray[np.float64]]) -> Table:
    """Lay out where arms end over all tasks; its note begins with which of them leads."""
    middles = {arm: stratified_bootstrap(iqm, scores_RT) for arm, scores_RT in scores.items()}
    columns: list[Column[RlArm]] = [
        column("rl.arm", lambda arm: arm.name),
        column("rl_efficiency.tasks_count", lambda arm: scores[arm].shape[1], numbers.count),
        column("rl.seeds", lambda arm: len(scores[arm]), numbers.count),
        column("rl_efficiency.iqm", lambda arm: middles[arm].estimate, numbers.percent),
        column("column.interval", lambda arm: percent_range(middles[arm]), kind=Kind.NUMBER),
        column("rl_efficiency.mean", lambda arm: float(mean(scores[arm])), numbers.percent),
    ]
    best = max(middles, key=lambda arm: middles[arm].estimate)
    # A row is a seed, which the arms of an experiment have alike.
    by_seed = {arm: {str(row): s for row, s in enumerate(of_arm.mean(1).tolist())} for arm, of_arm in scores.items()}
    kind = "tasks" if leading_arm(by_seed) is best else "tasks_open"
    fields = {"middle": numbers.percent(middles[best].estimate), "interval": percent_range(middles[best])}
    tasks, count = scores[best].shape[1], len(scores[best])
    told = say(f"rl_efficiency.finding.{kind}", arm=best.short_name, tasks=tasks, count=count, **fields)
    note = joined("sentence", [told, say("rl_efficiency.tasks_note")])
    return table_of(experiment, "rl_efficiency.tasks", experiment.arms, columns, note=note)
