"""Power of a run over time with its phases, the joules it took, and the sources that could not be read."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from suite.records import numbers
from suite.records.derived import started_at
from suite.records.stores.telemetry import Mark, Sample
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, View, dotted, joined, say, say_or, section
from suite.report.model import labels
from suite.report.model.experiment import grouped
from suite.report.model.labels import VARIANT, Style, case_facets, rank, record_facets, variant_label
from suite.report.model.results import Results
from suite.report.model.run import clip_text, mapping
from suite.report.plot.marks import Point, Series, meaning
from suite.report.plot.plots import LEGEND_ROW_PX, layout, plot, stretch
from suite.report.plot.scales import linear
from suite.report.plot.text import figure_text
from suite.report.runs import telemetry
from suite.report.runs.telemetry import AVERAGE_POWER, CPU, POWER, SETTINGS, Power, TelemetryRun
from suite.report.table import column, columns_of, table

SOURCES = ("nvml", "rapl")
"""Those that give power."""
MEASURED = "measured"
MOST_FIGURES, HEIGHT_PX = 4, 400
LONGEST_WHY, MOST_WAYS = 200, 24
MOST_POINTS = 240
"""In a longer series the lowest and the highest of neighbours are drawn: no peak is lost."""
MOST_PHASES = 40
PHASE_COLOURS = {
    "prepare": labels.SKY,
    "ceilings": labels.GREY,
    "check": labels.PURPLE,
    "measure": labels.GREEN,
    "cold": labels.BLUE,
    "profile": labels.ORANGE,
    "energy": labels.VERMILION,
}
MARKS: Mapping[str, Style] = {
    Mark.THROTTLED: Style(colour=labels.VERMILION, marker="x"),
    Mark.PRESSURED: Style(colour=labels.PURPLE, marker="triangle-down"),
}
OTHER_MARK = Style(colour=labels.GREY, marker="diamond-open")
HEADROOM = 1.1
LINE: dict[str, Any] = {"style": Style(colour=labels.BLUE), "mode": "lines"}

Drawn = tuple[TelemetryRun, Power]


def build(results: Results) -> Section | None:
    """Build it from the runs with telemetry; None without any."""
    runs = telemetry.telemetry_runs(results)
    if not runs:
        return None
    powers = [(run, power) for run in sorted(runs, key=telemetry.run_order) for power in run.powers]
    used = [(run, power) for run, power in powers if _is_of_case(run, power.device)]
    found = grouped(used, lambda drawn: (drawn[0].label, drawn[0].device_name(drawn[1].device)))
    most = sorted(found, key=lambda key: -len(found[key]))[:MOST_FIGURES]
    figures = [_figure(key, found[key], results) for key in found if key in most]
    return section(
        "power",
        explanation=say("power.explanation" if powers else "power.nothing"),
        headlines=[] if powers else [Headline(text=say("power.none", count=numbers.count(len(runs))))],
        figures=figures,
        tables=[_table(powers, results), _missing(runs)],
    )


def _is_of_case(run: TelemetryRun, device: str) -> bool:
    """Whether the case ran on it: a CPU's case lets a GPU idle, and a GPU's the CPU wait."""
    on_cpu = run.axis("device") in ("", CPU)
    return on_cpu if device == CPU else run.is_used(device) is not False and not on_cpu


def _figure(key: tuple[str, Text], drawn: Sequence[Drawn], results: Results) -> Figure:
    """Draw the longest run of each variant."""
    label, device = key
    ordered = sorted(drawn, key=lambda pair: (pair[0].elapsed_s, started_at(pair[0].record)))
    longest = {run.axis(VARIANT): (run, power) for run, power in ordered}
    figures = {variant: _plot(*longest[variant]) for variant in sorted(longest, key=rank)}
    views = [View(title=variant_label(variant), figure=figure) for variant, figure in figures.items()]
    caption = [
        say("power.caption"),
        say("power.longest") if len(drawn) > len(longest) else "",
        say("power.thinned") if any(len(power.samples) > MOST_POINTS for _, power in longest.values()) else "",
    ]
    names = max(len(view.figure["data"]) for view in views)
    run, power = longest[min(longest, key=rank)]
    facets: dict[str, Text] = {"device": device, **({"label": label} if results.several else {})}
    return Figure(
        title=device,
        family=say("power.family"),
        finding=say(
            "power.finding",
            run=dotted(variant_label(run.axis(VARIANT)), telemetry.run_name(run.record)),
            mean=numbers.watts(power.mean_w),
            peak=numbers.watts(power.peak_w),
        ),
        settings=label if results.several else "",
        caption=joined("sentence", caption),
        views=views,
        height_px=HEIGHT_PX + LEGEND_ROW_PX * -(-names // 2),
        facets=facets,
    )


def _plot(run: TelemetryRun, power: Power) -> dict[str, Any]:
    """Draw a run's power, its marked samples on it, its phases behind it, and its joules at the right."""
    facets, phases = record_facets(run.record), run.phases[:MOST_PHASES]
    colours = {phase: PHASE_COLOURS.get(phase, labels.GREY) for phase, _, _ in phases}
    points, quantity = list(map(_point, _thinned(power.samples))), say(f"power.quantity.{power.quantity}")
    series: list[Series | Mapping[str, Any]] = [
        Series(name=quantity, points=points, facets=facets, runs=(run.record.run_key,), **LINE),
        *([_energy(power, facets)] if len(power.counter) > 1 else []),
    ]
    for mark in dict.fromkeys(sample.mark for sample in power.samples if sample.mark):
        marked = [_point(sample) for sample in power.samples if sample.mark == mark][:MOST_POINTS]
        name, style = say_or(f"mark.{mark}", mark), MARKS.get(mark, OTHER_MARK)
        series.append(Series(name=name, points=marked, style=style, facets=facets, size=7))
    for phase, colour in colours.items():
        series.append(meaning(_phase_name(phase), symbol="square", size=12, color=colour, opacity=0.35))
    second = {"overlaying": "y", "side": "right", "showgrid": False, "tickmode": "auto"}
    return plot(
        series,
        xaxis=linear(say("power.time"), rangemode="tozero"),
        yaxis=linear(say("power.axis"), range=[0, HEADROOM * max(power.peak_w, 1e-3)]),
        yaxis2=linear(say("power.energy_axis"), **second, rangemode="tozero"),
        shapes=[stretch(begin, end, colours[phase]) for phase, begin, end in phases],
        # Which run is drawn stands above the legend, since a view's button holds the variant alone.
        legend={**layout()["legend"], "title": {"text": figure_text(telemetry.run_name(run.record)), "side": "top"}},
        margin={"l": 8, "r": 24, "t": 8, "b": 8, "pad": 2},
    )


def _energy(power: Power, facets: Mapping[str, Text]) -> Series:
    first, step = power.counter[0], -(-len(power.counter) // MOST_POINTS)
    points = []
    for sample in power.counter[::step]:
        joules = sample.value - first.value
        hover = say("power.hover_energy", time=_s(sample.time_s), joules=numbers.joules(joules))
        points.append(Point(x=sample.time_s, y=joules, hover=hover))
    looks = Style(colour=labels.ORANGE, dash="dot")
    return Series(
        name=say("power.energy"), points=points, style=looks, mode="lines", facets=facets, more={"yaxis": "y2"}
    )


def _point(sample: Sample) -> Point:
    about = joined("list", [_phase_name(sample.phase), say_or(f"mark.{sample.mark}", sample.mark or "")])
    hover = say("power.hover", time=_s(sample.time_s), watts=numbers.watts(sample.value), about=about)
    return Point(x=sample.time_s, y=sample.value, hover=hover)


def _phase_name(phase: str) -> Text:
    return say_or(f"power.phase.{phase}", phase or say("power.phase.unnamed"))


def _thinned(samples: Sequence[Sample]) -> Sequence[Sample]:
    if len(samples) <= MOST_POINTS:
        return samples
    size, extremes = -(-2 * len(samples) // MOST_POINTS), []
    for first in range(0, len(samples), size):
        part = sorted(samples[first : first + size], key=lambda sample: sample.value)
        extremes += sorted({part[0], part[-1]}, key=lambda sample: sample.time_s)
    return extremes


def _s(time_s: float) -> str:
    return f"{time_s:,.2f}"


def _table(powers: Sequence[Drawn], results: Results) -> Table:
    used = {True: say("power.is_used"), False: say("power.is_idle"), None: None}
    return table(
        say("power.table"),
        powers,
        [
            *columns_of(lambda drawn: drawn[0], telemetry.run_columns(results)),
            column("signmap.device", lambda drawn: drawn[1].device, kind=Kind.CODE),
            column("power.used", lambda drawn: used[drawn[0].is_used(drawn[1].device)]),
            column("power.mean", lambda drawn: drawn[1].mean_w, numbers.watts),
            column("power.peak", lambda drawn: drawn[1].peak_w, numbers.watts),
            column("power.joules", lambda drawn: drawn[1].joules, numbers.joules),
            column("power.sampled", lambda drawn: drawn[1].elapsed_s, numbers.seconds),
            column("power.share", lambda drawn: drawn[1].marked_share, numbers.percent),
            column("power.from", lambda drawn: _from(*drawn)),
            *columns_of(lambda drawn: drawn[0], [SETTINGS]),
        ],
        note=say("power.note"),
        facets_of=lambda drawn: case_facets(drawn[0].record.case.axes),
    )


def _from(run: TelemetryRun, power: Power) -> Text:
    """Say what the watts come from; of an average over how long, as far as it is known."""
    averaged = clip_text(mapping(run.devices, power.device).get("power_usage_is"))
    over = f"({averaged.removeprefix('average ')})" if averaged and power.quantity == AVERAGE_POWER else ""
    return joined(" ", [say(f"power.quantity.{power.quantity}"), over])


def _missing(runs: Sequence[TelemetryRun]) -> Table:
    """Say in a row each way in which something gave no power or energy, however many runs it is."""
    failures = [failure for run in runs for failure in dict.fromkeys(_failures(run))]
    ways = grouped(failures, lambda failure: failure[:2])
    return table(
        say("power.missing"),
        sorted(ways.values(), key=lambda same: -len(same))[:MOST_WAYS],
        [
            column("power.what", lambda same: same[0][0]),
            column("power.state", lambda same: same[0][1]),
            column("power.why", lambda same: same[0][2], kind=Kind.LONG),
            column("column.runs", lambda same: len(same), numbers.count),
        ],
    )


def _failures(run: TelemetryRun) -> Iterable[tuple[Text, Text, Text]]:
    """Name what failed, the state, and the record's own reason."""
    if run.is_unreadable:
        yield say("power.series"), say("power.unreadable"), ""
    if failure := clip_text(run.telemetry.get("failure"), LONGEST_WHY):
        yield say("power.sampling"), say("power.stopped"), failure
    for source in SOURCES:
        yield from _failure(say(f"power.source.{source}"), mapping(mapping(run.telemetry, "sources"), source))
    for device, answer in run.devices.items():
        name = run.device_name(clip_text(device))
        yield from _failure(name, answer)
        for quantity, state in mapping(answer, "missing").items():
            if quantity in (POWER, AVERAGE_POWER):
                yield from _failure(dotted(name, say(f"power.quantity.{quantity}")), {"state": state})
    yield from _failure(say("power.of_step"), run.record.provenance.get("energy"))


def _failure(what: Text, answer: Any) -> Iterable[tuple[Text, Text, Text]]:
    if isinstance(answer, Mapping):
        # A driver's own error stands behind the state: `failed: Unknown Error`.
        state, _, error = clip_text(answer.get("state"), LONGEST_WHY).partition(": ")
        if state and state != MEASURED:
            reason = clip_text(answer.get("why"), LONGEST_WHY) or error
            yield what, say_or(f"state.{state}", state), reason if reason != state else ""
