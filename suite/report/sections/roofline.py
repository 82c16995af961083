"""How far each case stays below what its machine reaches: arithmetic against memory traffic.

After Williams, Waterman and Patterson, "Roofline: an insightful visual performance model" (CACM 2009).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from suite.records import numbers
from suite.records.derived import ceilings_of
from suite.report.blocks import Column, Figure, Kind, Section, Table, Text, cell, dotted, joined, say, say_or
from suite.report.charts import decimal_ticks, figure_text, layout, log_axis
from suite.report.facets import trace_facets
from suite.report.lines import span_title, span_views, spans_of
from suite.report.machines import machine_id, machine_name
from suite.report.model.results import Results
from suite.report.palette import rank, shown, style_of
from suite.report.timings import Timing, axis, in_order, is_timed, plausible_rate, settings_shown, timings_of

FILLINGS = {"decode": "", "prefill": "-open", "train": "-open-dot"}
UNKNOWN_FILLING = "-dot"
SIZES = (10, 7, 5)
"""Markers of several results in one figure."""
GREY = "#808080"
ALIKE = 1.05
"""Two measurements of one ceiling differ by as much."""
AXES_OF_COLUMNS = ("attention", "backend", "geometry", "phase", "seq_len", "dtype", "device", "threads")

Machine = tuple[str, ...]


def build(results: Results) -> Section | None:
    figures, tables = [], []
    for title, timings in _by_machine(results).items():
        drawn = [timing for timing in timings if timing.flops_per_s and timing.flops_per_byte]
        if drawn:
            views = span_views(drawn, lambda part: _plot(part, results))
            several = len({timing.label for timing in drawn}) > 1
            caption = say("roofline.caption_several" if several else "roofline.caption")
            facets = {"dtype": axis(drawn[0].record, "dtype")}
            figures.append(Figure(title=title, caption=caption, views=views, height_px=500, facets=facets))
        tables += [
            _table(title, span, [timing for timing in timings if timing.span == span], results)
            for span in spans_of(timings)
        ]
    if not tables:
        return None
    return Section(
        id="roofline",
        title=say("roofline.title"),
        explanation=say("roofline.explanation"),
        figures=figures,
        tables=tables,
    )


def _by_machine(results: Results) -> dict[str, list[Timing]]:
    """Timings that share ceilings, by a title: the same machine, device, dtype and number of threads."""
    found: dict[Machine, list[Timing]] = defaultdict(list)
    for current in results.records:
        if is_timed(current):
            record = current.record
            key = (machine_name(record), axis(record, "dtype"), axis(record, "threads"), machine_id(current))
            found[key].extend(timings_of(current))
    titles = [_title(key) for key in found]
    return {
        title if titles.count(title) == 1 else f"{title} · {key[-1][:8]}": timings
        for (key, timings), title in zip(found.items(), titles, strict=True)
        if any(timing.flops_per_s or timing.bytes_per_s or timing.cold_s for timing in timings)
    }


def _title(key: Machine) -> Text:
    device, dtype, threads, _ = key
    return joined(" · ", (part for part in (device, dtype, f"threads={threads}" if threads else "") if part))


def _plot(timings: Sequence[Timing], results: Results) -> dict[str, Any]:
    series: dict[tuple[str, str, str], list[Timing]] = defaultdict(list)
    for timing in timings:
        series[timing.variant, axis(timing.record, "phase"), timing.label].append(timing)
    keys = sorted(series, key=lambda key: (rank(key[0]), key))
    sizes = _sizes(timings, results)
    roof = _roof(timings)
    drawn = [*roof, *(_points(*key, series[key], sizes) for key in keys)]
    return {
        "data": [*_legend(keys, sizes), *drawn],
        "layout": layout(
            xaxis=log_axis(
                say("roofline.intensity"), decimal_ticks([x for one in drawn for x in one["x"]], numbers.plain_tick)
            ),
            yaxis=log_axis(
                say("roofline.achieved"), decimal_ticks([y for one in drawn for y in one["y"]], numbers.plain_tick)
            ),
            hovermode="closest",
        ),
    }


def _points(
    variant: str, phase: str, label: str, timings: Sequence[Timing], sizes: Mapping[str, int]
) -> dict[str, Any]:
    name = [shown(variant), say_or(f"phase.{phase}", phase), *([label] if len(sizes) > 1 else [])]
    style = style_of(variant)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": figure_text(joined(" · ", name)),
        "legendgroup": figure_text(shown(variant)),
        "showlegend": False,
        "x": [timing.flops_per_byte for timing in timings],
        "y": [(timing.flops_per_s or 0) / 1e9 for timing in timings],
        "hovertext": [figure_text(_hover(timing)) for timing in timings],
        "hovertemplate": "%{hovertext}<extra>%{fullData.name}</extra>",
        "marker": {
            "color": style.colour,
            "symbol": style.marker + FILLINGS.get(phase, UNKNOWN_FILLING),
            "size": sizes[label],
            "opacity": 0.85,
        },
        **trace_facets(
            variant=shown(variant),
            phase=say_or(f"phase.{phase}", phase),
            label=label,
            geometry=[axis(timing.record, "geometry") for timing in timings],
        ),
    }


def _hover(timing: Timing) -> Text:
    return say(
        "roofline.hover",
        tokens=cell(timing.seq_len, numbers.count),
        geometry=axis(timing.record, "geometry"),
        flops=cell(timing.flops_per_s, numbers.giga),
        bytes=cell(timing.bytes_per_s, numbers.giga),
        share=cell(timing.roofline_share, numbers.percent),
    )


def _sizes(timings: Sequence[Timing], results: Results) -> dict[str, int]:
    present = {timing.label for timing in timings}
    ordered = [label for label in results.labels if label in present]
    return {label: SIZES[place % len(SIZES)] for place, label in enumerate(ordered)}


def _legend(series: Sequence[tuple[str, str, str]], sizes: Mapping[str, int]) -> list[dict[str, Any]]:
    """What colour, filling and size mean, once each: a line for every series would be dozens."""
    variants, phases, _ = (list(dict.fromkeys(part)) for part in zip(*series, strict=True))
    entries = [
        _entry("variant", shown(name), symbol=style_of(name).marker, colour=style_of(name).colour) for name in variants
    ]
    for phase in phases:
        symbol = "circle" + FILLINGS.get(phase, UNKNOWN_FILLING)
        entries.append(_entry("phase", say_or(f"phase.{phase}", phase), symbol=symbol))
    if len(sizes) > 1:
        entries += [_entry("label", label, symbol="circle", size=size) for label, size in sizes.items()]
    return entries


def _entry(facet: str, name: str, *, symbol: str, colour: str = GREY, size: int = SIZES[0]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": figure_text(name),
        "legendgroup": figure_text(name),
        "x": [None],
        "y": [None],
        "marker": {"color": colour, "symbol": symbol, "size": size},
        **trace_facets(**{facet: name}),
    }


def _roof(timings: Sequence[Timing]) -> list[dict[str, Any]]:
    """The measured ceilings: the best arithmetic one level, the fastest and the slowest memory rising to it."""
    ceilings = [found for timing in timings if (found := ceilings_of(timing.record, timing.span))]
    peaks = [rate for one in ceilings if (rate := plausible_rate(one.flops_per_s))]
    speeds = [rate for one in ceilings if (rate := plausible_rate(one.bytes_per_s))]
    if not peaks or not speeds:
        return []
    peak, fastest, slowest = max(peaks), max(speeds), min(speeds)
    drawn = [fastest] if fastest < ALIKE * slowest else [fastest, slowest]
    intensities = [timing.flops_per_byte or 1 for timing in timings]
    first = min(*intensities, peak / fastest) / 2
    last = max(*intensities, peak / slowest) * 2
    level = _line(
        say("roofline.arithmetic", rate=numbers.giga(peak)), [peak / fastest, last], [peak, peak], dash="solid"
    )
    rising = [
        _line(say("roofline.memory", rate=numbers.giga(speed)), [first, peak / speed], [speed * first, peak], dash=dash)
        for speed, dash in zip(drawn, ("dash", "dot"), strict=False)
    ]
    return [level, *rising]


def _line(name: str, x: Sequence[float], y: Sequence[float], *, dash: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": [value / 1e9 for value in y],
        "hoverinfo": "name",
        "line": {"color": GREY, "width": 1.25, "dash": dash},
    }


def _table(title: str, span: str, timings: Sequence[Timing], results: Results) -> Table:
    ordered = sorted(in_order(timings), key=lambda t: (axis(t.record, "geometry"), axis(t.record, "phase")))
    settings = settings_shown(ordered, besides=AXES_OF_COLUMNS)
    columns = [
        Column(title=say("latency.context"), kind=Kind.NUMBER),
        *([Column(title=say("column.settings"), kind=Kind.CODE)] if any(settings) else []),
        Column(title=say("column.geometry"), facet="geometry"),
        Column(title=say("column.phase"), facet="phase"),
        Column(title=say("column.variant"), facet="variant"),
        Column(title=say("column.backend"), kind=Kind.CODE),
        *([Column(title=say("column.label"), facet="label")] if results.several else []),
        Column(title=say("roofline.warm"), kind=Kind.NUMBER),
        Column(title=say("roofline.cold"), kind=Kind.NUMBER),
        Column(title=say("roofline.cold_over_warm"), kind=Kind.NUMBER),
        Column(title="GFLOP/s", kind=Kind.NUMBER),
        Column(title="GB/s", kind=Kind.NUMBER),
        Column(title=say("column.roofline"), kind=Kind.NUMBER),
        Column(title=say("column.regime")),
    ]
    return Table(
        title=dotted(title, span_title(span)),
        columns=columns,
        rows=[
            _row(timing, setting if any(settings) else None, results)
            for timing, setting in zip(ordered, settings, strict=True)
        ],
        note=say("roofline.note"),
        folded=True,
        facets={"dtype": axis(timings[0].record, "dtype")},
    )


def _row(timing: Timing, setting: str | None, results: Results) -> list[str]:
    phase, median_s, cold_s = axis(timing.record, "phase"), timing.interval.median, timing.cold_s
    told = {"as_warm": "roofline.as_warm", "every_run": "roofline.every_run"}.get(
        str(timing.record.provenance.get("cold"))
    )
    return [
        cell(timing.seq_len, numbers.count),
        *([setting or numbers.NOTHING] if setting is not None else []),
        axis(timing.record, "geometry") or numbers.NOTHING,
        say_or(f"phase.{phase}", phase or numbers.NOTHING),
        shown(timing.variant) or numbers.NOTHING,
        timing.backend or numbers.NOTHING,
        *([timing.label] if results.several else []),
        numbers.seconds(median_s),
        say(told) if told else cell(cold_s, numbers.seconds),
        numbers.NOTHING if told or cold_s is None else numbers.times(cold_s / median_s),
        cell(timing.flops_per_s, numbers.giga),
        cell(timing.bytes_per_s, numbers.giga),
        cell(timing.roofline_share, numbers.percent),
        say(f"regime.{timing.regime}") if timing.regime else numbers.NOTHING,
    ]
