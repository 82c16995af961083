"""Arms of reinforcement learning beside a reference on a shared base model, each where both have spent as much."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from suite.records import numbers
from suite.report.blocks import Kind, Table, Text, dotted, say
from suite.report.evidence import difference, p_columns, verdict, verdict_of
from suite.report.model.experiment import Contrast, Quantity, contrast, grouped, judged
from suite.report.model.formats import points, with_range
from suite.report.model.labels import ALGORITHM
from suite.report.rl import design
from suite.report.rl.design import RlArm, RlExperiment, RlRun
from suite.report.rl.frames import amount, budget_name, facets_of, table_of
from suite.report.rl.naming import SHAPE, has_parts
from suite.report.table import Column, column, columns_of
from suite.statistics.learning import at_budget
from suite.statistics.paired import SHARE_MARGIN, TOLD_APART, Comparison, Outcome, changes, judge_together

J = TypeVar("J", bound=Any)
PAIR = "grpo", "ppo"
"""The algorithm that people ask of, and the one that they compare it with."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Beside:
    """An arm by one quantity, beside the reference of its experiment."""

    experiment: RlExperiment
    """Its baseline is the reference."""
    arm: RlArm
    quantity: Quantity[RlRun]
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
    def outcome(self) -> Outcome:
        return self.found.outcome if self.found else Outcome.FEW

    @property
    def is_tested(self) -> bool:
        return self.found is not None and self.found.is_tested


def beside_reference(
    experiment: RlExperiment, arms: Iterable[RlArm], quantities: Iterable[tuple[float, Quantity[RlRun]]]
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
        quantities.append((held, Quantity(name=budget, value=partial(_accuracy_at, budget, held), **more)))
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
        column(title, lambda found: with_range(found.mean, found.interval, text), kind=Kind.NUMBER),
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


def finding(
    rows: Sequence[Beside],
    where: Text,
    *,
    unit: Text,
    better: Outcome = Outcome.HIGHER,
    said: Callable[[Outcome], str] = lambda outcome: f"rl.is.{outcome}",
) -> Text:
    """How GRPO differs, where it is beside another; else the largest clear difference, the better ones first, or that
    there is none. With how many arms clearly differ.

    `where`: what is held equal. `unit`: of the difference. `said`: the key of an outcome's sentence.
    """
    compared = [row for row in rows if row.contrast]
    if not compared:
        return ""
    tested = [row for row in compared if row.is_tested]
    apart, asked = [row for row in tested if row.outcome in TOLD_APART], asked_rows(tested)

    def telling(row: Beside) -> tuple[bool, float]:
        assert row.found is not None
        return row.outcome is better, abs(row.found.mean)

    first = max(asked or apart or tested or compared, key=telling)
    assert first.contrast is not None
    reference = first.reference.short_name
    # A name of several parts stands in the table.
    fields = {"arm": first.arm.short_name, "reference": say("rl.the_reference") if has_parts(reference) else reference}
    fields |= {"difference": difference(first.contrast), "unit": unit, "at": where}
    if not tested:
        return say("rl.finding.untested", verdict=verdict_of(first.contrast), **fields)
    kind = "one" if len(tested) == 1 else "told" if asked or apart else "open"
    told = say(said(first.outcome), arm=fields["arm"])
    counts = tally(row.outcome for row in tested)
    return say(f"rl.finding.{kind}", told=told, pairs=first.contrast.found.pairs, **fields, **counts)


def asked_rows(rows: Iterable[Beside]) -> list[Beside]:
    """GRPO beside PPO, in groups of one shape where an experiment has several; at most one of an experiment."""
    pairs = [row for row in rows if (row.arm.value(ALGORITHM), row.reference.value(ALGORITHM)) == PAIR]

    def differences(row: Beside) -> int:
        return sum(row.arm.value(name) != row.reference.value(name) for name in SHAPE)

    return [min(same, key=differences) for same in grouped(pairs, lambda row: row.experiment).values()]


def tally(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """How many are higher and lower, of those with pairs enough."""
    enough = [outcome for outcome in outcomes if outcome is not Outcome.FEW]
    return {"higher": enough.count(Outcome.HIGHER), "lower": enough.count(Outcome.LOWER), "count": len(enough)}
