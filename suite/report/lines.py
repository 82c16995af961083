"""One line a variant against the context, and one view a span: what the latency and the memory section draw alike."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.report.blocks import Text, View, joined, say, say_or
from suite.report.charts import figure_text, layout, log_axis, token_ticks
from suite.report.facets import trace_facets
from suite.report.model.results import Results
from suite.report.palette import line_style, rank, shown
from suite.report.timings import Timing

SPANS_FIRST = ("layer", "kernel")
IN_TITLE = ("geometry", "phase", "dtype", "device")
"""Axes that head a figure by their value alone; the others by name, and only where they differ between figures."""
HEIGHT_PX = 400
LEGEND_PX, LEGEND_ROW_PX = 480, 19
MOST_FIGURES, MOST_LINES = 8, 12

Group = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Point:
    timing: Timing
    value: float
    hover: str
    low: float | None = None
    high: float | None = None


def title_of(group: Group, others: Sequence[Group]) -> Text:
    axes = dict(group)
    alike = [dict(other) for other in others if all(dict(other).get(name) == axes.get(name) for name in IN_TITLE)]
    axes["phase"] = say_or(f"phase.{axes.get('phase')}", axes.get("phase", ""))
    parts = [axes[name] for name in IN_TITLE if axes.get(name)]
    for name, value in group:
        # An axis that a case lacks differs from one it has only where nothing before it tells the two apart.
        given = {dict(other).get(name) or value for other in others} | {other.get(name, "") for other in alike}
        if name not in IN_TITLE and value and len(given) > 1:
            parts.append(f"{name}={value}")
    return joined(" · ", parts)


def worth_drawing(found: Mapping[Group, Sequence[Timing]]) -> list[Group]:
    """Groups that get a figure, in their order; the rest is for one table.

    None that differs only in its new tokens from one with more variants, none of a single context where others have
    several, and MOST_FIGURES at most: those with the most variants.
    """
    variants = {group: len({timing.variant for timing in timings}) for group, timings in found.items()}
    contexts = {group: len({timing.seq_len for timing in timings} - {None}) for group, timings in found.items()}
    most: dict[Group, int] = defaultdict(int)
    for group in found:
        most[_but_new_tokens(group)] = max(most[_but_new_tokens(group)], variants[group])
    fewest = min(2, max(contexts.values(), default=0))
    fit = [group for group in found if contexts[group] >= fewest and variants[group] == most[_but_new_tokens(group)]]
    kept = sorted(fit, key=lambda group: -variants[group])[:MOST_FIGURES]
    return [group for group in fit if group in kept]


def one_backend_each(timings: Sequence[Timing]) -> list[Timing]:
    """All of them; where they would make more than MOST_LINES lines, one backend's of each line: of those with the most
    contexts the fastest at its longest."""
    lines: dict[tuple[str, ...], dict[str, list[Timing]]] = defaultdict(lambda: defaultdict(list))
    for timing in timings:
        backend, *rest = timing.chosen_line
        lines[timing.span, timing.variant, timing.label, *rest][backend].append(timing)
    drawn = Counter(span for (span, *_), backends in lines.items() for _ in backends)
    if max(drawn.values(), default=0) <= MOST_LINES or len({line[1:] for line in lines}) == 1:
        return list(timings)
    return [timing for backends in lines.values() for timing in min(backends.values(), key=_most_contexts_then_fastest)]


def _most_contexts_then_fastest(line: Sequence[Timing]) -> tuple[int, float]:
    longest = max(line, key=lambda timing: timing.seq_len or 0)
    return -len(line), longest.interval.median


def _but_new_tokens(group: Group) -> Group:
    return tuple(pair for pair in group if pair[0] != "query_len")


def spans_of(timings: Sequence[Timing]) -> list[str]:
    present = {timing.span for timing in timings}
    return [span for span in SPANS_FIRST if span in present] + sorted(present - set(SPANS_FIRST))


def span_title(span: str) -> Text:
    return say_or(f"span.{span}", span)


def span_views(timings: Sequence[Timing], draw: Callable[[Sequence[Timing]], Mapping[str, Any]]) -> list[View]:
    """One view for each span, drawn from that span's timings."""
    return [
        View(title=span_title(span), figure=draw([timing for timing in timings if timing.span == span]))
        for span in spans_of(timings)
    ]


def height_px(views: Sequence[View]) -> int:
    """Of a figure in one of two columns, so that a long legend leaves the plot its room."""
    names = [[len(trace["name"]) for trace in view.figure["data"]] for view in views]
    rows = max(math.ceil(len(part) / max(1, LEGEND_PX // (55 + 7 * max(part)))) for part in names)
    return HEIGHT_PX + LEGEND_ROW_PX * max(0, rows - 2)


def plot(points: Sequence[Point], results: Results, *, yaxis: Mapping[str, Any]) -> dict[str, Any]:
    """A line for each variant and what else tells its points apart. Every point's context must be known."""
    lines: dict[tuple[str, ...], list[Point]] = defaultdict(list)
    for point in points:
        lines[(point.timing.variant, *_line_name(point.timing, results))].append(point)
    ordinals: dict[str, int] = defaultdict(int)
    traces = []
    alike = set.intersection(*(set(rest) for _, *rest in lines))
    for (variant, *rest), line in sorted(lines.items(), key=lambda line: (rank(line[0][0]), line[0])):
        traces.append(_trace(variant, [part for part in rest if part not in alike], ordinals[variant], line))
        ordinals[variant] += 1
    return {
        "data": traces,
        "layout": layout(
            xaxis=log_axis(say("latency.context"), token_ticks([point.timing.seq_len or 0 for point in points])),
            yaxis=yaxis,
            hovermode="closest",
        ),
    }


def _line_name(timing: Timing, results: Results) -> list[str]:
    return [*timing.chosen_line, *([timing.label] if results.several else [])]


def _trace(variant: str, rest: Sequence[str], ordinal: int, line: Sequence[Point]) -> dict[str, Any]:
    line = sorted(line, key=lambda point: point.timing.seq_len or 0)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": figure_text(joined(" · ", [shown(variant), *rest])),
        "x": [point.timing.seq_len for point in line],
        "y": [point.value for point in line],
        **_bars(line),
        "hovertext": [figure_text(point.hover) for point in line],
        "hovertemplate": "%{hovertext}<extra>%{fullData.name}</extra>",
        **trace_facets(variant=shown(variant), label=line[0].timing.label),
        **line_style(variant, ordinal),
    }


def _bars(line: Sequence[Point]) -> dict[str, Any]:
    if any(point.low is None or point.high is None for point in line):
        return {}
    return {
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [(point.high or 0) - point.value for point in line],
            "arrayminus": [point.value - (point.low or 0) for point in line],
            "thickness": 1.25,
            "width": 4,
        }
    }
