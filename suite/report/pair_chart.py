"""Measured duels of GQA and MLA as a figure and a table: what the roofline predicted, and what came of it."""

import math
from collections.abc import Sequence
from typing import Any

from suite.records import numbers
from suite.report.blocks import MOST_ROWS_OPEN, Column, Figure, Kind, Table, Text, View, cell, joined, say
from suite.report.charts import figure_text, layout
from suite.report.facets import case_facets, trace_facets
from suite.report.model.results import Results
from suite.report.pairs import Pair, heads_of, series_of, told_apart
from suite.report.ratio_colours import NEUTRAL, REACH, ratio_colours, ratio_text
from suite.report.timings import axis, one_launch_reach

PAIR_PX = 54
MOST_DRAWN = 24


def pair_figure(pairs: Sequence[Pair], results: Results) -> Figure:
    """The longest context of each series."""
    longest = list({series_of(pair): pair for pair in pairs}.values())
    drawn = longest[:MOST_DRAWN]
    caption = [say("signmap.measured_caption", reach=one_launch_reach())]
    if len(longest) > len(drawn):
        caption.append(say("signmap.not_drawn", count=len(longest) - len(drawn)))
    return Figure(
        title=say("signmap.measured"),
        caption=joined("sentence", caption),
        views=[View(title="", figure=_dumbbells(drawn, results))],
        height_px=100 + PAIR_PX * len(drawn),
        wide=True,
    )


def _dumbbells(pairs: Sequence[Pair], results: Results) -> dict[str, Any]:
    rows, names = list(range(len(pairs))), [figure_text(name) for name in _row_names(pairs, results)]
    ends = [[math.log2(end) for end in pair.ends] for pair in pairs]
    predicted = [(row, math.log2(ratio)) for row, pair in enumerate(pairs) if (ratio := pair.predicted) is not None]
    measured = [math.log2(pair.measured) for pair in pairs]
    reach = max([REACH, *(abs(end) for both in ends for end in both), *(abs(x) for _, x in predicted)]) + 0.25
    shades = [reach * step / 80 for step in range(-80, 81)]
    background = {
        "type": "heatmap",
        "x": shades,
        "y": [-0.5, len(pairs) - 0.5],
        "z": [shades],
        "hoverinfo": "skip",
        "showscale": False,
        **ratio_colours(),
    }
    disc = _points(say("signmap.measured_ratio"), rows, measured, names, filled=True) | _facets(pairs)
    disc["error_x"] = {
        "type": "data",
        "symmetric": False,
        "array": [high - x for (_, high), x in zip(ends, measured, strict=True)],
        "arrayminus": [x - low for (low, _), x in zip(ends, measured, strict=True)],
        "color": NEUTRAL,
        "thickness": 1.25,
        "width": 4,
    }
    foreseen = [row for row, _ in predicted]
    ring = _points(say("signmap.predicted"), foreseen, [x for _, x in predicted], names, filled=False)
    ring |= _facets([pairs[row] for row in foreseen])
    return {
        "data": [background, *([ring] if predicted else []), disc],
        "layout": layout(
            meta={"log2": "x"},
            xaxis={
                "range": [-reach, reach],
                "tickvals": (ticks := _ticks(reach)),
                "ticktext": [f"{2.0**tick:g}×" for tick in ticks],
                "title": {"text": say("signmap.scale"), "standoff": 10},
                "automargin": True,
                "zeroline": True,
            },
            yaxis={"range": [len(pairs) - 0.5, -0.5], "visible": False},
            annotations=[
                {
                    "text": text,
                    "xref": "paper",
                    "x": 0,
                    "xanchor": "left",
                    "y": row,
                    "yshift": 17,
                    "showarrow": False,
                    "font": {"size": 11},
                }
                for row, text in enumerate(names)
            ],
        ),
    }


def _ticks(reach: float) -> list[int]:
    step = max(1, math.ceil(reach / 4))
    return [tick for tick in range(-math.floor(reach), math.floor(reach) + 1) if tick % step == 0]


def _points(
    name: str, rows: Sequence[int], ratios: Sequence[float], names: Sequence[str], *, filled: bool
) -> dict[str, Any]:
    marker = {"symbol": "circle", "color": "#ffffff", "line": {"color": "#1b1f24", "width": 2}, "size": 11}
    hollow = {"symbol": "circle-open", "color": NEUTRAL, "line": {"width": 2.5}, "size": 14}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": list(ratios),
        "y": list(rows),
        "marker": marker if filled else hollow,
        "hovertext": [
            joined(": ", [names[row], ratio_text(2.0**ratio)]) for row, ratio in zip(rows, ratios, strict=True)
        ],
        "hovertemplate": "%{hovertext}<extra>%{fullData.name}</extra>",
    }


def _facets(pairs: Sequence[Pair]) -> dict[str, Any]:
    about = [case_facets(pair.record.case.axes) | {"label": pair.mla.label} for pair in pairs]
    names = ("geometry", "phase", "dtype", "label")
    return trace_facets(**{name: [one.get(name, "") for one in about] for name in names})


def _row_names(pairs: Sequence[Pair], results: Results) -> list[Text]:
    names = []
    for pair, settings in zip(pairs, told_apart(pairs), strict=True):
        sizes = say("signmap.row", count=axis(pair.record, "query_len"), context=_context(pair))
        # On a narrow screen the end is cut off.
        parts = [axis(pair.record, "geometry"), sizes, settings, pair.mla.label if results.several else ""]
        parts.append(axis(pair.record, "dtype"))
        names.append(joined(" · ", filter(None, parts)))
    return names


def _context(pair: Pair) -> str:
    return numbers.count(pair.mla.seq_len or 0)


def pair_table(pairs: Sequence[Pair], results: Results) -> Table:
    settings = told_apart(pairs)
    counted = ("signmap.rank_heads", "signmap.rank_kv_heads", "signmap.new_tokens", "signmap.tp", "latency.context")
    ratios = ("signmap.predicted", "signmap.measured_ratio", "signmap.range")
    return Table(
        title=say("signmap.measured_table"),
        columns=[
            Column(title=say("column.geometry")),
            *(Column(title=say(name), kind=Kind.NUMBER) for name in counted),
            Column(title=say("column.dtype")),
            *(Column(title=say(name), kind=Kind.NUMBER) for name in ratios),
            Column(title=say("column.backend"), kind=Kind.CODE),
            Column(title=say("column.settings"), kind=Kind.CODE),
            *([Column(title=say("column.label"), facet="label")] if results.several else []),
        ],
        rows=[_row(pair, told, results) for pair, told in zip(pairs, settings, strict=True)],
        row_facets=[case_facets(pair.record.case.axes) for pair in pairs],
        note=say("signmap.measured_note", reach=one_launch_reach()),
        folded=len(pairs) > MOST_ROWS_OPEN,
    )


def _row(pair: Pair, settings: str, results: Results) -> list[str]:
    record = pair.record
    heads, kv_heads = heads_of(pair)
    low, high = pair.ends
    lines = dict.fromkeys(", ".join(timing.line) for timing in (pair.gqa, pair.mla))
    return [
        axis(record, "geometry"),
        *(numbers.NOTHING if count is None else numbers.count(count) for count in (heads, kv_heads)),
        axis(record, "query_len"),
        axis(record, "tp"),
        _context(pair),
        axis(record, "dtype"),
        cell(pair.predicted, numbers.times),
        numbers.times(pair.measured),
        f"{numbers.times(low).rstrip('×')}–{numbers.times(high)}",
        joined(" / ", lines),
        settings,
        *([pair.mla.label] if results.several else []),
    ]
