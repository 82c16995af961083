"""The section on small decoders trained from nothing: recall, two hops, copying, counting, the next character."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, View, dotted, joined, say, section
from suite.report.evidence import verdict_of, with_rule
from suite.report.model.experiment import Quantity, contrast, grouped, judged, of_outcome, titles_of, without
from suite.report.model.formats import ends_of, mean_with_range
from suite.report.model.labels import GREY
from suite.report.model.results import Results
from suite.report.model.run import clip_text, number_of
from suite.report.plot.marks import Point, Series
from suite.report.plot.plots import Axis, height_px, plot, rule
from suite.report.plot.rows import rows
from suite.report.plot.scales import linear, shares, ticked
from suite.report.plot.text import figure_text
from suite.report.quality import design, layout
from suite.report.quality.cache import SizeLine, at_nearest_cache, bytes_axis, faded, lines_of, nearest_table
from suite.report.quality.design import QualityArm, QualityContrast, QualityExperiment, QualityRun
from suite.report.quoted import quoted_tables
from suite.report.table import Column, column, columns_of, plain
from suite.statistics.learning import Arrivals, arrivals, to_threshold
from suite.statistics.paired import JUDGED, Outcome

LEVEL = 0.95
TAKEN_AWAY = {design.ROPE_DIM: "0", design.LATENT_NORM: "false"}
"""Parts that MLA can do without, and the value that says so."""
MOST_KINDS, MOST_SETTINGS, MOST_TASKS, MOST_PX, FEWEST = 6, 8, 16, 880, 2
NAME_PX, DOT_PX, FRAME_PX = 30, 12, 130
SIZES = ("triangle-down", "triangle-left", "triangle-right", "star", "hexagon", "pentagon", "hexagram")
"""Markers of the sizes of a variant behind its first, that no variant has as its own."""
SMALLEST_PX, LARGEST_PX = 9, 24


def build(results: Results) -> Section | None:
    """Lay out every task but the tiers."""
    every, found = design.quality_experiments(results), design.task_experiments(results)
    if not every:
        return None
    by_task = grouped(found, lambda experiment: experiment.value("task"))
    tables = []
    for task in sorted(by_task, key=design.task_rank):
        tables += [_task_table(by_task[task]), *_kinds_tables(by_task[task])]
    pairs = [pair for experiment in found for pair in at_nearest_cache(experiment)]
    of_pairs = nearest_table("quality.pairs", pairs, columns_of(lambda pair: pair.arm, [layout.EXPERIMENT]))
    tables += [table for table in (of_pairs, _parts_table(every)) if table.rows]
    fields = {"title": "quality.published", "row": "quality.quoted", "note": "quality.published_note"}
    quoted = quoted_tables("published_quality", **fields)
    # A line a variant for each task and setting of it with several numbers; those with the most values.
    names = sorted({name for experiment in found for name, _ in experiment.key if name.startswith(design.TASK_SETTING)})
    figures = [figure for name in names for figure in _over_setting(name, found, has_labels=results.several)]
    over_settings = [figure for _, figure in sorted(figures, key=lambda item: -item[0])[:MOST_SETTINGS]]
    # Of each task and label the experiment with the most arms, and of as many the last: it is the hardest.
    of_task = grouped(found, lambda experiment: (experiment.label, experiment.value("task"))).values()
    best = [max(reversed(alike), key=lambda experiment: len(experiment.arms)) for alike in of_task]
    drawn = [experiment for experiment in best if len(qualities(experiment)) >= FEWEST][:MOST_TASKS]
    pareto = [_pareto_figure(experiment) for experiment in drawn]
    return section(
        "quality",
        explanation=joined("sentence", [say("quality.explanation"), _sizes(every)]),
        figures=[_differences(found), *pareto, *over_settings],
        tables=[*with_rule(tables), *quoted],
        headlines=[_headline(found, label, has_label=results.several) for label in results.labels],
    )


def _sizes(found: Iterable[QualityExperiment]) -> Text:
    """Say how small the decoders are that a claim rests on, and what so small ones can show."""

    def between(values: Iterable[float | None]) -> Text:
        known = [numbers.count(value) for value in sorted(value for value in values if value)]
        if not known or known[0] == known[-1]:
            return known[0] if known else numbers.NOTHING
        return say("rl.range", low=known[0], high=known[-1])

    runs = [run for experiment in found for arm in experiment.arms for run in arm.ended]
    parameters = between(run.constant("model_parameter_count") for run in runs)
    questions = between(run.questions for run in runs)
    return say("quality.small", parameters=parameters, questions=questions, runs=numbers.count(len(runs)))


def _headline(found: Sequence[QualityExperiment], label: str, *, has_label: bool) -> Headline | None:
    """Count how plain latents at MHA's width end, over all experiments, each by its longest training."""
    of_label = [experiment for experiment in found if experiment.label == label]
    at_width = [experiment for experiment in of_label if experiment.value("match") == "heads"]
    against = design.longest_against_mha(at_width, design.is_plain_mla)
    if not against:
        return None
    ended = {outcome: len(of_outcome(against, outcome)) for outcome in Outcome}
    counts = [say(f"verdict.count.{outcome}", count=count) for outcome, count in ended.items() if count]
    tasks = joined("list", dict.fromkeys(pair.arm.first.task for pair in against))
    detail = say("quality.headline", count=len(against), tasks=tasks, told=joined("list", counts))
    lower, higher, judged = ended[Outcome.LOWER], ended[Outcome.HIGHER], sum(ended[outcome] for outcome in JUDGED)
    point = say("quality.point", lower=lower, higher=higher, judged=judged)
    return Headline(
        text=point if judged else say("quality.point.none", count=len(against)),
        detail=joined(": ", [label if has_label else "", detail]),
    )


def _task_table(of_task: Sequence[QualityExperiment]) -> Table:
    arms = [arm for experiment in of_task for arm in experiment.arms]
    against = {pair.arm: pair for experiment in of_task for pair in design.against_mha(experiment, by_loss=True)}
    by_loss = design.is_by_loss(arms[0])
    less = column("quality.less_mha_nats" if by_loss else "quality.less_mha", layout.difference_text, kind=Kind.NUMBER)
    loss: Column[QualityArm] = column("quality.loss", _loss_text, kind=Kind.NUMBER)
    later: Column[QualityContrast] = column("quality.later", _later, kind=Kind.NUMBER)
    is_told_by_one = arms[0].first.telling != design.ALL
    hops, told_by = say("quality.task_note_two_hop"), say("quality.task_note_loss" if by_loss else "quality.task_note")
    answered: Column[QualityArm] = column("quality.answered", layout.answered_text, kind=Kind.NUMBER)
    return layout.arm_table(
        "quality.task",
        arms,
        [
            layout.NAME,
            layout.EXPERIMENT,
            loss if by_loss else answered,
            *columns_of(against.get, [less, layout.VERDICT]),
            layout.SEEDS,
            *([answered] if by_loss else []),
            *layout.SIZES,
            *columns_of(arrivals_of, ARRIVED),
            *columns_of(against.get, [later, *layout.TESTED]),
        ],
        note=joined("sentence", [hops if is_told_by_one else "", told_by]),
        **_of_task(arms[0]),
    )


def _of_task(arm: QualityArm) -> dict[str, Any]:
    """What tells a table of a task from those of others."""
    return {"settings": arm.first.task, "facets": {"task": arm.first.task}}


def _loss_text(arm: QualityArm) -> Text | None:
    return mean_with_range(arm.values(QualityRun.final_loss), "{:.3f}".format, "–")


def arrivals_of(arm: QualityArm) -> Arrivals | None:
    """Return the updates until LEVEL was first answered; None where a seed's updates are not known."""
    curves = [run.curve() for run in arm.ended]
    if not all(spent for spent, _ in curves):
        return None
    return arrivals([to_threshold(spent, shares, LEVEL) for spent, shares in curves])


ARRIVED: list[Column[Arrivals]] = [
    column("quality.arrival", lambda found: found.median, numbers.count),
    column(
        "rl_efficiency.arrived",
        lambda found: say("rl_efficiency.arrived_of", arrived=found.arrived, runs=found.runs),
        kind=Kind.NUMBER,
    ),
]
ARRIVAL: Quantity[QualityRun] = Quantity(
    name="arrival",
    value=lambda run: to_threshold(*run.curve(), LEVEL),
    text=numbers.count,
    difference="{:+,.0f}".format,
)


def _later(found: QualityContrast) -> Text | None:
    """Write how many updates later it reached LEVEL, where every seed of both did: this tells where all is answered."""
    arrived = [arrivals_of(arm) for arm in (found.arm, found.other)]
    if any(arrival is None or arrival.arrived < arrival.runs for arrival in arrived):
        return None
    later = contrast(found.arm, found.other, ARRIVAL)
    return None if later is None else layout.difference_text(later)


def _kinds_tables(of_task: Sequence[QualityExperiment]) -> list[Table]:
    """Say the shares of each kind of question, of a task that tells a few apart."""
    arms = [arm for experiment in of_task for arm in experiment.arms]
    kinds = list(dict.fromkeys(kind for arm in arms for kind in arm.first.answered if kind != design.ALL))
    if not 1 < len(kinds) <= MOST_KINDS:
        return []
    columns = [layout.NAME, layout.EXPERIMENT]
    for kind in kinds:
        columns.append(column(plain(clip_text(kind)), partial(layout.answered_text, kind=kind), kind=Kind.NUMBER))
    return [layout.arm_table("quality.kinds", arms, columns, **_of_task(arms[0]))]


def _parts_table(every: Sequence[QualityExperiment]) -> Table:
    """Compare MLA without a part with itself; of the tiers the one that is asked rarely, too."""
    pairs = [pair for experiment in every for pair in _without_a_part(experiment)]
    found = []
    for arm, other in pairs:
        kinds = [design.ALL, design.RARELY] if arm.first.task == design.TIERS_TASK else [design.ALL]
        found += [design.compared(arm, other, kind) for kind in kinds]
    return layout.arm_table(
        "quality.contrasts",
        judged(found),
        [
            column("column.variant", lambda pair: pair.other.name),
            column("quality.taken_away", _taken_away),
            column("quality.experiment", _experiment_and_tier),
            *layout.share_columns("quality.without", "quality.with_it"),
            column("quality.bytes", _both_caches, kind=Kind.NUMBER),
        ],
        lambda pair: pair.arm,
    )


def _experiment_and_tier(found: QualityContrast) -> Text:
    name = found.arm.first.experiment_name
    return say("claim.rarely", title=name) if found.about else name


def _without_a_part(experiment: QualityExperiment) -> list[tuple[QualityArm, QualityArm]]:
    """Latents without a part beside those that agree with them in everything else."""
    latents = {arm.key: arm for arm in experiment.arms if design.is_latent(arm)}
    return [
        (arm, latents[rest])
        for key, arm in latents.items()
        for name, value in TAKEN_AWAY.items()
        if arm.value(name) == value and (rest := without(key, [name])) in latents
    ]


def _taken_away(found: QualityContrast) -> Text:
    part = next(name for name in TAKEN_AWAY if found.arm.value(name) != found.other.value(name))
    return say(f"quality.part.{part.rpartition('.')[2]}")


def _both_caches(found: QualityContrast) -> str:
    sizes = [design.cache_bytes(arm) for arm in (found.arm, found.other)]
    return " / ".join(numbers.NOTHING if size is None else layout.bytes_text(size) for size in sizes)


def _differences(found: Sequence[QualityExperiment]) -> Figure | None:
    """Ask three questions, a view each: is it narrower, smaller or worse at what it keeps?"""
    matched = grouped(found, lambda experiment: experiment.value("match"))
    views, arms, heights, is_cut, asked = [], [], [], False, list[QualityContrast]()
    for match in ("heads", "cache", "params"):
        every = [*map(at_nearest_cache, matched.get("heads", ()))] if match == "cache" else []
        for experiment in matched.get(match, ()):
            every.append([pair for pair in design.against_mha(experiment) if design.is_plain(pair.arm)])
        if known := [pairs for pairs in every if pairs]:
            row_px = NAME_PX + DOT_PX * len(_by_name(known))
            most = max(1, (MOST_PX - FRAME_PX) // row_px)
            drawn, is_cut = known[:most], is_cut or len(known) > most
            asked = asked or [pair for pairs in known for pair in pairs]
            figure = _differences_plot(drawn, say(f"quality.axis.{match}"))
            views.append(View(title=say(f"quality.match.{match}"), figure=figure))
            arms += [pair.arm for pairs in drawn for pair in pairs]
            heights.append(FRAME_PX + len(drawn) * (NAME_PX + DOT_PX * len(_by_name(drawn))))
    if not views:
        return None
    caption = joined("sentence", [say("quality.differences_caption"), say("quality.not_drawn") if is_cut else ""])
    size: dict[str, Any] = {"height_px": max(heights)}
    return layout.figure("quality.differences", views, arms, caption, finding=layout.finding(asked), **size)


def _by_name(rows: Iterable[Sequence[QualityContrast]]) -> dict[Text, QualityArm]:
    """The first arm of each name, in the order of variants."""
    arms: dict[Text, QualityArm] = {}
    for arm in sorted((pair.arm for row in rows for pair in row), key=design.order):
        arms.setdefault(arm.name, arm)
    return arms


def _differences_plot(found: Sequence[Sequence[QualityContrast]], axis_title: Text) -> dict[str, Any]:
    """Draw a row for each experiment, and in it a dot for each variant."""
    arms = _by_name(found)
    each = DOT_PX / (NAME_PX + DOT_PX * len(arms))
    drawn = [arm.first.attention for arm in arms.values()]
    series, dots = [], [(place, pair) for place, row in enumerate(found) for pair in row]
    for line, (name, arm) in enumerate(arms.items()):
        offset, ordinal = each * (line - (len(arms) - 1) / 2), drawn[:line].count(drawn[line])
        points = [_dot(pair, place + offset) for place, pair in dots if pair.arm.name == name]
        series.append(
            Series(
                name=name,
                points=points,
                style=replace(arm.style, marker=_marker(arm.style.marker, ordinal)),
                facets=layout.variant_facet(arm),
                along="x",
                size=8,
            )
        )
    return rows(
        [row[0].arm.first.experiment_name for row in found],
        series,
        xaxis=linear(axis_title),
        shapes=[rule(x=0, solid=True)],
        shift_px=DOT_PX * len(arms) / 2 + NAME_PX / 3,
    )


def _marker(usual: str, ordinal: int) -> str:
    """A marker for one of several sizes of a variant, which a small dot within would not tell apart."""
    return usual if ordinal == 0 else f"{SIZES[(ordinal - 1) % len(SIZES)]}{'-open' * (ordinal > len(SIZES))}"


def _dot(found: QualityContrast, y: float) -> Point:
    outcome = {"difference": layout.difference_text(found), "said": verdict_of(found)}
    hover = say("quality.difference_hover", title=found.arm.first.experiment_name, other=found.other.name, **outcome)
    runs = layout.runs_behind(found.arm, found.other)
    return Point(x=100 * found.found.mean, y=y, ends=ends_of(found.found.interval, factor=100), hover=hover, runs=runs)


def _over_setting(name: str, found: Sequence[QualityExperiment], *, has_labels: bool) -> Iterable[tuple[int, Figure]]:
    """Draw experiments that agree in all but a setting; with how many they are."""
    by_rest = grouped(found, lambda experiment: without(experiment.key, [name]))
    titles = titles_of([*by_rest], design.DESIGN, has_labels=has_labels)
    called = name.removeprefix(design.TASK_SETTING)
    for rest, alike in by_rest.items():
        values = {number_of(experiment.value(name)): experiment for experiment in alike}
        by_value = {value: experiment for value, experiment in values.items() if value is not None}
        if len(by_value) > 1:
            views = [view for view in _views_over(figure_text(called), by_value) if view.figure["data"]]
            arms = [arm for experiment in by_value.values() for arm in experiment.arms]
            first, hardest = arms[0], by_value[max(by_value)]
            facets = {
                "task": first.first.task,
                "label": first.label,
                "setting": dotted(figure_text(called), titles[rest][1]),
            }
            looks: dict[str, Any] = {"settings": dotted(*titles[rest], figure_text(called)), "facets": facets}
            looks["finding"] = layout.finding(design.against_mha(hardest))
            height = height_px(len(views[0].figure["data"]))
            yield len(by_value), layout.figure("quality.over", views, arms, height_px=height, **looks)


def _views_over(called: str, by_value: Mapping[float, QualityExperiment]) -> list[View]:
    arms = [(value, arm) for value in sorted(by_value) for arm in by_value[value].arms]
    variants = sorted(grouped(arms, lambda item: item[1].key).values(), key=lambda alike: design.order(alike[0][1]))
    xaxis = linear(called, **ticked([(value, numbers.plain_tick(value)) for value in sorted(by_value)]))

    def answered(value: float, arm: QualityArm) -> Point:
        return layout.share_point(value, arm.values(design.share_of(design.ALL)), "quality.share_hover")

    def drawn(title: str, point: Callable[[float, QualityArm], Point | None], yaxis: Axis) -> View:
        lines = {alike[0][1]: [mark for item in alike if (mark := point(*item)) is not None] for alike in variants}
        known = {arm: points for arm, points in lines.items() if points}
        return View(title=say(title), figure=plot(faded(known, "lines+markers"), xaxis=xaxis, yaxis=yaxis))

    return [
        drawn("quality.answered", answered, shares(say("quality.axis.answered"), range=[0, 1.03])),
        drawn("quality.arrival", _arrival, linear(say("quality.axis.arrival"), rangemode="tozero", tickformat=",d")),
    ]


def _arrival(value: float, arm: QualityArm) -> Point | None:
    """The updates until half of the seeds had arrived; None where fewer did, or a seed's are not known."""
    arrival = arrivals_of(arm)
    if arrival is None or arrival.median is None:
        return None
    updates = numbers.count(arrival.median)
    hover = say("quality.arrival_hover", updates=updates, arrived=arrival.arrived, runs=arrival.runs)
    return Point(x=value, y=arrival.median, hover=hover)


def _pareto_figure(experiment: QualityExperiment) -> Figure:
    front = front_of(qualities(experiment))
    first = front[0]
    value = _loss_text(first) if design.is_by_loss(first) else layout.answered_text(first)
    told = say(
        "quality.finding_front",
        name=first.name,
        value=value,
        bytes=numbers.count(design.cache_bytes(first) or 0),
        pairs=len(first.ended),
        front=len(front),
        count=len(experiment.arms),
    )
    facets = {"task": experiment.value("task"), "label": experiment.label}
    more: dict[str, Any] = {"finding": told, "facets": facets, "settings": experiment.name}
    views = [View(title="", figure=_pareto_plot(experiment))]
    return layout.figure("quality.pareto", views, experiment.arms, height_px=height_px(6), **more)


def qualities(experiment: QualityExperiment) -> dict[QualityArm, float]:
    """Return the quality of each arm that says its cache: more is better, so a loss has its sign turned."""
    quality = design.LOSS.value if design.is_by_loss(experiment.arms[0]) else design.share_of(design.ALL)
    means = {arm: arm.mean(quality) for arm in experiment.arms if design.cache_bytes(arm)}
    return {arm: mean for arm, mean in means.items() if mean is not None}


def front_of(found: Mapping[QualityArm, float]) -> list[QualityArm]:
    """Return arms that no other beats, by less cache and no less quality or as little and more; the cheapest first."""
    front: list[QualityArm] = []
    for arm in sorted(found, key=lambda arm: (design.cache_bytes(arm) or 0.0, -found[arm])):
        if not front or found[arm] > found[front[-1]]:
            front.append(arm)
    return front


def _pareto_plot(experiment: QualityExperiment) -> dict[str, Any]:
    by_loss, found = design.is_by_loss(experiment.arms[0]), qualities(experiment)
    front, sizes = front_of(found), _sizes_px([*found])
    points = {
        arm: Point(
            x=design.cache_bytes(arm),
            y=abs(quality),
            hover=_standing(arm, is_on_front=arm in front),
            runs=layout.runs_behind(arm),
        )
        for arm, quality in found.items()
    }
    beaten_by_none = Series(
        name=say("quality.front"),
        points=[replace(points[arm], hover="", runs=()) for arm in front],
        mode="lines",
        more={"line": {"color": GREY, "dash": "dot", "width": 1.5, "shape": "hv"}},
    )
    loss_axis = linear(say("quality.axis.loss"), autorange="reversed")
    return plot(
        [beaten_by_none, *(_sized(line, points, front, sizes) for line in lines_of(found))],
        xaxis=bytes_axis(found),
        yaxis=loss_axis if by_loss else shares(say("quality.axis.answered")),
    )


def _sized(
    line: SizeLine, points: Mapping[QualityArm, Point], front: Sequence[QualityArm], sizes: Mapping[QualityArm, float]
) -> Series:
    """Marks that are filled on the front, and whose area says how long a token takes."""
    style = line.arms[0].style
    symbols = [style.marker if arm in front else f"{style.marker}-open" for arm in line.arms]
    edge = {"width": 1.5, "color": style.colour}
    size = [sizes[arm] for arm in line.arms]
    marker = {"color": style.colour, "symbol": symbols, "size": size, "opacity": 1, "line": edge}
    return line.series(points, "markers+text", marker=marker)


def _sizes_px(arms: Sequence[QualityArm]) -> dict[QualityArm, float]:
    """Sizes whose areas grow with the time of a token; all alike where some are not timed."""
    taken = [design.decode_s(arm) for arm in arms]
    timed = [seconds for seconds in taken if seconds is not None]
    if len(timed) < len(arms) or min(timed) == max(timed):
        return dict.fromkeys(arms, (SMALLEST_PX + LARGEST_PX) / 2)
    least, most = SMALLEST_PX**2, LARGEST_PX**2
    shares = [(seconds - min(timed)) / (max(timed) - min(timed)) for seconds in timed]
    return {arm: round((least + (most - least) * share) ** 0.5, 1) for arm, share in zip(arms, shares, strict=True)}


def _standing(arm: QualityArm, *, is_on_front: bool) -> Text:
    taken, value = design.decode_s(arm), _loss_text(arm) if design.is_by_loss(arm) else layout.answered_text(arm)
    decode = numbers.NOTHING if taken is None else numbers.seconds(taken)
    size = numbers.count(design.cache_bytes(arm) or 0)
    sentence = say("quality.pareto_hover", name=arm.name, value=value, bytes=size, decode=decode)
    return say("quality.on_front", said=sentence) if is_on_front else sentence
