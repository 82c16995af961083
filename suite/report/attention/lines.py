"""A line a variant against the context, and the same cases under several labels: latency, memory and energy alike."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from suite.records import numbers
from suite.report.attention.columns import CONTEXT, LINE, VARIANT, label_column
from suite.report.attention.groups import Group
from suite.report.attention.timings import LAYER, Timing, by_span, one_launch_reach, row_facets, span_title
from suite.report.blocks import Figure, Kind, Table, Text, View, dotted, joined, say
from suite.report.model.experiment import grouped
from suite.report.model.labels import VARIANT as ATTENTION
from suite.report.model.labels import rank, shown, style_of
from suite.report.model.results import Results
from suite.report.plot.marks import Point, Series
from suite.report.plot.plots import Axis, plot
from suite.report.plot.scales import token_axis
from suite.report.table import Column, column, columns_of, plain, table
from suite.statistics.intervals import may_be_equal

HEIGHT_PX = 400
LEGEND_PX, LEGEND_ROW_PX = 480, 19
MOST_LINES = 12

ByLabel = Mapping[str, Timing]
"""One case under each label that has it."""


def line_figure(
    group: Group,
    results: Results,
    *,
    point: Callable[[Timing], Point],
    yaxis: Callable[[Sequence[float]], Axis],
    caption: Text,
) -> Figure | None:
    """Draw a group, a view a span; None where it has nothing to draw. `yaxis`: of all values and intervals' ends."""
    if not group.drawn:
        return None
    drawn = one_backend_each(group.drawn)

    def draw(part: Sequence[Timing]) -> dict[str, Any]:
        lines = _lines(part, results, point)
        values = [value for line in lines for one in line.points for value in (one.y, *(one.ends or ()))]
        contexts = [timing.tokens or 0 for timing in part]
        return plot(lines, xaxis=token_axis(say("latency.context"), contexts), yaxis=yaxis(values))

    views = span_views(drawn, draw)
    return Figure(
        title=group.title,
        settings=group.settings,
        caption=joined("sentence", [caption, say("latency.one_backend") if len(drawn) < len(group.drawn) else ""]),
        views=views,
        height_px=_height_px(views),
        facets=row_facets(drawn[0]),
    )


def span_views(found: Sequence[Timing], draw: Callable[[Sequence[Timing]], Mapping[str, Any]]) -> list[View]:
    """Return a view for each span, drawn from that span's timings."""
    return [View(title=span_title(span), figure=draw(of_span)) for span, of_span in by_span(found).items()]


def one_backend_each(found: Sequence[Timing]) -> list[Timing]:
    """Return all of them; where they would make more than MOST_LINES lines, one backend's of each line.

    Of the backends with the most contexts it is the fastest at the longest.
    """
    lines = grouped(found, lambda one: (one.span, one.variant, one.label, *one.chosen_line[1:]))
    backends = {key: grouped(line, lambda one: one.chosen_line[0]) for key, line in lines.items()}
    drawn = Counter(span for (span, *_), of_line in backends.items() for _ in of_line)
    if max(drawn.values(), default=0) <= MOST_LINES or len({key[1:] for key in lines}) == 1:
        return list(found)
    return [one for of_line in backends.values() for one in min(of_line.values(), key=_most_contexts_then_fastest)]


def _most_contexts_then_fastest(line: Sequence[Timing]) -> tuple[int, float]:
    return -len(line), max(line, key=lambda timing: timing.tokens or 0).median_s


def _lines(found: Sequence[Timing], results: Results, point: Callable[[Timing], Point]) -> list[Series]:
    """Return a line for each variant and what else tells its points apart."""
    lines = grouped(found, lambda one: (one.variant, *one.chosen_line, *([one.label] if results.several else [])))
    shared = set.intersection(*(set(rest) for _, *rest in lines))
    keys = sorted(lines, key=lambda key: (rank(key[0]), key))
    return [
        Series(
            name=dotted(shown(variant), *(part for part in rest if part not in shared)),
            points=[point(timing) for timing in sorted(lines[variant, *rest], key=lambda timing: timing.tokens or 0)],
            style=style_of(ATTENTION, variant),
            ordinal=[key[0] for key in keys[:place]].count(variant),
            mode="lines+markers",
            facets={"variant": shown(variant), "label": lines[variant, *rest][0].label},
        )
        for place, (variant, *rest) in enumerate(keys)
    ]


def _height_px(views: Sequence[View]) -> int:
    """Return the height in one of two columns, so that a long legend leaves the plot its room."""
    names = [[len(trace["name"]) for trace in view.figure["data"]] for view in views]
    rows = max(math.ceil(len(part) / max(1, LEGEND_PX // (55 + 7 * max(part)))) for part in names)
    return HEIGHT_PX + LEGEND_ROW_PX * max(0, rows - 2)


def case_table(
    group: Group,
    found: Sequence[Timing],
    results: Results,
    columns: Sequence[Column[Timing]],
    *,
    span: str = "",
    note: Text = "",
    folded: bool = False,
) -> Table:
    """Lay out a group's cases, each named by what it is. `span`: the one that all timings are of."""
    return table(
        dotted(group.title, span_title(span)),
        found,
        [*_names(group), CONTEXT, VARIANT, LINE, *label_column(results), *columns],
        settings=group.settings,
        note=note,
        folded=folded or span not in (LAYER, ""),
        facets_of=row_facets,
    )


def _names(group: Group) -> list[Column[Timing]]:
    return [column("column.group", group.names.get)] if group.names else []


def side_by_side(
    group: Group,
    span: str,
    results: Results,
    value: Callable[[Timing], float | None],
    text: Callable[[float], str],
    *,
    is_judged: bool = False,
) -> Table | None:
    """Lay out the cases that at least two labels have, a label a column, over the first label.

    `is_judged`: medians that may be one are marked.
    """
    known = [timing for timing in group.timings if timing.span == span and value(timing) is not None]
    cases = grouped(known, lambda timing: timing.record.case.id)
    by_label: list[ByLabel] = [{timing.label: timing for timing in case} for case in cases.values()]
    shared = [case for case in by_label if len(case) > 1]
    if not shared:
        return None
    first, *others = [label for label in results.labels if any(label in case for case in shared)]

    def of_label(label: str, case: ByLabel) -> float | None:
        return value(case[label]) if label in case else None

    def ratio(label: str, case: ByLabel) -> Text:
        over, under = of_label(label, case), of_label(first, case)
        if not over or not under:
            return ""
        is_open = is_judged and may_be_equal(case[first].interval, case[label].interval)
        return f"{'≈ ' * is_open}{numbers.times(over / under)}"

    over = [say("side_by_side.over", label=label, first=first) for label in others]
    said = say("side_by_side.open", reach=one_launch_reach()) if is_judged else ""
    settings: Column[Timing] = column("column.settings", lambda one: ", ".join(one.chosen_line), kind=Kind.CODE)
    return table(
        say("side_by_side.title", title=dotted(group.title, span_title(span))),
        shared,
        [
            *columns_of(_any, [*_names(group), CONTEXT, VARIANT, settings]),
            *(column(plain(label), partial(of_label, label), text) for label in (first, *others)),
            *(
                column(title, partial(ratio, label), kind=Kind.NUMBER)
                for title, label in zip(over, others, strict=True)
            ),
        ],
        settings=group.settings,
        note=joined("sentence", [say("side_by_side.note", label=first), said, say("side_by_side.next")]),
        folded=span != LAYER,
        facets_of=lambda case: row_facets(_any(case)),
    )


def _any(case: ByLabel) -> Timing:
    return next(iter(case.values()))
