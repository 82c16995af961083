"""A line a variant against the context, and the same cases under several labels: latency, memory and energy alike."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from suite.records import numbers
from suite.report.attention.groups import Group, any_of
from suite.report.attention.timings import (
    CONTEXT,
    LAYER,
    LINE,
    VARIANT,
    Timing,
    by_span,
    clock_names,
    one_launch_reach,
    row_facets,
    span_title,
)
from suite.report.blocks import Figure, Kind, Table, Text, View, dotted, joined, say
from suite.report.model.experiment import grouped
from suite.report.model.labels import rank, variant_label, variant_style
from suite.report.model.results import Results
from suite.report.plot.marks import Point, Series
from suite.report.plot.plots import Axis, plot
from suite.report.plot.scales import token_axis
from suite.report.table import Column, column, columns_of, label_column, plain, table
from suite.statistics.intervals import Interval, may_be_equal

HEIGHT_PX = 400
LEGEND_PX, LEGEND_ROW_PX = 480, 19
MOST_LINES = 12

Columns = Sequence[Column[Timing]]
ByLabel = Mapping[str, Timing]
"""One case under each label that has it."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number of a timing that is drawn against the context."""

    caption: str
    title: str
    """The title of its axis; this, the caption and the hover text are keys of the texts."""
    hover: str
    value: Callable[[Timing], float | None]
    text: Callable[[float], str]
    axis: Callable[[Text, Sequence[float]], Axis]
    """Makes the axis from its title and all values."""
    has_intervals: bool = False
    """It is the median itself, whose interval is drawn and says what may be equal."""

    def point(self, timing: Timing) -> Point:
        """Return a timing's point of a figure."""
        value, interval = self.value(timing) or 0.0, timing.interval
        hover = say(
            self.hover,
            tokens=numbers.count(timing.tokens or 0),
            value=self.text(value),
            interval=numbers.seconds_range(interval.low, interval.high),
            level=interval_level(interval),
            count=interval.count,
        )
        ends = (interval.low, interval.high) if self.has_intervals else None
        return Point(x=timing.tokens, y=value, ends=ends, hover=hover)


def line_figure(metric: Metric, group: Group, results: Results) -> Figure | None:
    """Draw a group, a view a span; None where it has nothing to draw."""
    if not group.drawn:
        return None
    drawn, clock = one_backend_each(group.drawn), clock_names(group.drawn)

    def draw(part: Sequence[Timing]) -> dict[str, Any]:
        lines = _lines(metric, part, results)
        values = [value for line in lines for point in line.points for value in (point.y, *(point.ends or ()))]
        contexts = token_axis(say("latency.context"), [timing.tokens or 0 for timing in part])
        return plot(lines, xaxis=contexts, yaxis=metric.axis(say(metric.title, clock=clock), values))

    views = span_views(drawn, draw)
    left_out = say("latency.one_backend") if len(drawn) < len(group.drawn) else ""
    return Figure(
        title=group.title,
        settings=group.settings,
        caption=joined("sentence", [say(metric.caption, clock=clock), left_out]),
        views=views,
        height_px=_height_px(views),
        facets=row_facets(drawn[0]),
    )


def interval_level(interval: Interval) -> Text:
    """Return the confidence that an interval reaches, and what it holds for: `95.0 % over 3 launches`."""
    key = "interval.launches" if interval.launches > 1 else "interval.one_launch"
    return say(key, level=f"{100 * interval.level:.1f} %", count=interval.launches)


def span_views(found: Sequence[Timing], draw: Callable[[Sequence[Timing]], Mapping[str, Any]]) -> list[View]:
    """Return a view for each span, drawn from that span's timings."""
    return [View(title=span_title(span), figure=draw(of_span)) for span, of_span in by_span(found).items()]


def one_backend_each(found: Sequence[Timing]) -> list[Timing]:
    """Return all of them; where they would make more than MOST_LINES lines, one backend's of each line.

    Of the backends with the most contexts it is the fastest at the longest.
    """
    lines = grouped(found, lambda timing: (timing.span, timing.variant, timing.label, *timing.chosen_line[1:]))
    backends = {key: grouped(line, lambda timing: timing.chosen_line[0]) for key, line in lines.items()}
    drawn = Counter(span for (span, *_), of_line in backends.items() for _ in of_line)
    if max(drawn.values(), default=0) <= MOST_LINES or len({key[1:] for key in lines}) == 1:
        return list(found)

    def most_contexts_then_fastest(line: Sequence[Timing]) -> tuple[int, float]:
        return -len(line), max(line, key=lambda timing: timing.tokens or 0).median_s

    chosen = [min(of_line.values(), key=most_contexts_then_fastest) for of_line in backends.values()]
    return [timing for line in chosen for timing in line]


def _lines(metric: Metric, found: Sequence[Timing], results: Results) -> list[Series]:
    """Return a line for each variant and what else tells its points apart."""

    def key(timing: Timing) -> tuple[str, ...]:
        return timing.variant, *timing.chosen_line, *([timing.label] if results.several else [])

    lines = grouped(sorted(found, key=lambda timing: timing.tokens or 0), key)
    shared = set.intersection(*(set(rest) for _, *rest in lines))
    keys = sorted(lines, key=lambda key: (rank(key[0]), key))
    return [
        Series(
            name=dotted(variant_label(variant), *(part for part in rest if part not in shared)),
            points=list(map(metric.point, lines[variant, *rest])),
            style=variant_style(variant),
            ordinal=[key[0] for key in keys[:place]].count(variant),
            mode="lines+markers",
            facets={"variant": variant_label(variant), "label": lines[variant, *rest][0].label},
        )
        for place, (variant, *rest) in enumerate(keys)
    ]


def _height_px(views: Sequence[View]) -> int:
    """Return the height in one of two columns, so that a long legend leaves the plot its room."""
    names = [[len(trace["name"]) for trace in view.figure["data"]] for view in views]
    rows = max(math.ceil(len(part) / max(1, LEGEND_PX // (55 + 7 * max(part)))) for part in names)
    return HEIGHT_PX + LEGEND_ROW_PX * max(0, rows - 2)


def span_tables(
    metric: Metric, group: Group, results: Results, columns: Columns, note: Text, folded: bool = False
) -> list[Table | None]:
    """Lay out for each span what several labels share, then all of it."""
    tables = []
    for span, of_span in by_span(group.timings).items():
        is_folded = folded or span != LAYER
        tables.append(label_comparison(metric, group, of_span, results))
        tables.append(case_table(group, of_span, results, columns, span, note=note, folded=is_folded))
    return tables


def case_table(
    group: Group, found: Sequence[Timing], results: Results, columns: Columns, span: str = "", **more: Any
) -> Table:
    """Lay out a group's cases, each named by what it is. `span`: the one that all timings are of."""
    title = dotted(group.title, span_title(span))
    named = [*_group_column(group), CONTEXT, VARIANT, LINE, *label_column(results.several)]
    return table(title, found, [*named, *columns], settings=group.settings, facets_of=row_facets, **more)


def _group_column(group: Group) -> list[Column[Timing]]:
    return [column("column.group", group.names.get)] if group.names else []


def label_comparison(metric: Metric, group: Group, of_span: Sequence[Timing], results: Results) -> Table | None:
    """Lay out the cases that at least two labels have, a label a column, over the first label."""
    known = [timing for timing in of_span if metric.value(timing) is not None]
    cases = grouped(known, lambda timing: timing.record.case.id).values()
    shared: list[ByLabel] = [
        {timing.label: timing for timing in case} for case in cases if len({timing.label for timing in case}) > 1
    ]
    if not shared:
        return None
    first, *others = [label for label in results.labels if any(label in case for case in shared)]

    def of_label(label: str, case: ByLabel) -> float | None:
        return metric.value(case[label]) if label in case else None

    def ratio(label: str, case: ByLabel) -> Text:
        over, under = of_label(label, case), of_label(first, case)
        if not over or not under:
            return ""
        is_open = metric.has_intervals and may_be_equal(case[first].interval, case[label].interval)
        return f"{'≈ ' * is_open}{numbers.times(over / under)}"

    titles = {label: say("label_comparison.over", label=label, first=first) for label in others}
    judged = say("label_comparison.open", reach=one_launch_reach()) if metric.has_intervals else ""
    settings: Column[Timing] = column("column.settings", lambda timing: ", ".join(timing.chosen_line), kind=Kind.CODE)
    span = known[0].span
    return table(
        say("label_comparison.title", title=dotted(group.title, span_title(span))),
        shared,
        [
            *columns_of(any_of, [*_group_column(group), CONTEXT, VARIANT, settings]),
            *(column(plain(label), partial(of_label, label), metric.text) for label in (first, *others)),
            *(column(title, partial(ratio, label), kind=Kind.NUMBER) for label, title in titles.items()),
        ],
        settings=group.settings,
        note=joined("sentence", [say("label_comparison.note", label=first), judged, say("label_comparison.next")]),
        folded=span != LAYER,
        facets_of=lambda case: row_facets(any_of(case)),
    )
