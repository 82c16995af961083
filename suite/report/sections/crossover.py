"""When a server should re-expand MLA's latent instead of absorbing: by FLOPs, by the roofline, and measured."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from suite.records import numbers
from suite.report.blocks import Column, Figure, Kind, Section, Table, Text, View, joined, say
from suite.report.charts import MOST_TICKS, figure_text, layout, log_axis, token_ticks
from suite.report.contests import Bracket, Contest, measured_contests, series_of
from suite.report.facets import case_facets, trace_facets
from suite.report.model.results import Results
from suite.report.palette import BLUE, GREEN, ORANGE, PURPLE, VERMILION
from suite.report.timings import axis
from suite.theory.attention_plan import ELEMENT_BYTES
from suite.theory.crossover import flops_crossover, roofline_crossover
from suite.theory.geometry import load_geometry
from suite.theory.hardware import load_hardware

GEOMETRIES = ("deepseek-v2-lite", "deepseek-v3")
DEVICES = ("h100-sxm5-80gb", "h20-96gb")
DTYPE = "bfloat16"
CONTEXTS = tuple(1 << power for power in range(8, 18))
COLOURS = (BLUE, VERMILION, PURPLE, ORANGE, GREEN)
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross")
MODEL_STYLES = (("dot", {"symbol": "circle", "size": 5}), ("dash", {"symbol": "circle-open", "size": 10}))
"""Some lines lie on each other, and are still seen."""
NEUTRAL, BROAD_PX = "rgba(128, 128, 128, 0.45)", 7


def build(results: Results) -> Section | None:
    contests = measured_contests(results)
    views = [View(title=say("crossover.specifications"), figure=_plot(_specified(), CONTEXTS))]
    tables = [_specified_table()]
    if contests:
        tables.insert(0, _measured_table(contests, results))
        if traces := _measured(contests, results):
            figure = _plot(traces, [contest.seq_len for contest in contests])
            views.insert(0, View(title=say("crossover.these_records"), figure=figure))
    return Section(
        id="crossover",
        title=say("crossover.title"),
        explanation=say("crossover.explanation"),
        figures=[Figure(title=say("crossover.figure"), caption=say("crossover.caption"), views=views, height_px=420)],
        tables=tables,
    )


def _specified_rows() -> list[tuple[str, str, int, int | None, int | None]]:
    """Geometry, device, context, crossover by FLOPs and by the roofline."""
    rows = []
    for name in GEOMETRIES:
        geometry = load_geometry(name)
        for device in DEVICES:
            ceilings = load_hardware(device).ceilings(DTYPE)
            assert ceilings is not None, device
            for tokens in CONTEXTS:
                by_flops = flops_crossover(geometry, seq_len=tokens)
                bound = roofline_crossover(geometry, ceilings, seq_len=tokens, element_bytes=ELEMENT_BYTES[DTYPE])
                rows.append((name, device, tokens, by_flops, bound))
    return rows


def _specified() -> list[dict[str, Any]]:
    lines: dict[tuple[str, str], list[tuple[int, int | None]]] = defaultdict(list)
    by_flops: dict[int, int | None] = {}
    for name, device, tokens, flops, bound in _specified_rows():
        lines[name, device].append((tokens, bound))
        by_flops[tokens] = flops
    traces = [_flops_line(sorted(by_flops.items()))]
    for (name, device), points in lines.items():
        colour, (dash, marker) = COLOURS[DEVICES.index(device)], MODEL_STYLES[GEOMETRIES.index(name)]
        traces.append(_line(f"{device} · {name}", points, colour, dash) | {"marker": {"color": colour, **marker}})
    return traces


def _measured(contests: Sequence[Contest], results: Results) -> list[dict[str, Any]]:
    by_series: dict[tuple[str, ...], list[Contest]] = defaultdict(list)
    for contest in contests:
        by_series[series_of(contest.one)].append(contest)
    alike = set.intersection(*map(set, by_series))
    traces: dict[str, dict[str, Any]] = {}
    for ordinal, (series, points) in enumerate(by_series.items()):
        colour, symbol = COLOURS[ordinal % len(COLOURS)], SYMBOLS[ordinal % len(SYMBOLS)]
        name = figure_text(joined(" · ", _name(series, alike, results)))
        predicted = [(contest.seq_len, *contest.predicted()) for contest in points]
        flops = _flops_line([(tokens, by_flops) for tokens, by_flops, _ in predicted])
        traces.setdefault(str(flops["x"]) + str(flops["y"]), flops)
        bounds = [(tokens, bound) for tokens, _, bound in predicted]
        one = points[0].one
        about = trace_facets(**case_facets(one.record.case.axes), label=one.label)
        traces[f"{ordinal} bound"] = _line(say("crossover.bound", series=name), bounds, colour, "dash") | about
        traces[f"{ordinal} points"] = _points(say("crossover.points", series=name), points, colour, symbol) | about
    return [trace for trace in traces.values() if any(count is not None for count in trace["y"])]


def _name(series: Sequence[str], alike: Collection[str], results: Results) -> list[str]:
    """Geometry and type, then what else tells the series from the others."""
    label, *settings = series
    axes = dict(setting.partition("=")[::2] for setting in settings)
    others = [one for one in settings if one not in alike and not one.startswith(("geometry=", "dtype="))]
    return [*([label] if results.several else []), axes.get("geometry", ""), axes.get("dtype", ""), *others]


def _flops_line(points: Sequence[tuple[int, int | None]]) -> dict[str, Any]:
    broad = {"color": NEUTRAL, "width": BROAD_PX}
    return _line(say("crossover.flops"), points, NEUTRAL, "solid") | {"mode": "lines", "line": broad}


def _line(name: str, points: Sequence[tuple[int, int | None]], colour: str, dash: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": [tokens for tokens, _ in points],
        "y": [count for _, count in points],
        "line": {"color": colour, "dash": dash, "width": 2},
        "marker": {"color": colour, "size": 4},
        **_hover([count for _, count in points]),
    }


def _points(name: str, contests: Sequence[Contest], colour: str, symbol: str) -> dict[str, Any]:
    found = [
        (contest.seq_len, one.at, one.low, one.high)
        for contest in contests
        if (one := contest.measured) and one.at is not None and one.low is not None and one.high is not None
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [tokens for tokens, *_ in found],
        "y": [at for _, at, _, _ in found],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [high - at for _, at, _, high in found],
            "arrayminus": [at - low for _, at, low, _ in found],
            "thickness": 1.25,
            "width": 4,
        },
        "marker": {"color": colour, "symbol": symbol, "size": 10},
        **_hover([at for _, at, _, _ in found]),
    }


def _hover(counts: Sequence[float | None]) -> dict[str, Any]:
    return {
        "hovertext": [_shown(count) for count in counts],
        "hovertemplate": "%{hovertext}<extra>%{fullData.name}</extra>",
    }


def _plot(traces: Sequence[Mapping[str, Any]], contexts: Sequence[int]) -> dict[str, Any]:
    counts = [count for trace in traces for count in trace["y"] if count is not None]
    steps = [float(f"{step}e{power}") for power in range(16) for step in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 7)]
    ticks = [(count, numbers.count(count)) for count in steps if min(counts) / 2 < count < 2 * max(counts)]
    tokens = sorted(set(contexts))
    return {
        "data": list(traces),
        "layout": layout(
            xaxis=log_axis(say("latency.context"), token_ticks(tokens[:: 1 + len(tokens) // MOST_TICKS])),
            yaxis=log_axis(say("crossover.new_tokens"), ticks),
            hovermode="closest",
        ),
    }


def _specified_table() -> Table:
    return Table(
        title=say("crossover.specified_table"),
        columns=[
            Column(title=say("column.geometry")),
            Column(title=say("crossover.device"), kind=Kind.CODE),
            Column(title=say("latency.context"), kind=Kind.NUMBER),
            Column(title=say("crossover.by_flops"), kind=Kind.NUMBER),
            Column(title=say("crossover.by_roofline"), kind=Kind.NUMBER),
        ],
        rows=[
            [name, device, numbers.count(tokens), _shown(by_flops), _shown(bound)]
            for name, device, tokens, by_flops, bound in _specified_rows()
        ],
        note=say("crossover.specified_note"),
        folded=True,
    )


def _measured_table(contests: Sequence[Contest], results: Results) -> Table:
    return Table(
        title=say("crossover.measured_table"),
        columns=[
            Column(title=say("column.geometry")),
            Column(title=say("column.dtype")),
            Column(title=say("column.backend"), kind=Kind.CODE),
            *([Column(title=say("column.label"), facet="label")] if results.several else []),
            Column(title=say("latency.context"), kind=Kind.NUMBER),
            Column(title=say("crossover.by_flops"), kind=Kind.NUMBER),
            Column(title=say("crossover.by_measured_ceilings"), kind=Kind.NUMBER),
            Column(title=say("crossover.measured"), kind=Kind.NUMBER),
            Column(title=say("crossover.between"), kind=Kind.NUMBER),
            Column(title=say("crossover.tried"), kind=Kind.LONG),
        ],
        rows=[_measured_row(contest, results) for contest in contests],
        row_facets=[case_facets(contest.one.record.case.axes) for contest in contests],
        note=say("crossover.measured_note"),
    )


def _measured_row(contest: Contest, results: Results) -> list[str]:
    record, found = contest.one.record, contest.measured
    between = numbers.NOTHING
    if found and found.low is not None and found.high is not None:
        between = f"{numbers.count(found.low)}–{numbers.count(found.high)}"
    backends = dict.fromkeys(", ".join(one.line) for one in (contest.one, *contest.reexpanded.values()))
    return [
        axis(record, "geometry"),
        axis(record, "dtype"),
        " / ".join(backends),
        *([contest.one.label] if results.several else []),
        numbers.count(contest.seq_len),
        *map(_shown, contest.predicted()),
        _said(found),
        between,
        joined("list", map(numbers.count, contest.query_lens)),
    ]


def _said(found: Bracket | None) -> Text:
    if found is None:
        return numbers.NOTHING
    if found.low is None:
        return say("crossover.below", count=_shown(found.high))
    if found.high is None:
        return say("crossover.above", count=_shown(found.low))
    return _shown(found.at)


def _shown(count: float | None) -> str:
    return numbers.NOTHING if count is None else numbers.count(count)
