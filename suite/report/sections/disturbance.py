"""What disturbed the runs: throttled and pressured samples, stolen time, and others on the same GPU; the worst first.

Nothing is left out of the numbers for it: a reader has to see which of them to compare with care.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from suite.records import numbers
from suite.records.telemetry import Mark
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
    joined,
    say,
    say_or,
)
from suite.report.charts import figure_text, layout
from suite.report.facets import case_facets, point_facets, record_facets
from suite.report.model.results import Results
from suite.report.palette import PURPLE, SKY, VERMILION, shown
from suite.report.run_rows import run_cells, run_columns, run_name, settings_cell
from suite.report.timings import axis
from suite.report.watched import CPU, Watched, cut, mapping, share, watched

TELLING = 0.05
"""A run with a larger share of marked samples is to be compared with care."""
STOLEN = 0.01
"""Less stolen time moves no median."""
MOST_DRAWN, MOST_REASONS, ROW_PX = 16, 8, 48
STEAL = "steal"
COLOURS = {Mark.THROTTLED: VERMILION, Mark.PRESSURED: PURPLE, STEAL: SKY}
BAR, OFFSET = 0.2, -0.1
"""In rows. A row's first bar lies under its name, the next ones below it."""


@dataclass(frozen=True, kw_only=True)
class Disturbed:
    """One device of one run that was not left alone."""

    run: Watched
    device: str
    shares: Mapping[str, float]
    """By mark, and of stolen time."""
    others: int
    """Processes of others on the GPU."""

    @property
    def worst(self) -> float:
        return max(self.shares.values(), default=0.0)


def build(results: Results) -> Section | None:
    runs = watched(results)
    samples = sum(run.moments or _ticks(run) for run in runs)
    if not samples:
        return None
    found = sorted((one for run in runs for one in _disturbed(run)), key=lambda one: (-one.worst, -one.others))
    said = [say("disturbance.explanation"), _warning(found, runs, samples), *_cost(runs)]
    return Section(
        id="disturbance",
        title=say("disturbance.title"),
        explanation=joined("sentence", said),
        figures=[_figure(found)] if any(one.shares for one in found) else [],
        tables=[_table(found, results)] if found else [],
    )


def _ticks(run: Watched) -> int:
    ticks = run.said.get("ticks")
    return ticks if isinstance(ticks, int) and 0 < ticks < 1 << 40 else 0


def _disturbed(run: Watched) -> list[Disturbed]:
    devices = dict.fromkeys([CPU, *mapping(run.said, "devices"), *(device for device, _ in run.marked)])
    found = []
    for device in map(cut, devices):
        # What a GPU does that the case did not use says nothing of the case.
        if run.is_used(device) is False:
            continue
        shares = {mark: value for (of, mark), value in run.marked.items() if of == device}
        if device == CPU and (run.steal_share or 0) > STOLEN:
            shares[STEAL] = run.steal_share or 0.0
        others = mapping(mapping(run.said, "devices"), device).get("other_processes")
        count = others if isinstance(others, int) and 0 < others < 1 << 20 else 0
        if shares or count:
            found.append(Disturbed(run=run, device=device, shares=shares, others=int(count)))
    return found


def _warning(found: Sequence[Disturbed], runs: Sequence[Watched], samples: int) -> Text:
    if not found:
        return say("disturbance.nothing", samples=numbers.count(samples), runs=numbers.count(len(runs)))
    told = {id(one.run) for one in found if one.worst > TELLING}
    key = "disturbance.warning" if told else "disturbance.little"
    return say(key, count=numbers.count(len(told)), runs=numbers.count(len(runs)), share=numbers.percent(TELLING))


def _cost(runs: Sequence[Watched]) -> list[str]:
    """What the watching itself took, of one CPU."""
    shares = [value for run in runs if (value := share(run.said.get("sampler_cpu_share"))) is not None]
    return [say("disturbance.cost", share=numbers.percent(median(shares)))] if shares else []


def _figure(found: Sequence[Disturbed]) -> Figure:
    with_shares = [one for one in found if one.shares]
    drawn = with_shares[:MOST_DRAWN]
    caption = [say("disturbance.caption")]
    if len(with_shares) > len(drawn):
        caption.append(say("signmap.not_drawn", count=numbers.count(len(with_shares) - len(drawn))))
    return Figure(
        title=say("disturbance.figure"),
        caption=joined("sentence", caption),
        views=[View(title="", figure=_bars(drawn))],
        height_px=110 + ROW_PX * len(drawn),
        wide=True,
    )


def _bars(drawn: Sequence[Disturbed]) -> dict[str, Any]:
    several = len({one.run.current.label for one in drawn}) > 1
    names = [figure_text(_row_name(one, names_label=several)) for one in drawn]
    marks = dict.fromkeys(mark for one in drawn for mark in one.shares)
    return {
        "data": [_trace(mark, drawn, names) for mark in marks],
        "layout": layout(
            xaxis={
                "title": {"text": say("disturbance.axis"), "standoff": 10},
                "range": [0, 1.05 * max(100 * one.worst for one in drawn)],
                "ticksuffix": " %",
                "automargin": True,
                "zeroline": True,
            },
            yaxis={"range": [len(drawn) - 0.5, -0.7], "visible": False},
            annotations=[
                {
                    "text": name,
                    "xref": "paper",
                    "x": 0,
                    "xanchor": "left",
                    "y": row,
                    "yshift": 16,
                    "showarrow": False,
                    "font": {"size": 11},
                }
                for row, name in enumerate(names)
            ],
            hovermode="closest",
        ),
    }


def _trace(mark: str, drawn: Sequence[Disturbed], names: Sequence[str]) -> dict[str, Any]:
    rows = [row for row, one in enumerate(drawn) if mark in one.shares]
    about = [record_facets(drawn[row].run.current.record) | {"label": drawn[row].run.current.label} for row in rows]
    return {
        "type": "bar",
        "orientation": "h",
        "name": figure_text(say_or(f"mark.{mark}", mark)),
        "x": [100 * drawn[row].shares[mark] for row in rows],
        "y": rows,
        "hovertext": [joined(": ", [names[row], numbers.percent(drawn[row].shares[mark])]) for row in rows],
        "hovertemplate": "%{hovertext}<extra>%{fullData.name}</extra>",
        "marker": {"color": COLOURS.get(mark, "#808080")},
        "width": BAR,
        "offset": [OFFSET + BAR * list(drawn[row].shares).index(mark) for row in rows],
        **point_facets(about),
    }


def _row_name(one: Disturbed, *, names_label: bool) -> Text:
    record = one.run.current.record
    label = [one.run.current.label] if names_label else []
    return joined(" · ", [one.device, shown(axis(record, "attention")), *run_name(record), *label])


def _table(found: Sequence[Disturbed], results: Results) -> Table:
    marks = [mark for mark in (*Mark, STEAL) if any(mark in one.shares for one in found)]
    has_reasons, has_others = any(map(_reasons, found)), any(one.others for one in found)
    return Table(
        title=say("disturbance.table"),
        columns=[
            *run_columns(),
            *([Column(title=say("column.label"), facet="label")] if results.several else []),
            Column(title=say("signmap.device"), kind=Kind.CODE),
            *(Column(title=say(f"disturbance.mark.{mark}"), kind=Kind.NUMBER) for mark in marks),
            *([Column(title=say("disturbance.reasons"), kind=Kind.CODE)] if has_reasons else []),
            *([Column(title=say("disturbance.others"), kind=Kind.NUMBER)] if has_others else []),
            Column(title=say("column.settings"), kind=Kind.CODE),
        ],
        rows=[
            [
                *run_cells(one.run.current.record),
                *([one.run.current.label] if results.several else []),
                one.device,
                *(cell(one.shares.get(mark), numbers.percent) for mark in marks),
                *([_reasons(one) or numbers.NOTHING] if has_reasons else []),
                *([numbers.count(one.others) if one.others else numbers.NOTHING] if has_others else []),
                settings_cell(one.run.current.record),
            ]
            for one in found
        ],
        row_facets=[case_facets(one.run.current.record.case.axes) for one in found],
        note=say("disturbance.note" if has_reasons or has_others else "disturbance.note_short"),
        folded=len(found) > MOST_ROWS_OPEN,
    )


def _reasons(one: Disturbed) -> str:
    """NVML's own names, the most frequent first."""
    said = mapping(mapping(one.run.said, "event_reasons_share"), one.device)
    known = {cut(name): value for name in said if (value := share(said[name]))}
    ranked = sorted(known, key=lambda name: -known[name])[:MOST_REASONS]
    return ", ".join(f"{name} {numbers.percent(known[name])}" for name in ranked)
