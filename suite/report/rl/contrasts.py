"""Arms of reinforcement learning beside a reference on a shared base model, each where both have spent as much."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from suite.records import numbers
from suite.report.blocks import Figure, Kind, Table, Text, dotted, say
from suite.report.evidence import difference, p_columns, verdict
from suite.report.model.experiment import ArmQuantity, Contrast, contrast, grouped, judged
from suite.report.model.formats import ends_of, points, with_range
from suite.report.model.labels import ALGORITHM, Style
from suite.report.plot import rows as plot_rows
from suite.report.plot.marks import Point, Series
from suite.report.plot.scales import linear
from suite.report.rl import design
from suite.report.rl.design import RlArm, RlExperiment, RlRun
from suite.report.rl.frames import amount, budget_name, facets_of, figure_of, table_of
from suite.report.rl.naming import SHAPE, has_parts
from suite.report.table import Column, column, columns_of
from suite.statistics.learning import at_budget
from suite.statistics.paired import SHARE_MARGIN, TOLD_APART, ArmOutcome, Comparison, changes, judge_together

J = TypeVar("J", bound=Any)
FOREST_ROW_PX = 32
PAIR = "grpo", "ppo"
"""The algorithm that people ask of, and the one that they compare it with."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Beside:
    """An arm by one quantity, beside the reference of its experiment."""

    experiment: RlExperiment
    """Its baseline is the reference."""
    arm: RlArm
    quantity: ArmQuantity[RlRun]
    held: float
    """The point of comparison: the amount of a budget, or a level of accuracy."""
    contrast: Contrast[RlRun] | None
    """None where they share no seed, and of the reference itself."""

    @property
    def reference(self) -> RlArm:
        assert self.experiment.baseline is not None
        return self.experiment.baseline

    @property
    def values(self) -> list[float]:
        return self.arm.values(self.quantity.value)

    @property
    def found(self) -> Comparison | None:
        return None if self.contrast is None else self.contrast.found

    @property
    def outcome(self) -> ArmOutcome:
        return self.found.outcome if self.found else ArmOutcome.FEW

    @property
    def is_tested(self) -> bool:
        return self.found is not None and self.found.is_tested


def beside_reference(
    experiment: RlExperiment, arms: Iterable[RlArm], quantities: Iterable[tuple[float, ArmQuantity[RlRun]]]
) -> list[Beside]:
    """Compare arms with the baseline by each quantity in turn, with Holm's correction over all of them together."""
    reference = experiment.baseline
    if reference is None:
        return []
    rows = [(arm, held, quantity) for held, quantity in quantities for arm in arms]
    contrasts = judged(contrast(arm, reference, quantity) for arm, _, quantity in rows if arm is not reference)
    of_row = {(pair.arm, pair.quantity): pair for pair in contrasts}
    return [
        Beside(experiment=experiment, arm=arm, quantity=quantity, held=held, contrast=of_row.get((arm, quantity)))
        for arm, held, quantity in rows
    ]


def at_equal_budgets(experiment: RlExperiment, counted: str = design.COMPLETIONS) -> list[Beside]:
    """Compare every other arm with the baseline at equal `counted`, seconds and joules, as far as they are known."""
    if experiment.baseline is None:
        return []
    curves = [curve for arm in experiment.drawn for curve in design.curves_of(arm)]
    more: dict[str, Any] = {"text": numbers.percent, "difference": points, "margin": SHARE_MARGIN}
    more["bounds"] = design.accuracy_bounds(experiment.baseline)
    quantities = []
    for budget in experiment.budgets(counted, experiment.clock, design.JOULES):
        held = min(curve.spent[budget][-1] for curve in curves)
        quantities.append((held, ArmQuantity(name=budget, value=partial(_accuracy_at, budget, held), **more)))
    return beside_reference(experiment, experiment.rivals, quantities)


def _accuracy_at(budget: str, held: float, run: RlRun) -> float | None:
    """The accuracy at the last evaluation before a run had spent more."""
    return None if run.curve is None else at_budget(run.curve.spent[budget], run.curve.accuracy, held)


def at(budget: str, rows: Iterable[Beside]) -> list[Beside]:
    """The rows of one budget."""
    return [row for row in rows if row.quantity.name == budget]


def accuracy_change(arm: RlArm, after: Sequence[float], before: Sequence[float]) -> Comparison | None:
    """Compare accuracies of an arm's runs with earlier ones, each run with itself; None for no run."""
    change = changes(after, less=before, margin=SHARE_MARGIN)
    return change and replace(change, bounds=design.accuracy_bounds(arm))


def judged_rows(rows: Iterable[J]) -> list[J]:
    """The rows of one table, dataclasses with a comparison `found` each, with Holm's correction over all of them."""
    listed = list(rows)
    together = judge_together([row.found for row in listed])
    return [replace(row, found=comparison) for row, comparison in zip(listed, together, strict=True)]


def difference_columns(
    title: str,
    text: Callable[[float], str] = points,
    of: Callable[[Any], Comparison | None] = lambda row: row.found,
) -> list[Column[Any]]:
    """A difference with its interval, the verdict on it, over how many pairs it is, and both p."""

    def pairs(row: Any) -> int:
        comparison = of(row)
        return comparison.pairs if comparison else 0

    compared: list[Column[Comparison]] = [
        column(title, lambda comparison: with_range(comparison.mean, comparison.interval, text), kind=Kind.NUMBER),
        column("rl_efficiency.in_words", verdict),
    ]
    return [*columns_of(of, compared), column("rl_efficiency.pairs", pairs, numbers.count), *p_columns(of)]


def _columns() -> list[Column[Beside]]:
    apart, in_words, pairs, *tested = difference_columns("rl_efficiency.difference")
    return [
        column("rl.arm", lambda row: row.arm.name),
        column("rl_efficiency.held", _held),
        apart,
        in_words,
        pairs,
        column("rl_efficiency.accuracy", lambda row: row.arm.mean(row.quantity.value), numbers.percent),
        column("rl_efficiency.of_reference", lambda row: row.reference.mean(row.quantity.value), numbers.percent),
        column("rl.guessing", lambda row: row.arm.first.trivial_accuracy, numbers.percent, only_where_known=True),
        *tested,
    ]


def _held(row: Beside) -> Text:
    budget = row.quantity.name
    return say("rl_efficiency.equal", amount=amount(budget, row.held), budget=budget_name(budget))


def comparison_table(rows: Sequence[Beside], title: str = "rl_efficiency.comparisons") -> Table:
    """A table of the arms of one experiment beside its reference."""
    experiment, reference = rows[0].experiment, rows[0].reference
    settings = dotted(experiment.name, say("rl.reference_is", arm=reference.name))
    facets = {**facets_of(experiment), "reference": reference.short_name}
    return table_of(experiment, title, rows, _columns(), lambda row: row.arm, settings=settings, facets=facets)


def finding(rows: Sequence[Beside], unit: Text, where: Text = "") -> Text:
    """How GRPO differs, where it is beside PPO; else the largest clear difference, else the largest. With how many arms
    clearly differ.

    `unit`: of the difference. `where`: what is held equal.
    """
    compared = [row for row in rows if row.contrast]
    apart = [row for row in compared if row.outcome in TOLD_APART]
    shown = asked_rows(row for row in compared if row.is_tested) or apart or compared
    first = max(shown, key=lambda row: abs(row.found.mean) if row.found else 0.0, default=None)
    if first is None or first.contrast is None:
        return ""
    reference = first.reference.short_name
    # A name of several parts stands in the table.
    fields = {"reference": say("rl.the_reference") if has_parts(reference) else reference, "unit": unit, "at": where}
    fields |= {
        "told": say(f"rl.is.{first.outcome}", arm=first.arm.short_name),
        "difference": difference(first.contrast),
    }
    counts = tally(row.outcome for row in compared)
    kind = "several" if counts["count"] > 1 else "one"
    return say(f"rl.finding.{kind}", pairs=first.contrast.found.pairs, **fields, **counts)


def largest(rows: Sequence[tuple[Text, Comparison]], key: str, text: Callable[[float], str] = points) -> Text:
    """The largest difference that the rule tells from nothing, else the largest and that the rule tells none: the
    sentence under `{key}_told` or `{key}_open`."""
    if not rows:
        return ""
    clear = [row for row in rows if row[1].outcome in TOLD_APART]
    name, first = max(clear or rows, key=lambda row: abs(row[1].mean))
    fields = {"name": name, "difference": with_range(first.mean, first.interval, text), "pairs": first.pairs}
    counts = {**tally(comparison.outcome for _, comparison in rows), "told": len(clear), "count": len(rows)}
    return say(f"{key}_told" if clear else f"{key}_open", **fields, **counts)


@dataclass(frozen=True, kw_only=True)
class ForestRow:
    """A comparison as a row of a forest; rows of one group share a name when hovered, and a style."""

    name: Text
    group: Text
    style: Style
    found: Comparison


def forest(experiment: RlExperiment, title: str, rows: Sequence[ForestRow], runs: Sequence[str]) -> Figure:
    """Draw a row for each difference in points, filled where the rule tells it from nothing.

    The words stand under the title's key: `{title}_axis`, `{title}_caption` and those of `largest`.
    """
    series: list[Series] = []
    for (group, style, is_told), drawn in grouped(
        enumerate(rows), lambda item: (item[1].group, item[1].style, item[1].found.outcome in TOLD_APART)
    ).items():
        marks = []
        for place, row in drawn:
            difference = with_range(row.found.mean, row.found.interval, points)
            hover = say("rl.forest_hover", difference=difference, verdict=verdict(row.found))
            ends = ends_of(row.found.interval, factor=100)
            marks.append(Point(x=100 * row.found.mean, y=place, ends=ends, hover=hover))
        look = replace(style, marker="circle")
        behind = [] if series else runs
        series.append(Series(name=group, points=marks, style=look, ordinal=int(not is_told), along="x", runs=behind))
    axis = linear(say(f"{title}_axis"), zeroline=True)
    return figure_of(
        experiment,
        title,
        {"": plot_rows.rows([row.name for row in rows], series, xaxis=axis, showlegend=False)},
        largest([(row.name, row.found) for row in rows], title),
        say(f"{title}_caption"),
        height_px=plot_rows.height_px(len(rows), row_px=FOREST_ROW_PX),
    )


def asked_rows(rows: Iterable[Beside]) -> list[Beside]:
    """GRPO beside PPO, in groups of one shape where an experiment has several; at most one of an experiment."""
    pairs = [row for row in rows if (row.arm.value(ALGORITHM), row.reference.value(ALGORITHM)) == PAIR]

    def differences(row: Beside) -> int:
        return sum(row.arm.value(name) != row.reference.value(name) for name in SHAPE)

    return [min(alike, key=differences) for alike in grouped(pairs, lambda row: row.experiment).values()]


def tally(outcomes: Iterable[ArmOutcome]) -> dict[str, int]:
    """How many are higher and lower, of those with pairs enough."""
    enough = [outcome for outcome in outcomes if outcome is not ArmOutcome.FEW]
    return {"higher": enough.count(ArmOutcome.HIGHER), "lower": enough.count(ArmOutcome.LOWER), "count": len(enough)}
