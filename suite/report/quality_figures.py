"""Figures of workload=quality's tasks: against MHA by what is matched, over a task's settings, and the Pareto front."""

from collections.abc import Sequence

from suite.report.blocks import Figure, View, joined, say
from suite.report.quality_axis_chart import answered_over, arrival_over
from suite.report.quality_difference_chart import Row, differences_plot, height_px
from suite.report.quality_numbers import caption
from suite.report.quality_pareto import pareto_plot, standings
from suite.report.quality_runs import Study
from suite.report.quality_tasks import against_mha, against_pairs, axes_of
from suite.report.rl_charts import height_px as plot_height_px

MOST_ROWS, MOST_AXES, MOST_TASKS = 10, 4, 8
FEWEST = 2


def figures_of(found: Sequence[Study]) -> list[Figure]:
    differences = _differences(found)
    return [*([differences] if differences else []), *_axes(found), *_pareto(found)]


def _differences(found: Sequence[Study]) -> Figure | None:
    """Three questions, a view each: is it narrower, smaller or worse at what it keeps?"""
    by_question = {
        "heads": [_row(study) for study in found if study.match == "heads"],
        "cache": [
            *(
                Row(title=study.title, contests=[one for _, one in against_pairs(study)])
                for study in found
                if study.match == "heads"
            ),
            *(_row(study) for study in found if study.match == "cache"),
        ],
        "params": [_row(study) for study in found if study.match == "params"],
    }
    drawn = {name: [row for row in rows if row.contests] for name, rows in by_question.items()}
    drawn = {name: rows for name, rows in drawn.items() if rows}
    if not drawn:
        return None
    shown = {name: rows[:MOST_ROWS] for name, rows in drawn.items()}
    said = [say("quality.differences_caption")]
    if any(len(rows) > MOST_ROWS for rows in drawn.values()):
        said.append(say("quality.not_drawn"))
    arms = [one.arm for rows in shown.values() for row in rows for one in row.contests]
    return Figure(
        title=say("quality.differences"),
        caption=caption(joined("sentence", said), arms),
        views=[
            View(
                title=say(f"quality.match.{name}"),
                figure=differences_plot(rows, say(f"quality.axis.{name}")),
            )
            for name, rows in shown.items()
        ],
        height_px=max(height_px(rows) for rows in shown.values()),
        wide=True,
    )


def _row(study: Study) -> Row:
    plain = [one for one in against_mha(study) if one.arm.is_plain]
    return Row(title=study.title, contests=plain)


def _axes(found: Sequence[Study]) -> list[Figure]:
    figures = []
    for over in axes_of(found)[:MOST_AXES]:
        views = [View(title=say("quality.answered"), figure=answered_over(over))]
        arrivals = arrival_over(over)
        if arrivals["data"]:
            views.append(View(title=say("quality.arrival"), figure=arrivals))
        figures.append(
            Figure(
                title=over.title,
                caption=caption(say("quality.axis_caption"), [arm for _, study in over.studies for arm in study.arms]),
                views=views,
                height_px=plot_height_px(len(views[0].figure["data"])),
            )
        )
    return figures


def _pareto(found: Sequence[Study]) -> list[Figure]:
    """Of each task and label the study with the most arms, and of as many the last: the most pairs are the hardest."""
    best: dict[tuple[str, str], Study] = {}
    for study in found:
        key = study.label, study.task
        if key not in best or len(study.arms) >= len(best[key].arms):
            best[key] = study
    drawn = [study for study in best.values() if len(standings(study)) >= FEWEST][:MOST_TASKS]
    if not drawn:
        return []
    return [
        Figure(
            title=say("quality.pareto"),
            caption=caption(say("quality.pareto_caption"), [arm for study in drawn for arm in study.arms]),
            views=[View(title=study.title, figure=pareto_plot(study)) for study in drawn],
            height_px=plot_height_px(6),
            wide=True,
        )
    ]
