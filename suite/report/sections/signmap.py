"""Who wins where, MLA or GQA: the map that the closed forms draw, and measured pairs held against the same rule."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from suite.records import numbers
from suite.report.blocks import Column, Figure, Kind, Section, Table, Text, View, dotted, joined, say
from suite.report.charts import figure_text, layout
from suite.report.map_rows import Machine, cell_of, machines
from suite.report.model.results import Results
from suite.report.pair_chart import pair_figure, pair_table
from suite.report.pairs import Pair, measured_pairs
from suite.report.ratio_colours import ratio_colours, ratio_text
from suite.report.timings import axis
from suite.theory.hardware import hardware_names, load_hardware
from suite.theory.roofline import Ceilings
from suite.theory.sign_map import CONTEXT_TOKENS, DTYPE, Duel, duel

RANKS = (1, 2, 4, 8)
HEADS = (128, 64, 32, 16)
QUERY_LENS = (1, 2, 4, 8, 16)
ROW_PX = 19


def build(results: Results) -> Section | None:
    devices = known_devices()
    pairs = measured_pairs(results)
    measured = machines(pairs)
    elsewhere = [pair for pair in pairs if cell_of(pair) is None]
    explanation = [say("signmap.explanation", context=numbers.count(CONTEXT_TOKENS))]
    if not pairs:
        explanation.append(say("signmap.no_pairs"))
    if measured:
        explanation.append(say("signmap.on_map"))
    figures = [_map(devices, measured, tp) for tp in RANKS]
    return Section(
        id="signmap",
        title=say("signmap.title"),
        explanation=joined("sentence", explanation),
        figures=[*figures, *([pair_figure(elsewhere, results)] if elsewhere else [])],
        tables=[*([pair_table(pairs, results)] if pairs else []), _map_table(devices)],
    )


def known_devices() -> list[tuple[str, Ceilings]]:
    """Devices with a bfloat16 peak, the lowest ridge point first."""
    found = [(name, load_hardware(name).ceilings(DTYPE)) for name in hardware_names()]
    having = [(name, ceilings) for name, ceilings in found if ceilings is not None]
    return sorted(having, key=lambda device: (device[1].ridge_flops_per_byte, device[0]))


def _map(devices: Sequence[tuple[str, Ceilings]], measured: Sequence[Machine], tp: int) -> Figure:
    views = {heads: _rows(devices, heads, tp) + _machine_rows(measured, heads, tp) for heads in HEADS}
    return Figure(
        title=say("signmap.alone") if tp == 1 else say("signmap.rank", tp=tp),
        caption=say("signmap.caption"),
        views=[View(title=say("signmap.heads", heads=heads), figure=_heat(rows)) for heads, rows in views.items()],
        height_px=110 + ROW_PX * max(map(len, views.values())),
    )


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the map: a ratio and what hovering says for each number of new tokens. None where nothing is known."""

    name: str
    ratios: Sequence[float | None]
    hovers: Sequence[str]


def _rows(devices: Sequence[tuple[str, Ceilings]], heads: int, tp: int) -> list[Row]:
    rows = []
    for name, ceilings in devices:
        named = f"{name} · {ceilings.ridge_flops_per_byte:.0f}"
        duels = [duel(ceilings, heads=heads, query_len=count, tp=tp) for count in QUERY_LENS]
        hovers = [_hover(named, count, one) for count, one in zip(QUERY_LENS, duels, strict=True)]
        rows.append(Row(name=named, ratios=[one.speedup for one in duels], hovers=hovers))
    return rows


def _machine_rows(measured: Sequence[Machine], heads: int, tp: int) -> list[Row]:
    """What a measured machine's own ceilings say of its cells and, above it, since rows are drawn upwards, what came of
    it. A gap sets it off."""
    rows: list[Row] = []
    for machine in measured:
        pairs = [machine.pairs.get((heads, tp, count)) for count in QUERY_LENS]
        if not any(pairs):
            continue
        name = figure_text(machine.name)
        computed, seen = say("signmap.row_computed", name=name), say("signmap.row_measured", name=name)
        if machine.ridge_flops_per_byte is not None:
            computed = dotted(computed, f"{machine.ridge_flops_per_byte:.0f}")
        predicted = [None if pair is None else pair.predicted for pair in pairs]
        ratios = [None if pair is None else pair.measured for pair in pairs]
        rows.append(Row(name=" " * (1 + len(rows)), ratios=[None] * len(pairs), hovers=[""] * len(pairs)))
        rows.append(Row(name=computed, ratios=predicted, hovers=[_said(computed, ratio) for ratio in predicted]))
        rows.append(Row(name=seen, ratios=ratios, hovers=[_measured_hover(seen, pair) for pair in pairs]))
    return rows


def _said(name: str, ratio: float | None) -> str:
    return "" if ratio is None else joined(": ", [name, ratio_text(ratio)])


def _measured_hover(name: str, pair: Pair | None) -> Text:
    if pair is None:
        return ""
    low, high = pair.ends
    return say(
        "signmap.hover_measured",
        row=name,
        ratio=ratio_text(pair.measured),
        count=axis(pair.record, "query_len"),
        context=numbers.count(pair.mla.seq_len or 0),
        low=ratio_text(low),
        high=ratio_text(high),
    )


def _heat(rows: Sequence[Row]) -> dict[str, Any]:
    columns, names = [str(count) for count in QUERY_LENS], [row.name for row in rows]
    cells = {
        "type": "heatmap",
        "x": columns,
        "y": names,
        "z": [[None if ratio is None else round(math.log2(ratio), 3) for ratio in row.ratios] for row in rows],
        "hovertext": [list(row.hovers) for row in rows],
        "hoverongaps": False,
        "hoverinfo": "text",
        "xgap": 2,
        "ygap": 2,
        **ratio_colours(),
        "colorbar": {
            "orientation": "h",
            "y": 0,
            "yref": "container",
            "yanchor": "bottom",
            "thickness": 8,
            "outlinewidth": 0,
            "tickvals": [-2, -1, 0, 1, 2],
            "ticktext": ["0.25×", "0.5×", "1×", "2×", "4×"],
            "tickfont": {"size": 11},
            "title": {"text": say("signmap.scale"), "side": "bottom", "font": {"size": 11}},
        },
    }
    # A heat map's own text has one colour for all cells; that of a scatter follows the page.
    texts = {
        "type": "scatter",
        "mode": "text",
        "x": columns * len(rows),
        "y": [name for name in names for _ in columns],
        "text": ["" if ratio is None else ratio_text(ratio) for row in rows for ratio in row.ratios],
        "textfont": {"size": 11},
        "hoverinfo": "skip",
    }
    return {
        "data": [cells, texts],
        "layout": layout(
            meta={"log2": "z"},
            showlegend=False,
            xaxis={
                "type": "category",
                "side": "top",
                "range": [-0.5, len(columns) - 0.5],
                "title": {"text": say("signmap.new_tokens"), "standoff": 4},
                "automargin": True,
                "showgrid": False,
                "ticks": "",
            },
            yaxis={
                "type": "category",
                "range": [-0.5, len(rows) - 0.5],
                "automargin": True,
                "tickfont": {"size": 10},
                "dtick": 1,
                "showgrid": False,
                "ticks": "",
            },
            margin={"l": 8, "r": 4, "t": 8, "b": 44, "pad": 2},
        ),
    }


def _hover(row: str, query_len: int, one: Duel) -> Text:
    return say(
        "signmap.hover",
        row=row,
        count=query_len,
        ratio=ratio_text(one.speedup),
        mla=say(f"regime.{one.mla_regime}"),
        gqa=say(f"regime.{one.gqa_regime}"),
    )


def _map_table(devices: Sequence[tuple[str, Ceilings]]) -> Table:
    counted = [say("signmap.ridge"), say("signmap.rank_heads"), say("signmap.tp")]
    counted += [say("signmap.with_new", count=count) for count in QUERY_LENS]
    return Table(
        title=say("signmap.table"),
        columns=[
            Column(title=say("signmap.device"), kind=Kind.CODE),
            *(Column(title=title, kind=Kind.NUMBER) for title in counted),
        ],
        rows=[
            [
                name,
                numbers.count(ceilings.ridge_flops_per_byte),
                numbers.count(heads),
                numbers.count(tp),
                *(numbers.times(duel(ceilings, heads=heads, query_len=n, tp=tp).speedup) for n in QUERY_LENS),
            ]
            for heads in HEADS
            for tp in RANKS
            for name, ceilings in devices
        ],
        note=say("signmap.note"),
        folded=True,
    )
