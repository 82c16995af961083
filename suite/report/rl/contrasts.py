"""Arms of reinforcement learning beside a reference on a shared base model, each where both have spent as much."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from suite.records import numbers
from suite.report.blocks import Joined, Kind, Table, Text, joined, say
from suite.report.evidence import difference, p_columns, verdict_of
from suite.report.model.experiment import Contrast, Quantity, contrast, grouped, judged
from suite.report.model.formats import points
from suite.report.model.labels import ALGORITHM
from suite.report.rl import design
from suite.report.rl.curves import amount, budget_name
from suite.report.rl.design import RlArm, RlExperiment, RlRun
from suite.report.table import Column, column, table
from suite.statistics.learning import at_budget
from suite.statistics.paired import SHARE_MARGIN, TOLD_APART, Comparison, Outcome
from suite.statistics.scores import probability_of_improvement

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


def beside_reference(
    experiment: RlExperiment, arms: Iterable[RlArm], quantities: Iterable[tuple[float, Quantity[RlRun]]]
) -> list[Beside]:
    """Compare arms with the baseline by each quantity in turn, with Holm's correction over all of them together."""
    reference, arms = experiment.baseline, list(arms)
    assert reference is not None
    rows = [(arm, held, quantity) for held, quantity in quantities for arm in arms]
    found = judged(contrast(arm, reference, quantity) for arm, _, quantity in rows if arm is not reference)
    of_row = {(known.arm, known.quantity): known for known in found}
    return [
        Beside(experiment=experiment, arm=arm, quantity=quantity, held=held, contrast=of_row.get((arm, quantity)))
        for arm, held, quantity in rows
    ]


def at_equal_budgets(experiment: RlExperiment, counted: str = design.COMPLETIONS) -> list[Beside]:
    """Compare every other arm with the baseline at equal `counted`, seconds and joules, as far as they are known."""
    if experiment.baseline is None:
        return []
    every = [curve for arm in design.drawn(experiment) for curve in design.curves_of(arm)]
    more: dict[str, Any] = {"text": numbers.percent, "difference": points, "margin": SHARE_MARGIN}
    more["bounds"] = design.accuracy_bounds(experiment.baseline)
    quantities = []
    for budget in design.known_budgets(experiment, counted, design.clock_of(experiment), design.JOULES):
        held = min(curve.spent[budget][-1] for curve in every)
        quantities.append((held, Quantity(name=budget, value=partial(_accuracy_at, budget, held), **more)))
    others = [arm for arm in design.drawn(experiment) if arm is not experiment.baseline]
    return beside_reference(experiment, others, quantities)


def _accuracy_at(budget: str, held: float, run: RlRun) -> float | None:
    """The accuracy at the last evaluation before a run had spent more."""
    return None if run.curve is None else at_budget(run.curve.spent[budget], run.curve.accuracy, held)


def improvement(row: Beside) -> float | None:
    """Return P(arm > reference), over all pairs of their runs: a description, by which nothing is judged."""
    both = row.values, row.reference.values(row.quantity.value)
    scores = [np.asarray(values).reshape(-1, 1) for values in both]
    return float(probability_of_improvement(*scores)) if all(map(len, scores)) else None


def budget_columns() -> list[Column[Beside]]:
    """Return how often an arm beats its reference, by how much, and what may be said of it."""
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
        column("rl_efficiency.improvement", improvement, "{:.2f}".format),
        *tested,
    ]


def _held(row: Beside) -> Text:
    budget = row.quantity.name
    return say("rl_efficiency.equal", amount=amount(budget, row.held), budget=budget_name(budget))


def difference_columns(title: str) -> list[Column[Beside]]:
    """Return the difference from the reference, the verdict on it and over how many pairs it is."""
    return [
        column(title, lambda row: difference(row.contrast) if row.contrast else None, kind=Kind.NUMBER),
        column("rl_efficiency.in_words", lambda row: verdict_of(row.contrast) if row.contrast else None),
        column("rl_efficiency.pairs", lambda row: row.found.pairs if row.found else 0, numbers.count),
        *p_columns(lambda row: row.found),
    ]


def table_of_experiments(title: Text, rows: Sequence[Beside], **more: Any) -> Table:
    """Return a table of arms of several experiments."""
    columns = [column("column.group", lambda row: row.experiment.name), *budget_columns()]
    return table(title, rows, columns, facets_of=lambda row: row.arm.facets, **more)


def finding(
    rows: Sequence[Beside],
    at: Text,
    *,
    unit: Text,
    better: Outcome = Outcome.HIGHER,
    said: Callable[[Outcome], str] = lambda outcome: f"rl.is.{outcome}",
) -> Text:
    """Return how GRPO differs, where it is beside another; else the largest difference that the rule tells, the better
    ones first, or that it tells none. With how many arms it tells apart.

    `at`: what is held equal. `unit`: of the difference. `said`: the key of an outcome's sentence.
    """
    known = [row for row in rows if row.contrast]
    tested = [row for row in known if row.contrast and row.contrast.found.is_tested]
    if not known:
        return ""
    told = [row for row in tested if row.outcome in TOLD_APART]
    asked = asked_rows(tested)

    def telling(row: Beside) -> tuple[bool, float]:
        assert row.found is not None
        return row.outcome is better, abs(row.found.mean)

    first = max(asked or told or tested or known, key=telling)
    assert first.contrast is not None
    reference = first.reference.short_name
    has_parts = isinstance(reference, Joined) or (isinstance(reference, str) and design.NAMES in reference)
    # A name of several parts stands in the table.
    words = {"arm": first.arm.short_name, "reference": say("rl.the_reference") if has_parts else reference}
    words |= {"difference": difference(first.contrast), "unit": unit, "at": at}
    pairs, counts = first.contrast.found.pairs, tally(row.outcome for row in tested)
    if not tested:
        return say("rl.finding.untested", verdict=verdict_of(first.contrast), **words)
    if len(tested) > 1 and not (asked or told):
        return say("rl.finding.open", pairs=pairs, **words, **counts)
    words["told"] = say(said(first.outcome), arm=words["arm"])
    return say(f"rl.finding.{'told' if len(tested) > 1 else 'one'}", pairs=pairs, **words, **counts)


def asked_rows(rows: Iterable[Beside]) -> list[Beside]:
    """Return GRPO beside PPO, in groups of one shape where an experiment has several; at most one of an experiment."""
    pairs = [row for row in rows if (row.arm.value(ALGORITHM), row.reference.value(ALGORITHM)) == PAIR]

    def differences(row: Beside) -> int:
        return sum(row.arm.value(name) != row.reference.value(name) for name in design.SHAPE)

    of_experiment = grouped(pairs, lambda row: row.experiment)
    return [min(same, key=differences) for same in of_experiment.values()]


def reference_of(rows: Sequence[Beside], lead: str) -> tuple[str, Text]:
    """Return the reference as a title says it, by its first name, and what else tells which it is."""
    reference = rows[0].reference
    first = design.look_of(reference, lead).label
    return first, "" if reference.name == first else say("rl.reference_is", arm=reference.name)


def by_outcome(outcomes: Collection[tuple[Text, Outcome]]) -> Text:
    """Tell names by their outcome; nothing where none of them has pairs enough."""
    if all(outcome is Outcome.FEW for _, outcome in outcomes):
        return ""
    parts = []
    for outcome in Outcome:
        if names := [name for name, of in outcomes if of is outcome]:
            parts.append(say(f"verdict.of.{outcome}", names=joined("list", names)))
    return joined("notes", parts)


def tally(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Count outcomes for a headline: which are higher and lower, of those with pairs enough."""
    known = [outcome for outcome in outcomes if outcome is not Outcome.FEW]
    return {"higher": known.count(Outcome.HIGHER), "lower": known.count(Outcome.LOWER), "count": len(known)}
