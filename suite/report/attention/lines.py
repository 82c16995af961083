"""Figures and tables of a metric against the context, a line for each variant: for latency, energy and memory."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.records import numbers
from suite.report.attention.groups import CaseGroup, axes_without, representatives
from suite.report.blocks import Figure, Kind, Table, Text, View, dotted, joined, say
from suite.report.model.experiment import grouped
from suite.report.model.labels import variant_sort_key, variant_style
from suite.report.model.results import Results
from suite.report.plot.plots import Axis, Point, Series, height_px, plot, token_axis
from suite.report.table import Column, column, label_column, table
from suite.report.timings import (
    CONTEXT,
    LAYER,
    VARIANT,
    VARIANT_SETTING,
    Timing,
    by_span,
    clock_names,
    row_facets,
    span_title,
)
from suite.statistics.intervals import Interval, median_ratio

HIGHER_PX = 20
Columns = Sequence[Column[Timing]]


@dataclass(frozen=True, kw_only=True)
class LineMetric:
    """A number of a timing that is drawn against the context."""

    key: str  # of its texts: .family, .caption, .axis, .hover and .note below it
    value: Callable[[Timing], float | None]
    text: Callable[[float], str]
    axis: Callable[[Text, Sequence[float]], Axis]  # makes the axis from its title and all values
    columns: Columns
    has_intervals: bool = False  # True for the median time, whose interval is drawn and says what may be equal
    finding: Callable[[Sequence[Timing]], Text] = lambda ranked: ""  # says what `ranked` timings show

    def point(self, timing: Timing) -> Point:
        """A timing's point, with its interval where the metric has one."""
        value, interval = self.value(timing) or 0.0, timing.interval
        hover = say(
            f"{self.key}.hover",
            tokens=numbers.count(timing.tokens or 0),
            value=self.text(value),
            interval=numbers.seconds_range(interval.low, interval.high),
            level=interval_level(interval),
            count=interval.count,
            backend=timing.backend,
        )
        ends = (interval.low, interval.high) if self.has_intervals else None
        return Point(x=timing.tokens, y=value, ends=ends, hover=hover, runs=(timing.record.run_key,))


def line_figure(metric: LineMetric, group: CaseGroup) -> Figure | None:
    """Draw a metric of a group against the context, a view for each span; None where the group has nothing to draw."""
    if not group.plotted:
        return None
    clock = clock_names(group.plotted)

    def draw(part: Sequence[Timing]) -> dict[str, Any]:
        lines = _lines(metric, part)
        values = [value for line in lines for point in line.points for value in (point.y, *(point.ends or ()))]
        contexts = token_axis(say("latency.context"), [timing.tokens or 0 for timing in part])
        # By this the page adds the timings of a record that a reader drops on it.
        joins = {"meta": {"joins": {"span": part[0].span}}} if metric.has_intervals else {}
        return plot(lines, xaxis=contexts, yaxis=metric.axis(say(f"{metric.key}.axis", clock=clock), values), **joins)

    views = span_views(group.plotted, draw)
    backends, plotted = ({timing.chosen_line[0] for timing in part} for part in (group.timings, group.plotted))
    left_out = say("latency.one_backend") if plotted < backends else ""
    return Figure(
        title=group.title,
        family=say(f"{metric.key}.family"),
        finding=metric.finding(ranked(group.plotted, metric.value)),
        settings=group.settings,
        caption=joined("sentence", [say(f"{metric.key}.caption", clock=clock), left_out]),
        views=views,
        height_px=max(height_px(len(view.figure["data"])) for view in views) + HIGHER_PX,
        facets=group.facets,
    )


def ranked(timings: Iterable[Timing], value: Callable[[Timing], float | None]) -> list[Timing]:
    """The best layer timing of each variant at the longest context that at least two variants have, the least first.

    A variant in sizes of its own counts apart, an unchecked layer not at all. If no context has two variants, the
    longest context counts.
    """
    values = {
        timing: number
        for timing in representatives(timing for timing in timings if timing.span == LAYER and timing.is_checked)
        if timing.tokens is not None and timing.is_measured and (number := value(timing))
    }
    most_first = sorted(values, key=lambda timing: -values[timing])
    by_tokens = grouped(most_first, lambda timing: timing.tokens or 0)
    shared = [tokens for tokens, case in by_tokens.items() if len({timing.variant for timing in case}) > 1]
    best = {timing.sized_variant: timing for timing in by_tokens[max(shared or by_tokens)]} if by_tokens else {}
    return sorted(best.values(), key=values.__getitem__)


def interval_level(interval: Interval) -> Text:
    """The confidence that an interval reaches, and what it holds for: `95.0% over 3 launches`."""
    key = "interval.launches" if interval.launches > 1 else "interval.one_launch"
    return say(key, level=f"{100 * interval.level:.1f}%", count=interval.launches)


def span_views(timings: Sequence[Timing], draw: Callable[[Sequence[Timing]], Mapping[str, Any]]) -> list[View]:
    return [View(title=span_title(span), figure=draw(span_timings)) for span, span_timings in by_span(timings).items()]


def _lines(metric: LineMetric, timings: Sequence[Timing]) -> list[Series]:
    """A line for each variant and its settings, and for each backend where a context has several."""
    ordered = sorted(timings, key=lambda timing: timing.tokens or 0)
    at_context = grouped(ordered, lambda timing: (timing.variant_name, timing.line[1:], timing.tokens))
    is_joined = len(at_context) == len(ordered)

    def line_key(timing: Timing) -> tuple[Any, ...]:
        return (
            variant_sort_key(timing.variant),
            "" if is_joined else timing.chosen_line[0],
            timing.line[1:],
            timing.is_checked,
        )

    lines = list(grouped(sorted(ordered, key=line_key), line_key).values())
    parts = [(" / ".join(dict.fromkeys(t.chosen_line[0] for t in line)), *line[0].line[1:]) for line in lines]
    shared = set.intersection(*map(set, parts))
    styles = [variant_style(line[0].variant) for line in lines]
    return [
        Series(
            name=dotted(
                line[0].variant_name, *(text.removeprefix(VARIANT_SETTING) for text in texts if text not in shared)
            ),
            points=list(map(metric.point, line)),
            style=style,
            ordinal=styles[:place].count(style),
            mode="lines+markers",
            facets={"variant": line[0].variant_name},
        )
        for place, (line, style, texts) in enumerate(zip(lines, styles, parts, strict=True))
    ]


def span_tables(metric: LineMetric, group: CaseGroup, results: Results) -> list[Table]:
    """A folded table of all a group's timings for each span, each with its ratio to the least of its case."""
    candidates = by_span(timing for timing in representatives(group.timings) if timing.is_checked)
    first, *rest = metric.columns
    note = say(f"{metric.key}.note", clock=clock_names(group.timings))
    tables = []
    for span, timings in by_span(group.timings).items():
        columns = [first, _over_least(metric, candidates.get(span, ())), *rest]
        tables.append(case_table(group, timings, results, columns, span_title(span), note=note, folded=True))
    return tables


def case_table(
    group: CaseGroup, timings: Sequence[Timing], results: Results, columns: Columns, title: Text, **more: Any
) -> Table:
    """Tabulate timings of a group by variant, context, `columns` and backend. `more`: passed on to `table`.

    A backend that `auto` chose is marked, where other rows asked for one by name.
    """
    title = dotted(group.title, title) if group.names else title
    head = [*([column("column.group", group.names.get)] if group.names else []), VARIANT, CONTEXT]
    auto = "auto: " if len({timing.is_auto for timing in timings}) > 1 else ""
    line: Column[Timing] = column(
        "column.backend", lambda row: auto * row.is_auto + ", ".join(row.line), kind=Kind.CODE
    )
    labels = label_column(results.several) if group.names else []
    subject: dict[str, Any] = {"facets_of": row_facets}
    if group.facets:
        subject = {"family": title, "settings": dotted(group.title, group.settings), "facets": group.facets}
    return table(title, timings, [*head, *columns, line, *labels], **subject, **more)


def _over_least(metric: LineMetric, candidates: Sequence[Timing]) -> Column[Timing]:
    """A column of each timing's ratio to the least candidate of its case; "≈" where the two may be equal."""

    def case_key(timing: Timing) -> tuple[object, ...]:
        return axes_without(timing, ("attention", "backend")), timing.shared_extras, timing.label

    least = {
        key: min(timings, key=lambda timing: metric.value(timing) or math.inf)
        for key, timings in grouped(candidates, case_key).items()
    }

    def ratio_text(timing: Timing) -> Text:
        best = least.get(case_key(timing), timing)
        value, best_value = metric.value(timing), metric.value(best)
        if not value or not best_value or timing is best:
            return ""
        is_open = metric.has_intervals and not median_ratio(timing.interval, best.interval).is_clear
        return f"{'≈ ' * is_open}{numbers.times(value / best_value)}"

    return column("table.over_least", ratio_text, kind=Kind.NUMBER)
