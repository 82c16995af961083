"""What each stage of DeepSeek-R1's training adds, on small models and at equal budgets: recipes side by side.

Tasks on which no recipe learns stay here: that a stage adds nothing is a result.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from suite.records import numbers
from suite.report.blocks import MOST_ROWS_OPEN, Column, Figure, Kind, Section, Table, Text, View, cell, say
from suite.report.model.results import Results
from suite.report.quoted import quoted_tables
from suite.report.rl_charts import height_px, rows_height_px
from suite.report.rl_contest_rows import contest_columns, contest_row
from suite.report.rl_contests import contests_against
from suite.report.rl_gains import COUNTED, Gain, gains_of
from suite.report.rl_numbers import percent_range, points, with_range
from suite.report.rl_recipes import recipe_comparisons, reference_recipe, teacher_seconds
from suite.report.rl_run import STEPS
from suite.report.rl_runs import Arm, Comparison, budget_name, clock_of
from suite.report.rl_stage_charts import added_rows, courses, stage_name
from suite.report.verdicts import p_cells, p_columns, share_interval, verdict, with_rule

PUBLISHED = "published_training"
MOST_FIGURES = 6

Gains = Mapping[Arm, Sequence[Gain]]


def build(results: Results) -> Section | None:
    found = {one: gains_of(one.drawn) for one in recipe_comparisons(results)}
    found = {one: gains for one, gains in found.items() if any(gains.values())}
    if not found:
        return None
    drawn = list(found.items())[:MOST_FIGURES]
    return Section(
        id="rl_stages",
        title=say("rl_stages.title"),
        explanation=say("rl_stages.explanation"),
        figures=[
            *(_courses(one, gains, is_lone=len(found) == 1) for one, gains in drawn),
            _added(found),
        ],
        tables=[
            *with_rule(
                [
                    *(_table(one, gains, is_first=place == 0) for place, (one, gains) in enumerate(found.items())),
                    *_contests(found),
                ]
            ),
            *quoted_tables(
                PUBLISHED, title="rl_stages.published", row="rl_stages.benchmark", note="rl_stages.published_note"
            ),
        ],
    )


def _courses(one: Comparison, gains: Gains, *, is_lone: bool) -> Figure:
    budgets = [budget for budget in (STEPS, clock_of(one.drawn[0])) if one.has(budget)]
    return Figure(
        title=one.title,
        caption=say("rl_stages.caption" if one.most_seeds > 1 else "rl_stages.caption_single"),
        views=[View(title=budget_name(budget), figure=courses(gains, budget)) for budget in budgets],
        height_px=height_px(len(gains)),
        wide=is_lone,
        facets=one.facets,
    )


def _added(found: Mapping[Comparison, Gains]) -> Figure:
    rows = {one: _in_rows(gains) for one, gains in found.items()}
    return Figure(
        title=say("rl_stages.added"),
        caption=say("rl_stages.added_caption"),
        views=[
            View(title=one.title if len(found) > 1 else "", figure=added_rows(of_one)) for one, of_one in rows.items()
        ],
        height_px=rows_height_px(max(map(len, rows.values()))),
        wide=True,
    )


def _in_rows(gains: Gains) -> list[Gain]:
    return [gain for of_arm in gains.values() for gain in of_arm]


def _table(one: Comparison, gains: Gains, *, is_first: bool) -> Table:
    rows = _in_rows(gains)
    teachers = {arm: teacher_seconds(arm) for arm in gains}
    has_teacher = any(seconds is not None for seconds in teachers.values())
    counted = [name for name in COUNTED if any(gain.spent.get(name) for gain in rows)]
    return Table(
        title=say("rl_stages.table", title=one.title),
        columns=[
            Column(title=say("rl_stages.recipe")),
            Column(title=say("rl_stages.stage")),
            Column(title=say("rl_stages.steps"), kind=Kind.NUMBER),
            Column(title=say("rl_stages.before"), kind=Kind.NUMBER),
            Column(title=say("rl_stages.after"), kind=Kind.NUMBER),
            Column(title=say("rl_stages.points"), kind=Kind.NUMBER),
            Column(title=say("rl.seeds"), kind=Kind.NUMBER),
            Column(title=say("rl_efficiency.in_words")),
            *p_columns(),
            Column(title=say(f"rl.budget.{clock_of(one.drawn[0])}"), kind=Kind.NUMBER),
            *(Column(title=say(f"rl_stages.{name}"), kind=Kind.NUMBER) for name in counted),
            *([Column(title=say("rl_stages.teacher"), kind=Kind.NUMBER)] if has_teacher else []),
        ],
        rows=[
            [
                *_gain_row(gain),
                *(cell(gain.spent.get(name), numbers.count) for name in counted),
                *([cell(teachers[gain.arm], numbers.seconds)] if has_teacher else []),
            ]
            for gain in rows
        ],
        row_facets=[gain.arm.facets for gain in rows],
        note=say("rl_stages.note") if is_first else "",
        folded=not is_first or len(rows) > MOST_ROWS_OPEN,
    )


def _gain_row(gain: Gain) -> list[str]:
    stage = gain.stage
    return [
        gain.arm.name,
        say("rl_stages.of", place=gain.place, of=gain.of, kind=stage_name(stage)),
        numbers.count(stage.steps),
        _share(gain.before),
        _share(gain.after),
        with_range(gain.added.mean, gain.added.interval, points, say("rl.to")),
        numbers.count(len(gain.before)),
        verdict(gain.added),
        *p_cells(gain.added),
        cell(gain.seconds, numbers.seconds),
    ]


def _share(scores: Sequence[float]) -> Text:
    interval = share_interval(scores)
    text = numbers.percent(fmean(scores))
    return text if interval is None else say("rl_stages.with_interval", value=text, interval=percent_range(interval))


def _contests(found: Iterable[Comparison]) -> list[Table]:
    """One table for all tasks: which recipes differ from the reference where both have made as many steps."""
    rows = [
        (one, contest)
        for one in found
        if (reference := reference_recipe(one)) is not None
        for contest in contests_against(reference, one, STEPS)
    ]
    if not rows:
        return []
    return [
        Table(
            title=say("rl_stages.contests", reference=rows[0][1].reference.name),
            columns=[Column(title=say("column.group")), *contest_columns()],
            rows=[[one.title, *contest_row(contest)] for one, contest in rows],
            row_facets=[contest.arm.facets for _, contest in rows],
            note=say("rl_stages.contests_note"),
        )
    ]
