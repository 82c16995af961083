"""One case on every device that is known: measured where it ran, projected where only a specification is.

A projection is the least time that two published ceilings allow for the closed forms that a measured record holds, or
what a projected record says. The two are told apart everywhere: a solid marker and a row that says so was measured, a
hollow one was computed. projection.py has the projections that no measured case stands beside.
"""

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from suite.records import numbers
from suite.records.record import Evidence
from suite.report.attention.timings import (
    OF_A_VARIANT,
    SPANS,
    Timing,
    is_plausible_s,
    is_timed,
    span_title,
    spans_of,
    timings,
    timings_of,
    titles_of,
    usual_context,
)
from suite.report.blocks import Figure, Kind, Section, Table, Text, View, dotted, joined, say, section
from suite.report.model.experiment import grouped, without
from suite.report.model.labels import VARIANT, case_facets, rank, shown, style_of
from suite.report.model.machine_labels import plain_name
from suite.report.model.results import Results
from suite.report.model.run import Pairs, Run, machine_id, machine_name
from suite.report.plot.marks import Point, Series, meaning
from suite.report.plot.plots import LEGEND_ROW_PX, plot
from suite.report.plot.scales import categories, log_ends, time_axis
from suite.report.plot.text import figure_text
from suite.report.table import column, plain, table
from suite.theory.hardware import Hardware, hardware_names, load_hardware

PROJECTION, LEAST_TIME = "projection", "bound_s"
NOT_SHARED = ("attention", "hardware", "seq_len", "backend", "device", "threads")
"""Axes that two cases need not share to stand in one figure."""
MOST_GROUPS, FEWEST_VARIANTS = 2, 2
FRAME_PX, ROW_PX, LARGEST_PX, LEAST_PX = 140, 22, 13, 7
LONGEST_ROW_NAME = 20


@dataclass(frozen=True, kw_only=True)
class Place:
    """A row: a machine that ran cases, or a device that is known by its specification alone."""

    name: str
    is_measured: bool = False
    label: str = ""
    threads: str = ""
    machine: str = ""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A variant's time at a place, by a timing there or by the closed forms that it holds."""

    place: Place
    timing: Timing
    time_s: float

    @property
    def variant(self) -> tuple[tuple[int, str], str, str]:
        """Return a variant in the sizes that it has, so that it sorts as variants do."""
        return rank(self.timing.variant), self.timing.sized_variant, self.timing.variant


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One kind of case at one context."""

    tokens: int
    marks: Sequence[Mark]

    def of_span(self, span: str) -> list[Mark]:
        """Return what a device could have taken for a span."""
        return [mark for mark in self.marks if mark.timing.span == span and is_plausible_s(mark.time_s)]


def build(results: Results) -> Section | None:
    """Build it from what was measured on several machines, of several variants or beside a projection."""
    found = compared(results)
    titles = titles_of(found)
    figures, tables = [], []
    for key, one in found.items():
        title, settings = titles[key]
        titled = {
            "title": dotted(title, say("callstyle.tokens", tokens=numbers.count(one.tokens))),
            "settings": settings,
            "facets": case_facets(dict(key)),
        }
        spans = spans_of(mark.timing for mark in one.marks if mark.place.is_measured)
        figures.append(_figure(one, spans, titled))
        tables += [_table(one, span, titled) for span in spans]
    return section("hardware", figures=figures, tables=tables) if found else None


@functools.lru_cache(maxsize=1)
def compared(results: Results) -> Mapping[Pairs, Compared]:
    """Return the groups with the most machines and variants, and of those that differ in dtype alone one."""
    measured = grouped((timing for timing in timings(results) if timing.is_measured), key_of)
    projected = projected_groups(results)
    telling = {key: found for key, found in measured.items() if any(timing.tokens for timing in found)}
    wanted: dict[Pairs, Pairs] = {}
    for key in sorted(telling, key=lambda key: (*_reach(telling[key]), key)):
        machines, variants = _reach(telling[key])
        # One variant on one machine is no comparison, unless somebody asked for its projections.
        if -machines > 1 or -variants >= FEWEST_VARIANTS or key in projected:
            wanted.setdefault(without(key, ["dtype"]), key)
    return {key: _compared(telling[key], projected.get(key, ())) for key in list(wanted.values())[:MOST_GROUPS]}


def projected_groups(results: Results) -> dict[Pairs, list[Timing]]:
    """Return projected cases that may stand in one figure, by the axes and settings that they share."""
    records = [one for one in results.records if is_timed(one, (PROJECTION,))]
    found = [one for record in records for one in timings_of(record, LEAST_TIME)]
    return dict(sorted(grouped([one for one in found if one.record.evidence is Evidence.PROJECTED], key_of).items()))


def key_of(timing: Timing) -> Pairs:
    """Return what a timing shares with those on other devices."""
    axes = without(tuple((name, timing.axis(name)) for name in timing.record.case.axes), NOT_SHARED)
    settings = timing.record.case.extras.items()
    named = [(name, str(value)) for name, value in sorted(settings) if value is not None]
    return (*axes, *(pair for pair in named if not pair[0].startswith(OF_A_VARIANT)))


def _reach(found: Sequence[Timing]) -> tuple[int, int]:
    """Return how many machines and variants there are, as numbers that sort the most first."""
    return -len(set(map(_place, found))), -len({timing.variant for timing in found})


def _compared(found: Sequence[Timing], projected: Sequence[Timing]) -> Compared:
    """Return the longest of the contexts that have the most variants on the most machines."""
    tokens = usual_context((timing.tokens, (timing.variant, _place(timing))) for timing in found)
    assert tokens is not None
    at = [timing for timing in found if timing.tokens == tokens]
    slowest_first = sorted(at, key=lambda timing: -timing.median_s)
    marks = [Mark(place=_place(timing), timing=timing, time_s=timing.median_s) for timing in slowest_first]
    marks += [mark for timing in at for mark in _by_specification(timing)]
    for timing in projected:
        if timing.tokens == tokens:
            place = Place(name=timing.axis("hardware"))
            marks.append(Mark(place=place, timing=timing, time_s=timing.median_s))
    # The last counts: the fastest of what was measured, and a projected record before what a measured one allows.
    by_case = {(mark.place, mark.variant, mark.timing.span): mark for mark in marks}
    return Compared(tokens=tokens, marks=list(by_case.values()))


def _place(run: Run) -> Place:
    return Place(
        name=machine_name(run.record),
        is_measured=True,
        label=run.label,
        threads=run.axis("threads"),
        machine=machine_id(run.current),
    )


def _by_specification(timing: Timing) -> Iterable[Mark]:
    flops, traffic = timing.amount("flops"), timing.amount("traffic_bytes")
    for hardware in _hardware() if flops and traffic else ():
        ceilings = hardware.ceilings(timing.axis("dtype"))
        if ceilings is not None:
            least_s = ceilings.bound_s(flops=flops or 0, traffic_bytes=traffic or 0)
            yield Mark(place=Place(name=hardware.name), timing=timing, time_s=least_s)


@functools.cache
def _hardware() -> Sequence[Hardware]:
    return [load_hardware(name) for name in hardware_names()]


def _names(marks: Sequence[Mark]) -> dict[Place, str]:
    """Return what tells places apart, and no more."""
    places = list(dict.fromkeys(mark.place for mark in marks))
    measured = [place for place in places if place.is_measured]
    has_labels = len({place.label for place in measured}) > 1
    names = {}
    for place in measured:
        alike = [other for other in measured if (other.label, other.name) == (place.label, place.name)]
        # A label of one of several machines says its name.
        is_said = has_labels and place.name and plain_name(place.name) in place.label
        has_threads = place.threads and len({other.threads for other in alike}) > 1
        parts = [
            place.label if has_labels else "",
            "" if is_said else place.name or numbers.NOTHING,
            f"threads={place.threads}" if has_threads else "",
            place.machine[:8] if len({other.machine for other in alike}) > 1 else "",
        ]
        names[place] = " · ".join(filter(None, parts))
    return names | {place: place.name for place in places if not place.is_measured}


def _row_names(names: Mapping[Place, str]) -> dict[Place, str]:
    """Return the same, short enough for a narrow screen; the hover text and the table have the whole name."""
    short: dict[Place, str] = {}
    for place, name in names.items():
        cut = name if len(name) <= LONGEST_ROW_NAME else name[: LONGEST_ROW_NAME - 1] + "…"
        row = figure_text(f"● {cut}" if place.is_measured else cut)
        alike = (row, *(f"{row} ({number})" for number in range(2, len(names) + 1)))
        short[place] = next(one for one in alike if one not in short.values())
    return short


def _ordered(marks: Sequence[Mark]) -> list[Place]:
    """Return measured places first, then by their least time."""
    least_s: dict[Place, float] = defaultdict(lambda: inf)
    for mark in marks:
        least_s[mark.place] = min(least_s[mark.place], mark.time_s)
    return sorted(least_s, key=lambda place: (not place.is_measured, least_s[place], place.name))


def _figure(one: Compared, spans: Sequence[str], titled: Mapping[str, Any]) -> Figure:
    names = _names(one.marks)
    drawn = {span: marks for span in spans if (marks := one.of_span(span))}
    entries = max((len({mark.variant for mark in marks}) for marks in drawn.values()), default=0) + 2
    return Figure(
        caption=say("hardware.caption"),
        views=[View(title=span_title(span), figure=_dots(marks, names)) for span, marks in drawn.items()],
        height_px=FRAME_PX + ROW_PX * len(names) + LEGEND_ROW_PX * -(-entries // 2),
        wide=True,
        **titled,
    )


def _dots(marks: Sequence[Mark], names: Mapping[Place, str]) -> dict[str, Any]:
    rows = _row_names(names)
    series: list[Series] = []
    by_variant = grouped(sorted(marks, key=lambda mark: mark.variant), lambda mark: mark.variant)
    for ordinal, ((_, name, variant), of_variant) in enumerate(by_variant.items()):
        for place, (is_measured, drawn) in enumerate(_measured_first(of_variant)):
            said = say("evidence.measured" if is_measured else "evidence.projected")
            points = [
                Point(
                    x=mark.time_s,
                    y=rows[mark.place],
                    hover=joined("", [f"{numbers.seconds(mark.time_s)} ", said, f", {names[mark.place]}"]),
                )
                for mark in drawn
            ]
            series.append(
                Series(
                    name=name,
                    points=points,
                    style=style_of(VARIANT, variant),
                    ordinal=0 if is_measured else 1,
                    facets={"variant": shown(variant)},
                    in_legend=place == 0,
                    size=marker_px(ordinal),
                )
            )
    keys = [meaning(say("hardware.solid"), symbol="circle"), meaning(say("hardware.hollow"), symbol="circle-open")]
    return time_by_device(series, [rows[place] for place in _ordered(marks)], say("hardware.axis"), keys)


def _measured_first(marks: Sequence[Mark]) -> list[tuple[bool, list[Mark]]]:
    found = grouped(marks, lambda mark: mark.place.is_measured)
    return sorted(found.items(), key=lambda item: not item[0])


def marker_px(ordinal: int) -> int:
    """Return a size: the later lies on the earlier, and smaller both are seen where they coincide."""
    return max(LEAST_PX, LARGEST_PX - ordinal)


def time_by_device(
    series: Sequence[Series], devices: Sequence[str], title: Text, more: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Draw times along a logarithmic axis, a row for each device."""
    ends = log_ends(point.x for one in series for point in one.points)
    axis = time_axis(title, [10**end for end in ends], range=ends, tickfont={"size": 10})
    return plot([*series, *more], xaxis=axis, yaxis=categories(devices))


def _table(one: Compared, span: str, titled: Mapping[str, Any]) -> Table:
    marks, names = one.of_span(span), _names(one.marks)
    times = {(mark.place, mark.variant): mark.time_s for mark in marks}
    return table(
        rows=_ordered(marks),
        columns=[
            column("signmap.device", names.__getitem__, kind=Kind.CODE),
            column(
                "fact.evidence", lambda place: say("evidence.measured" if place.is_measured else "evidence.projected")
            ),
            *(
                column(plain(variant[1]), lambda place, variant=variant: times.get((place, variant)), numbers.seconds)
                for variant in sorted({mark.variant for mark in marks})
            ),
        ],
        note=say("hardware.note"),
        folded=span != SPANS[0],
        **(titled | {"title": dotted(titled["title"], span_title(span))}),
    )
