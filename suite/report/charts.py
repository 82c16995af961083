"""Plotly figures as plain data. Colours of text, grid and hover boxes are left to the page, which follows the reader's
light or dark setting; text that comes from records is made harmless here, since Plotly reads tags and links in it.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from suite.records import numbers
from suite.report.plot.text import LONGEST_TEXT as LONGEST_TEXT
from suite.report.plot.text import figure_text as figure_text

MOST_TICKS = 7


def layout(**parts: Any) -> dict[str, Any]:
    """What every figure shares."""
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 12},
        "margin": {"l": 8, "r": 12, "t": 8, "b": 8, "pad": 2},
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "title": {"text": ""},
        },
        "showlegend": True,
        "dragmode": False,
        **parts,
    }


def log_axis(title: str, ticks: Sequence[tuple[float, str]]) -> dict[str, Any]:
    return {
        "type": "log",
        "title": {"text": title, "standoff": 10},
        "tickvals": [value for value, _ in ticks],
        "ticktext": [text for _, text in ticks],
        "automargin": True,
        "zeroline": False,
    }


def time_ticks(values: Sequence[float]) -> list[tuple[float, str]]:
    return decimal_ticks(values, numbers.seconds_tick)


def decimal_ticks(values: Sequence[float], text: Callable[[float], str]) -> list[tuple[float, str]]:
    """Round numbers of every decade that the values touch: the fewer, the more decades there are."""
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    decades = math.log10(max(values) / min(values))
    steps = (1, 2, 3, 5, 7) if decades < 1 else (1, 2, 5) if decades < 2 else (1,)
    values = [float(f"{step}e{power}") for power in range(first, last + 1) for step in steps]
    return [(value, text(value)) for value in values]


def byte_ticks(values: Sequence[float]) -> list[tuple[float, str]]:
    """Powers of two around the values, as far apart as leaves no more than a handful."""
    first, last = math.floor(math.log2(min(values))), math.ceil(math.log2(max(values)))
    step = next(step for step in (1, 2, 4, 8, 16) if last - first <= MOST_TICKS * step or step == 16)
    first, last = first // step * step, max(-(-last // step), first // step + 1) * step
    return [(2.0**power, _bytes_tick(2.0**power)) for power in range(first, last + 1, step)]


def _bytes_tick(value: float) -> str:
    size, unit = next((pair for pair in numbers.BYTE_UNITS if value >= pair[0]), numbers.BYTE_UNITS[-1])
    return f"{value / size:g} {unit}"


def token_ticks(tokens: Sequence[int]) -> list[tuple[float, str]]:
    return [(value, numbers.count(value)) for value in sorted(set(tokens))]
