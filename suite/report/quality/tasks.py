"""The section on small decoders trained from nothing: recall, two hops, copying, counting, the next character."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Kind, Section, Table, Text, View, dotted, joined, say, section
from suite.report.evidence import add_verdict_note, contrast_verdict
from suite.report.model.experiment import grouped, holm_corrected
from suite.report.model.formats import interval_ends
from suite.report.model.results import Results
from suite.report.plot.plots import Point, Series, height_px, linear, plot, rule, shares
from suite.report.plot.rows import rows
from suite.report.quality import design, layout
from suite.report.quality.contrasts import (
    against_mha,
    against_untrained,
    at_nearest_cache,
    compare_arms,
    longest_against_mha,
)
from suite.report.quality.curves import curve_table
from suite.report.quality.design import TAKEN_AWAY, QualityArm, QualityContrast, QualityExperiment, task_order
from suite.report.table import Column, column, part_columns, quoted_tables
from suite.statistics.learning import Arrivals, arrivals, to_threshold

LEVEL = 0.95
MOST_TASKS, MOST_PX, FEWEST = 16, 880, 2
NAME_PX, DOT_PX, FRAME_PX = 30, 12, 130
SIZES = ("triangle-down", "triangle-left", "triangle-right", "star", "hexagon", "pentagon", "hexagram")
"""Markers of the sizes of a variant behind its first, that no variant has as its own."""

Rows = Sequence[Sequence[QualityContrast]]
"""The comparisons of each experiment, a row of a figure."""


def build(results: Results) -> Section | None:
    """The section on every task but the tiers; None without an experiment."""
    experiments, task_experiments = design.quality_experiments(results), design.task_experiments(results)
    if not experiments:
        return None
    by_task = grouped(task_experiments, lambda experiment: experiment.value("task"))
    pairs = [pair for experiment in task_experiments for pair in at_nearest_cache(experiment)]
    tables = [
        *(_task_table(by_task[task]) for task in sorted(by_task, key=design.task_order)),
        *(curve_table(by_task[task]) for task in sorted(by_task, key=design.task_order)),
        layout.nearest_table("quality.pairs", pairs, part_columns(lambda pair: pair.arm, [layout.EXPERIMENT])),
        _parts_table(experiments),
    ]
    quoted = {"title": "quality.published", "row": "quality.quoted", "note": "quality.published_note"}
    # Of each task and label the experiments with the most arms; the tiers as they are usually asked.
    usual = [experiment for experiment in experiments if not experiment.value(design.FREQUENCY)]
    fullest = []
    for group in grouped(usual, lambda each: (task_order(each.value("task")), each.label)).values():
        most = max(len(each.arms) for each in group)
        fullest += [each for each in group if len(each.arms) == most]
    over_bytes = [figure for each in fullest[:MOST_TASKS] if (figure := _bytes_figure(each))]
    return section(
        "quality",
        explanation=joined("sentence", [say("quality.explanation"), _decoder_sizes(experiments)]),
        figures=[*over_bytes, _differences_figure(task_experiments)],
        leading=len(over_bytes),
        tables=[
            *add_verdict_note([table for table in tables if table.rows]),
            *quoted_tables("published_quality", **quoted),
        ],
        claim="mla-lower-ceiling",
    )


def _decoder_sizes(experiments: Iterable[QualityExperiment]) -> Text:
    """A sentence on how small the decoders are that a claim rests on, and what so small ones can show."""

    def between(values: Iterable[float | None]) -> Text:
        """The least and the largest of the values that are known, or the one that all have."""
        counts = [numbers.count(value) for value in sorted(value for value in values if value)]
        if not counts or counts[0] == counts[-1]:
            return counts[0] if counts else numbers.NOTHING
        return say("rl.range", low=counts[0], high=counts[-1])

    runs = [run for experiment in experiments for arm in experiment.arms for run in arm.ended]
    parameters = between(run.constant("model_parameter_count") for run in runs)
    questions = between(run.questions for run in runs)
    return say("quality.small", parameters=parameters, questions=questions, runs=numbers.count(len(runs)))


def _task_table(experiments: Sequence[QualityExperiment]) -> Table:
    """A task's table, a row an arm: what it answered, its difference to MHA, sizes, and when it reached LEVEL."""
    arms = [arm for experiment in experiments for arm in experiment.arms]
    against = {pair.arm: pair for each in experiments for pair in against_mha(each, by_loss=True)}
    first, by_loss = arms[0].first, design.is_by_loss(arms[0])

    def arrived(arm: QualityArm) -> Arrivals | None:
        """Updates of each seed until the share answered first reached LEVEL; None if a seed's updates are unknown."""
        curves = [run.curve() for run in arm.ended]
        if not all(updates for updates, _ in curves):
            return None
        return arrivals([to_threshold(updates, shares, LEVEL) for updates, shares in curves])

    arrival_columns: list[Column[Arrivals]] = [
        column("quality.arrival", lambda arrived: arrived.median, numbers.count),
        column(
            "rl_efficiency.arrived",
            lambda arrived: say("rl_efficiency.arrived_of", arrived=arrived.arrived, runs=arrived.runs),
            kind=Kind.NUMBER,
        ),
    ]
    answered: Column[QualityArm] = column("quality.answered", layout.answered_text, kind=Kind.NUMBER)
    loss: Column[QualityArm] = column("quality.loss", layout.quality_text, kind=Kind.NUMBER)
    title = "quality.less_mha_bits" if by_loss else "quality.less_mha"
    difference = column(title, layout.difference_text, kind=Kind.NUMBER)
    notes = [
        say("quality.task_note_two_hop") if first.telling_kind != design.ALL else "",
        say("quality.task_note_loss" if by_loss else "quality.task_note"),
    ]
    return layout.arm_table(
        "quality.task",
        arms,
        [
            layout.NAME,
            layout.EXPERIMENT,
            loss if by_loss else answered,
            *part_columns(against.get, [difference, layout.VERDICT]),
            layout.SEEDS,
            *([answered] if by_loss else []),
            *layout.SIZES,
            *part_columns(arrived, arrival_columns),
            *part_columns(against.get, layout.TESTED),
        ],
        note=joined("sentence", notes),
        settings=first.task,
        facets={"task": first.task},
    )


def _parts_table(experiments: Sequence[QualityExperiment]) -> Table:
    """The table of MLA without a part beside MLA with it; of the tiers in the one that is asked rarely, too."""
    pairs = []
    for experiment in experiments:
        for arm in filter(design.is_latent, experiment.arms):
            for part in TAKEN_AWAY:
                whole = design.whole_arm(experiment, arm, part)
                kinds = [design.ALL, design.RARELY] if arm.first.task == design.TIERS_TASK else [design.ALL]
                pairs += [compare_arms(arm, whole, kind) for kind in kinds] if whole else []

    def taken_away(pair: QualityContrast) -> Text:
        part = next(name for name in TAKEN_AWAY if pair.arm.value(name) != pair.other.value(name))
        return say(f"quality.part.{pair.arm.value(part) if part == design.LATENT else part.rpartition('.')[2]}")

    def size_text(arm: QualityArm) -> str:
        return numbers.NOTHING if (size := design.cache_bytes(arm)) is None else numbers.count(size)

    def about(pair: QualityContrast) -> Text:
        name = pair.arm.first.experiment_name
        return say("claim.rarely", title=name) if pair.about else name

    return layout.arm_table(
        "quality.contrasts",
        holm_corrected(pairs),
        [
            column("column.variant", lambda pair: pair.other.name),
            column("quality.taken_away", taken_away),
            column("quality.experiment", about),
            *layout.share_columns("quality.without", "quality.with_it"),
            column("quality.bytes", lambda pair: " / ".join(map(size_text, (pair.arm, pair.other))), kind=Kind.NUMBER),
        ],
        lambda pair: pair.arm,
    )


def _differences_figure(experiments: Sequence[QualityExperiment]) -> Figure | None:
    """The figure of differences to MHA in points: a view each at equal heads, equal cache and equal parameters."""
    matched = grouped(experiments, lambda experiment: experiment.value("match"))
    against = {
        match: [[pair for pair in against_mha(each) if design.is_plain(pair.arm)] for each in matched.get(match, ())]
        for match in ("heads", "cache", "params")
    }
    against["cache"] = [*map(at_nearest_cache, matched.get("heads", ())), *against["cache"]]
    views = {match: [pairs for pairs in match_rows if pairs] for match, match_rows in against.items()}
    views = {match: match_rows for match, match_rows in views.items() if match_rows}
    if not views:
        return None
    fitting = {
        match: match_rows[: max(1, (MOST_PX - FRAME_PX) // _row_px(match_rows))] for match, match_rows in views.items()
    }
    caption = [say("quality.differences_caption"), say("quality.not_drawn") if fitting != views else ""]
    return layout.figure(
        "quality.differences",
        [
            View(title=say(f"quality.match.{match}"), figure=_dots_plot(match_rows, say(f"quality.axis.{match}")))
            for match, match_rows in fitting.items()
        ],
        [pair.arm for match_rows in fitting.values() for pairs in match_rows for pair in pairs],
        joined("sentence", caption),
        finding=layout.finding([pair for pairs in next(iter(views.values())) for pair in pairs]),
        height_px=FRAME_PX + max(len(match_rows) * _row_px(match_rows) for match_rows in fitting.values()),
    )


def _first_arm_by_name(pairs: Rows) -> dict[Text, QualityArm]:
    arms = sorted((pair.arm for row in pairs for pair in row), key=design.arm_order)
    return {name: namesakes[0] for name, namesakes in grouped(arms, lambda arm: arm.name).items()}


def _row_px(pairs: Rows) -> int:
    return NAME_PX + DOT_PX * len(_first_arm_by_name(pairs))


def _dots_plot(pairs: Rows, axis_title: Text) -> dict[str, Any]:
    """A plot with a row for each experiment, and in it a dot with its interval for each variant."""
    arms, variants, series = _first_arm_by_name(pairs), list[str](), list[Series]()
    for line, (name, arm) in enumerate(arms.items()):
        offset = DOT_PX / _row_px(pairs) * (line - (len(arms) - 1) / 2)
        # A marker for each of several sizes of a variant, which a small dot within would not tell apart.
        ordinal, marker = variants.count(arm.first.attention), arm.style.marker
        if ordinal:
            marker = f"{SIZES[(ordinal - 1) % len(SIZES)]}{'-open' * (ordinal > len(SIZES))}"
        variants.append(arm.first.attention)
        points = []
        for place, pair in [(place, pair) for place, row in enumerate(pairs) for pair in row if pair.arm.name == name]:
            outcome = {
                "difference": layout.difference_text(pair),
                "said": contrast_verdict(pair),
                "other": pair.other.name,
            }
            hover = say("quality.difference_hover", title=pair.arm.first.experiment_name, **outcome)
            runs = [*pair.arm.run_keys, *pair.other.run_keys]
            ends = interval_ends(pair.comparison.interval, factor=100)
            mark = Point(x=100 * pair.comparison.mean, y=place + offset, ends=ends, hover=hover, runs=runs)
            points.append(mark)
        look: dict[str, Any] = {"style": replace(arm.style, marker=marker), "along": "x", "size": 8}
        series.append(Series(name=name, points=points, facets=layout.variant_facet(arm), **look))
    return rows(
        [row[0].arm.first.experiment_name for row in pairs],
        series,
        xaxis=linear(axis_title),
        shapes=[rule(x=0, solid=True)],
        shift_px=DOT_PX * len(arms) / 2 + NAME_PX / 3,
    )


def _bytes_figure(experiment: QualityExperiment) -> Figure | None:
    """The figure of quality over cache bytes: at tuned rates, a line through each variant's sizes and one through those
    of its untrained latents. Its finding holds trained latents against these, else against MHA."""
    is_tiers = experiment.value("task") == design.TIERS_TASK
    kind = design.RARELY if is_tiers else design.ALL
    cut_short = (design.ROPE_DIM, design.LATENT_NORM)
    tuned = design.tuned_arms(experiment.arms)
    marks = layout.size_marks((arm for arm in tuned if not any(design.lacks(arm, part) for part in cut_short)), kind)
    if len(marks) < FEWEST:
        return None
    tier = say(f"quality_tiers.asked.{kind}") if is_tiers else ""
    pairs = against_untrained(experiment, kind)
    pairs = pairs or longest_against_mha([experiment], design.is_plain_mla, kind)
    has_untrained = any(design.lacks(arm, design.LATENT) for arm in marks)
    lines, yaxis = layout.size_lines(marks), shares(say("quality.axis.answered"), rangemode="tozero")
    if design.is_by_loss(experiment.arms[0]):
        yaxis = linear(say("quality.axis.loss"), autorange="reversed")
    figure = plot(lines, xaxis=layout.bytes_axis(marks), yaxis=yaxis)
    return layout.figure(
        "quality.pareto",
        [View(title="", figure=figure)],
        marks,
        joined("sentence", [say("quality.pareto_caption"), say("quality.pareto_untrained") if has_untrained else ""]),
        finding=layout.finding(pairs, tier),
        facets={"task": experiment.value("task"), "label": experiment.label, "setting": experiment.settings},
        settings=dotted(experiment.name, tier),
        height_px=height_px(len(lines)),
    )
