"""Tables of workload=quality's tasks: each against MHA, at equal cache bytes, and MLA without its parts."""

from collections.abc import Sequence

from suite.records import numbers
from suite.report.alike import grouped
from suite.report.blocks import MOST_ROWS_OPEN, Column, Kind, Table, Text, cell, joined, say
from suite.report.quality_contests import Contest, contest, judged, share_of
from suite.report.quality_names import variant_name
from suite.report.quality_numbers import bytes_text, loss_text, seeds_text, share_text
from suite.report.quality_pairs import Pair
from suite.report.quality_run import ALL, TIERS, QualityRun
from suite.report.quality_runs import TIERS_TASK, Arm, Study, task_rank
from suite.report.quality_tasks import (
    Contrast,
    against_mha,
    against_pairs,
    arrival_contest,
    arrivals_of,
    contrasts_of,
    is_by_loss,
)
from suite.report.rl_numbers import with_range
from suite.report.verdicts import p_cells, p_columns
from suite.report.watched import cut

MOST_KINDS = 6
RARELY = TIERS[-1]


def task_tables(found: Sequence[Study]) -> list[Table]:
    """Of each task one with all its studies, and one by kind of question."""
    by_task = grouped(found, lambda study: (("task", study.task),))
    ordered = sorted(by_task.values(), key=lambda of_task: task_rank(of_task[0].task))
    tables = [(_of_task(of_task), kinds_table(of_task)) for of_task in ordered]
    return [table for pair in tables for table in pair if table is not None]


def kinds_table(of_task: Sequence[Study]) -> Table | None:
    """Of a task that tells a few kinds of question apart."""
    rows = [(study, arm) for study in of_task for arm in study.arms]
    kinds = list(dict.fromkeys(kind for _, arm in rows for kind in arm.runs[0].answered if kind != ALL))
    if not 1 < len(kinds) <= MOST_KINDS:
        return None
    return Table(
        title=say("quality.kinds", task=of_task[0].task),
        columns=[
            Column(title=say("quality.study")),
            Column(title=say("column.variant")),
            *(Column(title=cut(kind), kind=Kind.NUMBER) for kind in kinds),
        ],
        rows=[
            [
                study.title,
                variant_name(arm),
                *(share_text(arm.values(share_of(kind))) for kind in kinds),
            ]
            for study, arm in rows
        ],
        row_facets=[arm.facets for _, arm in rows],
        note=say("quality.kinds_note"),
        folded=True,
    )


def pairs_table(found: Sequence[Study]) -> Table | None:
    rows = [(study, pair, one) for study in found for pair, one in against_pairs(study)]
    if not rows:
        return None
    return Table(
        title=say("quality.pairs"),
        columns=[
            Column(title=say("quality.study")),
            Column(title=say("quality.latent")),
            Column(title=say("quality.bytes"), kind=Kind.NUMBER),
            Column(title=say("quality.against")),
            Column(title=say("quality.bytes_over"), kind=Kind.NUMBER),
            Column(title=say("quality.answered"), kind=Kind.NUMBER),
            Column(title=say("quality.other_answered"), kind=Kind.NUMBER),
            Column(title=say("quality.difference"), kind=Kind.NUMBER),
            Column(title=say("rl.seeds"), kind=Kind.NUMBER),
            Column(title=say("rl_efficiency.in_words")),
            *p_columns(),
        ],
        rows=[_pair_row(study, pair, one) for study, pair, one in rows],
        row_facets=[{"label": study.label} for study, _, _ in rows],
        note=say("quality.pairs_note"),
        folded=len(rows) > MOST_ROWS_OPEN,
    )


def contrasts_table(found: Sequence[Study]) -> Table | None:
    """Compare MLA without a part with itself. `found`: the tiers too, of which the one that is asked rarely is told."""
    rows = [
        (one, kind)
        for one in contrasts_of(found)
        for kind in ([ALL, RARELY] if one.study.task == TIERS_TASK else [ALL])
    ]
    found_of = [(one, kind, contest(one.without, one.with_it, kind=kind)) for one, kind in rows]
    known = [(one, kind, against) for one, kind, against in found_of if against is not None]
    together = judged(against for *_, against in known)
    told = [(one, kind, against) for (one, kind, _), against in zip(known, together, strict=True)]
    if not told:
        return None
    return Table(
        title=say("quality.contrasts"),
        columns=[
            Column(title=say("quality.study")),
            Column(title=say("quality.taken_away")),
            Column(title=say("column.variant")),
            Column(title=say("quality.bytes"), kind=Kind.NUMBER),
            Column(title=say("quality.without"), kind=Kind.NUMBER),
            Column(title=say("quality.with_it"), kind=Kind.NUMBER),
            Column(title=say("quality.difference"), kind=Kind.NUMBER),
            Column(title=say("rl.seeds"), kind=Kind.NUMBER),
            Column(title=say("rl_efficiency.in_words")),
            *p_columns(),
        ],
        rows=[_contrast_row(one, kind, against) for one, kind, against in told],
        row_facets=[one.without.facets for one, _, _ in told],
        note=say("quality.contrasts_note"),
        folded=len(told) > MOST_ROWS_OPEN,
    )


def _of_task(of_task: Sequence[Study]) -> Table:
    has_loss = is_by_loss(of_task[0])
    rows = [(study, arm) for study in of_task for arm in study.arms]
    contests = {one.arm: one for study in of_task for one in against_mha(study, by_loss=True)}
    return Table(
        title=say("quality.task", task=of_task[0].task),
        columns=[
            Column(title=say("quality.study")),
            Column(title=say("column.variant")),
            Column(title=say("quality.bytes"), kind=Kind.NUMBER),
            Column(title=say("quality.parameters"), kind=Kind.NUMBER),
            Column(title=say("rl.seeds"), kind=Kind.NUMBER),
            Column(title=say("quality.answered"), kind=Kind.NUMBER),
            *([Column(title=say("quality.loss"), kind=Kind.NUMBER)] if has_loss else []),
            Column(title=say("quality.less_mha_nats" if has_loss else "quality.less_mha"), kind=Kind.NUMBER),
            Column(title=say("rl_efficiency.in_words")),
            *p_columns(),
            Column(title=say("quality.arrival"), kind=Kind.NUMBER),
            Column(title=say("rl_efficiency.arrived"), kind=Kind.NUMBER),
            Column(title=say("quality.later"), kind=Kind.NUMBER),
        ],
        rows=[_row(study, arm, contests.get(arm), has_loss=has_loss) for study, arm in rows],
        row_facets=[arm.facets for _, arm in rows],
        note=_note(of_task[0]),
        folded=len(rows) > MOST_ROWS_OPEN,
    )


def _note(study: Study) -> Text:
    told = say("quality.task_note_loss" if is_by_loss(study) else "quality.task_note")
    is_told_by_one = study.arms[0].runs[0].telling != ALL
    return joined("sentence", [*([say("quality.task_note_two_hop")] if is_told_by_one else []), told])


def _row(study: Study, arm: Arm, one: Contest | None, *, has_loss: bool) -> list[str]:
    arrived = arrivals_of(arm)
    is_reference = study.reference is None or arm is study.reference
    return [
        study.title,
        variant_name(arm),
        bytes_text(arm),
        cell(arm.parameters, numbers.count),
        seeds_text(arm),
        share_text(arm.values(QualityRun.final)),
        *([loss_text(arm.values(QualityRun.final_loss))] if has_loss else []),
        *(
            [numbers.NOTHING] * 4
            if one is None
            else [one.told() if one.is_share else one.told_loss(), one.said(), *p_cells(one.found)]
        ),
        cell(arrived.median if arrived else None, numbers.count),
        say("rl_efficiency.arrived_of", arrived=arrived.arrived, runs=arrived.runs) if arrived else numbers.NOTHING,
        numbers.NOTHING if is_reference or study.reference is None else _later(arm, study.reference),
    ]


def _later(arm: Arm, reference: Arm) -> Text:
    one = arrival_contest(arm, reference)
    return numbers.NOTHING if one is None else with_range(one.mean, one.interval, _updates, say("rl.to"))


def _updates(difference: float) -> str:
    return f"{difference:+,.0f}"


def _pair_row(study: Study, pair: Pair, one: Contest) -> list[str]:
    return [
        study.title,
        variant_name(pair.latent),
        bytes_text(pair.latent),
        variant_name(pair.grouped),
        "=" if pair.is_equal else numbers.times(pair.ratio),
        share_text(one.ours),
        share_text(one.theirs),
        one.told(),
        numbers.count(one.seeds),
        one.said(),
        *p_cells(one.found),
    ]


def _contrast_row(one: Contrast, kind: str, against: Contest) -> list[str]:
    title = say("claim.rarely", title=one.study.title) if kind else one.study.title
    return [
        title,
        say(f"quality.part.{one.name.rpartition('.')[2]}"),
        variant_name(one.with_it),
        f"{bytes_text(one.without)} / {bytes_text(one.with_it)}",
        share_text(against.ours),
        share_text(against.theirs),
        against.told(),
        numbers.count(against.seeds),
        against.said(),
        *p_cells(against.found),
    ]
