"""A published model with a smaller cache, read on held-out plays: what it costs, and which words pay first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, TypeVar

from suite.records import numbers
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, View, dotted, joined, say, section
from suite.report.evidence import IN_WORDS, verdict
from suite.report.model.formats import ends_of, nats, with_range
from suite.report.model.results import Results
from suite.report.plot.marks import Point, Series
from suite.report.plot.plots import Panel, height_px, panels, panels_height_px, plot, rule
from suite.report.plot.scales import byte_axis, decimal_ticks, linear, log
from suite.report.quality import compress_design as design
from suite.report.quality.compress_design import (
    CLASSES,
    RISE,
    CompressExperiment,
    CompressRun,
    Measure,
    MethodArm,
    Rise,
    Value,
)
from suite.report.quality.design import ALL
from suite.report.table import Column, column, table
from suite.statistics.paired import NATS_MARGIN, Outcome, changes

MOST_DRAWN = 4
"""Experiments; the rest stand in tables alone."""
FEWEST_NEAR = 2
ROUNDING = {"float64": 1e-12, "float32": 1e-5, "bfloat16": 5e-2}
"""Relative changes of logits, by dtype, that sums in another order over some dozens of layers explain."""
OVER_BFLOAT16 = {"float64": 4, "float32": 2}
"""Bytes of a number over those of one in bfloat16, by dtype."""
LAYERS_NAMED = 3
R = TypeVar("R")
ValueOf = Callable[[CompressRun], Value | None]
MethodRun = tuple[MethodArm, CompressRun]


def build(results: Results) -> Section | None:
    """Build it from the runs of workload=compress; None without any."""
    experiments = design.compress_experiments(results)
    if not experiments:
        return None
    first_of_label = {experiment.label: experiment for experiment in reversed(experiments)}
    return section(
        "compress",
        explanation=joined("sentence", [say("compress.explanation"), say("compress.limits")]),
        figures=[draw(experiment) for experiment in experiments[:MOST_DRAWN] for draw in (_perplexity, _classes)],
        tables=[
            lay_out(experiment) for experiment in experiments for lay_out in (_first_losses, _checks, _methods, _layers)
        ],
        headlines=[_headline(first_of_label[label], results) for label in results.labels if label in first_of_label],
    )


def _perplexity(experiment: CompressExperiment) -> Figure:
    views: dict[str, ValueOf] = {"perplexity": lambda run: run.perplexity_compared}
    if experiment.baseline is not None and experiment.others:
        views["ratio"] = lambda run: run.times
        if _has_close_up(experiment):
            views["close_up"] = lambda run: run.times if run.is_near else None
    drawn = [(name, _plot(experiment, name, value)) for name, value in views.items()]
    shown = [View(title=say(f"compress.view.{name}"), figure=figure) for name, figure in drawn if figure]
    return _figure("perplexity", experiment, shown, height_px(len(experiment.others) + 1), _cheapest(experiment))


def _cheapest(experiment: CompressExperiment) -> Text:
    """Tell what eight bits cost, else what the best latent costs where it holds, with the windows that it rests on."""
    eight_bits = [run for run in design.runs_in(experiment) if run.method == design.INT8 and run.times]
    best = design.best_latent(experiment)
    held = design.holds_until(best) if best else None
    run = next(iter([*eight_bits, *([held] if held else [])]), None)
    if run is None or run.times is None:
        return ""
    fields = {"name": run.name, "share": _share(run), "change": run.times.written(design.change_text)}
    return say("compress.finding", count=len(run.text[ALL]), **fields)


def _classes(experiment: CompressExperiment) -> Figure:
    views = []
    for is_close_up in (False, True) if _has_close_up(experiment) else (False,):
        for measure in design.MEASURES:
            view = say(f"compress.view.{measure.name}")
            title = say("compress.close_up", view=view) if is_close_up else view
            views.append(View(title=title, figure=_classes_plot(experiment, measure, is_close_up=is_close_up)))
    views = [view for view in views if view.figure]
    best = design.best_latent(experiment)
    rises = [rise for rise in design.rises_in(experiment) if rise.arm is best]
    told = _ranked(rises[0], is_brief=True) if rises else None
    finding = say("compress.finding_first", name=rises[0].run.name, told=told) if told else ""
    return _figure("classes", experiment, views, panels_height_px(len(design.latents(experiment))), finding)


def _facets(experiment: CompressExperiment) -> dict[str, Text]:
    return {"label": experiment.label, "setting": dotted(experiment.title, experiment.settings) or say("rl.usual")}


def _figure(name: str, experiment: CompressExperiment, views: Sequence[View], height: int, finding: Text) -> Figure:
    has_intervals = any(len(run.text[ALL]) > 1 for run in design.runs_in(experiment))
    caption = [say(f"compress.{name}_caption"), "" if has_intervals else say("compress.one_window")]
    return Figure(
        title=say(f"compress.{name}_figure"),
        family=say(f"compress.{name}_figure"),
        finding=finding,
        settings=experiment.name,
        caption=_with_origin(joined("sentence", caption), experiment),
        views=views,
        height_px=height,
        facets=_facets(experiment),
    )


def _with_origin(text: Text, experiment: CompressExperiment) -> Text:
    """A caption or a note, and behind it what the weights are that its numbers stand on."""
    weights = dict.fromkeys(run.weights for run in design.runs_in(experiment) if run.weights)
    origin = say("compress.origin", weights=joined("notes", weights)) if weights else say("compress.no_origin")
    return joined("sentence", [text, origin])


def _has_close_up(experiment: CompressExperiment) -> bool:
    """Whether some latents cost little enough to be looked at by themselves, and others would hide it."""
    runs = [run for arm in design.latents(experiment) for run in arm.runs if run.times is not None]
    return FEWEST_NEAR <= sum(run.is_near for run in runs) < len(runs)


def _plot(experiment: CompressExperiment, view: str, value: ValueOf) -> dict[str, Any]:
    """Draw a line for each way to choose a latent, and marks for eight bits and, last, the model as it is."""
    arms = [*experiment.others, *([experiment.baseline] if experiment.baseline else [])]
    points = {arm: found for arm in arms if (found := _points(arm, value))}
    means = [point.y for found in points.values() for point in found]
    if not means:
        return {}
    # At one rank all methods keep as many bytes: the ranks are named at one line, of the longest the one on top.
    lines = [arm for arm in points if arm.first.is_low_rank]
    top = max(lines, key=lambda arm: (len(points[arm]), fmean(point.y for point in points[arm])), default=None)
    level = value(experiment.baseline.first) if experiment.baseline else None
    title = say("compress.axis.perplexity" if view == "perplexity" else "compress.axis.ratio")
    return plot(
        [_line(arm, found, experiment, has_ranks=arm is top) for arm, found in points.items()],
        xaxis=byte_axis(say("quality.axis.bytes"), [point.x for found in points.values() for point in found]),
        yaxis=linear(title) if view == "close_up" else log(title, decimal_ticks(means, numbers.plain_tick)),
        shapes=[rule(y=level.mean)] if level else [],
    )


def _points(arm: MethodArm, value: ValueOf) -> list[Point]:
    points = []
    for run in arm.runs:
        if run.cache_bytes and (found := value(run)) is not None:
            ends, rank = ends_of(found.interval), str(run.rank or "")
            runs = [run.record.run_key]
            sentence = say(
                "compress.hover",
                perplexity=design.perplexity_text(run.perplexity.mean) if run.perplexity else numbers.NOTHING,
                change=_change(run) or numbers.NOTHING,
                bytes=numbers.count(run.cache_bytes or 0),
                decode=numbers.NOTHING if run.decode_s is None else numbers.seconds(run.decode_s),
            )
            hover = say("compress.hover_rank", rank=run.rank, said=sentence) if run.rank else sentence
            points.append(Point(x=run.cache_bytes, y=found.mean, ends=ends, text=rank, hover=hover, runs=runs))
    return points


def _line(arm: MethodArm, points: Sequence[Point], experiment: CompressExperiment, *, has_ranks: bool) -> Series:
    is_line = arm.first.is_low_rank
    of_method = [other for other in experiment.arms if other.first.method == arm.first.method]
    return Series(
        name=arm.name,
        points=points,
        style=arm.style,
        ordinal=of_method.index(arm),
        mode="+".join(filter(None, ["lines" if is_line else "", "markers", "text" if has_ranks else ""])),
        facets={"label": experiment.label},
        size=8 if is_line else 11,
        more={"textposition": "top right", "textfont": {"size": 10, "color": arm.style.colour}, "cliponaxis": False},
    )


def _classes_plot(experiment: CompressExperiment, measure: Measure, *, is_close_up: bool) -> dict[str, Any]:
    """Draw a panel for each way to choose a latent, and a line for each class; the same marks beside all of them."""
    aside = [arm for arm in experiment.others if not arm.first.is_low_rank]

    def series(name: str, arms: Sequence[MethodArm], *, is_aside: bool = False) -> Series:
        runs = [run for arm in arms for run in arm.runs if run.cache_bytes and (run.is_near or not is_close_up)]
        points = []
        for run in runs:
            if (value := design.value_of(run.added(name, measure.per))) is not None:
                sentence = say(f"compress.hover.{measure.name}", value=value.written(measure.text))
                hover = joined(": ", [run.name, sentence])
                ends, keys = ends_of(value.interval), [run.record.run_key]
                points.append(Point(x=run.cache_bytes, y=value.mean, ends=ends, hover=hover, runs=keys))
        return Series(
            name=say(f"compress.class.{name}"),
            points=points,
            style=design.CLASS_STYLES[name],
            ordinal=int(is_aside),
            mode="markers" if is_aside else "lines+markers",
            facets={"label": experiment.label},
            in_legend=not is_aside,
            size=8,
        )

    drawn = []
    for arm in design.latents(experiment):
        if is_close_up and not any(run.is_near for run in arm.runs):
            continue
        every = [line for name in CLASSES for line in (series(name, [arm]), series(name, aside, is_aside=True))]
        yaxis = linear("", tickformat=measure.ticks, nticks=6)
        drawn.append(Panel(title=arm.name, series=[line for line in every if line.points], yaxis=yaxis, level=0.0))
    sizes = [point.x for panel in drawn for of_class in panel.series for point in of_class.points]
    if not sizes:
        return {}
    xaxis = byte_axis(say("quality.axis.bytes"), sizes)
    return panels(drawn, xaxis=xaxis, title=say(f"compress.axis.{measure.name}"), titles_on_top=True)


def _table(
    name: str,
    experiment: CompressExperiment,
    rows: Sequence[R],
    columns: Sequence[Column[R]],
    *,
    note: Text,
) -> Table:
    title, note = say(f"compress.table.{name}"), _with_origin(note, experiment)
    found = table(title, rows, columns, note=note, settings=experiment.name, facets=_facets(experiment))
    return replace(found, family=title)


def _first_losses(experiment: CompressExperiment) -> Table:
    """Say in a row by word, and in one over each class's own loss, which class each method loses first."""
    rises = design.rises_in(experiment)
    rows: list[tuple[MethodArm, Rise | None]] = []
    for arm in experiment.others if experiment.baseline else []:
        rows += [(arm, rise) for rise in rises if rise.arm is arm] or [(arm, None)]
    sentences = []
    for name in CLASSES:
        if experiment.baseline and (loss := experiment.baseline.first.loss(name)) is not None:
            sentences.append(say("compress.own", name=say(f"compress.class.{name}"), nats=f"{loss.mean:.2f}"))
    own = joined("list", sentences) or numbers.NOTHING
    note = say("compress.first_note", rise=numbers.percent(RISE), own=own)
    return _table(
        "first",
        experiment,
        rows,
        [
            column("compress.method", lambda row: row[0].name),
            column("compress.first_rank", lambda row: _first_rank(*row)),
            column("compress.change", lambda row: _largest_change(*row), kind=Kind.NUMBER),
            column("compress.measured", lambda row: say(f"compress.by.{row[1].measure.name}") if row[1] else None),
            column("compress.most", lambda row: _ranked(row[1]) if row[1] else None),
        ],
        note=joined("sentence", [note, say("verdict.note")]),
    )


def _first_rank(arm: MethodArm, rise: Rise | None) -> Text | None:
    if rise is None:
        is_known = any(run.times for run in arm.runs)
        return say("compress.no_rise", rise=numbers.percent(RISE)) if is_known else None
    share, rank = _share(rise.run), rise.run.rank
    return say("compress.at_rank", rank=rank, share=share) if rank else say("compress.at_share", share=share)


def _largest_change(arm: MethodArm, rise: Rise | None) -> Text | None:
    found = [run.times for run in ([rise.run] if rise else arm.runs) if run.times]
    return _said(max(found, key=lambda times: times.mean, default=None), design.change_text)


def _ranked(rise: Rise, *, is_brief: bool = False) -> Text | None:
    """Say which class most, and the next one, or that the two are not told apart; unless `is_brief` by how much."""
    if len(rise.values) < 2:
        return None
    gap, text = rise.gap, rise.measure.text
    fields: dict[str, Text] = {}
    for place, (name, value) in zip(("first", "second"), rise.values, strict=False):
        fields |= {place: say(f"compress.class.{name}"), f"{place}_value": text(value.mean)}
    sentence = say(f"compress.ranking.{gap.outcome if gap else Outcome.FEW}", **fields, count=gap.pairs if gap else 0)
    if is_brief or gap is None or gap.interval is None:
        return sentence
    return say("compress.ranking.by", said=sentence, gap=with_range(gap.mean, gap.interval, text))


def _checks(experiment: CompressExperiment) -> Table:
    runs = design.runs_in(experiment)
    rows = [(run, *_logits_check(run)) for run in runs if run.is_full and run.logits_change is not None]
    rows += [(run, *_perplexity_check(run)) for run in runs if run.method == design.INT8]
    return _table(
        "checks",
        experiment,
        rows,
        [
            column("compress.check", lambda row: row[0].name),
            column("compress.found", lambda row: row[1], kind=Kind.NUMBER),
            column(IN_WORDS, lambda row: row[2]),
        ],
        note=say("compress.checks_note"),
    )


def _logits_check(run: CompressRun) -> tuple[Text, Text]:
    change, dtype = run.logits_change or 0.0, run.axis("dtype")
    limit = ROUNDING.get(dtype)
    outcome = "unknown" if limit is None else "unchanged" if change <= limit else "changed"
    return say("compress.logits_by", change=f"{change:.1e}"), say(f"compress.check.{outcome}", dtype=dtype)


def _perplexity_check(run: CompressRun) -> tuple[Text, Text]:
    """The change of perplexity and what may be said of it: an experiment has one run in eight bits."""
    change = changes([-loss for loss in run.added(ALL)], margin=NATS_MARGIN)
    if run.times is None or change is None:
        return "", ""
    is_few = change.outcome is Outcome.FEW
    sentence = say("compress.check.few", count=change.pairs) if is_few else verdict(change, "nats")
    return say("compress.perplexity_by", change=run.times.written(design.change_text)), sentence


METHOD_COLUMNS: list[Column[MethodRun]] = [
    column("compress.method", lambda row: row[0].name),
    column("compress.rank", lambda row: row[1].rank, numbers.count),
]


def _methods(experiment: CompressExperiment) -> Table:
    runs = design.runs_in(experiment)
    lengths = sorted({run.setting("decode_len") for run in runs if run.decode_s is not None})

    def decoded(run: CompressRun) -> Text | None:
        """Return a token's time; with its context, where not all have the same."""
        if run.decode_s is None:
            return None
        time = numbers.seconds(run.decode_s)
        return say("compress.behind", time=time, tokens=run.setting("decode_len")) if len(lengths) > 1 else time

    return _table(
        "methods",
        experiment,
        [(arm, run) for arm in experiment.arms for run in arm.runs],
        [
            *METHOD_COLUMNS,
            column("compress.change", lambda row: _change(row[1]), kind=Kind.NUMBER),
            column(
                "compress.perplexity", lambda row: _said(row[1].perplexity, design.perplexity_text), kind=Kind.NUMBER
            ),
            column("quality.bytes", lambda row: row[1].cache_bytes, numbers.count),
            column("compress.of_own", lambda row: row[1].share_of_own, numbers.percent),
            column("compress.of_mha", lambda row: row[1].share_of_mha, numbers.percent),
            *map(_added_column, CLASSES),
            column("compress.logits", lambda row: row[1].logits_change, lambda change: f"{change:.2g}"),
            column("quality.decode", lambda row: decoded(row[1]), kind=Kind.NUMBER),
        ],
        note=say(
            "compress.methods_note",
            windows=numbers.count(max(len(run.text[ALL]) for run in runs)),
            plays=joined("list", runs[0].plays) or numbers.NOTHING,
            lengths=joined("list", lengths) or numbers.NOTHING,
        ),
    )


def _added_column(name: str) -> Column[MethodRun]:
    def added(row: MethodRun) -> Text | None:
        run = row[1]
        return None if run is run.own else _said(design.value_of(run.added(name)), nats)

    return column(f"compress.added.{name}", added, kind=Kind.NUMBER)


def _layers(experiment: CompressExperiment) -> Table:
    return _table(
        "layers",
        experiment,
        [(arm, run) for arm in experiment.others for run in arm.runs if run.kept and not run.is_full],
        [
            *METHOD_COLUMNS,
            column("compress.lost", lambda row: 1 - fmean(row[1].kept.values()), numbers.percent),
            column("compress.lose_most", lambda row: _lost(row[1].kept, LAYERS_NAMED)),
            column("compress.lose_least", lambda row: _lost(row[1].kept, 1, is_least=True)),
        ],
        note=say("compress.layers_note"),
    )


def _lost(kept: Mapping[int, float], count: int, *, is_least: bool = False) -> Text:
    """Name the layers that lose the most, or the least, and what each loses."""
    layers = sorted(kept, key=kept.__getitem__, reverse=is_least)[:count]
    sentences = [say("compress.layer", number=layer, share=numbers.percent(1 - kept[layer])) for layer in layers]
    return joined("list", sentences)


def _headline(experiment: CompressExperiment, results: Results) -> Headline | None:
    """Say what eight bits cost, down to which rank the best latent holds, and what goes first behind it."""
    if experiment.baseline is None:
        return None
    own, best = experiment.baseline.first, design.best_latent(experiment)
    parts = [_eight_bits(run, experiment) for run in design.runs_in(experiment) if run.method == design.INT8]
    held = design.holds_until(best) if best else None
    parts += [_part("only_full" if held.is_full else "holds", held, best.name)] if best and held else []
    parts += [_goes_first(best, experiment)] if best else []
    known = [part for part in parts if part is not None]
    if not known:
        return None
    detail = say(
        "compress.headline",
        weights=own.weights or numbers.NOTHING,
        windows=numbers.count(len(own.text[ALL])),
        told=joined("notes", [part.detail for part in known]),
    )
    return Headline(text=known[0].text, detail=joined(": ", [experiment.label, detail]) if results.several else detail)


def compressed_told(experiment: CompressExperiment) -> Text:
    """Say beside a claim what goes first under the best way to choose a latent; nothing where nothing does."""
    best = design.best_latent(experiment)
    first = _goes_first(best, experiment) if best else None
    if best is None or first is None:
        return ""
    return say("claim.tiers.compressed", weights=best.runs[0].weights or numbers.NOTHING, told=first.detail)


def _part(kind: str, run: CompressRun, name: Text, *, point: str = "", **more: Text) -> Headline:
    """A part of the headline, and the point that it makes where it comes first."""
    fields = {"share": _share(run), "rank": run.rank or numbers.NOTHING, "rise": numbers.percent(RISE)}
    fields["change"] = design.change_text(run.times.mean) if run.times else numbers.NOTHING
    return Headline(
        text=say(f"compress.point.{point or kind}", name=design.method_name(run.method), **fields),
        detail=say(f"compress.headline.{kind}", name=name, **fields, **more),
    )


def _eight_bits(run: CompressRun, experiment: CompressExperiment) -> Headline | None:
    if run.times is None:
        return None
    best, dtype = _less_than_any_latent(run, experiment), run.axis("dtype")
    of_half: Text = ""
    if run.share_of_own is not None and dtype in OVER_BFLOAT16:
        half = numbers.percent(run.share_of_own * OVER_BFLOAT16[dtype])
        of_half = say("compress.headline.of_half", dtype=dtype, share=half)
    interval, point = run.times.written(design.change_text), "best" if best else "int8"
    return _part(
        "int8", run, design.method_name(run.method), point=point, of_half=of_half, interval=interval, best=best
    )


def _less_than_any_latent(run: CompressRun, experiment: CompressExperiment) -> Text:
    """Say so where every latent that leaves something out loses more than eight bits, by the rule of evidence."""
    cut = [other for arm in design.latents(experiment) for other in arm.runs if not other.is_full]
    known = [(other.times.mean, other) for other in cut if other.times]
    if not known or not design.all_lose_more(cut, run):
        return ""
    change, best = min(known, key=lambda found: found[0])
    return say("compress.headline.best", name=best.name, share=_share(best), change=design.change_text(change))


def _goes_first(arm: MethodArm, experiment: CompressExperiment) -> Headline | None:
    """Say it at the first rank where perplexity rises; None where it does not."""
    rises = [rise for rise in design.rises_in(experiment) if rise.arm is arm]
    sentences = [sentence for rise in rises if (sentence := _ranked(rise, is_brief=True)) is not None]
    if len(sentences) < len(design.MEASURES):
        return None
    by_nats, by_share = sentences
    return _part("first", rises[0].run, arm.name, by_nats=by_nats, by_share=by_share)


def _change(run: CompressRun) -> Text | None:
    """The change of perplexity; nothing of the model as it is."""
    return None if run is run.own else _said(run.times, design.change_text)


def _share(run: CompressRun) -> str:
    return numbers.NOTHING if run.share_of_own is None else numbers.percent(run.share_of_own)


def _said(value: Value | None, text: Callable[[float], str]) -> Text | None:
    return None if value is None else value.written(text)
