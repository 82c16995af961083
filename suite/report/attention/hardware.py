"""One case on every device that is known: measured where it ran, projected where only a specification is.

A projection is the least time that two published ceilings allow for the closed forms that a measured record holds, or
what a projected record says. A device on which others measured such kernels has a second row, of the time that is
expected of a good one. All are told apart everywhere: a solid marker and a row that says so was measured, a hollow one
was computed. projection.py has the projections that no measured case stands beside.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from suite.records import numbers
from suite.records.derived import constant
from suite.records.machines import plain_name
from suite.records.record import Evidence
from suite.report.attention.groups import axes_of, chosen_by, representatives, titles_of, usual_context
from suite.report.attention.timings import KERNEL, LAYER, Timing, by_span, is_plausible, span_title, timings, timings_of
from suite.report.blocks import Figure, Kind, Section, Table, Text, View, dotted, joined, say, section
from suite.report.model.experiment import grouped, without
from suite.report.model.labels import rank, variant_style
from suite.report.model.results import Results
from suite.report.model.run import Pairs, machine_name
from suite.report.model.timed_kernels import decode_cell
from suite.report.plot.marks import Point, Series, meaning
from suite.report.plot.plots import LEGEND_ROW_PX, plot
from suite.report.plot.scales import categories, roomy_time_axis
from suite.report.plot.text import figure_text, short_names
from suite.report.table import Column, column, plain, table
from suite.theory.devices.calibration_file import known_calibrations
from suite.theory.devices.hardware import least_times_s

NOT_SHARED = ("attention", "hardware", "seq_len", "backend", "device", "threads")
"""Axes that two cases need not share to stand in one figure."""
MOST_GROUPS, FEWEST_VARIANTS = 6, 2
FRAME_PX, ROW_PX, LARGEST_PX, LEAST_PX = 130, 20, 12, 7
LATENT = "mla"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A row: a machine that ran cases, or a device that is known by its specification, or by others' measurements."""

    name: str
    is_measured: bool = False
    is_expected: bool = False
    label: str = ""
    threads: str = ""

    @property
    def row_name(self) -> str:
        """Return a device's name, marked where its times are expected ones."""
        return f"≈ {self.name}" if self.is_expected else self.name

    @property
    def evidence(self) -> Text:
        is_computed = "evidence.expected" if self.is_expected else "evidence.projected"
        return say("evidence.measured" if self.is_measured else is_computed)


@dataclass(frozen=True, kw_only=True)
class DeviceTime:
    """A variant's time at a place, by a timing there or by the closed forms that it holds."""

    place: Place
    timing: Timing
    time_s: float
    is_bound: bool = False
    """The least time that the ceilings allow which the machine's own run measured."""

    @property
    def is_solid(self) -> bool:
        """Return whether it was measured."""
        return self.place.is_measured and not self.is_bound

    @property
    def variant(self) -> tuple[tuple[int, str], str]:
        """Return a variant in the sizes that it has, so that it sorts as variants do."""
        return rank(self.timing.variant), self.timing.sized_variant


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One kind of case at one context."""

    tokens: int
    times: Mapping[str, Sequence[DeviceTime]]
    """Projections by the spans that were measured."""

    @functools.cached_property
    def names(self) -> dict[Place, str]:
        """Return what tells places apart, and no more."""
        places = dict.fromkeys(time.place for of_span in self.times.values() for time in of_span)
        measured = [place for place in places if place.is_measured]
        has_labels = len({place.label for place in measured}) > 1
        names = {}
        for place in measured:
            # A label of one of several machines says its name.
            is_said = has_labels and place.name and plain_name(place.name) in place.label
            threads = {time.threads for time in measured if (time.label, time.name) == (place.label, place.name)}
            parts = [place.label] if has_labels else []
            parts += [] if is_said else [place.name or numbers.NOTHING]
            parts += [f"threads={place.threads}"] if len(threads) > 1 and place.threads else []
            names[place] = " · ".join(parts)
        return names | {place: place.row_name for place in places if not place.is_measured}


def build(results: Results) -> Section | None:
    """Build it from what was measured on several machines, of several variants or beside a projection."""
    found = compared(results)
    figures, tables = [], []
    choices = chosen_by(found)
    for key, (title, settings) in titles_of(found).items():
        comparison, facets = found[key], choices[key]
        title = dotted(title, say("callstyle.tokens", tokens=numbers.count(comparison.tokens)))
        entries = max(len({time.variant for time in of_span}) for of_span in comparison.times.values()) + 2
        figure = Figure(
            title=title,
            family=say("hardware.family"),
            finding=_finding(comparison),
            settings=settings,
            caption=say("hardware.caption"),
            views=[
                View(title=span_title(span), figure=_dots(part, comparison.names))
                for span, part in comparison.times.items()
            ],
            height_px=FRAME_PX + ROW_PX * len(comparison.names) + LEGEND_ROW_PX * -(-entries // 2),
            facets=facets,
        )
        figures.append(figure)
        tables += [_table(title, settings, comparison, span, facets) for span in comparison.times]
    return section("hardware", figures=figures, tables=tables) if found else None


@functools.lru_cache(maxsize=1)
def compared(results: Results) -> Mapping[Pairs, Compared]:
    """Return the groups with the most machines and variants, and of those that differ in dtype alone one."""
    projected = projected_groups(results)
    measured = grouped(representatives(t for t in timings(results) if t.is_measured and t.tokens), key_of)
    reach = {key: (len(set(map(_place, of))), len({timing.variant for timing in of})) for key, of in measured.items()}
    wanted: dict[Pairs, Pairs] = {}
    for key in sorted(measured, key=lambda key: (-reach[key][0], -reach[key][1], key)):
        machines, variants = reach[key]
        # One variant on one machine is no comparison, unless somebody asked for its projections.
        if machines > 1 or variants >= FEWEST_VARIANTS or key in projected:
            wanted.setdefault(without(key, ["dtype"]), key)
    return {key: _compared(measured[key], projected.get(key, ())) for key in list(wanted.values())[:MOST_GROUPS]}


def projected_groups(results: Results) -> dict[Pairs, list[Timing]]:
    """Return projected cases that may stand in one figure, by the axes and settings that they share."""
    found = [timing for current in results.records for timing in timings_of(current, "bound_s", ["projection"])]
    projected = [timing for timing in found if timing.record.evidence is Evidence.PROJECTED]
    return dict(sorted(grouped(projected, key_of).items()))


def key_of(timing: Timing) -> Pairs:
    """Return what a timing shares with those on other devices."""
    named = [(name, value) for name, _, value in (setting.partition("=") for setting in timing.shared_extras)]
    return (*axes_of(timing, NOT_SHARED), *named)


def _compared(measured: Sequence[Timing], projected: Sequence[Timing]) -> Compared:
    """The longest of the contexts that have the most variants on the most machines."""
    tokens = usual_context((timing.tokens, (timing.variant, _place(timing))) for timing in measured)
    assert tokens is not None
    at = sorted((timing for timing in measured if timing.tokens == tokens), key=lambda timing: -timing.median_s)
    times = [DeviceTime(place=_place(timing), timing=timing, time_s=timing.median_s) for timing in at]
    for timing in at:
        if share := timing.roofline[0]:
            least_s = share * timing.median_s
            times.append(DeviceTime(place=_place(timing), timing=timing, time_s=least_s, is_bound=True))
        flops, traffic = timing.amount("flops"), timing.amount("traffic_bytes")
        if flops and traffic:
            allowed = least_times_s(flops=flops, traffic_bytes=traffic, dtype=timing.axis("dtype"))
            times += [DeviceTime(place=Place(name=name), timing=timing, time_s=s) for name, s in allowed.items()]
            times += _expected(timing, flops, traffic)
    projections = [(Place(name=timing.axis("hardware")), timing) for timing in projected if timing.tokens == tokens]
    times += [DeviceTime(place=place, timing=timing, time_s=timing.median_s) for place, timing in projections]
    times += [
        DeviceTime(place=replace(place, is_expected=True), timing=timing, time_s=expected_s)
        for place, timing in projections
        if (expected_s := timing.amount("expected_s"))
    ]
    # The last counts: the fastest of what was measured, and a projected record before what a measured one allows.
    counting = {
        (time.place, time.variant, time.timing.span, time.is_bound): time for time in times if is_plausible(time.time_s)
    }
    of_spans = {span: [time for time in counting.values() if time.timing.span == span] for span in by_span(at)}
    return Compared(tokens=tokens, times=of_spans)


def _expected(timing: Timing, flops: float, traffic_bytes: float) -> Iterable[DeviceTime]:
    """Yield the time of a measured case that is expected of good kernels on each device with a calibration of them."""
    cell = decode_cell(timing.record)
    for known in known_calibrations():
        expected = cell and known.expected_cell(cell)
        if cell and expected and timing.span == LAYER:
            rest = {"flops": flops, "traffic_bytes": traffic_bytes}
            of_kernel = {name: constant(timing.record, KERNEL, name) or 0 for name in rest}
            left = {name: amount - of_kernel[name] for name, amount in rest.items()}
            around, rows = cell.of.kernel, cell.batch * cell.query_len
            expected = known.with_rest(expected, around=around, rows=rows, **left) if min(left.values()) >= 0 else None
        if expected:
            yield DeviceTime(place=Place(name=known.name, is_expected=True), timing=timing, time_s=expected.seconds)


def _place(timing: Timing) -> Place:
    """A machine; of several in one folder each has a label of its own."""
    name, threads = machine_name(timing.record), timing.axis("threads")
    return Place(name=name, is_measured=True, label=timing.label, threads=threads)


def _ordered(times: Iterable[DeviceTime]) -> list[Place]:
    """Measured places first, then devices by their least time, the expected ones below the bound."""
    fastest_first = sorted(times, key=lambda time: (not time.place.is_measured, time.time_s, time.place.name))
    devices = list(dict.fromkeys((time.place.is_measured, time.place.name) for time in fastest_first))
    places = dict.fromkeys(time.place for time in fastest_first)
    return sorted(places, key=lambda place: devices.index((place.is_measured, place.name)))


def _finding(comparison: Compared) -> Text:
    """Say what MLA takes where it was measured, beside the bound there, and what is expected where it is least."""
    of_layer = [time for time in comparison.times.get(LAYER, ()) if time.timing.is_checked]
    latent = [time for time in of_layer if time.timing.variant.partition("_")[0] == LATENT] or of_layer
    measured = min((time for time in latent if time.is_solid), key=lambda time: time.time_s, default=None)
    if measured is None:
        return ""
    own = [time for time in latent if time.variant == measured.variant]
    bound = next((time for time in own if time.is_bound and time.place == measured.place), None)
    others = [time for time in own if not time.place.is_measured]
    expected = [time for time in others if time.place.is_expected] or others
    best = min(expected, key=lambda time: time.time_s, default=None)
    ratio = measured.time_s / bound.time_s if bound else 0.0
    fields = {"variant": measured.variant[1], "machine": measured.place.name or measured.place.label}
    said = say("hardware.finding", time=numbers.seconds(measured.time_s), **fields)
    over = say("hardware.over_bound", ratio=numbers.times(ratio)) if ratio else ""
    key = "hardware.expected" if best and best.place.is_expected else "hardware.bound"
    there = say(key, time=numbers.seconds(best.time_s), device=best.place.name) if best else ""
    return joined("notes", [said, over, there])


def _dots(times: Sequence[DeviceTime], names: Mapping[Place, str]) -> dict[str, Any]:
    short = zip(names, short_names(names.values()), strict=True)
    rows = {place: figure_text(f"● {name}" if place.is_measured else name) for place, name in short}
    series: list[Series] = []
    ordered = sorted(times, key=lambda time: (time.variant, not time.is_solid))
    for ordinal, ((_, name), of_variant) in enumerate(grouped(ordered, lambda time: time.variant).items()):
        attention = of_variant[0].timing.variant
        for is_solid, part in grouped(of_variant, lambda time: time.is_solid).items():
            line = Series(
                name=of_variant[0].timing.marked(name),
                points=[_point(time, rows[time.place], names[time.place]) for time in part],
                style=variant_style(attention),
                ordinal=0 if is_solid else 1,
                facets={"variant": of_variant[0].timing.variant_name},
                in_legend=part[0] is of_variant[0],
                size=marker_px(ordinal),
            )
            series.append(line)
    keys = [meaning(say("hardware.solid"), symbol="circle"), meaning(say("hardware.hollow"), symbol="circle-open")]
    axis = roomy_time_axis(say("hardware.axis"), [time.time_s for time in times])
    return plot([*series, *keys], xaxis=axis, yaxis=categories([rows[place] for place in _ordered(times)]))


def _point(time: DeviceTime, row: str, name: str) -> Point:
    evidence = say("hardware.own_bound") if time.is_bound else time.place.evidence
    hover = joined("", [f"{numbers.seconds(time.time_s)} ", evidence, f", {name}"])
    return Point(x=time.time_s, y=row, hover=hover, runs=(time.timing.record.run_key,))


def marker_px(ordinal: int) -> int:
    """Return a size: the later lies on the earlier, and smaller both are seen where they coincide."""
    return max(LEAST_PX, LARGEST_PX - ordinal)


def _table(title: Text, settings: Text, comparison: Compared, span: str, facets: Mapping[str, Text]) -> Table:
    of_span = comparison.times[span]
    shown = {time.variant: time.timing for time in of_span}
    times_s = {(time.place, time.variant): time.time_s for time in of_span if not time.is_bound}

    def column_of(variant: tuple[tuple[int, str], str]) -> Column[Place]:
        name = plain(shown[variant].marked(variant[1]))
        return column(name, lambda place: times_s.get((place, variant)), numbers.seconds)

    columns: list[Column[Place]] = [
        column("signmap.device", comparison.names.get, kind=Kind.CODE),
        column("fact.evidence", lambda place: place.evidence),
        *map(column_of, sorted(shown)),
    ]
    named = span_title(span)
    return table(
        named,
        _ordered(of_span),
        columns,
        family=named,
        note=say("hardware.note"),
        settings=dotted(title, settings),
        folded=span != LAYER,
        facets=facets,
    )
