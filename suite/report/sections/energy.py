"""Joules a token: what each variant's step takes from the socket or the card, by the difference of a counter.

No record has it by guessing: where no counter could resolve a step, there is no reading, and so no point here.
"""

from collections.abc import Sequence
from typing import Any

from suite.records import numbers
from suite.records.derived import constant, cost_per_million_tokens, joules_per_token
from suite.report.blocks import MOST_ROWS_OPEN, Column, Figure, Kind, Section, Table, Text, cell, joined, say
from suite.report.charts import decimal_ticks, log_axis
from suite.report.facets import case_facets
from suite.report.lines import (
    SPANS_FIRST,
    Group,
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
from suite.report.timings import Timing, groups, in_order
from suite.report.watched import cut

PLAUSIBLE_J = (1e-12, 1e12)


def build(results: Results) -> Section | None:
    found = {
        group: known
        for group, timings in groups(results).items()
        if (known := [timing for timing in timings if _joules(timing) is not None])
    }
    if not found:
        return None
    drawn = worth_drawing(found)
    figures = [_figure(group, drawn, found[group], results) for group in drawn]
    return Section(
        id="energy",
        title=say("energy.title"),
        explanation=say("energy.explanation"),
        figures=[figure for figure in figures if figure],
        tables=[
            _table(span, [(title_of(group, list(found)), found[group]) for group in found], results)
            for span in spans_of([timing for timings in found.values() for timing in timings])
        ],
    )


def _joules(timing: Timing) -> float | None:
    """A token's."""
    joules = joules_per_token(timing.record, timing.span)
    return joules if joules is not None and PLAUSIBLE_J[0] < joules < PLAUSIBLE_J[1] else None


def _figure(group: Group, drawn: Sequence[Group], timings: Sequence[Timing], results: Results) -> Figure | None:
    with_context = [timing for timing in timings if timing.seq_len is not None]
    if not with_context:
        return None
    views = span_views(one_backend_each(with_context), lambda part: _plot(part, results))
    return Figure(
        title=title_of(group, drawn),
        caption=say("energy.caption"),
        views=views,
        height_px=height_px(views),
        facets=case_facets(dict(group)),
    )


def _plot(timings: Sequence[Timing], results: Results) -> dict[str, Any]:
    points = [
        Point(timing=timing, value=joules, hover=_hover(timing, joules))
        for timing in timings
        if (joules := _joules(timing)) is not None
    ]
    ticks = decimal_ticks([point.value for point in points], numbers.joules_tick)
    return plot(points, results, yaxis=log_axis(say("energy.axis"), ticks))


def _hover(timing: Timing, joules: float) -> Text:
    return say("energy.hover", tokens=numbers.count(timing.seq_len or 0), joules=numbers.joules(joules))


def _table(span: str, found: Sequence[tuple[str, Sequence[Timing]]], results: Results) -> Table:
    rows = [
        (title, timing) for title, timings in found for timing in in_order(one for one in timings if one.span == span)
    ]
    titles = list(dict.fromkeys(title for title, _ in rows))
    has_groups = len(titles) > 1
    costs = [cost_per_million_tokens(timing.record, timing.interval.median) for _, timing in rows]
    has_costs = any(cost is not None for cost in costs)
    note = [say("energy.note"), *([say("energy.cost_note")] if has_costs else [])]
    return Table(
        title=joined(" · ", [*([] if has_groups else titles), say("energy.table", span=span_title(span))]),
        columns=[
            *([Column(title=say("column.group"))] if has_groups else []),
            Column(title=say("latency.context"), kind=Kind.NUMBER),
            Column(title=say("column.variant"), facet="variant"),
            Column(title=say("column.backend"), kind=Kind.CODE),
            *([Column(title=say("column.label"), facet="label")] if results.several else []),
            *(
                Column(title=say(name), kind=Kind.NUMBER)
                for name in ("energy.per_token", "energy.per_step", "energy.power", "energy.window")
            ),
            *([Column(title=say("energy.cost"), kind=Kind.NUMBER)] if has_costs else []),
            Column(title=say("energy.source"), kind=Kind.CODE),
        ],
        rows=[
            [*([title] if has_groups else []), *_row(timing, cost, has_costs, results)]
            for (title, timing), cost in zip(rows, costs, strict=True)
        ],
        row_facets=[case_facets(timing.record.case.axes) for _, timing in rows],
        note=joined("sentence", note),
        folded=span != SPANS_FIRST[0] or len(rows) > MOST_ROWS_OPEN,
    )


def _row(timing: Timing, cost: float | None, has_costs: bool, results: Results) -> list[str]:
    record, span = timing.record, timing.span
    energy = record.provenance.get("energy")
    source = cut(energy.get("source")) if isinstance(energy, dict) else ""
    return [
        cell(timing.seq_len, numbers.count),
        shown(timing.variant),
        ", ".join(timing.line),
        *([timing.label] if results.several else []),
        cell(_joules(timing), numbers.joules),
        cell(constant(record, span, "energy_j"), numbers.joules),
        cell(constant(record, span, "energy_power_w"), numbers.watts),
        cell(constant(record, span, "energy_window_s"), numbers.seconds),
        *([cell(cost, lambda one: f"{one:,.3g}")] if has_costs else []),
        source or numbers.NOTHING,
    ]
