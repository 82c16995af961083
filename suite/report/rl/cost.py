"""The cost of a step: sampling, scoring and updating, for each thousand completions; and by attention variant.

Evaluation is named apart: it costs as much as somebody wants to know, and is no part of an algorithm.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import starmap

from suite.records import numbers
from suite.records.derived import SECONDS_PER_HOUR
from suite.records.metrics import EVALUATE, PHASES
from suite.report.blocks import Figure, Kind, Section, Table, joined, say, section
from suite.report.evidence import add_verdict_note
from suite.report.model.experiment import ArmQuantity, grouped
from suite.report.model.formats import percent_range, share_interval, signed
from suite.report.model.labels import ALGORITHM, BLUE, GREEN, ORANGE, VARIANT, variant_label, variant_sort_key
from suite.report.model.results import Results
from suite.report.model.run import machine_id, parse_number
from suite.report.plot.plots import Point, linear
from suite.report.plot.rows import bars, height_px, rows, stacked
from suite.report.rl import design, frames
from suite.report.rl.contrasts import AgainstReference, against_reference, finding
from suite.report.rl.design import RlArm, RlExperiment
from suite.report.rl.naming import named
from suite.report.rl.run import CPU, WALL, RlRun, final_accuracy
from suite.report.table import Column, column, part_columns

LOOKS = {"rollout": (BLUE, ""), "score": (ORANGE, "x"), "update": (GREEN, "/")}
"""Colours and patterns, so that the parts of a bar differ in greyscale too."""
VARIANT_SIZES = "attention."
MOST_NAMED = 4


def build(results: Results) -> Section | None:
    """The section on the cost of a step, and of attention variants; None where no run has all phases timed."""
    experiments = []
    for experiment in design.layout(results).algorithms:
        # Without runs of unknown cost, and without the arms that are then empty.
        runs = {arm: [run for run in arm.runs if cost_s(run) is not None] for arm in experiment.arms}
        timed = {arm: replace(arm, runs=runs[arm]) for arm in experiment.arms if runs[arm]}
        baseline = timed.get(experiment.baseline) if experiment.baseline else None
        experiments += [replace(experiment, arms=[*timed.values()], baseline=baseline)] if timed else []
    judged = {experiment: against_reference(experiment, experiment.others, [COST]) for experiment in experiments}
    figures = [figure for figure in starmap(_figure, judged.items()) if figure.views]
    tables = [
        *add_verdict_note([*starmap(_table, judged.items())]),
        *map(_variants_table, variant_experiments(results)),
    ]
    return section("rl_cost", figures=figures[: frames.MOST_FIGURES], tables=tables) if tables else None


def cost_s(run: RlRun, clock: str = "") -> float | None:
    """The seconds of all phases for a thousand completions; None where any of them is not known."""
    return _per_thousand(_phases_s(run, clock), run) or None


def run_price(run: RlRun) -> float | None:
    """The price of a run's phases: seconds on the wall, which are what is rented, at its record's price of a device
    hour; None where either is missing."""
    price, seconds = parse_number(run.setting("price_per_device_hour")), _phases_s(run, WALL)
    return price * seconds / SECONDS_PER_HOUR if price and seconds is not None else None


def _phases_s(run: RlRun, clock: str = "") -> float | None:
    seconds = [part for phase in PHASES if (part := run.seconds(phase, clock)) is not None]
    return sum(seconds) if run.is_ok and len(seconds) == len(PHASES) else None


def _per_thousand(amount: float | None, run: RlRun) -> float | None:
    completions = run.total("completions")
    return 1000 * amount / completions if amount is not None and completions else None


COST = ArmQuantity(name="cost", value=cost_s, text=numbers.seconds, difference=signed)
"""Seconds for a thousand completions."""


def _mean_cost_s(arm: RlArm) -> float:
    return arm.mean(cost_s) or 0.0


def _phase_s(phase: str, arm: RlArm) -> float:
    return arm.mean(lambda run: _per_thousand(run.seconds(phase), run)) or 0.0


def _figure(experiment: RlExperiment, judged: Sequence[AgainstReference]) -> Figure:
    """The figure of an experiment's costs: a bar for each arm, in which its phases lie end to end."""
    arms, traces, clock = experiment.shown_arms, [], experiment.clock_name
    for phase, (colour, pattern) in LOOKS.items():
        points = []
        for row, arm in enumerate(arms):
            phase_s = _phase_s(phase, arm)
            share = numbers.percent(phase_s / _mean_cost_s(arm))
            hover = say("rl_cost.hover", time=numbers.seconds(phase_s), share=share)
            points.append(Point(x=phase_s, y=row, hover=hover, facets=arm.facets, runs=arm.run_keys))
        traces.append(bars(say(f"rl.phase.{phase}"), points, colour=colour, pattern=pattern, width=0.34))
    longest = max(map(_mean_cost_s, arms), default=0.0)
    xaxis = linear(say("rl_cost.axis", clock=clock), range=[0, 1.05 * longest], zeroline=True)
    return frames.experiment_figure(
        experiment,
        "rl_cost.phases",
        {"": rows([arm.short_name for arm in arms], traces, xaxis=xaxis, **stacked())},
        finding(judged, clock),
        say("rl_cost.caption", clock=clock),
        height_px=height_px(len(arms)),
    )


def _table(experiment: RlExperiment, judged: Sequence[AgainstReference]) -> Table:
    """The table of an experiment's costs: a row for each arm, compared with the baseline."""
    clock, by_arm = experiment.clock_name, {row.arm: row for row in judged}

    def step_s(run: RlRun) -> float | None:
        seconds = _phases_s(run)
        steps = len(run.by_step("completions")) if seconds is not None else 0
        return seconds / steps if seconds is not None and steps else None

    def tokens_per_s(run: RlRun) -> float | None:
        tokens, seconds = run.total("sampled_tokens"), run.seconds("rollout")
        return tokens / seconds if tokens and seconds else None

    def joules_per_thousand(arm: RlArm) -> float | None:
        return arm.mean(lambda run: _per_thousand(run.total("energy_j"), run))

    def phase_share(phase: str, arm: RlArm) -> float:
        return _phase_s(phase, arm) / _mean_cost_s(arm)

    wall: Column[RlArm] = column("rl_cost.wall", lambda arm: arm.mean(partial(cost_s, clock=WALL)), numbers.seconds)
    compared = frames.comparison_columns("rl_cost.less_reference", lambda row: row.comparison, signed)[:2]
    columns: list[Column[RlArm]] = [
        frames.ARM,
        column(say("rl_cost.per_thousand", clock=clock), _mean_cost_s, numbers.seconds),
        column("rl_cost.step", lambda arm: arm.mean(step_s), numbers.seconds),
        *part_columns(by_arm.get, compared),
        column("column.runs", lambda arm: len(arm.runs), numbers.count),
        *(column(f"rl.phase.{phase}", partial(phase_share, phase), numbers.percent) for phase in PHASES),
        column("rl_cost.tokens_per_s", lambda arm: arm.mean(tokens_per_s), numbers.count),
        # On a GPU all columns are in seconds on the wall.
        *([wall] if experiment.clock == CPU else []),
        column("rl_cost.joules", joules_per_thousand, numbers.joules, only_where_known=True),
        column("rl_cost.whole", lambda arm: arm.mean(_phases_s), numbers.seconds),
        column("rl_cost.evaluation", lambda arm: arm.mean(lambda run: run.seconds(EVALUATE)), numbers.seconds),
    ]
    machines = {machine_id(run.current) for arm in experiment.arms for run in arm.runs}
    several = say("rl_cost.machines", count=len(machines)) if len(machines) > 1 else ""
    note = joined("sentence", [say("rl_cost.note", clock=clock), several])
    return frames.experiment_table(experiment, "rl_cost.table", experiment.arms, columns, note=note)


def variant_experiments(results: Results) -> list[RlExperiment]:
    """The experiments whose arms may differ in attention variant, too, without algorithms that have a single one."""

    def sets_variant(name: str) -> bool:
        return name == VARIANT or name.startswith(VARIANT_SIZES)

    def naming(arms: Sequence[RlArm]) -> list[RlArm]:
        by_variant = sorted(arms, key=lambda arm: (variant_sort_key(arm.value(VARIANT)), _sized_variant(arm)))
        return named(by_variant, ALGORITHM, is_said=lambda name: not sets_variant(name))

    layout, experiments = design.layout(results), []
    runs = [run for run in layout.runs_by_rl_alone if run.ended]
    for experiment in layout.split(runs, lambda name: sets_variant(name) or design.tells_arms_apart(name), naming):
        by_name = grouped(experiment.arms, lambda arm: arm.name).values()
        arms = [arm for variants in by_name if len(variants) > 1 for arm in variants]
        experiments += [replace(experiment, arms=arms)] if arms else []
    return experiments


def _sized_variant(arm: RlArm) -> str:
    sizes = [f"{name.removeprefix(VARIANT_SIZES)}={size}" for name, size in arm.key if name.startswith(VARIANT_SIZES)]
    return variant_label(arm.value(VARIANT)) + (f" ({', '.join(sizes)})" if sizes else "")


def _variants_table(experiment: RlExperiment) -> Table:
    """The table of each algorithm's variants, whose note begins with where the first one's end. Each variant trains
    base models of its own, so their seeds are no pairs and nothing is judged."""
    cost_title = say("rl_cost.variants_cost", clock=experiment.clock_name)
    columns: list[Column[RlArm]] = [
        frames.ARM,
        column("column.variant", _sized_variant),
        column("rl_cost.variants_accuracy", lambda arm: arm.mean(final_accuracy), numbers.percent),
        column(
            "column.interval", lambda arm: percent_range(share_interval(arm.values(final_accuracy))), kind=Kind.NUMBER
        ),
        frames.SEEDS,
        column(cost_title, lambda arm: arm.mean(cost_s), numbers.seconds),
        column("rl_cost.variants_parameters", lambda arm: arm.first.constant("policy_parameter_count"), numbers.count),
    ]
    variants = [arm for arm in experiment.arms if arm.name == experiment.arms[0].name][:MOST_NAMED]
    ends = [
        say("rl_cost.variants_ends", variant=_sized_variant(arm), accuracy=numbers.percent(design.mean_final(arm)))
        for arm in variants
    ]
    seeds = min(len(arm.ended) for arm in variants)
    finding = say("rl_cost.variants_finding", arm=variants[0].name, told=joined("list", ends), count=seeds)
    note = joined("sentence", [finding, say("rl_cost.variants_note")])
    return frames.experiment_table(experiment, "rl_cost.variants", experiment.arms, columns, note=note)
