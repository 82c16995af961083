"""What devices that are not here allow: each projected case's least time under its device's two published ceilings.

Nothing on it was measured. A record may be foreign: what it lacks is a dash, and a time no device could have is none.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import inf, log10
from typing import Any

from suite.records import numbers
from suite.records.derived import constant
from suite.report.blocks import MOST_ROWS_OPEN, Column, Figure, Kind, Section, Table, Text, cell, dotted, joined, say
from suite.report.charts import figure_text, layout, log_axis, time_ticks
from suite.report.devices import compared, projected_groups
from suite.report.facets import case_facets, trace_facets
from suite.report.findings import BASELINE
from suite.report.lines import LEGEND_ROW_PX, SPANS_FIRST, Group, span_title, span_views, title_of
from suite.report.model.results import Results
from suite.report.palette import line_style, shown
from suite.report.timings import Timing, axis, in_order, own_extras

FRAME_PX, ROW_PX, LARGEST_PX, LEAST_PX = 120, 22, 12, 7
ROOM_DECADES = 0.2
"""Beside the outermost markers, so that one alone still has a tick near it."""

Place = tuple[int | None, str, str, str]
"""Context, device, label and span: where variants are held against each other."""


def build(results: Results) -> Section | None:
    found = projected_groups(results)
    if not found:
        return None
    titled = {group: (title_of(group, list(found)), timings) for group, timings in found.items()}
    drawn = [titled[group] for group in found if not _is_drawn_beside_measured(group, found[group], results)]
    moved = [say("projection.beside_measured")] if len(drawn) < len(found) else []
    return Section(
        id="projection",
        title=say("projection.title"),
        explanation=joined("sentence", [say("projection.explanation"), *moved]),
        figures=[figure for title, timings in drawn if (figure := _figure(title, timings, results))],
        tables=[_table(title, timings, results) for title, timings in titled.values()],
    )


def _is_drawn_beside_measured(group: Group, timings: Sequence[Timing], results: Results) -> bool:
    """By sections/hardware.py, at its context."""
    one = compared(results).get(group)
    return one is not None and any(timing.seq_len == one.tokens for timing in timings)


def _device(timing: Timing) -> str:
    return axis(timing.record, "hardware") or numbers.NOTHING


def _figure(title: str, timings: Sequence[Timing], results: Results) -> Figure | None:
    """The longest of the contexts that have the most cases."""
    cases = Counter(timing.seq_len for timing in timings if timing.seq_len is not None)
    if not cases:
        return None
    tokens = max(cases, key=lambda tokens: (cases[tokens], tokens))
    drawn = [timing for timing in timings if timing.seq_len == tokens]
    views = span_views(drawn, lambda part: _dots(part, results))
    # On a narrow screen every name in the legend takes a line.
    names = max(len(view.figure["data"]) for view in views)
    return Figure(
        title=dotted(title, say("callstyle.tokens", tokens=numbers.count(tokens))),
        caption=say("projection.caption"),
        views=views,
        height_px=FRAME_PX + LEGEND_ROW_PX * names + ROW_PX * len({_device(timing) for timing in drawn}),
        facets=case_facets(drawn[0].record.case.axes),
    )


def _dots(timings: Sequence[Timing], results: Results) -> dict[str, Any]:
    """A row for each device, the fastest on top, and a marker for each variant."""
    times_s = [timing.interval.median for timing in timings]
    least_s: dict[str, float] = {}
    series: dict[tuple[str, str], list[Timing]] = defaultdict(list)
    has_labels = len({timing.label for timing in timings}) > 1
    for timing in in_order(timings):
        series[timing.sized_variant, timing.label].append(timing)
        least_s[_device(timing)] = min(least_s.get(_device(timing), inf), timing.interval.median)
    devices = sorted(least_s, key=lambda device: (least_s[device], device))
    ends = [log10(min(times_s)) - ROOM_DECADES, log10(max(times_s)) + ROOM_DECADES]
    ticks = time_ticks([10**end for end in ends])
    traces = [
        _trace(joined(" · ", [name, *([label] * has_labels)]), part, results) for (name, label), part in series.items()
    ]
    for ordinal, trace in enumerate(traces):
        # The later lies on the earlier: smaller, so that both are seen where they coincide.
        trace["marker"]["size"] = max(LEAST_PX, LARGEST_PX - ordinal)
    return {
        "data": traces,
        "layout": layout(
            xaxis={**log_axis(say("projection.axis"), ticks), "range": ends, "tickfont": {"size": 10}},
            yaxis={
                "type": "category",
                "categoryarray": [figure_text(device) for device in devices],
                "range": [len(devices) - 0.5, -0.5],
                "automargin": True,
                "tickfont": {"size": 11},
                "dtick": 1,
                "ticks": "",
            },
            hovermode="closest",
        ),
    }


def _trace(name: str, timings: Sequence[Timing], results: Results) -> dict[str, Any]:
    variant, label = timings[0].variant, timings[0].label
    return {
        "type": "scatter",
        "mode": "markers",
        "name": figure_text(name),
        "x": [timing.interval.median for timing in timings],
        "y": [figure_text(_device(timing)) for timing in timings],
        "hovertext": [_hover(timing) for timing in timings],
        "hovertemplate": "%{hovertext}<extra>%{fullData.name}</extra>",
        "marker": line_style(variant, results.labels.index(label))["marker"],
        **trace_facets(variant=shown(variant), label=label),
    }


def _hover(timing: Timing) -> Text:
    time, tokens = numbers.seconds(timing.interval.median), numbers.count(timing.seq_len or 0)
    return say("projection.hover", time=time, regime=_regime(timing), tokens=tokens)


def _regime(timing: Timing | None) -> Text:
    return say(f"regime.{timing.regime}") if timing and timing.regime else numbers.NOTHING


def _table(title: str, timings: Sequence[Timing], results: Results) -> Table:
    has_mha = any(timing.variant == BASELINE for timing in timings)
    has_sizes = any(own_extras(timing.record) for timing in timings)
    base_s: dict[Place, float] = defaultdict(float)
    cases: dict[int, dict[str, Timing]] = defaultdict(dict)
    for timing in sorted(in_order(timings), key=lambda timing: (timing.seq_len or 0, _device(timing))):
        cases[id(timing.current)][timing.span] = timing
        if timing.variant == BASELINE or not has_mha:
            base_s[_place(timing)] = max(base_s[_place(timing)], timing.interval.median)
    times = [Column(title=span_title(span), kind=Kind.NUMBER) for span in SPANS_FIRST]
    regime = Column(title=say("column.regime"))
    over = Column(title=say("projection.over_mha" if has_mha else "projection.over_slowest"), kind=Kind.NUMBER)
    return Table(
        title=title,
        columns=[
            Column(title=say("latency.context"), kind=Kind.NUMBER),
            Column(title=say("signmap.device"), kind=Kind.CODE),
            Column(title=say("column.variant"), facet="variant"),
            *([Column(title=say("column.settings"), kind=Kind.CODE)] if has_sizes else []),
            *([Column(title=say("column.label"), facet="label")] if results.several else []),
            *(column for time in times for column in (time, over, regime)),
            Column(title=say("projection.cache"), kind=Kind.NUMBER),
            Column(title=say("projection.of_mha"), kind=Kind.NUMBER),
        ],
        rows=[_row(case, base_s, has_sizes, results) for case in cases.values()],
        note=say("projection.note_mha" if has_mha else "projection.note_slowest"),
        folded=len(cases) > MOST_ROWS_OPEN,
        facets=case_facets(timings[0].record.case.axes),
    )


def _place(timing: Timing) -> Place:
    return timing.seq_len, _device(timing), timing.label, timing.span


def _row(case: Mapping[str, Timing], base_s: Mapping[Place, float], has_sizes: bool, results: Results) -> list[str]:
    one = next(iter(case.values()))
    kept, kept_mha = (constant(one.record, "case", name) for name in ("cache_bytes", "cache_bytes_mha"))
    cells = [cell(one.seq_len, numbers.count), _device(one), shown(one.variant)]
    cells += [*([", ".join(own_extras(one.record))] * has_sizes), *([one.label] * results.several)]
    for timing in map(case.get, SPANS_FIRST):
        least_s = timing.interval.median if timing else None
        base = base_s.get(_place(timing)) if timing else None
        cells += [cell(least_s, numbers.seconds), cell(base / least_s if base and least_s else None, numbers.times)]
        cells.append(_regime(timing))
    share = kept / kept_mha if kept and kept_mha else None
    return [*cells, cell(kept, numbers.bytes_iec), cell(share, numbers.percent)]
