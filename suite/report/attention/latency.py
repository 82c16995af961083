"""Latency against context: how each variant's time grows, and how far it stays from what the machine allows."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from operator import attrgetter

from suite.records import numbers
from suite.report.attention.groups import by_key, groups, told_apart, worth_drawing
from suite.report.attention.lines import Metric, interval_level, line_figure, span_tables
from suite.report.attention.timings import LAYER, REGIME, SHARE, Timing, clock_names, timings
from suite.report.blocks import Headline, Kind, Section, Text, joined, say, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import phase_name, variant_label
from suite.report.model.results import Results
from suite.report.plot.scales import time_axis
from suite.report.table import Column, column, columns_of
from suite.statistics.intervals import ONE_LAUNCH_GAP, Interval, may_be_equal

BASELINE = "mha"
MOST_HEADLINES, FEWEST_OF_A_LABEL, FEW_VARIANTS = 6, 2, 3
"""With fewer variants a finding is left to the section where others say more."""
SAID = ("attention", "backend", "geometry", "phase", "dtype", "seq_len")
WANTED_LEVEL = 0.95

METRIC = Metric(
    caption="latency.caption",
    title="latency.axis",
    hover="latency.hover",
    value=attrgetter("median_s"),
    text=numbers.seconds,
    axis=time_axis,
    has_intervals=True,
)


def build(results: Results) -> Section | None:
    """Build it from every timing; None without any."""
    found = groups(timings(results), lambda timing: timing.tokens is not None)
    tables = []
    for group in found:
        note = say("latency.table", clock=clock_names(group.timings))
        tables += span_tables(METRIC, group, results, COLUMNS, note, results.several)
    figures = [line_figure(METRIC, group, results) for group in found]
    return section("latency", figures=figures, tables=tables, headlines=headlines(results)) if found else None


def _interval(timing: Timing) -> Interval | None:
    """Return the median's interval, which a single reading has none of."""
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


INTERVAL: list[Column[Interval]] = [
    column("column.interval", lambda interval: numbers.seconds_range(interval.low, interval.high), kind=Kind.NUMBER),
    column("column.level", interval_level, kind=Kind.NUMBER),
]
COLUMNS: list[Column[Timing]] = [
    column("column.median", lambda timing: timing.median_s, numbers.seconds),
    *columns_of(_interval, INTERVAL),
    column("column.count", lambda timing: timing.interval.count, numbers.count),
    SHARE,
    REGIME,
    column("column.notes", _notes, kind=Kind.LONG),
]


def headlines(results: Results) -> list[Headline]:
    """Return who is fastest at the longest context that several variants share; every label has its part of them."""
    most = max(FEWEST_OF_A_LABEL, MOST_HEADLINES // max(1, len(results.labels)))
    found: list[Sequence[Timing]] = []
    for label in results.labels:
        own = by_key(timing for timing in timings(results) if timing.label == label)
        ranked = [_ranked(own[key]) for key in worth_drawing(own)]
        longest = max(map(len, ranked), default=0)
        telling = [ranking for ranking in ranked if len(ranking) >= min(FEW_VARIANTS, longest) > 0]
        found += sorted(telling, key=lambda ranking: -len(ranking))[:most]
    first = {ranked[0]: ranked[:1] for ranked in found}
    settings = told_apart(first, besides=SAID, extras_of=lambda timing: timing.shared_extras)
    return [_headline(ranked, settings, results) for ranked in found]


def _ranked(found: Iterable[Timing]) -> list[Timing]:
    """Return at the longest context that at least two variants have the fastest timing of each, the fastest first.

    A variant in sizes of its own counts apart.
    """
    measured = [timing for timing in found if timing.span == LAYER and timing.tokens is not None and timing.is_measured]
    slowest_first = sorted(measured, key=lambda timing: -timing.median_s)
    cases = grouped(slowest_first, lambda timing: (timing.tokens or 0, timing.shared_extras))
    shared = [key for key, case in cases.items() if len({timing.variant for timing in case}) > 1]
    best = {timing.sized_variant: timing for timing in cases[max(shared)]} if shared else {}
    return sorted(best.values(), key=lambda timing: timing.median_s)


def _headline(ranked: Sequence[Timing], settings: Mapping[Timing, str], results: Results) -> Headline:
    first, second, *_ = ranked
    level = min(first.interval.level, second.interval.level)
    is_open = may_be_equal(first.interval, second.interval) or level < WANTED_LEVEL
    case = {
        "phase": phase_name(first.axis("phase")),
        "geometry": first.axis("geometry"),
        "dtype": first.axis("dtype"),
        "tokens": numbers.count(first.tokens or 0),
    }
    key = "finding.latency.open" if is_open else "finding.latency.fastest"
    detail = say(
        "finding.latency",
        settings=say("finding.settings", settings=settings[first]) if settings[first] else "",
        clock=clock_names(ranked),
        ranking=joined("list", map(_item, ranked)),
        **case,
    )
    labelled = joined(": ", [first.label if results.several else "", detail])
    return Headline(
        text=say(key, variant=variant_label(first.variant), time=numbers.seconds(first.median_s), **case),
        detail=joined("sentence", [labelled, *_reservations(ranked)]),
    )


def _reservations(ranked: Sequence[Timing]) -> Iterable[Text]:
    """Yield what keeps the order from being certain."""
    near = [both for both in pairwise(timing.interval for timing in ranked) if may_be_equal(*both)]
    level = min(timing.interval.level for timing in ranked)
    if near:
        yield say("finding.overlap")
    if any(timing.interval.count == 1 for timing in ranked):
        yield say("finding.single")
    elif level < WANTED_LEVEL:
        yield say("finding.few", level=numbers.percent(level))
    if any(interval.launches == 1 for both in near for interval in both):
        yield say("finding.one_launch", gap=numbers.percent(ONE_LAUNCH_GAP - 1))


def _item(timing: Timing) -> Text:
    """Return a variant with its time and what it keeps of MHA's cache."""
    item, share = f"{timing.sized_variant} {numbers.seconds(timing.median_s)}", timing.cache_share
    is_told = share is not None and timing.variant != BASELINE
    return say("finding.item", item=item, share=numbers.percent(share or 0)) if is_told else item
