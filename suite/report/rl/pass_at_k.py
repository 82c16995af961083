"""pass@k: does training teach a policy what it could not do, or sharpen what it could?

Every arm stands beside its own base model: the same prompts, sampled as often before the first step and after the last.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

from suite.records import numbers
from suite.records.metrics import PASS_AT_K, pass_at_k_span
from suite.report.blocks import Figure, Kind, Section, Table, Text, joined, say, section
from suite.report.model.experiment import grouped
from suite.report.model.formats import (
    interval_ends,
    percent_range,
    points,
    share_interval,
    share_with_range,
    with_range,
)
from suite.report.model.labels import GREY, RECIPE, Style
from suite.report.model.readings import numbers_by_step
from suite.report.model.results import Results
from suite.report.plot import scales
from suite.report.plot.marks import Point, Series
from suite.report.plot.plots import banded
from suite.report.rl import design, frames
from suite.report.rl.design import RlArm, RlExperiment, RlRun
from suite.report.rl.naming import named, with_baseline
from suite.report.table import Column, column
from suite.statistics.paired import SHARE_MARGIN, Comparison, compare, judge_together
from suite.statistics.pass_at_k import Effect, is_saturated, training_effect

BEFORE = Style(colour=GREY, dash="dot", marker="circle")
MOST_EXPONENT = 20  # of the k that are read: 2^20 samples of a prompt
Shares = Mapping[int, Sequence[float]]
"""pass@k by k, a number a seed."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """An arm beside its base models."""

    arm: RlArm
    shares: Shares
    first: Comparison  # pass@1 after training with that before, seed by seed
    last: Comparison  # the same at the largest k

    @property
    def effect(self) -> Effect:
        return training_effect(self.first, self.last)


@dataclass(frozen=True, kw_only=True)
class Study:
    experiment: RlExperiment
    before: Shares  # a number for each seed, whose arms share the base model
    trained: Sequence[Trained]

    @property
    def most(self) -> int:
        """The largest k that all runs have."""
        return max(self.before)


def build(results: Results) -> Section | None:
    """The section on pass@k; None where no run was sampled before and after its training."""
    layout = design.layout(results)
    shares = {run: by_step for run in layout.runs if (by_step := read_shares(run))}
    experiments = layout.split(shares, design.tells_arms_apart, partial(named, lead=RECIPE))
    studies = [_study(with_baseline(each, None), shares) for each in design.most_arms_first(experiments)]
    if not studies:
        return None
    figures = [_figure(study) for study in studies[: frames.MOST_FIGURES]]
    return section("rl_pass_at_k", figures=figures, tables=map(_table, studies))


def read_shares(run: RlRun) -> tuple[dict[int, float], dict[int, float]] | None:
    """pass@k by k before the first step and after the last; None where a run did not end or has none of either."""
    by_step = defaultdict[int, dict[int, float]](dict)
    for k in (1 << exponent for exponent in range(MOST_EXPONENT + 1)):
        for step, share in numbers_by_step(run.record, PASS_AT_K, pass_at_k_span(k)).items():
            by_step[step] |= {k: share} if 0 <= share <= 1 else {}
    last = 0 if run.curve is None else run.curve.steps[-1]
    return (by_step[0], by_step[last]) if last > 0 and 1 in by_step[0] and 1 in by_step[last] else None


def _study(experiment: RlExperiment, shares: Mapping[RlRun, tuple[dict[int, float], dict[int, float]]]) -> Study:
    """The arms of an experiment beside their base models, judged together."""
    runs = [run for arm in experiment.arms for run in arm.runs]
    ks = sorted(set.intersection(*(set(one) for run in runs for one in shares[run])))

    def value(place: int, k: int, run: RlRun) -> float:
        return shares[run][place][k]

    def comparison(arm: RlArm, k: int) -> Comparison:
        floor, best = design.accuracy_bounds(arm)
        after, before = (arm.by_seed(partial(value, place, k)) for place in (1, 0))
        # Guessing is one try a prompt: of many tries nobody knows how many prompts it solves.
        compared = compare(after, before, bounds=(floor if k == 1 else None, best), margin=SHARE_MARGIN)
        assert compared is not None, "every run has both"
        return compared

    judged = judge_together([comparison(arm, k) for arm in experiment.arms for k in (1, ks[-1])])
    first_runs = {run.seed: run for run in reversed(runs)}
    return Study(
        experiment=experiment,
        before={k: [value(0, k, run) for run in first_runs.values()] for k in ks},
        trained=[
            Trained(arm=arm, shares={k: arm.values(partial(value, 1, k)) for k in ks}, first=first, last=last)
            for arm, first, last in zip(experiment.arms, judged[::2], judged[1::2], strict=True)
        ],
    )


def _figure(study: Study) -> Figure:
    """The figure of pass@k over k, a line for each arm and one for the base models."""

    def line_points(shares: Shares) -> list[Point]:
        return [
            Point(x=k, y=fmean(values), ends=interval_ends(interval), hover=_hover(k, values))
            for k, values in shares.items()
            for interval in [share_interval(values)]
        ]

    base = Series(name=say("rl_pass_at_k.before"), points=line_points(study.before), style=BEFORE, mode="lines")
    arms = study.experiment.arms
    lines = [frames.arm_series(row.arm, line_points(row.shares), arms) for row in study.trained]
    xaxis = scales.log(say("rl_pass_at_k.axis"), [(k, numbers.count(k)) for k in study.before])
    plot = banded([base, *lines], xaxis=xaxis, yaxis=scales.shares(say("rl_pass_at_k.solved"), rangemode="tozero"))
    by_effect = grouped(study.trained, lambda row: row.effect)
    told = [
        say("rl_pass_at_k.told", effect=_word(effect), arms=joined("list", [row.arm.short_name for row in rows]))
        for effect in Effect
        if (rows := by_effect.get(effect))
    ]
    most = fmean(study.before[study.most])
    half = fmean(study.before.get(study.most // 2, [most]))
    # A base model that gains with each doubling may solve with more tries what it does not solve with these.
    key = "finding_rising" if most - half > SHARE_MARGIN else "finding"
    shares = {"share": numbers.percent(most), "half": numbers.percent(half), "k": study.most}
    finding = say(f"rl_pass_at_k.{key}", told=joined("notes", told), **shares)
    caption = say("rl_pass_at_k.caption")
    return frames.experiment_figure(study.experiment, "rl_pass_at_k.over", {"": plot}, finding, caption)


def _hover(k: int, values: Sequence[float]) -> Text:
    return say(
        "rl_pass_at_k.hover",
        k=k,
        share=numbers.percent(fmean(values)),
        interval=percent_range(share_interval(values)),
        count=len(values),
    )


def _table(study: Study) -> Table:
    """The table of the base models and of every arm, with its differences from them and what training did."""
    ends = (1, study.most)

    def shares(k: int, row: Trained | None) -> Text | None:
        return share_with_range((row.shares if row else study.before)[k])

    def difference(k: int, row: Trained | None) -> Text | None:
        comparison = row and (row.first if k == 1 else row.last)
        return with_range(comparison.mean, comparison.interval, points) if comparison else None

    def verdict(row: Trained | None) -> Text | None:
        """What training did, and that there was nothing to teach where the base models solve everything."""
        saturated = say("rl_pass_at_k.saturated") if row and is_saturated(row.last) else ""
        return joined("notes", [_word(row.effect), saturated]) if row else None

    columns: list[Column[Trained | None]] = [
        column("rl.arm", lambda row: row.arm.short_name if row else say("rl_pass_at_k.before")),
        *(column(say("rl_pass_at_k.pass", k=k), partial(shares, k), kind=Kind.NUMBER) for k in ends),
        *(column(say("rl_pass_at_k.change", k=k), partial(difference, k), kind=Kind.NUMBER) for k in ends),
        column("rl_pass_at_k.effect", verdict),
        column("rl.seeds", lambda row: row.first.pairs if row else len(study.before[1]), numbers.count),
    ]
    return frames.experiment_table(study.experiment, "rl_pass_at_k.table", [None, *study.trained], columns, arm=None)


def _word(effect: Effect) -> Text:
    return say(f"rl_pass_at_k.effect.{effect}")
