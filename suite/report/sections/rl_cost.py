"""Where a step's time goes: sampling, scoring and updating, for each thousand completions.

Evaluation is named apart: it costs as much as somebody wants to know, and is no part of an algorithm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from suite.records import numbers
from suite.records.rl_metrics import EVALUATE, PHASES
from suite.report.blocks import MOST_ROWS_OPEN, Column, Figure, Kind, Section, Table, View, cell, joined, say
from suite.report.charts import layout
from suite.report.facets import point_facets
from suite.report.machines import machine_id
from suite.report.model.results import Results
from suite.report.palette import BLUE, GREEN, ORANGE
from suite.report.rl_charts import axis, row_layout, rows_height_px, short
from suite.report.rl_run import WALL, Run
from suite.report.rl_runs import Arm, Comparison, clock_of, comparisons, numbers_of, seconds_of

THOUSAND = 1000.0
MOST_FIGURES = 6
COLOURS = {"rollout": BLUE, "score": ORANGE, "update": GREEN}
PATTERNS = {"rollout": "", "score": "x", "update": "/"}
"""So that the parts of a bar differ in greyscale too."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One arm's, the mean of its runs."""

    arm: Arm
    phases_s: Mapping[str, float]
    """For a thousand completions."""
    of_runs_s: Sequence[float]
    """Each run's sum of the phases, for a thousand completions."""
    whole_s: float
    """Of a run."""
    evaluation_s: float | None
    """Of a run."""
    tokens_per_s: float | None
    """In the rollout."""
    wall_s: float | None
    joules: float | None
    """Both for a thousand completions."""

    @property
    def total_s(self) -> float:
        return sum(self.phases_s.values())


def build(results: Results) -> Section | None:
    found = {one: costs for one in comparisons(results) if (costs := costs_of(one))}
    if not found:
        return None
    return Section(
        id="rl_cost",
        title=say("rl_cost.title"),
        explanation=say("rl_cost.explanation"),
        figures=[
            _figure(one, drawn)
            for one, costs in list(found.items())[:MOST_FIGURES]
            if (drawn := [cost for cost in costs if cost.arm in one.chosen])
        ],
        tables=[_table(one, costs, is_first=place == 0) for place, (one, costs) in enumerate(found.items())],
    )


def costs_of(comparison: Comparison) -> list[Cost]:
    """Of the arms that have a run with every phase timed and completions counted."""
    return [cost for arm in comparison.arms if (cost := cost_of(arm)) is not None]


def cost_of(arm: Arm) -> Cost | None:
    clock = clock_of(arm)
    runs = [run for run in arm.runs if run.is_ok and _per_thousand(run, clock) is not None]
    if not runs:
        return None
    parts = [found for run in runs if (found := _per_thousand(run, clock)) is not None]
    return Cost(
        arm=arm,
        phases_s={phase: fmean(part[phase] for part in parts) for phase in PHASES},
        of_runs_s=[sum(part.values()) for part in parts],
        whole_s=fmean(sum(seconds_of(run, clock)[phase] for phase in PHASES) for run in runs),
        evaluation_s=_mean(numbers_of(runs, lambda run: seconds_of(run, clock).get(EVALUATE))),
        tokens_per_s=_mean(numbers_of(runs, lambda run: _tokens_per_s(run, clock))),
        wall_s=_mean([sum(found.values()) for run in runs if (found := _per_thousand(run, WALL)) is not None]),
        joules=_mean(numbers_of(runs, lambda run: _over_completions(run, run.total("energy_j")))),
    )


def _per_thousand(run: Run, clock: str) -> dict[str, float] | None:
    seconds = seconds_of(run, clock)
    parts = {phase: _over_completions(run, seconds.get(phase)) for phase in PHASES}
    known = {phase: value for phase, value in parts.items() if value is not None}
    return known if len(known) == len(PHASES) and sum(known.values()) > 0 else None


def _over_completions(run: Run, amount: float | None) -> float | None:
    completions = run.total("completions")
    return THOUSAND * amount / completions if amount is not None and completions else None


def _tokens_per_s(run: Run, clock: str) -> float | None:
    tokens, seconds = run.total("sampled_tokens"), seconds_of(run, clock).get("rollout")
    return tokens / seconds if tokens and seconds else None


def _machines(comparison: Comparison) -> list[str]:
    """Seconds of two machines are no comparison."""
    machines = {machine_id(run.current) for arm in comparison.arms for run in arm.runs}
    return [say("rl_cost.machines", count=len(machines))] if len(machines) > 1 else []


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _figure(comparison: Comparison, costs: Sequence[Cost]) -> Figure:
    clock = clock_of(costs[0].arm)
    return Figure(
        title=comparison.title,
        caption=say("rl_cost.caption", clock=say(f"rl.clock.{clock}")),
        views=[View(title="", figure=_bars(costs, clock))],
        height_px=rows_height_px(len(costs)),
        facets=comparison.facets,
    )


def _bars(costs: Sequence[Cost], clock: str) -> dict[str, Any]:
    title = say("rl_cost.axis", clock=say(f"rl.clock.{clock}"))
    most = max(cost.total_s for cost in costs)
    return {
        "data": [_trace(phase, costs) for phase in PHASES],
        "layout": row_layout(
            [cost.arm.name for cost in costs],
            xaxis=axis(title, range=[0, 1.05 * most], zeroline=True),
            barmode="stack",
            legend=layout()["legend"] | {"traceorder": "normal"},
        ),
    }


def _trace(phase: str, costs: Sequence[Cost]) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "name": say(f"rl.phase.{phase}"),
        "x": [short(cost.phases_s[phase]) for cost in costs],
        "y": list(range(len(costs))),
        "hovertext": [
            say(
                "rl_cost.hover",
                time=numbers.seconds(cost.phases_s[phase]),
                share=numbers.percent(cost.phases_s[phase] / cost.total_s),
            )
            for cost in costs
        ],
        "hovertemplate": "%{hovertext}<extra>%{fullData.name}</extra>",
        "marker": {
            "color": COLOURS[phase],
            "pattern": {"shape": PATTERNS[phase], "fillmode": "overlay", "solidity": 0.2},
        },
        "width": 0.34,
        **point_facets([cost.arm.facets for cost in costs]),
    }


def _table(comparison: Comparison, costs: Sequence[Cost], *, is_first: bool) -> Table:
    clock = clock_of(costs[0].arm)
    unit = say(f"rl.clock.{clock}")
    has_joules = any(cost.joules is not None for cost in costs)
    has_wall = clock != WALL
    least = min(cost.total_s for cost in costs)
    return Table(
        title=say("rl_cost.table", title=comparison.title),
        columns=[
            Column(title=say("rl.arm")),
            Column(title=say("column.runs"), kind=Kind.NUMBER),
            Column(title=say("rl_cost.per_thousand", clock=unit), kind=Kind.NUMBER),
            Column(title=say("rl_cost.over_least"), kind=Kind.NUMBER),
            Column(title=say("rl_cost.range"), kind=Kind.NUMBER),
            *(Column(title=say(f"rl.phase.{phase}"), kind=Kind.NUMBER) for phase in PHASES),
            Column(title=say("rl_cost.tokens_per_s"), kind=Kind.NUMBER),
            *([Column(title=say("rl_cost.wall"), kind=Kind.NUMBER)] if has_wall else []),
            *([Column(title=say("rl_cost.joules"), kind=Kind.NUMBER)] if has_joules else []),
            Column(title=say("rl_cost.whole"), kind=Kind.NUMBER),
            Column(title=say("rl_cost.evaluation"), kind=Kind.NUMBER),
        ],
        rows=[
            [
                cost.arm.name,
                numbers.count(len(cost.of_runs_s)),
                numbers.seconds(cost.total_s),
                numbers.times(cost.total_s / least),
                numbers.seconds_range(min(cost.of_runs_s), max(cost.of_runs_s)),
                *(numbers.percent(cost.phases_s[phase] / cost.total_s) for phase in PHASES),
                cell(cost.tokens_per_s, numbers.count),
                *([cell(cost.wall_s, numbers.seconds)] if has_wall else []),
                *([cell(cost.joules, numbers.joules)] if has_joules else []),
                numbers.seconds(cost.whole_s),
                cell(cost.evaluation_s, numbers.seconds),
            ]
            for cost in costs
        ],
        row_facets=[cost.arm.facets for cost in costs],
        note=joined("sentence", [*([say("rl_cost.note", clock=unit)] if is_first else []), *_machines(comparison)]),
        folded=not is_first or len(costs) > MOST_ROWS_OPEN,
    )
