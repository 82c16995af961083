"""The figures of memory: what is held at a peak, stacked by owner and kind, and the saving over what it depends on.

A colour with a pattern is a kind; an owner is a strip below its part of the bar with its name, so that the legend holds
kinds alone and both read in greyscale.
"""

from collections.abc import Mapping, Sequence
from itertools import count
from math import ceil, floor, log10
from typing import Any

from suite.records import numbers
from suite.records.holdings import (
    ACTIVATIONS,
    EXPERIENCE,
    GATHERED,
    GRADIENTS,
    KINDS,
    KV_CACHE,
    LOGITS,
    NOBODY,
    OPTIMISER,
    OPTIMISER_TEMPORARIES,
    OTHER,
    OWNERS,
    PARAMETERS,
)
from suite.report.blocks import Text, View, joined, say
from suite.report.charts import figure_text, layout, log_axis
from suite.report.facets import point_facets
from suite.report.palette import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION
from suite.report.rl_charts import LEGEND_ROW_PX, axis, row_layout, short
from suite.report.rl_memory import Holding, Part
from suite.report.rl_memory_savings import PARAMETERS as MODEL_SIZE
from suite.report.rl_memory_savings import Line, Saving
from suite.report.rl_memory_setups import Setup
from suite.report.rl_palette import DASHES

GREY = "#8c959f"
STRIPS = dict(zip(OWNERS, ("#57606a", "#afb8c1", "#818b98", "#c8d1da", "#6e7781"), strict=True))
"""Greys that differ from their neighbours'."""
STYLES = {
    PARAMETERS: (BLUE, ""),
    GRADIENTS: (SKY, "/"),
    OPTIMISER: (GREEN, "x"),
    OPTIMISER_TEMPORARIES: (GREEN, "-"),
    ACTIVATIONS: (ORANGE, "."),
    LOGITS: (VERMILION, "\\"),
    KV_CACHE: (PURPLE, "|"),
    EXPERIENCE: (SKY, "+"),
    GATHERED: (BLUE, "+"),
    OTHER: (GREY, ""),
}
"""Colour and pattern of a kind."""
LINE_COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
MARKERS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star")
ROW_PX, FRAME_PX, NAME_SHIFT_PX = 78, 110, 26
BAR, STRIP, STRIP_DOWN = 0.34, 0.24, 0.31
"""Of a row: how high the bar and the strip below it are, and how far below the bar's middle the strip's lies."""
LEAST_SHARE = 0.005
"""Of the longest bar: smaller parts are drawn as one."""
MOST_TICKS = 5
COUNT_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))


def bar_views(setup: Setup) -> list[View]:
    """The peak of a step, then each of its phases."""
    phases = list(dict.fromkeys(phase for arm in setup.arms for phase in arm.holding.phases))
    views = [View(title=say("rl_memory.peak"), figure=_bars(setup, None))]
    if len(phases) > 1:
        views += [View(title=say(f"rl.phase.{phase}"), figure=_bars(setup, phase)) for phase in phases]
    return views


def bars_height_px(views: Sequence[View]) -> int:
    """So that a narrow screen's legend of two columns leaves the rows their room."""
    rows = max(len(view.figure["layout"]["annotations"]) for view in views)
    entries = max(sum(trace["showlegend"] for trace in view.figure["data"]) for view in views)
    return int(FRAME_PX + ROW_PX * rows + LEGEND_ROW_PX * ceil(entries / 2))


def _bars(setup: Setup, phase: str | None) -> dict[str, Any]:
    """Of a phase, or where it is None of the phase that holds most."""
    shown = [(arm.name, arm.holding, phase or arm.holding.peak_phase) for arm in setup.arms]
    drawn = [(name, holding, at) for name, holding, at in shown if at in holding.phases]
    longest = max(holding.phases[at].peak for _, holding, at in drawn)
    parts = [_drawn_parts(holding.phases[at].parts, longest) for _, holding, at in drawn]
    facets = [holding.facets for _, holding, _ in drawn]
    names = [_row_name(name, holding, at, says_phase=phase is None) for name, holding, at in drawn]
    present = [(owner, kind) for owner in (*OWNERS, NOBODY) for kind in (*KINDS, OTHER)]
    present = [part for part in present if any(part in one for one in parts)]
    first = {kind: owner for owner, kind in reversed(present)}
    return {
        "data": [
            *(_segment(part, parts, facets, in_legend=first[part[1]] == part[0]) for part in present),
            *(_strip(owner, parts, facets) for owner in OWNERS if any(owner == one for one, _ in present)),
        ],
        "layout": row_layout(
            names,
            xaxis=axis(say("rl_memory.axis"), range=[0, 1.02 * longest], **_byte_ticks(longest)),
            shift_px=NAME_SHIFT_PX,
            barmode="stack",
            uniformtext={"mode": "hide", "minsize": 10},
            legend=layout()["legend"] | {"traceorder": "normal", "itemclick": False, "itemdoubleclick": False},
        ),
    }


def _row_name(name: str, holding: Holding, phase: str, *, says_phase: bool) -> Text:
    peak = numbers.bytes_iec(holding.phases[phase].peak)
    return (
        say("rl_memory.row", name=name, peak=peak)
        if not says_phase
        else say("rl_memory.row_phase", name=name, peak=peak, phase=say(f"rl.phase.{phase}"))
    )


def _drawn_parts(parts: Mapping[Part, float], longest: float) -> dict[Part, float]:
    """Smaller ones as nobody's, at the end."""
    drawn = {part: value for part, value in parts.items() if value >= LEAST_SHARE * longest}
    rest = sum(parts.values()) - sum(drawn.values())
    if rest > 0:
        drawn[NOBODY, OTHER] = drawn.get((NOBODY, OTHER), 0.0) + rest
    return drawn


def _segment(
    part: Part, parts: Sequence[Mapping[Part, float]], facets: Sequence[Mapping[str, str]], *, in_legend: bool
) -> dict[str, Any]:
    owner, kind = part
    colour, pattern = STYLES[kind]
    rows = [row for row, held in enumerate(parts) if part in held]
    return {
        "type": "bar",
        "orientation": "h",
        "name": say(f"rl_memory.kind.{kind}"),
        "legendgroup": kind,
        "showlegend": in_legend,
        "x": [short(parts[row][part]) for row in rows],
        "y": rows,
        "hovertext": [
            say(
                "rl_memory.hover",
                owner=say(f"rl_memory.owner.{owner}"),
                size=numbers.bytes_iec(parts[row][part]),
                share=numbers.percent(parts[row][part] / sum(parts[row].values())),
            )
            for row in rows
        ],
        "hovertemplate": "%{hovertext}<extra>%{fullData.name}</extra>",
        "marker": {"color": colour, "pattern": {"shape": pattern, "fillmode": "overlay", "solidity": 0.2}},
        "width": BAR,
        **point_facets([facets[row] for row in rows]),
    }


def _strip(owner: str, parts: Sequence[Mapping[Part, float]], facets: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    sums = [sum(value for (one, _), value in held.items() if one == owner) for held in parts]
    rows = [row for row, value in enumerate(sums) if value > 0]
    name = say(f"rl_memory.owner.{owner}")
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "showlegend": False,
        "x": [short(sums[row]) for row in rows],
        "y": [row + STRIP_DOWN for row in rows],
        "text": [joined(" ", [name, numbers.bytes_iec(sums[row])]) for row in rows],
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textangle": 0,
        "textfont": {"size": 11},
        "hoverinfo": "skip",
        "marker": {"color": STRIPS[owner]},
        "width": STRIP,
        **point_facets([facets[row] for row in rows]),
    }


def _byte_ticks(most: float) -> dict[str, Any]:
    """Round numbers of one unit from zero, a handful of them."""
    size, unit = next((pair for pair in numbers.BYTE_UNITS if most >= MOST_TICKS * pair[0]), numbers.BYTE_UNITS[-1])
    steps = (factor * 10**power for power in count() for factor in (1, 2, 5))
    step = next(step for step in steps if most / size <= MOST_TICKS * step)
    values = [step * place for place in range(int(most / size / step) + 1)]
    return {"tickvals": [value * size for value in values], "ticktext": [f"{value:,} {unit}" for value in values]}


def saving_curves(over: str, lines: Sequence[Line]) -> dict[str, Any]:
    xs = [x for line in lines for one in line.points if (x := one.at(over)) is not None]
    ticks = _size_ticks(xs) if over == MODEL_SIZE else [(x, numbers.count(x)) for x in sorted(set(xs))]
    return {
        "data": [_curve(over, line, place) for place, line in enumerate(lines)],
        "layout": layout(
            xaxis=log_axis(say(f"rl_memory.over.{over}"), ticks),
            yaxis=axis(say("rl_memory.saving_axis"), tickformat=".0%", rangemode="tozero", automargin=True),
            hovermode="closest",
            showlegend=len(lines) > 1,
        ),
    }


def _size_ticks(sizes: Sequence[float]) -> list[tuple[float, str]]:
    powers = range(floor(log10(min(sizes))), ceil(log10(max(sizes))) + 1)
    return [(value, parameters(value)) for power in powers for value in (10.0**power, 3 * 10.0**power)]


def _curve(over: str, line: Line, place: int) -> dict[str, Any]:
    colour = LINE_COLOURS[place % len(LINE_COLOURS)]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": figure_text(line.name or say("rl_memory.usual")),
        "x": [one.at(over) for one in line.points],
        "y": [short(one.share) for one in line.points],
        "hovertext": [_saving_text(one) for one in line.points],
        "hovertemplate": "%{hovertext}<extra>%{fullData.name}</extra>",
        "line": {"color": colour, "dash": DASHES[place % len(DASHES)], "width": 2},
        "marker": {"color": colour, "symbol": MARKERS[place % len(MARKERS)], "size": 8},
        **point_facets([one.setup.facets() for one in line.points]),
    }


def _saving_text(one: Saving) -> Text:
    return say(
        "rl_memory.saving_hover",
        model=figure_text(one.setup.first.model),
        share=numbers.percent(one.share),
        before=numbers.bytes_iec(one.baseline.holding.peak),
        after=numbers.bytes_iec(one.arm.holding.peak),
    )


def parameters(value: float) -> str:
    """As models are called: 494M, 8.03B."""
    size, unit = next((pair for pair in COUNT_UNITS if value >= pair[0]), (1.0, ""))
    return f"{value / size:.3g}{unit}"
