"""Sample efficiency: what each algorithm has learnt by what it has spent, and whether the seeds can tell them apart.

A budget is always named: who is ahead at equal completions need not be at equal CPU seconds, since a critic costs time
and no completions.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from suite.records import numbers
from suite.report.blocks import MOST_ROWS_OPEN, Column, Figure, Kind, Section, Table, View, cell, joined, say
from suite.report.model.results import Results
from suite.report.rl_charts import Band, axis, band_plot, height_px, is_wide
from suite.report.rl_contest_rows import contest_columns, contest_row
from suite.report.rl_contests import contests
from suite.report.rl_curves import budget_views
from suite.report.rl_findings import said
from suite.report.rl_numbers import amount, percent_range
from suite.report.rl_palette import shown_algorithm
from suite.report.rl_run import COMPLETIONS, JOULES, TOKENS
from suite.report.rl_runs import Arm, Comparison, budget_name, clock_of, comparisons
from suite.report.rl_tasks import Scored, TaskSet, task_sets
from suite.report.verdicts import with_rule
from suite.statistics.learning import arrivals, expected_best, to_threshold
from suite.statistics.scores import mean

THRESHOLDS = (0.5, 0.7)
TRIAL, TRIALS, FEWEST_TRIALS = "trial", (1, 2, 4, 8, 16), 2
"""The setting that numbers the trials of a tuning sweep, and after how many of them the best is told."""
MOST_FIGURES = 6


def build(results: Results) -> Section | None:
    found = [one for one in comparisons(results) if one.drawn]
    if not found:
        return None
    fought = [one for one in found if contests(one)]
    sets = task_sets(found, several=results.several)
    return Section(
        id="rl_efficiency",
        title=say("rl_efficiency.title"),
        explanation=say("rl_efficiency.explanation"),
        figures=[
            *(_figure(one) for one in found[:MOST_FIGURES] if one.budgets),
            *(_profiles(one) for one in sets),
        ],
        tables=[
            *with_rule([_contests(one, is_first=one is fought[0]) for one in fought]),
            *(_arrivals(one, is_first=one is found[0]) for one in found),
            *(table for one in found if (table := _tuning(one)) is not None),
            *(_tasks_table(one) for one in sets),
        ],
    )


def _figure(one: Comparison) -> Figure:
    caption = [
        say("rl_efficiency.caption" if one.most_seeds > 1 else "rl_efficiency.caption_single"),
        *([say("rl.best_drawn")] if one.is_picked else []),
        said(one),
    ]
    return Figure(
        title=one.title,
        caption=joined("sentence", caption),
        views=budget_views(one),
        height_px=height_px(len(one.chosen)),
        wide=is_wide(len(one.chosen)),
        facets=one.facets,
    )


def _profiles(one: TaskSet) -> Figure:
    return Figure(
        title=say("rl_efficiency.profiles", title=one.title),
        caption=say("rl_efficiency.profiles_caption", tasks=joined("list", one.tasks)),
        views=[
            View(
                title="",
                figure=band_plot(
                    [_profile(scored) for scored in one.scored],
                    xaxis=axis(say("rl_efficiency.threshold"), tickformat=".0%", range=[0, 1]),
                    yaxis=axis(say("rl_efficiency.above"), tickformat=".0%", range=[0, 1.02]),
                ),
            )
        ],
        height_px=height_px(len(one.scored)),
        wide=True,
    )


def _profile(scored: Scored) -> Band:
    profile = scored.profile
    return Band(
        arm=scored.arm,
        x=list(profile.thresholds),
        y=list(profile.shares),
        low=list(profile.low),
        high=list(profile.high),
        hover=[
            say("rl_efficiency.profiles_hover", share=numbers.percent(share), threshold=numbers.percent(threshold))
            for threshold, share in zip(profile.thresholds, profile.shares, strict=True)
        ],
    )


def _contests(one: Comparison, *, is_first: bool) -> Table:
    fought = contests(one)
    reference = fought[0].reference
    return Table(
        title=say("rl_efficiency.contests", title=one.title, reference=reference.name),
        columns=contest_columns(),
        rows=[contest_row(contest) for contest in fought],
        row_facets=[contest.arm.facets for contest in fought],
        note=say("rl_efficiency.contests_note") if is_first else "",
        folded=not is_first or one.is_picked,
    )


def _arrivals(one: Comparison, *, is_first: bool) -> Table:
    budgets = [budget for budget in (COMPLETIONS, TOKENS, clock_of(one.drawn[0]), JOULES) if budget in one.budgets]
    rows = [(arm, threshold) for threshold in THRESHOLDS for arm in one.drawn]
    return Table(
        title=say("rl_efficiency.arrivals", title=one.title),
        columns=[
            Column(title=say("rl.arm")),
            Column(title=say("rl_efficiency.level"), kind=Kind.NUMBER),
            Column(title=say("rl_efficiency.arrived"), kind=Kind.NUMBER),
            *(Column(title=budget_name(budget), kind=Kind.NUMBER) for budget in budgets),
        ],
        rows=[_arrival_row(arm, threshold, budgets) for arm, threshold in rows],
        row_facets=[arm.facets for arm, _ in rows],
        note=say("rl_efficiency.arrivals_note") if is_first else "",
        folded=not is_first or len(rows) > MOST_ROWS_OPEN,
    )


def _arrival_row(arm: Arm, threshold: float, budgets: Sequence[str]) -> list[str]:
    at = [to_threshold(curve.at, curve.accuracy, threshold) for curve in arm.curves]
    found = {
        budget: arrivals([to_threshold(curve.spent[budget], curve.accuracy, threshold) for curve in arm.curves])
        for budget in budgets
    }
    return [
        arm.name,
        numbers.percent(threshold),
        say("rl_efficiency.arrived_of", arrived=arrivals(at).arrived, runs=len(at)),
        *(cell(found[budget].median, partial(amount, budget)) for budget in budgets),
    ]


def _tuning(one: Comparison) -> Table | None:
    """What the best of so many tuning trials is expected to score, at as many trials for each algorithm; None where no
    algorithm was tried with several settings."""
    trials: dict[str, list[Arm]] = defaultdict(list)
    for arm in one.drawn:
        if TRIAL in dict(arm.key):
            trials[arm.algorithm].append(arm)
    most = max(map(len, trials.values()), default=0)
    counts = sorted({count for count in (*TRIALS, most) if count <= most})
    if most < FEWEST_TRIALS:
        return None
    return Table(
        title=say("rl_efficiency.tuning", title=one.title),
        columns=[
            Column(title=say("column.algorithm"), facet="algorithm"),
            Column(title=say("rl_efficiency.trials"), kind=Kind.NUMBER),
            *(Column(title=say("rl_efficiency.best_of", count=count), kind=Kind.NUMBER) for count in counts),
            Column(title=say("rl_efficiency.best_arm")),
        ],
        rows=[
            [
                shown_algorithm(algorithm),
                numbers.count(len(arms)),
                *(_best_of(arms, count) for count in counts),
                max(arms, key=lambda arm: arm.mean_final).name,
            ]
            for algorithm, arms in trials.items()
        ],
        note=say("rl_efficiency.tuning_note"),
    )


def _best_of(arms: Sequence[Arm], count: int) -> str:
    scores = [arm.mean_final for arm in arms]
    return numbers.percent(expected_best(scores, count)) if count <= len(scores) else numbers.NOTHING


def _tasks_table(one: TaskSet) -> Table:
    return Table(
        title=say("rl_efficiency.tasks", title=one.title),
        columns=[
            Column(title=say("rl.arm")),
            Column(title=say("rl_efficiency.tasks_count"), kind=Kind.NUMBER),
            Column(title=say("rl.seeds"), kind=Kind.NUMBER),
            Column(title=say("rl_efficiency.iqm"), kind=Kind.NUMBER),
            Column(title=say("column.interval"), kind=Kind.NUMBER),
            Column(title=say("rl_efficiency.mean"), kind=Kind.NUMBER),
        ],
        rows=[
            [
                scored.arm.name,
                numbers.count(len(one.tasks)),
                numbers.count(len(scored.scores_RT)),
                numbers.percent(scored.iqm.estimate),
                percent_range(scored.iqm),
                numbers.percent(float(mean(scored.scores_RT))),
            ]
            for scored in one.scored
        ],
        row_facets=[scored.arm.facets for scored in one.scored],
        note=say("rl_efficiency.tasks_note", tasks=joined("list", one.tasks)),
    )
