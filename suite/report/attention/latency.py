"""Latency against context: how each variant's time grows, and how far it stays from what the machine allows."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from operator import attrgetter

from suite.records import numbers
from suite.report.attention.groups import Group, groups, told_apart
from suite.report.attention.lines import Metric, interval_level, line_figure, ranked, span_tables
from suite.report.attention.timings import REGIME, SHARE, Timing, clock_names, is_clearly_faster, timings
from suite.report.blocks import Headline, Kind, Section, Text, joined, say, section
from suite.report.model.formats import times_range
from suite.report.model.labels import phase_name, variant_label
from suite.report.model.results import Results
from suite.report.plot.scales import time_axis
from suite.report.table import Column, column, columns_of
from suite.statistics.intervals import ONE_LAUNCH_GAP, Interval, may_be_equal, ratio_of_medians

BASELINE, LATENT = "mha", "mla"
SAID = ("attention", "backend", "geometry", "phase", "dtype", "seq_len")


def build(results: Results) -> Section | None:
    """Build it from every timing; None without any."""
    found = groups(timings(results), lambda timing: timing.tokens is not None)
    tables = []
    for group in found:
        note = say("latency.table", clock=clock_names(group.timings))
        tables += span_tables(METRIC, group, results, COLUMNS, note)
    figures = [line_figure(METRIC, group) for group in found]
    return section("latency", figures=figures, tables=tables, headlines=headlines(found, results)) if found else None


def finding(order: Sequence[Timing]) -> Text:
    """Say which variant is fastest and by how much where that is clear, else what it and its rival take; and MLA."""
    if not order:
        return ""
    first, *others = order
    fields = {"tokens": numbers.count(first.tokens or 0), "first": first.full_name}
    time = numbers.seconds(first.median_s)
    if not others:
        return say("finding.latency.alone", time=time, **fields)
    second = next((other for other in others if not is_clearly_faster(first, other)), others[0])
    over = ratio_of_medians(second.interval, first.interval)
    latent = next((timing for timing in others if timing.variant.partition("_")[0] == LATENT), None)
    fields |= {"second": second.full_name, "ratio": numbers.times(over.ratio)}
    key = "apart" if is_clearly_faster(first, second) else "near" if over.low <= 1 <= over.high else "few"
    order_of_two = say(f"finding.latency.{key}", time=time, range=times_range(over.low, over.high), **fields)
    if latent in (None, second) or first.variant == LATENT:
        return order_of_two
    ratio = numbers.times(latent.median_s / first.median_s)
    return joined("notes", [order_of_two, say("finding.latency.latent", variant=latent.full_name, ratio=ratio)])


METRIC = Metric(
    family="latency.family",
    caption="latency.caption",
    title="latency.axis",
    hover="latency.hover",
    value=attrgetter("median_s"),
    text=numbers.seconds,
    axis=time_axis,
    has_intervals=True,
    finding=finding,
)


def _interval(timing: Timing) -> Interval | None:
    """The median's interval, which a single reading has none of."""
    return timing.interval if timing.interval.count > 1 else None


def _notes(timing: Timing) -> Text:
    current, wall = timing.current, timing.wall_over_judged
    notes = {
        say("note.single"): timing.interval.count == 1,
        say("note.wall", ratio=numbers.times(wall or 0)): wall is not None,
        say("note.left_out", count=timing.left_out): timing.left_out,
        say("note.superseded", count=current.superseded): current.superseded,
        say("note.settings_changed"): current.settings_changed,
    }
    return joined("notes", [note for note, holds in notes.items() if holds])


RANGE: Column[Interval] = column(
    "column.interval", lambda interval: numbers.seconds_range(interval.low, interval.high), kind=Kind.NUMBER
)
LEVEL: Column[Interval] = column("column.level", interval_level, kind=Kind.NUMBER)
COLUMNS: list[Column[Timing]] = [
    column("column.median", lambda timing: timing.median_s, numbers.seconds),
    *columns_of(_interval, [RANGE]),
    column("column.count", lambda timing: timing.interval.count, numbers.count),
    *columns_of(_interval, [LEVEL]),
    SHARE,
    REGIME,
    column("column.notes", _notes, kind=Kind.LONG),
]


def headlines(found: Sequence[Group], results: Results) -> list[Headline]:
    """Return who is fastest at the longest context that several variants share, for the first figure of each pass."""
    of_pass: dict[str, Sequence[Timing]] = {}
    for group in found:
        order = ranked(group.drawn, METRIC.value)
        if len({timing.variant for timing in order}) > 1:
            of_pass.setdefault(order[0].axis("phase"), order)
    first = {order[0]: order[:1] for order in of_pass.values()}
    settings = told_apart(first, besides=SAID, extras_of=lambda timing: timing.shared_extras)
    return [_headline(order, settings, results) for order in of_pass.values()]


def _headline(ranked: Sequence[Timing], settings: Mapping[Timing, str], results: Results) -> Headline:
    first, *others = ranked
    case = {
        "phase": phase_name(first.axis("phase")),
        "geometry": first.axis("geometry"),
        "dtype": first.axis("dtype"),
        "tokens": numbers.count(first.tokens or 0),
    }
    is_fastest = all(is_clearly_faster(first, other) for other in others)
    key = "finding.latency.fastest" if is_fastest else "finding.latency.open"
    detail = say(
        "finding.latency",
        settings=say("finding.settings", settings=settings[first]) if settings[first] else "",
        clock=clock_names(ranked),
        ranking=joined("list", map(_item, ranked)),
        **case,
    )
    sentences = [joined(": ", [first.label if results.several else "", detail])]
    if any(may_be_equal(*both) for both in pairwise(timing.interval for timing in ranked)):
        sentences.append(say("finding.overlap"))
    if any(timing.interval.launches == 1 for timing in ranked):
        sentences.append(say("finding.one_launch", gap=numbers.percent(ONE_LAUNCH_GAP - 1)))
    return Headline(
        text=say(key, variant=variant_label(first.variant), time=numbers.seconds(first.median_s), **case),
        detail=joined("sentence", sentences),
    )


def _item(timing: Timing) -> Text:
    """A variant with its time and what it keeps of MHA's cache."""
    item, share = f"{timing.full_name} {numbers.seconds(timing.median_s)}", timing.cache_share
    is_told = share is not None and timing.variant != BASELINE
    return say("finding.item", item=item, share=numbers.percent(share or 0)) if is_told else item
