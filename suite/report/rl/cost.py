"""Where a step's time goes: sampling, scoring and updating, for each thousand completions.

Evaluation is named apart: it costs as much as somebody wants to know, and is no part of an algorithm.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from suite.records import numbers
from suite.records.rl_metrics import EVALUATE, PHASES
from suite.report.blocks import Figure, Kind, Section, Table, Text, View, joined, say, section
from suite.report.model.labels import BLUE, GREEN, ORANGE
from suite.report.model.results import Results
from suite.report.model.run import machine_id
from suite.report.plot.marks import Point
from suite.report.plot.rows import bars, height_px, rows, stacked
from suite.report.plot.scales import linear
from suite.report.rl.design import CPU, WALL, TrainingArm, TrainingExperiment, TrainingRun, algorithms, chosen, clock_of
from suite.report.table import Column, column, table

THOUSAND = 1000.0
MOST_FIGURES = 6
LOOKS = {"rollout": (BLUE, ""), "score": (ORANGE, "x"), "update": (GREEN, "/")}
"""Colours and patterns, so that the parts of a bar differ in greyscale too."""


def build(results: Results) -> Section | None:
    """Build it from the arms that have a run with every phase timed and completions counted."""
    found = {one: timed for one in algorithms(results) if (timed := [arm for arm in one.arms if arm.mean(seconds)])}
    if not found:
        return None
    return section(
        "rl_cost",
        figures=[_figure(one, timed) for one, timed in list(found.items())[:MOST_FIGURES]],
        tables=[_table(one, timed, is_first=place == 0) for place, (one, timed) in enumerate(found.items())],
    )


def seconds(run: TrainingRun) -> float | None:
    """Return the seconds of all phases for a thousand completions."""
    parts = _phases(run, run.clock)
    return sum(parts.values()) if parts else None


def _phases(run: TrainingRun, clock: str) -> dict[str, float]:
    """Return the seconds of each phase for a thousand completions; nothing where one of them is not known."""
    parts = {phase: _for_a_thousand(run, run.seconds[clock].get(phase)) for phase in PHASES}
    known = {phase: value for phase, value in parts.items() if value is not None}
    return known if run.is_ok and len(known) == len(PHASES) and sum(known.values()) > 0 else {}


def _for_a_thousand(run: TrainingRun, amount: float | None) -> float | None:
    completions = run.total("completions")
    return THOUSAND * amount / completions if amount is not None and completions else None


def _of_timed(value: Callable[[TrainingRun], float | None]) -> Callable[[TrainingArm], float | None]:
    """Return the mean over the runs with every phase timed."""
    return lambda arm: arm.mean(lambda run: value(run) if seconds(run) else None)


def _whole(run: TrainingRun) -> float:
    return sum(run.seconds[run.clock][phase] for phase in PHASES)


def _evaluation(run: TrainingRun) -> float | None:
    return run.seconds[run.clock].get(EVALUATE)


def _tokens_per_s(run: TrainingRun) -> float | None:
    tokens, of_rollout = run.total("sampled_tokens"), run.seconds[run.clock].get("rollout")
    return tokens / of_rollout if tokens and of_rollout else None


def _wall(run: TrainingRun) -> float | None:
    return sum(_phases(run, WALL).values()) or None


def _joules(run: TrainingRun) -> float | None:
    return _for_a_thousand(run, run.total("energy_j"))


def _phase(arm: TrainingArm, phase: str) -> float:
    """Return the mean seconds of a phase of a timed arm."""
    return arm.mean(lambda run: _phases(run, run.clock).get(phase)) or 0.0


def _share(phase: str, arm: TrainingArm) -> float:
    return _phase(arm, phase) / _cost(arm)


def _cost(arm: TrainingArm) -> float:
    return sum(_phase(arm, phase) for phase in PHASES)


def _figure(experiment: TrainingExperiment, timed: Sequence[TrainingArm]) -> Figure | None:
    drawn = [arm for arm in timed if arm in chosen(experiment)]
    if not drawn:
        return None
    return Figure(
        title=experiment.title,
        settings=experiment.settings,
        caption=say("rl_cost.caption", clock=_clock(experiment)),
        views=[View(title="", figure=_bars(drawn, _clock(experiment)))],
        height_px=height_px(len(drawn)),
        facets=experiment.facets,
    )


def _clock(experiment: TrainingExperiment) -> Text:
    return say(f"rl.clock.{clock_of(experiment)}")


def _bars(arms: Sequence[TrainingArm], clock: Text) -> dict[str, Any]:
    most = max(map(_cost, arms))
    return rows(
        [arm.name for arm in arms],
        [
            bars(
                say(f"rl.phase.{phase}"),
                [_point(row, arm, phase) for row, arm in enumerate(arms)],
                colour=LOOKS[phase][0],
                pattern=LOOKS[phase][1],
                width=0.34,
            )
            for phase in PHASES
        ],
        xaxis=linear(say("rl_cost.axis", clock=clock), range=[0, 1.05 * most], zeroline=True),
        **stacked(),
    )


def _point(row: int, arm: TrainingArm, phase: str) -> Point:
    time, share = numbers.seconds(_phase(arm, phase)), numbers.percent(_share(phase, arm))
    return Point(x=_phase(arm, phase), y=row, hover=say("rl_cost.hover", time=time, share=share), facets=arm.facets)


def _table(experiment: TrainingExperiment, timed: Sequence[TrainingArm], *, is_first: bool) -> Table:
    clock, least = _clock(experiment), min(map(_cost, timed))
    # On a GPU the wall clock is the one that all columns are in.
    wall = [column("rl_cost.wall", _of_timed(_wall), numbers.seconds)] if clock_of(experiment) == CPU else []
    columns: list[Column[TrainingArm]] = [
        column("rl.arm", lambda arm: arm.name),
        column("column.runs", lambda arm: len(arm.values(seconds)), numbers.count),
        column(say("rl_cost.per_thousand", clock=clock), _cost, numbers.seconds),
        column("rl_cost.over_least", lambda arm: _cost(arm) / least, numbers.times),
        column("rl_cost.range", _range, kind=Kind.NUMBER),
        *(column(f"rl.phase.{phase}", partial(_share, phase), numbers.percent) for phase in PHASES),
        column("rl_cost.tokens_per_s", _of_timed(_tokens_per_s), numbers.count),
        *wall,
        column("rl_cost.joules", _of_timed(_joules), numbers.joules, only_where_known=True),
        column("rl_cost.whole", _of_timed(_whole), numbers.seconds),
        column("rl_cost.evaluation", _of_timed(_evaluation), numbers.seconds),
    ]
    return table(
        say("rl_cost.table", title=experiment.title),
        timed,
        columns,
        settings=experiment.settings,
        facets_of=lambda arm: arm.facets,
        note=joined("sentence", [say("rl_cost.note", clock=clock) if is_first else "", _machines(experiment)]),
        folded=not is_first,
    )


def _range(arm: TrainingArm) -> str:
    return numbers.seconds_range(min(arm.values(seconds)), max(arm.values(seconds)))


def _machines(experiment: TrainingExperiment) -> Text:
    """Say where seconds are of several machines, which are no comparison."""
    machines = {machine_id(run.current) for arm in experiment.arms for run in arm.runs}
    return say("rl_cost.machines", count=len(machines)) if len(machines) > 1 else ""
