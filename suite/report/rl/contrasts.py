"""Arms of reinforcement learning beside a reference on a shared base model, each where both have spent as much."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from suite.records import numbers
from suite.report.blocks import Figure, Table, Text, dotted, say
from suite.report.evidence import comparison_verdict, difference
from suite.report.model.experiment import ArmQuantity, Contrast, contrast, grouped, holm_corrected
from suite.report.model.formats import interval_ends, points, with_range
from suite.report.model.labels import ALGORITHM, Style
from suite.report.model.outcome import share_quantity
from suite.report.plot import rows as plot_rows
from suite.report.plot.plots import Point, Series, linear
from suite.report.rl import design, frames
from suite.report.rl.design import RlArm, RlExperiment
from suite.report.rl.naming import SHAPE, has_parts
from suite.report.rl.run import COMPLETIONS, JOULES, RlRun, final_accuracy
from suite.report.table import column, part_columns
from suite.statistics.learning import at_budget, mean_to_budget
from suite.statistics.paired import SHARE_MARGIN, TOLD_APART, ArmOutcome, Comparison, changes, judge_together

J = TypeVar("J", bound=Any)
FOREST_ROW_PX = 32
PAIR = "grpo", "ppo"  # the algorithm that people ask of, and the one that they compare it with


@dataclass(frozen=True, kw_only=True, eq=False)
class AgainstReference:
    """An arm by one quantity, beside the baseline of its experiment."""

    experiment: RlExperiment
    arm: RlArm
    reference: RlArm
    quantity: ArmQuantity[RlRun]
    contrast: Contrast[RlRun] | None
    """None where they share no seed, and of the reference itself."""

    @property
    def amount(self) -> float:
        """What all arms had spent of the budget that a quantity is compared at."""
        return min(curve.spent[self.quantity.name][-1] for curve in self.experiment.curves)

    @property
    def comparison(self) -> Comparison | None:
        return self.contrast.comparison if self.contrast else None

    @property
    def outcome(self) -> ArmOutcome:
        return self.contrast.outcome if self.contrast else ArmOutcome.FEW


def against_reference(
    experiment: RlExperiment, arms: Iterable[RlArm], quantities: Iterable[ArmQuantity[RlRun]]
) -> list[AgainstReference]:
    """Compare arms with the baseline by each quantity in turn, judged together; empty without a baseline."""
    reference = experiment.baseline
    if reference is None:
        return []
    rows = [(arm, quantity) for quantity in quantities for arm in arms]
    contrasts = holm_corrected(contrast(arm, reference, quantity) for arm, quantity in rows if arm is not reference)
    by_row = {(pair.arm, pair.quantity): pair for pair in contrasts}
    return [
        AgainstReference(
            experiment=experiment,
            arm=arm,
            reference=reference,
            quantity=quantity,
            contrast=by_row.get((arm, quantity)),
        )
        for arm, quantity in rows
    ]


def at_equal_budgets(experiment: RlExperiment, counted: str = COMPLETIONS) -> list[AgainstReference]:
    """Compare accuracies with the baseline's where all have spent as much of `counted`, of seconds and of joules."""
    if experiment.baseline is None:
        return []

    def accuracy(budget: str, amount: float, run: RlRun) -> float | None:
        return None if run.curve is None else at_budget(run.curve.spent[budget], run.curve.accuracy, amount)

    quantities = [
        share_quantity(
            budget,
            partial(accuracy, budget, min(curve.spent[budget][-1] for curve in experiment.curves)),
            design.accuracy_bounds(experiment.baseline),
        )
        for budget in experiment.budgets(counted, experiment.clock, JOULES)
    ]
    return against_reference(experiment, experiment.rivals, quantities)


def at(budget: str, rows: Iterable[AgainstReference]) -> list[AgainstReference]:
    return [row for row in rows if row.quantity.name == budget]


def mean_over_budgets(pair: RlExperiment, budget: str, *, is_linear: bool = False) -> ArmQuantity[RlRun]:
    """The quantity of accuracy averaged over a budget, on a logarithmic or a linear scale: from the first
    evaluation at which all have spent some of it, to the least that any spent in all. All curves must have it."""
    spends = [curve.spent[budget] for curve in pair.curves]
    first, last = max(next(filter(None, spent), 0.0) for spent in spends), min(spent[-1] for spent in spends)

    def mean_accuracy(run: RlRun) -> float | None:
        if run.curve is None or not 0 < first < last:
            return None
        return mean_to_budget(run.curve.spent[budget], run.curve.accuracy, first, last, is_linear=is_linear)

    # Averages begin below guessing, where nothing is learnt yet: whether an arm learnt anything shows at its end.
    chance, best = design.accuracy_bounds(pair.arms[0])
    has_learnt = any((arm.mean(final_accuracy) or 0.0) > chance + SHARE_MARGIN for arm in pair.arms)
    return share_quantity(budget, mean_accuracy, (None if has_learnt else chance, best))


def accuracy_change(arm: RlArm, after: Sequence[float], before: Sequence[float]) -> Comparison | None:
    """Compare accuracies of an arm's runs with earlier ones, each run with itself; None without a run."""
    change = changes(after, less=before, margin=SHARE_MARGIN)
    return change and replace(change, bounds=design.accuracy_bounds(arm))


def judged_rows(rows: Iterable[J]) -> list[J]:
    """The rows with each `comparison` corrected together by Holm's method; the rows are dataclasses."""
    listed = list(rows)
    together = judge_together([row.comparison for row in listed])
    return [replace(row, comparison=comparison) for row, comparison in zip(listed, together, strict=True)]


def comparison_table(rows: Sequence[AgainstReference], title: str = "rl_efficiency.comparisons") -> Table:
    """The table of comparisons with the baseline, a row for each arm at each equal budget."""
    experiment, reference = rows[0].experiment, rows[0].reference
    gap, in_words, pairs, *tested = frames.comparison_columns("rl_efficiency.difference", lambda row: row.comparison)

    def equal_amount(row: AgainstReference) -> Text:
        budget = row.quantity.name
        amount = frames.format_amount(budget, row.amount)
        return say("rl_efficiency.equal", amount=amount, budget=frames.budget_name(budget))

    return frames.experiment_table(
        experiment,
        title,
        rows,
        [
            column("rl.arm", lambda row: row.arm.name),
            column("rl_efficiency.held", equal_amount),
            gap,
            in_words,
            pairs,
            column("rl_efficiency.accuracy", lambda row: row.arm.mean(row.quantity.value), numbers.percent),
            column("rl_efficiency.of_reference", lambda row: reference.mean(row.quantity.value), numbers.percent),
            *part_columns(lambda row: row.arm, [frames.GUESSING]),
            *tested,
        ],
        lambda row: row.arm,
        settings=dotted(experiment.name, say("rl.reference_is", arm=reference.name)),
        facets={**frames.experiment_facets(experiment), "reference": reference.short_name},
    )


def finding(rows: Sequence[AgainstReference], unit: Text, where: Text = "") -> Text:
    """A sentence on GRPO beside PPO, else on the largest clear difference, else on the largest, and on how many arms
    clearly differ; empty without a comparison. `unit`: of the difference. `where`: what is held equal."""
    compared = [row for row in rows if row.contrast]
    clear = [row for row in compared if row.outcome in TOLD_APART]
    tested = [row for row in compared if row.comparison and row.comparison.is_tested]
    candidates = grpo_against_ppo(tested) or clear or compared
    first = max(candidates, key=lambda row: abs(row.comparison.mean) if row.comparison else 0.0, default=None)
    if first is None or first.contrast is None:
        return ""
    reference, counts = first.reference.short_name, count_outcomes(row.outcome for row in compared)
    return say(
        f"rl.finding.{'several' if counts['count'] > 1 else 'one'}",
        pairs=first.contrast.comparison.pairs,
        # A name of several parts stands in the table.
        reference=say("rl.the_reference") if has_parts(reference) else reference,
        unit=unit,
        at=where,
        told=say(f"rl.is.{first.outcome}", arm=first.arm.short_name),
        difference=difference(first.contrast),
        **counts,
    )


def largest(rows: Sequence[tuple[Text, Comparison]], key: str, text: Callable[[float], str] = points) -> Text:
    """A sentence on the largest clear difference, `{key}_told`; where none is clear on the largest, `{key}_open`."""
    if not rows:
        return ""
    clear = [row for row in rows if row[1].outcome in TOLD_APART]
    name, first = max(clear or rows, key=lambda row: abs(row[1].mean))
    counts = {**count_outcomes(comparison.outcome for _, comparison in rows), "told": len(clear), "count": len(rows)}
    fields = {"name": name, "difference": with_range(first.mean, first.interval, text), "pairs": first.pairs}
    return say(f"{key}_told" if clear else f"{key}_open", **fields, **counts)


@dataclass(frozen=True, kw_only=True)
class ForestRow:
    """A comparison as a row of a forest; rows of one group share a name when hovered, and a style."""

    name: Text
    group: Text
    style: Style
    comparison: Comparison


def forest(experiment: RlExperiment, title: str, rows: Sequence[ForestRow], runs: Sequence[str]) -> Figure:
    """The figure of differences in points, a row each, filled where it is clear. Its texts stand under the title's key:
    `{title}_axis`, `{title}_caption` and those of `largest`."""
    series: list[Series] = []
    groups = grouped(
        enumerate(rows), lambda item: (item[1].group, item[1].style, item[1].comparison.outcome in TOLD_APART)
    )
    for (group, style, is_clear), items in groups.items():
        marks = []
        for place, row in items:
            difference = with_range(row.comparison.mean, row.comparison.interval, points)
            hover = say("rl.forest_hover", difference=difference, verdict=comparison_verdict(row.comparison))
            ends = interval_ends(row.comparison.interval, factor=100)
            marks.append(Point(x=100 * row.comparison.mean, y=place, ends=ends, hover=hover))
        look: dict[str, Any] = {"style": replace(style, marker="circle"), "ordinal": int(not is_clear), "along": "x"}
        series.append(Series(name=group, points=marks, runs=[] if series else runs, **look))
    axis = linear(say(f"{title}_axis"), zeroline=True)
    return frames.experiment_figure(
        experiment,
        title,
        {"": plot_rows.rows([row.name for row in rows], series, xaxis=axis, showlegend=False)},
        largest([(row.name, row.comparison) for row in rows], title),
        say(f"{title}_caption"),
        height_px=plot_rows.height_px(len(rows), row_px=FOREST_ROW_PX),
    )


def grpo_against_ppo(rows: Iterable[AgainstReference]) -> list[AgainstReference]:
    """The rows of GRPO against PPO, one an experiment: of several the pair whose prompts and groups are most alike."""
    pairs = [row for row in rows if (row.arm.value(ALGORITHM), row.reference.value(ALGORITHM)) == PAIR]

    by_experiment = grouped(pairs, lambda row: row.experiment)
    return [
        min(in_experiment, key=lambda row: sum(row.arm.value(name) != row.reference.value(name) for name in SHAPE))
        for in_experiment in by_experiment.values()
    ]


def count_outcomes(outcomes: Iterable[ArmOutcome]) -> dict[str, int]:
    """How many outcomes are `higher` and `lower`, and the `count` of all with enough pairs."""
    enough = [outcome for outcome in outcomes if outcome is not ArmOutcome.FEW]
    return {"higher": enough.count(ArmOutcome.HIGHER), "lower": enough.count(ArmOutcome.LOWER), "count": len(enough)}
