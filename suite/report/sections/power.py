"""What a run drew: power over time with its phases, the joules it took, and by name what could not be read."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from suite.records import numbers
from suite.records.derived import started_at
from suite.report.blocks import (
    MOST_ROWS_OPEN,
    Column,
    Figure,
    Kind,
    Section,
    Table,
    Text,
    View,
    cell,
    dotted,
    joined,
    say,
    say_or,
)
from suite.report.facets import case_facets
from suite.report.lines import HEIGHT_PX, LEGEND_ROW_PX
from suite.report.model.results import Results
from suite.report.palette import rank, shown
from suite.report.power_chart import is_thinned, power_plot
from suite.report.run_rows import device_name, run_cells, run_columns, run_order, settings_cell
from suite.report.timings import axis
from suite.report.watched import AVERAGE_POWER, CPU, POWER, Power, Watched, cut, mapping, watched

SOURCES = ("nvml", "rapl")
"""Those that give power."""
MEASURED = "measured"
MOST_FIGURES = 4
LONGEST_WHY, MOST_WAYS = 200, 24

Drawn = tuple[Watched, Power]


def build(results: Results) -> Section | None:
    runs = watched(results)
    if not runs:
        return None
    powers = [(run, power) for run in sorted(runs, key=run_order) for power in run.powers]
    tables = [*([_table(powers, results)] if powers else []), _missing(runs)]
    return Section(
        id="power",
        title=say("power.title"),
        explanation=say("power.explanation" if powers else "power.nothing", count=numbers.count(len(runs))),
        figures=_figures(powers, results),
        tables=[table for table in tables if table.rows],
    )


def _figures(powers: Sequence[Drawn], results: Results) -> list[Figure]:
    """One for each device that was in use, under each label: those with the most runs."""
    found: dict[tuple[str, str], list[Drawn]] = defaultdict(list)
    for run, power in powers:
        if _is_of_case(run, power.device):
            found[run.current.label, device_name(run, power.device)].append((run, power))
    most = sorted(found, key=lambda key: -len(found[key]))[:MOST_FIGURES]
    return [_figure(key, found[key], results) for key in found if key in most]


def _is_of_case(run: Watched, device: str) -> bool:
    """Whether the case ran on it: a CPU's case lets a GPU idle, and a GPU's the CPU wait."""
    on_cpu = axis(run.current.record, "device") in ("", CPU)
    return on_cpu if device == CPU else run.is_used(device) is not False and not on_cpu


def _figure(key: tuple[str, str], drawn: Sequence[Drawn], results: Results) -> Figure:
    label, device = key
    chosen: dict[str, Drawn] = {}
    for run, power in sorted(drawn, key=lambda one: (one[0].elapsed_s, started_at(one[0].current.record))):
        chosen[axis(run.current.record, "attention")] = run, power
    ordered = sorted(chosen, key=rank)
    views = [View(title=shown(variant), figure=power_plot(*chosen[variant])) for variant in ordered]
    caption = [say("power.caption")]
    if len(drawn) > len(chosen):
        caption.append(say("power.longest"))
    if any(is_thinned(power) for _, power in chosen.values()):
        caption.append(say("power.thinned"))
    names = max(len(view.figure["data"]) for view in views)
    return Figure(
        title=joined(" · ", [device, *([label] if results.several else [])]),
        caption=joined("sentence", caption),
        views=views,
        height_px=HEIGHT_PX + LEGEND_ROW_PX * -(-names // 2),
        facets={"label": label},
    )


def _table(powers: Sequence[Drawn], results: Results) -> Table:
    return Table(
        title=say("power.table"),
        columns=[
            *run_columns(),
            *([Column(title=say("column.label"), facet="label")] if results.several else []),
            Column(title=say("signmap.device"), kind=Kind.CODE),
            Column(title=say("power.used")),
            *(
                Column(title=say(name), kind=Kind.NUMBER)
                for name in ("power.mean", "power.peak", "power.joules", "power.watched", "power.share")
            ),
            Column(title=say("power.from")),
            Column(title=say("column.settings"), kind=Kind.CODE),
        ],
        rows=[_row(run, power, results) for run, power in powers],
        row_facets=[case_facets(run.current.record.case.axes) for run, _ in powers],
        note=say("power.note"),
        folded=len(powers) > MOST_ROWS_OPEN,
    )


def _row(run: Watched, power: Power, results: Results) -> list[str]:
    used = run.is_used(power.device)
    return [
        *run_cells(run.current.record),
        *([run.current.label] if results.several else []),
        power.device,
        numbers.NOTHING if used is None else say("power.is_used" if used else "power.is_idle"),
        numbers.watts(power.mean_w),
        numbers.watts(max(power.watts)),
        cell(power.joules, numbers.joules),
        numbers.seconds(power.time_s[-1] - power.time_s[0]),
        numbers.percent(power.marked_share),
        _from(run, power),
        settings_cell(run.current.record),
    ]


def _from(run: Watched, power: Power) -> str:
    said = cut(mapping(mapping(run.said, "devices"), power.device).get("power_usage_is"))
    over = [f"({said.removeprefix('average ')})"] if said and power.quantity == AVERAGE_POWER else []
    return joined(" ", [say(f"power.quantity.{power.quantity}"), *over])


def _missing(runs: Sequence[Watched]) -> Table:
    """What gave no power or energy: a row for each way in which it failed, however many runs it is."""
    found: Counter[tuple[str, str]] = Counter()
    why: dict[tuple[str, str], str] = {}
    for run in runs:
        for what, state, reason in dict.fromkeys(_failures(run)):
            found[what, state] += 1
            why.setdefault((what, state), reason)
    return Table(
        title=say("power.missing"),
        columns=[
            Column(title=say("power.what")),
            Column(title=say("power.state")),
            Column(title=say("power.why"), kind=Kind.LONG),
            Column(title=say("column.runs"), kind=Kind.NUMBER),
        ],
        rows=[
            [what, state, why[what, state] or numbers.NOTHING, numbers.count(count)]
            for (what, state), count in found.most_common(MOST_WAYS)
        ],
    )


def _failures(run: Watched) -> Iterable[tuple[Text, Text, Text]]:
    """What it is, the state's name, and the record's own reason."""
    if run.is_unreadable:
        yield say("power.series"), say("power.unreadable"), ""
    if failure := cut(run.said.get("failure"), LONGEST_WHY):
        yield say("power.sampling"), say("power.stopped"), failure
    for source in SOURCES:
        yield from _failure(say(f"power.source.{source}"), mapping(mapping(run.said, "sources"), source))
    for device, said in mapping(run.said, "devices").items():
        name = device_name(run, cut(device))
        yield from _failure(name, said)
        for quantity, state in mapping(said, "missing").items():
            if quantity in (POWER, AVERAGE_POWER):
                what = say(f"power.quantity.{quantity}")
                yield from _failure(dotted(name, what), {"state": state})
    energy = run.current.record.provenance.get("energy")
    if isinstance(energy, Mapping):
        yield from _failure(say("power.of_step"), energy)


def _failure(what: str, said: Any) -> Iterable[tuple[Text, Text, Text]]:
    if isinstance(said, Mapping):
        # A driver's own error stands behind the state: `failed: Unknown Error`.
        state, _, error = cut(said.get("state"), LONGEST_WHY).partition(": ")
        if state and state != MEASURED:
            named = say_or(f"state.{state}", state)
            reason = cut(said.get("why"), LONGEST_WHY) or error
            yield what, named, reason if reason != state else ""
