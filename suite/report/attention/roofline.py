"""The distance of each case to the limits of its machine: arithmetic against memory traffic.

After Williams, Waterman and Patterson, "Roofline: an insightful visual performance model" (CACM 2009).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from suite.records import numbers
from suite.records.derived import ceilings_of
from suite.report.attention.groups import told_apart
from suite.report.attention.lines import span_views
from suite.report.attention.timings import (
    BACKEND,
    CONTEXT,
    PHASE,
    REGIME,
    SHARE,
    VARIANT,
    Timing,
    by_span,
    in_order,
    is_plausible,
    plausible_rate,
    span_title,
    timings,
)
from suite.report.blocks import Figure, Kind, Section, Text, dotted, say, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import GREY, Style, phase_name, rank, variant_label, variant_style
from suite.report.model.results import Results
from suite.report.model.run import machine_id, machine_name
from suite.report.plot.marks import FILLS, Point, Series, meaning
from suite.report.plot.plots import plot
from suite.report.plot.scales import decimal_ticks, log
from suite.report.table import Column, column, label_column, plain, table

FILLINGS, UNKNOWN_FILLING = {"decode": 0, "prefill": 1, "train": 3}, 2
SIZES = (10, 7, 5)
"""Markers of several results in one figure."""
ALIKE = 1.05
"""Two measurements of one ceiling differ by as much."""
AXES_OF_COLUMNS = ("attention", "backend", "geometry", "phase", "seq_len", "dtype", "device", "threads")


def build(results: Results) -> Section | None:
    """Build it, a figure for each machine, dtype and number of threads; None where no record counts its work."""

    def key(timing: Timing) -> tuple[str, str, str, str]:
        return machine_name(timing.record), timing.axis("dtype"), timing.axis("threads"), machine_id(timing.current)

    machines = grouped(timings(results), key)
    names = [key[:3] for key in machines]
    figures, tables = [], []
    for (name, dtype, threads, machine), found in machines.items():
        drawn = [timing for timing in found if _flops_per_s(timing) and _intensity(timing)]
        if any(_flops_per_s(timing) or _bytes_per_s(timing) or _cold_over_warm(timing) for timing in found):
            is_shared = names.count((name, dtype, threads)) > 1
            title, several = dotted(name, dtype), len({timing.label for timing in drawn}) > 1
            about: dict[str, Any] = {
                "settings": dotted(f"threads={threads}" if threads else "", machine[:8] if is_shared else ""),
                "facets": {"dtype": dtype},
            }
            caption = say("roofline.caption_several" if several else "roofline.caption")
            views = span_views(drawn, lambda part: _plot(part, results))
            figures.append(Figure(title=title, caption=caption, views=views, height_px=500, **about))
            for span, part in by_span(in_order(found)).items():
                rows = sorted(part, key=lambda timing: (timing.axis("geometry"), timing.axis("phase")))
                named, note = dotted(title, span_title(span)), say("roofline.note")
                tables.append(table(named, rows, _columns(rows, results), note=note, folded=True, **about))
    return section("roofline", figures=figures, tables=tables) if tables else None


def _flops_per_s(timing: Timing) -> float | None:
    return plausible_rate(timing.amount("flops"), timing.median_s)


def _bytes_per_s(timing: Timing) -> float | None:
    return plausible_rate(timing.amount("traffic_bytes"), timing.median_s)


def _intensity(timing: Timing) -> float | None:
    """Return useful FLOPs a byte of the least traffic."""
    return plausible_rate(timing.amount("flops"), timing.amount("traffic_bytes"))


def _cold(timing: Timing) -> float | Text | None:
    """Return the median after the caches were flushed, or in words why there is none of its own."""
    cold = str(timing.record.provenance.get("cold"))
    if cold in ("as_warm", "every_run"):
        return say(f"roofline.{cold}")
    flushed = [reading for reading in timing.record.readings if reading.metric == "cold_latency_s"]
    usable = [reading.value for reading in flushed if reading.span == timing.span and is_plausible(reading.value)]
    return float(np.median(usable)) if usable else None


def _cold_over_warm(timing: Timing) -> float | None:
    cold = _cold(timing)
    return cold / timing.median_s if isinstance(cold, float) else None


def _plot(found: Sequence[Timing], results: Results) -> dict[str, Any]:
    labels = [label for label in results.labels if any(timing.label == label for timing in found)]
    sizes = {label: SIZES[place % len(SIZES)] for place, label in enumerate(labels)}
    groups = grouped(found, lambda timing: (timing.variant, timing.axis("phase"), timing.label))
    keys = sorted(groups, key=lambda key: (rank(key[0]), key))
    series = [*_roof(found), *(_points(groups[key], sizes) for key in keys)]
    points = [point for line in series for point in line.points]
    return plot(
        [*_legend(keys, sizes), *series],
        xaxis=log(say("roofline.intensity"), decimal_ticks([point.x for point in points], numbers.plain_tick)),
        yaxis=log(say("roofline.achieved"), decimal_ticks([point.y for point in points], numbers.plain_tick)),
    )


def _points(found: Sequence[Timing], sizes: Mapping[str, int]) -> Series:
    first = found[0]
    variant, phase = variant_label(first.variant), phase_name(first.axis("phase"))
    return Series(
        name=dotted(variant, phase, first.label if len(sizes) > 1 else ""),
        points=list(map(_point, found)),
        style=variant_style(first.variant),
        ordinal=FILLINGS.get(first.axis("phase"), UNKNOWN_FILLING),
        facets={"variant": variant, "phase": phase, "label": first.label},
        group=variant,
        in_legend=False,
        size=sizes[first.label],
        more={"opacity": 0.85},
    )


def _point(timing: Timing) -> Point:
    geometry, fields = timing.axis("geometry"), {"tokens": CONTEXT, "flops": FLOPS, "bytes": BYTES, "share": SHARE}
    hover = say("roofline.hover", geometry=geometry, **{name: known.written(timing) for name, known in fields.items()})
    rate = (_flops_per_s(timing) or 0) / 1e9
    return Point(x=_intensity(timing), y=rate, hover=hover, facets={"geometry": geometry})


def _legend(keys: Iterable[tuple[str, str, str]], sizes: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return what colour, filling and size mean, once each: a line for every series would be dozens."""
    variants, phases, _ = (dict.fromkeys(part) for part in zip(*keys, strict=True))
    entries = []
    for variant in variants:
        name, style = variant_label(variant), variant_style(variant)
        entries.append(meaning(name, facets={"variant": name}, color=style.colour, symbol=style.marker))
    for phase in phases:
        title, filling = phase_name(phase), FILLS[FILLINGS.get(phase, UNKNOWN_FILLING)]
        entries.append(meaning(title, facets={"phase": title}, symbol="circle" + filling))
    labels = sizes if len(sizes) > 1 else ()
    return entries + [meaning(label, facets={"label": label}, symbol="circle", size=sizes[label]) for label in labels]


def _roof(found: Sequence[Timing]) -> list[Series]:
    """Return the measured ceilings: the best arithmetic level, the fastest and the slowest memory rising to it."""
    ceilings = [ceiling for timing in found if (ceiling := ceilings_of(timing.record, timing.span))]
    peaks = [rate for ceiling in ceilings if (rate := plausible_rate(ceiling.flops_per_s))]
    speeds = [rate for ceiling in ceilings if (rate := plausible_rate(ceiling.bytes_per_s))]
    if not peaks or not speeds:
        return []
    peak, fastest, slowest = max(peaks), max(speeds), min(speeds)
    intensities = [_intensity(timing) or 1 for timing in found]
    first, last = min(*intensities, peak / fastest) / 2, max(*intensities, peak / slowest) * 2
    level = say("roofline.arithmetic", rate=numbers.giga(peak))
    roof = [_line(level, "solid", (peak / fastest, peak), (last, peak))]
    for speed, dash in ((fastest, "dash"), (slowest, "dot"))[: 1 if fastest < ALIKE * slowest else 2]:
        name = say("roofline.memory", rate=numbers.giga(speed))
        roof.append(_line(name, dash, (first, speed * first), (peak / speed, peak)))
    return roof


def _line(name: Text, dash: str, *ends: tuple[float, float]) -> Series:
    points = [Point(x=intensity, y=rate / 1e9) for intensity, rate in ends]
    style = Style(colour=GREY, dash=dash)
    return Series(name=name, points=points, style=style, mode="lines", more={"hoverinfo": "name"})


FLOPS = column(plain("GFLOP/s"), _flops_per_s, numbers.giga)
BYTES = column(plain("GB/s"), _bytes_per_s, numbers.giga)


def _columns(found: Sequence[Timing], results: Results) -> list[Column[Timing]]:
    settings = told_apart({timing: [timing] for timing in found}, besides=AXES_OF_COLUMNS)
    return [
        CONTEXT,
        column("column.settings", settings.get, kind=Kind.CODE, only_where_known=True),
        column("column.geometry", lambda timing: timing.axis("geometry"), facet="geometry"),
        PHASE,
        VARIANT,
        BACKEND,
        *label_column(results.several),
        column("roofline.warm", lambda timing: timing.median_s, numbers.seconds),
        column("roofline.cold", _cold, numbers.seconds),
        column("roofline.cold_over_warm", _cold_over_warm, numbers.times),
        FLOPS,
        BYTES,
        SHARE,
        REGIME,
    ]
