"""Latency against context: how each variant's time grows, and how far it stays from what the machine allows."""

from collections.abc import Mapping, Sequence
from typing import Any

from suite.records import numbers
from suite.report.blocks import MOST_ROWS_OPEN, Column, Figure, Kind, Section, Table, Text, cell, dotted, joined, say
from suite.report.charts import figure_text, log_axis, time_ticks
from suite.report.facets import case_facets
from suite.report.lines import (
    SPANS_FIRST,
    Point,
    height_px,
    one_backend_each,
    plot,
    span_title,
    span_views,
    spans_of,
    title_of,
    worth_drawing,
)
from suite.report.model.results import Results
from suite.report.palette import shown
from suite.report.side_by_side import side_by_side
from suite.report.timings import Timing, clock_names, groups, in_order, interval_level
from suite.statistics.intervals import may_be_equal


def build(results: Results) -> Section | None:
    found = groups(results)
    if not found:
        return None
    figures, tables = [], []
    drawn = worth_drawing(found)
    for group in drawn:
        timings, title = found[group], title_of(group, drawn)
        with_context = [timing for timing in timings if timing.seq_len is not None]
        if with_context:
            figures.append(_figure(title, with_context, dict(group), results))
        tables += _tables(title, [("", timing) for timing in in_order(timings)], results)
    rest = {group: title_of(group, list(found)) for group in found if group not in drawn}
    others = [(title, timing) for group, title in rest.items() for timing in in_order(found[group])]
    tables += _tables(say("latency.others"), others, results)
    return Section(
        id="latency",
        title=say("latency.title"),
        explanation=say("latency.explanation"),
        figures=figures,
        tables=tables,
    )


def _figure(title: str, timings: Sequence[Timing], axes: Mapping[str, str], results: Results) -> Figure:
    drawn = one_backend_each(timings)
    views = span_views(drawn, lambda part: _plot(part, results))
    caption = [say("latency.caption", clock=clock_names(timings))]
    if len(drawn) < len(timings):
        caption.append(say("latency.one_backend"))
    text = joined("sentence", caption)
    return Figure(title=title, caption=text, views=views, height_px=height_px(views), facets=case_facets(axes))


def _plot(timings: Sequence[Timing], results: Results) -> dict[str, Any]:
    points = [
        Point(
            timing=timing,
            value=timing.interval.median,
            low=timing.interval.low,
            high=timing.interval.high,
            hover=_hover(timing),
        )
        for timing in timings
    ]
    ends = [end for timing in timings for end in (timing.interval.low, timing.interval.high)]
    title = say("latency.axis", clock=figure_text(clock_names(timings)))
    return plot(points, results, yaxis=log_axis(title, time_ticks(ends)))


def _hover(timing: Timing) -> Text:
    return say(
        "latency.hover",
        tokens=numbers.count(timing.seq_len or 0),
        median=numbers.seconds(timing.interval.median),
        interval=numbers.seconds_range(timing.interval.low, timing.interval.high),
        level=interval_level(timing.interval),
        count=timing.interval.count,
    )


def _tables(title: str, timings: Sequence[tuple[str, Timing]], results: Results) -> list[Table]:
    """For each span what several labels share, then all of it: timings with what they belong to where the title does
    not say it."""
    tables = []
    for span in spans_of([timing for _, timing in timings]):
        of_span = [(group, timing) for group, timing in timings if timing.span == span]
        tables += side_by_side(
            title, span, of_span, results, value=_median_s, text=numbers.seconds, may_be_equal=_may_be_equal
        )
        tables.append(_table(title, span, of_span, results))
    return tables


def _median_s(timing: Timing) -> float:
    return timing.interval.median


def _may_be_equal(first: Timing, other: Timing) -> bool:
    return may_be_equal(first.interval, other.interval)


def _table(title: str, span: str, timings: Sequence[tuple[str, Timing]], results: Results) -> Table:
    has_groups = any(group for group, _ in timings)
    columns = [
        *([Column(title=say("column.group"))] if has_groups else []),
        Column(title=say("latency.context"), kind=Kind.NUMBER),
        Column(title=say("column.variant"), facet="variant"),
        Column(title=say("column.backend"), kind=Kind.CODE),
        *([Column(title=say("column.label"), facet="label")] if results.several else []),
        Column(title=say("column.median"), kind=Kind.NUMBER),
        Column(title=say("column.interval"), kind=Kind.NUMBER),
        Column(title=say("column.level"), kind=Kind.NUMBER),
        Column(title=say("column.count"), kind=Kind.NUMBER),
        Column(title=say("column.roofline"), kind=Kind.NUMBER),
        Column(title=say("column.regime")),
        Column(title=say("column.notes"), kind=Kind.LONG),
    ]
    return Table(
        title=dotted(title, span_title(span)),
        columns=columns,
        rows=[[*([group] if has_groups else []), *_row(timing, results)] for group, timing in timings],
        row_facets=[case_facets(timing.record.case.axes) for _, timing in timings],
        note=say("latency.table", clock=clock_names([timing for _, timing in timings])),
        folded=span != SPANS_FIRST[0] or len(timings) > MOST_ROWS_OPEN or results.several,
    )


def _row(timing: Timing, results: Results) -> list[str]:
    interval, several = timing.interval, timing.interval.count > 1
    return [
        cell(timing.seq_len, numbers.count),
        shown(timing.variant),
        ", ".join(timing.line),
        *([timing.label] if results.several else []),
        numbers.seconds(interval.median),
        numbers.seconds_range(interval.low, interval.high) if several else numbers.NOTHING,
        interval_level(interval) if several else numbers.NOTHING,
        numbers.count(interval.count),
        cell(timing.roofline_share, numbers.percent),
        say(f"regime.{timing.regime}") if timing.regime else numbers.NOTHING,
        joined("notes", _notes(timing)),
    ]


def _notes(timing: Timing) -> list[Text]:
    notes = []
    if timing.interval.count == 1:
        notes.append(say("note.single"))
    if timing.wall_over_judged is not None:
        notes.append(say("note.wall", ratio=numbers.times(timing.wall_over_judged)))
    if timing.left_out:
        notes.append(say("note.left_out", count=timing.left_out))
    if timing.current.superseded:
        notes.append(say("note.superseded", count=timing.current.superseded))
    if timing.current.settings_changed:
        notes.append(say("note.settings_changed"))
    return notes
