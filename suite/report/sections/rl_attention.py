"""Whether the attention variant changes what reinforcement learning reaches, and what a completion costs with each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from suite.records import numbers
from suite.report.alike import Pairs
from suite.report.blocks import MOST_ROWS_OPEN, Column, Figure, Kind, Section, Table, Text, View, cell, say
from suite.report.charts import figure_text
from suite.report.facets import trace_facets
from suite.report.model.results import Results
from suite.report.palette import rank, shown, style_of
from suite.report.rl_charts import axis, error_bars, row_layout, short
from suite.report.rl_numbers import percent_range
from suite.report.rl_palette import shown_algorithm
from suite.report.rl_run import Run
from suite.report.rl_runs import Arm, arms_of, clock_of, contestants, numbers_of, titles_of, together_of
from suite.report.sections.rl_cost import cost_of
from suite.report.verdicts import share_interval
from suite.statistics.scores import Estimate

AXIS, OF_A_VARIANT = "attention", "attention."
FEWEST = 2
FRAME_PX, NAME_PX, BAR_PX = 110, 28, 15


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """One algorithm with one variant."""

    algorithm: str
    """The arm's name, without the variant."""
    variant: str
    arm: Arm
    scores: Sequence[float]
    interval: Estimate | None
    cost_s: float | None
    """Seconds for a thousand completions."""
    parameters: float | None


def build(results: Results) -> Section | None:
    found = _found(results)
    if not found:
        return None
    return Section(
        id="rl_attention",
        title=say("rl_attention.title"),
        explanation=say("rl_attention.explanation"),
        figures=[_figure(title, trained) for title, trained in found.items()],
        tables=[_table(title, trained) for title, trained in found.items()],
    )


def _found(results: Results) -> dict[str, list[Trained]]:
    """By what they share otherwise, where at least two variants were trained."""
    by_rest: dict[Pairs, list[Run]] = {}
    for run in contestants(results):
        if run.curve is not None:
            by_rest.setdefault(_rest(together_of(run)), []).append(run)
    titles = titles_of(list(by_rest), results.several)
    found: dict[str, list[Trained]] = {}
    for key, runs in by_rest.items():
        if trained := _trained(runs):
            found[titles[key]] = trained
    return found


def _rest(together: Pairs) -> Pairs:
    return tuple(pair for pair in together if pair[0] != AXIS and not pair[0].startswith(OF_A_VARIANT))


def _trained(runs: Sequence[Run]) -> list[Trained]:
    """Of the arms that were trained with at least two variants."""
    found = []
    for arm in arms_of(runs):
        variants: dict[str, list[Run]] = {}
        for run in arm.runs:
            sizes = f" ({', '.join(run.own_sizes)})" if run.own_sizes else ""
            name = shown(run.attention) + sizes
            variants.setdefault(name, []).append(run)
        if len(variants) < FEWEST:
            continue
        for name, part in sorted(variants.items(), key=lambda item: (rank(item[1][0].attention), item[0])):
            (own_arm,) = arms_of(part)
            scores = [curve.final for curve in own_arm.curves]
            cost = cost_of(own_arm)
            parameters = numbers_of(part, lambda run: run.constant("policy_parameter_count"))
            found.append(
                Trained(
                    algorithm=arm.name,
                    variant=name,
                    arm=own_arm,
                    scores=scores,
                    interval=share_interval(scores),
                    cost_s=cost.total_s if cost else None,
                    parameters=parameters[0] if parameters else None,
                )
            )
    return found


def _figure(title: str, trained: Sequence[Trained]) -> Figure:
    clock = say(f"rl.clock.{clock_of(trained[0].arm)}")
    views = [View(title=say("rl_attention.accuracy"), figure=_bars(trained, of_cost=False))]
    if any(one.cost_s for one in trained):
        views.append(View(title=say("rl_attention.cost", clock=clock), figure=_bars(trained, of_cost=True)))
    rows, variants = len({one.algorithm for one in trained}), len({one.variant for one in trained})
    return Figure(
        title=title,
        caption=say("rl_attention.caption", clock=clock),
        views=views,
        height_px=FRAME_PX + rows * (NAME_PX + BAR_PX * variants),
        wide=True,
    )


def _bars(trained: Sequence[Trained], *, of_cost: bool) -> dict[str, Any]:
    rows = list(dict.fromkeys(one.algorithm for one in trained))
    variants = list(dict.fromkeys(one.variant for one in trained))
    clock = say(f"rl.clock.{clock_of(trained[0].arm)}")
    xaxis = axis(say("rl_attention.cost", clock=clock), ticksuffix=" s", rangemode="tozero")
    if not of_cost:
        xaxis = axis(say("rl_attention.accuracy"), tickformat=".0%", rangemode="tozero")
    drawn = [one for one in trained if one.cost_s is not None or not of_cost]
    # A row's bars lie side by side under its name, which takes as much of the row as NAME_PX of its pixels.
    bar = BAR_PX / (NAME_PX + BAR_PX * len(variants))
    return {
        "data": [
            _trace(
                variant,
                [one for one in drawn if one.variant == variant],
                rows,
                {"width": 0.8 * bar, "offset": bar * (place - len(variants) / 2) + bar / 10},
                of_cost=of_cost,
            )
            for place, variant in enumerate(variants)
            if any(one.variant == variant for one in drawn)
        ],
        "layout": row_layout(rows, xaxis=xaxis, shift_px=BAR_PX * len(variants) / 2 + NAME_PX / 3),
    }


def _trace(
    variant: str, drawn: Sequence[Trained], rows: Sequence[str], place: Mapping[str, float], *, of_cost: bool
) -> dict[str, Any]:
    colour = style_of(drawn[0].arm.attention).colour
    values = [one.cost_s or 0.0 if of_cost else fmean(one.scores) for one in drawn]
    known = [(value, one.interval) for value, one in zip(values, drawn, strict=True)]
    return {
        "type": "bar",
        "orientation": "h",
        "name": figure_text(variant),
        "x": [short(value) for value in values],
        "y": [rows.index(one.algorithm) for one in drawn],
        **({} if of_cost else error_bars("x", known)),
        **place,
        "hovertext": [figure_text(_hover(one)) for one in drawn],
        "hovertemplate": "%{hovertext}<extra>%{fullData.name}</extra>",
        "marker": {"color": colour},
        **trace_facets(
            variant=shown(drawn[0].arm.attention),
            algorithm=[shown_algorithm(one.arm.algorithm) for one in drawn],
            label=drawn[0].arm.facets["label"],
        ),
    }


def _hover(one: Trained) -> Text:
    return say(
        "rl_attention.hover",
        accuracy=numbers.percent(fmean(one.scores)),
        interval=percent_range(one.interval),
        cost=cell(one.cost_s, numbers.seconds),
        count=len(one.scores),
    )


def _table(title: str, trained: Sequence[Trained]) -> Table:
    clock = say(f"rl.clock.{clock_of(trained[0].arm)}")
    return Table(
        title=say("rl_attention.table", title=title),
        columns=[
            Column(title=say("rl.arm")),
            Column(title=say("column.variant")),
            Column(title=say("rl.seeds"), kind=Kind.NUMBER),
            Column(title=say("rl_attention.accuracy"), kind=Kind.NUMBER),
            Column(title=say("column.interval"), kind=Kind.NUMBER),
            Column(title=say("rl_attention.cost", clock=clock), kind=Kind.NUMBER),
            Column(title=say("rl_attention.parameters"), kind=Kind.NUMBER),
        ],
        rows=[
            [
                one.algorithm,
                one.variant,
                numbers.count(len(one.scores)),
                numbers.percent(fmean(one.scores)),
                percent_range(one.interval),
                cell(one.cost_s, numbers.seconds),
                cell(one.parameters, numbers.count),
            ]
            for one in trained
        ],
        row_facets=[one.arm.facets for one in trained],
        note=say("rl_attention.note"),
        folded=len(trained) > MOST_ROWS_OPEN,
    )
