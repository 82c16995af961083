"""What devices that are not here allow: each projected case's least time under its device's two published ceilings.

Nothing on it was measured. A record may be foreign: what it lacks is a dash, and a time no device could have is none.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from math import inf
from typing import Any

from suite.records import numbers
from suite.report.attention.columns import CONTEXT, VARIANT, label_column
from suite.report.attention.hardware import FRAME_PX, ROW_PX, compared, marker_px, projected_groups, time_by_device
from suite.report.attention.lines import span_views
from suite.report.attention.timings import (
    OF_A_VARIANT,
    SPANS,
    Timing,
    in_order,
    row_facets,
    span_title,
    titles_of,
    usual_context,
)
from suite.report.blocks import Figure, Kind, Section, Table, Text, dotted, joined, say, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import VARIANT as ATTENTION
from suite.report.model.labels import shown, style_of
from suite.report.model.results import Results
from suite.report.model.run import Pairs, extras
from suite.report.plot.marks import Point, Series
from suite.report.plot.plots import LEGEND_ROW_PX
from suite.report.plot.text import figure_text
from suite.report.table import column, columns_of, table

BASELINE = "mha"
Spans = Mapping[str, Timing]
"""One projected case, by span."""


def build(results: Results) -> Section | None:
    """Build it from projected records; None without any."""
    found = projected_groups(results)
    if not found:
        return None
    titles = titles_of(found)
    drawn = [key for key in found if not _is_drawn_beside_measured(key, found[key], results)]
    moved = say("projection.beside_measured") if len(drawn) < len(found) else ""
    return section(
        "projection",
        explanation=joined("sentence", [say("projection.explanation"), moved]),
        figures=[_figure(*titles[key], found[key], results) for key in drawn],
        tables=[_table(*titles[key], found[key], results) for key in found],
    )


def _is_drawn_beside_measured(key: Pairs, found: Sequence[Timing], results: Results) -> bool:
    """Return whether hardware.py draws these, at its context."""
    one = compared(results).get(key)
    return one is not None and any(timing.tokens == one.tokens for timing in found)


def _device(timing: Timing) -> str:
    return timing.axis("hardware") or numbers.NOTHING


def _figure(title: Text, settings: Text, found: Sequence[Timing], results: Results) -> Figure | None:
    """Draw the longest of the contexts that have the most cases."""
    tokens = usual_context((timing.tokens, timing) for timing in found)
    if tokens is None:
        return None
    drawn = [timing for timing in found if timing.tokens == tokens]
    views = span_views(drawn, lambda part: _dots(part, results))
    # On a narrow screen every name in the legend takes a line.
    names = max(len(view.figure["data"]) for view in views)
    return Figure(
        title=dotted(title, say("callstyle.tokens", tokens=numbers.count(tokens))),
        settings=settings,
        caption=say("projection.caption"),
        views=views,
        height_px=FRAME_PX + LEGEND_ROW_PX * names + ROW_PX * len(set(map(_device, drawn))),
        facets=row_facets(drawn[0]),
    )


def _dots(found: Sequence[Timing], results: Results) -> dict[str, Any]:
    """Draw a row for each device, the fastest on top, and a marker for each variant."""
    least_s: dict[str, float] = defaultdict(lambda: inf)
    for timing in found:
        least_s[_device(timing)] = min(least_s[_device(timing)], timing.median_s)
    devices = sorted(least_s, key=lambda device: (least_s[device], device))
    has_labels = len({timing.label for timing in found}) > 1
    lines = grouped(in_order(found), lambda one: (one.sized_variant, one.label))
    series = [
        Series(
            name=dotted(name, label if has_labels else ""),
            points=[Point(x=one.median_s, y=figure_text(_device(one)), hover=_hover(one)) for one in line],
            style=style_of(ATTENTION, line[0].variant),
            ordinal=results.labels.index(label),
            facets={"variant": shown(line[0].variant), "label": label},
            size=marker_px(place),
        )
        for place, ((name, label), line) in enumerate(lines.items())
    ]
    return time_by_device(series, list(map(figure_text, devices)), say("projection.axis"))


def _hover(timing: Timing) -> Text:
    time, tokens = numbers.seconds(timing.median_s), numbers.count(timing.tokens or 0)
    return say("projection.hover", time=time, regime=_regime(timing) or numbers.NOTHING, tokens=tokens)


def _regime(timing: Timing) -> Text | None:
    regime = timing.roofline[1]
    return say(f"regime.{regime}") if regime else None


def _table(title: Text, settings: Text, found: Sequence[Timing], results: Results) -> Table:
    has_mha = any(timing.variant == BASELINE for timing in found)
    base_s: dict[tuple[object, ...], float] = defaultdict(float)
    for timing in found:
        if timing.variant == BASELINE or not has_mha:
            base_s[_place(timing)] = max(base_s[_place(timing)], timing.median_s)

    def speed(timing: Timing) -> float | None:
        return base_s[_place(timing)] / timing.median_s or None

    ordered = sorted(in_order(found), key=lambda one: (one.tokens or 0, _device(one)))
    cases: list[Spans] = [
        {one.span: one for one in case} for case in grouped(ordered, lambda one: id(one.current)).values()
    ]
    over = "projection.over_mha" if has_mha else "projection.over_slowest"
    named = [
        CONTEXT,
        column("signmap.device", _device, kind=Kind.CODE),
        VARIANT,
        column(
            "column.settings",
            lambda one: ", ".join(extras(one.record, OF_A_VARIANT)),
            kind=Kind.CODE,
            only_where_known=True,
        ),
        *label_column(results),
    ]
    kept = [
        column("projection.cache", lambda one: one.amount("cache_bytes", "case"), numbers.bytes_iec),
        column("projection.of_mha", lambda one: one.cache_share, numbers.percent),
    ]
    of_span = [
        columns_of(
            partial(_of_span, span),
            [
                column(span_title(span), lambda one: one.median_s, numbers.seconds),
                column(over, speed, numbers.times),
                column("column.regime", _regime),
            ],
        )
        for span in SPANS
    ]
    return table(
        title,
        cases,
        [*columns_of(_any, named), *(one for columns in of_span for one in columns), *columns_of(_any, kept)],
        settings=settings,
        note=say("projection.note_mha" if has_mha else "projection.note_slowest"),
        facets=row_facets(found[0]),
    )


def _place(timing: Timing) -> tuple[object, ...]:
    """Return where variants are compared."""
    return timing.tokens, _device(timing), timing.label, timing.span


def _of_span(span: str, case: Spans) -> Timing | None:
    return case.get(span)


def _any(case: Spans) -> Timing:
    return next(iter(case.values()))
