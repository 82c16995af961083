"""Figures and tables of one experiment: what each says of where it belongs, and lines over training."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, TypeVar

import numpy as np

from suite.records import numbers
from suite.report.blocks import Figure, Table, Text, View, dotted, joined, say
from suite.report.evidence import difference_columns, p_columns
from suite.report.model.experiment import Experiment
from suite.report.model.formats import interval_ends, percent_range, points, share_interval
from suite.report.model.labels import ALGORITHM, VARIANT, variant_label
from suite.report.model.run import LABEL
from suite.report.plot import plots
from suite.report.rl import design
from suite.report.rl.design import RlArm, RlExperiment
from suite.report.rl.run import BUDGETS, CPU, JOULES, WALL
from suite.report.table import Column, column, part_columns, table
from suite.statistics.paired import Comparison
from suite.statistics.scores import Estimate, mean, stratified_bootstrap

R = TypeVar("R")
SUFFIXES = {CPU: " s", WALL: " s", JOULES: " J"}
MOST_FIGURES = 12
MOST_POINTS = 60
MOST_BANDS = 4  # lines whose bands can be told from each other
STEP_DIGITS = 4  # significant ones of a number of a step

ARM: Column[RlArm] = column("rl.arm", lambda arm: arm.name)
SEEDS: Column[RlArm] = column("rl.seeds", lambda arm: len(arm.ended), numbers.count)
GUESSING: Column[RlArm] = column(
    "rl.guessing", lambda arm: arm.first.trivial_accuracy, numbers.percent, only_where_known=True
)


def experiment_facets(experiment: Experiment[Any]) -> dict[str, Text]:
    """Task, policy, variant, label and settings of an experiment, by which a reader chooses one; without empty ones."""
    variant = experiment.value(VARIANT)
    facets: dict[str, Text] = {name: experiment.value(name) for name in ("task", "policy")}
    facets |= {"variant": variant_label(variant) if variant else "", LABEL: experiment.label}
    return {name: text for name, text in facets.items() if text} | {"setting": experiment.settings or say("rl.usual")}


def experiment_figure(
    experiment: RlExperiment, title: str, views: Mapping[Text, Any], finding: Text, caption: Text = "", **more: Any
) -> Figure:
    """A figure of an experiment with the views that have anything drawn; figures of one title are a family. The
    section's caption stands where none is given, and says where only the best arms are drawn."""
    key = f"{title.partition('.')[0]}.caption{'' if experiment.most_seeds > 1 else '_single'}"
    return Figure(
        title=say(title),
        family=say(title),
        finding=finding,
        caption=caption or joined("sentence", [say(key), say("rl.best_drawn") if experiment.is_picked else ""]),
        settings=experiment.name,
        views=[View(title=name, figure=figure) for name, figure in views.items() if figure["data"]],
        facets=experiment_facets(experiment),
        **{"height_px": plots.height_px(len(experiment.shown_arms)), **more},
    )


def experiment_table(
    experiment: RlExperiment,
    title: str,
    rows: Iterable[R],
    columns: Iterable[Column[R]],
    arm: Callable[[R], Any] | None = lambda row: row,
    **more: Any,
) -> Table:
    """A table of an experiment, with the note under `{title}_note`; tables of one title are a family. `arm` gives the
    arm that a row is about; None where rows are about no single arm."""
    listed = list(rows)

    def row_facets(row: R) -> dict[str, Text]:
        return {ALGORITHM: arm(row).facets.get(ALGORITHM, "")} if arm else {}

    # What all rows share would tell the tables of a family apart.
    is_told_by_row = len({str(row_facets(row)) for row in listed}) > 1
    defaults = {
        "settings": experiment.name,
        "facets": experiment_facets(experiment),
        "family": say(title),
        "note": say(f"{title}_note"),
    }
    return table(say(title), listed, columns, facets_of=row_facets if is_told_by_row else None, **defaults | more)


def comparison_columns(
    title: str,
    comparison: Callable[[Any], Comparison | None],
    text: Callable[[float], str] = points,
) -> list[Column[Any]]:
    """Columns of the comparison that a row has: difference with interval, verdict, number of pairs, and both p."""

    pairs: Column[Any] = column(
        "rl_efficiency.pairs", lambda row: compared.pairs if (compared := comparison(row)) else 0, numbers.count
    )
    return [*part_columns(comparison, difference_columns(title, text)), pairs, *p_columns(comparison)]


def budget_name(budget: str) -> Text:
    return say(f"rl.budget.{budget}")


def format_amount(budget: str, value: float) -> str:
    """An amount of a budget with its unit, such as seconds or joules; else a count."""
    write = {CPU: numbers.seconds, WALL: numbers.seconds, JOULES: numbers.joules}
    return write.get(budget, numbers.count)(value)


def count_text(count: int, total: int) -> Text:
    """Such as `2 of 5`."""
    return say("rl_efficiency.arrived_of", arrived=count, runs=total)


def arm_series(
    arm: RlArm, points: Sequence[plots.Point], arms: Sequence[RlArm], *, second: Text = "", **more: Any
) -> plots.Series:
    """An arm's line, whose look differs from that of other arms of its style. `second`: what a dotted, thin line beside
    the arm's first one shows; it stands in no legend."""
    look: dict[str, Any] = {"name": arm.short_name, "mode": "lines", "facets": arm.facets, "runs": arm.run_keys}
    if second:
        line = {"color": arm.style.colour, "dash": "dot", "width": 1.25}
        look |= {"name": dotted(arm.short_name, second), "in_legend": False, "more": {"line": line}}
    ordinal = [sibling for sibling in arms if sibling.style == arm.style].index(arm)
    return plots.Series(points=points, style=arm.style, ordinal=ordinal, group=arm.short_name, **look | more)


@functools.lru_cache(maxsize=4096)
def _bootstrap_interval(scores: tuple[float, ...]) -> Estimate | None:
    return stratified_bootstrap(mean, np.asarray(scores).reshape(-1, 1)) if len(scores) > 1 else None


def _evaluations(
    arm: RlArm, budget: str, names: Mapping[int, Text], *, has_band: bool, by_t: bool
) -> list[plots.Point]:
    """An arm's points: mean accuracy over the mean spent, at the evaluations that all its runs share. Nothing is
    interpolated: between two evaluations nobody looked. `names`: texts beside points, by step. `by_t`: whether
    intervals are Student's, and not the bootstrap's."""
    curves, evaluations = design.arm_curves(arm), []
    for step in [step for step in curves[0].steps if all(step in curve.steps for curve in curves)]:
        scores = tuple(curve.by_step()[step] for curve in curves)
        spent = fmean(curve.by_step(budget)[step] for curve in curves)
        interval = share_interval(scores) if by_t else _bootstrap_interval(scores)
        hover = say(
            "rl_efficiency.hover",
            spent=format_amount(budget, spent),
            budget=budget_name(budget),
            count=len(scores),
            accuracy=numbers.percent(fmean(scores)),
            interval=percent_range(interval),
        )
        ends = interval_ends(interval) if has_band else None
        evaluations.append(plots.Point(x=spent, y=fmean(scores), ends=ends, hover=hover, text=names.get(step, "")))
    return evaluations


def log_axis(budget: str, lines: Sequence[plots.Series]) -> plots.Axis:
    spends = [point.x for line in lines for point in line.points]
    return plots.log(say(f"rl_efficiency.axis.{budget}"), plots.decimal_ticks(spends, numbers.count))


def curves_by_budget(
    experiment: RlExperiment,
    budgets: Sequence[str] = BUDGETS,
    names: Mapping[RlArm, Mapping[int, Text]] | None = None,
    *,
    is_logarithmic: bool = False,
) -> dict[Text, Any]:
    """A plot for each budget that every curve has: held-out accuracy over what had been spent, and the level of
    guessing where it is known. `names`: what stands beside an arm's line, by step. `is_logarithmic`: over a logarithmic
    axis, without what stands at 0, and with Student's intervals."""
    arms, figures = experiment.shown_arms, {}
    levels = [plots.rule(y=level) for arm in arms[:1] if (level := arm.first.trivial_accuracy) is not None]
    yaxis = plots.shares(say("rl_efficiency.axis"), rangemode="tozero")
    for budget in experiment.budgets(*budgets):
        lines = []
        for arm in arms:
            step_names = (names or {}).get(arm, {})
            has_band = len(arms) <= MOST_BANDS
            evaluations = _evaluations(arm, budget, step_names, has_band=has_band, by_t=is_logarithmic)
            evaluations = [point for point in evaluations if point.x > 0 or not is_logarithmic]
            look: dict[str, Any] = {}
            if step_names:
                font = {"size": 10, "color": arm.style.colour}
                look = {"mode": "lines+text", "more": {"textfont": font, "textposition": "top left"}}
            lines.append(arm_series(arm, evaluations, arms, **look))
        suffix = {"ticksuffix": SUFFIXES[budget]} if budget in SUFFIXES else {}
        xaxis = plots.linear(say(f"rl_efficiency.axis.{budget}"), separatethousands=True, rangemode="tozero", **suffix)
        xaxis = log_axis(budget, lines) if is_logarithmic else xaxis
        figures[budget_name(budget)] = plots.banded(lines, xaxis=xaxis, yaxis=yaxis, shapes=levels)
    return figures


def step_lines(arms: Sequence[RlArm], metric: str, *, has_band: bool = True, second: Text = "") -> list[plots.Series]:
    """Lines of a metric over the steps that all of an arm's seeds have: their mean, and a band between their extremes
    where arms are few. Of many steps neighbours are averaged."""
    lines = []
    for arm in arms:
        seeds = [series for run in arm.ended if (series := run.series(metric))]
        steps = sorted(set.intersection(*map(set, seeds))) if seeds else []
        size, means = max(1, -(-len(steps) // MOST_POINTS)), []
        for block in [steps[start : start + size] for start in range(0, len(steps), size)]:
            values = [fmean([series[step] for step in block]) for series in seeds]
            value, *ends = (plots.short(number, STEP_DIGITS) for number in (fmean(values), min(values), max(values)))
            is_wide = has_band and not second and len(values) > 1 and len(arms) <= MOST_BANDS
            means.append(plots.Point(x=fmean(block), y=value, ends=(ends[0], ends[1]) if is_wide else None))
        lines += [arm_series(arm, means, arms, second=second)] if means else []
    return [replace(line, more={**line.more, "hoverinfo": "all", "hovertemplate": plots.VALUES}) for line in lines]


def plot_over_steps(lines: Sequence[plots.Series], yaxis: plots.Axis) -> dict[str, Any]:
    axis = {"hoverformat": ".3~g" if "tickformat" not in yaxis else ".0%", **yaxis}
    return plots.banded(lines, xaxis=plots.linear(say("rl_stability.step"), separatethousands=True), yaxis=axis)
