"""A line a variant against the context, of which a reader chooses model, pass and type: latency, memory and energy."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.records import numbers
from suite.report.attention.groups import Group, axes_of
from suite.report.attention.timings import (
    CONTEXT,
    LAYER,
    LINE,
    OF_A_VARIANT,
    VARIANT,
    Timing,
    by_span,
    clock_names,
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
from suite.report.table import Column, column, label_column, table
from suite.statistics.intervals import Interval, may_be_equal

HEIGHT_PX = 420
LEGEND_PX, LEGEND_ROW_PX = 340, 19
MOST_LINES = 8

Columns = Sequence[Column[Timing]]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number of a timing that is drawn against the context."""

    family: str
    caption: str
    title: str
    """The title of its axis; this, the family, the caption and the hover text are keys of the texts."""
    hover: str
    value: Callable[[Timing], float | None]
    text: Callable[[float], str]
    axis: Callable[[Text, Sequence[float]], Axis]
    """Makes the axis from its title and all values."""
    has_intervals: bool = False
    """It is the median itself, whose interval is drawn and says what may be equal."""
    finding: Callable[[Sequence[Timing]], Text] = lambda ranked: ""
    """Says what the best of each variant at the longest shared context tell, the least first."""

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
        return Point(x=timing.tokens, y=value, ends=ends, hover=hover, runs=(timing.record.run_key,))


def line_figure(metric: Metric, group: Group) -> Figure | None:
    """Draw a group, a view a span; None where it has nothing to draw."""
    if not group.drawn:
        return None
    drawn, clock = one_backend_each(group.drawn), clock_names(group.drawn)

    def draw(part: Sequence[Timing]) -> dict[str, Any]:
        lines = _lines(metric, part)
        values = [value for line in lines for point in line.points for value in (point.y, *(point.ends or ()))]
        contexts = token_axis(say("latency.context"), [timing.tokens or 0 for timing in part])
        # Tells the page which timings of a dropped record belong here.
        joins = {"meta": {"joins": {"span": part[0].span}}} if metric.has_intervals else {}
        return plot(lines, xaxis=contexts, yaxis=metric.axis(say(metric.title, clock=clock), values), **joins)

    views = span_views(drawn, draw)
    left_out = say("latency.one_backend") if len(drawn) < len(group.drawn) else ""
    return Figure(
        title=group.title,
        family=say(metric.family),
        finding=metric.finding(ranked(group.drawn, metric.value)),
        settings=group.settings,
        caption=joined("sentence", [say(metric.caption, clock=clock), left_out]),
        views=views,
        height_px=_height_px(views),
        facets=group.facets,
    )


def ranked(found: Iterable[Timing], value: Callable[[Timing], float | None]) -> list[Timing]:
    """Return at the longest context that at least two variants have the best timing of each, the least first.

    A variant in sizes of its own counts apart. Where only one variant is, its longest context.
    """
    values = {
        timing: known
        for timing in found
        if timing.span == LAYER and timing.tokens is not None and timing.is_measured and (known := value(timing))
    }
    most_first = sorted(values, key=lambda timing: -values[timing])
    cases = grouped(most_first, lambda timing: (timing.tokens or 0, timing.shared_extras))
    shared = [key for key, case in cases.items() if len({timing.variant for timing in case}) > 1]
    best = {timing.sized_variant: timing for timing in cases[max(shared or cases)]} if cases else {}
    return sorted(best.values(), key=lambda timing: values[timing])


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
    lines = grouped(found, lambda timing: (timing.span, timing.variant, *timing.chosen_line[1:]))
    backends = {key: grouped(line, lambda timing: timing.chosen_line[0]) for key, line in lines.items()}
    drawn = Counter(span for (span, *_), of_line in backends.items() for _ in of_line)
    if max(drawn.values(), default=0) <= MOST_LINES or len({key[1:] for key in lines}) == 1:
        return list(found)

    def most_contexts_then_fastest(line: Sequence[Timing]) -> tuple[int, float]:
        return -len(line), max(line, key=lambda timing: timing.tokens or 0).median_s

    chosen = [min(of_line.values(), key=most_contexts_then_fastest) for of_line in backends.values()]
    return [timing for line in chosen for timing in line]


def _lines(metric: Metric, found: Sequence[Timing]) -> list[Series]:
    """Return a line for each variant and what else tells its points apart."""

    def key(timing: Timing) -> tuple[str, ...]:
        return timing.variant, *timing.chosen_line

    lines = grouped(sorted(found, key=lambda timing: timing.tokens or 0), key)
    shared = set.intersection(*(set(rest) for _, *rest in lines))
    keys = sorted(lines, key=lambda key: (rank(key[0]), key))
    return [
        Series(
            name=dotted(
                variant_label(variant), *(part.removeprefix(OF_A_VARIANT) for part in rest if part not in shared)
            ),
            points=list(map(metric.point, lines[variant, *rest])),
            style=variant_style(variant),
            ordinal=[variant_style(key[0]) for key in keys[:place]].count(variant_style(variant)),
            mode="lines+markers",
            facets={"variant": variant_label(variant)},
        )
        for place, (variant, *rest) in enumerate(keys)
    ]


def _height_px(views: Sequence[View]) -> int:
    """Return the height on a narrow screen, so that a long legend leaves the plot its room."""
    names = [[len(trace["name"]) for trace in view.figure["data"]] for view in views]
    rows = max(math.ceil(len(part) / max(1, LEGEND_PX // (55 + 7 * max(part)))) for part in names)
    return HEIGHT_PX + LEGEND_ROW_PX * max(0, rows - 2)


def span_tables(metric: Metric, group: Group, results: Results, columns: Columns, note: Text) -> list[Table]:
    """Lay out all of a group, a table for each span."""
    return [
        case_table(
            group,
            of_span,
            results,
            [columns[0], *compared(metric, of_span), *columns[1:]],
            span,
            note=note,
            folded=True,
        )
        for span, of_span in by_span(group.timings).items()
    ]


def case_table(
    group: Group, found: Sequence[Timing], results: Results, columns: Columns, span: str = "", **more: Any
) -> Table:
    """Lay out a group's cases, each named by what it is. `span`: the one that all timings are of."""
    said = span_title(span) if span else say("table.cases")
    title = dotted(group.title, span_title(span)) if group.names else said
    named = [*_group_column(group), VARIANT, CONTEXT]
    rest = [LINE, *(label_column(results.several) if group.names else [])]
    about = {"family": title, "settings": dotted(group.title, group.settings), "facets": group.facets}
    shown = about if group.facets else {"facets_of": row_facets}
    return table(title, found, [*named, *columns, *rest], **shown, **more)


def _group_column(group: Group) -> list[Column[Timing]]:
    return [column("column.group", group.names.get)] if group.names else []


def compared(metric: Metric, found: Sequence[Timing]) -> list[Column[Timing]]:
    """Return a column that sets each timing beside the least of its case, "≈" where the two may be one."""

    def case(timing: Timing) -> tuple[object, ...]:
        return axes_of(timing, ("attention", "backend")), timing.shared_extras, timing.label

    least = {key: min(alike, key=lambda t: metric.value(t) or math.inf) for key, alike in grouped(found, case).items()}

    def over(timing: Timing) -> Text:
        best = least[case(timing)]
        value, of_best = metric.value(timing), metric.value(best)
        if not value or not of_best or timing is best:
            return ""
        is_open = metric.has_intervals and may_be_equal(best.interval, timing.interval)
        return f"{'≈ ' * is_open}{numbers.times(value / of_best)}"

    return [column("table.over_least", over, kind=Kind.NUMBER)]
