"""Latency against context: how each variant's time grows, and how far it stays from what the machine allows."""

from collections.abc import Mapping, Sequence
from typing import Any

from suite.records import numbers
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
from suite.report.palette import shown
from suite.report.results import Results
from suite.report.section import MOST_ROWS_OPEN, Column, Figure, Kind, Section, Table, cell
from suite.report.side_by_side import side_by_side
from suite.report.timings import Timing, clock_names, groups, in_order, interval_level
from suite.report.words import Words
from suite.statistics.intervals import may_be_equal


def build(results: Results, words: Words) -> Section | None:
    found = groups(results)
    if not found:
        return None
    figures, tables = [], []
    drawn = worth_drawing(found)
    for group in drawn:
        timings, title = found[group], title_of(group, drawn, words)
        with_context = [timing for timing in timings if timing.seq_len is not None]
        if with_context:
            figures.append(_figure(title, with_context, dict(group), results, words))
        tables += _tables(title, [("", timing) for timing in in_order(timings)], results, words)
    rest = {group: title_of(group, list(found), words) for group in found if group not in drawn}
    others = [(title, timing) for group, title in rest.items() for timing in in_order(found[group])]
    tables += _tables(words("latency.others"), others, results, words)
    return Section(
        id="latency",
        title=words("latency.title"),
        explanation=words("latency.explanation"),
        figures=figures,
        tables=tables,
    )


def _figure(title: str, timings: Sequence[Timing], axes: Mapping[str, str], results: Results, words: Words) -> Figure:
    drawn = one_backend_each(timings)
    views = span_views(drawn, lambda part: _plot(part, results, words), words)
    caption = [words("latency.caption", clock=clock_names(timings, words))]
    if len(drawn) < len(timings):
        caption.append(words("latency.one_backend"))
    text = words("punctuation.sentence").join(caption)
    return Figure(title=title, caption=text, views=views, height_px=height_px(views), facets=case_facets(axes, words))


def _plot(timings: Sequence[Timing], results: Results, words: Words) -> dict[str, Any]:
    points = [
        Point(
            timing=timing,
            value=timing.interval.median,
            low=timing.interval.low,
            high=timing.interval.high,
            hover=_hover(timing, words),
        )
        for timing in timings
    ]
    ends = [end for timing in timings for end in (timing.interval.low, timing.interval.high)]
    title = words("latency.axis", clock=figure_text(clock_names(timings, words)))
    return plot(points, results, words, yaxis=log_axis(title, time_ticks(ends)))


def _hover(timing: Timing, words: Words) -> str:
    return words(
        "latency.hover",
        tokens=numbers.count(timing.seq_len or 0),
        median=numbers.seconds(timing.interval.median),
        interval=numbers.seconds_range(timing.interval.low, timing.interval.high),
        level=interval_level(timing.interval, words),
        count=timing.interval.count,
    )


def _tables(title: str, timings: Sequence[tuple[str, Timing]], results: Results, words: Words) -> list[Table]:
    """For each span what several labels share, then all of it: timings with what they belong to where the title does
    not say it."""
    tables = []
    for span in spans_of([timing for _, timing in timings]):
        of_span = [(group, timing) for group, timing in timings if timing.span == span]
        tables += side_by_side(
            title, span, of_span, results, words, value=_median_s, text=numbers.seconds, may_be_equal=_may_be_equal
        )
        tables.append(_table(title, span, of_span, results, words))
    return tables


def _median_s(timing: Timing) -> float:
    return timing.interval.median


def _may_be_equal(first: Timing, other: Timing) -> bool:
    return may_be_equal(first.interval, other.interval)


def _table(title: str, span: str, timings: Sequence[tuple[str, Timing]], results: Results, words: Words) -> Table:
    has_groups = any(group for group, _ in timings)
    columns = [
        *([Column(title=words("column.group"))] if has_groups else []),
        Column(title=words("latency.context"), kind=Kind.NUMBER),
        Column(title=words("column.variant"), facet="variant"),
        Column(title=words("column.backend"), kind=Kind.CODE),
        *([Column(title=words("column.label"), facet="label")] if results.several else []),
        Column(title=words("column.median"), kind=Kind.NUMBER),
        Column(title=words("column.interval"), kind=Kind.NUMBER),
        Column(title=words("column.level"), kind=Kind.NUMBER),
        Column(title=words("column.count"), kind=Kind.NUMBER),
        Column(title=words("column.roofline"), kind=Kind.NUMBER),
        Column(title=words("column.regime")),
        Column(title=words("column.notes"), kind=Kind.LONG),
    ]
    return Table(
        title=f"{title} · {span_title(span, words)}",
        columns=columns,
        rows=[[*([group] if has_groups else []), *_row(timing, results, words)] for group, timing in timings],
        row_facets=[case_facets(timing.record.case.axes, words) for _, timing in timings],
        note=words("latency.table", clock=clock_names([timing for _, timing in timings], words)),
        folded=span != SPANS_FIRST[0] or len(timings) > MOST_ROWS_OPEN or results.several,
    )


def _row(timing: Timing, results: Results, words: Words) -> list[str]:
    interval, several = timing.interval, timing.interval.count > 1
    return [
        cell(timing.seq_len, numbers.count),
        shown(timing.variant),
        ", ".join(timing.line),
        *([timing.label] if results.several else []),
        numbers.seconds(interval.median),
        numbers.seconds_range(interval.low, interval.high) if several else numbers.NOTHING,
        interval_level(interval, words) if several else numbers.NOTHING,
        numbers.count(interval.count),
        cell(timing.roofline_share, numbers.percent),
        words(f"regime.{timing.regime}") if timing.regime else numbers.NOTHING,
        words("punctuation.notes").join(_notes(timing, words)),
    ]


def _notes(timing: Timing, words: Words) -> list[str]:
    notes = []
    if timing.interval.count == 1:
        notes.append(words("note.single"))
    if timing.wall_over_judged is not None:
        notes.append(words("note.wall", ratio=numbers.times(timing.wall_over_judged)))
    if timing.left_out:
        notes.append(words("note.left_out", count=timing.left_out))
    if timing.current.superseded:
        notes.append(words("note.superseded", count=timing.current.superseded))
    if timing.current.settings_changed:
        notes.append(words("note.settings_changed"))
    return notes
