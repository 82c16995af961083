"""The distance of each case to the limits of its machine: arithmetic against memory traffic.

After Williams, Waterman and Patterson, "Roofline: an insightful visual performance model" (CACM 2009).
"""

from collections.abc import Sequence
from statistics import median
from typing import Any

from suite.records import numbers
from suite.records.derived import measured_ceilings
from suite.report.attention.groups import case_timings
from suite.report.attention.lines import span_views
from suite.report.blocks import Figure, Section, Text, dotted, joined, say, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import GREY, Style, phase_name, variant_sort_key, variant_style
from suite.report.model.results import Results
from suite.report.model.run import machine_id, machine_name
from suite.report.plot.plots import FILLS, Point, Series, decimal_ticks, log, meaning, plot
from suite.report.timings import CONTEXT, LAYER, SHARE, Timing, plausible_rate

FILLINGS, UNKNOWN_FILLING = {"decode": 0, "prefill": 1, "train": 3}, 2
SAME_CEILING = 1.05  # two measurements of one ceiling differ by as much


def build(results: Results) -> Section | None:
    """Build the section, a figure for each machine, dtype and number of threads; None where no record counts work."""
    machines = grouped(
        (t for t in case_timings(results) if _flops_per_s(t) and _intensity(t)),
        lambda t: (machine_name(t.record), t.axis("dtype"), t.axis("threads"), machine_id(t.current)),
    )
    names = [machine[:3] for machine in machines]
    figures = []
    for (name, dtype, threads, identity), cases in machines.items():
        suffix = identity[:8] if names.count((name, dtype, threads)) > 1 else ""
        figure = Figure(
            title=dotted(name, dtype),
            family=say("roofline.family"),
            finding=_finding(cases),
            caption=say("roofline.caption"),
            views=span_views(cases, _plot),
            height_px=520,
            settings=dotted(f"threads={threads}" if threads else "", suffix),
            facets={"machine": dotted(name, suffix), "dtype": dtype, **({"threads": threads} if threads else {})},
        )
        figures.append(figure)
    return section("roofline", figures=figures) if figures else None


def _flops_per_s(timing: Timing) -> float | None:
    return plausible_rate(timing.amount("flops"), timing.median_s)


def _intensity(timing: Timing) -> float | None:
    return plausible_rate(timing.amount("flops"), timing.amount("traffic_bytes"))


def _finding(cases: Sequence[Timing]) -> Text:
    """Say how much of its roofline each pass reaches, in the median of its cases."""
    layers = [timing for timing in cases if timing.span == LAYER and timing.roofline[0] and timing.is_checked]
    phases = grouped(layers, lambda timing: timing.axis("phase"))
    passes = []
    for phase in sorted(phases):
        share = numbers.percent(median(timing.roofline[0] or 0.0 for timing in phases[phase]))
        passes.append(say("roofline.reached", phase=phase_name(phase), share=share, count=len(phases[phase])))
    return say("roofline.finding", passes=joined("list", passes)) if passes else ""


def _plot(cases: Sequence[Timing]) -> dict[str, Any]:
    """Draw cases as points under the ceilings of their machine: FLOP/s over FLOPs a byte, logarithmic."""
    kinds = grouped(cases, lambda timing: (timing.variant_name, timing.axis("phase"), timing.label)).values()
    ordered = sorted(kinds, key=lambda kind: (variant_sort_key(kind[0].variant), kind[0].axis("phase"), kind[0].label))
    series = [*_roof(cases), *map(_kind_series, ordered)]
    points = [point for line in series for point in line.points]
    # Entries for what colours and fillings mean; an entry for every series would make dozens.
    legend, firsts = [], [kind[0] for kind in ordered]
    for name, style in {first.variant_name: variant_style(first.variant) for first in firsts}.items():
        legend.append(meaning(name, facets={"variant": name}, color=style.colour, symbol=style.marker))
    for phase in dict.fromkeys(first.axis("phase") for first in firsts):
        title, filling = phase_name(phase), FILLS[FILLINGS.get(phase, UNKNOWN_FILLING)]
        legend.append(meaning(title, facets={"phase": title}, symbol="circle" + filling))
    return plot(
        [*legend, *series],
        xaxis=log(say("roofline.intensity"), decimal_ticks([point.x for point in points], numbers.plain_tick)),
        yaxis=log(say("roofline.achieved"), decimal_ticks([point.y for point in points], numbers.plain_tick)),
    )


def _kind_series(kind: Sequence[Timing]) -> Series:
    """The points of the cases of one variant, phase and label."""
    first = kind[0]
    variant, phase = first.variant_name, phase_name(first.axis("phase"))
    return Series(
        name=dotted(variant, phase),
        points=list(map(_point, kind)),
        style=variant_style(first.variant),
        ordinal=FILLINGS.get(first.axis("phase"), UNKNOWN_FILLING),
        facets={"variant": variant, "phase": phase, "label": first.label},
        group=variant,
        in_legend=False,
        size=8,
        more={"opacity": 0.85},
    )


def _point(timing: Timing) -> Point:
    """A case at its FLOPs a byte and its GFLOP/s, with rates and share of the roofline in the hover text."""
    rates = {"flops": _flops_per_s(timing), "bytes": plausible_rate(timing.amount("traffic_bytes"), timing.median_s)}
    texts = {name: numbers.NOTHING if rate is None else numbers.giga(rate) for name, rate in rates.items()}
    about = {"geometry": timing.axis("geometry")}
    hover = say("roofline.hover", tokens=CONTEXT.written(timing), share=SHARE.written(timing), **about, **texts)
    rate = (rates["flops"] or 0) / 1e9
    return Point(x=_intensity(timing), y=rate, hover=hover, facets=about, runs=(timing.record.run_key,))


def _roof(cases: Sequence[Timing]) -> list[Series]:
    """Lines of the measured ceilings: the highest arithmetic rate, and the fastest and slowest memory rising to it."""
    ceilings = [ceiling for timing in cases if (ceiling := measured_ceilings(timing.record, timing.span))]
    peaks = [rate for ceiling in ceilings if (rate := plausible_rate(ceiling.flops_per_s))]
    speeds = [rate for ceiling in ceilings if (rate := plausible_rate(ceiling.bytes_per_s))]
    if not peaks or not speeds:
        return []
    peak, fastest, slowest = max(peaks), max(speeds), min(speeds)
    intensities = [_intensity(timing) or 1 for timing in cases]
    # From left of every point and of where the roof bends to right of both.
    first, last = min(*intensities, peak / fastest) / 2, max(*intensities, peak / slowest) * 2
    level = say("roofline.arithmetic", rate=numbers.giga(peak))
    roof = [_roof_line(level, "solid", (peak / fastest, peak), (last, peak))]
    for speed, dash in ((fastest, "dash"), (slowest, "dot"))[: 1 if fastest < SAME_CEILING * slowest else 2]:
        name = say("roofline.memory", rate=numbers.giga(speed))
        roof.append(_roof_line(name, dash, (first, speed * first), (peak / speed, peak)))
    return roof


def _roof_line(name: Text, dash: str, *ends: tuple[float, float]) -> Series:
    points = [Point(x=intensity, y=rate / 1e9) for intensity, rate in ends]
    style = Style(colour=GREY, dash=dash)
    return Series(name=name, points=points, style=style, mode="lines", more={"hoverinfo": "name"})
