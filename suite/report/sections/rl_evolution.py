"""Whether a policy that is paid for right answers comes to think longer and to correct itself, which nobody pays for.

The base model already does both as often as its corpus does: what training adds is the change, not the habit.
"""

from collections.abc import Sequence
from statistics import fmean

from suite.records import numbers
from suite.report.blocks import MOST_ROWS_OPEN, Column, Figure, Kind, Section, Table, Text, View, say
from suite.report.model.results import Results
from suite.report.rl_charts import height_px, is_wide
from suite.report.rl_numbers import points, signed, with_range
from suite.report.rl_runs import Arm, Comparison
from suite.report.rl_series import plain
from suite.report.rl_thought_charts import over_steps, path, text_of
from suite.report.rl_thoughts import (
    ACCURACY,
    CORRECTIONS,
    LENGTH,
    AtLevel,
    at_levels,
    changes_of,
    corrects,
    sampled,
    sequence_mean,
    thinking,
)
from suite.report.verdicts import mean_interval, p_cells, p_columns, verdict, with_rule
from suite.statistics.paired import Comparison as Paired

MOST_FIGURES = 4
VIEWS = (LENGTH, CORRECTIONS, ACCURACY)


def build(results: Results) -> Section | None:
    found = thinking(results)
    if not found:
        return None
    levels = {one: rows for one, arms in found.items() if (rows := at_levels(arms))}
    return Section(
        id="rl_evolution",
        title=say("rl_evolution.title"),
        explanation=say("rl_evolution.explanation"),
        figures=[_figure(one, arms) for one, arms in list(found.items())[:MOST_FIGURES]],
        tables=with_rule(
            [
                *(_changes(one, arms, is_first=place == 0) for place, (one, arms) in enumerate(found.items())),
                *(_levels(one, rows, is_first=place == 0) for place, (one, rows) in enumerate(levels.items())),
            ]
        ),
    )


def _figure(one: Comparison, arms: Sequence[Arm]) -> Figure:
    metrics = [metric for metric in VIEWS if metric != CORRECTIONS or corrects(arms)]
    figures = {metric: over_steps(arms, metric) for metric in metrics} | {"path": path(arms)}
    return Figure(
        title=one.title,
        caption=say("rl_evolution.caption" if one.most_seeds > 1 else "rl_evolution.caption_single"),
        views=[
            View(title=say(f"rl_evolution.view.{name}"), figure=figure)
            for name, figure in figures.items()
            if figure["data"]
        ],
        height_px=height_px(len(arms)),
        wide=is_wide(len(arms)),
        facets=one.facets,
    )


def _changes(one: Comparison, arms: Sequence[Arm], *, is_first: bool) -> Table:
    changed = changes_of(arms)
    return Table(
        title=say("rl_evolution.changes", title=one.title),
        columns=[
            Column(title=say("rl.arm")),
            Column(title=say("rl.seeds"), kind=Kind.NUMBER),
            *(
                Column(title=say(title), kind=kind)
                for metric in VIEWS
                for title, kind in (
                    (f"rl_evolution.{metric}", Kind.NUMBER),
                    ("rl_evolution.change", Kind.NUMBER),
                    ("rl_efficiency.in_words", Kind.TEXT),
                )
            ),
            Column(title=say("rl_evolution.sampled_length"), kind=Kind.NUMBER),
            Column(title=say("rl_evolution.sampled_corrections"), kind=Kind.NUMBER),
        ],
        rows=[
            [
                arm.name,
                numbers.count(len(arm.ended)),
                *(text for metric in VIEWS for text in _change(changed.get((arm, metric)), metric)),
                *(_ends_of_samples(arm, metric) for metric in (LENGTH, CORRECTIONS)),
            ]
            for arm in arms
        ],
        row_facets=[arm.facets for arm in arms],
        note=say("rl_evolution.changes_note") if is_first else "",
        folded=not is_first or len(arms) > MOST_ROWS_OPEN,
    )


def _change(found: Paired | None, metric: str) -> list[str]:
    """Return first and last, their difference with its interval, and what may be said of it."""
    if found is None:
        return [numbers.NOTHING] * 3
    text = signed if metric == LENGTH else points
    return [
        _arrow(fmean(found.theirs), fmean(found.ours), metric),
        with_range(found.mean, found.interval, text, say("rl.to")),
        verdict(found),
    ]


def _ends_of_samples(arm: Arm, metric: str) -> Text:
    ends = [(values[min(values)], values[max(values)]) for run in arm.ended if (values := sampled(run, metric))]
    if not ends:
        return numbers.NOTHING
    first, last = (fmean(of) for of in zip(*ends, strict=True))
    return _arrow(first, last, metric)


def _arrow(first: float, last: float, metric: str) -> Text:
    text = text_of(metric)
    return say("rl_evolution.arrow", first=text(first), last=text(last))


def _levels(one: Comparison, rows: Sequence[AtLevel], *, is_first: bool) -> Table:
    reference = sequence_mean([row.arm for row in rows])
    return Table(
        title=say("rl_evolution.levels", title=one.title, reference=reference.name),
        columns=[
            Column(title=say("rl.arm")),
            Column(title=say("rl_efficiency.level"), kind=Kind.NUMBER),
            Column(title=say("rl_efficiency.arrived"), kind=Kind.NUMBER),
            Column(title=say("rl_evolution.length_there"), kind=Kind.NUMBER),
            Column(title=say("rl_evolution.less_reference"), kind=Kind.NUMBER),
            Column(title=say("rl_efficiency.pairs"), kind=Kind.NUMBER),
            Column(title=say("rl_efficiency.in_words")),
            *p_columns(),
        ],
        rows=[_level_row(row) for row in rows],
        row_facets=[row.arm.facets for row in rows],
        note=say("rl_evolution.levels_note") if is_first else "",
        folded=not is_first or len(rows) > MOST_ROWS_OPEN,
    )


def _level_row(row: AtLevel) -> list[str]:
    lengths, less = list(row.lengths.values()), row.less_reference
    return [
        row.arm.name,
        numbers.percent(row.level),
        say("rl_efficiency.arrived_of", arrived=len(lengths), runs=row.runs),
        _mean(lengths),
        with_range(less.mean, less.interval, signed, say("rl.to")) if less else numbers.NOTHING,
        numbers.count(less.pairs if less else 0),
        *([verdict(less), *p_cells(less)] if less else [numbers.NOTHING] * 3),
    ]


def _mean(lengths: Sequence[float]) -> Text:
    if not lengths:
        return numbers.NOTHING
    return with_range(fmean(lengths), mean_interval(lengths), plain, say("rl.to"))
