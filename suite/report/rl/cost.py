"""The time of a step: sampling, scoring and updating, for each thousand completions.

Evaluation is named apart: it costs as much as somebody wants to know, and is no part of an algorithm.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from suite.records import numbers
from suite.records.derived import SECONDS_PER_HOUR
from suite.records.metrics import EVALUATE, PHASES
from suite.report.blocks import Figure, Kind, Section, Table, Text, joined, say, section
from suite.report.evidence import with_rule
from suite.report.model.experiment import Quantity
from suite.report.model.formats import signed
from suite.report.model.labels import BLUE, GREEN, ORANGE
from suite.report.model.results import Results
from suite.report.model.run import machine_id, number_of
from suite.report.plot.marks import Point
from suite.report.plot.rows import bars, height_px, rows, stacked
from suite.report.plot.scales import linear
from suite.report.rl import design
from suite.report.rl.contrasts import Beside, beside_reference, difference_columns, finding
from suite.report.rl.curves import runs_behind
from suite.report.rl.design import RlArm, RlExperiment, RlRun
from suite.report.table import Column, column, columns_of
from suite.statistics.paired import Outcome

MOST_FIGURES = 12
LOOKS = {"rollout": (BLUE, ""), "score": (ORANGE, "x"), "update": (GREEN, "/")}
"""Colours and patterns, so that the parts of a bar differ in greyscale too."""


def build(results: Results) -> Section | None:
    """Build it from the runs with every phase timed and completions counted."""
    found = {experiment: timed for experiment in design.algorithms(results) if (timed := _timed(experiment.arms))}
    if not found:
        return None
    drawn = {experiment: _timed(design.chosen(experiment)) for experiment in list(found)[:MOST_FIGURES]}
    rows = {experiment: _contrasts(experiment, timed) for experiment, timed in found.items()}
    figures = [_figure(experiment, arms, rows[experiment]) for experiment, arms in drawn.items() if arms]
    tables = [_table(experiment, timed, rows[experiment]) for experiment, timed in found.items()]
    return section("rl_cost", figures=figures, tables=with_rule(tables))


def _contrasts(experiment: RlExperiment, timed: Sequence[RlArm]) -> list[Beside]:
    baseline = next((arm for arm in timed if experiment.baseline and arm.key == experiment.baseline.key), None)
    if baseline is None:
        return []
    of_timed = replace(experiment, arms=timed, baseline=baseline)
    return beside_reference(of_timed, [arm for arm in timed if arm is not baseline], [(0.0, COST)])


def _timed(arms: Sequence[RlArm]) -> list[RlArm]:
    """The arms with the runs alone whose cost is known, without arms that have none."""
    timed = [replace(arm, runs=[run for run in arm.runs if cost_s(run) is not None]) for arm in arms]
    return [arm for arm in timed if arm.runs]


def cost_s(run: RlRun, clock: str = "") -> float | None:
    """Return the seconds of all phases for a thousand completions; None where one of them is not known."""
    seconds = [part for phase in PHASES if (part := run.seconds(phase, clock)) is not None]
    return _per_thousand(sum(seconds), run) or None if run.is_ok and len(seconds) == len(PHASES) else None


COST = Quantity(name="cost", value=cost_s, text=numbers.seconds, difference=signed)
"""Seconds for a thousand completions."""


def price_of(run: RlRun) -> float | None:
    """Return what the phases of a run cost at the price of a device hour that its record gives; None without one.

    In seconds on the wall, since these are what is rented.
    """
    price = number_of(run.setting("price_per_device_hour"))
    seconds = [part for phase in PHASES if (part := run.seconds(phase, design.WALL)) is not None]
    return price * sum(seconds) / SECONDS_PER_HOUR if price and run.is_ok and len(seconds) == len(PHASES) else None


def _per_thousand(amount: float | None, run: RlRun) -> float | None:
    completions = run.total("completions")
    return 1000 * amount / completions if amount is not None and completions else None


def _cost(arm: RlArm) -> float:
    return arm.mean(cost_s) or 0.0


def _phase(phase: str, arm: RlArm) -> float:
    return arm.mean(lambda run: _per_thousand(run.seconds(phase), run)) or 0.0


def _share(phase: str, arm: RlArm) -> float:
    return _phase(phase, arm) / _cost(arm)


def _finding(experiment: RlExperiment, arms: Sequence[RlArm], rows: Sequence[Beside]) -> Text:
    """Tell the arm that differs most by the rule; else what arms cost that share no seed."""
    unit = say("rl_cost.unit", clock=design.clock_name(experiment))
    if told := finding(rows, "", unit=unit, better=Outcome.LOWER, said=lambda outcome: f"rl_cost.is.{outcome}"):
        return told
    least, most = min(arms, key=_cost), max(arms, key=_cost)
    fields = {"arm": least.short_name, "cost": numbers.seconds(_cost(least)), "count": len(least.runs)}
    fields |= {"other": most.short_name, "most": numbers.seconds(_cost(most)), "clock": design.clock_name(experiment)}
    return say(f"rl_cost.finding.{'alone' if least is most else 'open'}", **fields)


def _figure(experiment: RlExperiment, arms: Sequence[RlArm], told: Sequence[Beside]) -> Figure:
    """Draw a row for each arm, in which its phases lie end to end."""
    traces, clock = [], design.clock_name(experiment)
    for phase, (colour, pattern) in LOOKS.items():
        points = []
        for row, arm in enumerate(arms):
            time, share = numbers.seconds(_phase(phase, arm)), numbers.percent(_share(phase, arm))
            hover = say("rl_cost.hover", time=time, share=share)
            points.append(Point(x=_phase(phase, arm), y=row, hover=hover, facets=arm.facets, runs=runs_behind(arm)))
        traces.append(bars(say(f"rl.phase.{phase}"), points, colour=colour, pattern=pattern, width=0.34))
    xaxis = linear(say("rl_cost.axis", clock=clock), range=[0, 1.05 * max(map(_cost, arms))], zeroline=True)
    figure = rows([arm.short_name for arm in arms], traces, xaxis=xaxis, **stacked())
    more: dict[str, Any] = {
        "height_px": height_px(len(arms)),
        "finding": _finding(experiment, arms, told),
    }
    caption = say("rl_cost.caption", clock=clock)
    return design.figure_of(experiment, say("rl_cost.phases"), caption, {"": figure}, **more)


def _table(experiment: RlExperiment, timed: Sequence[RlArm], rows: Sequence[Beside]) -> Table:
    clock, least = design.clock_name(experiment), min(map(_cost, timed))
    wall_s = partial(cost_s, clock=design.WALL)
    wall: Column[RlArm] = column("rl_cost.wall", lambda arm: arm.mean(wall_s), numbers.seconds)
    of_arm = {row.arm.key: row for row in rows}
    compared: list[Column[RlArm]] = columns_of(
        lambda arm: of_arm.get(arm.key), difference_columns("rl_cost.less_reference")[:2]
    )
    columns: list[Column[RlArm]] = [
        column("rl.arm", lambda arm: arm.name),
        column(say("rl_cost.per_thousand", clock=clock), _cost, numbers.seconds),
        column("rl_cost.step", lambda arm: arm.mean(_step_s), numbers.seconds),
        *compared,
        column("column.runs", lambda arm: len(arm.runs), numbers.count),
        column("rl_cost.over_least", lambda arm: _cost(arm) / least, numbers.times),
        column("rl_cost.range", _range, kind=Kind.NUMBER),
        *(column(f"rl.phase.{phase}", partial(_share, phase), numbers.percent) for phase in PHASES),
        column("rl_cost.tokens_per_s", lambda arm: arm.mean(_tokens_per_s), numbers.count),
        # On a GPU all columns are in seconds on the wall.
        *([wall] if design.clock_of(experiment) == design.CPU else []),
        column("rl_cost.joules", lambda arm: arm.mean(_joules), numbers.joules, only_where_known=True),
        column("rl_cost.whole", lambda arm: arm.mean(_whole_s), numbers.seconds),
        column("rl_cost.evaluation", lambda arm: arm.mean(lambda run: run.seconds(EVALUATE)), numbers.seconds),
    ]
    machines = {machine_id(run.current) for arm in experiment.arms for run in arm.runs}
    several = say("rl_cost.machines", count=len(machines)) if len(machines) > 1 else ""
    note = joined("sentence", [say("rl_cost.note", clock=clock), several])
    return design.table_of(experiment, "rl_cost.table", timed, columns, note=note)


def _range(arm: RlArm) -> str:
    costs = arm.values(cost_s)
    return numbers.seconds_range(min(costs), max(costs))


def _tokens_per_s(run: RlRun) -> float | None:
    tokens, seconds = run.total("sampled_tokens"), run.seconds("rollout")
    return tokens / seconds if tokens and seconds else None


def _joules(run: RlRun) -> float | None:
    return _per_thousand(run.total("energy_j"), run)


def _whole_s(run: RlRun) -> float:
    return sum(run.seconds(phase) or 0.0 for phase in PHASES)


def _step_s(run: RlRun) -> float:
    return _whole_s(run) / len(run.of_step["completions"])
