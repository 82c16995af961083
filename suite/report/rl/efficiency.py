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
from suite.report.blocks import Figure, Headline, Kind, Section, Table, dotted, joined, say, section
from suite.report.evidence import add_verdict_note
from suite.report.model.experiment import experiment_titles, grouped, leading_arm
from suite.report.model.formats import percent_range
from suite.report.model.labels import ALGORITHM, option_label
from suite.report.model.results import Results
from suite.report.rl import contrasts, design, frames
from suite.report.rl.contrasts import PAIR, AgainstReference, at, at_equal_budgets, comparison_table, grpo_against_ppo
from suite.report.rl.design import RlArm, RlExperiment, mean_final
from suite.report.rl.frames import ARM, MOST_FIGURES, experiment_table
from suite.report.rl.run import COMPLETIONS, JOULES, STEPS, TOKENS, final_accuracy
from suite.report.table import Column, column, part_columns
from suite.statistics.learning import Arrivals, arrivals, expected_best, expected_best_band, to_threshold
from suite.statistics.paired import ArmOutcome
from suite.statistics.scores import iqm, mean, stratified_bootstrap

LEVELS = (0.5, 0.7)
TRIALS = (1, 2, 4, 8, 16)  # numbers of a tuning sweep's trials after which the best is told
FEWEST_SEEDS = 2

Scores = Mapping[RlArm, NDArray[np.float64]]
"""Final accuracies of arms, a row a seed and a column a task."""


def build(results: Results) -> Section | None:
    """The section on sample efficiency, of algorithms and of what rewards are of; None without a trained arm."""
    layout = design.layout(results)
    compared = {each: at_equal_budgets(each) for each in layout.algorithms if each.trained_arms}
    rewards = [
        (experiment, at_equal_budgets(experiment), f"rl_efficiency.{name}")
        for name, experiments in layout.rewards.items()
        for experiment in experiments
        if experiment.trained_arms
    ]
    if not compared and not rewards:
        return None

    distances = {}
    for experiment in compared:
        # Of a task that is learnt before the first evaluation all lines lie on each other.
        curves = [curve.accuracy for curve in experiment.curves]
        distances[experiment] = fmean(1 - fmean(shares) / max(shares) if max(shares) else 0.0 for shares in curves)
    slowest_first = sorted(compared, key=lambda each: (not grpo_against_ppo(compared[each]), -distances[each]))
    # With GRPO, too, where PPO is the baseline of three algorithms or more: its relatives change one thing.
    with_grpo, (grpo, ppo) = list[Sequence[AgainstReference]](), PAIR
    for experiment in compared:
        first_arms = {arm.value(ALGORITHM): arm for arm in reversed(experiment.trained_arms)}
        is_against_ppo = experiment.baseline is not None and experiment.baseline.value(ALGORITHM) == ppo
        if is_against_ppo and len(first_arms) > 2 and grpo in first_arms:
            with_grpo.append(at_equal_budgets(replace(experiment, baseline=first_arms[grpo])))
    explanation = [say("rl_efficiency.explanation"), say("rl_efficiency.rewards") if rewards else ""]
    tables = [
        *map(comparison_table, filter(None, [*compared.values(), *with_grpo])),
        *(comparison_table(rows, title) for _, rows, title in rewards if rows),
        *map(_arrivals_table, compared),
        *filter(None, map(_tuning_table, compared)),
        *starmap(_tasks_table, over_tasks(list(compared), has_labels=results.several)),
    ]
    return section(
        "rl_efficiency",
        explanation=joined("sentence", explanation),
        figures=[
            *(_figure(each, compared[each]) for each in slowest_first[:MOST_FIGURES]),
            *starmap(_figure, rewards[:MOST_FIGURES]),
        ],
        tables=add_verdict_note(tables),
        headlines=[_headline(compared)],
    )


def _headline(compared: Mapping[RlExperiment, Sequence[AgainstReference]]) -> Headline | None:
    """How often GRPO ends above, below or like PPO at equal completions, over all experiments; None without both."""
    rows = [at(COMPLETIONS, rows) for experiment, rows in compared.items() if not experiment.is_picked]
    outcomes = Counter(row.outcome for experiment_rows in rows for row in grpo_against_ppo(experiment_rows))
    counts = [say(f"verdict.count.{outcome}", count=outcomes[outcome]) for outcome in ArmOutcome if outcomes[outcome]]
    point = say("rl_efficiency.point_asked", told=joined("list", counts))
    return Headline(text=point, detail=say("rl_efficiency.asked_of", count=outcomes.total())) if counts else None


def _figure(experiment: RlExperiment, rows: Sequence[AgainstReference], title: str = "rl_efficiency.over") -> Figure:
    """The figure of accuracy over each budget; its finding is what differs at equal completions, else the best arm."""
    if (counted := at(COMPLETIONS, rows)) and not experiment.is_picked:
        finding = contrasts.finding(counted, say("rl.points"), say("rl_efficiency.at.completions"))
    else:
        best = max(experiment.trained_arms, key=mean_final)
        key = f"rl_efficiency.finding.{'picked' if experiment.is_picked else 'best'}"
        accuracy = numbers.percent(mean_final(best))
        finding = say(key, arm=best.short_name, accuracy=accuracy, count=len(best.ended))
    return frames.experiment_figure(experiment, title, frames.curves_by_budget(experiment), finding)


def _arrivals_table(experiment: RlExperiment) -> Table:
    """The table of what each arm had spent when it first reached each of LEVELS."""

    def arrived(budget: str, row: tuple[RlArm, float]) -> Arrivals:
        curves = design.arm_curves(row[0])
        return arrivals([to_threshold(curve.spent[budget], curve.accuracy, row[1]) for curve in curves])

    columns: list[Column[tuple[RlArm, float]]] = [
        *part_columns(lambda row: row[0], [ARM]),
        column("rl_efficiency.level", lambda row: row[1], numbers.percent),
        column(
            "rl_efficiency.arrived",
            lambda row: frames.count_text(arrived(STEPS, row).arrived, len(row[0].ended)),
            kind=Kind.NUMBER,
        ),
    ]
    for budget in experiment.budgets(COMPLETIONS, TOKENS, experiment.clock, JOULES):
        arrivals_at: Column[Arrivals] = column(
            frames.budget_name(budget), lambda arrived: arrived.median, partial(frames.format_amount, budget)
        )
        columns += part_columns(partial(arrived, budget), [arrivals_at])
    rows = [(arm, level) for level in LEVELS for arm in experiment.trained_arms]
    return experiment_table(experiment, "rl_efficiency.arrivals", rows, columns, lambda row: row[0])


def _tuning_table(experiment: RlExperiment) -> Table | None:
    """The table of the best score expected of so many tuning trials, by algorithm; None where no algorithm has two."""
    trials = grouped((arm for arm in experiment.trained_arms if arm.value("trial")), lambda arm: arm.value(ALGORITHM))
    most = max(map(len, trials.values()), default=0)
    if most < 2:
        return None

    def best(count: int, arms: Sequence[RlArm]) -> float | None:
        return expected_best([*map(mean_final, arms)], count) if count <= len(arms) else None

    def band(arms: Sequence[RlArm]) -> str:
        return percent_range(expected_best_band([*map(mean_final, arms)], most) if most <= len(arms) else None)

    counts = sorted({count for count in (*TRIALS, most) if count <= most})
    columns: list[Column[list[RlArm]]] = [
        column("column.algorithm", lambda arms: option_label(ALGORITHM, arms[0].value(ALGORITHM)), facet="algorithm"),
        column("rl_efficiency.trials", len, numbers.count),
        *(column(say("rl_efficiency.best_of", count=n), partial(best, n), numbers.percent) for n in counts),
        column("column.interval", band, kind=Kind.NUMBER),
        column("rl_efficiency.best_arm", lambda arms: max(arms, key=mean_final).name),
    ]
    return experiment_table(experiment, "rl_efficiency.tuning", trials.values(), columns, lambda arms: arms[0])


def over_tasks(experiments: Sequence[RlExperiment], *, has_labels: bool) -> list[tuple[RlExperiment, Scores]]:
    """Pool experiments that differ in their task alone, each with its arms' scores.

    Only arms that ran on all tasks count, and at least two arms and two tasks make one. A task's base model may read as
    much as the task needs; one task under several of them is not several tasks.
    """

    by_rest = grouped(
        experiments, lambda each: tuple(pair for pair in each.key if pair[0].partition(".")[0] not in ("task", "base"))
    )
    titles, pooled = experiment_titles(list(by_rest), design.DESIGN, has_labels=has_labels), []
    for key, siblings in by_rest.items():
        scores = _scores(siblings)
        tasks = {tuple(pair for pair in experiment.key if pair[0].startswith("task")) for experiment in siblings}
        if len(scores) > 1 and 1 < len(siblings) == len(tasks):
            title, settings = titles[key]
            settings = dotted(settings, joined("list", [experiment.value("task") for experiment in siblings]))
            experiment = replace(siblings[0], key=key, arms=list(scores), title=title, settings=settings)
            pooled.append((experiment, scores))
    return pooled


def _scores(experiments: Sequence[RlExperiment]) -> Scores:
    """The final accuracies of arms that ran on all tasks, at the seeds of all; arms of few seeds are left out."""
    scores = {}
    for arm in max(experiments, key=lambda experiment: len(experiment.arms)).trained_arms:
        twins = [twin for experiment in experiments for twin in experiment.trained_arms if twin.key == arm.key]
        finals = [twin.by_seed(final_accuracy) for twin in twins]
        seeds = [seed for seed in finals[0] if all(seed in by_seed for by_seed in finals)]
        if len(twins) == len(experiments) and len(seeds) >= FEWEST_SEEDS:
            scores[arm] = np.asarray([[by_seed[seed] for by_seed in finals] for seed in seeds])
    return scores


def _tasks_table(experiment: RlExperiment, scores: Scores) -> Table:
    """The table of where arms end over all tasks, by interquartile mean; its note begins with which of them leads."""
    middles = {arm: stratified_bootstrap(iqm, scores_RT) for arm, scores_RT in scores.items()}
    columns: list[Column[RlArm]] = [
        ARM,
        column("rl_efficiency.tasks_count", lambda arm: scores[arm].shape[1], numbers.count),
        column("rl.seeds", lambda arm: len(scores[arm]), numbers.count),
        column("rl_efficiency.iqm", lambda arm: middles[arm].estimate, numbers.percent),
        column("column.interval", lambda arm: percent_range(middles[arm]), kind=Kind.NUMBER),
        column("rl_efficiency.mean", lambda arm: float(mean(scores[arm])), numbers.percent),
    ]
    best = max(middles, key=lambda arm: middles[arm].estimate)
    # A row is a seed, which the arms of an experiment have alike.
    by_seed = {arm: {str(row): s for row, s in enumerate(s_RT.mean(1).tolist())} for arm, s_RT in scores.items()}
    count, tasks = scores[best].shape
    leader = say(
        f"rl_efficiency.finding.{'tasks' if leading_arm(by_seed) is best else 'tasks_open'}",
        arm=best.short_name,
        tasks=tasks,
        count=count,
        middle=numbers.percent(middles[best].estimate),
        interval=percent_range(middles[best]),
    )
    note = joined("sentence", [leader, say("rl_efficiency.tasks_note")])
    return experiment_table(experiment, "rl_efficiency.tasks", experiment.arms, columns, note=note)
