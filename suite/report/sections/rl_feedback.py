"""What a reward is of: the outcome or its steps, the task's key or the vote of a group. Each is held against the other,
with every other setting the same.
"""

from collections.abc import Sequence
from typing import Any

from suite.records import numbers
from suite.report.results import Results
from suite.report.rl_charts import axis, band_plot, height_px
from suite.report.rl_contest_rows import contest_columns, contest_row
from suite.report.rl_contests import Contest
from suite.report.rl_contrasts import contests_of, contrasts_of
from suite.report.rl_curves import budget_views
from suite.report.rl_run import Run, is_share
from suite.report.rl_runs import Comparison
from suite.report.rl_series import seeds_band
from suite.report.section import MOST_ROWS_OPEN, Column, Figure, Section, Table, View
from suite.report.verdicts import with_rule
from suite.report.words import Words

SETTINGS = ("supervision", "reward_from")
MOST_FIGURES = 6
STEP_REWARD = "step_reward"


def build(results: Results, words: Words) -> Section | None:
    found = {name: contrasts_of(results, name) for name in SETTINGS}
    if not any(found.values()):
        return None
    drawn = [(name, one) for name, of_setting in found.items() for one in of_setting if one.drawn]
    return Section(
        id="rl_feedback",
        title=words("rl_feedback.title"),
        explanation=words("rl_feedback.explanation"),
        figures=[figure for name, one in drawn[:MOST_FIGURES] if (figure := _figure(name, one, words)).views],
        tables=with_rule(
            [_table(name, contests, words) for name, ones in found.items() if (contests := contests_of(ones, name))],
            words,
        ),
    )


def _figure(name: str, one: Comparison, words: Words) -> Figure:
    checked = _checked_steps(one, words)
    return Figure(
        title=f"{one.title} · {name}",
        caption=words("rl_efficiency.caption" if one.most_seeds > 1 else "rl_efficiency.caption_single"),
        views=[
            *budget_views(one, words),
            *([View(title=words("rl_feedback.steps"), figure=checked)] if checked["data"] else []),
        ],
        height_px=height_px(len(one.chosen)),
        facets=one.facets,
    )


def _checked_steps(one: Comparison, words: Words) -> dict[str, Any]:
    """What process supervision pays for, which both arms are told to have whoever is paid for it."""
    bands = [seeds_band(arm, _step_rewards, numbers.percent, words) for arm in one.chosen]
    return band_plot(
        [band for band in bands if band is not None],
        xaxis=axis(words("rl_stability.step"), separatethousands=True),
        yaxis=axis(words("rl_feedback.steps_axis"), tickformat=".0%", rangemode="tozero"),
    )


def _step_rewards(run: Run) -> list[tuple[int, float]]:
    return [(step, value) for step, value in run.series(STEP_REWARD) if is_share(value)]


def _table(name: str, contests: Sequence[tuple[Comparison, Contest]], words: Words) -> Table:
    return Table(
        title=words(f"rl_feedback.table.{name}"),
        columns=[Column(title=words("column.group")), *contest_columns(words)],
        rows=[[one.title, *contest_row(contest, words)] for one, contest in contests],
        row_facets=[contest.arm.facets for _, contest in contests],
        note=words(f"rl_feedback.note.{name}"),
        folded=len(contests) > MOST_ROWS_OPEN,
    )
