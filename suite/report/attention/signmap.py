"""Who wins where, MLA or GQA: the map that the closed forms draw, and measured pairs beside the same rule."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from suite.records import numbers
from suite.report.attention.duels import Machine, Pair, machines, measured_pairs, pair_figure, pair_table, ratio_colours
from suite.report.blocks import Figure, Kind, Section, Table, Text, View, dotted, joined, say, section
from suite.report.model.formats import ratio
from suite.report.model.results import Results
from suite.report.plot.heatmap import colour_bar, heatmap
from suite.report.plot.text import figure_text
from suite.report.table import column, table
from suite.theory.hardware import hardware_names, load_hardware
from suite.theory.roofline import Ceilings
from suite.theory.sign_map import CONTEXT_TOKENS, DTYPE, Duel, duel

RANKS, HEADS, QUERY_LENS = (1, 2, 4, 8), (128, 64, 32, 16), (1, 2, 4, 8, 16)
FRAME_PX, ROW_PX = 110, 19
TICKS = [(-2.0, "0.25×"), (-1.0, "0.5×"), (0.0, "1×"), (1.0, "2×"), (2.0, "4×")]

Device = tuple[str, Ceilings]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the map: a ratio and what hovering says for each number of new tokens. None where nothing is known."""

    name: Text
    ratios: Sequence[float | None]
    hovers: Sequence[Text]


def build(results: Results) -> Section:
    """Build the map from specifications, with rows for machines whose pairs have its sizes, and the other pairs."""
    devices, pairs = known_devices(), measured_pairs(results)
    measured = machines(pairs)
    explanation = [
        say("signmap.explanation", context=numbers.count(CONTEXT_TOKENS)),
        "" if pairs else say("signmap.no_pairs"),
        say("signmap.on_map") if measured else "",
    ]
    elsewhere = pair_figure([pair for pair in pairs if pair.cell is None], results)
    return section(
        "signmap",
        explanation=joined("sentence", explanation),
        figures=[*(_map(devices, measured, tp) for tp in RANKS), elsewhere],
        tables=[pair_table(pairs, results), _map_table(devices)],
    )


def known_devices() -> list[Device]:
    """Return the devices with a bfloat16 peak, the lowest ridge point first."""
    found = [(name, ceilings) for name in hardware_names() if (ceilings := load_hardware(name).ceilings(DTYPE))]
    return sorted(found, key=lambda device: (device[1].ridge_flops_per_byte, device[0]))


def _map(devices: Sequence[Device], measured: Sequence[Machine], tp: int) -> Figure:
    views = {heads: _rows(devices, heads, tp) + _machine_rows(measured, heads, tp) for heads in HEADS}
    return Figure(
        title=say("signmap.alone") if tp == 1 else say("signmap.rank", tp=tp),
        caption=say("signmap.caption"),
        views=[View(title=say("signmap.heads", heads=heads), figure=_heat(rows)) for heads, rows in views.items()],
        height_px=FRAME_PX + ROW_PX * max(map(len, views.values())),
    )


def _rows(devices: Sequence[Device], heads: int, tp: int) -> list[Row]:
    rows = []
    for name, ceilings in devices:
        named = f"{name} · {ceilings.ridge_flops_per_byte:.0f}"
        duels = {count: duel(ceilings, heads=heads, query_len=count, tp=tp) for count in QUERY_LENS}
        hovers = [_hover(named, count, one) for count, one in duels.items()]
        rows.append(Row(name=named, ratios=[one.speedup for one in duels.values()], hovers=hovers))
    return rows


def _hover(row: str, count: int, one: Duel) -> Text:
    mla, gqa = say(f"regime.{one.mla_regime}"), say(f"regime.{one.gqa_regime}")
    return say("signmap.hover", row=row, count=count, ratio=ratio(one.speedup), mla=mla, gqa=gqa)


def _machine_rows(measured: Sequence[Machine], heads: int, tp: int) -> list[Row]:
    """Return what a machine's own ceilings say of its cells and, above it, since rows are drawn upwards, what came of
    it. A gap sets it off."""
    rows: list[Row] = []
    for machine in measured:
        pairs = [machine.pairs.get((heads, tp, count)) for count in QUERY_LENS]
        if any(pairs):
            name, ridge = figure_text(machine.name), machine.ridge_flops_per_byte
            computed = dotted(say("signmap.row_computed", name=name), "" if ridge is None else f"{ridge:.0f}")
            seen = say("signmap.row_measured", name=name)
            predicted = [None if pair is None else pair.predicted for pair in pairs]
            ratios = [None if pair is None else pair.measured for pair in pairs]
            said = ["" if one is None else joined(": ", [computed, ratio(one)]) for one in predicted]
            rows.append(Row(name=" " * (1 + len(rows)), ratios=[None] * len(pairs), hovers=[""] * len(pairs)))
            rows.append(Row(name=computed, ratios=predicted, hovers=said))
            rows.append(Row(name=seen, ratios=ratios, hovers=[_measured_hover(seen, pair) for pair in pairs]))
    return rows


def _measured_hover(name: Text, pair: Pair | None) -> Text:
    if pair is None:
        return ""
    low, high = map(ratio, pair.ends)
    count, context = pair.mla.axis("query_len"), numbers.count(pair.mla.tokens or 0)
    said = {"ratio": ratio(pair.measured), "count": count, "context": context, "low": low, "high": high}
    return say("signmap.hover_measured", row=name, **said)


def _heat(rows: Sequence[Row]) -> dict[str, Any]:
    return heatmap(
        list(map(str, QUERY_LENS)),
        [row.name for row in rows],
        values=[[None if one is None else round(math.log2(one), 3) for one in row.ratios] for row in rows],
        written=[["" if one is None else ratio(one) for one in row.ratios] for row in rows],
        hovers=[row.hovers for row in rows],
        colours=ratio_colours() | {"colorbar": colour_bar(say("signmap.scale"), TICKS)},
        title=say("signmap.new_tokens"),
        upwards=True,
        meta={"log2": "z"},
        margin={"l": 8, "r": 4, "t": 8, "b": 44, "pad": 2},
    )


def _map_table(devices: Sequence[Device]) -> Table:
    def speedup(query_len: int, row: tuple[int, int, Device]) -> float:
        heads, tp, (_, ceilings) = row
        return duel(ceilings, heads=heads, query_len=query_len, tp=tp).speedup

    return table(
        say("signmap.table"),
        [(heads, tp, device) for heads in HEADS for tp in RANKS for device in devices],
        [
            column("signmap.device", lambda row: row[2][0], kind=Kind.CODE),
            column("signmap.ridge", lambda row: row[2][1].ridge_flops_per_byte, numbers.count),
            column("signmap.rank_heads", lambda row: row[0], numbers.count),
            column("signmap.tp", lambda row: row[1], numbers.count),
            *(column(say("signmap.with_new", count=n), partial(speedup, n), numbers.times) for n in QUERY_LENS),
        ],
        note=say("signmap.note"),
        folded=True,
    )
