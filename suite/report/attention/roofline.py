"""How far each case stays below what its machine reaches: arithmetic against memory traffic.

After Williams, Waterman and Patterson, "Roofline: an insightful visual performance model" (CACM 2009).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from suite.records import numbers
from suite.records.derived import ceilings_of
from suite.report.attention.columns import BACKEND, CONTEXT, PHASE, ROOFLINE, VARIANT, label_column
from suite.report.attention.lines import span_views
from suite.report.attention.timings import (
    Timing,
    in_order,
    is_plausible_s,
    plausible_rate,
    settings_shown,
    span_title,
    spans_of,
    timings,
)
from suite.report.blocks import Figure, Kind, Section, Table, Text, dotted, say, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import GREY, Style, phase_name, rank, shown, style_of
from suite.report.model.labels import VARIANT as ATTENTION
from suite.report.model.results import Results
from suite.report.model.run import machine_id, machine_name
from suite.report.plot.marks import FILLS, Point, Series, meaning
from suite.report.plot.plots import plot
from suite.report.plot.scales import decimal_ticks, log
from suite.report.table import column, plain, table

FILLINGS, UNKNOWN_FILLING = {"decode": 0, "prefill": 1, "train": 3}, 2
SIZES = (10, 7, 5)
"""Markers of several results in one figure."""
ALIKE = 1.05
"""Two measurements of one ceiling differ by as much."""
AXES_OF_COLUMNS = ("attention", "backend", "geometry", "phase", "seq_len", "dtype", "device", "threads")


def build(results: Results) -> Section | None:
    """Build it, a figure for each machine, dtype and number of threads; None where nothing says what it counts."""
    machines = grouped(
        timings(results),
        lambda one: (machine_name(one.record), one.axis("dtype"), one.axis("threads"), machine_id(one.current)),
    )
    named = [key[:3] for key in machines]
    figures, tables = [], []
    for (name, dtype, threads, machine), found in machines.items():
        if any(one.flops_per_s or one.bytes_per_s or cold_s(one) for one in found):
            is_shared = named.count((name, dtype, threads)) > 1
            told = [f"threads={threads}" if threads else "", machine[:8] if is_shared else ""]
            titled = {"title": dotted(name, dtype), "settings": dotted(*told), "facets": {"dtype": dtype}}
            figures.append(_figure(found, results, titled))
            tables += [_table(found, span, results, titled) for span in spans_of(found)]
    return section("roofline", figures=figures, tables=tables) if tables else None


def cold_s(timing: Timing) -> float | None:
    """Return the median after the caches were flushed, where that was measured."""
    readings = [one for one in timing.record.readings if (one.span, one.metric) == (timing.span, "cold_latency_s")]
    usable = [reading.value for reading in readings if is_plausible_s(reading.value)]
    return float(np.median(usable)) if usable else None


def _figure(found: Sequence[Timing], results: Results, titled: Mapping[str, Any]) -> Figure | None:
    drawn = [timing for timing in found if timing.flops_per_s and timing.flops_per_byte]
    several = len({timing.label for timing in drawn}) > 1
    return Figure(
        caption=say("roofline.caption_several" if several else "roofline.caption"),
        views=span_views(drawn, lambda part: _plot(part, results)),
        height_px=500,
        **titled,
    )


def _plot(found: Sequence[Timing], results: Results) -> dict[str, Any]:
    labels = [label for label in results.labels if any(timing.label == label for timing in found)]
    sizes = {label: SIZES[place % len(SIZES)] for place, label in enumerate(labels)}
    groups = grouped(found, lambda one: (one.variant, one.axis("phase"), one.label))
    keys = sorted(groups, key=lambda key: (rank(key[0]), key))
    series = [*_roof(found), *(_points(groups[key], sizes) for key in keys)]
    points = [point for one in series for point in one.points]
    return plot(
        [*_legend(keys, sizes), *series],
        xaxis=log(say("roofline.intensity"), decimal_ticks([point.x for point in points], numbers.plain_tick)),
        yaxis=log(say("roofline.achieved"), decimal_ticks([point.y for point in points], numbers.plain_tick)),
    )


def _points(found: Sequence[Timing], sizes: Mapping[str, int]) -> Series:
    first = found[0]
    variant, phase = shown(first.variant), phase_name(first.axis("phase"))
    return Series(
        name=dotted(variant, phase, first.label if len(sizes) > 1 else ""),
        points=[
            Point(
                x=timing.flops_per_byte,
                y=(timing.flops_per_s or 0) / 1e9,
                hover=_hover(timing),
                facets={"geometry": timing.axis("geometry")},
            )
            for timing in found
        ],
        style=style_of(ATTENTION, first.variant),
        ordinal=FILLINGS.get(first.axis("phase"), UNKNOWN_FILLING),
        facets={"variant": variant, "phase": phase, "label": first.label},
        group=variant,
        in_legend=False,
        size=sizes[first.label],
        more={"opacity": 0.85},
    )


def _hover(timing: Timing) -> Text:
    def said(value: float | None, text: Any) -> str:
        return numbers.NOTHING if value is None else text(value)

    return say(
        "roofline.hover",
        tokens=said(timing.tokens, numbers.count),
        geometry=timing.axis("geometry"),
        flops=said(timing.flops_per_s, numbers.giga),
        bytes=said(timing.bytes_per_s, numbers.giga),
        share=said(timing.roofline[0], numbers.percent),
    )


def _legend(keys: Iterable[tuple[str, str, str]], sizes: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return what colour, filling and size mean, once each: a line for every series would be dozens."""
    variants, phases, _ = (dict.fromkeys(part) for part in zip(*keys, strict=True))
    entries = []
    for variant in variants:
        style = style_of(ATTENTION, variant)
        name = shown(variant)
        entries.append(meaning(name, facets={"variant": name}, color=style.colour, symbol=style.marker))
    for phase in phases:
        filling = FILLS[FILLINGS.get(phase, UNKNOWN_FILLING)]
        entries.append(meaning(phase_name(phase), facets={"phase": phase_name(phase)}, symbol="circle" + filling))
    of_labels = sizes.items() if len(sizes) > 1 else ()
    return entries + [meaning(label, facets={"label": label}, symbol="circle", size=size) for label, size in of_labels]


def _roof(found: Sequence[Timing]) -> list[Series]:
    """Return the measured ceilings: the best arithmetic level, the fastest and the slowest memory rising to it."""
    ceilings = [ceiling for timing in found if (ceiling := ceilings_of(timing.record, timing.span))]
    peaks = [rate for one in ceilings if (rate := plausible_rate(one.flops_per_s))]
    speeds = [rate for one in ceilings if (rate := plausible_rate(one.bytes_per_s))]
    if not peaks or not speeds:
        return []
    peak, fastest, slowest = max(peaks), max(speeds), min(speeds)
    intensities = [timing.flops_per_byte or 1 for timing in found]
    first, last = min(*intensities, peak / fastest) / 2, max(*intensities, peak / slowest) * 2
    level = say("roofline.arithmetic", rate=numbers.giga(peak))
    roof = [_line(level, [(peak / fastest, peak), (last, peak)], "solid")]
    for speed, dash in zip(
        [fastest] if fastest < ALIKE * slowest else [fastest, slowest], ("dash", "dot"), strict=False
    ):
        name = say("roofline.memory", rate=numbers.giga(speed))
        roof.append(_line(name, [(first, speed * first), (peak / speed, peak)], dash))
    return roof


def _line(name: Text, ends: Iterable[tuple[float, float]], dash: str) -> Series:
    points = [Point(x=intensity, y=rate / 1e9) for intensity, rate in ends]
    return Series(
        name=name, points=points, style=Style(colour=GREY, dash=dash), mode="lines", more={"hoverinfo": "name"}
    )


def _table(found: Sequence[Timing], span: str, results: Results, titled: Mapping[str, Any]) -> Table:
    of_span = [timing for timing in in_order(found) if timing.span == span]
    of_span = sorted(of_span, key=lambda one: (one.axis("geometry"), one.axis("phase")))
    return table(
        rows=of_span,
        columns=[
            CONTEXT,
            column(
                "column.settings",
                settings_shown(of_span, besides=AXES_OF_COLUMNS).get,
                kind=Kind.CODE,
                only_where_known=True,
            ),
            column("column.geometry", lambda one: one.axis("geometry"), facet="geometry"),
            PHASE,
            VARIANT,
            BACKEND,
            *label_column(results),
            column("roofline.warm", lambda one: one.median_s, numbers.seconds),
            column("roofline.cold", lambda one: _told(one) or cold_s(one), numbers.seconds),
            column("roofline.cold_over_warm", _cold_over_warm, numbers.times),
            column(plain("GFLOP/s"), lambda one: one.flops_per_s, numbers.giga),
            column(plain("GB/s"), lambda one: one.bytes_per_s, numbers.giga),
            *ROOFLINE,
        ],
        note=say("roofline.note"),
        folded=True,
        **(titled | {"title": dotted(titled["title"], span_title(span))}),
    )


def _told(timing: Timing) -> Text | None:
    """Return in words why there is no cold time of its own."""
    cold = str(timing.record.provenance.get("cold"))
    return say(f"roofline.{cold}") if cold in ("as_warm", "every_run") else None


def _cold_over_warm(timing: Timing) -> float | None:
    cold = cold_s(timing)
    return None if _told(timing) or cold is None else cold / timing.median_s
