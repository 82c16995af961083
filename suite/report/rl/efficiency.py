"""Sample efficiency: what each algorithm has learnt by what it has spent, and whether the seeds can tell them apart.

A budget is always named: who is ahead at equal completions need not be at equal CPU seconds, since a critic costs time
and no completions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from suite.records import numbers
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, View, dotted, joined, say, section
from suite.report.evidence import with_rule
from suite.report.model.experiment import grouped, titles_of
from suite.report.model.formats import percent_range
from suite.report.model.labels import ALGORITHM, label_of
from suite.report.model.results import Results
from suite.report.plot.marks import Point, Series
from suite.report.plot.plots import banded, height_px, is_wide
from suite.report.plot.scales import shares
from suite.report.rl.contrasts import Beside, at_equal_budgets, budget_columns, tally, told
from suite.report.rl.curves import amount, arm_line, budget_name, budget_views
from suite.report.rl.design import (
    COMPLETIONS,
    DESIGN,
    JOULES,
    TOKENS,
    TrainingArm,
    TrainingExperiment,
    algorithms,
    budgets,
    chosen,
    clock_of,
    curves,
    drawn,
    final,
    is_picked,
    lead_name,
    most_seeds,
)
from suite.report.table import Column, column, table
from suite.statistics.learning import Arrivals, arrivals, expected_best, to_threshold
from suite.statistics.scores import Estimate, Profile, bootstrap_profile, iqm, mean, stratified_bootstrap

LEVELS = (0.5, 0.7)
TRIAL, TRIALS, FEWEST_TRIALS = "trial", (1, 2, 4, 8, 16), 2
"""The setting that numbers the trials of a tuning sweep, and after how many of them the best is told."""
MOST_FIGURES = 6
FEWEST_SEEDS = 2
"""To draw from."""
THRESHOLDS = np.linspace(0, 1, 41)

Compared = Mapping[TrainingExperiment, Sequence[Beside]]


@dataclass(frozen=True, kw_only=True, eq=False)
class OverTasks:
    """One arm on every task of several."""

    arm: TrainingArm
    tasks: Sequence[str]
    scores_RT: NDArray[np.float64]
    """Final accuracies: a row for each seed that every task has."""
    iqm: Estimate
    profile: Profile


def build(results: Results) -> Section | None:
    """Build it from the experiments with a curve."""
    found = {one: at_equal_budgets(one) for one in algorithms(results) if drawn(one)}
    if not found:
        return None
    compared = {one: rows for one, rows in found.items() if rows}
    over_tasks = _over_tasks(list(found), has_labels=results.several)
    return section(
        "rl_efficiency",
        figures=[
            *(_figure(one, rows) for one, rows in list(found.items())[:MOST_FIGURES]),
            *(_profiles(*titles, scores) for titles, scores in over_tasks.items()),
        ],
        tables=[
            *with_rule([_contrasts(rows, is_first=place == 0) for place, rows in enumerate(compared.values())]),
            *(_arrivals(one, is_first=place == 0) for place, one in enumerate(found)),
            *(_tuning(one) for one in found),
            *(_tasks_table(*titles, scores) for titles, scores in over_tasks.items()),
        ],
        headlines=[_headline(compared)],
    )


def _headline(compared: Compared) -> Headline | None:
    """Tell of the experiment with the most arms. Arms that were picked by their scores cannot be judged by them."""
    telling = [one for one in compared if not is_picked(one)]
    if not telling:
        return None
    experiment, rows = telling[0], compared[telling[0]]
    of_budget = grouped(rows, lambda row: row.quantity.name)
    counts = {budget: tally(row.outcome for row in of_budget[budget]) for budget in _told_budgets(rows)}
    parts = [say(f"rl_efficiency.point.{budget}", **count) for budget, count in counts.items() if count["count"]]
    point = say("rl_efficiency.point_few", arms=len(chosen(experiment)))
    if parts:
        most = max(count["count"] for count in counts.values())
        reference = lead_name(rows[0].reference, ALGORITHM)
        point = say("rl_efficiency.point", count=most, reference=reference, told=joined("list", parts))
    detail = say("rl_efficiency.headline", title=experiment.name, said=_said(experiment, rows))
    return Headline(text=point, detail=detail)


def _told_budgets(rows: Sequence[Beside]) -> list[str]:
    told_of = (COMPLETIONS, clock_of(rows[0].experiment)) if rows else ()
    return [budget for budget in told_of if any(row.quantity.name == budget for row in rows)]


def _said(experiment: TrainingExperiment, rows: Sequence[Beside]) -> Text:
    """Say how many seeds there are, and the outcome at each budget that is held equal."""
    counts = sorted({len(arm.ended) for arm in chosen(experiment)})
    seeds = say("rl.range", low=counts[0], high=counts[-1]) if len(counts) > 1 else str(counts[0])
    parts: list[Text] = [say("rl_efficiency.seeds", arms=len(chosen(experiment)), seeds=seeds)]
    for budget in _told_budgets(rows):
        outcomes = [(row.arm.name, row.outcome) for row in rows if row.quantity.name == budget]
        if not is_picked(experiment) and (names := told(outcomes)):
            held, reference = say(f"rl_efficiency.at_equal.{budget}"), rows[0].reference.name
            parts.append(say("rl_efficiency.outcome", held=held, reference=reference, told=names))
    return joined("sentence", parts)


def _figure(experiment: TrainingExperiment, rows: Sequence[Beside]) -> Figure:
    caption = [
        say("rl_efficiency.caption" if most_seeds(experiment) > 1 else "rl_efficiency.caption_single"),
        say("rl.best_drawn") if is_picked(experiment) else "",
        _said(experiment, rows),
    ]
    return Figure(
        title=experiment.title,
        settings=experiment.settings,
        caption=joined("sentence", caption),
        views=budget_views(experiment),
        height_px=height_px(len(chosen(experiment))),
        wide=is_wide(len(chosen(experiment))),
        facets=experiment.facets,
    )


def _contrasts(rows: Sequence[Beside], *, is_first: bool) -> Table:
    experiment, reference = rows[0].experiment, rows[0].reference
    lead = lead_name(reference, ALGORITHM)
    return table(
        say("rl_efficiency.contests", title=experiment.title, reference=lead),
        rows,
        budget_columns(),
        settings=dotted(experiment.settings, _reference(reference, lead)),
        facets_of=lambda row: row.arm.facets,
        note=say("rl_efficiency.contests_note") if is_first else "",
        folded=not is_first or is_picked(experiment),
    )


def _reference(arm: TrainingArm, lead: str) -> Text:
    """Return a reference's whole name, where its title says less."""
    return "" if arm.name == lead else say("rl.reference_is", arm=arm.name)


def _arrivals(experiment: TrainingExperiment, *, is_first: bool) -> Table:
    """Lay out what each level of accuracy cost each arm."""
    told_of = (COMPLETIONS, TOKENS, clock_of(experiment), JOULES)
    known = [budget for budget in told_of if budget in budgets(experiment)]
    columns: list[Column[tuple[TrainingArm, float]]] = [
        column("rl.arm", lambda row: row[0].name),
        column("rl_efficiency.level", lambda row: row[1], numbers.percent),
        column("rl_efficiency.arrived", _arrived, kind=Kind.NUMBER),
        *(column(budget_name(budget), partial(_median, budget), partial(amount, budget)) for budget in known),
    ]
    return table(
        say("rl_efficiency.arrivals", title=experiment.title),
        [(arm, level) for level in LEVELS for arm in drawn(experiment)],
        columns,
        settings=experiment.settings,
        facets_of=lambda row: row[0].facets,
        note=say("rl_efficiency.arrivals_note") if is_first else "",
        folded=not is_first,
    )


def _arrived(row: tuple[TrainingArm, float]) -> Text:
    arm, level = row
    at = [to_threshold(curve.at, curve.accuracy, level) for curve in curves(arm)]
    return say("rl_efficiency.arrived_of", arrived=arrivals(at).arrived, runs=len(at))


def _median(budget: str, row: tuple[TrainingArm, float]) -> float | None:
    arm, level = row
    found: Arrivals = arrivals([to_threshold(curve.by(budget), curve.accuracy, level) for curve in curves(arm)])
    return found.median


def _tuning(experiment: TrainingExperiment) -> Table | None:
    """Lay out what the best of so many tuning trials is expected to score, at as many trials for each algorithm; None
    where no algorithm was tried with several settings.
    """
    tried = [arm for arm in drawn(experiment) if arm.said(TRIAL)]
    trials = grouped(tried, lambda arm: arm.said(ALGORITHM))
    most = max(map(len, trials.values()), default=0)
    if most < FEWEST_TRIALS:
        return None
    counts = sorted({count for count in (*TRIALS, most) if count <= most})
    columns: list[Column[tuple[str, list[TrainingArm]]]] = [
        column("column.algorithm", lambda row: label_of(ALGORITHM, row[0]), facet="algorithm"),
        column("rl_efficiency.trials", lambda row: len(row[1]), numbers.count),
        *(
            column(say("rl_efficiency.best_of", count=count), partial(_best_of, count), numbers.percent)
            for count in counts
        ),
        column("rl_efficiency.best_arm", lambda row: max(row[1], key=_mean_final).name),
    ]
    return table(
        say("rl_efficiency.tuning", title=experiment.title),
        trials.items(),
        columns,
        settings=experiment.settings,
        note=say("rl_efficiency.tuning_note"),
    )


def _best_of(count: int, row: tuple[str, list[TrainingArm]]) -> float | None:
    scores = list(map(_mean_final, row[1]))
    return expected_best(scores, count) if count <= len(scores) else None


def _mean_final(arm: TrainingArm) -> float:
    return arm.mean(final) or 0.0


def _over_tasks(
    found: Sequence[TrainingExperiment], *, has_labels: bool
) -> dict[tuple[Text, Text], Sequence[OverTasks]]:
    """Return, by title and settings, experiments that differ in their task alone, where at least two arms ran on all of
    at least two tasks.
    """
    alike = grouped(found, lambda one: tuple(pair for pair in one.key if not _is_of_task(pair[0])))
    titles = titles_of(list(alike), DESIGN, has_labels=has_labels)
    scored = {titles[key]: _scored(of_tasks) for key, of_tasks in alike.items() if len(of_tasks) > 1}
    return {title: scores for title, scores in scored.items() if len(scores) > 1}


def _scored(of_tasks: Sequence[TrainingExperiment]) -> list[OverTasks]:
    found = []
    for arm in drawn(max(of_tasks, key=lambda one: len(one.arms))):
        everywhere = [other.by_seed(final) for one in of_tasks for other in drawn(one) if other.key == arm.key]
        seeds = [seed for seed in arm.by_seed(final) if all(seed in scores for scores in everywhere)]
        if len(everywhere) == len(of_tasks) and len(seeds) >= FEWEST_SEEDS:
            scores_RT = np.asarray([[scores[seed] for scores in everywhere] for seed in seeds])
            found.append(
                OverTasks(
                    arm=arm,
                    tasks=list(map(_task, of_tasks)),
                    scores_RT=scores_RT,
                    iqm=stratified_bootstrap(iqm, scores_RT),
                    profile=bootstrap_profile(scores_RT, THRESHOLDS),
                )
            )
    return found


def _is_of_task(name: str) -> bool:
    return name.partition(".")[0] == "task"


def _task(experiment: TrainingExperiment) -> str:
    (_, task), *settings = [pair for pair in experiment.key if _is_of_task(pair[0])]
    return " ".join([task, *(f"{name}={value}" for name, value in settings)])


def _profiles(title: Text, settings: Text, found: Sequence[OverTasks]) -> Figure:
    arms = [one.arm for one in found]
    figure = banded(
        [_profile(one, arms) for one in found],
        xaxis=shares(say("rl_efficiency.threshold"), range=[0, 1]),
        yaxis=shares(say("rl_efficiency.above"), range=[0, 1.02]),
    )
    return Figure(
        title=say("rl_efficiency.profiles", title=title),
        settings=settings,
        caption=say("rl_efficiency.profiles_caption", tasks=joined("list", found[0].tasks)),
        views=[View(title="", figure=figure)],
        height_px=height_px(len(found)),
        wide=True,
    )


def _profile(one: OverTasks, arms: Sequence[TrainingArm]) -> Series:
    profile = one.profile
    points = [
        Point(
            x=float(threshold),
            y=float(share),
            ends=(float(low), float(high)),
            hover=say(
                "rl_efficiency.profiles_hover", share=numbers.percent(share), threshold=numbers.percent(threshold)
            ),
        )
        for threshold, share, low, high in zip(
            profile.thresholds, profile.shares, profile.low, profile.high, strict=True
        )
    ]
    return arm_line(one.arm, points, arms)


def _tasks_table(title: Text, settings: Text, found: Sequence[OverTasks]) -> Table:
    columns: list[Column[OverTasks]] = [
        column("rl.arm", lambda one: one.arm.name),
        column("rl_efficiency.tasks_count", lambda one: len(one.tasks), numbers.count),
        column("rl.seeds", lambda one: len(one.scores_RT), numbers.count),
        column("rl_efficiency.iqm", lambda one: one.iqm.estimate, numbers.percent),
        column("column.interval", lambda one: percent_range(one.iqm), kind=Kind.NUMBER),
        column("rl_efficiency.mean", lambda one: float(mean(one.scores_RT)), numbers.percent),
    ]
    return table(
        say("rl_efficiency.tasks", title=title),
        found,
        columns,
        settings=settings,
        facets_of=lambda one: one.arm.facets,
        note=say("rl_efficiency.tasks_note", tasks=joined("list", found[0].tasks)),
    )
