"""How steadily the algorithms learn: what collapsed, what drifted, and which runs found a way to be paid for nothing.

An end such as an empty answer in perfect form is a result: it stands here and in every mean of the other sections.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from suite.records import numbers
from suite.report.blocks import MOST_ROWS_OPEN, Column, Figure, Kind, Section, Table, Text, View, cell, joined, say
from suite.report.model.results import Results
from suite.report.rl_charts import Band, axis, band_plot, height_px, is_wide
from suite.report.rl_run import Run, is_share
from suite.report.rl_runs import Arm, Comparison, comparisons, numbers_of
from suite.report.rl_series import plain, seeds_band
from suite.statistics.learning import is_collapsed, worst_drawdown

FORMED, UNLEARNT = 0.9, 0.1
"""From so much form, and below so much accuracy, a run that ends there has learnt the form alone."""
ENDING = 0.1
"""The share of the steps that "at the end" means."""
MOST_FIGURES = 4
VIEWS = (
    "entropy",
    "kl_reference",
    "groups_without_signal",
    "completion_length",
    "format",
    "gradient_norm",
    "explained_variance",
)
SHARES = ("groups_without_signal", "format", "accuracy", "truncated", "clip_fraction_low", "clip_fraction_high")
IN_PERCENT = {"tickformat": ".0%", "rangemode": "tozero"}


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A column of the table: a metric of the steps, at the end of a run or over all of it."""

    metric: str
    at_end: bool
    text: Callable[[float], str]


MEASURES = (
    Measure(metric="entropy", at_end=True, text=plain),
    Measure(metric="kl_reference", at_end=True, text=plain),
    Measure(metric="clip_fraction_low", at_end=False, text=numbers.percent),
    Measure(metric="clip_fraction_high", at_end=False, text=numbers.percent),
    Measure(metric="gradient_norm", at_end=False, text=plain),
    Measure(metric="explained_variance", at_end=True, text=plain),
    Measure(metric="groups_without_signal", at_end=True, text=numbers.percent),
    Measure(metric="completion_length", at_end=True, text=plain),
    Measure(metric="truncated", at_end=True, text=numbers.percent),
)


def build(results: Results) -> Section | None:
    found = comparisons(results)
    if not found:
        return None
    figures = [_figure(one) for one in found if any(run.of_step for arm in one.arms for run in arm.runs)]
    hacked = [(one, arm, run) for one in found for arm in one.arms for run in arm.ended if is_form_alone(run)]
    return Section(
        id="rl_stability",
        title=say("rl_stability.title"),
        explanation=joined("sentence", [say("rl_stability.explanation"), _said(found, len(hacked))]),
        figures=[figure for figure in figures if figure.views][:MOST_FIGURES],
        tables=[
            *([_hacked(hacked)] if hacked else []),
            *(_table(one, is_first=one is found[0]) for one in found),
        ],
    )


def is_form_alone(run: Run) -> bool:
    """Whether a run ends with the asked form and hardly a right answer, on the held-out prompts."""
    form, accuracy = (_last(run, name) for name in ("heldout_format", "heldout_accuracy"))
    return form is not None and accuracy is not None and form >= FORMED and accuracy < UNLEARNT


def collapsed(arm: Arm) -> int:
    return sum(is_collapsed(curve.accuracy) for curve in arm.curves)


def _last(run: Run, metric: str) -> float | None:
    values = run.evaluated.get(metric)
    return values[max(values)] if values else None


def _said(found: Sequence[Comparison], hacked: int) -> Text:
    arms = [arm for one in found for arm in one.arms]
    return say(
        "rl_stability.said",
        runs=numbers.count(sum(len(arm.runs) for arm in arms)),
        failed=numbers.count(sum(arm.failed for arm in arms)),
        collapsed=numbers.count(sum(map(collapsed, arms))),
        hacked=numbers.count(hacked),
    )


def _hacked(hacked: Sequence[tuple[Comparison, Arm, Run]]) -> Table:
    return Table(
        title=say("rl_stability.hacked"),
        columns=[
            Column(title=say("column.group")),
            Column(title=say("rl.arm")),
            Column(title=say("rl.seed"), kind=Kind.NUMBER),
            Column(title=say("rl_stability.best"), kind=Kind.NUMBER),
            Column(title=say("rl_stability.accuracy"), kind=Kind.NUMBER),
            Column(title=say("rl_stability.format"), kind=Kind.NUMBER),
            Column(title=say("rl_stability.completion_length"), kind=Kind.NUMBER),
        ],
        rows=[
            [
                one.title,
                arm.name,
                run.seed or numbers.NOTHING,
                cell(max(run.evaluated["heldout_accuracy"].values()), numbers.percent),
                cell(_last(run, "heldout_accuracy"), numbers.percent),
                cell(_last(run, "heldout_format"), numbers.percent),
                cell(_last(run, "heldout_length"), plain),
            ]
            for one, arm, run in hacked
        ],
        row_facets=[arm.facets for _, arm, _ in hacked],
        note=say("rl_stability.hacked_note", form=numbers.percent(FORMED), accuracy=numbers.percent(UNLEARNT)),
        folded=len(hacked) > MOST_ROWS_OPEN,
    )


def _table(one: Comparison, *, is_first: bool) -> Table:
    rows = {arm: [_measured(arm, measure) for measure in MEASURES] for arm in one.arms}
    kept = [place for place in range(len(MEASURES)) if any(values[place] is not None for values in rows.values())]
    return Table(
        title=say("rl_stability.table", title=one.title),
        columns=[
            Column(title=say("rl.arm")),
            *(
                Column(title=say(name), kind=Kind.NUMBER)
                for name in ("column.runs", "rl_stability.failed", "rl_stability.collapsed", "rl_stability.drawdown")
            ),
            *(Column(title=say(f"rl_stability.{MEASURES[place].metric}"), kind=Kind.NUMBER) for place in kept),
        ],
        rows=[
            [
                arm.name,
                numbers.count(len(arm.runs)),
                numbers.count(arm.failed),
                say("rl_efficiency.arrived_of", arrived=collapsed(arm), runs=len(arm.ended)),
                cell(max((worst_drawdown(curve.accuracy) for curve in arm.curves), default=None), _drawdown),
                *(cell(values[place], MEASURES[place].text) for place in kept),
            ]
            for arm, values in rows.items()
        ],
        row_facets=[arm.facets for arm in rows],
        note=say("rl_stability.note", share=numbers.percent(ENDING)) if is_first else "",
        folded=not is_first or len(rows) > MOST_ROWS_OPEN,
    )


def _drawdown(fall: float) -> str:
    return f"{100 * fall:.1f}"


def _measured(arm: Arm, measure: Measure) -> float | None:
    """The mean of the runs that ended."""
    values = numbers_of(arm.ended, lambda run: _of_run(run, measure))
    return fmean(values) if values else None


def _of_run(run: Run, measure: Measure) -> float | None:
    series = _series(run, measure.metric)
    if not series:
        return None
    if not measure.at_end:
        return fmean(value for _, value in series)
    last = max(step for step, _ in series)
    return fmean(value for step, value in series if step >= last - ENDING * (last + 1) + 1 or step == last)


def _series(run: Run, metric: str) -> list[tuple[int, float]]:
    series = run.series(metric)
    return [(step, value) for step, value in series if is_share(value)] if metric in SHARES else series


def _figure(one: Comparison) -> Figure:
    views = {metric: _view(one, metric) for metric in VIEWS}
    return Figure(
        title=one.title,
        caption=joined(
            "sentence",
            [
                say("rl_stability.caption" if one.most_seeds > 1 else "rl_stability.caption_single"),
                *([say("rl.best_drawn")] if one.is_picked else []),
            ],
        ),
        views=[
            View(title=say(f"rl_stability.view.{metric}"), figure=figure)
            for metric, figure in views.items()
            if figure["data"]
        ],
        height_px=height_px(len(one.chosen)),
        wide=is_wide(len(one.chosen)),
        facets=one.facets,
    )


def _view(one: Comparison, metric: str) -> dict[str, Any]:
    bands = [band for arm in one.chosen if (band := _band(arm, metric)) is not None]
    if metric == "format":
        accuracy = (_band(arm, "accuracy", second=say("rl_stability.accuracy")) for arm in one.chosen)
        bands += [band for band in accuracy if band is not None]
    return band_plot(
        bands,
        xaxis=axis(say("rl_stability.step"), separatethousands=True),
        yaxis=axis(say(f"rl_stability.axis.{metric}"), **(IN_PERCENT if metric in SHARES else {})),
    )


def _band(arm: Arm, metric: str, *, second: str = "") -> Band | None:
    return seeds_band(
        arm,
        lambda run: _series(run, metric),
        numbers.percent if metric in SHARES else plain,
        has_extremes=metric not in ("format", "accuracy"),
        second=second,
    )
