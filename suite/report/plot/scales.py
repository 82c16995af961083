"""Axes as Plotly has them, with ticks at numbers that people call round."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any

from suite.records import numbers
from suite.report.blocks import Text

MOST_TICKS = 7
FEW_TICKS = 5
ROOM_DECADES = 0.2
NARROW_DECADES = 0.15
Ticks = list[tuple[float, str]]


def linear(title: Text, **more: Any) -> dict[str, Any]:
    """A linear axis, as Plotly's settings; `more`: further ones."""
    return {"title": {"text": title, "standoff": 10}, "automargin": True, "zeroline": False, **more}


def shares(title: Text, **more: Any) -> dict[str, Any]:
    """A linear axis with ticks in whole percent."""
    return linear(title, tickformat=".0%", **more)


def log(title: Text, ticks: Ticks, **more: Any) -> dict[str, Any]:
    """A logarithmic axis with these ticks."""
    return linear(title, type="log", **ticked(ticks), **more)


def ticked(ticks: Ticks) -> dict[str, Any]:
    """Plotly's settings for these ticks."""
    return {"tickvals": [value for value, _ in ticks], "ticktext": [text for _, text in ticks]}


def time_axis(title: Text, seconds: Iterable[float], **more: Any) -> dict[str, Any]:
    """A logarithmic axis with ticks at round times around these."""
    return log(title, decimal_ticks(seconds, numbers.seconds_tick), **more)


def roomy_time_axis(title: Text, seconds: Iterable[float]) -> dict[str, Any]:
    """An axis of times with room beside the outermost times, so that a single one still has a tick near it."""
    times = list(seconds)
    ends = [math.log10(min(times)) - ROOM_DECADES, math.log10(max(times)) + ROOM_DECADES]
    return time_axis(title, [10**end for end in ends], range=ends, tickfont={"size": 10})


def byte_axis(title: Text, sizes: Iterable[float], **more: Any) -> dict[str, Any]:
    """A logarithmic axis with ticks at powers of two around these sizes."""
    return log(title, byte_ticks(sizes), **more)


def token_axis(title: Text, tokens: Iterable[int]) -> dict[str, Any]:
    """A logarithmic axis with a tick at each of these numbers of tokens."""
    contexts = sorted(set(tokens))
    return log(title, [(value, numbers.count(value)) for value in contexts])


def categories(rows: Sequence[str], **more: Any) -> dict[str, Any]:
    """An axis with a row for each name, the first on top."""
    return {
        "type": "category",
        "categoryarray": list(rows),
        "range": [len(rows) - 0.5, -0.5],
        "automargin": True,
        "tickfont": {"size": 11},
        "dtick": 1,
        "ticks": "",
        **more,
    }


def decimal_ticks(values: Iterable[float], text: Callable[[float], str]) -> Ticks:
    """Round ticks that cover the values on a logarithmic axis: fewer in each decade, the more decades there are."""
    values = list(values)
    low, high = min(values), max(values)
    first, last, decades = math.floor(math.log10(low)), math.ceil(math.log10(high)), math.log10(high / low)
    if decades < NARROW_DECADES:  # may lie between two round numbers of a decade
        step = 10.0 ** math.floor(math.log10(max(high - low, low / 10)))
        places = range(math.floor(low / step), math.ceil(high / step) + 1)
        return [(value, text(value)) for value in (float(f"{place * step:.3g}") for place in places)]
    steps = (1, 2, 3, 5, 7) if decades < 1 else (1, 2, 5) if decades < 2 else (1,)
    ticks = [float(f"{step}e{power}") for power in range(first, last + 1) for step in steps]
    return [(value, text(value)) for value in ticks]


def byte_ticks(sizes: Iterable[float]) -> Ticks:
    """Ticks at powers of two around the sizes, further apart the more these span: about MOST_TICKS at most."""
    sizes = list(sizes)
    first, last = math.floor(math.log2(min(sizes))), math.ceil(math.log2(max(sizes)))
    step = next(step for step in (1, 2, 4, 8, 16) if last - first <= MOST_TICKS * step or step == 16)
    first, last = first // step * step, max(-(-last // step), first // step + 1) * step
    ticks: Ticks = []
    for size in (2.0**power for power in range(first, last + 1, step)):
        unit_bytes, unit = next((pair for pair in numbers.BYTE_UNITS if size >= pair[0]), numbers.BYTE_UNITS[-1])
        ticks.append((size, f"{size / unit_bytes:g} {unit}"))
    return ticks


def byte_steps(most: float) -> Ticks:
    """Ticks for a linear axis: round multiples of one unit from zero up to `most` bytes, about FEW_TICKS."""
    size, unit = next((pair for pair in numbers.BYTE_UNITS if most >= FEW_TICKS * pair[0]), numbers.BYTE_UNITS[-1])
    steps = (factor * 10**power for power in count() for factor in (1, 2, 5))
    step = next(step for step in steps if most / size <= FEW_TICKS * step)
    values = [step * place for place in range(int(most / size / step) + 1)]
    return [(value * size, f"{value:,} {unit}") for value in values]
