"""pass@k: does training teach a policy what it could not do, or sharpen what it could?

Every arm stands beside its own base model: the same prompts, sampled as often before the first step and after the last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

from suite.records import numbers
from suite.records.metrics import EVALUATE, PASS_AT_K, within
from suite.report.blocks import Figure, Kind, Section, Table, Text, joined, say, section
from suite.report.model import formats
from suite.report.model.experiment import grouped
from suite.report.model.labels import GREY, RECIPE, Style
from suite.report.model.outcome import share_quantity
from suite.report.model.results import Results
from suite.report.model.run import numbers_by_step
from suite.report.plot import plots
from suite.report.plot.plots import Point, Series
from suite.report.rl import design, frames
from suite.report.rl.contrasts import accuracy_change
from suite.report.rl.design import RlArm, RlExperiment
from suite.report.rl.naming import named, with_baseline
from suite.report.rl.run import RlRun
from suite.report.table import Column, column
from suite.statistics.paired import SHARE_MARGIN, Comparison, judge_together
from suite.statistics.pass_at_k import Effect, is_saturated, training_effect

BEFORE = Style(colour=GREY, dash="dot", marker="circle")
MOST_EXPONENT = 20  # of the k that are read: 2^20 samples of a prompt


@dataclass(frozen=True, kw_only=True)
class Row:
    """An arm beside its base models; or these, without an arm and comparisons."""

    name: Text
    shares: Mapping[int, Sequence[float]]  # pass@k by k, a number a seed
    arm: RlArm | None = None
    comparisons: Sequence[Comparison] = ()  # of 1 and of the largest k: after training with before, seed by seed
    effect: Effect | None = None


def build(results: Results) -> Section | None:
    """The section on pass@k; None where no run was sampled before and after its training."""
    sampled = studies(results)
    if not sampled:
        return None
    figures = [_figure(*study) for study in sampled[: frames.MOST_FIGURES]]
    return section("rl_pass_at_k", figures=figures, tables=[_table(*study) for study in sampled])


def studies(results: Results) -> list[tuple[RlExperiment, list[Row]]]:
    """The experiments whose runs were sampled before and after their training, each with its rows."""
    layout = design.layout(results)
    shares = {run: both for run in layout.runs if (both := read_shares(run))}
    experiments = layout.split(shares, design.tells_arms_apart, partial(named, lead=RECIPE))
    ranked = [with_baseline(experiment, None) for experiment in design.most_arms_first(experiments)]
    return [(experiment, _rows(experiment, shares)) for experiment in ranked]


def read_shares(run: RlRun) -> list[dict[int, float]]:
    """pass@k by k before the first step and after the last; empty where a run did not end or lacks either."""
    ks = [1 << exponent for exponent in range(MOST_EXPONENT + 1)]
    by_k = {k: numbers_by_step(run.record, PASS_AT_K, within(EVALUATE, f"k={k}")) for k in ks}
    last = run.curve.steps[-1] if run.curve else 0
    both = [{k: by_step[at] for k, by_step in by_k.items() if 0 <= by_step.get(at, -1) <= 1} for at in (0, last)]
    return both if last > 0 and all(1 in shares for shares in both) else []


def solved(run: RlRun) -> float | None:
    """pass@k after the last step, of the largest k; None where `read_shares` is empty."""
    shares = read_shares(run)
    return shares[1][max(shares[1])] if shares else None


SOLVED = share_quantity("solved", solved, (0, 1))


def _rows(experiment: RlExperiment, shares: Mapping[RlRun, Sequence[Mapping[int, float]]]) -> list[Row]:
    """The base models, then the arms, judged together."""
    runs = [run for arm in experiment.arms for run in arm.runs]
    ks = sorted(set.intersection(*(set(each) for run in runs for each in shares[run])))
    base_models = {run.seed: shares[run][0] for run in reversed(runs)}  # which the arms of a seed share
    comparisons = [
        accuracy_change(arm, *([shares[run][place][k] for run in arm.runs] for place in (1, 0)))
        for arm in experiment.arms
        for k in (1, ks[-1])
    ]
    judged = judge_together([comparison for comparison in comparisons if comparison])
    before = {k: [each[k] for each in base_models.values()] for k in ks}
    rows = [Row(name=say("rl_pass_at_k.before"), shares=before)]
    for arm, *pair in zip(experiment.arms, judged[::2], judged[1::2], strict=True):
        after = {k: [shares[run][1][k] for run in arm.runs] for k in ks}
        rows.append(Row(name=arm.short_name, shares=after, arm=arm, comparisons=pair, effect=training_effect(*pair)))
    return rows


def _figure(experiment: RlExperiment, rows: Sequence[Row]) -> Figure:
    """The figure of pass@k over k, a line for each row."""
    lines, before = list[Series](), rows[0].shares
    for row in rows:
        points = list[Point]()
        for k, values in row.shares.items():
            interval, share = formats.share_interval(values), numbers.percent(fmean(values))
            texts = {"k": k, "share": share, "interval": formats.percent_range(interval), "count": len(values)}
            ends = formats.interval_ends(interval)
            points.append(Point(x=k, y=fmean(values), ends=ends, hover=say("rl_pass_at_k.hover", **texts)))
        base = Series(name=row.name, points=points, style=BEFORE, mode="lines")
        lines.append(frames.arm_series(row.arm, points, experiment.arms) if row.arm else base)
    xaxis = plots.log(say("rl_pass_at_k.axis"), [(k, numbers.count(k)) for k in before])
    plot = plots.banded(lines, xaxis=xaxis, yaxis=plots.shares(say("rl_pass_at_k.solved"), rangemode="tozero"))
    effects = []
    for effect, rows_of_effect in grouped(rows[1:], lambda row: row.effect).items():
        names = joined("list", [row.name for row in rows_of_effect])
        effects.append(say("rl_pass_at_k.told", effect=say(f"rl_pass_at_k.effect.{effect}"), arms=names))
    most, half = (fmean(before.get(k, before[max(before)])) for k in (max(before), max(before) // 2))
    # A base model that gains with each doubling may solve with more tries what it does not solve with these.
    key = "rl_pass_at_k.finding_rising" if most - half > SHARE_MARGIN else "rl_pass_at_k.finding"
    percents = {"share": numbers.percent(most), "half": numbers.percent(half), "k": max(before)}
    finding, caption = say(key, told=joined("notes", effects), **percents), say("rl_pass_at_k.caption")
    return frames.experiment_figure(experiment, "rl_pass_at_k.over", {"": plot}, finding, caption)


def _table(experiment: RlExperiment, rows: Sequence[Row]) -> Table:
    """The table of the base models and of every arm, with its differences from them and what training did."""

    def difference(place: int, row: Row) -> Text | None:
        pair = row.comparisons[place : place + 1]
        return formats.with_range(pair[0].mean, pair[0].interval, formats.points) if pair else None

    def verdict(row: Row) -> Text | None:
        """What training did, and that there was nothing to teach where the base models solve everything."""
        if row.effect is None:
            return None
        saturated = say("rl_pass_at_k.saturated") if is_saturated(row.comparisons[-1]) else ""
        return joined("notes", [say(f"rl_pass_at_k.effect.{row.effect}"), saturated])

    def share(k: int, row: Row) -> Text | None:
        return formats.share_with_range(row.shares[k])

    first, last = ends = (1, max(rows[0].shares))
    columns: list[Column[Row]] = [
        column("rl.arm", lambda row: row.name),
        *(column(say("rl_pass_at_k.pass", k=k), partial(share, k), kind=Kind.NUMBER) for k in ends),
        column(say("rl_pass_at_k.change", k=first), partial(difference, 0), kind=Kind.NUMBER),
        column(say("rl_pass_at_k.change", k=last), partial(difference, 1), kind=Kind.NUMBER),
        column("rl_pass_at_k.effect", verdict),
        column("rl.seeds", lambda row: len(row.shares[1]), numbers.count),
    ]
    return frames.experiment_table(experiment, "rl_pass_at_k.table", rows, columns, arm=None)
