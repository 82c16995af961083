"""The effect of the attention variant on reinforcement learning: the accuracy reached and the cost of a completion."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Kind, Section, Table, Text, joined, say, section
from suite.report.model.experiment import grouped
from suite.report.model.formats import ends_of, percent_range, share_interval
from suite.report.model.labels import ALGORITHM, VARIANT, rank, style_of, variant_label
from suite.report.model.results import Results
from suite.report.plot.marks import Point
from suite.report.plot.plots import Axis
from suite.report.plot.rows import bars, rows
from suite.report.plot.scales import linear, shares
from suite.report.rl import design
from suite.report.rl.cost import cost_s
from suite.report.rl.curves import runs_behind
from suite.report.rl.design import RlArm, RlExperiment, RlRun
from suite.report.table import Column, column
from suite.statistics.scores import Estimate

OF_A_VARIANT = "attention."
NAME_PX, BAR_PX, MOST_TOLD = 28, 15, 4


def build(results: Results) -> Section | None:
    """Build it from the algorithms that were trained with at least two variants."""
    runs = [run for run in design.by_rl_alone(results) if run.ended]
    every = design.split(results, runs, lambda name: _is_of_variant(name) or design.tells_arms_apart(name), _named)
    found = []
    for experiment in every:
        of_name = grouped(experiment.arms, lambda arm: arm.name)
        arms = [arm for same in of_name.values() if len(same) > 1 for arm in same]
        found += [replace(experiment, arms=arms)] if arms else []
    return section("rl_attention", figures=map(_figure, found), tables=map(_table, found)) if found else None


def _is_of_variant(name: str) -> bool:
    return name == VARIANT or name.startswith(OF_A_VARIANT)


def _named(arms: Sequence[RlArm]) -> list[RlArm]:
    """Name arms by all but their variant, under each name the variant with the widest cache first."""
    by_variant = sorted(arms, key=lambda arm: (rank(arm.value(VARIANT)), variant_name(arm)))
    return design.named(by_variant, ALGORITHM, is_said=lambda name: not _is_of_variant(name))


def variant_name(arm: RlArm) -> str:
    """Return a variant with the sizes that somebody set: GQA (kv_heads=2)."""
    sizes = [f"{name.removeprefix(OF_A_VARIANT)}={size}" for name, size in arm.key if name.startswith(OF_A_VARIANT)]
    return variant_label(arm.value(VARIANT)) + (f" ({', '.join(sizes)})" if sizes else "")


def _interval(arm: RlArm) -> Estimate | None:
    return share_interval(arm.values(design.final))


def _figure(experiment: RlExperiment) -> Figure:
    clock = design.clock_name(experiment)
    arms, accuracy, cost = experiment.arms, say("rl_attention.accuracy"), say("rl_attention.cost", clock=clock)
    views: dict[Text, Any] = {
        accuracy: _bars(arms, design.final, shares(accuracy, rangemode="tozero"), has_intervals=True),
        cost: _bars(arms, cost_s, linear(cost, ticksuffix=" s", rangemode="tozero")),
    }
    names, variants = {arm.name for arm in arms}, set(map(variant_name, arms))
    height_px = 110 + len(names) * (NAME_PX + BAR_PX * len(variants))
    more: dict[str, Any] = {"finding": _finding(arms), "height_px": height_px}
    return design.figure_of(
        experiment, say("rl_attention.by_variant"), say("rl_attention.caption", clock=clock), views, **more
    )


def _short_names(arms: Sequence[RlArm]) -> dict[Text, Text]:
    """The first part of each name where that is enough."""
    firsts = {arm.name: str(arm.name).partition(design.NAMES)[0] for arm in arms}
    counts = Counter(firsts.values())
    return {name: first if counts[first] == 1 else name for name, first in firsts.items()}


def _finding(arms: Sequence[RlArm]) -> Text:
    """Tell how the variants of the first algorithm end: their seeds are no pairs, so nothing is judged."""
    name = arms[0].name
    told = []
    for arm in [arm for arm in arms if arm.name == name][:MOST_TOLD]:
        accuracy = numbers.percent(arm.mean(design.final) or 0.0)
        told.append(say("rl_attention.finding_of", variant=variant_label(arm.value(VARIANT)), accuracy=accuracy))
    count = min(len(arm.ended) for arm in arms)
    return say("rl_attention.finding", arm=_short_names(arms)[name], told=joined("list", told), count=count)


def _bars(
    arms: Sequence[RlArm], value: Callable[[RlRun], float | None], xaxis: Axis, *, has_intervals: bool = False
) -> dict[str, Any]:
    """Draw a row for each name, in which the variants' bars lie side by side."""
    names, variants = list(dict.fromkeys(arm.name for arm in arms)), list(dict.fromkeys(map(variant_name, arms)))
    # A row's name takes as much of the row as NAME_PX of its pixels.
    width = BAR_PX / (NAME_PX + BAR_PX * len(variants))
    traces = []
    for variant, own in grouped((arm for arm in arms if arm.mean(value) is not None), variant_name).items():
        points = []
        for arm in own:
            accuracy, cost, interval = arm.mean(design.final) or 0.0, arm.mean(cost_s), _interval(arm)
            fields = {"accuracy": numbers.percent(accuracy), "interval": percent_range(interval)}
            fields["cost"] = numbers.NOTHING if cost is None else numbers.seconds(cost)
            hover = say("rl_attention.hover", count=len(arm.ended), **fields)
            facets, ends = {ALGORITHM: arm.facets.get(ALGORITHM, "")}, ends_of(interval) if has_intervals else None
            points.append(
                Point(
                    x=arm.mean(value),
                    y=names.index(arm.name),
                    ends=ends,
                    hover=hover,
                    facets=facets,
                    runs=runs_behind(arm),
                )
            )
        facets = {name: text for name, text in own[0].facets.items() if name != ALGORITHM}
        colour, place = style_of(VARIANT, own[0].value(VARIANT)).colour, variants.index(variant) - len(variants) / 2
        offset = width * place + width / 10
        traces.append(bars(variant, points, colour=colour, width=0.8 * width, offset=offset, facets=facets))
    short = _short_names(arms)
    return rows([short[name] for name in names], traces, xaxis=xaxis, shift_px=BAR_PX * len(variants) / 2 + NAME_PX / 3)


def _table(experiment: RlExperiment) -> Table:
    cost = say("rl_attention.cost", clock=design.clock_name(experiment))
    columns: list[Column[RlArm]] = [
        column("rl.arm", lambda arm: arm.name),
        column("column.variant", variant_name),
        column("rl_attention.accuracy", lambda arm: arm.mean(design.final), numbers.percent),
        column("column.interval", lambda arm: percent_range(_interval(arm)), kind=Kind.NUMBER),
        column("rl.seeds", lambda arm: len(arm.ended), numbers.count),
        column(cost, lambda arm: arm.mean(cost_s), numbers.seconds),
        column("rl_attention.parameters", lambda arm: arm.first.constant("policy_parameter_count"), numbers.count),
    ]
    note = say("rl_attention.note")
    return design.table_of(experiment, "rl_attention.table", experiment.arms, columns, note=note)
