"""Latency against context: how each variant's time grows, and how far it stays from what the machine allows."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from suite.records import numbers
from suite.report.charts import figure_text, layout, log_axis, time_ticks, token_ticks
from suite.report.palette import line_style, rank, shown
from suite.report.results import Results
from suite.report.section import Column, Figure, Kind, Section, Table, View
from suite.report.timings import Timing, clock_names, groups
from suite.report.words import Words

SPANS_FIRST = ("layer", "kernel")
IN_TITLE = ("geometry", "phase", "dtype", "device")
"""Axes that head a figure by their value alone; the others by name, and only where they differ between figures."""

Group = tuple[tuple[str, str], ...]


def build(results: Results, words: Words) -> Section | None:
    found = groups(results)
    if not found:
        return None
    figures, tables = [], []
    for group, timings in found.items():
        title = _title(group, list(found))
        drawn = [timing for timing in timings if timing.seq_len is not None]
        if drawn:
            figures.append(_figure(title, drawn, results, words))
        tables += [
            _table(title, span, [timing for timing in timings if timing.span == span], results, words)
            for span in _spans(timings)
        ]
    return Section(
        id="latency",
        title=words("latency.title"),
        explanation=words("latency.explanation"),
        figures=figures,
        tables=tables,
    )


def _title(group: Group, others: Sequence[Group]) -> str:
    axes = dict(group)
    parts = [axes[name] for name in IN_TITLE if axes.get(name)]
    for name, value in group:
        if name not in IN_TITLE and value and len({dict(other).get(name) or value for other in others}) > 1:
            parts.append(f"{name}={value}")
    return " · ".join(parts)


def _spans(timings: Sequence[Timing]) -> list[str]:
    present = {timing.span for timing in timings}
    return [span for span in SPANS_FIRST if span in present] + sorted(present - set(SPANS_FIRST))


def _figure(title: str, timings: Sequence[Timing], results: Results, words: Words) -> Figure:
    views = []
    for span in _spans(timings):
        shown = [timing for timing in timings if timing.span == span]
        views.append(View(title=words.either(f"span.{span}", span), figure=_plot(shown, results, words)))
    caption = words("latency.caption", clock=clock_names(timings, words))
    return Figure(title=title, caption=caption, views=views, height_px=400)


def _plot(timings: Sequence[Timing], results: Results, words: Words) -> dict[str, Any]:
    lines: dict[tuple[str, ...], list[Timing]] = defaultdict(list)
    for timing in timings:
        lines[(timing.variant, *_line_name(timing, results))].append(timing)
    ordinals: dict[str, int] = defaultdict(int)
    traces = []
    alike = set.intersection(*(set(rest) for _, *rest in lines))
    for (variant, *rest), points in sorted(lines.items(), key=lambda line: (rank(line[0][0]), line[0])):
        traces.append(_trace(variant, [part for part in rest if part not in alike], ordinals[variant], points, words))
        ordinals[variant] += 1
    ends = [end for timing in timings for end in (timing.interval.low, timing.interval.high)]
    clock = clock_names(timings, words)
    return {
        "data": traces,
        "layout": layout(
            xaxis=log_axis(words("latency.context"), token_ticks([timing.seq_len or 0 for timing in timings])),
            yaxis=log_axis(words("latency.axis", clock=figure_text(clock)), time_ticks(ends)),
            hovermode="closest",
        ),
    }


def _line_name(timing: Timing, results: Results) -> list[str]:
    return [*timing.line, *([timing.label] if results.several else [])]


def _trace(variant: str, rest: Sequence[str], ordinal: int, points: Sequence[Timing], words: Words) -> dict[str, Any]:
    points = sorted(points, key=lambda timing: timing.seq_len or 0)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": figure_text(" · ".join([shown(variant), *rest])),
        "x": [timing.seq_len for timing in points],
        "y": [timing.interval.median for timing in points],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [timing.interval.high - timing.interval.median for timing in points],
            "arrayminus": [timing.interval.median - timing.interval.low for timing in points],
            "thickness": 1.25,
            "width": 4,
        },
        "hovertext": [figure_text(_hover(timing, words)) for timing in points],
        "hovertemplate": "%{hovertext}<extra>%{fullData.name}</extra>",
        **line_style(variant, ordinal),
    }


def _hover(timing: Timing, words: Words) -> str:
    return words(
        "latency.hover",
        tokens=numbers.count(timing.seq_len or 0),
        median=numbers.seconds(timing.interval.median),
        interval=numbers.seconds_range(timing.interval.low, timing.interval.high),
        count=timing.interval.count,
    )


def _table(title: str, span: str, timings: Sequence[Timing], results: Results, words: Words) -> Table:
    columns = [
        Column(title=words("latency.context"), kind=Kind.NUMBER),
        Column(title=words("column.variant")),
        Column(title=words("column.backend"), kind=Kind.CODE),
        *([Column(title=words("column.label"))] if results.several else []),
        Column(title=words("column.median"), kind=Kind.NUMBER),
        Column(title=words("column.interval"), kind=Kind.NUMBER),
        Column(title=words("column.level"), kind=Kind.NUMBER),
        Column(title=words("column.count"), kind=Kind.NUMBER),
        Column(title=words("column.roofline"), kind=Kind.NUMBER),
        Column(title=words("column.regime")),
        Column(title=words("column.notes"), kind=Kind.LONG),
    ]
    ordered = sorted(timings, key=lambda timing: (timing.seq_len or 0, rank(timing.variant), timing.line, timing.label))
    return Table(
        title=f"{title} · {words.either(f'span.{span}', span)}",
        columns=columns,
        rows=[_row(timing, results, words) for timing in ordered],
        note=words("latency.table", clock=clock_names(timings, words)),
        folded=span != SPANS_FIRST[0],
    )


def _row(timing: Timing, results: Results, words: Words) -> list[str]:
    interval, several = timing.interval, timing.interval.count > 1
    share, regime = timing.roofline_share, timing.regime
    return [
        numbers.count(timing.seq_len) if timing.seq_len else numbers.NOTHING,
        shown(timing.variant),
        ", ".join(timing.line),
        *([timing.label] if results.several else []),
        numbers.seconds(interval.median),
        numbers.seconds_range(interval.low, interval.high) if several else numbers.NOTHING,
        f"{100 * interval.level:.1f} %" if several else numbers.NOTHING,
        numbers.count(interval.count),
        numbers.percent(share) if share is not None else numbers.NOTHING,
        words(f"regime.{regime}") if regime else numbers.NOTHING,
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
