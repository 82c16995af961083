"""A judgement as a forest plot: for each quantity its change, what that may be by its interval, and what is allowed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from suite.gate.sentences import POINTS, change, finite, percent
from suite.gate.short_names import settings_of
from suite.gate.verdict import Outcome, Verdict
from suite.records import numbers
from suite.report.blocks import Figure, Text, View, joined, say
from suite.report.charts import figure_text, layout
from suite.report.facets import case_facets, name_facets, point_facets
from suite.report.palette import GREEN, ORANGE, PURPLE, SKY, VERMILION
from suite.report.watched import cut

MOST_DRAWN, ROW_PX, NAME_SHIFT_PX = 40, 36, 14
PLAUSIBLE = (1e-3, 1e3)
"""A ratio beyond is in the table alone, since the axis would not bear it."""
LEAST_REACH = 1.03
"""The axis shows as much to either side of no change, however small the changes are."""
ROOM = 1.15
PERCENT_BELOW, MOST_TICKS = 2.0, 7
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5)
GREY = "#808080"
MARKERS = {
    Outcome.BROKEN: (VERMILION, "x"),
    Outcome.MISSING: (VERMILION, "x-open"),
    Outcome.SLOWER: (VERMILION, "triangle-right"),
    Outcome.INCOMPARABLE: (SKY, "cross"),
    Outcome.INCONCLUSIVE: (ORANGE, "diamond-open"),
    Outcome.ACCEPTED: (PURPLE, "square"),
    Outcome.UNJUDGED: (ORANGE, "circle-open"),
    Outcome.FASTER: (GREEN, "triangle-left"),
    Outcome.NEW: (SKY, "star"),
    Outcome.SAME: (GREY, "circle"),
}
"""A colour and a symbol each, so that it reads without colours too; the triangles point to where the time went."""


Titled = Callable[[str], str]
"""The sentence under a key, with the label before it where there are several."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A verdict that can be drawn."""

    verdict: Verdict
    name: str
    ratio: float
    low: float
    high: float
    allowed: float | None

    @property
    def ends(self) -> list[float]:
        return [self.low, self.high, *([] if self.allowed is None else [self.allowed])]


def forest_figures(named: Sequence[tuple[Verdict, str]], label: str, titled: Titled) -> list[Figure]:
    """Of verdicts and what they are called, worst first, those that have a ratio.

    Exact quantities have a figure of their own: they change by much or, mostly, not at all, which is not drawn. What
    changes by points is in the table alone: of it more is better, which this axis would turn round.
    """
    drawable = [(verdict, name) for verdict, name in named if verdict.metric not in POINTS]
    rows = [row for verdict, name in drawable if (row := _row(verdict, name)) is not None]
    timed = [row for row in rows if row.verdict.low is not None]
    exact = [row for row in rows if row.verdict.low is None and row.ratio != 1]
    figures = [
        _figure(timed, label, titled("gate.timed"), say("gate.timed_caption")),
        _figure(exact, label, titled("gate.exact"), say("gate.exact_caption")),
    ]
    return [figure for figure in figures if figure is not None]


def _figure(rows: Sequence[Row], label: str, title: str, said: str) -> Figure | None:
    drawn = rows[:MOST_DRAWN]
    if not drawn:
        return None
    caption = [said, say("gate.caption")]
    if len(rows) > len(drawn):
        caption.append(say("signmap.not_drawn", count=numbers.count(len(rows) - len(drawn))))
    return Figure(
        title=title,
        caption=joined("sentence", caption),
        views=[View(title="", figure=_forest(drawn, label))],
        height_px=110 + ROW_PX * len(drawn),
        wide=True,
    )


def _row(verdict: Verdict, name: str) -> Row | None:
    ratio = _plausible(verdict.ratio)
    if ratio is None:
        return None
    low, high = (_plausible(end) or ratio for end in (verdict.low, verdict.high))
    ends = min(low, ratio), max(high, ratio)
    allowed = _plausible(verdict.allowed)
    return Row(verdict=verdict, name=figure_text(name), ratio=ratio, low=ends[0], high=ends[1], allowed=allowed)


def _plausible(value: float | None) -> float | None:
    known = finite(value)
    return known if known is not None and PLAUSIBLE[0] <= known <= PLAUSIBLE[1] else None


def _forest(rows: Sequence[Row], label: str) -> dict[str, Any]:
    ends = [end for row in rows for end in row.ends]
    low, high = min([1 / LEAST_REACH, *ends]), max([LEAST_REACH, *ends])
    room = (high / low) ** ((ROOM - 1) / 2)
    low, high = low / room, high * room
    ticks = _ticks(low, high)
    present = [outcome for outcome in Outcome if any(row.verdict.outcome is outcome for row in rows)]
    return {
        "data": [*_allowed(rows), *(_points(outcome, rows, label) for outcome in present)],
        "layout": layout(
            xaxis={
                "type": "log",
                "range": [math.log10(low), math.log10(high)],
                "tickvals": ticks,
                "ticktext": [_tick(value, high / low) for value in ticks],
                "title": {"text": say("gate.axis"), "standoff": 10},
                "automargin": True,
                "zeroline": False,
            },
            yaxis={"range": [len(rows) - 0.5, -0.8], "visible": False},
            shapes=[_no_change()],
            annotations=[_name(row.name, place) for place, row in enumerate(rows)],
            hovermode="closest",
        ),
    }


def _no_change() -> dict[str, Any]:
    return {
        "type": "line",
        "x0": 1,
        "x1": 1,
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "layer": "below",
        "line": {"color": GREY, "width": 1.5},
    }


def _name(text: str, place: int) -> dict[str, Any]:
    return {
        "text": text,
        "xref": "paper",
        "x": 0,
        "xanchor": "left",
        "y": place,
        "yshift": NAME_SHIFT_PX,
        "showarrow": False,
        "font": {"size": 11},
    }


def _allowed(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A piece for each row, below its name; together they are one dashed line where all are allowed the same."""
    known = [(place, row.allowed) for place, row in enumerate(rows) if row.allowed is not None]
    if not known:
        return []
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": say("gate.allowed"),
            "x": [value for _, allowed in known for value in (allowed, allowed, None)],
            "y": [value for place, _ in known for value in (place - 0.15, place + 0.5, None)],
            "line": {"color": GREY, "dash": "dash", "width": 1.25},
            "hoverinfo": "skip",
        }
    ]


def _points(outcome: Outcome, rows: Sequence[Row], label: str) -> dict[str, Any]:
    own = [(place, row) for place, row in enumerate(rows) if row.verdict.outcome is outcome]
    colour, symbol = MARKERS[outcome]
    about = [_about(row.verdict, label) for _, row in own]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": say(f"outcome.{outcome}"),
        "x": [row.ratio for _, row in own],
        "y": [place for place, _ in own],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [row.high - row.ratio for _, row in own],
            "arrayminus": [row.ratio - row.low for _, row in own],
            "color": colour,
            "thickness": 1.5,
            "width": 4,
        },
        "marker": {"color": colour, "symbol": symbol, "size": 10, "line": {"width": 1.5, "color": colour}},
        "hovertext": [_hover(row) for _, row in own],
        "hovertemplate": "%{hovertext}<extra>%{fullData.name}</extra>",
        **point_facets(about),
    }


def _hover(row: Row) -> Text:
    allowed = numbers.NOTHING if row.allowed is None else percent(row.allowed)
    return say("gate.hover", name=row.name, change=change(row.verdict, to=say("gate.to")), allowed=allowed)


def _about(verdict: Verdict, label: str) -> dict[str, str]:
    return verdict_facets(verdict) | {"label": label}


def verdict_facets(verdict: Verdict) -> dict[str, str]:
    """What a verdict is about, as far as its case's id says."""
    settings = {name: cut(value) for name, value in settings_of(verdict.case).items()}
    return case_facets(settings) | name_facets(settings)


def _ticks(low: float, high: float) -> list[float]:
    """Round percentages where the whole axis is less than a factor of two, else powers of two."""
    if high / low < PERCENT_BELOW:
        step = next((one for one in STEPS if (high - low) / one <= MOST_TICKS), STEPS[-1])
        first, last = math.ceil((low - 1) / step), math.floor((high - 1) / step)
        return [1 + step * place for place in range(first, last + 1)]
    powers = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
    every = max(1, math.ceil(len(powers) / MOST_TICKS))
    return [2.0**power for power in powers if power % every == 0]


def _tick(value: float, width: float) -> str:
    if width >= PERCENT_BELOW:
        return f"{value:,.0f}×" if value >= 1 else f"{value:.3g}×"
    return f"{round(100 * (value - 1)):+d} %" if abs(value - 1) > 1e-9 else "0"
