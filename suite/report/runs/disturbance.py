"""Disturbances of the runs: throttled and pressured samples, stolen time, and others on the same GPU; the worst first.

Nothing is left out of the numbers for it: a reader has to see which of them to compare with care.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from suite.records import numbers
from suite.records.stores.telemetry import Mark
from suite.report.blocks import Figure, Kind, Section, Table, Text, View, joined, say, say_or, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import GREY, PURPLE, SKY, VERMILION, case_facets, variant_label
from suite.report.model.outcome import outcome_of
from suite.report.model.results import Results
from suite.report.model.run import clip_text, mapping, share
from suite.report.plot.marks import Point
from suite.report.plot.rows import bars, drawn_of, rows, told_apart
from suite.report.plot.scales import linear
from suite.report.runs.telemetry import CPU, SETTINGS, TelemetryRun, name_parts, run_columns, telemetry_runs
from suite.report.table import Column, column, columns_of, table

TELLING = 0.05
"""A run with a larger share of marked samples is to be compared with care."""
STOLEN = 0.01
"""Less stolen time moves no median."""
MOST_DRAWN, MOST_REASONS, MOST_OTHERS, MOST_TICKS = 20, 8, 1 << 20, 1 << 40
STEAL = "steal"
COLOURS = {Mark.THROTTLED: VERMILION, Mark.PRESSURED: PURPLE, STEAL: SKY}
FRAME_PX, ROW_PX, NAME_SHIFT_PX = 110, 36, 12
BAR, OFFSET = 0.2, -0.1
"""In rows. A row's first bar lies under its name, the next ones below it."""


@dataclass(frozen=True, kw_only=True)
class Disturbed:
    """One device of one run that was not left alone."""

    run: TelemetryRun
    device: str
    shares: Mapping[str, float]
    """The share of marked samples by mark, and that of stolen time."""
    others: int
    """Processes of others on the GPU."""

    @property
    def workload(self) -> str:
        return workload_of(self.run)

    @property
    def worst(self) -> float:
        return max(self.shares.values(), default=0.0)

    @property
    def reasons(self) -> str:
        """Return NVML's own names of why it held clocks back, the most frequent first."""
        shares = mapping(mapping(self.run.telemetry, "event_reasons_share"), self.device)
        known = {clip_text(name): value for name in shares if (value := share(shares[name]))}
        ranked = sorted(known, key=lambda name: -known[name])[:MOST_REASONS]
        return ", ".join(f"{name} {numbers.percent(known[name])}" for name in ranked)


def workload_of(run: TelemetryRun) -> str:
    """Return the name of a run's workload."""
    return run.record.case.workload


def build(results: Results) -> Section | None:
    """Build it from measured runs with telemetry, since nothing moves a projection; None where nothing was sampled."""
    runs = [run for run in telemetry_runs(results) if run.is_measured]
    samples = sum(run.moments or _count(run.telemetry.get("ticks"), MOST_TICKS) for run in runs)
    if not samples:
        return None
    found = [disturbed for run in runs for disturbed in _disturbed(run)]
    found.sort(key=lambda disturbed: (-disturbed.worst, -disturbed.others))
    warning = _warning(found, len(runs), samples)
    shares = [value for run in runs if (value := share(run.telemetry.get("sampler_cpu_share"))) is not None]
    cost = say("disturbance.cost", share=numbers.percent(median(shares))) if shares else ""
    sentences = [say("disturbance.explanation"), warning, cost]
    # Before others those whose result is a time, which a disturbance moves.
    ordered = sorted(found, key=lambda disturbed: outcome_of(disturbed.workload) is not None)
    by_workload, counts = grouped(ordered, lambda disturbed: disturbed.workload), Counter(map(workload_of, runs))
    return section(
        "disturbance",
        explanation=joined("sentence", sentences),
        figures=[_figure(workload, of, counts[workload]) for workload, of in by_workload.items()],
        tables=[_table(workload, of, results) for workload, of in by_workload.items()],
    )


def _count(value: Any, most: int) -> int:
    return int(value) if isinstance(value, int) and 0 < value < most else 0


def _disturbed(run: TelemetryRun) -> list[Disturbed]:
    found = []
    for device in map(clip_text, dict.fromkeys([CPU, *run.devices, *(device for device, _ in run.marked)])):
        # What a GPU does that the case did not use says nothing of the case.
        if run.is_used(device) is False:
            continue
        shares = {mark: value for (of, mark), value in run.marked.items() if of == device}
        if device == CPU and (run.steal_share or 0) > STOLEN:
            shares[STEAL] = run.steal_share or 0.0
        others = _count(mapping(run.devices, device).get("other_processes"), MOST_OTHERS)
        if shares or others:
            found.append(Disturbed(run=run, device=device, shares=shares, others=others))
    return found


def _warning(found: Sequence[Disturbed], runs: int, samples: int) -> Text:
    if not found:
        return say("disturbance.nothing", samples=numbers.count(samples), runs=numbers.count(runs))
    telling = len({disturbed.run for disturbed in found if disturbed.worst > TELLING})
    key = "disturbance.warning" if telling else "disturbance.little"
    return say(key, count=numbers.count(telling), runs=numbers.count(runs), share=numbers.percent(TELLING))


def _figure(workload: str, found: Sequence[Disturbed], runs: int) -> Figure | None:
    marked = [disturbed for disturbed in found if disturbed.shares]
    if not marked:
        return None
    drawn, left_out = drawn_of(marked, MOST_DRAWN)
    names, shared = told_apart([_parts(disturbed) for disturbed in drawn])
    return Figure(
        title=workload,
        family=say("disturbance.figure"),
        settings=shared,
        finding=_warning(found, runs, 0),
        caption=joined("sentence", [say("disturbance.caption"), left_out]),
        views=[View(title="", figure=_bars(drawn, names))],
        height_px=FRAME_PX + ROW_PX * len(drawn),
        facets={"workload": workload},
    )


def _bars(drawn: Sequence[Disturbed], names: Sequence[Text]) -> dict[str, Any]:
    series = []
    for mark in dict.fromkeys(mark for disturbed in drawn for mark in disturbed.shares):
        points, offsets = [], []
        for row, disturbed in enumerate(drawn):
            if (marked := disturbed.shares.get(mark)) is not None:
                hover = joined(": ", [names[row], numbers.percent(marked)])
                about, runs = disturbed.run.facets, (disturbed.run.record.run_key,)
                points.append(Point(x=100 * marked, y=row, hover=hover, facets=about, runs=runs))
                offsets.append(OFFSET + BAR * list(disturbed.shares).index(mark))
        name, colour = say_or(f"mark.{mark}", mark), COLOURS.get(mark, GREY)
        series.append(bars(name, points, colour=colour, width=BAR, offset=offsets))
    most = max(100 * disturbed.worst for disturbed in drawn)
    xaxis = linear(say("disturbance.axis"), range=[0, 1.05 * most], ticksuffix=" %") | {"zeroline": True}
    return rows(names, series, xaxis=xaxis, shift_px=NAME_SHIFT_PX)


def _parts(disturbed: Disturbed) -> list[Text]:
    run = disturbed.run
    of_cache = f"cache {cached}" if (cached := run.axis("cache_dtype")) else ""
    variant = variant_label(run.axis("attention"))
    return [disturbed.device, variant, *name_parts(run.record), run.axis("dtype"), of_cache, run.label]


def _table(workload: str, found: Sequence[Disturbed], results: Results) -> Table:
    has_more = any(disturbed.reasons or disturbed.others for disturbed in found)
    of_run: list[Column[Disturbed]] = columns_of(lambda disturbed: disturbed.run, run_columns(results))
    geometry, variant, phase, context, *label = of_run
    return table(
        say("disturbance.table"),
        found,
        [
            variant,
            context,
            *map(_share_column, (*Mark, STEAL)),
            phase,
            geometry,
            column("signmap.device", lambda disturbed: disturbed.device, kind=Kind.CODE),
            *label,
            column("disturbance.reasons", lambda disturbed: disturbed.reasons, kind=Kind.CODE, only_where_known=True),
            column(
                "disturbance.others", lambda disturbed: disturbed.others or None, numbers.count, only_where_known=True
            ),
            *columns_of(lambda disturbed: disturbed.run, [SETTINGS]),
        ],
        family=say("disturbance.table"),
        settings=workload,
        note=say("disturbance.note" if has_more else "disturbance.note_short"),
        facets={"workload": workload},
        facets_of=lambda disturbed: case_facets(disturbed.run.record.case.axes),
    )


def _share_column(mark: str) -> Column[Disturbed]:
    return column(
        f"disturbance.mark.{mark}", lambda disturbed: disturbed.shares.get(mark), numbers.percent, only_where_known=True
    )
