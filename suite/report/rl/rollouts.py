"""How old, and how coarse, may rollouts be, and which correction do they need? Arms whose completions another policy
sampled than the one that learns, beside the arm that samples its own.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean

from suite.records import numbers
from suite.report.blocks import Figure, Section, Table, Text, dotted, joined, say, say_or, section
from suite.report.evidence import add_verdict_note
from suite.report.model.experiment import grouped
from suite.report.model.formats import three_digits
from suite.report.model.labels import OTHER, setting_text
from suite.report.model.results import Results
from suite.report.model.run import parse_number
from suite.report.rl import contrasts, design, frames
from suite.report.rl.contrasts import AgainstReference, ForestRow, at, at_equal_budgets
from suite.report.rl.design import RlArm, RlExperiment
from suite.report.rl.run import COMPLETIONS, DEFAULTS, ROLLOUTS
from suite.report.table import Column, column, part_columns
from suite.statistics.paired import ArmOutcome

CORRECTION = "rollout_correction"
READINGS = ("rollout_kl", "rollout_sequence_chi2", "rollout_masked", "rollout_effective_samples")
"""Metrics of the steps, in the order of the table's columns; means over all steps that have them."""


def build(results: Results) -> Section | None:
    """The section on rollouts of another policy; None without an arm of them beside one of its own."""
    compared = {}
    for experiment in design.most_arms_first(design.layout(results).rollouts):
        if rows := at(COMPLETIONS, at_equal_budgets(experiment)):
            compared[experiment] = sorted(rows, key=_place)
    if not compared:
        return None
    return section(
        "rl_rollouts",
        figures=[_forest(experiment, rows) for experiment, rows in compared.items()],
        tables=add_verdict_note([_table(experiment, rows) for experiment, rows in compared.items()]),
    )


def sampling_policy(arm: RlArm) -> Text:
    """How the policy that samples an arm's completions differs from the one that learns."""
    settings = [(name, arm.first.value(name)) for name in ROLLOUTS if name != CORRECTION]
    texts = [setting_text(name, value) for name, value in settings if value != DEFAULTS[name]]
    return dotted(*texts) or say("rl_rollouts.own")


def correction(arm: RlArm) -> Text:
    """What an arm's correction is called."""
    name = arm.first.value(CORRECTION)
    return say_or(f"rl_rollouts.correction.{name}", name)  # of a later version's record


def _place(row: AgainstReference) -> tuple[object, ...]:
    lag, dtype, cache_dtype, name = (row.arm.first.value(setting) for setting in ROLLOUTS)
    return parse_number(lag) or 0.0, dtype, cache_dtype, name != DEFAULTS[CORRECTION], name


def _answer(rows: Sequence[AgainstReference]) -> Text:
    """A sentence on each sampling policy: the outcomes beside exact rollouts, and the corrections that have each."""
    sentences = []
    for policy, policy_rows in grouped(rows, lambda row: sampling_policy(row.arm)).items():
        by_outcome = grouped(policy_rows, lambda row: row.outcome)
        parts = []
        for outcome in (outcome for outcome in ArmOutcome if outcome in by_outcome):
            names = joined("list", [correction(row.arm) for row in by_outcome[outcome]])
            if len(by_outcome[outcome]) == len(policy_rows) > 1:
                names = say("rl_rollouts.every")
            parts.append(say(f"rl_rollouts.said.{outcome}", corrections=names))
        sentences.append(say("rl_rollouts.said", policy=policy, verdicts=joined("notes", parts)))
    return joined("sentence", sentences)


def mean_over_steps(metric: str, arm: RlArm) -> float | None:
    """The mean over an arm's runs of a metric's mean over all steps that have it; None where no run has it."""
    series = [list(values) for run in arm.ended if (values := run.by_step(metric).values())]
    return fmean(map(fmean, series)) if series else None


def _forest(experiment: RlExperiment, rows: Sequence[AgainstReference]) -> Figure:
    """The figure of each arm's accuracy less that of rollouts of its own, in points; the answer stands below it."""
    forest_rows = [
        ForestRow(
            name=dotted(sampling_policy(row.arm), correction(row.arm)),
            group=sampling_policy(row.arm),
            style=OTHER,
            comparison=row.comparison,
        )
        for row in rows
        if row.comparison is not None
    ]
    run_keys = [key for row in rows for key in row.arm.run_keys]
    figure = contrasts.forest(experiment, "rl_rollouts.forest", forest_rows, run_keys)
    return replace(figure, caption=joined("sentence", [_answer(rows), figure.caption]))


def _table(experiment: RlExperiment, rows: Sequence[AgainstReference]) -> Table:
    """The table of each arm: accuracy, its difference from rollouts of its own, the distance of the sampling policy and
    what the correction leaves, and the seconds of a run."""
    gap, in_words, pairs, *tested = frames.comparison_columns("rl_efficiency.difference", lambda row: row.comparison)

    columns: list[Column[RlArm]] = [
        column("rl_rollouts.policy", sampling_policy),
        column("rl_rollouts.correction", correction),
    ]
    readings: list[Column[RlArm]] = [
        column(f"rl_rollouts.{metric}", partial(mean_over_steps, metric), three_digits, only_where_known=True)
        for metric in READINGS
    ]
    return frames.experiment_table(
        experiment,
        "rl_rollouts.table",
        rows,
        [
            *part_columns(lambda row: row.arm, columns),
            column("rl_efficiency.accuracy", lambda row: row.arm.mean(row.quantity.value), numbers.percent),
            gap,
            in_words,
            pairs,
            *part_columns(lambda row: row.arm, readings),
            *tested,
        ],
        lambda row: row.arm,
    )
