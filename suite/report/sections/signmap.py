"""Who wins where, MLA or GQA: the map that the closed forms draw, and measured pairs held against the same rule."""

import math
from collections.abc import Sequence
from typing import Any

from suite.records import numbers
from suite.report.charts import layout
from suite.report.pair_chart import pair_figure, pair_table
from suite.report.pairs import measured_pairs
from suite.report.ratio_colours import ratio_colours, ratio_text
from suite.report.results import Results
from suite.report.section import Column, Figure, Kind, Section, Table, View
from suite.report.words import Words
from suite.theory.hardware import hardware_names, load_hardware
from suite.theory.roofline import Ceilings
from suite.theory.sign_map import CONTEXT_TOKENS, DTYPE, Duel, duel

RANKS = (1, 2, 4, 8)
HEADS = (128, 64, 32, 16)
QUERY_LENS = (1, 2, 4, 8, 16)
ROW_PX = 19


def build(results: Results, words: Words) -> Section | None:
    devices = known_devices()
    pairs = measured_pairs(results)
    explanation = [words("signmap.explanation", context=numbers.count(CONTEXT_TOKENS))]
    if not pairs:
        explanation.append(words("signmap.no_pairs"))
    figures = [_map(devices, tp, words) for tp in RANKS]
    return Section(
        id="signmap",
        title=words("signmap.title"),
        explanation=words("punctuation.sentence").join(explanation),
        figures=[*figures, *([pair_figure(pairs, results, words)] if pairs else [])],
        tables=[*([pair_table(pairs, results, words)] if pairs else []), _map_table(devices, words)],
    )


def known_devices() -> list[tuple[str, Ceilings]]:
    """Devices with a bfloat16 peak, the lowest ridge point first."""
    found = [(name, load_hardware(name).ceilings(DTYPE)) for name in hardware_names()]
    having = [(name, ceilings) for name, ceilings in found if ceilings is not None]
    return sorted(having, key=lambda device: (device[1].ridge_flops_per_byte, device[0]))


def _map(devices: Sequence[tuple[str, Ceilings]], tp: int, words: Words) -> Figure:
    return Figure(
        title=words("signmap.alone") if tp == 1 else words("signmap.rank", tp=tp),
        caption=words("signmap.caption"),
        views=[
            View(title=words("signmap.heads", heads=heads), figure=_heat(devices, heads, tp, words)) for heads in HEADS
        ],
        height_px=110 + ROW_PX * len(devices),
    )


def _heat(devices: Sequence[tuple[str, Ceilings]], heads: int, tp: int, words: Words) -> dict[str, Any]:
    rows = [f"{name} · {ceilings.ridge_flops_per_byte:.0f}" for name, ceilings in devices]
    duels = [[duel(ceilings, heads=heads, query_len=count, tp=tp) for count in QUERY_LENS] for _, ceilings in devices]
    columns = [str(count) for count in QUERY_LENS]
    cells = {
        "type": "heatmap",
        "x": columns,
        "y": rows,
        "z": [[round(math.log2(one.speedup), 3) for one in row] for row in duels],
        "hovertext": [
            [_hover(row, count, one, words) for count, one in zip(QUERY_LENS, line, strict=True)]
            for row, line in zip(rows, duels, strict=True)
        ],
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
            "title": {"text": words("signmap.scale"), "side": "bottom", "font": {"size": 11}},
        },
    }
    # A heat map's own text has one colour for all cells; that of a scatter follows the page.
    texts = {
        "type": "scatter",
        "mode": "text",
        "x": columns * len(rows),
        "y": [row for row in rows for _ in columns],
        "text": [ratio_text(one.speedup) for row in duels for one in row],
        "textfont": {"size": 11},
        "hoverinfo": "skip",
    }
    return {
        "data": [cells, texts],
        "layout": layout(
            showlegend=False,
            xaxis={
                "type": "category",
                "side": "top",
                "range": [-0.5, len(columns) - 0.5],
                "title": {"text": words("signmap.new_tokens"), "standoff": 4},
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


def _hover(row: str, query_len: int, one: Duel, words: Words) -> str:
    return words(
        "signmap.hover",
        row=row,
        count=query_len,
        ratio=ratio_text(one.speedup),
        mla=words(f"regime.{one.mla_regime}"),
        gqa=words(f"regime.{one.gqa_regime}"),
    )


def _map_table(devices: Sequence[tuple[str, Ceilings]], words: Words) -> Table:
    counted = [words("signmap.ridge"), words("signmap.rank_heads"), words("signmap.tp")]
    counted += [words("signmap.with_new", count=count) for count in QUERY_LENS]
    return Table(
        title=words("signmap.table"),
        columns=[
            Column(title=words("signmap.device"), kind=Kind.CODE),
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
        note=words("signmap.note"),
        folded=True,
    )
