"""Slower to learn, or unable? Whole curves of an arm beside MHA's, and of MLA without a part beside MLA with it.

The words are those of statistics.curve_words: a run that never answers half of the questions is censored at its end.
"""

from collections.abc import Callable, Sequence

from suite.records import numbers
from suite.report.blocks import Kind, Table, Text, say
from suite.report.evidence import IN_WORDS, format_p
from suite.report.model.formats import take_off_range
from suite.report.quality import design, layout
from suite.report.quality.design import TAKEN_AWAY, QualityArm, QualityExperiment
from suite.report.table import Column, column, part_columns
from suite.statistics.curve_words import CurveComparison, RunCurve, judge_curves, read_curve
from suite.statistics.learning import FEWEST_EVALUATIONS
from suite.statistics.take_off import TakeOff

Row = tuple[QualityArm, QualityArm, CurveComparison]
"""An arm, the one that it is held against, and what their curves show."""


def curve_table(experiments: Sequence[QualityExperiment], kind: str = design.ALL) -> Table:
    """The table of arms beside MHA, and beside the whole MLA where they lack a part, by the share of a kind of question
    over updates; judged together. It is without rows where no run was evaluated often enough."""
    pairs = [
        (arm, other)
        for experiment in experiments
        for arm in experiment.others
        for other in (experiment.baseline, *(design.whole_arm(experiment, arm, part) for part in TAKEN_AWAY))
        if other is not None and not design.is_by_loss(arm)
    ]
    curves = dict[QualityArm, dict[str, RunCurve]]()
    for arm in (arm for pair in pairs for arm in pair):
        by_seed = {run.seed: run.curve(kind) for run in arm.ended}
        long_enough = {seed: curve for seed, curve in by_seed.items() if len(curve[0]) >= FEWEST_EVALUATIONS}
        curves[arm] = {seed: read_curve(*curve) for seed, curve in long_enough.items()}
    pairs = [(arm, other) for arm, other in pairs if curves[arm] and curves[other]]
    bounds = (pairs[0][0].first.chance(kind) or 0.0, 1.0) if pairs else (0.0, 1.0)
    judged = judge_curves([(curves[arm], curves[other]) for arm, other in pairs], bounds)
    rows = [(*pair, comparison) for pair, comparison in zip(pairs, judged, strict=True)]

    def of_both(name: str, text: Callable[[Sequence[TakeOff]], Text | None]) -> list[Column[Row]]:
        """A column of the take-offs of the arm's runs, and one of the other's."""

        def of_one(arm: QualityArm) -> Text | None:
            return text([run.take_off for run in curves[arm].values()])

        return [
            column(f"quality.{name}", lambda row: of_one(row[0]), kind=Kind.NUMBER),
            column(f"quality.other_{name}", lambda row: of_one(row[1]), kind=Kind.NUMBER),
        ]

    return layout.arm_table(
        "quality.curves",
        rows,
        [
            *part_columns(lambda row: row[0], [layout.NAME, layout.EXPERIMENT]),
            column("quality.against", lambda row: row[1].name),
            column(IN_WORDS, lambda row: say(f"rl_curves.word.{row[2].word}")),
            *of_both("take_off", take_off_range),
            *of_both("never", lambda runs: numbers.count(sum(not run.happened for run in runs))),
            column("rl.seeds", lambda row: row[2].plateau.pairs, numbers.count),
            column("rl_curves.p", lambda row: row[2].later.adjusted_p, format_p),
        ],
        lambda row: row[0],
    )
