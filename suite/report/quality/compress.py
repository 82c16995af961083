"""A published model with a smaller cache, read on held-out plays: what it costs, and which words pay first."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import methodcaller
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, View, dotted, joined, say, section
from suite.report.evidence import IN_WORDS, comparison_verdict
from suite.report.model.formats import interval_ends, nats, with_range
from suite.report.model.results import Results
from suite.report.model.run import context_tokens
from suite.report.model.timed_kernels import kernel_median_s
from suite.report.plot.plots import Point, byte_axis, decimal_ticks, height_px, linear, log, plot, rule
from suite.report.quality import compress_design as design
from suite.report.quality.compress_design import (
    CLASSES,
    INT8,
    RISE,
    TAUGHT,
    CompressExperiment,
    CompressRun,
    MethodArm,
    Rise,
)
from suite.report.quality.design import ALL
from suite.report.quality.layout import size_series
from suite.report.table import Column, column, part_columns, table
from suite.statistics.paired import NATS_MARGIN, ArmOutcome, judge_together

MOST_DRAWN = 4  # experiments; the rest stand in tables alone
FEWEST_NEAR = 2
OVER_BFLOAT16 = {"float64": 4, "float32": 2}  # bytes of a number over those of one in bfloat16, by dtype


def build(results: Results) -> Section | None:
    """The section on compressed models; None without an experiment."""
    experiments = design.compress_experiments(results)
    if not experiments:
        return None
    by_label = {experiment.label: experiment for experiment in reversed(experiments)}
    firsts = [by_label[label] for label in results.labels if label in by_label]
    return section(
        "compress",
        explanation=joined("sentence", [say("compress.explanation"), say("compress.limits")]),
        figures=[_figure(experiment) for experiment in experiments[:MOST_DRAWN]],
        tables=[part for each in experiments for part in (_first_losses_table(each), _methods_table(each, results))],
        headlines=[_headline(experiment, has_label=results.several) for experiment in firsts],
    )


def _facets(experiment: CompressExperiment) -> dict[str, Text]:
    return {"label": experiment.label, "setting": dotted(experiment.title, experiment.settings) or say("rl.usual")}


def _with_origin(text: Text, experiment: CompressExperiment) -> Text:
    weights = dict.fromkeys(run.weights for run in design.runs_in(experiment) if run.weights)
    origin = say("compress.origin", weights=joined("notes", weights)) if weights else say("compress.no_origin")
    return joined("sentence", [text, origin])


def _figure(experiment: CompressExperiment) -> Figure | None:
    """The figure of perplexity relative to the original model's by cache bytes; None without the original."""
    if experiment.baseline is None:
        return None
    views = [View(title=say("compress.view.ratio"), figure=_plot(experiment))]
    runs = [run for arm in design.latents(experiment) for run in arm.runs if run.times is not None]
    # Some latents cost little enough to be looked at by themselves, and others would hide it.
    if FEWEST_NEAR <= sum(run.is_near for run in runs) < len(runs):
        views.append(View(title=say("compress.view.close_up"), figure=_plot(experiment, is_close_up=True)))
    has_intervals = any(len(run.text[ALL]) > 1 for run in design.runs_in(experiment))
    caption = [say("compress.perplexity_caption"), "" if has_intervals else say("compress.one_window")]
    return Figure(
        title=say("compress.perplexity_figure"),
        family=say("compress.perplexity_figure"),
        finding=next((part.detail for part in _findings(experiment)), ""),
        settings=experiment.name,
        caption=_with_origin(joined("sentence", caption), experiment),
        views=[view for view in views if view.figure],
        height_px=height_px(len(experiment.arms)),
        facets=_facets(experiment),
    )


def _plot(experiment: CompressExperiment, *, is_close_up: bool = False) -> dict[str, Any]:
    """A plot of perplexity ratios by cache bytes; `is_close_up`: of the runs that are near. Empty without points."""
    arms = [arm for arm in (*experiment.others, experiment.baseline) if arm]
    points = {arm: marks for arm in arms if (marks := _run_points(arm, is_close_up=is_close_up))}
    if not points:
        return {}
    # At one rank all methods keep as many bytes: the ranks are named at one line, of the longest the one on top.
    lines = [arm for arm in points if arm.first.is_low_rank]
    top = max(lines, key=lambda arm: (len(points[arm]), max(point.y for point in points[arm])), default=None)
    series = []
    for arm, marks in points.items():
        is_line = arm.first.is_low_rank
        siblings = [sibling for sibling in experiment.arms if sibling.first.method == arm.first.method]
        looks: dict[str, Any] = {"ordinal": siblings.index(arm), "size": 8 if is_line else 11}
        looks |= {"mode": "+".join(["lines"] * is_line + ["markers"] + ["text"] * (arm is top))}
        looks |= {"facets": {"label": experiment.label}, "more": {}}
        series.append(size_series(arm.name, marks, arm.style, names_at="top right", **looks))
    sizes, times = zip(*((point.x, point.y) for marks in points.values() for point in marks), strict=True)
    title = say("compress.axis.ratio")
    return plot(
        series,
        xaxis=byte_axis(say("quality.axis.bytes"), sizes),
        yaxis=linear(title) if is_close_up else log(title, decimal_ticks(times, numbers.plain_tick)),
        shapes=[rule(y=1.0)],
    )


def _run_points(arm: MethodArm, *, is_close_up: bool) -> list[Point]:
    """A point for each run of a method whose bytes and perplexity are known; `is_close_up`: of the near ones."""
    points = []
    for run in arm.runs:
        if run.cache_bytes and run.times is not None and (run.is_near or not is_close_up):
            hover = say(
                "compress.hover",
                perplexity=numbers.NOTHING if run.perplexity is None else design.perplexity_text(run.perplexity),
                change=design.change_with_range(run) or numbers.NOTHING,
                bytes=numbers.count(run.cache_bytes),
                decode=numbers.NOTHING if run.decode_s is None else numbers.seconds(run.decode_s),
            )
            hover = say("compress.hover_rank", rank=run.rank, said=hover) if run.rank else hover
            runs, ends, text = [run.record.run_key], interval_ends(run.times_interval), str(run.rank or "")
            points.append(Point(x=run.cache_bytes, y=run.times, ends=ends, text=text, hover=hover, runs=runs))
    return points


def _titled_table(name: str, experiment: CompressExperiment, note: Text, rows: Sequence[Any], columns: Any) -> Table:
    title, note = say(f"compress.table.{name}"), _with_origin(note, experiment)
    return table(title, rows, columns, family=title, note=note, settings=experiment.name, facets=_facets(experiment))


def _first_losses_table(experiment: CompressExperiment) -> Table:
    """The table of which class each method loses first: a row by nats of a word, and one by the class's own loss."""
    rises = design.rises_in(experiment)
    rows: list[tuple[MethodArm, Rise | None]] = []
    for arm in experiment.others if experiment.baseline else []:
        rows += [(arm, rise) for rise in rises if rise.arm is arm] or [(arm, None)]
    losses = []
    for name in CLASSES:
        if experiment.baseline and (loss := experiment.baseline.first.loss(name)) is not None:
            losses.append(say("compress.own", name=say(f"compress.class.{name}"), nats=f"{loss:.2f}"))

    def first_rank(row: tuple[MethodArm, Rise | None]) -> Text | None:
        """The rank, or cache share, where perplexity first rises by more than RISE; else that it never does."""
        arm, rise = row
        if rise is None:
            has_times = any(run.times for run in arm.runs)
            return say("compress.no_rise", rise=numbers.percent(RISE)) if has_times else None
        share, rank = _cache_share(rise.run), rise.run.rank
        return say("compress.at_rank", rank=rank, share=share) if rank else say("compress.at_share", share=share)

    def most_changed(row: tuple[MethodArm, Rise | None]) -> CompressRun:
        return max([row[1].run] if row[1] else row[0].runs, key=lambda run: run.times or 0.0)

    rise_columns: list[Column[Rise]] = [
        column("compress.measured", lambda rise: say(f"compress.by.{rise.measure.name}")),
        column("compress.most", _ranking),
    ]
    fields = {"rise": numbers.percent(RISE), "own": joined("list", losses) or numbers.NOTHING}
    return _titled_table(
        "first",
        experiment,
        joined("sentence", [say("compress.first_note", **fields), say("verdict.note")]),
        rows,
        [
            column("compress.method", lambda row: row[0].name),
            column("compress.first_rank", first_rank),
            *part_columns(most_changed, [column("compress.change", design.change_with_range, kind=Kind.NUMBER)]),
            *part_columns(lambda row: row[1], rise_columns),
        ],
    )


def _ranking(rise: Rise, *, is_brief: bool = False) -> Text | None:
    """A sentence on the class that pays most, the next and, unless `is_brief`, by how much; None of a single class."""
    if len(rise.added) < 2:
        return None
    gap, text = rise.gap, rise.measure.text
    fields: dict[str, Text] = {}
    for place, (name, added) in zip(("first", "second"), rise.added, strict=False):
        fields |= {place: say(f"compress.class.{name}"), f"{place}_value": text(added.mean)}
    outcome, count = (gap.outcome, gap.pairs) if gap else (ArmOutcome.FEW, 0)
    sentence = say(f"compress.ranking.{outcome}", **fields, count=count)
    if is_brief or gap is None or gap.interval is None:
        return sentence
    return say("compress.ranking.by", said=sentence, gap=with_range(gap.mean, gap.interval, text))


def _methods_table(experiment: CompressExperiment, results: Results) -> Table:
    """The table of every run: its method, rank, perplexity, bytes, the time of a step by context, which the suite's own
    kernels took for a layer of the same shape, tasks, what is added to each class, and decode time."""
    runs = design.runs_in(experiment)
    names = {run: arm.name for arm in experiment.arms for run in arm.runs}
    # Judged together. A loss's sign is turned, so that higher is better.
    changes = {run: run.change for arm in experiment.others for run in arm.runs if run.change is not None}
    turned = [replace(each, ours=each.theirs, theirs=each.ours, margin=NATS_MARGIN) for each in changes.values()]
    verdicts = dict(zip(changes, judge_together(turned), strict=True))
    lengths = sorted({run.setting("decode_len") for run in runs if run.decode_s is not None})

    records = [each.record for each in results.records if each.label == experiment.label]
    step_s = {
        run: {
            context_tokens(record) or 0: median_s
            for record in records
            if run.is_decoded_as(record) and (median_s := kernel_median_s(record))
        }
        for run in runs
    }

    def right_answers(task: str) -> Column[CompressRun]:
        """A column of the share of right answers of a task, with the share that guessing gives."""

        def cell(run: CompressRun) -> Text | None:
            right, guessed = map(numbers.percent, run.tasks.get(task, (0.0, 0.0)))
            return say("compress.task.right", right=right, guessed=guessed) if task in run.tasks else None

        return column(f"compress.task.{task}", cell, kind=Kind.NUMBER, only_where_known=True)

    def in_words(run: CompressRun) -> Text | None:
        """The verdict on a run's loss against the original model's; None of that model."""
        change = verdicts.get(run)
        if change is not None and change.outcome is ArmOutcome.FEW:
            return say("compress.few_windows", count=change.pairs)
        return None if change is None else comparison_verdict(change, "nats")

    def added(name: str) -> Column[CompressRun]:
        """A column of the nats that are added to a word of a class."""

        def cell(run: CompressRun) -> Text | None:
            change = None if run is run.original else run.added(name)
            return with_range(change.mean, change.interval, nats) if change else None

        return column(f"compress.added.{name}", cell, kind=Kind.NUMBER)

    steps: list[Column[Mapping[int, float]]] = []
    for tokens in sorted({tokens for times in step_s.values() for tokens in times}):
        title = say("compress.step", tokens=numbers.count(tokens))
        steps.append(column(title, methodcaller("get", tokens), numbers.seconds))
    decode_s: Column[CompressRun] = column("quality.decode", lambda run: run.decode_s, numbers.seconds)
    if len(lengths) > 1:
        # Where not all have the same context, each time is told with its own.
        behind = partial(say, "compress.behind")
        timed = [run for run in runs if run.decode_s is not None]
        texts = {
            run: behind(time=numbers.seconds(run.decode_s or 0), tokens=run.setting("decode_len")) for run in timed
        }
        decode_s = column("quality.decode", texts.get, kind=Kind.NUMBER)
    note = say(
        "compress.methods_note",
        windows=numbers.count(max(len(run.text[ALL]) for run in runs)),
        plays=joined("list", runs[0].plays) or numbers.NOTHING,
        lengths=joined("list", lengths) or numbers.NOTHING,
    )
    columns: list[Column[CompressRun]] = [
        column("compress.method", names.get),
        column("compress.rank", lambda run: run.rank, numbers.count),
        column("compress.change", design.change_with_range, kind=Kind.NUMBER),
        column(IN_WORDS, in_words),
        column("compress.perplexity", lambda run: run.perplexity, design.perplexity_text),
        column("quality.bytes", lambda run: run.cache_bytes, numbers.count),
        column("compress.of_own", lambda run: run.share_of_original, numbers.percent),
        *part_columns(step_s.get, steps),
        *map(right_answers, design.TASKS),
        column("compress.of_mha", lambda run: run.share_of_mha, numbers.percent),
        *map(added, CLASSES),
        decode_s,
    ]
    return _titled_table("methods", experiment, note, runs, columns)


def _findings(experiment: CompressExperiment) -> list[Headline]:
    """What the smallest taught cache and eight bits cost, down to which rank the best latent holds, and what goes first
    behind it: each as a point and as a sentence with its numbers."""
    parts = []
    taught_arms = [arm for arm in design.latents(experiment) if arm.value(TAUGHT)]
    taught_runs = [run for arm in taught_arms for run in arm.runs if run.times and run.cache_bytes]
    if taught := min(taught_runs, key=lambda run: run.cache_bytes or 0.0, default=None):
        name = next(arm.name for arm in experiment.arms if taught in arm.runs)
        interval = design.change_with_range(taught) or numbers.NOTHING
        parts.append(_finding("taught", taught, name, interval=interval))
    for run in design.runs_in(experiment):
        if run.method == INT8 and run.times:
            dtype, share = run.axis("dtype"), run.share_of_original
            of_half: Text = ""
            if share is not None and dtype in OVER_BFLOAT16:
                half = numbers.percent(share * OVER_BFLOAT16[dtype])
                of_half = say("compress.headline.of_half", dtype=dtype, share=half)
            interval = design.change_with_range(run) or numbers.NOTHING
            parts.append(_finding("int8", run, design.method_name(run.method), of_half=of_half, interval=interval))
    if best := design.best_latent(experiment):
        if narrowest := design.holds_until(best):
            # A latent that keeps as much as keys and values themselves cuts nothing.
            is_full = narrowest.is_low_rank and (narrowest.share_of_original or 0) >= 1
            parts.append(_finding("only_full" if is_full else "holds", narrowest, best.name))
        parts += _first_class_findings(best, experiment)
    return parts


def _finding(kind: str, run: CompressRun, name: Text, **more: Text) -> Headline:
    """A headline from `compress.point.{kind}` and `compress.headline.{kind}`, with a run's share, rank and change."""
    fields = {"share": _cache_share(run), "rank": run.rank or numbers.NOTHING, "rise": numbers.percent(RISE)}
    fields["change"] = design.change_text(run.times) if run.times else numbers.NOTHING
    return Headline(
        text=say(f"compress.point.{kind}", name=design.method_name(run.method), **fields),
        detail=say(f"compress.headline.{kind}", name=name, **fields, **more),
    )


def _first_class_findings(arm: MethodArm, experiment: CompressExperiment) -> list[Headline]:
    """A headline on the class that pays first where a method's perplexity rises; an empty list where it does not."""
    rises = [rise for rise in design.rises_in(experiment) if rise.arm is arm]
    sentences = [sentence for rise in rises if (sentence := _ranking(rise, is_brief=True)) is not None]
    if len(sentences) < len(design.MEASURES):
        return []
    by_nats, by_share = sentences
    return [_finding("first", rises[0].run, arm.name, by_nats=by_nats, by_share=by_share)]


def _headline(experiment: CompressExperiment, *, has_label: bool) -> Headline | None:
    """The first finding of an experiment, with all of them as its detail; None without a baseline or a finding."""
    parts = _findings(experiment) if experiment.baseline else []
    if experiment.baseline is None or not parts:
        return None
    original = experiment.baseline.first
    detail = say(
        "compress.headline",
        weights=original.weights or numbers.NOTHING,
        windows=numbers.count(len(original.text[ALL])),
        told=joined("stop", [part.detail for part in parts]),
    )
    return Headline(text=parts[0].text, detail=joined(": ", [experiment.label if has_label else "", detail]))


def compressed_evidence(experiment: CompressExperiment) -> Text:
    """A sentence beside a claim on what goes first under the best low-rank method; empty where nothing does."""
    best = design.best_latent(experiment)
    first = next(iter(_first_class_findings(best, experiment)), None) if best else None
    if best is None or first is None:
        return ""
    return say("claim.tiers.compressed", weights=best.runs[0].weights or numbers.NOTHING, told=first.detail)


def _cache_share(run: CompressRun) -> str:
    """The cache over the original model's, as a percentage; a dash where it is not known."""
    return numbers.NOTHING if run.share_of_original is None else numbers.percent(run.share_of_original)
