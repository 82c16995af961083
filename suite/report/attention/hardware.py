"""One case on every device that is known: measured where it ran, computed where only a specification is.

A projection is the least time that two published ceilings allow for the closed forms that a measured record holds, or
what a projected record says. A device on which others measured such kernels has a second row, of the time that is
expected of a good one. All are told apart everywhere: a solid marker and a row that says so was measured, a hollow one
was computed. Two tables check what is computed: by kernels that others published, and by measured cells.
"""

import math
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from suite.records import numbers
from suite.records.derived import constant
from suite.records.labels import differences, differing, written
from suite.records.machines import plain_name
from suite.records.record import Evidence
from suite.report.attention.groups import axes_without, group_facets, group_titles, most_common_context, representatives
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, View, dotted, joined, say, section
from suite.report.model.experiment import drop_settings, grouped
from suite.report.model.labels import variant_sort_key, variant_style
from suite.report.model.results import Results
from suite.report.model.run import LABEL, Pairs, is_plausible, machine_name
from suite.report.model.timed_kernels import decode_cell, timed_kernel
from suite.report.plot.plots import LEGEND_ROW_PX, Point, Series, categories, meaning, plot, roomy_time_axis
from suite.report.plot.text import figure_text, short_names
from suite.report.table import Column, column, label_column, part_columns, table
from suite.report.timings import (
    CONTEXT,
    KERNEL,
    LAYER,
    REGIME,
    Timing,
    by_span,
    record_timings,
    span_title,
    timings,
)
from suite.theory.answers.published import FigureSizes, PublishedFigure, published_figures
from suite.theory.devices.calibration import relative_errors
from suite.theory.devices.calibration_file import known_calibrations, load_calibration
from suite.theory.devices.hardware import least_times_s

# Axes that two cases need not share to stand in one figure.
NOT_SHARED = ("attention", "hardware", "seq_len", "backend", "device", "threads")
MOST_GROUPS, FEWEST_VARIANTS = 6, 2
FRAME_PX, ROW_PX, LARGEST_PX, LEAST_PX = 130, 20, 12, 7
BASELINE, LATENT = "mha", "mla"


@dataclass(frozen=True, kw_only=True)
class DeviceTime:
    """A variant's time on a device, by a timing there or by the closed forms that it holds."""

    evidence: str  # `measured`, `projected` or `expected`
    device: str  # its row
    timing: Timing
    time_s: float

    @property
    def is_measured(self) -> bool:
        return self.evidence == "measured"

    @property
    def variant(self) -> tuple[tuple[int, str], str]:
        """The variant's sort key, then its name with sizes: sorts from the widest cache to the most compressed."""
        return variant_sort_key(self.timing.variant), self.timing.sized_variant

    @property
    def place(self) -> Hashable:
        """Device, context and label: times of variants that agree in these are compared."""
        return self.device, self.timing.tokens, self.timing.label


def build(results: Results) -> Section | None:
    """Build the section on known devices from what was measured and projected; None without any timing."""
    bounds = [timing for current in results.records for timing in record_timings(current, "projection", "bound_s")]
    projections = [timing for timing in bounds if timing.record.evidence is Evidence.PROJECTED]
    projected = dict(sorted(grouped(projections, shared_key).items()))
    measured = measured_groups(results, projected)
    if not projected and not timings(results):
        return None
    keys = dict.fromkeys([*measured, *projected])
    facets, figures, tables = group_facets(keys), list[Figure](), list[Table]()
    for key, (title, settings) in group_titles(keys).items():
        subject: dict[str, Any] = {"settings": settings, "facets": facets[key]}
        contexts, times = _times(measured.get(key, ()), projected.get(key, ()))
        for tokens in contexts:
            figures.append(_figure(title, [time for time in times if time.timing.tokens == tokens], **subject))
        spans = by_span(times, lambda time: time.timing.span)
        tables += [_table(title, span, span_times, results, **subject) for span, span_times in spans.items()]
    published = table(say("published.table"), published_figures(), PUBLISHED, note=say("published.note"), folded=True)
    tables += [published, _errors_table(results)]
    shares = [figure.share for figure in published_figures()]
    low, middle, high = map(numbers.percent, (min(shares), median(shares), max(shares)))
    headline = Headline(text=say("published.headline", low=low, middle=middle, high=high))
    return section("hardware", figures=figures, tables=tables, headlines=[headline])


def measured_groups(results: Results, projected: Collection[Pairs]) -> dict[Pairs, list[Timing]]:
    """Up to MOST_GROUPS groups of measured timings, those with the most machines and variants; of several dtypes one.

    A group of one variant on one machine counts only where it is among `projected`.
    """
    measured = grouped(representatives(t for t in timings(results) if t.is_measured and t.tokens), shared_key)
    # The numbers of machines and of variants that a group compares.
    sizes = {
        key: (len(set(map(_machine_key, group))), len({t.variant for t in group})) for key, group in measured.items()
    }
    chosen: dict[Pairs, Pairs] = {}
    for key in sorted(measured, key=lambda key: (-sizes[key][0], -sizes[key][1], key)):
        num_machines, num_variants = sizes[key]
        # One variant on one machine is no comparison, unless somebody asked for its projections.
        if num_machines > 1 or num_variants >= FEWEST_VARIANTS or key in projected:
            chosen.setdefault(drop_settings(key, ["dtype"]), key)
    return {key: measured[key] for key in list(chosen.values())[:MOST_GROUPS]}


def shared_key(timing: Timing) -> Pairs:
    """A timing's axes and further settings, without those of NOT_SHARED and of its variant: equal within a figure."""
    return (*axes_without(timing, NOT_SHARED), *timing.shared_settings)


def _machine_key(timing: Timing) -> Pairs:
    name = machine_name(timing.record) or numbers.NOTHING
    return ((LABEL, timing.label), ("name", name), ("threads", timing.axis("threads")))


def _times(measured: Sequence[Timing], projected: Sequence[Timing]) -> tuple[list[int], list[DeviceTime]]:
    """The contexts to draw, and all times to show: those measured at the most common context, what specifications and
    calibrations make of them on each known device, and those of projected records at any context."""
    common = most_common_context((timing.tokens, (timing.variant, _machine_key(timing))) for timing in measured)
    contexts = [common] if common else []
    if common not in {timing.tokens for timing in projected}:
        projected_context = most_common_context((timing.tokens, timing) for timing in projected)
        contexts += [projected_context] if projected_context else []
    longest = sorted((timing for timing in measured if timing.tokens == common), key=lambda timing: -timing.median_s)
    # A machine is named by label, name and settings, each only where machines differ in it.
    machines, rows = list(map(_machine_key, longest)), list[tuple[str, str, Timing, float]]()
    has_labels, threads = LABEL in differing(machines), differences(machines, alike_in=[LABEL, "name"])
    for timing, machine, own_threads in zip(longest, map(dict, machines), threads, strict=True):
        label = machine[LABEL] if has_labels else ""
        # A label of one of several machines says its name.
        name = "" if plain_name(machine["name"]) in label else machine["name"]
        named = " · ".join(filter(None, [label, name, written(own_threads)]))
        rows.append(("measured", named, timing, timing.median_s))
    for timing in longest:
        flops, traffic = timing.amount("flops"), timing.amount("traffic_bytes")
        if flops and traffic:
            least_s = least_times_s(flops=flops, traffic_bytes=traffic, dtype=timing.axis("dtype"))
            rows += [("projected", name, timing, time_s) for name, time_s in least_s.items()]
            rows += [("expected", f"≈ {name}", timing, s) for name, s in _expected(timing, flops, traffic)]
    for timing in projected:
        device = timing.axis("hardware") or numbers.NOTHING
        rows.append(("projected", device, timing, timing.median_s))
        rows.append(("expected", f"≈ {device}", timing, timing.amount("expected_s") or 0.0))
    times = [DeviceTime(evidence=kind, device=name, timing=timing, time_s=s) for kind, name, timing, s in rows]
    # Of one place the last row counts: the fastest measured one, and a projected record before a measured one's bound.
    last_of_place = {(t.device, t.variant, t.timing.span, t.timing.tokens): t for t in times if is_plausible(t.time_s)}
    return contexts, list(last_of_place.values())


def _expected(timing: Timing, flops: float, traffic_bytes: float) -> Iterable[tuple[str, float]]:
    """Yield each calibrated device's name, and the seconds that good kernels are expected to take there for a case."""
    cell = decode_cell(timing.record)
    for calibration in known_calibrations():
        expected = cell and calibration.expected_cell(cell)
        if cell and expected and timing.span == LAYER:
            # The products around the kernel: the layer's work less the kernel's.
            layer = {"flops": flops, "traffic_bytes": traffic_bytes}
            rest = {name: whole - (constant(timing.record, KERNEL, name) or 0) for name, whole in layer.items()}
            around, rows, is_possible = cell.of.kernel, cell.batch * cell.query_len, min(rest.values()) >= 0
            expected = calibration.with_rest(expected, around=around, rows=rows, **rest) if is_possible else None
        if expected:
            yield calibration.name, expected.seconds


def _row_order(times: Iterable[DeviceTime]) -> list[str]:
    """The rows' names in order: machines first, then devices by least time; a device's bound, then what is expected."""
    fastest_first = sorted(times, key=lambda time: (not time.is_measured, time.time_s))
    devices = list(dict.fromkeys(time.device.removeprefix("≈ ") for time in fastest_first))
    return sorted(
        {time.device for time in times}, key=lambda device: (devices.index(device.removeprefix("≈ ")), device)
    )


def _figure(title: Text, times: Sequence[DeviceTime], **subject: Any) -> Figure:
    """Draw the times of one context, a view a span. `subject`: the figure's settings and facets."""
    is_measured, spans = any(time.is_measured for time in times), by_span(times, lambda time: time.timing.span)
    entries = len({time.variant for time in times}) + 2
    return Figure(
        title=dotted(title, say("callstyle.tokens", tokens=numbers.count(times[0].timing.tokens or 0))),
        family=say("hardware.family" if is_measured else "hardware.projected"),
        finding=_finding(next(iter(spans.values()))),
        caption=say("hardware.caption"),
        views=[View(title=span_title(span), figure=_plot_dots(span_times)) for span, span_times in spans.items()],
        height_px=FRAME_PX + ROW_PX * len(_row_order(times)) + LEGEND_ROW_PX * -(-entries // 2),
        **subject,
    )


def _finding(times: Sequence[DeviceTime]) -> Text:
    """Name the device on which MLA is fastest, as measured or else by its bound, and the one expected to be fastest.

    Without a checked MLA case it is about all variants.
    """
    checked = [time for time in times if time.timing.is_checked]
    latent = [time for time in checked if time.timing.variant.partition("_")[0] == LATENT] or checked
    if not latent:
        return ""
    first = min(latent, key=lambda time: (not time.is_measured, time.time_s))
    by_evidence = grouped((time for time in latent if time.variant == first.variant), lambda time: time.evidence)
    best = {evidence: min(times, key=lambda time: time.time_s) for evidence, times in by_evidence.items()}
    kinds = ["measured" if first.is_measured else "projected", "expected" if "expected" in best else "projected"]
    sentences = []
    for kind, time in ((kind, best[kind]) for kind in dict.fromkeys(kinds) if kind in best):
        machine = machine_name(time.timing.record) or time.timing.label
        device = machine if time.is_measured else time.device.removeprefix("≈ ")
        sentences.append(say(f"hardware.best.{kind}", time=numbers.seconds(time.time_s), device=device))
    return joined(": ", [first.variant[1], joined("notes", sentences)])


def _plot_dots(times: Sequence[DeviceTime]) -> dict[str, Any]:
    """Draw each time as a dot in its device's row: solid where measured, hollow where computed."""
    order, measured = _row_order(times), {time.device for time in times if time.is_measured}
    names = zip(order, short_names(order), strict=True)
    rows = {device: figure_text(f"● {name}" if device in measured else name) for device, name in names}
    series: list[Series] = []
    ordered = sorted(times, key=lambda time: (time.variant, not time.is_measured))
    for ordinal, variant_times in enumerate(grouped(ordered, lambda time: time.variant).values()):
        first = variant_times[0].timing
        for is_measured, part in grouped(variant_times, lambda time: time.is_measured).items():
            points = []
            for time in part:
                evidence = joined(" ", [numbers.seconds(time.time_s), say(f"evidence.{time.evidence}")])
                hover, runs = joined(", ", [evidence, time.device]), (time.timing.record.run_key,)
                points.append(Point(x=time.time_s, y=rows[time.device], hover=hover, runs=runs))
            line = Series(
                name=first.marked(first.sized_variant),
                points=points,
                style=variant_style(first.variant),
                ordinal=0 if is_measured else 1,
                facets={"variant": first.variant_name},
                in_legend=part[0] is variant_times[0],
                # The later lies on the earlier, and smaller both are seen where they coincide.
                size=max(LEAST_PX, LARGEST_PX - ordinal),
            )
            series.append(line)
    fills = {"solid": "circle", "hollow": "circle-open"} if measured else {"hollow": "circle-open"}
    keys = [meaning(say(f"hardware.{fill}"), symbol=symbol) for fill, symbol in fills.items()]
    axis = roomy_time_axis(say("hardware.axis"), [time.time_s for time in times])
    return plot([*series, *keys], xaxis=axis, yaxis=categories(list(rows.values())))


def _table(title: Text, span: str, times: Sequence[DeviceTime], results: Results, **subject: Any) -> Table:
    """A row for each time that was measured, projected by a record or expected, beside MHA's on the same device; the
    figure alone has what specifications allow for a measured case."""
    times = [time for time in times if time.evidence != "projected" or not time.timing.is_measured]
    order, mha_s = _row_order(times), {time.place: time.time_s for time in times if time.timing.variant == BASELINE}

    def regime(time: DeviceTime) -> Text:
        is_own = time.is_measured or (time.evidence == "projected" and not time.timing.is_measured)
        return REGIME.written(time.timing) if is_own else ""

    timing: list[Column[Timing]] = [
        column("hardware.cache", lambda timing: timing.amount("cache_bytes", "case"), numbers.bytes_iec),
        column("hardware.of_mha", lambda timing: timing.cache_share, numbers.percent),
        *label_column(results.several),
    ]
    columns: list[Column[DeviceTime]] = [
        column("signmap.device", lambda time: time.device, kind=Kind.CODE),
        column("fact.evidence", lambda time: say(f"evidence.{time.evidence}")),
        column("column.variant", lambda time: time.timing.marked(time.variant[1]), facet="variant"),
        *part_columns(lambda time: time.timing, [CONTEXT]),
        column("column.median", lambda time: time.time_s, numbers.seconds),
        column("hardware.over_mha", lambda time: mha_s.get(time.place, 0) / time.time_s or None, numbers.times),
        column("column.regime", regime),
        *part_columns(lambda time: time.timing, timing),
    ]
    subject["settings"] = dotted(title, subject["settings"])
    rows = sorted(times, key=lambda time: (time.timing.tokens or 0, order.index(time.device), time.variant))
    note = say("hardware.note")
    return table(span_title(span), rows, columns, family=span_title(span), note=note, folded=span != LAYER, **subject)


DeviceErrors = tuple[str, Text, list[float]]
"""A device, whose its measured cells are, and |expected / measured - 1| of each cell, sorted."""


def _errors_table(results: Results) -> Table:
    """How far expected times are from measured cells, by device: those published with the calibration, then those of
    these records."""
    rows: list[DeviceErrors] = []
    for calibration in known_calibrations():
        errors = relative_errors([(calibration, cell) for cell in calibration.measured])
        rows.append((calibration.name, say("hardware.others"), errors))
    timed = [(current.label, kernel) for current in results.records if (kernel := timed_kernel(current.record))]
    for (label, device), kernels in grouped(timed, lambda item: (item[0], item[1][0])).items():
        if own_calibration := load_calibration(device):
            rows.append((device, label, relative_errors([(own_calibration, cell) for _, (_, cell) in kernels])))
    columns: list[Column[DeviceErrors]] = [
        column("signmap.device", lambda row: row[0], kind=Kind.CODE),
        column("hardware.whose", lambda row: row[1]),
        column("hardware.cells", lambda row: len(row[2]), numbers.count),
        column("hardware.median_error", lambda row: median(row[2]), numbers.percent),
        column("hardware.p90_error", lambda row: row[2][math.ceil(0.9 * len(row[2])) - 1], numbers.percent),
    ]
    return table(say("hardware.error_table"), [row for row in rows if row[2]], columns, note=say("hardware.error_note"))


SIZES: list[Column[FigureSizes]] = [
    column("signmap.rank_heads", lambda sizes: sizes.heads, numbers.count),
    column("published.kv_heads", lambda sizes: sizes.kv_heads, numbers.count),
    column("published.width", lambda sizes: sizes.head_dim, numbers.count),
    column("capacity.batch", lambda sizes: sizes.batch, numbers.count),
    column("latency.context", lambda sizes: sizes.seq_len, numbers.count),
    column("published.mask", lambda sizes: say("published.causal") if sizes.is_causal else ""),
]
PUBLISHED: list[Column[PublishedFigure]] = [
    column("published.kernel", lambda figure: figure.kernel),
    column("signmap.device", lambda figure: figure.gpu, kind=Kind.CODE),
    column("column.phase", lambda figure: say(f"published.pass.{figure.kind}")),
    *part_columns(lambda figure: figure.sizes, SIZES),
    column("column.roofline", lambda figure: figure.share, numbers.percent),
    column("column.regime", lambda figure: say(f"regime.{figure.regime}")),
    column("published.figure", lambda figure: f"{figure.published:,g} {figure.unit}", kind=Kind.NUMBER),
    column("published.bound", lambda figure: figure.bound_s, numbers.seconds),
    column("published.time", lambda figure: figure.time_s, numbers.seconds),
    column("column.dtype", lambda figure: figure.dtype, kind=Kind.CODE),
    column("published.source", lambda figure: figure.source, kind=Kind.LONG),
    column("column.notes", lambda figure: joined("notes", [figure.problem, figure.note]), kind=Kind.LONG),
]
