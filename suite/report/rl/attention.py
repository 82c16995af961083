"""Whether the attention variant changes what reinforcement learning reaches, and what a completion costs with each."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Kind, Section, Table, Text, View, say, section
from suite.report.model.experiment import grouped
from suite.report.model.formats import ends_of, percent_range, share_interval
from suite.report.model.labels import ALGORITHM, VARIANT, rank, shown, style_of
from suite.report.model.results import Results
from suite.report.plot.marks import Point
from suite.report.plot.plots import Axis
from suite.report.plot.rows import bars, rows
from suite.report.plot.scales import linear, shares
from suite.report.rl import cost
from suite.report.rl.design import (
    TrainingArm,
    TrainingExperiment,
    TrainingRun,
    by_rl_alone,
    clock_of,
    final,
    named,
    split,
    tells_arms_apart,
)
from suite.report.table import Column, column, table
from suite.statistics.scores import Estimate

OF_A_VARIANT = "attention."
FEWEST_VARIANTS = 2
FRAME_PX, NAME_PX, BAR_PX = 110, 28, 15


def build(results: Results) -> Section | None:
    """Build it from the algorithms that were trained with at least two variants."""
    runs = [run for run in by_rl_alone(results) if run.ended]
    every = split(results, runs, lambda name: _is_of_variant(name) or tells_arms_apart(name), _named)
    found = [replace(one, arms=arms) for one in every if (arms := _with_several_variants(one.arms))]
    if not found:
        return None
    return section("rl_attention", figures=map(_figure, found), tables=map(_table, found))


def _is_of_variant(name: str) -> bool:
    return name == VARIANT or name.startswith(OF_A_VARIANT)


def _named(arms: Sequence[TrainingArm]) -> list[TrainingArm]:
    """Name arms by all but their variant, under each name the variant with the widest cache first."""
    by_variant = sorted(arms, key=lambda arm: (rank(arm.said(VARIANT)), variant_name(arm)))
    return named(by_variant, ALGORITHM, is_said=lambda name: not _is_of_variant(name))


def _with_several_variants(arms: Sequence[TrainingArm]) -> list[TrainingArm]:
    of_name = grouped(arms, lambda arm: arm.name)
    return [arm for same in of_name.values() if len(same) >= FEWEST_VARIANTS for arm in same]


def variant_name(arm: TrainingArm) -> str:
    """Return a variant with the sizes that somebody set: GQA (kv_heads=2)."""
    sizes = [f"{name.removeprefix(OF_A_VARIANT)}={size}" for name, size in arm.key if name.startswith(OF_A_VARIANT)]
    return shown(arm.said(VARIANT)) + (f" ({', '.join(sizes)})" if sizes else "")


def _accuracy(arm: TrainingArm) -> float:
    return arm.mean(final) or 0.0


def _interval(arm: TrainingArm) -> Estimate | None:
    return share_interval(arm.values(final))


def _cost(arm: TrainingArm) -> float | None:
    return arm.mean(cost.seconds)


def _parameters(run: TrainingRun) -> float | None:
    return run.constant("policy_parameter_count")


def _cost_title(experiment: TrainingExperiment) -> Text:
    return say("rl_attention.cost", clock=say(f"rl.clock.{clock_of(experiment)}"))


def _figure(experiment: TrainingExperiment) -> Figure:
    arms = experiment.arms
    accuracy = shares(say("rl_attention.accuracy"), rangemode="tozero")
    views = [View(title=say("rl_attention.accuracy"), figure=_bars(arms, _accuracy, accuracy, has_intervals=True))]
    timed = [arm for arm in arms if _cost(arm) is not None]
    if timed:
        title = _cost_title(experiment)
        axis = linear(title, ticksuffix=" s", rangemode="tozero")
        views.append(View(title=title, figure=_bars(arms, _cost, axis)))
    names, variants = len({arm.name for arm in arms}), len(set(map(variant_name, arms)))
    return Figure(
        title=experiment.title,
        settings=experiment.settings,
        caption=say("rl_attention.caption", clock=say(f"rl.clock.{clock_of(experiment)}")),
        views=views,
        height_px=FRAME_PX + names * (NAME_PX + BAR_PX * variants),
        wide=True,
    )


def _bars(
    arms: Sequence[TrainingArm],
    value: Callable[[TrainingArm], float | None],
    xaxis: Axis,
    *,
    has_intervals: bool = False,
) -> dict[str, Any]:
    """Draw a row for each name, in which the variants' bars lie side by side."""
    names, variants = list(dict.fromkeys(arm.name for arm in arms)), list(dict.fromkeys(map(variant_name, arms)))
    # A row's name takes as much of the row as NAME_PX of its pixels.
    width = BAR_PX / (NAME_PX + BAR_PX * len(variants))
    traces = []
    for place, variant in enumerate(variants):
        own = [arm for arm in arms if variant_name(arm) == variant and value(arm) is not None]
        points = [
            Point(
                x=value(arm),
                y=names.index(arm.name),
                ends=ends_of(_interval(arm)) if has_intervals else None,
                hover=_hover(arm),
                facets={ALGORITHM: arm.facets.get(ALGORITHM, "")},
            )
            for arm in own
        ]
        if own:
            offset = width * (place - len(variants) / 2) + width / 10
            colour = style_of(VARIANT, own[0].said(VARIANT)).colour
            facets = {name: text for name, text in own[0].facets.items() if name != ALGORITHM}
            traces.append(bars(variant, points, colour=colour, width=0.8 * width, offset=offset, facets=facets))
    return rows(names, traces, xaxis=xaxis, shift_px=BAR_PX * len(variants) / 2 + NAME_PX / 3)


def _hover(arm: TrainingArm) -> Text:
    of_cost = _cost(arm)
    return say(
        "rl_attention.hover",
        accuracy=numbers.percent(_accuracy(arm)),
        interval=percent_range(_interval(arm)),
        cost=numbers.NOTHING if of_cost is None else numbers.seconds(of_cost),
        count=len(arm.ended),
    )


def _table(experiment: TrainingExperiment) -> Table:
    columns: list[Column[TrainingArm]] = [
        column("rl.arm", lambda arm: arm.name),
        column("column.variant", variant_name),
        column("rl.seeds", lambda arm: len(arm.ended), numbers.count),
        column("rl_attention.accuracy", _accuracy, numbers.percent),
        column("column.interval", lambda arm: percent_range(_interval(arm)), kind=Kind.NUMBER),
        column(_cost_title(experiment), _cost, numbers.seconds),
        column("rl_attention.parameters", lambda arm: next(iter(arm.values(_parameters)), None), numbers.count),
    ]
    return table(
        say("rl_attention.table", title=experiment.title),
        experiment.arms,
        columns,
        settings=experiment.settings,
        facets_of=lambda arm: arm.facets,
        note=say("rl_attention.note"),
    )
