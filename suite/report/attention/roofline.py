"""The distance of each case to the limits of its machine: arithmetic against memory traffic.

After Williams, Waterman and Patterson, "Roofline: an insightful visual performance model" (CACM 2009).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from suite.records import numbers
from suite.records.derived import ceilings_of
from suite.report.attention.groups import representatives, told_apart
from suite.report.attention.lines import span_views
from suite.report.attention.timings import (
    BACKEND,
    CONTEXT,
    LAYER,
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
from suite.report.blocks import Figure, Kind, Section, Text, dotted, joined, say, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import GREY, Style, phase_name, rank, variant_style
from suite.report.model.results import Results
from suite.report.model.run import machine_id, machine_name
from suite.report.plot.marks import FILLS, Point, Series, meaning
from suite.report.plot.plots import plot
from suite.report.plot.scales import decimal_ticks, log
from suite.report.table import column, label_column, plain, table

FILLINGS, UNKNOWN_FILLING = {"decode": 0, "prefill": 1, "train": 3}, 2
ALIKE = 1.05
"""Two measurements of one ceiling differ by as much."""
AXES_OF_COLUMNS = ("attention", "backend", "geometry", "phase", "seq_len", "dtype", "device", "threads")


def build(results: Results) -> Section | None:
    """Build it, one figure of each machine, dtype and number of threads; None where no record counts its work."""

    def key(timing: Timing) -> tuple[str, str, str, str]:
        return machine_name(timing.record), timing.axis("dtype"), timing.axis("threads"), machine_id(timing.current)

    machines = grouped(timings(results), key)
    names = [key[:3] for key in machines]
    figures, tables = [], []
    for (name, dtype, threads, machine), found in machines.items():
        drawn = [timing for timing in representatives(found) if _flops_per_s(timing) and _intensity(timing)]
        if any(_flops_per_s(timing) or _bytes_per_s(timing) or _cold_over_warm(timing) for timing in found):
            is_shared = names.count((name, dtype, threads)) > 1
            title, machine_said = dotted(name, dtype), dotted(name, machine[:8] if is_shared else "")
            about: dict[str, Any] = {
                "settings": dotted(f"threads={threads}" if threads else "", machine[:8] if is_shared else ""),
                "facets": {"machine": machine_said, "dtype": dtype, **({"threads": threads} if threads else {})},
            }
            figure = Figure(
                title=title,
                family=say("roofline.family"),
                finding=_finding(drawn),
                caption=say("roofline.caption"),
                views=span_views(drawn, _plot),
                height_px=520,
                **about,
            )
            figures.append(figure)
            for span, part in by_span(in_order(found)).items():
                rows = sorted(part, key=lambda timing: (timing.axis("geometry"), timing.axis("phase")))
                named, note = span_title(span), say("roofline.note")
                settings = told_apart({timing: [timing] for timing in rows}, besides=AXES_OF_COLUMNS)
                columns = [
                    VARIANT,
                    PHASE,
                    CONTEXT,
                    column("column.geometry", lambda timing: timing.axis("geometry"), facet="geometry"),
                    SHARE,
                    column("roofline.warm", lambda timing: timing.median_s, numbers.seconds),
                    REGIME,
                    column("roofline.cold", _cold, numbers.seconds),
                    column("roofline.cold_over_warm", _cold_over_warm, numbers.times),
                    FLOPS,
                    BYTES,
                    BACKEND,
                    *label_column(results.several),
                    column("column.settings", settings.get, kind=Kind.CODE, only_where_known=True),
                ]
                tables.append(table(named, rows, columns, family=named, note=note, folded=True, **about))
    return section("roofline", figures=figures, tables=tables) if tables else None


def _flops_per_s(timing: Timing) -> float | None:
    return plausible_rate(timing.amount("flops"), timing.median_s)


def _bytes_per_s(timing: Timing) -> float | None:
    return plausible_rate(timing.amount("traffic_bytes"), timing.median_s)


def _intensity(timing: Timing) -> float | None:
    """Useful FLOPs a byte of the least traffic."""
    return plausible_rate(timing.amount("flops"), timing.amount("traffic_bytes"))


def _cold(timing: Timing) -> float | Text | None:
    """The median after the caches were flushed, or in words why there is none of its own."""
    cold = str(timing.record.provenance.get("cold"))
    if cold in ("as_warm", "every_run"):
        return say(f"roofline.{cold}")
    flushed = timing.record.series("cold_latency_s", timing.span)
    usable = [reading.value for reading in flushed if is_plausible(reading.value)]
    return float(np.median(usable)) if usable else None


def _cold_over_warm(timing: Timing) -> float | None:
    cold = _cold(timing)
    return cold / timing.median_s if isinstance(cold, float) else None


def _finding(found: Sequence[Timing]) -> Text:
    """Say how much of its roofline each pass reaches, in the median of its cases."""
    layers = [timing for timing in found if timing.span == LAYER and timing.roofline[0] and timing.is_checked]
    shares = {
        phase: [timing.roofline[0] or 0.0 for timing in of]
        for phase, of in grouped(layers, lambda timing: timing.axis("phase")).items()
    }
    said = [
        say("roofline.reached", phase=phase_name(phase), share=numbers.percent(float(np.median(of))), count=len(of))
        for phase, of in sorted(shares.items())
    ]
    return say("roofline.finding", passes=joined("list", said)) if said else ""


def _plot(found: Sequence[Timing]) -> dict[str, Any]:
    groups = grouped(found, lambda timing: (timing.variant_name, timing.axis("phase"), timing.label)).values()
    ordered = sorted(groups, key=lambda of: (rank(of[0].variant), of[0].axis("phase"), of[0].label))
    series = [*_roof(found), *map(_points, ordered)]
    points = [point for line in series for point in line.points]
    return plot(
        [*_legend([of[0] for of in ordered]), *series],
        xaxis=log(say("roofline.intensity"), decimal_ticks([point.x for point in points], numbers.plain_tick)),
        yaxis=log(say("roofline.achieved"), decimal_ticks([point.y for point in points], numbers.plain_tick)),
    )


def _points(found: Sequence[Timing]) -> Series:
    first = found[0]
    variant, phase = first.variant_name, phase_name(first.axis("phase"))
    return Series(
        name=dotted(variant, phase),
        points=list(map(_point, found)),
        style=variant_style(first.variant),
        ordinal=FILLINGS.get(first.axis("phase"), UNKNOWN_FILLING),
        facets={"variant": variant, "phase": phase, "label": first.label},
        group=variant,
        in_legend=False,
        size=8,
        more={"opacity": 0.85},
    )


def _point(timing: Timing) -> Point:
    geometry, fields = timing.axis("geometry"), {"tokens": CONTEXT, "flops": FLOPS, "bytes": BYTES, "share": SHARE}
    hover = say("roofline.hover", geometry=geometry, **{name: known.written(timing) for name, known in fields.items()})
    rate = (_flops_per_s(timing) or 0) / 1e9
    about, runs = {"geometry": geometry}, (timing.record.run_key,)
    return Point(x=_intensity(timing), y=rate, hover=hover, facets=about, runs=runs)


def _legend(firsts: Sequence[Timing]) -> list[dict[str, Any]]:
    """What colour and filling mean, once each: a line for every series would be dozens."""
    styles = {timing.variant_name: variant_style(timing.variant) for timing in firsts}
    phases = dict.fromkeys(timing.axis("phase") for timing in firsts)
    entries = []
    for name, style in styles.items():
        entries.append(meaning(name, facets={"variant": name}, color=style.colour, symbol=style.marker))
    for phase in phases:
        title, filling = phase_name(phase), FILLS[FILLINGS.get(phase, UNKNOWN_FILLING)]
        entries.append(meaning(title, facets={"phase": title}, symbol="circle" + filling))
    return entries


def _roof(timed: Sequence[Timing]) -> list[Series]:
    """The measured ceilings: the best arithmetic level, the fastest and the slowest memory rising to it."""
    ceilings = [ceiling for timing in timed if (ceiling := ceilings_of(timing.record, timing.span))]
    peaks = [rate for ceiling in ceilings if (rate := plausible_rate(ceiling.flops_per_s))]
    speeds = [rate for ceiling in ceilings if (rate := plausible_rate(ceiling.bytes_per_s))]
    if not peaks or not speeds:
        return []
    peak, fastest, slowest = max(peaks), max(speeds), min(speeds)
    intensities = [_intensity(timing) or 1 for timing in timed]
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
