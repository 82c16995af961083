"""The largest batch of a model beside its weights, and the tokens a second that it gives. Computed, not measured."""

from collections.abc import Sequence
from typing import Any

from suite.records import numbers
from suite.report.blocks import Figure, Kind, Table, Text, View, joined, say
from suite.report.model.labels import BLUE
from suite.report.model.results import Results
from suite.report.model.run import Run, tokens_of
from suite.report.plot.marks import Point, Series
from suite.report.plot.rows import drawn_of, height_px, rows, told_apart
from suite.report.plot.scales import decimal_ticks, log
from suite.report.table import Column, column, label_column, table

MOST_DRAWN = 16


def capacity_runs(results: Results) -> list[Run]:
    """Records of workload=capacity, the most tokens a second first; those that were refused last."""
    found = [Run(current=current) for current in results.records if current.record.case.workload == "capacity"]
    return sorted(found, key=lambda run: -(at_most(run) or 0))


def at_most(run: Run) -> float | None:
    return run.constant("most_tokens_per_s", "step")


def expected(run: Run) -> float | None:
    return run.constant("expected_tokens_per_s", "step")


def capacity_figure(runs: Sequence[Run]) -> Figure | None:
    fitting = [run for run in runs if at_most(run)]
    if not fitting:
        return None
    drawn, left_out = drawn_of(fitting, MOST_DRAWN)
    names, common = told_apart([_name_parts(run) for run in drawn])
    best = fitting[0]
    fields = {"model": best.axis("geometry"), "share": _devices(best), "rate": numbers.count(at_most(best) or 0)}
    return Figure(
        title=say("capacity.figure"),
        finding=say("capacity.finding", batch=numbers.count(best.constant("largest_batch") or 0), **fields),
        caption=joined("sentence", [say("capacity.caption"), left_out]),
        settings=common,
        views=[View(title="", figure=_dots(drawn, names))],
        height_px=height_px(len(drawn)),
    )


def capacity_tables(runs: Sequence[Run], results: Results) -> list[Table]:
    label, note = label_column(results.several), say("capacity.note")
    fitting, refused = [run for run in runs if at_most(run)], [run for run in runs if not run.is_ok]
    return [
        table(say("capacity.table"), fitting, [*NAMED, *SIZES, WEIGHTS, *label], note=note),
        table(say("capacity.refused"), refused, [*NAMED, WHY, WEIGHTS, *label], folded=True),
    ]


def _devices(run: Run) -> str:
    """The devices and how they share the model: 8 × h200-sxm-141gb, dp."""
    count, device = run.axis("tp"), run.axis("hardware")
    return device if count in ("", "1") else f"{count} × {device}, {run.axis('parallel')}"


def _name_parts(run: Run) -> list[Text]:
    tokens, (device, _, way) = tokens_of(run.record), _devices(run).partition(", ")
    context = say("callstyle.tokens", tokens=numbers.count(tokens)) if tokens else ""
    return [run.axis("geometry"), way, device, run.axis("weights"), context]


def _dots(runs: Sequence[Run], names: Sequence[Text]) -> dict[str, Any]:
    series = []
    for key, symbol, value in (("most", "circle-open", at_most), ("expected", "circle", expected)):
        points = [
            Point(
                x=rate,
                y=place,
                hover=say(f"capacity.hover_{key}", rate=numbers.count(rate)),
                facets={"geometry": run.axis("geometry")},
                runs=(run.record.run_key,),
            )
            for place, run in enumerate(runs)
            if (rate := value(run)) is not None
        ]
        marker = {"symbol": symbol, "size": 11, "color": BLUE}
        series += [Series(name=say(f"capacity.{key}"), points=points, more={"marker": marker})] if points else []
    rates = [float(point.x) for line in series for point in line.points]
    return rows(names, series, xaxis=log(say("capacity.axis"), decimal_ticks(rates, numbers.count)))


NAMED: list[Column[Run]] = [
    column("column.model", lambda run: run.axis("geometry")),
    column("signmap.device", _devices, kind=Kind.CODE),
    column("latency.context", lambda run: tokens_of(run.record), numbers.count),
]
SIZES: list[Column[Run]] = [
    column("capacity.batch", lambda run: run.constant("largest_batch"), numbers.count),
    column("capacity.most", at_most, numbers.count),
    column("capacity.expected", expected, numbers.count),
    column("capacity.weight_bytes", lambda run: run.constant("weight_bytes"), numbers.bytes_iec),
    column("capacity.sequence_bytes", lambda run: run.constant("sequence_bytes"), numbers.bytes_iec),
]
WEIGHTS: Column[Run] = column("capacity.weights", lambda run: run.axis("weights"), kind=Kind.CODE)
WHY: Column[Run] = column("capacity.why", lambda run: run.record.reason or "", kind=Kind.LONG)
