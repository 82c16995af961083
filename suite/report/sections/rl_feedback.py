"""What a reward is of: the outcome or its steps, the task's key or the vote of a group. Each is held against the other,
with every other setting the same.
"""

from collections.abc import Sequence
from typing import Any

from suite.records import numbers
from suite.report.blocks import MOST_ROWS_OPEN, Column, Figure, Section, Table, View, say
from suite.report.model.results import Results
from suite.report.rl_charts import axis, band_plot, height_px
from suite.report.rl_contest_rows import contest_columns, contest_row
from suite.report.rl_contests import Contest
from suite.report.rl_contrasts import contests_of, contrasts_of
from suite.report.rl_curves import budget_views
from suite.report.rl_run import Run, is_share
from suite.report.rl_runs import Comparison
from suite.report.rl_series import seeds_band
from suite.report.verdicts import with_rule

SETTINGS = ("supervision", "reward_from")
MOST_FIGURES = 6
STEP_REWARD = "step_reward"


def build(results: Results) -> Section | None:
    found = {name: contrasts_of(results, name) for name in SETTINGS}
    if not any(found.values()):
        return None
    drawn = [(name, one) for name, of_setting in found.items() for one in of_setting if one.drawn]
    return Section(
        id="rl_feedback",
        title=say("rl_feedback.title"),
        explanation=say("rl_feedback.explanation"),
        figures=[figure for name, one in drawn[:MOST_FIGURES] if (figure := _figure(name, one)).views],
        tables=with_rule(
            [_table(name, contests) for name, ones in found.items() if (contests := contests_of(ones, name))]
        ),
    )


def _figure(name: str, one: Comparison) -> Figure:
    checked = _checked_steps(one)
    return Figure(
        title=f"{one.title} · {name}",
        caption=say("rl_efficiency.caption" if one.most_seeds > 1 else "rl_efficiency.caption_single"),
        views=[
            *budget_views(one),
            *([View(title=say("rl_feedback.steps"), figure=checked)] if checked["data"] else []),
        ],
        height_px=height_px(len(one.chosen)),
        facets=one.facets,
    )


def _checked_steps(one: Comparison) -> dict[str, Any]:
    """What process supervision pays for, which both arms are told to have whoever is paid for it."""
    bands = [seeds_band(arm, _step_rewards, numbers.percent) for arm in one.chosen]
    return band_plot(
        [band for band in bands if band is not None],
        xaxis=axis(say("rl_stability.step"), separatethousands=True),
        yaxis=axis(say("rl_feedback.steps_axis"), tickformat=".0%", rangemode="tozero"),
    )


def _step_rewards(run: Run) -> list[tuple[int, float]]:
    return [(step, value) for step, value in run.series(STEP_REWARD) if is_share(value)]


def _table(name: str, contests: Sequence[tuple[Comparison, Contest]]) -> Table:
    return Table(
        title=say(f"rl_feedback.table.{name}"),
        columns=[Column(title=say("column.group")), *contest_columns()],
        rows=[[one.title, *contest_row(contest)] for one, contest in contests],
        row_facets=[contest.arm.facets for _, contest in contests],
        note=say(f"rl_feedback.note.{name}"),
        folded=len(contests) > MOST_ROWS_OPEN,
    )
