"""One case on every device: measured where it ran, beside what the specifications of others allow at best.

The two are told apart everywhere: a solid marker and a row that says so was measured, a hollow one was computed.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import inf, log10
from typing import Any

from suite.records import numbers
from suite.report.blocks import MOST_ROWS_OPEN, Column, Figure, Kind, Section, Table, View, cell, dotted, joined, say
from suite.report.charts import figure_text, layout, log_axis, time_ticks
from suite.report.devices import Compared, Mark, Place, compared
from suite.report.facets import case_facets, trace_facets
from suite.report.lines import LEGEND_ROW_PX, SPANS_FIRST, Group, span_title, title_of
from suite.report.model.machine_labels import plain_name
from suite.report.model.results import Results
from suite.report.palette import line_style, rank, shown
from suite.report.timings import PLAUSIBLE_S

FRAME_PX, ROW_PX, LARGEST_PX, LEAST_PX = 140, 22, 13, 7
ROOM_DECADES = 0.2
LONGEST_ROW_NAME = 20
GREY = "#808080"


def build(results: Results) -> Section | None:
    found = compared(results)
    if not found:
        return None
    titled = [(_title(group, list(found), one), one) for group, one in found.items()]
    return Section(
        id="hardware",
        title=say("hardware.title"),
        explanation=say("hardware.explanation"),
        figures=[_figure(title, one) for title, one in titled],
        tables=[_table(title, one, span) for title, one in titled for span in _spans(one)],
    )


def _title(group: Group, others: Sequence[Group], one: Compared) -> str:
    return dotted(title_of(group, others), say("callstyle.tokens", tokens=numbers.count(one.tokens)))


def _spans(one: Compared) -> list[str]:
    present = {mark.span for mark in one.marks if mark.place.is_measured}
    return [span for span in SPANS_FIRST if span in present] + sorted(present - set(SPANS_FIRST))


def _usable(one: Compared, span: str) -> list[Mark]:
    return [mark for mark in one.marks if mark.span == span and PLAUSIBLE_S[0] < mark.time_s < PLAUSIBLE_S[1]]


def _names(one: Compared) -> dict[Place, str]:
    """What tells places apart, and no more."""
    measured = list(dict.fromkeys(mark.place for mark in one.marks if mark.place.is_measured))
    has_labels = len({place.label for place in measured}) > 1
    names: dict[Place, str] = {}
    for place in measured:
        alike = [other for other in measured if (other.label, other.name) == (place.label, place.name)]
        parts = [place.label if has_labels else "", place.name or numbers.NOTHING]
        if has_labels and place.name and plain_name(place.name) in place.label:
            parts.pop()  # a label of one of several machines says it
        if len({other.threads for other in alike}) > 1 and place.threads:
            parts.append(f"threads={place.threads}")
        if len({other.machine for other in alike}) > 1:
            parts.append(place.machine[:8])
        names[place] = joined(" · ", filter(None, parts))
    return names | {mark.place: mark.place.name for mark in one.marks if not mark.place.is_measured}


def _row_names(names: Mapping[Place, str]) -> dict[Place, str]:
    """The same, short enough to leave a narrow screen its plot; the whole name is in the hover text and the table."""
    short: dict[Place, str] = {}
    for place, name in names.items():
        cut = name if len(name) <= LONGEST_ROW_NAME else name[: LONGEST_ROW_NAME - 1] + "…"
        row = figure_text(f"● {cut}" if place.is_measured else cut)
        alike = (row, *(f"{row} ({number})" for number in range(2, len(names) + 1)))
        short[place] = next(one for one in alike if one not in short.values())
    return short


def _ordered(marks: Sequence[Mark]) -> list[Place]:
    """Measured places first, then by their least time."""
    least_s: dict[Place, float] = defaultdict(lambda: inf)
    for mark in marks:
        least_s[mark.place] = min(least_s[mark.place], mark.time_s)
    return sorted(least_s, key=lambda place: (not place.is_measured, least_s[place], place.name))


def _figure(title: str, one: Compared) -> Figure:
    names = _names(one)
    views = [
        View(title=span_title(span), figure=_dots(_usable(one, span), names))
        for span in _spans(one)
        if _usable(one, span)
    ]
    rows = len({mark.place for mark in one.marks})
    entries = max(len({mark.sized_variant for mark in _usable(one, span)}) for span in _spans(one)) + 2
    return Figure(
        title=title,
        caption=say("hardware.caption"),
        views=views,
        height_px=FRAME_PX + ROW_PX * rows + LEGEND_ROW_PX * -(-entries // 2),
        wide=True,
        facets=case_facets(one.axes),
    )


def _dots(marks: Sequence[Mark], names: Mapping[Place, str]) -> dict[str, Any]:
    places, rows = _ordered(marks), _row_names(names)
    series: dict[tuple[str, str], list[Mark]] = defaultdict(list)
    for mark in sorted(marks, key=lambda mark: (rank(mark.variant), mark.sized_variant)):
        series[mark.variant, mark.sized_variant].append(mark)
    traces: list[dict[str, Any]] = []
    for ordinal, ((variant, name), part) in enumerate(series.items()):
        for is_measured in (True, False):
            drawn = [mark for mark in part if mark.place.is_measured is is_measured]
            if drawn:
                first = not any(trace["legendgroup"] == figure_text(name) for trace in traces)
                traces.append(_trace(variant, name, drawn, names, rows, ordinal, first))
    ends = [log10(min(mark.time_s for mark in marks)) - ROOM_DECADES]
    ends.append(log10(max(mark.time_s for mark in marks)) + ROOM_DECADES)
    return {
        "data": [*traces, *_meaning()],
        "layout": layout(
            xaxis={
                **log_axis(say("hardware.axis"), time_ticks([10**end for end in ends])),
                "range": ends,
                "tickfont": {"size": 10},
            },
            yaxis={
                "type": "category",
                "categoryarray": [rows[place] for place in places],
                "range": [len(places) - 0.5, -0.5],
                "automargin": True,
                "tickfont": {"size": 11},
                "dtick": 1,
                "ticks": "",
            },
            hovermode="closest",
        ),
    }


def _trace(
    variant: str,
    name: str,
    drawn: Sequence[Mark],
    names: Mapping[Place, str],
    rows: Mapping[Place, str],
    ordinal: int,
    first: bool,
) -> dict[str, Any]:
    """The later lies on the earlier: smaller, so that both are seen where they coincide."""
    is_measured = drawn[0].place.is_measured
    marker = line_style(variant, 0 if is_measured else 1)["marker"]
    said = say("evidence.measured" if is_measured else "evidence.projected")
    return {
        "type": "scatter",
        "mode": "markers",
        "name": figure_text(name),
        "legendgroup": figure_text(name),
        "showlegend": first,
        "x": [mark.time_s for mark in drawn],
        "y": [rows[mark.place] for mark in drawn],
        "hovertext": [joined("", [numbers.seconds(mark.time_s), " ", said, ", ", names[mark.place]]) for mark in drawn],
        "hovertemplate": "%{hovertext}<extra>%{fullData.name}</extra>",
        "marker": {**marker, "size": max(LEAST_PX, LARGEST_PX - ordinal)},
        **trace_facets(variant=shown(variant)),
    }


def _meaning() -> list[dict[str, Any]]:
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": say(key),
            "x": [None],
            "y": [None],
            "hoverinfo": "skip",
            "marker": {"symbol": symbol, "color": GREY, "size": 10},
        }
        for key, symbol in (("hardware.solid", "circle"), ("hardware.hollow", "circle-open"))
    ]


def _table(title: str, one: Compared, span: str) -> Table:
    marks, names = _usable(one, span), _names(one)
    known = {(mark.variant, mark.sized_variant) for mark in marks}
    variants = [name for _, name in sorted(known, key=lambda pair: (rank(pair[0]), pair[1]))]
    times = {(mark.place, mark.sized_variant): mark.time_s for mark in marks}
    places = _ordered(marks)
    return Table(
        title=dotted(title, span_title(span)),
        columns=[
            Column(title=say("signmap.device"), kind=Kind.CODE),
            Column(title=say("fact.evidence")),
            *(Column(title=name, kind=Kind.NUMBER) for name in variants),
        ],
        rows=[
            [
                names[place],
                say("evidence.measured" if place.is_measured else "evidence.projected"),
                *(cell(times.get((place, name)), numbers.seconds) for name in variants),
            ]
            for place in places
        ],
        note=say("hardware.note"),
        folded=span != SPANS_FIRST[0] or len(places) > MOST_ROWS_OPEN,
        facets=case_facets(one.axes),
    )
